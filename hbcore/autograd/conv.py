"""Convolution, pooling and up-sampling on channels-last pictures.

Layout: activations (N, H, W, C), filters (kH, kW, C, O). With channels last a pixel is one contiguous run of C numbers,
which is what a matrix product, batch normalisation and bit packing all want (measured against channels-first in
docs/layout.md). A convolution becomes a matrix product by writing each output pixel's neighbourhood into a row:

    R = im2col(X):  (N, H, W, C) -> (N Ho Wo, kH kW C),    Y = R W    with W as a matrix (kH kW C, O)

The rows take kH kW times the memory of the picture, so they are made for one slice of the batch at a time, used while
they are in the cache, and made again in the backward pass rather than kept.

That is the way of float64 and of CPUs without wide kernels. In float32 `kernels.conv2d` makes no rows at all: it reads
the neighbourhoods where they are (csrc/template.h), forward, and backward by the equations of `convolve_backward`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np

from hbcore import kernels
from hbcore.autograd.function import Array, Function
from hbcore.autograd.tensor import Tensor, apply
from hbcore.bits import conv_size
from hbcore.kernels import im2col
from hbcore.kernels.arrays import windows
from hbcore.threads import for_parts

T = TypeVar("T")

# Rows are made for about this many bytes at a time: enough for BLAS to work on, little enough to stay in the cache.
ROWS_BYTES = 2 << 20


def col2im(columns: Array, shape: tuple[int, ...], kernel: tuple[int, int], stride: int, padding: int) -> Array:
    """Transpose of :func:`im2col`: add every neighbourhood back to the pixels it was read from."""
    batch, height, width, channels = shape
    out_h, out_w = columns.shape[1:3]
    columns = columns.reshape(batch, out_h, out_w, *kernel, channels)
    padded = np.zeros((batch, height + 2 * padding, width + 2 * padding, channels), dtype=columns.dtype)
    for i in range(kernel[0]):
        for j in range(kernel[1]):
            padded[:, i : i + out_h * stride : stride, j : j + out_w * stride : stride] += columns[:, :, :, i, j]
    return padded[:, padding : padding + height, padding : padding + width]


def require_fit(x: Array, w: Array) -> None:
    """ValueError or TypeError unless filters w (kH, kW, C, O) can go over pictures x (N, H, W, C) of the same type."""
    if x.ndim != 4:
        raise ValueError(f"a convolution takes pictures (N, H, W, C), got an array of shape {x.shape}")
    if x.shape[-1] != w.shape[2]:
        raise ValueError(f"filters for {w.shape[2]} channels do not fit an input of {x.shape[-1]} channels")
    if x.dtype != w.dtype:
        raise TypeError(f"filters of {w.dtype} do not fit an input of {x.dtype}: convert one with astype")


def convolve(x: Array, w: Array, stride: int, padding: int) -> Array:
    """(N, H, W, C) * (kH, kW, C, O) -> (N, Ho, Wo, O)."""
    require_fit(x, w)
    if kernels.wide(x, w):
        return kernels.conv2d(x, w, stride, (padding, padding))
    kernel_h, kernel_w, _, filters = w.shape
    out_h = conv_size(x.shape[1], kernel_h, stride, padding)
    out_w = conv_size(x.shape[2], kernel_w, stride, padding)
    out = np.empty((len(x), out_h, out_w, filters), dtype=x.dtype)
    matrix = w.reshape(-1, filters)

    def work(part: slice, rows: Array) -> None:
        np.matmul(rows, matrix, out=out[part].reshape(-1, filters))

    _for_rows(work, x, (kernel_h, kernel_w), stride, (padding, padding))
    return out


def convolve_backward(
    x: Array, w: Array, g: Array, stride: int, padding: int, needs_x: bool, needs_w: bool
) -> tuple[Array | None, Array | None]:
    """Gradients of Y = X * W for g = dL/dY: (dL/dX, dL/dW).

    Two ways, same result. In general, with rows R = im2col(X):   dW = R^T G,   dX = col2im(G W^T).
    For stride 1 (all but the stem) both follow from the neighbourhoods of g alone. Pixel q of x meets tap t in output
    q - t + padding, so with rows S = im2col(G) and the taps in reverse order:   dX = S W',   dW' = X^T S.
    That is cheaper: one gather instead of a gather and a scatter, and over O channels, half of C in most blocks.
    """
    kernel_h, kernel_w, channels, filters = w.shape
    stays = stride == 1 and padding < min(kernel_h, kernel_w)
    reach = kernel_h - 1 - padding, kernel_w - 1 - padding
    if kernels.wide(x, w, g) and (stays or not needs_x):
        return (
            kernels.conv2d(g, kernels.turned_round(w), 1, reach) if needs_x else None,
            kernels.conv2d_weight_gradient(x, g, w.shape, stride, (padding, padding)) if needs_w else None,
        )
    dx = np.empty(x.shape, dtype=x.dtype) if needs_x else None  # not empty_like: parts of it must be matrices
    if stays:
        reversed_taps = np.ascontiguousarray(kernels.turned_round(w)).reshape(-1, channels)

        def from_g(part: slice, rows: Array) -> Array | None:
            if dx is not None:
                np.matmul(rows, reversed_taps, out=dx[part].reshape(-1, channels))
            return x[part].reshape(-1, channels).T @ rows if needs_w else None

        dw = _sum(_for_rows(from_g, g, (kernel_h, kernel_w), 1, reach))
        if dw is not None:
            dw = dw.reshape(channels, kernel_h, kernel_w, filters)[:, ::-1, ::-1].transpose(1, 2, 0, 3)
            dw = np.ascontiguousarray(dw)
        return dx, dw

    matrix = w.reshape(-1, filters)

    def from_x(part: slice, rows: Array) -> Array | None:
        gradients = g[part].reshape(-1, filters)
        dw = rows.T @ gradients if needs_w else None
        if dx is not None:
            columns = (gradients @ matrix.T).reshape(*g[part].shape[:3], -1)
            dx[part] = col2im(columns, x[part].shape, (kernel_h, kernel_w), stride, padding)
        return dw

    dw = _sum(_for_rows(from_x, x, (kernel_h, kernel_w), stride, (padding, padding)))
    return dx, None if dw is None else dw.reshape(w.shape)


def _for_rows(
    work: Callable[[slice, Array], T], x: Array, kernel: tuple[int, int], stride: int, padding: tuple[int, int]
) -> list[T]:
    """Call work(slice of the batch, its neighbourhoods as a matrix (pixels, kH kW C)) for all of it, on threads."""
    row = kernel[0] * kernel[1] * x.shape[-1]
    pixels = conv_size(x.shape[1], kernel[0], stride, padding[0]) * conv_size(x.shape[2], kernel[1], stride, padding[1])

    def gather(part: slice) -> T:
        if kernel == (1, 1) and stride == 1 and padding == (0, 0):
            return work(part, np.ascontiguousarray(x[part]).reshape(-1, row))  # the pixels are the rows
        return work(part, im2col(x[part], kernel, stride, padding).reshape(-1, row))

    return for_parts(gather, len(x), -(-len(x) * pixels * row * x.itemsize // ROWS_BYTES))


def _sum(parts: list[Array | None]) -> Array | None:
    """Sum of partial results, in order: the same rounding whatever the number of threads."""
    total, *rest = parts
    for part in rest:
        total = total + part if total is not None and part is not None else None
    return total


class Conv2d(Function):
    """Y = X * W + b, real-valued; gradients as in :func:`convolve_backward`, dL/db = sum of g over pixels."""

    def __init__(self, stride: int = 1, padding: int = 0) -> None:
        self.stride, self.padding = stride, padding

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
        return dx, dw, g.reshape(-1, g.shape[-1]).sum(axis=0)


class MaxPool2d(Function):
    """Largest value of each k x k window (no overlap);  g goes to the first pixel, in reading order, that has it."""

    def __init__(self, size: int = 2) -> None:
        self.size = size

    def forward(self, x: Array) -> Array:
        y, self.winner = kernels.max_pool(x, self.size)
        return y

    def backward(self, g: Array) -> tuple[Array]:
        return (kernels.max_pool_backward(g, self.winner, self.size),)


class AvgPool2d(Function):
    """Mean of each k x k window (no overlap);  each pixel gets g / k^2."""

    def __init__(self, size: int = 2) -> None:
        self.size = size

    def forward(self, x: Array) -> Array:
        if x.shape[1] % self.size or x.shape[2] % self.size:
            raise ValueError(
                f"windows of {self.size} x {self.size} do not tile a picture of {x.shape[1]} x {x.shape[2]}"
            )
        taps = windows(x, self.size)
        return np.asarray(sum(taps[1:], start=taps[0]) / x.dtype.type(len(taps)))

    def backward(self, g: Array) -> tuple[Array]:
        return (repeat(g / g.dtype.type(self.size**2), self.size),)


class UpsampleNearest2d(Function):
    """Each pixel becomes a k x k window of equal pixels;  its gradient is the sum over the window."""

    def __init__(self, factor: int = 2) -> None:
        self.factor = factor

    def forward(self, x: Array) -> Array:
        return repeat(x, self.factor)

    def backward(self, g: Array) -> tuple[Array]:
        taps = windows(g, self.factor)
        return (np.asarray(sum(taps[1:], start=taps[0])),)


def repeat(x: Array, factor: int) -> Array:
    """(N, H, W, C) -> (N, factor H, factor W, C), nearest neighbour."""
    n, h, w, c = x.shape
    out = np.empty((n, h, factor, w, factor, c), dtype=x.dtype)
    out[...] = x[:, :, None, :, None, :]
    return out.reshape(n, h * factor, w * factor, c)


def conv2d(x: Tensor, w: Tensor, bias: Tensor | None = None, stride: int = 1, padding: int = 0) -> Tensor:
    """2-D convolution (cross-correlation), x (N, H, W, C), w (kH, kW, C, O), bias (O,)."""
    return apply(Conv2d(stride, padding), x, w, *([] if bias is None else [bias]))


def max_pool2d(x: Tensor, size: int = 2) -> Tensor:
    """Largest value of each size x size window; ValueError if the windows do not tile the picture."""
    return apply(MaxPool2d(size), x)


def avg_pool2d(x: Tensor, size: int = 2) -> Tensor:
    """Mean of each size x size window; ValueError if the windows do not tile the picture."""
    return apply(AvgPool2d(size), x)


def upsample_nearest2d(x: Tensor, factor: int = 2) -> Tensor:
    """Nearest-neighbour up-sampling by a whole factor."""
    return apply(UpsampleNearest2d(factor), x)
