"""What every set of faces shares: the label of a face, and the square to cut out around it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hbcore.landmarks.squares import CropRule, around_points
from training.labels.sample import Sample

MARGIN = 1.3
"""Side of the crop over the longer side of the box: room for the forehead, which no scheme marks, and for rotation."""

LEAST_SIDE = 4.0
"""Pixels. Points may lie on one another, but a crop has to have an area."""

OF_POINTS = f"crop: box of the labelled points, side = {MARGIN} x its longer side"
OF_BOX = f"crop: box that the set gives, side = {MARGIN} x its longer side"
POINTS_RULE, BOX_RULE = CropRule("points", MARGIN), CropRule("box", MARGIN)


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


def as_sample(picture: NDArray[np.uint8], label: FaceLabel, name: str) -> Sample:
    """The face in its picture, with arrays of its own; cropped around the given box, else that of its points."""
    box = label.points[label.labelled] if label.box is None else np.array(label.box, np.float32).reshape(2, 2)
    center, side = around_points(box, MARGIN, LEAST_SIDE)
    keypoints, labelled = label.points.copy(), label.labelled.copy()
    return Sample(picture, keypoints, labelled, center, side, math.nan, name, yaw=label.yaw)
