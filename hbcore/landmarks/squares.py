"""The square around an instance, where a data set has no rule of its own: from a box, points, or the whole picture."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

BOX_MARGIN = 1.25
"""Side of the square over the longer side of a given box: what MPII's own rule amounts to."""

POINTS_MARGIN = 1.35
"""The same for the box around all keypoints, which is smaller. On LSP it is 0.74 of the picture's longer side."""

LEAST_SIDE = 40.0
"""Pixels. A few labelled keypoints may lie on one another; what they stand on is never that small."""

AROUND = {"box": "the box around the instance", "points": "the box of its points", "picture": "the whole picture"}


@dataclass(frozen=True)
class CropRule:
    """What a data set's squares are around, a key of AROUND, and their side over the longer side of that.

    Raises ValueError for what cannot be: a model file brings its rules from anywhere.
    """

    around: str
    margin: float = 1.0

    def __post_init__(self) -> None:
        if self.around not in AROUND or not isinstance(self.margin, int | float) or not 0.1 <= self.margin <= 10:
            raise ValueError(f"no crop rule: {str(self.margin)[:20]} x {str(self.around)[:20]}")

    def __str__(self) -> str:
        return f"{self.margin:g} x {AROUND[self.around]}" if self.around != "picture" else AROUND[self.around]

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of `asdict`; KeyError, TypeError or ValueError where `values` are none."""
        return cls(values["around"], values["margin"])


def crop_rules(datasets: Iterable[object]) -> tuple[CropRule, ...]:
    """The different rules of data sets, of those that tell theirs as `crop`."""
    rules = (getattr(dataset, "crop", None) for dataset in datasets)
    return tuple(dict.fromkeys(rule for rule in rules if isinstance(rule, CropRule)))


Square = tuple[tuple[float, float], float]
"""Center (x, y) and side, in picture pixels."""


def around_picture(picture: NDArray[np.uint8]) -> Square:
    """All of a picture (H, W, 3); its longer side is the square's."""
    height, width = picture.shape[:2]
    return ((width - 1) / 2, (height - 1) / 2), float(max(width, height))


def around_box(x: float, y: float, width: float, height: float, margin: float = BOX_MARGIN) -> Square:
    """A box with a margin; (x, y) is the centre of its first pixel."""
    return (x + (width - 1) / 2, y + (height - 1) / 2), margin * max(width, height)


def around_corners(corners: NDArray[np.floating[Any]], margin: float = BOX_MARGIN, least: float = 0.0) -> Square:
    """What lies between x0, y0, x1 and y1 with a margin, at least `least` pixels wide. In float64."""
    x0, y0, x1, y1 = map(float, corners)
    return ((x0 + x1) / 2, (y0 + y1) / 2), max(least, margin * max(x1 - x0, y1 - y0))


def corners_of(x: float, y: float, width: float, height: float) -> NDArray[np.float64]:
    """x0, y0, x1, y1 of a box, for :func:`around_corners`; (x, y) is the centre of its first pixel."""
    return np.array([x - 0.5, y - 0.5, x + width - 0.5, y + height - 0.5])


def around_points(points: NDArray[np.float32], margin: float = POINTS_MARGIN, least: float = LEAST_SIDE) -> Square:
    """Points (n, 2) with a margin, at least `least` pixels wide; n is at least 1."""
    return around_corners(np.concatenate([points.min(axis=0), points.max(axis=0)]), margin, least)
