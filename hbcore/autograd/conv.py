"""Convolution, pooling and up-sampling on channels-last pictures.

Layout: activations (N, H, W, C), filters (kH, kW, C, O). With channels last a pixel is one contiguous run of C numbers,
which is what a matrix product, batch normalisation and bit packing all want (measured against channels-first in
docs/layout.md).

A convolution in one dimension, with stride s and p zeros on either side, and both of its gradients for g = dL/dy:

    y[i]     = sum over t of  x[s i + t - p] w[t]
    dL/dw[t] = sum over i of  x[s i + t - p] g[i]
    dL/dx[q] = sum over t of  w[t] g[(q - t + p) / s]

where the last sum takes the taps t for which the index is whole and inside. For s = 1 it runs over g as the first runs
over x, with the taps in reverse order: the way back through a convolution is a convolution. Two dimensions do the same
for rows and for columns; channels are summed over in y, filters in dL/dx, pictures in dL/dw.
"""

from __future__ import annotations

import numpy as np

from hbcore import kernels
from hbcore.autograd.function import Array, Function, channel_sums, require_one_type
from hbcore.autograd.tensor import Tensor, apply
from hbcore.values import whole


def require_fit(x: Array, w: Array) -> None:
    """ValueError or TypeError unless filters w (kH, kW, C, O) can go over pictures x (N, H, W, C) of the same type."""
    require_pictures(x, "a convolution")
    if w.ndim != 4:
        raise ValueError(f"a convolution takes filters (kH, kW, C, O), got an array of shape {w.shape}")
    if x.shape[-1] != w.shape[2]:
        raise ValueError(f"filters for {w.shape[2]} channels do not fit an input of {x.shape[-1]} channels")
    if x.dtype != w.dtype:
        raise TypeError(f"filters of {w.dtype} do not fit an input of {x.dtype}: convert one with astype")


def require_pictures(x: Array, taker: str) -> None:
    """ValueError naming who takes pictures (N, H, W, C) if x is none such."""
    if x.ndim != 4:
        raise ValueError(f"{taker} takes pictures (N, H, W, C), got an array of shape {x.shape}")


def convolve(x: Array, w: Array, stride: int, padding: int) -> Array:
    """(N, H, W, C) * (kH, kW, C, O) -> (N, Ho, Wo, O)."""
    return kernels.backend.conv2d(x, w, stride, (padding, padding))


def convolve_backward(
    x: Array, w: Array, g: Array, stride: int, padding: int, needs_x: bool, needs_w: bool
) -> tuple[Array | None, Array | None]:
    """(dL/dX, dL/dW) of Y = X * W for g = dL/dY, as in the head of this file; None for what nobody needs."""
    pads = padding, padding
    return (
        kernels.backend.conv2d_input_gradient(g, w, x.shape, stride, pads) if needs_x else None,
        kernels.backend.conv2d_weight_gradient(x, g, w.shape, stride, pads) if needs_w else None,
    )


class Convolution(Function):
    """Y = X * W + b, real-valued; gradients as in the head of this file, dL/db = sum of g over pixels."""

    fresh = True

    def __init__(self, stride: int = 1, padding: int = 0) -> None:
        self.stride, self.padding = whole("stride", stride), whole("padding", padding, least=0)

    def check(self, *inputs: Array) -> None:
        x, w, *bias = inputs
        require_fit(x, w)
        for b in bias:
            require_one_type("a convolution", w, b)
            if b.shape != w.shape[3:]:
                raise ValueError(f"a bias of shape {b.shape} does not fit {w.shape[3]} filters: it must be one each")

    def forward(self, x: Array, w: Array, *bias: Array) -> Array:
        self.x, self.w = x, w
        y = convolve(x, w, self.stride, self.padding)
        for b in bias:
            y += b
        return y

    def backward(self, g: Array) -> tuple[Array | None, ...]:
        dx, dw = convolve_backward(self.x, self.w, g, self.stride, self.padding, *self.needs_grad[:2])
        if len(self.needs_grad) == 2:
            return dx, dw
        return dx, dw, channel_sums(g)


class MaxPooling(Function):
    """Largest value of each k x k window (no overlap);  g goes to the first pixel, in reading order, that has it."""

    def __init__(self, size: int = 2) -> None:
        self.size = whole("size", size)

    def check(self, *inputs: Array) -> None:
        require_pictures(inputs[0], "a pooling")

    def forward(self, x: Array) -> Array:
        y, self.winner = kernels.backend.max_pool(x, self.size)
        return y

    def backward(self, g: Array) -> tuple[Array]:
        return (kernels.backend.max_pool_backward(g, self.winner, self.size),)


class AvgPooling(Function):
    """Mean of each k x k window (no overlap);  each pixel gets g / k^2."""

    def __init__(self, size: int = 2) -> None:
        self.size = whole("size", size)

    def check(self, *inputs: Array) -> None:
        require_pictures(inputs[0], "a pooling")

    def forward(self, x: Array) -> Array:
        if x.shape[1] % self.size or x.shape[2] % self.size:
            raise ValueError(
                f"windows of {self.size} x {self.size} do not tile a picture of {x.shape[1]} x {x.shape[2]}"
            )
        return np.asarray(kernels.backend.sum_pool(x, self.size) / x.dtype.type(self.size**2))

    def backward(self, g: Array) -> tuple[Array]:
        return (kernels.backend.upsample(g / g.dtype.type(self.size**2), self.size),)


class NearestUpsampling(Function):
    """Each pixel becomes a k x k window of equal pixels;  its gradient is the sum over the window."""

    def __init__(self, factor: int = 2) -> None:
        self.factor = whole("factor", factor)

    def check(self, *inputs: Array) -> None:
        require_pictures(inputs[0], "up-sampling")

    def forward(self, x: Array) -> Array:
        return kernels.backend.upsample(x, self.factor)

    def backward(self, g: Array) -> tuple[Array]:
        return (kernels.backend.sum_pool(g, self.factor),)


def conv2d(x: Tensor, w: Tensor, bias: Tensor | None = None, stride: int = 1, padding: int = 0) -> Tensor:
    """2-D convolution (cross-correlation), x (N, H, W, C), w (kH, kW, C, O), bias (O,)."""
    return apply(Convolution(stride, padding), x, w, *([] if bias is None else [bias]))


def max_pool2d(x: Tensor, size: int = 2) -> Tensor:
    """Largest value of each size x size window; ValueError if the windows do not tile the picture."""
    return apply(MaxPooling(size), x)


def avg_pool2d(x: Tensor, size: int = 2) -> Tensor:
    """Mean of each size x size window; ValueError if the windows do not tile the picture."""
    return apply(AvgPooling(size), x)


def upsample_nearest2d(x: Tensor, factor: int = 2) -> Tensor:
    """Nearest-neighbour up-sampling by a whole factor."""
    return apply(NearestUpsampling(factor), x)
