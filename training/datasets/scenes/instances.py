"""What a finder is trained and tested on, from data sets whose samples are labelled by points."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from hbcore.landmarks.finding.sizes import MOST, SizeCodec
from hbcore.landmarks.squares import CropRule, around_picture
from training.labels.parts import Sizes
from training.labels.sample import Dataset, Sample

LOOK = 384
"""Pixels of the longer side of a picture when a finder looks at it: a face of 40 in a photo of 720 has 21 of them."""

SIZES = Sizes("sizes", tuple(f"{size:.0f} px" for size in SizeCodec(LOOK).sizes))


class Instances:
    """Samples of `points`, one instance each: what scenes are put together of. chosen: those to take."""

    skeleton = SIZES
    crop = CropRule("picture")
    faceless = False

    def __init__(self, points: Dataset, chosen: Sequence[int] | None = None) -> None:
        self.points = points
        self.chosen = np.arange(len(points)) if chosen is None else np.asarray(chosen)
        self.name, self.split = points.name, points.split
        self.protocol = f"{points.protocol}; {len(self.chosen)} of them, in scenes of several"

    def __len__(self) -> int:
        return len(self.chosen)

    def sample(self, index: int) -> Sample:
        """See Dataset: the points are those of the data set beneath."""
        return self.points.sample(int(self.chosen[index]))


class Photos:
    """Whole pictures with the boxes of all that `points` has labelled in each: the keypoints are MOST pairs of corners.

    groups: for each picture the samples in it.
    """

    skeleton = SIZES
    crop = CropRule("picture")
    faceless = False

    def __init__(self, points: Dataset, groups: Sequence[Sequence[int]]) -> None:
        self.points, self.groups = points, [tuple(map(int, group)) for group in groups]
        self.name, self.split = points.name, points.split
        count = sum(map(len, self.groups))
        self.protocol = f"{points.name} {points.split}: {len(self.groups)} whole pictures with {count} labelled"

    def __len__(self) -> int:
        return len(self.groups)

    def sample(self, index: int) -> Sample:
        """See Dataset."""
        samples = [self.points.sample(one) for one in self.groups[index]]
        corners = [[shown.min(axis=0), shown.max(axis=0)] for s in samples if len(shown := s.keypoints[s.labelled]) > 1]
        return scene(samples[0].picture, np.array(corners).reshape(-1, 2), samples[0].name.partition("#")[0])


def scene(picture: np.ndarray, corners: np.ndarray, name: str) -> Sample:
    """A whole picture with boxes, as corners (2 n, 2), of which MOST count."""
    keypoints, labelled = padded(corners)
    return Sample(picture, keypoints, labelled, *around_picture(picture), math.nan, name)


def padded(corners: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Corners (2 n, 2) as keypoints float32 (2 MOST, 2) and labelled (2 MOST,)."""
    corners = corners[: 2 * MOST]
    keypoints, labelled = np.zeros((2 * MOST, 2), np.float32), np.arange(2 * MOST) < len(corners)
    keypoints[: len(corners)] = corners
    return keypoints, labelled


def boxes_of(keypoints: np.ndarray, labelled: np.ndarray) -> np.ndarray:
    """The boxes float64 (n, 4) among such keypoints."""
    boxes: np.ndarray = keypoints[labelled].reshape(-1, 4).astype(np.float64)
    return boxes
