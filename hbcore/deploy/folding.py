"""Folding: in evaluation, batch norm and sign are a comparison, and batch norm alone is a line.

Batch norm and sign of a number x ask whether  v = scale x + shift  is negative. Rounded or not, v never falls
(scale > 0) or never rises (scale < 0) with x, so there is one number t with

    v < 0  <=>  (x < t) xor flip

and :func:`threshold` finds it by bisection over all float32, with the very arithmetic of the layer it replaces: no tie,
no negative gamma and no rounding comes out differently. Three small lines, of one channel each:

    scale, shift    v < 0 for    t                                              flip
       2,   -1      x < 0.5      0.5                                            0
      -2,    1      x > 0.5      the float after 0.5, as x < t is x <= 0.5      1
       0,   -1      every x      NaN, as x < NaN never holds                    1
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from hbcore import bits, kernels
from hbcore.autograd.function import Array
from hbcore.bits import Words
from hbcore.kernels.plan import Epilogue
from hbcore.nn.blocks import Unit
from hbcore.nn.layers import BatchNorm2d, BinaryConv2d, Conv2d, PReLU, ReLU
from hbcore.nn.module import Module


def norm_line(norm: BatchNorm2d) -> tuple[Array, Array]:
    """(scale, shift) of a batch norm in evaluation, rounded as :class:`hbcore.autograd.norm.FixedNorm` rounds them.

    ValueError where they are not finite, so that the layer has no signs but of NaN.
    """
    gamma, beta = norm.gamma.data, norm.beta.data
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        r = 1 / np.sqrt(norm.running_variance + norm.running_variance.dtype.type(norm.eps))
        scale, shift = gamma * r, beta - gamma * r * norm.running_mean
    if not (np.isfinite(scale).all() and np.isfinite(shift).all()):
        raise ValueError("a batch norm's line is not finite: its variance is too small, or its gamma or mean too large")
    return scale, shift


def threshold(scale: Array, shift: Array) -> tuple[Array, Array]:
    """(t, flip) such that scale x + shift < 0, in float32, exactly where (x < t) xor flip; one per channel.

    Bisection over the float32 in their order: as integers, sign and magnitude turned into one rising sequence.
    """
    rising = np.where(scale < 0, np.float32(-1), np.float32(1))
    # The smallest x (largest for a falling line) at which the line is not negative; infinity if there is none.
    low = np.full(scale.shape, _rank(np.float32(-np.inf)))
    high = np.full(scale.shape, _rank(np.float32(np.inf)) + 1)
    while (low < high).any():
        middle = (low + high) // 2
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            x = rising * _unrank(middle)
            reached = ~(scale * x + shift < 0)
        high = np.where((low < high) & reached, middle, high)
        low = np.where((low < high) & ~reached, middle + 1, low)
    edge = _unrank(np.minimum(low, _rank(np.float32(np.inf))))
    never = low > _rank(np.float32(np.inf))  # negative even at infinity
    flip = rising < 0
    # Falling: negative where -x < edge, that is where x > -edge: not where x < next(-edge).
    t = np.where(flip, np.nextafter(-edge, np.float32(np.inf)), edge)
    # Always negative: x < NaN never holds, and flip makes it always.
    return np.where(never, np.float32(np.nan), t).astype(np.float32), np.where(never, True, flip)


def _rank(x: Array | np.float32) -> Array:
    """The place of float32 numbers in their order, -0 and +0 being the same place."""
    raw = np.asarray(x, dtype=np.float32).view(np.int32).astype(np.int64)
    return np.where(raw < 0, -(raw & 0x7FFFFFFF), raw)


def _unrank(rank: Array) -> Array:
    raw = np.where(rank < 0, -rank | 0x80000000, rank)
    return raw.astype(np.uint32).view(np.float32)


@dataclass(frozen=True, eq=False, kw_only=True)
class Folded:
    """What all units have in evaluation: the convolution, and what follows it.

    weights (kH, kW, C, O), or packed (kH, kW, words, O); alpha (O,), bias (O,), then relu or the slope (O,) of a PReLU,
    None or False where there is no such thing.
    """

    weights: Array
    stride: int
    padding: int
    alpha: Array | None
    bias: Array | None
    relu: bool
    slope: Array | None

    @property
    def width(self) -> int:
        """Filters."""
        return int(self.weights.shape[3])

    def epilogue(self, **more: Any) -> Epilogue:
        """That, and more."""
        return Epilogue(alpha=self.alpha, bias=self.bias, relu=self.relu, slope=self.slope, **more)


@dataclass(frozen=True, eq=False, kw_only=True)
class BinaryFolded(Folded):
    """(x < threshold) xor flip, convolved with packed weights: threshold (C,), flip (words,)."""

    threshold: Array
    flip: Words
    channels: int


@dataclass(frozen=True, eq=False, kw_only=True)
class RealFolded(Folded):
    """max(scale x + shift, 0), or with `sign` the sign of scale x + shift as a number, convolved with real weights."""

    scale: Array
    shift: Array
    sign: bool


def fold(unit: Module) -> BinaryFolded | RealFolded:
    """A unit in evaluation, its arrays copied. Bits where weights and activations are bits."""
    assert isinstance(unit, Unit)
    norm, conv = unit.modules[0], conv_of(unit)
    assert isinstance(norm, BatchNorm2d)
    place = unit.modules.index(conv)
    after = unit.modules[place + 1 :]
    shared = after_sums(conv) | {
        "stride": conv.stride,
        "padding": conv.padding,
        "relu": any(isinstance(module, ReLU) for module in after),
        "slope": next((module.slope.data.copy() for module in after if isinstance(module, PReLU)), None),
    }
    scale, shift = norm_line(norm)
    if isinstance(conv, BinaryConv2d) and conv.all_bits:
        t, flip = threshold(scale, shift)
        filters = kernels.backend.pack_filters(conv.weight.data)
        channels = conv.weight.shape[2]
        return BinaryFolded(threshold=t, flip=bits.pack_bits(flip), weights=filters, channels=channels, **shared)
    return RealFolded(scale=scale, shift=shift, sign=place == 1, weights=real_weights(conv), **shared)


def conv_of(unit: Module) -> Conv2d | BinaryConv2d:
    """The convolution of a unit: behind its batch norm, which takes signs itself, or else behind a ReLU."""
    assert isinstance(unit, Unit)
    return next(module for module in unit.modules if isinstance(module, Conv2d | BinaryConv2d))


def after_sums(conv: Module) -> dict[str, Any]:
    """Alpha and bias of a convolution, as `Folded` has them."""
    assert isinstance(conv, BinaryConv2d | Conv2d)
    alpha = conv.alpha if isinstance(conv, BinaryConv2d) and conv.binarize != "activations" else None
    bias = None if conv.bias is None else conv.bias.data.copy()
    return {"alpha": alpha, "bias": bias}


def real_weights(conv: Module) -> Array:
    """What a convolution multiplies numbers with: its weights, or their signs where only these are bits."""
    assert isinstance(conv, BinaryConv2d | Conv2d)
    w = conv.weight.data
    signs = isinstance(conv, BinaryConv2d) and conv.binarize != "activations"
    return kernels.backend.sign(w) if signs else w.copy()
