"""Pictures of bytes before a network sees them, in plain NumPy: seen through a matrix, and made smaller."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]

PARTS = 22
"""Whole weights are in 2^-22: the most that sums of bytes leave room for in 32 bits."""


class Pictures:
    """RGB pictures uint8 (H, W, 3)."""

    def warp(self, picture: Bytes, matrix: NDArray[np.float64], levels: Bytes, out: Bytes) -> Bytes:
        """Fill `out` (h, w, 3) with what lies at matrix (2, 3) times (x, y, 1) in the picture; returns `out`.

        Both places count from the edge of the first pixel, whose centre is (0.5, 0.5). Bilinear between the centres of
        pixels, those at the border reaching out to its edge, black beyond; rounded down, in float64 throughout. Each
        channel then goes through its row of `levels`, uint8 (3, 256), black too.
        """
        require_pictures(picture, matrix, levels, out)
        height, width = picture.shape[:2]
        rows, columns = (np.arange(size) + 0.5 for size in out.shape[:2])
        x, y = (a * columns + b * rows[:, None] + c for a, b, c in matrix)
        inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
        x, y = np.where(inside, x, 0.0) - 0.5, np.where(inside, y, 0.0) - 0.5
        left, top = np.floor(x).astype(np.intp), np.floor(y).astype(np.intp)
        dx, dy = (x - left)[..., None], (y - top)[..., None]
        right, bottom = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
        left, top = np.maximum(left, 0), np.maximum(top, 0)
        pixels = picture.astype(np.float64)
        upper = pixels[top, left] + (pixels[top, right] - pixels[top, left]) * dx
        lower = pixels[bottom, left] + (pixels[bottom, right] - pixels[bottom, left]) * dx
        mixed = np.where(inside[..., None], upper + (lower - upper) * dy, 0.0).astype(np.uint8)
        for channel in range(3):
            out[..., channel] = levels[channel][mixed[..., channel]]
        return out

    def weighted(self, picture: Bytes, first: NDArray[np.int64], weights: NDArray[np.int32], across: bool) -> Bytes:
        """Rows (columns, if `across`) i = sum_k weights[i, k] row first[i] + k, in parts of 2^PARTS, rounded.

        weights (n, taps) >= 0, each row's sum at most 2^PARTS and some. Whole numbers: the same bits everywhere.
        ValueError for a picture without a pixel, and for rows that reach past it.
        """
        rows = picture.transpose(1, 0, 2) if across else picture
        require_taps(rows, first, weights)
        sums = np.full((len(first), *rows.shape[1:]), 1 << (PARTS - 1), dtype=np.uint32)
        for tap in range(weights.shape[1]):
            sums += weights[:, tap, None, None].astype(np.uint32) * rows[first + tap]
        levels = (sums >> PARTS).astype(np.uint8)
        return np.ascontiguousarray(levels.transpose(1, 0, 2)) if across else levels


def require_taps(rows: Bytes, first: NDArray[np.int64], weights: NDArray[np.int32]) -> None:
    """ValueError unless the arguments of `weighted` have types and shapes that fit each other."""
    if rows.ndim != 3 or rows.shape[2] != 3 or rows.dtype != np.uint8 or not rows.size:
        raise ValueError(f"picture has shape {rows.shape} of {rows.dtype}, expected (H, W, 3) of uint8")
    if weights.ndim != 2 or weights.shape[1] < 1 or first.shape != weights.shape[:1]:
        raise ValueError(f"first has shape {first.shape}, weights {weights.shape}: expected (n,) and (n, taps)")
    if first.size and (first.min() < 0 or first.max() + weights.shape[1] > len(rows)):
        raise ValueError(f"first and weights {weights.shape} reach past {len(rows)} rows")


def require_pictures(picture: Bytes, matrix: NDArray[np.float64], levels: Bytes, out: Bytes) -> None:
    """ValueError unless the arguments of `warp` have types and shapes that fit each other."""
    for name, array, shape in (("picture", picture, picture.shape[:2]), ("out", out, out.shape[:2])):
        if array.shape != (*shape, 3) or array.dtype != np.uint8 or (name == "picture" and not array.size):
            raise ValueError(f"{name} has shape {array.shape} of {array.dtype}, expected (H, W, 3) of uint8")
    if matrix.shape != (2, 3) or matrix.dtype != np.float64:
        raise ValueError(f"matrix has shape {matrix.shape} of {matrix.dtype}, expected (2, 3) of float64")
    if levels.shape != (3, 256) or levels.dtype != np.uint8:
        raise ValueError(f"levels has shape {levels.shape} of {levels.dtype}, expected (3, 256) of uint8")
