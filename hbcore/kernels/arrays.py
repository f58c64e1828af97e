"""Real-valued routines on channels-last arrays, in plain NumPy: the oracles of their compiled twins.

Layout: pictures (N, H, W, C); rows are the same memory seen as a matrix (pixels, C).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hbcore.bits import conv_size

Array = NDArray[Any]


def im2col(x: Array, kernel: tuple[int, int], stride: int, padding: tuple[int, int]) -> Array:
    """Neighbourhoods as rows: (N, H, W, C) -> (N, Ho, Wo, kH kW C), zeros outside the picture."""
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


def moments(rows: Array, origin: Array) -> tuple[Array, Array]:
    """Sums over pixels of (x - origin) and (x - origin)^2, in float64: (M, C), (C,) -> two of (C,).

    An origin near the mean keeps the squares small, so that the variance is not a difference of large numbers.
    """
    distance = rows.astype(np.float64) - origin
    return distance.sum(axis=0), (distance * distance).sum(axis=0)


def affine(rows: Array, scale: Array, shift: Array) -> Array:
    """scale x + shift, per channel."""
    return np.asarray(rows * scale + shift)


def norm_sums(rows: Array, grad: Array, mean: Array) -> tuple[Array, Array]:
    """Sums over pixels of g and of g (x - mean), in float64."""
    g = grad.astype(np.float64)
    return g.sum(axis=0), (g * (rows - mean)).sum(axis=0)


def norm_backward(rows: Array, grad: Array, a: Array, b: Array, c: Array) -> Array:
    """a g + b x + c, per channel."""
    return np.asarray(grad * a + rows * b + c)


def windows(x: Array, size: int) -> list[Array]:
    """The size^2 pixels of every window as size^2 views (N, H / size, W / size, C), in reading order."""
    n, h, w, c = x.shape
    tiles = x.reshape(n, h // size, size, w // size, size, c)
    return [tiles[:, :, i, :, j] for i in range(size) for j in range(size)]


def max_pool(x: Array, size: int) -> tuple[Array, Array]:
    """Largest value of each window, and which of its pixels, in reading order, has it first (uint8)."""
    first, *others = windows(x, size)
    largest = first.copy()
    winner = np.zeros(largest.shape, dtype=np.uint8)
    for tap, values in enumerate(others, start=1):
        np.copyto(winner, tap, where=values > largest)
        np.maximum(largest, values, out=largest)
    return largest, winner


def max_pool_backward(grad: Array, winner: Array, size: int) -> Array:
    """Each window's gradient goes to its winner: (N, h, w, C) -> (N, h size, w size, C)."""
    n, h, w, c = grad.shape
    out = np.empty((n, h * size, w * size, c), dtype=grad.dtype)
    for tap, values in enumerate(windows(out, size)):
        np.multiply(grad, winner == tap, out=values)
    return out
