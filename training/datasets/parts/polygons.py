"""Masks of faces from 68 points: the polygons that the points outline, filled."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from training.labels.parts import FACE7, Mask

Indices = tuple[int, ...]


def _way(first: int, last: int) -> Indices:
    """Points first to last, both included, forwards or backwards."""
    return tuple(range(first, last + 1)) if first <= last else tuple(range(first, last - 1, -1))


OUTLINES: tuple[tuple[str, Indices], ...] = (
    ("skin", (*_way(0, 16), *_way(26, 17))),  # along the jaw, and back over the brows
    ("nose", (27, *_way(31, 35))),  # from the top of the bridge around the nostrils
    ("eyes", _way(36, 41)),
    ("eyes", _way(42, 47)),
    ("upper_lip", (*_way(48, 54), *_way(64, 60))),
    ("lower_lip", (*_way(54, 59), 48, 60, *_way(67, 64))),
    ("inner_mouth", _way(60, 67)),
)
"""Corners of each part as indices into ibug's 68 points (the paper does not list them); later parts cover earlier."""


def face_mask(points: NDArray[np.floating], height: int, width: int) -> Mask:
    """The mask (height, width) of FACE7 that points (68, 2), in pixels, outline."""
    mask = np.zeros((height, width), dtype=np.uint8)
    for part, corners in OUTLINES:
        fill(mask, points[list(corners)], FACE7.names.index(part))
    return mask


def fill(mask: Mask, corners: NDArray[np.floating], value: int) -> None:
    """Set the pixels whose centre lies in a polygon (n, 2); where it crosses itself, by the even-odd rule.

    A centre on the border counts on the left and at the top only, so that polygons side by side share no pixel.
    """
    xy = corners.astype(np.float64)
    (left, top), (right, bottom) = np.ceil(xy.min(axis=0)), np.floor(xy.max(axis=0))
    # Clipped to the mask: corners may lie far outside.
    height, width = mask.shape
    part = (
        slice(int(np.clip(top, 0, height)), int(np.clip(bottom + 1, 0, height))),
        slice(int(np.clip(left, 0, width)), int(np.clip(right + 1, 0, width))),
    )
    rows, columns = np.arange(height)[part[0]], np.arange(width)[part[1]]
    inside = np.zeros((len(rows), len(columns)), dtype=bool)
    for (x0, y0), (x1, y1) in zip(xy, np.roll(xy, -1, axis=0), strict=True):
        met = (y0 <= rows) != (y1 <= rows)  # never a level edge
        if met.any():
            crossing = x0 + (x1 - x0) * ((rows[met] - y0) / (y1 - y0))  # a share of 1: finite, however flat the edge
            inside[met] ^= columns >= crossing[:, None]
    mask[part][inside] = value
