"""Real-valued convolutions as matrix products, in plain NumPy and BLAS.

Each output pixel's neighbourhood becomes a row:

    R = im2col(X):  (N, H, W, C) -> (N Ho Wo, kH kW C),    Y = R W    with W as a matrix (kH kW C, O)

The rows take kH kW times the memory of the picture, so they are made for one slice of the batch at a time, used while
they are in the cache, and made again in the backward pass rather than kept.

The gradients, for g = dL/dY, are  dW = R^T G  and  dX = col2im(G W^T).  For stride 1 (all but the stem) both follow
from the neighbourhoods of g alone: pixel q of x meets tap t in output q - t + padding, so with rows S = im2col(G) and
the taps in reverse order  dX = S W'  and  dW' = X^T S.  That is cheaper: a gather instead of a gather and a scatter,
and over O channels, half of C in most blocks. `hbcore/autograd/conv.py` shows the same in one dimension.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from hbcore.bits import conv_size
from hbcore.threads import for_parts

Array = NDArray[Any]
Pair = tuple[int, int]
T = TypeVar("T")

# Rows are made for about this many bytes at a time: enough for BLAS to work on, little enough to stay in the cache.
ROWS_BYTES = 2 << 20


class Convolutions:
    """Pictures (N, H, W, C), filters (kH, kW, C, O), results (N, Ho, Wo, O); padding (rows, columns) of zeros."""

    def im2col(self, x: Array, kernel: Pair, stride: int, padding: Pair) -> Array:
        """Neighbourhoods as rows (N, Ho, Wo, kH kW C), zeros outside the picture; valid until this thread's next."""
        batch, height, width, channels = x.shape
        (kernel_h, kernel_w), (pad_h, pad_w) = kernel, padding
        out_h, out_w = conv_size(height, kernel_h, stride, pad_h), conv_size(width, kernel_w, stride, pad_w)
        padded = np.zeros((batch, height + 2 * pad_h, width + 2 * pad_w, channels), dtype=x.dtype)
        padded[:, pad_h : pad_h + height, pad_w : pad_w + width] = x
        columns = np.empty((batch, out_h, out_w, kernel_h, kernel_w, channels), dtype=x.dtype)
        for i in range(kernel_h):
            for j in range(kernel_w):
                columns[:, :, :, i, j] = padded[:, i : i + out_h * stride : stride, j : j + out_w * stride : stride]
        return columns.reshape(batch, out_h, out_w, kernel_h * kernel_w * channels)

    def conv2d(self, x: Array, w: Array, stride: int, padding: Pair) -> Array:
        """Y = X * W."""
        kernel_h, kernel_w, _, filters = w.shape
        out_h = conv_size(x.shape[1], kernel_h, stride, padding[0])
        out_w = conv_size(x.shape[2], kernel_w, stride, padding[1])
        out = np.empty((len(x), out_h, out_w, filters), dtype=x.dtype)
        matrix = w.reshape(-1, filters)

        def work(part: slice, rows: Array) -> None:
            np.matmul(rows, matrix, out=out[part].reshape(-1, filters))

        self._for_rows(work, x, (kernel_h, kernel_w), stride, padding)
        return out

    def conv2d_input_gradient(self, g: Array, w: Array, shape: tuple[int, ...], stride: int, padding: Pair) -> Array:
        """dL/dX, of the given shape."""
        kernel_h, kernel_w, _, filters = w.shape
        if keeps_order(w.shape, stride, padding):
            return self.conv2d(g, turned_round(w), 1, way_back(w.shape, padding))
        dx = np.empty(shape, dtype=g.dtype)
        matrix = w.reshape(-1, filters).T

        def work(part: slice) -> None:
            columns = (g[part].reshape(-1, filters) @ matrix).reshape(*g[part].shape[:3], -1)
            dx[part] = col2im(columns, dx[part].shape, (kernel_h, kernel_w), stride, padding)

        for_parts(work, len(g), -(-g.size // filters * matrix.shape[1] * g.itemsize // ROWS_BYTES))
        return dx

    def conv2d_weight_gradient(self, x: Array, g: Array, shape: tuple[int, ...], stride: int, padding: Pair) -> Array:
        """dL/dW, of the given shape."""
        kernel_h, kernel_w, channels, filters = shape
        kernel = kernel_h, kernel_w
        if keeps_order(shape, stride, padding):

            def from_g(part: slice, rows: Array) -> Array:
                return np.asarray(x[part].reshape(-1, channels).T @ rows)

            dw = in_order(self._for_rows(from_g, g, kernel, 1, way_back(shape, padding)))
            dw = dw.reshape(channels, kernel_h, kernel_w, filters)[:, ::-1, ::-1].transpose(1, 2, 0, 3)
            return np.ascontiguousarray(dw)

        def from_x(part: slice, rows: Array) -> Array:
            return np.asarray(rows.T @ g[part].reshape(-1, filters))

        return in_order(self._for_rows(from_x, x, kernel, stride, padding)).reshape(shape)

    def _for_rows(
        self, work: Callable[[slice, Array], T], x: Array, kernel: Pair, stride: int, padding: Pair
    ) -> list[T]:
        """Results of work(slice of the batch, its neighbourhoods as a matrix (pixels, kH kW C)) for all, on threads."""
        row = kernel[0] * kernel[1] * x.shape[-1]
        out_h = conv_size(x.shape[1], kernel[0], stride, padding[0])
        out_w = conv_size(x.shape[2], kernel[1], stride, padding[1])

        def gather(part: slice) -> T:
            if kernel == (1, 1) and stride == 1 and padding == (0, 0):
                return work(part, np.ascontiguousarray(x[part]).reshape(-1, row))  # the pixels are the rows
            return work(part, self.im2col(x[part], kernel, stride, padding).reshape(-1, row))

        return for_parts(gather, len(x), -(-len(x) * out_h * out_w * row * x.itemsize // ROWS_BYTES))


def col2im(columns: Array, shape: tuple[int, ...], kernel: Pair, stride: int, padding: Pair) -> Array:
    """Transpose of `im2col`: every neighbourhood added back to the pixels it was read from."""
    batch, height, width, channels = shape
    out_h, out_w = columns.shape[1:3]
    pad_h, pad_w = padding
    columns = columns.reshape(batch, out_h, out_w, *kernel, channels)
    padded = np.zeros((batch, height + 2 * pad_h, width + 2 * pad_w, channels), dtype=columns.dtype)
    for i in range(kernel[0]):
        for j in range(kernel[1]):
            padded[:, i : i + out_h * stride : stride, j : j + out_w * stride : stride] += columns[:, :, :, i, j]
    return padded[:, pad_h : pad_h + height, pad_w : pad_w + width]


def keeps_order(shape: tuple[int, ...], stride: int, padding: Pair) -> bool:
    """Whether the way back through a convolution with filters of this shape is a convolution of stride 1 itself."""
    return stride == 1 and max(padding) < min(shape[:2])


def turned_round(w: Array) -> Array:
    """Filters of that way back: taps in reverse order, channels for filters."""
    return np.ascontiguousarray(w[::-1, ::-1].transpose(0, 1, 3, 2))


def way_back(shape: tuple[int, ...], padding: Pair) -> Pair:
    """Its padding."""
    return shape[0] - 1 - padding[0], shape[1] - 1 - padding[1]


def in_order(parts: list[Array]) -> Array:
    """Sum of partial results, in order: the same rounding whatever the number of threads."""
    total, *rest = parts
    for part in rest:
        total = total + part
    return total
