"""Wide registers and threads in C (`_wide.pyx`, csrc/), in float32: what takes most of the time, several times faster.

One kernel for every instruction set, chosen when the process starts. Where type or layout do not allow it, the
operation goes the way of the plain loops.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hbcore import _wide, bits
from hbcore.bits import Words
from hbcore.kernels.compiled import NO_SIGN, Compiled, out_shape, require_no_nan
from hbcore.kernels.convolutions import Array, Pair, keeps_order, way_back
from hbcore.kernels.reference import as_rows, require_like, require_numbers, require_tiles, require_type, require_words
from hbcore.kernels.units import Normalised, Unit

_FLOAT32, _UINT64 = np.dtype(np.float32), np.dtype(np.uint64)

# Below this, NumPy adds sooner than threads can be asked to.
ADD_SIZE = 1 << 15


class Wide(Compiled):
    """name: of the instruction set, which must be the one that `_wide` was told to use."""

    def __init__(self, name: str) -> None:
        self.name = name

    def scaled_binary_conv2d(
        self, x: Words, w: Words, alpha: Array, channels: int, stride: int = 1, padding: int = 0
    ) -> Array:
        if not fits(x, w, alpha):
            return super().scaled_binary_conv2d(x, w, alpha, channels, stride, padding)
        require_words(x, w, channels)
        out = np.empty(out_shape(x, w, stride, (padding, padding)), dtype=np.float32)
        x, w = np.ascontiguousarray(x), np.ascontiguousarray(w)
        _wide.binary_conv2d(x, w, channels, padded(alpha, w.shape[3]), stride, padding, out)
        return out

    def norm_sign(self, x: Array, scale: Array, shift: Array) -> tuple[Words, Words]:
        if not fits(x, scale, shift):
            return super().norm_sign(x, scale, shift)
        rows = as_rows(x)
        signs = np.empty((len(rows), bits.word_count(rows.shape[1])), dtype=np.uint64)
        inside = np.empty_like(signs)
        require_no_nan([_wide.norm_sign(rows, scale, shift, signs, inside)])
        shape = (*x.shape[:-1], signs.shape[1])
        return signs.reshape(shape), inside.reshape(shape)

    def norm_smooth(self, x: Array, scale: Array, shift: Array, half: float) -> Array:
        if not fits(x, scale, shift):
            return super().norm_smooth(x, scale, shift, half)
        rows = as_rows(x)
        out = np.empty_like(rows)
        _wide.norm_smooth(rows, scale, shift, half, out)
        return out.reshape(x.shape)

    def smooth_backward(self, s: Array, grad: Array, half: float) -> Array:
        if not in_pieces(s, grad):
            return super().smooth_backward(s, grad, half)
        require_like(s, grad=grad)
        _wide.smooth_backward(as_rows(s), as_rows(grad), half)
        return grad

    def sign_gradient(self, g: Array, w: Array, alpha: Array, padding: int, gradients: str = "float32") -> Array:
        if gradients == "float32" or not fits(g, w, alpha) or not keeps_order(w.shape, 1, (padding, padding)):
            return super().sign_gradient(g, w, alpha, padding, gradients)
        reach = way_back(w.shape, (padding, padding))
        height, width = (size + 2 * r - k + 1 for size, r, k in zip(g.shape[1:3], reach, w.shape[:2], strict=True))
        out = np.empty((len(g), height, width, w.shape[2]), dtype=np.float32)
        _wide.sign_gradient(in_rows(g), np.ascontiguousarray(w), padded(alpha, w.shape[3]), *reach, out)
        return out

    def filter_gradient(
        self, s: Words, g: Array, shape: tuple[int, ...], padding: int, gradients: str = "float32"
    ) -> Array:
        if not fits(s, g):
            return super().filter_gradient(s, g, shape, padding, gradients)
        require_type(np.uint64, s=s)
        if gradients == "float32":
            return self.conv2d_weight_gradient(s, g, shape, 1, (padding, padding))
        out = np.empty(shape, dtype=np.float32)
        _wide.filter_gradient(np.ascontiguousarray(s), in_rows(g), padding, padding, out)
        return out

    def conv2d(self, x: Array, w: Array, stride: int, padding: Pair) -> Array:
        if not fits(x, w):
            return super().conv2d(x, w, stride, padding)
        out = np.empty(out_shape(x, w, stride, padding), dtype=np.float32)
        _wide.conv2d(np.ascontiguousarray(x), None, np.ascontiguousarray(w), stride, *padding, out)
        return out

    def sign_conv2d(self, s: Words, w: Array, padding: int) -> Array:
        if not fits(s, w):
            return super().sign_conv2d(s, w, padding)
        require_type(np.uint64, s=s)
        out = np.empty(out_shape(s, w, 1, (padding, padding)), dtype=np.float32)
        _wide.conv2d(None, np.ascontiguousarray(s), np.ascontiguousarray(w), 1, padding, padding, out)
        return out

    def conv2d_weight_gradient(
        self, x: Array | Words, g: Array, shape: tuple[int, ...], stride: int, padding: Pair
    ) -> Array:
        """dL/dW, of the given shape; x as numbers or as packed signs."""
        if not fits(x, g):
            return super().conv2d_weight_gradient(x, g, shape, stride, padding)
        out = np.empty(shape, dtype=np.float32)
        x, g = np.ascontiguousarray(x), np.ascontiguousarray(g)
        numbers: Array | None = x if x.dtype == _FLOAT32 else None
        _wide.weight_gradient(numbers, x if numbers is None else None, shape[2], g, stride, *padding, out)
        return out

    def centred_sums(self, rows: Array, origin: Array) -> tuple[Array, Array]:
        if not fits(rows, origin):
            return super().centred_sums(rows, origin)
        sums, squares = np.zeros(len(origin)), np.zeros(len(origin))
        _wide.centred_sums(rows, origin, sums, squares)
        return sums, squares

    def norm_sums(self, x: Array, grad: Array, mean: Array, inside: Words | None = None) -> tuple[Array, Array]:
        if not fits(x, grad, mean):
            return super().norm_sums(x, grad, mean, inside)
        sums, products = np.zeros(len(mean)), np.zeros(len(mean))
        _wide.norm_sums(as_rows(x), as_rows(grad), mask_rows(inside), mean, sums, products)
        return sums, products

    def norm_backward(self, x: Array, grad: Array, a: Array, b: Array, c: Array, inside: Words | None = None) -> Array:
        if not fits(x, grad, a, b, c):
            return super().norm_backward(x, grad, a, b, c, inside)
        g = as_rows(grad)
        out = np.empty_like(g) if inside is None else g
        _wide.norm_backward(as_rows(x), g, mask_rows(inside), a, b, c, out)
        return out.reshape(x.shape)

    def prelu(self, x: Array, slope: Array) -> Array:
        if not fits(x, slope):
            return super().prelu(x, slope)
        rows = as_rows(x)
        out = np.empty_like(rows)
        _wide.prelu(rows, slope, out)
        return out.reshape(x.shape)

    def prelu_backward(self, x: Array, slope: Array, grad: Array) -> tuple[Array, Array]:
        if x.ndim != 4 or not fits(x, slope, grad):
            return super().prelu_backward(x, slope, grad)
        out, sums = np.empty(x.shape, dtype=np.float32), np.zeros(len(slope))
        _wide.prelu_backward(np.ascontiguousarray(x), slope, in_rows(grad), out, sums)
        return out, sums

    def max_pool(self, x: Array, size: int) -> tuple[Array, NDArray[np.uint8]]:
        if size != 2 or not fits(x):
            return super().max_pool(x, size)
        require_tiles(x, size)
        x = np.ascontiguousarray(x)
        n, h, w, c = x.shape
        out = np.empty((n, h // 2, w // 2, c), dtype=np.float32)
        winner = np.empty(out.shape, dtype=np.uint8)
        return (out, winner) if _wide.max_pool(x, out, winner) else super().max_pool(x, size)

    def max_pool_backward(self, grad: Array, winner: NDArray[np.uint8], size: int) -> Array:
        if size != 2 or not fits(grad):
            return super().max_pool_backward(grad, winner, size)
        require_type(np.uint8, winner=winner)
        n, h, w, c = grad.shape
        out = np.empty((n, h * 2, w * 2, c), dtype=np.float32)
        _wide.max_pool_backward(np.ascontiguousarray(grad), winner, out)
        return out

    def add(self, a: Array, b: Array, out: Array | None = None) -> Array:
        """On threads for large (N, H, W, C) of one shape, or some channels of such."""
        result = np.empty(a.shape, dtype=np.float32) if out is None else out
        if a.size < ADD_SIZE or a.ndim != 4 or a.shape != b.shape or not all_in_rows(a, b, result):
            return super().add(a, b, out)
        _wide.join(a, (b,), result)
        return result

    def join(self, skip: Array, parts: tuple[Array, ...]) -> Array:
        if skip.ndim != 4 or len(parts) > _wide.MOST_PARTS or not all_in_rows(skip, *parts):
            return super().join(skip, parts)
        out = np.empty(skip.shape, dtype=np.float32)
        _wide.join(skip, parts, out)
        return out

    def affine(self, x: Array, scale: Array, shift: Array) -> Array:
        if not (x.ndim == 4 and fits(scale, shift) and all_in_rows(x)):
            return super().affine(x, scale, shift)
        y = np.empty(x.shape, dtype=np.float32)
        _wide.affine(x, scale, shift, y)
        return y

    def rectify(self, x: Array) -> Array:
        if x.ndim != 4 or not all_in_rows(x):
            return super().rectify(x)
        y = np.empty(x.shape, dtype=np.float32)
        _wide.rectify(x, y)
        return y

    def where_above(self, x: Array, other: Array) -> Array:
        if x.ndim != 4 or not all_in_rows(x, other):
            return super().where_above(x, other)
        y = np.empty(x.shape, dtype=np.float32)
        _wide.where_above(x, other, y)
        return y

    def upsample(self, x: Array, size: int) -> Array:
        if size != 2 or not all_in_rows(x):
            return super().upsample(x, size)
        n, h, w, c = x.shape
        y = np.empty((n, 2 * h, 2 * w, c), dtype=np.float32)
        _wide.upsample(x, y)
        return y

    def sum_pool(self, x: Array, size: int) -> Array:
        if size != 2 or not all_in_rows(x):
            return super().sum_pool(x, size)
        require_tiles(x, size)
        n, h, w, c = x.shape
        y = np.empty((n, h // 2, w // 2, c), dtype=np.float32)
        _wide.sum_pool(x, y)
        return y

    def unit_forward(
        self, x: Array, gamma: Array, beta: Array, w: Array, eps: float, padding: int
    ) -> tuple[Array, Unit]:
        if not in_pieces(x, gamma, beta, w):
            return super().unit_forward(x, gamma, beta, w, eps, padding)
        made = _wide.unit_forward(x, gamma, beta, w, eps, padding)
        if made is None:
            raise FloatingPointError(NO_SIGN)
        y, signs, inside, alpha, rows = made
        mean, variance, r = rows
        return y, Unit(signs, inside, alpha, Normalised(mean, variance, r, x.size // x.shape[3]), rows)

    def unit_backward(
        self, unit: Unit, x: Array, gamma: Array, w: Array, padding: int, g: Array, gradients: str,
        so_far: Array | None = None,
    ) -> tuple[Array, Array, Array, Array]:  # fmt: skip
        bytes_back = gradients != "float32" and keeps_order(w.shape, 1, (padding, padding))
        if not (bytes_back and unit.rows is not None and in_pieces(x, gamma, w) and fits(g)):
            return super().unit_backward(unit, x, gamma, w, padding, g, gradients, so_far)
        more = None if so_far is None else in_rows(so_far)
        return _wide.unit_backward(
            x, gamma, w, padding, unit.signs, unit.inside, unit.alpha, unit.rows, in_rows(g), more
        )

    def new_plan(self) -> Any:
        return _wide.Plan()


def fits(*operands: Array) -> bool:
    """Whether wide kernels can take these: they know float32 (and packed bits) only, and nothing empty."""
    for x in operands:  # noqa: SIM110 (a loop: this is asked some hundred times in a step)
        if x.size == 0 or (x.dtype != _FLOAT32 and x.dtype != _UINT64):
            return False
    return True


def in_pieces(*operands: Array) -> bool:
    """Whether they fit, and each lies in one piece."""
    for x in operands:
        if not x.flags.c_contiguous:
            return False
    return fits(*operands)


def padded(alpha: Array, filters: int) -> Array:
    """One number per filter, followed by zeros up to a multiple of _wide.PAD, as the wide kernels read them."""
    require_numbers(filters, alpha=alpha)
    out = np.zeros(-(-filters // _wide.PAD) * _wide.PAD, dtype=np.float32)
    out[:filters] = alpha
    return out


def all_in_rows(*arrays: Array) -> bool:
    return fits(*arrays) and all(_wide.in_rows(x) for x in arrays)


def in_rows(x: Array) -> Array:
    """x (N, H, W, C), copied unless its pixels are contiguous and lie at one distance from each other."""
    return x if _wide.in_rows(x) else np.ascontiguousarray(x)


def mask_rows(inside: Words | None) -> Words | None:
    """Packed bits (..., words) as a matrix (pixels, words)."""
    return None if inside is None else inside.reshape(-1, inside.shape[-1])
