"""Pictures of bytes, resampled: rows put together with whole weights, and a square seen through a grid.

Whole numbers and products of doubles in a stated order: the same bits on every machine, by every backend.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hbcore.values import whole

Levels = NDArray[np.uint8]
"""An RGB picture (H, W, 3)."""

PARTS = 22  # weights are whole numbers of 2^-22, the most that sums of bytes leave room for in 32 bits


LARGEST = 4096
"""Of a square: a damaged number must not ask for gigabytes."""


def require_size(size: int) -> None:
    """ValueError unless a square may have so many pixels on a side."""
    if whole("size", size) > LARGEST:
        raise ValueError(f"size must be at most {LARGEST}, got {size}")


class Resampling:
    """Two operations of the table."""

    def weighted(self, picture: Levels, first: NDArray[np.int64], weights: NDArray[np.int32], across: bool) -> Levels:
        """Rows (columns, if `across`) i = sum_k weights[i, k] row first[i] + k, in parts of 2^PARTS, rounded.

        weights (n, taps), each row's sum at most 2^PARTS and some; ValueError where they reach past the picture.
        """
        rows = picture.transpose(1, 0, 2) if across else picture
        taps = weights.shape[1]
        if len(first) != len(weights) or first.min() < 0 or first.max() + taps > len(rows):
            raise ValueError(f"first and weights {weights.shape} reach past {len(rows)} rows")
        sums = np.full((len(first), *rows.shape[1:]), 1 << (PARTS - 1), dtype=np.uint32)
        for tap in range(taps):
            sums += weights[:, tap, None, None].astype(np.uint32) * rows[first + tap]
        levels = (sums >> PARTS).astype(np.uint8)
        return np.ascontiguousarray(levels.transpose(1, 0, 2)) if across else levels

    def through_grid(self, picture: Levels, grid: NDArray[np.float64], size: int) -> Levels:
        """Bilinear samples (size, size, 3) at grid (2, 3) times (column + 1/2, row + 1/2, 1), in picture pixels.

        Places count from the picture's corner; beyond it is black, and levels are rounded down. ValueError for a size
        beyond LARGEST.
        """
        require_size(size)
        height, width = picture.shape[:2]
        at = np.arange(size) + 0.5
        x, y = (row[0] * at + row[1] * at[:, None] + row[2] for row in grid)
        inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
        x, y = (np.where(inside, place, 0.5) - 0.5 for place in (x, y))
        left, upper = np.floor(x).astype(np.intp), np.floor(y).astype(np.intp)
        dx, dy = (x - left)[..., None], (y - upper)[..., None]
        right, lower = np.minimum(left + 1, width - 1), np.minimum(upper + 1, height - 1)
        left, upper = np.maximum(left, 0), np.maximum(upper, 0)

        def along(row: NDArray[np.intp]) -> NDArray[np.float64]:
            a, b = picture[row, left].astype(np.float64), picture[row, right].astype(np.float64)
            between: NDArray[np.float64] = a + (b - a) * dx
            return between

        above, below = along(upper), along(lower)
        return np.where(inside[..., None], above + (below - above) * dy, 0).astype(np.uint8)
