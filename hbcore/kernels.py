"""The face of the compiled kernels: checks, threads, and NumPy where there is no compiler.

The bitwise functions are those of hbcore.bits, equal to the bit; the real-valued ones those of hbcore.arrays, equal to
rounding. Without the extension (no compiler at install time) NumPy does the work and one warning says so.
"""

from __future__ import annotations

import math
import os
import warnings

import numpy as np
from numpy.typing import NDArray

from hbcore import arrays, bits
from hbcore.arrays import Array
from hbcore.bits import Words, conv_size
from hbcore.threads import for_slices, scratch

try:
    from hbcore import _kernels
except ImportError as error:
    if os.environ.get("HBCORE_REQUIRE_KERNELS"):
        raise
    _kernels = None  # type: ignore[assignment]
    warnings.warn(
        f"hbcore runs without its compiled kernels ({error}): same results, several times slower. "
        "Install a C compiler and reinstall hbcore.",
        RuntimeWarning,
        stacklevel=2,
    )


# The winner of a window is the place of a pixel, at most 255, in one byte.
MAX_WINDOW = 16


def kernel_report() -> dict[str, str]:
    """Which implementation of the kernels is in use, for logs and bug reports."""
    return {"kernels": "numpy" if _kernels is None else "cython"}


def _rows(x: Array) -> Array:
    """x as a contiguous matrix (pixels, channels)."""
    return np.ascontiguousarray(x).reshape(math.prod(x.shape[:-1]), x.shape[-1])


def _item_bytes(x: Array) -> int:
    """Memory of one item of x, also where x has none."""
    return math.prod(x.shape[1:]) * x.itemsize


# ------------------------------------------------------------------------------------------------------ bits


def sign(x: Array) -> Array:
    """Binary sign, see :func:`hbcore.bits.sign`."""
    if _kernels is None:
        return bits.sign(x)
    flat = np.ascontiguousarray(x).reshape(-1)
    out = np.empty_like(flat)
    _require_no_nan(for_slices(lambda s: _kernels.sign(flat[s], out[s]), len(flat), 2 * flat.itemsize))
    return out.reshape(x.shape)


def sign_backward(x: Array, grad: Array) -> Array:
    """Clipped straight-through estimator: grad where -1 < x < 1, else 0."""
    if _kernels is None:
        return np.where(np.abs(x) < 1, grad, grad.dtype.type(0))
    flat, g = np.ascontiguousarray(x).reshape(-1), np.ascontiguousarray(grad).reshape(-1)
    out = np.empty_like(g)
    for_slices(lambda s: _kernels.sign_backward(flat[s], g[s], out[s]), len(flat), 3 * flat.itemsize)
    return out.reshape(x.shape)


def pack_signs(x: Array) -> Words:
    """Signs packed along the last axis, see :func:`hbcore.bits.pack_signs`."""
    if _kernels is None or x.size == 0:
        return bits.pack_signs(x)
    rows = _rows(x)
    out = np.empty((len(rows), bits.word_count(x.shape[-1])), dtype=np.uint64)
    _require_no_nan(for_slices(lambda s: _kernels.pack_signs(rows[s], out[s]), len(rows), _item_bytes(rows)))
    return out.reshape(*x.shape[:-1], out.shape[1])


def binary_conv2d(x: Words, w: Words, channels: int, stride: int = 1, padding: int = 0) -> NDArray[np.int32]:
    """Binary convolution of packed signs, see :func:`hbcore.bits.binary_conv2d`; w: (O, kH, kW, words)."""
    batch, height, width, words = x.shape
    filters, kernel_h, kernel_w, filter_words = w.shape
    if words != filter_words or words != bits.word_count(channels):
        raise ValueError(
            f"{channels} channels need {bits.word_count(channels)} words: activations have {words}, "
            f"filters have {filter_words}"
        )
    out_h, out_w = conv_size(height, kernel_h, stride, padding), conv_size(width, kernel_w, stride, padding)
    if _kernels is None or x.size == 0:
        return bits.binary_conv2d(x, w, channels, stride, padding)
    x = np.ascontiguousarray(x)
    side_by_side = np.ascontiguousarray(w.transpose(1, 2, 3, 0))  # (kH, kW, words, O)
    out = np.empty((batch, out_h, out_w, filters), dtype=np.int32)
    # Rows of the whole batch, not pictures, would balance better, but pictures keep the kernel's borders simple.
    work = out[0].size * kernel_h * kernel_w * words
    for_slices(lambda s: _kernels.binary_conv2d(x[s], side_by_side, channels, stride, padding, out[s]), batch, work)
    return out


def _require_no_nan(parts: list[bool]) -> None:
    if not all(parts):
        raise FloatingPointError("NaN has no sign: the input of a binary layer holds NaN")


# ----------------------------------------------------------------------------------------------------- reals


def im2col(x: Array, kernel: tuple[int, int], stride: int, padding: tuple[int, int]) -> Array:
    """Neighbourhoods as rows, see :func:`hbcore.arrays.im2col`; valid until this thread's next call.

    Not cut into slices: convolutions call it from theirs.
    """
    if _kernels is None:
        return arrays.im2col(x, kernel, stride, padding)
    batch, height, width, channels = x.shape
    out_h = conv_size(height, kernel[0], stride, padding[0])
    out_w = conv_size(width, kernel[1], stride, padding[1])
    out = scratch((batch, out_h, out_w, kernel[0] * kernel[1] * channels), x.dtype)
    _kernels.im2col(np.ascontiguousarray(x), *kernel, stride, *padding, out)
    return out


def moments(x: Array) -> tuple[Array, Array, int]:
    """Mean and (biased) variance per channel over all pixels, in float64, and the number of pixels."""
    rows = _rows(x)
    if len(rows) == 0:
        raise ValueError(f"an array of shape {x.shape} has no pixels to take the mean of")
    origin = rows[0].copy()

    def work(part: slice) -> tuple[Array, Array]:
        if _kernels is None:
            return arrays.moments(rows[part], origin)
        sums, squares = np.zeros(len(origin)), np.zeros(len(origin))
        _kernels.moments(rows[part], origin, sums, squares)
        return sums, squares

    sums, squares = _sum_pairs(for_slices(work, len(rows), _item_bytes(rows)))
    distance = sums / len(rows)
    return origin + distance, squares / len(rows) - distance * distance, len(rows)


def affine(x: Array, scale: Array, shift: Array) -> Array:
    """scale x + shift, per channel."""
    rows = _rows(x)
    if _kernels is None:
        return arrays.affine(rows, scale, shift).reshape(x.shape)
    out = np.empty_like(rows)
    for_slices(lambda s: _kernels.affine(rows[s], scale, shift, out[s]), len(rows), 2 * _item_bytes(rows))
    return out.reshape(x.shape)


def norm_sums(x: Array, grad: Array, mean: Array) -> tuple[Array, Array]:
    """Sums over pixels of g and of g (x - mean), in float64."""
    rows, g = _rows(x), _rows(grad)

    def work(part: slice) -> tuple[Array, Array]:
        if _kernels is None:
            return arrays.norm_sums(rows[part], g[part], mean)
        sums, products = np.zeros(len(mean)), np.zeros(len(mean))
        _kernels.norm_sums(rows[part], g[part], mean, sums, products)
        return sums, products

    return _sum_pairs(for_slices(work, len(rows), 2 * _item_bytes(rows)))


def _sum_pairs(parts: list[tuple[Array, Array]]) -> tuple[Array, Array]:
    """Sums of the first and of the second arrays, in order: the same rounding whatever the number of threads."""
    (first, second), *others = parts
    for a, b in others:
        first, second = first + a, second + b
    return first, second


def norm_backward(x: Array, grad: Array, a: Array, b: Array, c: Array) -> Array:
    """a g + b x + c, per channel."""
    rows, g = _rows(x), _rows(grad)
    if _kernels is None:
        return arrays.norm_backward(rows, g, a, b, c).reshape(x.shape)
    out = np.empty_like(g)
    for_slices(lambda s: _kernels.norm_backward(rows[s], g[s], a, b, c, out[s]), len(rows), 3 * _item_bytes(rows))
    return out.reshape(x.shape)


def max_pool(x: Array, size: int) -> tuple[Array, NDArray[np.uint8]]:
    """Largest value of each window and its place in the window, see :func:`hbcore.arrays.max_pool`."""
    n, h, w, c = x.shape
    if h % size or w % size:
        raise ValueError(f"windows of {size} x {size} do not tile a picture of {h} x {w}")
    if size > MAX_WINDOW:
        raise ValueError(f"windows for the maximum are at most {MAX_WINDOW} x {MAX_WINDOW}, got {size} x {size}")
    if _kernels is None:
        return arrays.max_pool(x, size)
    x = np.ascontiguousarray(x)
    out = np.empty((n, h // size, w // size, c), dtype=x.dtype)
    winner = np.empty(out.shape, dtype=np.uint8)
    if not all(for_slices(lambda s: _kernels.max_pool(x[s], size, out[s], winner[s]), n, _item_bytes(x))):
        return arrays.max_pool(x, size)  # NaN: a rare case that the slow way passes on
    return out, winner


def max_pool_backward(grad: Array, winner: NDArray[np.uint8], size: int) -> Array:
    """Each window's gradient goes to its winner, see :func:`hbcore.arrays.max_pool_backward`."""
    if _kernels is None:
        return arrays.max_pool_backward(grad, winner, size)
    grad = np.ascontiguousarray(grad)
    n, h, w, c = grad.shape
    out = np.empty((n, h * size, w * size, c), dtype=grad.dtype)
    for_slices(lambda s: _kernels.max_pool_backward(grad[s], winner[s], size, out[s]), n, _item_bytes(out))
    return out
