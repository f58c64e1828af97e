"""Plain compiled loops (`_kernels.pyx`, `_pictures.pyx`), for any compiler, slices of a batch side by side."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from hbcore import _kernels, _pictures, bits
from hbcore.bits import Words, conv_size
from hbcore.kernels.convolutions import Array, Pair
from hbcore.kernels.pictures import Bytes
from hbcore.kernels.reference import (
    Reference,
    as_rows,
    masked,
    require_like,
    require_tiles,
    require_type,
    require_words,
)
from hbcore.threads import for_slices, scratch

NO_SIGN = "NaN has no sign: the input of a binary layer holds NaN"
REALS = np.dtype(np.float32), np.dtype(np.float64)


class Compiled(Reference):
    """What it does not override goes the reference's way."""

    name = "cython"

    def sign(self, x: Array) -> Array:
        require_reals(x=x)
        flat = np.ascontiguousarray(x).reshape(-1)
        out = np.empty_like(flat)
        require_no_nan(for_slices(lambda s: _kernels.sign(flat[s], out[s]), len(flat), 2 * flat.itemsize))
        return out.reshape(x.shape)

    def sign_backward(self, x: Array, grad: Array) -> Array:
        require_reals(x=x, grad=grad)
        require_like(x, grad=grad)
        flat, g = np.ascontiguousarray(x).reshape(-1), np.ascontiguousarray(grad).reshape(-1)
        out = np.empty_like(g)
        for_slices(lambda s: _kernels.sign_backward(flat[s], g[s], out[s]), len(flat), 3 * flat.itemsize)
        return out.reshape(x.shape)

    def pack_signs(self, x: Array) -> Words:
        require_reals(x=x)
        if x.size == 0:
            return super().pack_signs(x)
        rows = as_rows(x)
        out = np.empty((len(rows), bits.word_count(x.shape[-1])), dtype=np.uint64)
        require_no_nan(for_slices(lambda s: _kernels.pack_signs(rows[s], out[s]), len(rows), item_bytes(rows)))
        return out.reshape(*x.shape[:-1], out.shape[1])

    def pack_filters(self, w: Array) -> Words:
        require_reals(w=w)
        kernel_h, kernel_w, channels, filters = w.shape
        out = np.zeros((kernel_h, kernel_w, bits.word_count(channels), filters), dtype=np.uint64)
        taps = kernel_h * kernel_w
        signs = np.ascontiguousarray(w).reshape(taps, channels, filters)
        require_no_nan([_kernels.pack_columns(signs, out.reshape(taps, -1, filters))])
        return out

    def binary_conv2d(self, x: Words, w: Words, channels: int, stride: int = 1, padding: int = 0) -> NDArray[np.int32]:
        require_words(x, w, channels)
        if x.size == 0:
            return super().binary_conv2d(x, w, channels, stride, padding)
        x, w = np.ascontiguousarray(x), np.ascontiguousarray(w)
        out = np.empty(out_shape(x, w, stride, (padding, padding)), dtype=np.int32)
        # Rows of the whole batch, not pictures, would balance better, but pictures keep the kernel's borders simple.
        work = out[0].size * math.prod(w.shape[:3])
        for_slices(lambda s: _kernels.binary_conv2d(x[s], w, channels, stride, padding, out[s]), len(x), work)
        return out

    def mean_magnitude(self, w: Array) -> Array:
        require_reals(w=w)
        rows = as_rows(w)
        out = np.empty(rows.shape[1], dtype=w.dtype)
        _kernels.mean_magnitude(rows, out)
        return out

    def latent_gradient(self, dw: Array, w: Array, alpha: Array) -> Array:
        if not dw.flags.c_contiguous:
            return super().latent_gradient(dw, w, alpha)
        require_reals(dw=dw, w=w, alpha=alpha)
        _kernels.latent_gradient(as_rows(dw), as_rows(w), alpha)
        return dw

    def im2col(self, x: Array, kernel: Pair, stride: int, padding: Pair) -> Array:
        """In this thread's own memory. Not cut into slices: convolutions call it from theirs."""
        require_reals(x=x)
        out_h = conv_size(x.shape[1], kernel[0], stride, padding[0])
        out_w = conv_size(x.shape[2], kernel[1], stride, padding[1])
        out = scratch((len(x), out_h, out_w, kernel[0] * kernel[1] * x.shape[3]), x.dtype)
        _kernels.im2col(np.ascontiguousarray(x), *kernel, stride, *padding, out)
        return out

    def centred_sums(self, rows: Array, origin: Array) -> tuple[Array, Array]:
        require_reals(rows=rows, origin=origin)

        def work(part: slice) -> tuple[Array, Array]:
            sums, squares = np.zeros(len(origin)), np.zeros(len(origin))
            _kernels.centred_sums(rows[part], origin, sums, squares)
            return sums, squares

        return sum_pairs(for_slices(work, len(rows), item_bytes(rows)))

    def affine(self, x: Array, scale: Array, shift: Array) -> Array:
        require_reals(x=x, scale=scale, shift=shift)
        rows = as_rows(x)
        out = np.empty_like(rows)
        for_slices(lambda s: _kernels.affine(rows[s], scale, shift, out[s]), len(rows), 2 * item_bytes(rows))
        return out.reshape(x.shape)

    def norm_sums(self, x: Array, grad: Array, mean: Array, inside: Words | None = None) -> tuple[Array, Array]:
        require_reals(x=x, grad=grad, mean=mean)
        require_like(x, grad=grad)
        rows, g = as_rows(x), as_rows(masked(grad, inside))

        def work(part: slice) -> tuple[Array, Array]:
            sums, products = np.zeros(len(mean)), np.zeros(len(mean))
            _kernels.norm_sums(rows[part], g[part], mean, sums, products)
            return sums, products

        return sum_pairs(for_slices(work, len(rows), 2 * item_bytes(rows)))

    def norm_backward(self, x: Array, grad: Array, a: Array, b: Array, c: Array, inside: Words | None = None) -> Array:
        require_reals(x=x, grad=grad, a=a, b=b, c=c)
        require_like(x, grad=grad)
        rows, g = as_rows(x), as_rows(masked(grad, inside))
        out = np.empty_like(g)
        for_slices(lambda s: _kernels.norm_backward(rows[s], g[s], a, b, c, out[s]), len(rows), 3 * item_bytes(rows))
        return out.reshape(x.shape)

    def max_pool(self, x: Array, size: int) -> tuple[Array, NDArray[np.uint8]]:
        require_reals(x=x)
        require_tiles(x, size)
        x = np.ascontiguousarray(x)
        n, h, w, c = x.shape
        out = np.empty((n, h // size, w // size, c), dtype=x.dtype)
        winner = np.empty(out.shape, dtype=np.uint8)
        whole = for_slices(lambda s: _kernels.max_pool(x[s], size, out[s], winner[s]), n, item_bytes(x))
        # NaN: a rare case that the slow way passes on.
        return (out, winner) if all(whole) else super().max_pool(x, size)

    def max_pool_backward(self, grad: Array, winner: NDArray[np.uint8], size: int) -> Array:
        require_reals(grad=grad)
        require_type(np.uint8, winner=winner)
        require_like(grad, winner=winner)
        grad = np.ascontiguousarray(grad)
        n, h, w, c = grad.shape
        out = np.empty((n, h * size, w * size, c), dtype=grad.dtype)
        for_slices(lambda s: _kernels.max_pool_backward(grad[s], winner[s], size, out[s]), n, item_bytes(out))
        return out

    def adam(
        self, w: Array, g: Array, mean: Array, square: Array, betas: tuple[float, float], step_size: float,
        correction: float, eps: float,
    ) -> None:  # fmt: skip
        """One pass instead of a dozen, which matters for many small arrays."""
        require_like(w, g=g, mean=mean, square=square)
        if not alike(w, g, mean, square):
            return super().adam(w, g, mean, square, betas, step_size, correction, eps)
        require_reals(w=w)
        flat = w.reshape(-1), g.reshape(-1), mean.reshape(-1), square.reshape(-1)
        return _kernels.adam(*flat, *betas, step_size, correction, eps)

    def rmsprop(self, w: Array, g: Array, square: Array, decay: float, lr: float, eps: float) -> None:
        require_like(w, g=g, square=square)
        if not alike(w, g, square):
            return super().rmsprop(w, g, square, decay, lr, eps)
        require_reals(w=w)
        return _kernels.rmsprop(w.reshape(-1), g.reshape(-1), square.reshape(-1), decay, lr, eps)

    def warp(self, picture: Bytes, matrix: NDArray[np.float64], levels: Bytes, out: Bytes) -> Bytes:
        _pictures.warp(picture, np.ascontiguousarray(matrix), np.ascontiguousarray(levels), out)
        return out

    def weighted(self, picture: Bytes, first: NDArray[np.int64], weights: NDArray[np.int32], across: bool) -> Bytes:
        height, width, _ = picture.shape
        out = np.empty((height, len(first), 3) if across else (len(first), width, 3), dtype=np.uint8)
        rows = np.ascontiguousarray(picture)
        _pictures.weighted(rows, np.ascontiguousarray(first), np.ascontiguousarray(weights), across, out)
        return out


def out_shape(x: Array, w: Array, stride: int, padding: Pair) -> tuple[int, int, int, int]:
    """Shape of x * w."""
    out_h = conv_size(x.shape[1], w.shape[0], stride, padding[0])
    return len(x), out_h, conv_size(x.shape[2], w.shape[1], stride, padding[1]), w.shape[3]


def item_bytes(x: Array) -> int:
    """Memory of one item of x, also where x has none."""
    return math.prod(x.shape[1:]) * x.itemsize


def alike(w: Array, *others: Array) -> bool:
    """Whether all lie in one piece and are of w's type."""
    return all(x.flags.c_contiguous and x.dtype == w.dtype for x in (w, *others))


def require_reals(**arrays: Array) -> None:
    """TypeError unless the arrays, by name, are all in float32 or all in float64: what the loops are compiled for."""
    first = next(iter(arrays.values())).dtype
    require_type(first if first in REALS else np.float32, **arrays)


def sum_pairs(parts: list[tuple[Array, Array]]) -> tuple[Array, Array]:
    """Sums of the first and of the second arrays, in order: the same rounding whatever the number of threads."""
    (first, second), *others = parts
    for a, b in others:
        first, second = first + a, second + b
    return first, second


def require_no_nan(parts: list[bool]) -> None:
    """FloatingPointError unless every part of a kernel's work met numbers only."""
    if not all(parts):
        raise FloatingPointError(NO_SIGN)
