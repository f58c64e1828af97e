"""Layers: the operations of conv, norm and binary, with their parameters.

Initial weights are normal with variance 2 / fan-in (He et al. 2015), which keeps the size of signals through ReLU.
Every constructor that draws them takes the random generator, so a network is a function of its seed.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from hbcore import kernels
from hbcore.autograd.conv import avg_pool2d, conv2d, max_pool2d, require_fit, upsample_nearest2d
from hbcore.autograd.function import Array, grad_enabled
from hbcore.autograd.norm import batch_norm, fixed_norm
from hbcore.autograd.ops import ParametricRectifier
from hbcore.autograd.tensor import Tensor, apply, arrays_of
from hbcore.binary.convolution import binary_conv2d, packed_conv2d, scale
from hbcore.binary.signs import sign
from hbcore.binary.smooth import smooth_sign
from hbcore.kernels import GRADIENTS
from hbcore.nn.module import Module, Parameter
from hbcore.values import choice, number, whole


def he_normal(rng: np.random.Generator, kernel: int, channels: int, filters: int) -> Array:
    """Filters (k, k, C, O) from a normal distribution with variance 2 / (k^2 C).

    ValueError for sizes below 1, TypeError for what is no generator of random numbers.
    """
    if not isinstance(rng, np.random.Generator):
        raise TypeError(f"weights are drawn from a generator, numpy.random.default_rng(seed), got {rng!r}")
    sizes = {"kernel": kernel, "channels": channels, "filters": filters}
    kernel, channels, filters = (whole(name, size) for name, size in sizes.items())
    deviation = np.sqrt(2 / (kernel * kernel * channels))
    normal = rng.standard_normal((kernel, kernel, channels, filters))
    return np.asarray(deviation * normal, dtype=np.float32)


class Conv2d(Module):
    """Real-valued convolution, (N, H, W, channels) -> (N, Ho, Wo, filters)."""

    def __init__(
        self,
        channels: int,
        filters: int,
        kernel: int,
        rng: np.random.Generator,
        stride: int = 1,
        padding: int = 0,
        bias: bool = True,
    ) -> None:
        self.stride, self.padding = whole("stride", stride), whole("padding", padding, least=0)
        self.weight = Parameter(he_normal(rng, kernel, channels, filters))
        self.bias = Parameter(np.zeros(filters, dtype=np.float32)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        return conv2d(x, self.weight, self.bias, self.stride, self.padding)

    def describe(self) -> str:
        return _shape(self)


BINARIZE = "both", "weights", "activations"


class BinaryConv2d(Module):
    """sign, then convolution with alpha sign(W): 1-bit activations and weights, (N, H, W, C) -> (N, Ho, Wo, O), real.

    weight: the latent real weights (k, k, C, O). packed: compute with packed bits, not +1.0 and -1.0; same result.
    scaled: alpha = mean |W| of each filter; else 1. bias: also add a real number per filter.
    binarize: "both"; "weights": the input stays as it is; "activations": the weights stay real, without alpha.
    gradients: "float32" or "int8", how training takes it back where it does so together with its batch norm.
    sharpness: if not None, a smooth sign of the input in place of the hard one, see :mod:`hbcore.binary.smooth`.
    Options of XNOR-Net's training, applied by :meth:`constrain` after each optimizer step, but not to real weights:
    center_weights: subtract the mean over input channels at every filter position; clamp_weights: clip to [-1, 1].
    """

    def __init__(
        self,
        channels: int,
        filters: int,
        kernel: int,
        rng: np.random.Generator,
        stride: int = 1,
        padding: int = 0,
        center_weights: bool = False,
        clamp_weights: bool = True,
        scaled: bool = True,
        binarize: str = "both",
        bias: bool = False,
    ) -> None:
        self.stride, self.padding = whole("stride", stride), whole("padding", padding, least=0)
        self.center_weights, self.clamp_weights = center_weights, clamp_weights
        self.scaled, self.binarize = scaled, choice("binarize", binarize, BINARIZE)
        self.sharpness: float | None = None
        self.packed, self.gradients = False, GRADIENTS[0]
        self.weight = Parameter(he_normal(rng, kernel, channels, filters))
        self.bias = Parameter(np.zeros(filters, dtype=np.float32)) if bias else None

    @property
    def all_bits(self) -> bool:
        """Whether activations and weights are bits, so that bits alone can compute this."""
        return self.binarize == "both" and self.sharpness is None

    @property
    def alpha(self) -> Array:
        """The scale of each filter (O,)."""
        return scale(self.weight.data, self.scaled)

    def forward(self, x: Tensor) -> Tensor:
        y = self._convolve(x)
        return y if self.bias is None else y + self.bias

    def _convolve(self, x: Tensor) -> Tensor:
        packed = self.packed and self.all_bits
        if packed and not grad_enabled():  # bits all the way: the signs never exist as numbers
            (pixels,) = arrays_of(type(self).__name__, x)
            require_fit(pixels, self.weight.data)
            bits = kernels.backend.pack_signs(pixels)
            return Tensor(packed_conv2d(bits, self.weight.data, self.alpha, self.stride, self.padding))
        if self.binarize != "weights":
            x = sign(x) if self.sharpness is None else smooth_sign(x, self.sharpness)
        if self.binarize == "activations":
            return conv2d(x, self.weight, None, self.stride, self.padding)
        return binary_conv2d(x, self.weight, self.stride, self.padding, packed, self.scaled)

    def describe(self) -> str:
        bits = {"both": "1-bit", "weights": "1-bit weights", "activations": "1-bit inputs"}[self.binarize]
        return f"{_shape(self)}, {bits if self.sharpness is None else f'{bits}, sharpness {self.sharpness:g}'}"

    @property
    def one_bit_weights(self) -> int:
        return 0 if self.binarize == "activations" else self.weight.data.size

    def constrain(self) -> None:
        """Bring the latent weights back to where they are meant to be."""
        if self.binarize == "activations":
            return
        w = self.weight.data
        if self.center_weights and w.shape[2] > 1:  # one channel is its own mean
            w -= w.mean(axis=2, keepdims=True)
        if self.clamp_weights:
            w.clip(-1, 1, out=w)
        self.weight.changed()


def _shape(conv: Conv2d | BinaryConv2d) -> str:
    """Channels in and out, and the window; stride, padding and bias where they are not the usual ones."""
    height, width, channels, filters = conv.weight.shape
    words = [f"{channels} -> {filters}", f"{height}x{width}"]
    words += [f"stride {conv.stride}"] if conv.stride != 1 else []
    words += [f"padding {conv.padding}"] if conv.padding != height // 2 else []
    words += ["bias"] if conv.bias is not None else []
    return ", ".join(words)


class BatchNorm2d(Module):
    """Batch normalisation per channel; running statistics follow with `momentum` and serve in evaluation."""

    def __init__(self, channels: int, eps: float = 1e-5, momentum: float = 0.1) -> None:
        channels = whole("channels", channels)
        self.eps, self.momentum = number("eps", eps), number("momentum", momentum, most=1)
        self.gamma = Parameter(np.ones(channels, dtype=np.float32))
        self.beta = Parameter(np.zeros(channels, dtype=np.float32))
        self.running_mean = np.zeros(channels, dtype=np.float32)
        self.running_variance = np.ones(channels, dtype=np.float32)

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return fixed_norm(x, self.gamma, self.beta, self.running_mean, self.running_variance, self.eps)
        y, mean, variance = batch_norm(x, self.gamma, self.beta, self.eps)
        self.follow(mean, variance, pixels=x.data.size // mean.size)
        return y

    def describe(self) -> str:
        return str(self.gamma.data.size)

    def follow(self, mean: Array, variance: Array, pixels: int = 2) -> None:
        """Let the running statistics follow those of a batch of so many pixels, by default of several.

        Not where they are not finite: whoever skips a bad picture goes on with statistics of good ones. One pixel has a
        mean, but no variance.
        """
        if not math.isfinite(np.vdot(mean, variance)):  # nor is it if one number of either is not, also times 0
            return
        self.running_mean += self.momentum * (mean - self.running_mean)
        if pixels > 1:
            self.running_variance += self.momentum * (variance - self.running_variance)


class ReLU(Module):
    """max(x, 0)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.relu()


class PReLU(Module):
    """max(x, 0) + a min(x, 0) with one learned slope per channel."""

    def __init__(self, channels: int, slope: float = 0.25) -> None:
        self.slope = Parameter(np.full(whole("channels", channels), slope, dtype=np.float32))

    def forward(self, x: Tensor) -> Tensor:
        return apply(ParametricRectifier(), x, self.slope)

    def describe(self) -> str:
        return str(self.slope.data.size)


class MaxPool2d(Module):
    """Largest value of each size x size window."""

    def __init__(self, size: int = 2) -> None:
        self.size = whole("size", size)

    def forward(self, x: Tensor) -> Tensor:
        return max_pool2d(x, self.size)

    def describe(self) -> str:
        return f"{self.size}x{self.size}"


class AvgPool2d(Module):
    """Mean of each size x size window."""

    def __init__(self, size: int = 2) -> None:
        self.size = whole("size", size)

    def forward(self, x: Tensor) -> Tensor:
        return avg_pool2d(x, self.size)

    def describe(self) -> str:
        return f"{self.size}x{self.size}"


POOLS: dict[str, Callable[[], Module]] = {"max": MaxPool2d, "avg": AvgPool2d}


class Upsample(Module):
    """Nearest-neighbour up-sampling."""

    def __init__(self, factor: int = 2) -> None:
        self.factor = whole("factor", factor)

    def forward(self, x: Tensor) -> Tensor:
        return upsample_nearest2d(x, self.factor)

    def describe(self) -> str:
        return f"{self.factor}x{self.factor}"


ACTIVATIONS: dict[str, Callable[[int], list[Module]]] = {
    "none": lambda channels: [],
    "relu": lambda channels: [ReLU()],
    "prelu": lambda channels: [PReLU(channels)],
}


def activation(name: str, channels: int) -> list[Module]:
    """What may follow a binary convolution: "none", "relu" or "prelu", as a list of zero or one modules."""
    return ACTIVATIONS[choice("activation", name, ACTIVATIONS)](channels)


def use_packed(model: Module, packed: bool = True) -> Module:
    """Let every binary convolution below compute with packed bits (or not). Same results. Returns the model."""
    for module in model.walk():
        if isinstance(module, BinaryConv2d):
            module.packed = packed
    return model


def use_gradients(model: Module, kind: str) -> Module:
    """Let every binary convolution below take gradients back in "float32", or in "int8", about twice as fast.

    See hbcore/kernels/byte_gradients.py for what that costs. Returns the model. Raises ValueError for another kind.
    """
    if kind not in GRADIENTS:
        raise ValueError(f"gradients are computed in {' or '.join(GRADIENTS)}, not in {kind!r}")
    for module in model.walk():
        if isinstance(module, BinaryConv2d):
            module.gradients = kind
    return model


def constrain(model: Module) -> None:
    """Apply :meth:`BinaryConv2d.constrain` everywhere below: call it after each optimizer step."""
    for module in model.walk():
        if isinstance(module, BinaryConv2d):
            module.constrain()
