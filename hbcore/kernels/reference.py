"""The table of operations, in plain NumPy: what every backend computes, and the oracle that tests hold them to.

A backend is this class, or a subclass that does some of it faster: `compiled.py` with plain loops, `wide.py` with wide
registers. Bits come out the same to the bit, reals to rounding. Pictures are (N, H, W, C), filters (kH, kW, C, O); an
array (..., C) holds one number per channel of every pixel. Some operations fuse several steps of training: here they
are written out as those steps. What their gradients mean is said where they are used, in `hbcore/binary`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from hbcore import bits
from hbcore.bits import Words
from hbcore.kernels.byte_gradients import in_bytes, pixel_blocks
from hbcore.kernels.convolutions import Array, Convolutions
from hbcore.kernels.pictures import Pictures
from hbcore.kernels.plan import Plan
from hbcore.kernels.units import Units
from hbcore.values import is_whole, whole

GRADIENTS = "float32", "int8"  # what binary convolutions can take back, see byte_gradients.py
MAX_WINDOW = 16  # the winner of a pooling window is the place of a pixel, at most 255, in one byte


class Reference(Convolutions, Pictures, Units):
    """Every operation. Named as `kernel_report` names it."""

    name = "numpy"

    # -------------------------------------------------------------------------------------------------- bits

    def sign(self, x: Array) -> Array:
        """-1 where x < 0, else +1, see :func:`hbcore.bits.sign`."""
        return bits.sign(x)

    def sign_backward(self, x: Array, grad: Array) -> Array:
        """grad where -1 < x < 1, else 0."""
        require_like(x, grad=grad)
        return np.where(np.abs(x) < 1, grad, grad.dtype.type(0))

    def pack_signs(self, x: Array) -> Words:
        """Signs packed along the last axis, see :func:`hbcore.bits.pack_signs`."""
        return bits.pack_signs(x)

    def pack_filters(self, w: Array) -> Words:
        """Signs of filters (kH, kW, C, O), packed along C, filters side by side: (kH, kW, words, O)."""
        return np.ascontiguousarray(bits.pack_signs(w.transpose(0, 1, 3, 2)).transpose(0, 1, 3, 2))

    def binary_conv2d(self, x: Words, w: Words, channels: int, stride: int = 1, padding: int = 0) -> NDArray[np.int32]:
        """Convolution of packed signs with packed filters (kH, kW, words, O), see :func:`hbcore.bits.binary_conv2d`."""
        require_words(x, w, channels)
        return bits.binary_conv2d(x, w.transpose(3, 0, 1, 2), channels, stride, padding)

    def scaled_binary_conv2d(
        self, x: Words, w: Words, alpha: Array, channels: int, stride: int = 1, padding: int = 0
    ) -> Array:
        """alpha (x * w): `binary_conv2d`, scaled per filter; alpha (O,) gives the type of the result."""
        require_numbers(w.shape[3], alpha=alpha)
        return np.asarray(self.binary_conv2d(x, w, channels, stride, padding).astype(alpha.dtype) * alpha)

    def norm_sign(self, x: Array, scale: Array, shift: Array) -> tuple[Words, Words]:
        """For v = scale x + shift: packed signs of v, and packed bits of -1 < v < 1 (1 where it holds)."""
        v = self.affine(x, scale, shift)
        return self.pack_signs(v), bits.pack_bits(np.abs(v) < 1)

    def norm_smooth(self, x: Array, scale: Array, shift: Array, half: float) -> Array:
        """For v = scale x + shift: tanh(half v), a smooth sign of v."""
        return np.asarray(np.tanh(self.affine(x, scale, shift) * x.dtype.type(half)))

    def smooth_backward(self, s: Array, grad: Array, half: float) -> Array:
        """half (1 - s^2) g, the way back to v through s = tanh(half v). g may become the result."""
        require_like(s, grad=grad)
        return np.asarray(grad * (1 - s * s) * grad.dtype.type(half))

    def sign_conv2d(self, s: Words, w: Array, padding: int) -> Array:
        """S * w for packed signs S, stride 1, and real filters."""
        require_type(np.uint64, s=s)
        signs = bits.unpack_signs(s, w.shape[2]).astype(w.dtype)
        return self.conv2d(signs, w, 1, (padding, padding))

    def sign_gradient(self, g: Array, w: Array, alpha: Array, padding: int, gradients: str = "float32") -> Array:
        """dL/dS of Y = alpha (S * sign(W)), stride 1, for g = dL/dY; gradients: one of GRADIENTS."""
        require_numbers(w.shape[3], alpha=alpha)
        height, width = (size + k - 1 - 2 * padding for size, k in zip(g.shape[1:3], w.shape[:2], strict=True))
        shape = len(g), height, width, w.shape[2]
        if gradients == "float32":
            return self.conv2d_input_gradient(g, self.sign(w) * alpha, shape, 1, (padding, padding))
        return self.conv2d_input_gradient(in_bytes(g * alpha, (3,)), self.sign(w), shape, 1, (padding, padding))

    def filter_gradient(
        self, s: Words, g: Array, shape: tuple[int, ...], padding: int, gradients: str = "float32"
    ) -> Array:
        """dL/dW~ of Y = S * W~ for packed signs S, stride 1, W~ of the given shape, for g = dL/dY."""
        require_type(np.uint64, s=s)
        if gradients == "int8":
            rounded = np.empty_like(g)
            for block in pixel_blocks(g.shape):
                rounded[block] = in_bytes(g[block], (0, 1, 2))
            g = rounded
        signs = bits.unpack_signs(s, shape[2]).astype(g.dtype)
        return self.conv2d_weight_gradient(signs, g, shape, 1, (padding, padding))

    def mean_magnitude(self, w: Array) -> Array:
        """Mean of |W| of each filter: (..., O) -> (O,)."""
        return np.asarray(np.abs(w).mean(axis=tuple(range(w.ndim - 1))))

    def latent_gradient(self, dw: Array, w: Array, alpha: Array) -> Array:
        """dw (1 / n + alpha [-1 < w < 1]) with n weights in a filter; changes and returns dw."""
        require_like(dw, w=w)
        require_numbers(w.shape[-1], alpha=alpha)
        dw *= 1 / w.dtype.type(w[..., 0].size) + alpha * (np.abs(w) < 1)
        return dw

    # ------------------------------------------------------------------------------------------------- reals

    def batch_statistics(self, x: Array) -> tuple[Array, Array, int]:
        """Mean and (biased) variance per channel over all pixels, in float64, and the number of pixels."""
        rows = as_rows(x)
        if len(rows) == 0:
            raise ValueError(f"an array of shape {x.shape} has no pixels to take the mean of")
        # An origin near the mean keeps the squares small, so that the variance is no difference of large numbers.
        origin = rows[0].copy()
        sums, squares = self.centred_sums(rows, origin)
        distance = sums / len(rows)
        return origin + distance, squares / len(rows) - distance * distance, len(rows)

    def centred_sums(self, rows: Array, origin: Array) -> tuple[Array, Array]:
        """Sums over pixels of (x - origin) and (x - origin)^2, in float64: (M, C), (C,) -> two of (C,)."""
        require_numbers(rows.shape[-1], origin=origin)
        distance = rows.astype(np.float64) - origin
        return distance.sum(axis=0), (distance * distance).sum(axis=0)

    def affine(self, x: Array, scale: Array, shift: Array) -> Array:
        """scale x + shift, per channel."""
        require_numbers(x.shape[-1], scale=scale, shift=shift)
        return np.asarray(x * scale + shift)

    def norm_sums(self, x: Array, grad: Array, mean: Array, inside: Words | None = None) -> tuple[Array, Array]:
        """Sums over pixels of g and of g (x - mean), in float64; with packed bits `inside`, g counts as 0 where not."""
        require_like(x, grad=grad)
        require_numbers(x.shape[-1], mean=mean)
        g = masked(grad, inside).astype(np.float64)
        pixels = tuple(range(x.ndim - 1))
        return g.sum(axis=pixels), (g * (x - mean)).sum(axis=pixels)

    def norm_backward(self, x: Array, grad: Array, a: Array, b: Array, c: Array, inside: Words | None = None) -> Array:
        """a g + b x + c, per channel. With `inside`, g counts as 0 where not, and may become the result."""
        require_like(x, grad=grad)
        require_numbers(x.shape[-1], a=a, b=b, c=c)
        return np.asarray(masked(grad, inside) * a + x * b + c)

    def prelu(self, x: Array, slope: Array) -> Array:
        """slope x where x <= 0, else x, one slope per channel."""
        require_numbers(x.shape[-1], slope=slope)
        return np.where(x <= 0, x * slope, x)

    def prelu_backward(self, x: Array, slope: Array, grad: Array) -> tuple[Array, Array]:
        """slope g where x <= 0, else g; and in float64 the sums over pixels of g x where x <= 0."""
        require_like(x, grad=grad)
        require_numbers(x.shape[-1], slope=slope)
        low = x <= 0
        products = np.where(low, grad * x, grad.dtype.type(0))
        return np.where(low, grad * slope, grad), products.sum(axis=tuple(range(x.ndim - 1)), dtype=np.float64)

    def max_pool(self, x: Array, size: int) -> tuple[Array, NDArray[np.uint8]]:
        """Largest value of each window, and which of its pixels, in reading order, has it first."""
        require_tiles(x, size)
        first, *others = windows(x, size)
        largest = first.copy()
        winner = np.zeros(largest.shape, dtype=np.uint8)
        for tap, values in enumerate(others, start=1):
            np.copyto(winner, tap, where=values > largest)
            np.maximum(largest, values, out=largest)
        return largest, winner

    def max_pool_backward(self, grad: Array, winner: NDArray[np.uint8], size: int) -> Array:
        """Each window's gradient goes to its winner: (N, h, w, C) -> (N, h size, w size, C)."""
        require_like(grad, winner=winner)
        n, h, w, c = grad.shape
        out = np.empty((n, h * size, w * size, c), dtype=grad.dtype)
        for tap, values in enumerate(windows(out, size)):
            np.multiply(grad, winner == tap, out=values)
        return out

    def add(self, a: Array, b: Array, out: Array | None = None) -> Array:
        """a + b, in `out` if given."""
        return np.asarray(np.add(a, b, out=out))

    def rectify(self, x: Array) -> Array:
        """max(x, 0)."""
        return np.asarray(np.maximum(x, 0))

    def where_above(self, x: Array, other: Array) -> Array:
        """x where other > 0, else 0."""
        require_like(x, other=other)
        return np.asarray(x * (other > 0))

    def upsample(self, x: Array, size: int) -> Array:
        """Each pixel becomes a window of equal pixels: (N, H, W, C) -> (N, H size, W size, C)."""
        n, h, w, c = x.shape
        out = np.empty((n, h, size, w, size, c), dtype=x.dtype)
        out[...] = x[:, :, None, :, None, :]
        return out.reshape(n, h * size, w * size, c)

    def sum_pool(self, x: Array, size: int) -> Array:
        """Sum of each window: (N, H, W, C) -> (N, H / size, W / size, C)."""
        require_tiles(x, size)
        first, *others = windows(x, size)
        return np.asarray(sum(others, start=first))

    def join(self, skip: Array, parts: tuple[Array, ...]) -> Array:
        """skip (..., C) + (parts side by side along the last axis). ValueError if they do not fit."""
        if any(x.shape[:-1] != skip.shape[:-1] for x in parts) or sum(x.shape[-1] for x in parts) != skip.shape[-1]:
            raise ValueError(f"arrays of shapes {[x.shape for x in parts]} do not add up to {skip.shape}")
        return np.asarray(np.add(skip, np.concatenate(parts, axis=-1)))

    # ------------------------------------------------------------------------------------- one step, one plan

    def adam(
        self, w: Array, g: Array, mean: Array, square: Array, betas: tuple[float, float], step_size: float,
        correction: float, eps: float,
    ) -> None:  # fmt: skip
        """In place, see :class:`hbcore.optim.optimizers.Adam`."""
        require_like(w, g=g, mean=mean, square=square)
        b1, b2 = betas
        mean *= b1
        mean += (1 - b1) * g
        square *= b2
        square += (1 - b2) * (g * g)
        w -= step_size * (mean / (np.sqrt(square / correction) + eps))

    def rmsprop(self, w: Array, g: Array, square: Array, decay: float, lr: float, eps: float) -> None:
        """In place, see :class:`hbcore.optim.optimizers.RMSprop`."""
        require_like(w, g=g, square=square)
        square *= decay
        square += (1 - decay) * (g * g)
        w -= lr * (g / (np.sqrt(square) + eps))

    def new_plan(self) -> Any:
        """An empty list of steps, see `plan.py`."""
        return Plan(self)


def as_rows(x: Array) -> Array:
    """x as a contiguous matrix (pixels, channels)."""
    return np.ascontiguousarray(x).reshape(math.prod(x.shape[:-1]), x.shape[-1])


def windows(x: Array, size: int) -> list[Array]:
    """The size^2 pixels of every pooling window as size^2 views (N, H / size, W / size, C), in reading order."""
    n, h, w, c = x.shape
    tiles = x.reshape(n, h // size, size, w // size, size, c)
    return [tiles[:, :, i, :, j] for i in range(size) for j in range(size)]


def masked(grad: Array, inside: Words | None) -> Array:
    """grad where `inside` has a 1, else 0."""
    if inside is None:
        return grad
    if inside.shape[:-1] != grad.shape[:-1]:
        raise ValueError(f"inside has shape {inside.shape}, which does not fit a gradient of shape {grad.shape}")
    return np.where(bits.unpack_bits(inside, grad.shape[-1]), grad, grad.dtype.type(0))


def require_tiles(x: Array, size: int) -> None:
    """ValueError unless pooling windows tile x (N, H, W, C) and are neither too small nor too large."""
    if not (is_whole(size) and 1 <= size <= MAX_WINDOW):
        raise ValueError(f"windows for the maximum are 1 x 1 to at most {MAX_WINDOW} x {MAX_WINDOW}, got {size!r}")
    if x.shape[1] % size or x.shape[2] % size:
        raise ValueError(f"windows of {size} x {size} do not tile a picture of {x.shape[1]} x {x.shape[2]}")


def require_like(x: Array, **others: Array) -> None:
    """ValueError unless the others, by name, have the shape of x."""
    for name, array in others.items():
        if array.shape != x.shape:
            raise ValueError(f"{name} has shape {array.shape}, expected {x.shape}")


def require_type(wanted: DTypeLike, **arrays: Array) -> None:
    """TypeError unless the arrays, by name, hold numbers of this type."""
    for name, array in arrays.items():
        if array.dtype != wanted:
            raise TypeError(f"{name} is in {array.dtype}, expected {np.dtype(wanted)}")


def require_numbers(count: int, **arrays: Array) -> None:
    """ValueError unless the arrays, by name, hold one number for each of so many channels or filters."""
    for name, array in arrays.items():
        if array.shape != (count,):
            raise ValueError(f"{name} has shape {array.shape}, expected {(count,)}: one number each")


def require_words(x: Words, w: Words, channels: int) -> None:
    """ValueError unless activations (N, H, W, words) and filters (kH, kW, words, O) hold so many channels.

    TypeError if one of them holds no words.
    """
    require_type(np.uint64, x=x, w=w)
    words = bits.word_count(whole("channels", channels))
    if x.shape[3] != words or w.shape[2] != words:
        raise ValueError(
            f"{channels} channels need {words} words: activations have {x.shape[3]}, filters have {w.shape[2]}"
        )
