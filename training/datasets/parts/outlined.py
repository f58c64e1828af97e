"""Parts of the faces of another data set, drawn between its 68 points as in the paper's experiment."""

from __future__ import annotations

import numpy as np

from hbcore.optim.losses import IGNORED
from training.datasets.parts.base import masked
from training.datasets.parts.polygons import face_mask
from training.errors import DataError
from training.labels.face_skeletons import IBUG68
from training.labels.parts import FACE7
from training.labels.sample import Dataset, Sample


class Outlined:
    """The faces of `points`, with masks of FACE7 in place of points; crop and splits are those of `points`.

    Where one of the points is not labelled, the mask is unknown: all of it is IGNORED. Raises DataError if the
    points are not ibug's 68.
    """

    skeleton = FACE7

    def __init__(self, points: Dataset) -> None:
        if points.skeleton.names != IBUG68.names:
            raise DataError(
                f"{points.name} has the {len(points.skeleton.names)} points of {points.skeleton.name}: "
                f"parts are drawn between the {len(IBUG68.names)} of {IBUG68.name}"
            )
        self.name, self.split = points.name, points.split
        self.protocol = f"{points.protocol}; masks: {len(FACE7.names)} classes, polygons between the 68 points"
        self.points = points
        self.crop = getattr(points, "crop", None)

    def __len__(self) -> int:
        return len(self.points)

    def sample(self, index: int) -> Sample:
        """See Dataset."""
        face = self.points.sample(index)
        height, width = face.picture.shape[:2]
        if face.labelled.all():
            mask = face_mask(face.keypoints, height, width)
        else:
            mask = np.full((height, width), IGNORED, np.uint8)
        return masked(face.picture, mask, FACE7, (face.center, face.side), face.name, face.yaw)
