"""The face of the compiled kernels: checks, threads, and NumPy where there is no compiler.

The bitwise functions are those of hbcore.bits, equal to the bit; the real-valued ones those of hbcore.arrays, equal to
rounding. Three variants do the work: "numpy" (no compiler at install time; one warning says so), "cython" (plain loops)
and, in float32 on a CPU that has them, wide registers ("avx2"). The environment variable HBCORE_KERNELS forces one.
"""

from __future__ import annotations

import math
import os
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from hbcore import bits
from hbcore.bits import Words, conv_size
from hbcore.kernels import arrays
from hbcore.kernels.arrays import Array
from hbcore.threads import for_slices, on_thread_count, scratch

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


def _choose_variant() -> str:
    """The variant that HBCORE_KERNELS names, else the fastest."""
    wanted = os.environ.get("HBCORE_KERNELS") or None
    if wanted == "numpy" or (_kernels is None and wanted is None):
        return "numpy"
    if _kernels is not None:
        found: str | None = None if wanted == "cython" else _kernels.choose_wide(wanted)
        if found is not None or wanted in (None, "cython"):
            on_thread_count(_kernels.set_threads)
            return found or "cython"
    raise ImportError(f"HBCORE_KERNELS={wanted}: this build or this CPU has no such kernels; unset it for the best")


_variant = _choose_variant()
if _variant == "numpy":
    _kernels = None  # type: ignore[assignment]


def wide(*operands: Array) -> bool:
    """Whether there are wide kernels that can take these operands: they know float32 only, and nothing empty."""
    if _kernels is None or _variant == "cython":
        return False
    for x in operands:  # noqa: SIM110 (a loop: this is asked some hundred times in a step)
        if x.size == 0 or (x.dtype != _FLOAT32 and x.dtype != _UINT64):
            return False
    return True


_FLOAT32, _UINT64 = np.dtype(np.float32), np.dtype(np.uint64)

# Arrays of one number per filter are padded to a multiple of this (csrc/kernels.h, HB_PAD).
PAD = 32

# The winner of a window is the place of a pixel, at most 255, in one byte.
MAX_WINDOW = 16


def kernel_report() -> dict[str, str]:
    """Which implementation of the kernels is in use, for logs and bug reports."""
    return {"kernels": "numpy" if _kernels is None else _variant}


def keep_memory() -> None:
    """Let this process keep the memory that it frees (up to 1 GiB, with glibc) and use it again: for training loops.

    Every step makes the same large arrays; by default each is asked from the system anew, page by page.
    """
    if _kernels is not None:
        _kernels.keep_memory()


def popcount_ceiling(repeats: int = 9) -> float:
    """Binary multiply-accumulates per second of one core that only counts bits, in registers: for benchmarks."""
    if not wide():
        raise RuntimeError(f"the ceiling is that of wide kernels, but hbcore runs with {kernel_report()['kernels']}")
    rates = []
    for _ in range(repeats):
        start = time.perf_counter()
        done = _kernels.wide_count(200_000)
        rates.append(done / (time.perf_counter() - start))
    return sorted(rates)[repeats // 2]


def _rows(x: Array) -> Array:
    """x as a contiguous matrix (pixels, channels)."""
    if x.size and x.flags.c_contiguous:
        return x.reshape(-1, x.shape[-1])
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
    _require_words(x, w, channels)
    batch, height, width, words = x.shape
    filters, kernel_h, kernel_w, _ = w.shape
    out_h, out_w = conv_size(height, kernel_h, stride, padding), conv_size(width, kernel_w, stride, padding)
    if _kernels is None or x.size == 0:
        return bits.binary_conv2d(x, w, channels, stride, padding)
    x = np.ascontiguousarray(x)
    transposed = np.ascontiguousarray(w.transpose(1, 2, 3, 0))  # (kH, kW, words, O)
    out = np.empty((batch, out_h, out_w, filters), dtype=np.int32)
    # Rows of the whole batch, not pictures, would balance better, but pictures keep the kernel's borders simple.
    work = out[0].size * kernel_h * kernel_w * words
    for_slices(lambda s: _kernels.binary_conv2d(x[s], transposed, channels, stride, padding, out[s]), batch, work)
    return out


def scaled_binary_conv2d(x: Words, w: Words, alpha: Array, channels: int, stride: int = 1, padding: int = 0) -> Array:
    """alpha (x * w): :func:`binary_conv2d`, then scaled per filter; alpha (O,) gives the type of the result."""
    if not wide(x, w, alpha):
        return binary_conv2d(x, w, channels, stride, padding).astype(alpha.dtype) * alpha
    _require_words(x, w, channels)
    return _scaled_binary_conv2d(x, np.ascontiguousarray(w.transpose(1, 2, 3, 0)), alpha, channels, stride, padding)


def sign_conv2d(x: Words, w: Array, alpha: Array, padding: int) -> Array:
    """alpha (x * sign(w)) for packed signs x and real w (kH, kW, C, O). Wide kernels only."""
    return _scaled_binary_conv2d(x, side_by_side(w), alpha, w.shape[2], 1, padding)


def side_by_side(w: Array) -> Words:
    """Signs of filters (kH, kW, C, O), packed along C, as the wide kernels read them: (kH, kW, words, O)."""
    kernel_h, kernel_w, channels, filters = w.shape
    out = np.zeros((kernel_h, kernel_w, bits.word_count(channels), filters), dtype=np.uint64)
    taps = kernel_h * kernel_w
    _require_no_nan([_kernels.pack_columns(_rows(w).reshape(taps, channels, filters), out.reshape(taps, -1, filters))])
    return out


def _scaled_binary_conv2d(x: Words, w: Words, alpha: Array, channels: int, stride: int, padding: int) -> Array:
    """The same for filters side by side (kH, kW, words, O)."""
    out_h = conv_size(x.shape[1], w.shape[0], stride, padding)
    out_w = conv_size(x.shape[2], w.shape[1], stride, padding)
    out = np.empty((len(x), out_h, out_w, w.shape[3]), dtype=np.float32)
    _kernels.wide_binary_conv2d(np.ascontiguousarray(x), w, channels, padded(alpha), stride, padding, out)
    return out


def padded(numbers: Array) -> Array:
    """One number per filter, followed by zeros up to a multiple of PAD, as the wide kernels read them."""
    out = np.zeros(-(-len(numbers) // PAD) * PAD, dtype=np.float32)
    out[: len(numbers)] = numbers
    return out


def new_plan() -> _kernels.Plan:
    """An empty list of steps for hbcore.deploy. RuntimeError without wide kernels."""
    if not wide():
        raise RuntimeError(f"deployment needs wide kernels, but hbcore runs with {kernel_report()['kernels']} kernels")
    return _kernels.Plan()


def _require_words(x: Words, w: Words, channels: int) -> None:
    words = bits.word_count(channels)
    if x.shape[3] != words or w.shape[3] != words:
        raise ValueError(
            f"{channels} channels need {words} words: activations have {x.shape[3]}, filters have {w.shape[3]}"
        )


def norm_sign(x: Array, scale: Array, shift: Array) -> tuple[Words, Words]:
    """For v = scale x + shift: packed signs of v, and packed bits of -1 < v < 1 (1 where it holds); (..., words).

    Wide kernels only, see :func:`wide`.
    """
    rows = _rows(x)
    signs = np.empty((len(rows), bits.word_count(rows.shape[1])), dtype=np.uint64)
    window = np.empty_like(signs)
    _require_no_nan([_kernels.wide_norm_sign(rows, scale, shift, signs, window)])
    shape = (*x.shape[:-1], signs.shape[1])
    return signs.reshape(shape), window.reshape(shape)


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


def conv2d(x: Array, w: Array, stride: int, padding: tuple[int, int]) -> Array:
    """(N, H, W, C) * (kH, kW, C, O) -> (N, Ho, Wo, O). Wide kernels only, see :func:`wide`."""
    out_h = conv_size(x.shape[1], w.shape[0], stride, padding[0])
    out_w = conv_size(x.shape[2], w.shape[1], stride, padding[1])
    out = np.empty((len(x), out_h, out_w, w.shape[3]), dtype=np.float32)
    _kernels.wide_conv2d(np.ascontiguousarray(x), np.ascontiguousarray(w), stride, *padding, out)
    return out


def turned_round(w: Array) -> Array:
    """Filters of the way back through a convolution of stride 1: taps in reverse order, channels for filters."""
    return w[::-1, ::-1].transpose(0, 1, 3, 2)


def conv2d_weight_gradient(
    x: Array | Words, g: Array, shape: tuple[int, ...], stride: int, padding: tuple[int, int]
) -> Array:
    """dL/dW of the given shape (kH, kW, C, O) for g = dL/dY; x as numbers or as packed signs. Wide kernels only."""
    out = np.empty(shape, dtype=np.float32)
    x, g = np.ascontiguousarray(x), np.ascontiguousarray(g)
    numbers: Array | None = x if x.dtype == np.float32 else None
    _kernels.wide_weight_gradient(numbers, x if numbers is None else None, shape[2], g, stride, *padding, out)
    return out


GRADIENTS = "float32", "int8"
_gradients = "float32"


@contextmanager
def gradients_in(kind: str) -> Iterator[None]:
    """How the wide kernels take binary convolutions back in here: in "float32", or in "int8", about twice as fast.

    In int8 the gradient of a result is first rounded to one of 255 steps, in small groups that each have a step of
    their own (csrc/gradients.h); what follows are exact sums of integers. On gradients like those of training, the
    gradient of the signs then differs from float32's by about 0.6 % of its own size, that of the filters by 1.6 %, at
    random (docs/speed.md). Other kernels know float32 only. Raises ValueError for another kind.
    """
    global _gradients
    if kind not in GRADIENTS:
        raise ValueError(f"gradients are computed in {' or '.join(GRADIENTS)}, not in {kind!r}")
    before, _gradients = _gradients, kind
    try:
        yield
    finally:
        _gradients = before


def sign_gradient(g: Array, w: Array, alpha: Array, padding: int) -> Array:
    """dL/dS of Y = alpha (S * sign(W)), stride 1, for g = dL/dY. Wide kernels only."""
    reach = w.shape[0] - 1 - padding, w.shape[1] - 1 - padding
    if _gradients == "float32":
        return conv2d(g, turned_round(sign(w) * alpha), 1, reach)
    height, width = (size + 2 * r - k + 1 for size, r, k in zip(g.shape[1:3], reach, w.shape[:2], strict=True))
    out = np.empty((len(g), height, width, w.shape[2]), dtype=np.float32)
    _kernels.wide_sign_gradient(_in_rows(g), np.ascontiguousarray(w), padded(alpha), *reach, out)
    return out


def filter_gradient(s: Words, g: Array, shape: tuple[int, ...], padding: int) -> Array:
    """dL/dW~ of Y = S * W~ for packed signs, stride 1, for g = dL/dY. Wide kernels only."""
    if _gradients == "float32":
        return conv2d_weight_gradient(s, g, shape, 1, (padding, padding))
    out = np.empty(shape, dtype=np.float32)
    _kernels.wide_filter_gradient(s, _in_rows(g), padding, padding, out)
    return out


def _in_rows(x: Array) -> Array:
    """x (N, H, W, C), copied unless its pixels are contiguous and lie at one distance from each other."""
    batch, row, pixel, number = x.strides
    even = number == x.itemsize and row == x.shape[2] * pixel and batch == x.shape[1] * row
    return x if even else np.ascontiguousarray(x)


def moments(x: Array) -> tuple[Array, Array, int]:
    """Mean and (biased) variance per channel over all pixels, in float64, and the number of pixels."""
    rows = _rows(x)
    if len(rows) == 0:
        raise ValueError(f"an array of shape {x.shape} has no pixels to take the mean of")
    origin = rows[0].copy()
    if wide(rows):
        total, squared = np.zeros(len(origin)), np.zeros(len(origin))
        _kernels.wide_moments(rows, origin, total, squared)
        return _from_sums(origin, total, squared, len(rows))

    def work(part: slice) -> tuple[Array, Array]:
        if _kernels is None:
            return arrays.moments(rows[part], origin)
        sums, squares = np.zeros(len(origin)), np.zeros(len(origin))
        _kernels.moments(rows[part], origin, sums, squares)
        return sums, squares

    sums, squares = _sum_pairs(for_slices(work, len(rows), _item_bytes(rows)))
    return _from_sums(origin, sums, squares, len(rows))


def _from_sums(origin: Array, sums: Array, squares: Array, count: int) -> tuple[Array, Array, int]:
    distance = sums / count
    return origin + distance, squares / count - distance * distance, count


def affine(x: Array, scale: Array, shift: Array) -> Array:
    """scale x + shift, per channel."""
    rows = _rows(x)
    if _kernels is None:
        return arrays.affine(rows, scale, shift).reshape(x.shape)
    out = np.empty_like(rows)
    for_slices(lambda s: _kernels.affine(rows[s], scale, shift, out[s]), len(rows), 2 * _item_bytes(rows))
    return out.reshape(x.shape)


def norm_sums(x: Array, grad: Array, mean: Array, window: Words | None = None) -> tuple[Array, Array]:
    """Sums over pixels of g and of g (x - mean), in float64; g counts as 0 outside the window (wide kernels only)."""
    rows, g = _rows(x), _rows(grad)
    if wide(rows, g):
        first, second = np.zeros(len(mean)), np.zeros(len(mean))
        bits_in = None if window is None else window.reshape(len(rows), -1)
        _kernels.wide_norm_sums(rows, g, bits_in, mean, first, second)
        return first, second

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


def norm_backward(x: Array, grad: Array, a: Array, b: Array, c: Array, window: Words | None = None) -> Array:
    """a g + b x + c, per channel. With a window (wide kernels only) g counts as 0 outside it, and takes the result."""
    rows, g = _rows(x), _rows(grad)
    if wide(rows, g):
        wide_out = np.empty_like(g) if window is None else g
        bits_in = None if window is None else window.reshape(len(rows), -1)
        _kernels.wide_norm_backward(rows, g, bits_in, a, b, c, wide_out)
        return wide_out.reshape(x.shape)
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
    if size == 2 and wide(x):
        whole = _kernels.wide_max_pool(x, out, winner)
    else:
        whole = all(for_slices(lambda s: _kernels.max_pool(x[s], size, out[s], winner[s]), n, _item_bytes(x)))
    if not whole:
        return arrays.max_pool(x, size)  # NaN: a rare case that the slow way passes on
    return out, winner


def max_pool_backward(grad: Array, winner: NDArray[np.uint8], size: int) -> Array:
    """Each window's gradient goes to its winner, see :func:`hbcore.arrays.max_pool_backward`."""
    if _kernels is None:
        return arrays.max_pool_backward(grad, winner, size)
    grad = np.ascontiguousarray(grad)
    n, h, w, c = grad.shape
    out = np.empty((n, h * size, w * size, c), dtype=grad.dtype)
    if size == 2 and wide(grad):
        _kernels.wide_max_pool_backward(grad, winner, out)
        return out
    for_slices(lambda s: _kernels.max_pool_backward(grad[s], winner[s], size, out[s]), n, _item_bytes(out))
    return out


def mean_magnitude(w: Array) -> Array:
    """Mean of |W| of each filter: (..., O) -> (O,)."""
    if _kernels is None:
        return np.asarray(np.abs(w).mean(axis=tuple(range(w.ndim - 1))))
    rows = _rows(w)
    out = np.empty(rows.shape[1], dtype=w.dtype)
    _kernels.mean_magnitude(rows, out)
    return out


def latent_gradient(dw: Array, w: Array, alpha: Array) -> Array:
    """dw (1 / n + alpha [-1 < w < 1]) with n weights in a filter, see hbcore.binary; changes and returns dw."""
    if _kernels is None:
        dw *= 1 / w.dtype.type(w[..., 0].size) + alpha * (np.abs(w) < 1)
    else:
        _kernels.latent_gradient(_rows(dw), _rows(w), alpha)
    return dw


def adam(
    w: Array,
    g: Array,
    mean: Array,
    square: Array,
    betas: tuple[float, float],
    step_size: float,
    correction: float,
    eps: float,
) -> None:
    """In place, see :class:`hbcore.optim.Adam`: one pass instead of a dozen, which matters for many small arrays."""
    b1, b2 = betas
    if _kernels is not None and all(x.flags.c_contiguous and x.dtype == w.dtype for x in (w, g, mean, square)):
        flat = w.reshape(-1), g.reshape(-1), mean.reshape(-1), square.reshape(-1)
        _kernels.adam(*flat, b1, b2, step_size, correction, eps)
        return
    mean *= b1
    mean += (1 - b1) * g
    square *= b2
    square += (1 - b2) * (g * g)
    w -= step_size * (mean / (np.sqrt(square / correction) + eps))


def rmsprop(w: Array, g: Array, square: Array, decay: float, lr: float, eps: float) -> None:
    """In place, see :class:`hbcore.optim.RMSprop`."""
    if _kernels is not None and all(x.flags.c_contiguous and x.dtype == w.dtype for x in (w, g, square)):
        _kernels.rmsprop(w.reshape(-1), g.reshape(-1), square.reshape(-1), decay, lr, eps)
        return
    square *= decay
    square += (1 - decay) * (g * g)
    w -= lr * (g / (np.sqrt(square) + eps))


# Below this, NumPy adds sooner than threads can be asked to.
ADD_SIZE = 1 << 15


def add(a: Array, b: Array, out: Array | None = None) -> Array:
    """a + b; on threads for large float32 (N, H, W, C) of one shape, or some channels of such."""
    if a.size < ADD_SIZE or a.ndim != 4 or a.shape != b.shape or not wide(a, b):
        return np.asarray(np.add(a, b, out=out))
    result = np.empty(a.shape, dtype=np.float32) if out is None else out
    if not _kernels.wide_add(a, b, result):
        np.add(a, b, out=result)
    return result
