"""Gradients in bytes: half the time of a binary convolution's backward pass, for a small random error.

One operand of both products of that pass is +1 or -1. The other, the gradient g of the results, is rounded to bytes in
groups: q = round(g / u) with u = max |g| / 127 over the group. Sums of products are then integers, exact in any order,
and four products cost what one costs in float32 (csrc/template/gradients). Rounded is g alone, by at most u / 2.

    groups for the gradient of the signs      the filters of one pixel, after they were multiplied by alpha
    groups for the gradient of the filters    one filter in a block of at most BLOCK_PIXELS pixels

On gradients like those of training, that of the signs then differs from float32's by about 0.6 % of its own size, that
of the filters by 1.6 %, at random (docs/speed.md).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from hbcore.kernels.convolutions import Array

BLOCK_PIXELS = 128
NOTHING = 1e-30  # a group that is not larger than this is 0


def in_bytes(g: Array, axes: tuple[int, ...]) -> Array:
    """u q, of the shape of g, for groups along `axes`; NaN where a group holds what is not finite."""
    most = np.abs(g).max(axis=axes, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        counts = most > NOTHING
        unit = np.where(np.isfinite(most), np.where(counts, most * g.dtype.type(1 / 127), 0), np.nan).astype(g.dtype)
        steps = np.where(counts, g.dtype.type(127) / most, 0)
        return np.asarray(np.rint(g * steps) * unit)


def pixel_blocks(shape: tuple[int, ...]) -> Iterator[tuple[slice, slice, slice]]:
    """Blocks of the pixels of one picture each: whole rows where they are short, else parts of one row."""
    batch, height, width, _ = shape
    columns = min(width, BLOCK_PIXELS)
    rows = min(height, max(1, BLOCK_PIXELS // (-(-columns // 4) * 4)))  # pixels come in fours
    for n in range(batch):
        for y in range(0, height, rows):
            for x in range(0, width, columns):
                yield slice(n, n + 1), slice(y, y + rows), slice(x, x + columns)
