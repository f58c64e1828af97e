"""What every set of faces shares: the label of a face, and the square to cut out around it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.datasets.base import Person

MARGIN = 1.3
"""Side of the crop over the longer side of the box: room for the forehead, which no scheme marks, and for rotation."""

LEAST_SIDE = 4.0
"""Pixels. Points may lie on one another, but a crop has to have an area."""

OF_POINTS = f"crop: box of the labelled points, side = {MARGIN} x its longer side"
OF_BOX = f"crop: box that the set gives, side = {MARGIN} x its longer side"


@dataclass(frozen=True, eq=False)
class FaceLabel:
    """One labelled face: `points` float32 (K, 2), 0-based, (0, 0) where `labelled`, bool (K,), is False.

    `box` is left, top, right, bottom in picture pixels, where the set gives one; `yaw` is in degrees.
    """

    points: NDArray[np.float32]
    labelled: NDArray[np.bool_]
    box: tuple[float, float, float, float] | None = None
    yaw: float = math.nan

    @classmethod
    def whole(cls, points: NDArray[np.float64], yaw: float = math.nan) -> FaceLabel:
        """A face with every point labelled and no box."""
        return cls(points.astype(np.float32), np.ones(len(points), np.bool_), yaw=yaw)


def square(label: FaceLabel) -> tuple[tuple[float, float], float]:
    """Centre and side, in picture pixels, of the square around the box: the given one, else that of the points."""
    if label.box is not None:
        left, top, right, bottom = label.box
    else:
        known = label.points[label.labelled].astype(np.float64)
        (left, top), (right, bottom) = known.min(axis=0).tolist(), known.max(axis=0).tolist()
    side = MARGIN * max(right - left, bottom - top)
    return ((left + right) / 2, (top + bottom) / 2), max(LEAST_SIDE, side)


def as_person(picture: NDArray[np.uint8], label: FaceLabel, name: str) -> Person:
    """The face in its picture, with arrays of its own."""
    center, side = square(label)
    return Person(
        picture, label.points.copy(), label.labelled.copy(), center, side, math.nan, name, yaw=label.yaw
    )  # fmt: skip
