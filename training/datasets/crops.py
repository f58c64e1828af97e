"""The square around an instance, where a data set has no rule of its own: from a box, points, or the whole picture."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BOX_MARGIN = 1.25
"""Side of the square over the longer side of a given box: what MPII's own rule amounts to."""

POINTS_MARGIN = 1.35
"""The same for the box around all keypoints, which is smaller. On LSP it is 0.74 of the picture's longer side."""

LEAST_SIDE = 40.0
"""Pixels. A few labelled keypoints may lie on one another; what they stand on is never that small."""

Square = tuple[tuple[float, float], float]
"""Center (x, y) and side, in picture pixels."""


def around_picture(picture: NDArray[np.uint8]) -> Square:
    """All of a picture (H, W, 3); its longer side is the square's."""
    height, width = picture.shape[:2]
    return ((width - 1) / 2, (height - 1) / 2), float(max(width, height))


def around_box(x: float, y: float, width: float, height: float) -> Square:
    """A box with a margin; (x, y) is the centre of its first pixel."""
    return (x + (width - 1) / 2, y + (height - 1) / 2), BOX_MARGIN * max(width, height)


def around_points(points: NDArray[np.float32], margin: float = POINTS_MARGIN, least: float = LEAST_SIDE) -> Square:
    """Points (n, 2) with a margin, at least `least` pixels wide; n is at least 1."""
    low, high = points.min(axis=0), points.max(axis=0)
    x, y = (low + high) / 2
    return (float(x), float(y)), max(least, margin * float((high - low).max()))
