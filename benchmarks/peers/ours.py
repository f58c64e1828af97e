"""hbcore itself, as its users would call it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

import hbcore
from benchmarks.peers import reason
from hbcore import kernels
from hbcore.autograd.function import Array
from hbcore.binary.convolution import scale
from hbcore.nn.layers import BinaryConv2d, use_packed


def threads(count: int) -> Callable[[], None]:
    """Something to prepare with: so many threads for hbcore, and one for NumPy's BLAS."""

    def prepare() -> None:
        if hbcore.get_threads() != count:
            hbcore.set_threads(count)

    return prepare


def layer(conv: BinaryConv2d, x: Array) -> tuple[Callable[[], Array], Callable[[], Array]]:
    """The binary convolution of x: from packed signs, and from floats, with the packing."""
    w = conv.weight.data
    filters, alpha, channels = kernels.backend.pack_filters(w), scale(w), x.shape[-1]
    bits = kernels.backend.pack_signs(x)

    def packed(words: Array = bits) -> Array:
        return kernels.backend.scaled_binary_conv2d(words, filters, alpha, channels, conv.stride, conv.padding)

    return packed, lambda: packed(kernels.backend.pack_signs(x))


def network(model: hbcore.StackedHourglass, picture: Array) -> tuple[Callable[[], Array], str]:
    """A call for the heatmaps of the picture, and a remark on how: the deployed plan, or the model where it cannot."""
    model.eval()
    try:
        from hbcore.deploy.engine import Engine

        batch, height, width, _ = picture.shape
        engine = Engine(model, height, width, batch)
    except (ImportError, RuntimeError) as error:  # no such module yet, or no wide kernels on this CPU
        use_packed(model)
        return lambda: evaluate(model, picture), f" (model in packed bits: {reason(error)})"
    return lambda: engine(picture), ""


def evaluate(model: hbcore.StackedHourglass, picture: Array) -> Array:
    """The model itself, in evaluation, without a plan."""
    with hbcore.no_grad():
        return np.asarray(model(hbcore.Tensor(picture))[-1].data)


def popcount_ceiling() -> float | None:
    """Binary multiply-accumulates a second that one core's registers allow, if this hbcore can tell."""
    try:
        return float(kernels.popcount_ceiling())
    except (AttributeError, RuntimeError):  # this build cannot, or these kernels cannot
        return None
