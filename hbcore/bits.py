"""The binary contract: what a bit means, how bits are packed, and what a product of bits is.

Everything that computes with bits (training, packed evaluation, every compiled kernel) obeys this file, and the tests
hold it as the oracle. It is plain NumPy, written to be read.

==================  ==================================================================================================
value of a bit      1 means -1 and 0 means +1, so a word of zeros is neutral: it stands for +1
sign                ``-1 if x < 0 else +1``; hence sign(0) = sign(-0.0) = +1, and the result is never ternary
NaN                 has no sign: :class:`FloatingPointError`, never a bit
bit order           channel ``64 * w + i`` is bit ``i`` (value ``2**i``) of word ``w``; words are uint64
tail                bits past the last channel are 0, in activations and weights alike, so they cancel in a xor
product             ``dot = K - 2 * popcount(a xor w)`` with K the true number of factors, never the padded one
zero padding        a tap outside the picture contributes 0: it is left out and K shrinks by its channels
==================  ==================================================================================================

Why the product holds: with a, w in {+1, -1}, ``a * w`` is -1 exactly where the bits differ. Of K factors, p differ, so
the sum is ``(K - p) - p``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hbcore.values import whole

Words = NDArray[np.uint64]
WORD = 64


def word_count(channels: int) -> int:
    """Words that hold ``channels`` bits."""
    return -(-channels // WORD)


def require_no_nan(x: NDArray[Any]) -> None:
    """Raise :class:`FloatingPointError` if any element of x is NaN.

    One dot product of x with itself: squares are never negative, so their sum is NaN only if an element is.
    """
    flat = x.ravel()
    with np.errstate(all="ignore"):
        if np.isnan(np.dot(flat, flat)):
            raise FloatingPointError("NaN has no sign: the input of a binary layer holds NaN")


def sign(x: NDArray[Any]) -> NDArray[Any]:
    """Binary sign of x: +1 or -1 in x's dtype and shape."""
    require_no_nan(x)
    return np.asarray(np.where(x < 0, x.dtype.type(-1), x.dtype.type(1)))


def pack_signs(x: NDArray[Any]) -> Words:
    """Signs of x, packed along the last axis: (..., C) real -> (..., word_count(C)) uint64."""
    require_no_nan(x)
    return pack_bits(x < 0)


def pack_bits(bits: NDArray[np.bool_]) -> Words:
    """Pack booleans along the last axis: (..., C) -> (..., word_count(C)) uint64, tail bits 0."""
    channels = bits.shape[-1]
    padded = np.zeros((*bits.shape[:-1], word_count(channels) * WORD), dtype=np.bool_)
    padded[..., :channels] = bits
    little_endian_bytes = np.packbits(padded, axis=-1, bitorder="little")
    return little_endian_bytes.view("<u8").astype(np.uint64, copy=False)


def unpack_bits(words: Words, channels: int) -> NDArray[np.bool_]:
    """Inverse of :func:`pack_bits`: (..., word_count(C)) uint64 -> (..., C) bool."""
    if words.shape[-1] != word_count(channels):
        raise ValueError(f"{channels} channels fill {word_count(channels)} words, got {words.shape[-1]}")
    little_endian_bytes = np.ascontiguousarray(words.astype("<u8", copy=False)).view(np.uint8)
    return np.unpackbits(little_endian_bytes, axis=-1, count=channels, bitorder="little").astype(np.bool_)


def unpack_signs(words: Words, channels: int) -> NDArray[np.int8]:
    """The +1 and -1 that packed words stand for: (..., word_count(C)) -> (..., C) int8."""
    return np.where(unpack_bits(words, channels), np.int8(-1), np.int8(1))


def binary_dot(a: Words, w: Words, count: int) -> NDArray[np.int32]:
    """Sum of ``count`` products of signs over the last axis, broadcasting the others."""
    differing = np.bitwise_count(a ^ w).sum(axis=-1, dtype=np.int64)
    return np.asarray(count - 2 * differing, dtype=np.int32)


def binary_conv2d(x: Words, w: Words, channels: int, stride: int = 1, padding: int = 0) -> NDArray[np.int32]:
    """Convolution of signs with signs, exact at the borders.

    x: (N, H, W, words) packed activations; w: (O, kH, kW, words) packed filters; channels: true channel count C.
    Returns (N, Ho, Wo, O) int32, each value the sum over the taps that lie inside the picture.
    """
    batch, height, width, _ = x.shape
    filters, kernel_h, kernel_w, _ = w.shape
    out_h = conv_size(height, kernel_h, stride, padding)
    out_w = conv_size(width, kernel_w, stride, padding)
    out = np.zeros((batch, out_h, out_w, filters), dtype=np.int32)
    for i in range(kernel_h):
        rows_out, rows_in = _inside(height, out_h, i, stride, padding)
        for j in range(kernel_w):
            columns_out, columns_in = _inside(width, out_w, j, stride, padding)
            taps = x[:, rows_in, columns_in, None, :]  # (N, h, w, 1, words)
            out[:, rows_out, columns_out] += binary_dot(taps, w[:, i, j], channels)
    return out


def conv_size(size: int, kernel: int, stride: int, padding: int) -> int:
    """Output length of a convolution along one axis; ValueError where nothing fits."""
    whole("stride", stride)
    whole("padding", padding, least=0)
    if kernel < 1:
        raise ValueError("w: a kernel has at least one tap")
    if size + 2 * padding < kernel:
        raise ValueError(f"a kernel of {kernel} does not fit into {size} pixels with padding {padding}")
    return (size + 2 * padding - kernel) // stride + 1


def _inside(size: int, out_size: int, tap: int, stride: int, padding: int) -> tuple[slice, slice]:
    """Output positions whose tap lies inside the picture, and the input positions that they read."""
    first = max(0, -((tap - padding) // stride))
    last = min(out_size - 1, (size - 1 + padding - tap) // stride)
    if last < first:
        return slice(0, 0), slice(0, 0)
    start = first * stride + tap - padding
    return slice(first, last + 1), slice(start, start + (last - first) * stride + 1, stride)
