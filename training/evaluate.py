"""How well a model does on a labelled test set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.augment import plain
from training.datasets import PersonDataset
from training.errors import BadPicture, DataError
from training.geometry import Crop
from training.loader import Joined
from training.metrics import PROTOCOLS, mean_pose, scored_joints, summarise, torso_size
from training.pose_model import PoseModel
from training.skeletons import Skeleton


@dataclass(frozen=True, eq=False)
class TestSet:
    """The crops of a test split, decoded once: pictures uint8 (N, S, S, 3), joints and norms in their pixels.

    head_size is nan where the data set has none. bad: names and reasons of pictures left out.
    """

    __test__ = False  # for pytest: not a test class

    pictures: NDArray[np.uint8]
    joints: NDArray[np.float32]
    labelled: NDArray[np.bool_]
    head_size: NDArray[np.float64]
    skeleton: Skeleton
    protocol: str
    bad: tuple[tuple[str, str], ...]

    @classmethod
    def read(cls, datasets: Sequence[PersonDataset], size: int, skip_bad: bool = True) -> TestSet:
        """Cut every person out by the data set's own crop rule, unaugmented.

        Raises UserError if the data sets label different joints, DataError if no picture can be read.
        """
        skeleton = Joined(datasets).skeleton
        pictures, joints, labels, heads, bad = [], [], [], [], []
        for dataset in datasets:
            for index in range(len(dataset)):
                try:
                    person = dataset.person(index)
                except BadPicture as error:
                    if not skip_bad:
                        raise
                    bad.append((f"{dataset.name}/{dataset.split}/{index}", str(error)))
                    continue
                picture, points, labelled = plain(person, size)
                pictures.append(picture)
                joints.append(points)
                labels.append(labelled)
                heads.append(person.head_size * size / person.side)
        if not pictures:
            raise DataError(f"the test set {', '.join(d.name for d in datasets)} has no readable picture")
        protocol = "; ".join(f"{dataset.name}: {dataset.protocol}" for dataset in datasets)
        return cls(
            np.stack(pictures),
            np.stack(joints),
            np.stack(labels),
            np.array(heads, dtype=np.float64),
            skeleton,
            protocol,
            tuple(bad),
        )

    def score(self, predicted: NDArray[np.float32]) -> dict[str, float]:
        """Metrics by key, the headline first: PCKh where heads are known, and PCK. DataError if neither can be."""
        result: dict[str, float] = {}
        torso = torso_size(self.joints, self.skeleton, self.labelled)
        scored = scored_joints(self.skeleton)
        for metric, norm in (("PCKh", self.head_size), ("PCK", torso)):
            known = np.isfinite(norm) & (norm > 0)
            if self.labelled[known][:, scored].any():
                labelled = self.labelled[known]
                result |= summarise(metric, predicted[known], self.joints[known], labelled, norm[known], self.skeleton)
        if not result:
            raise DataError(
                "nothing in the test set can be scored: nobody has a labelled joint and a known head or torso"
            )
        return result

    def protocols(self, scores: dict[str, float]) -> dict[str, str]:
        """What the numbers in `scores` rest on: one line for the data and one per metric."""
        used = {metric: text for metric, text in PROTOCOLS.items() if any(k.startswith(f"{metric}@") for k in scores)}
        return {"data": self.protocol, **used}


def evaluate(model: PoseModel, test: TestSet, flip: bool = False) -> tuple[dict[str, float], NDArray[np.float32]]:
    """Scores by metric key, and the predictions (N, K, 2) in input pixels."""
    if model.skeleton.joints != test.skeleton.joints:
        raise DataError(
            f"the model finds the joints of {model.skeleton.name} ({len(model.skeleton.joints)}), the test set has "
            f"those of {test.skeleton.name} ({len(test.skeleton.joints)})"
        )
    predicted, _ = model.predict(test.pictures, flip)
    return test.score(predicted), predicted


def mean_pose_scores(datasets: Sequence[PersonDataset], test: TestSet) -> dict[str, float]:
    """What predicting the mean pose of training sets for everybody reaches: the line to beat.

    Raises UserError or DataError if their joints are not those of the test set.
    """
    train = Joined(datasets)
    if train.skeleton.joints != test.skeleton.joints:
        raise DataError(
            f"the mean pose of {train.skeleton.name} has other joints than {test.skeleton.name}, the test set"
        )
    size = test.pictures.shape[1]
    joints, labels = [], []
    for index in range(len(train)):
        try:
            person = train.person(index)
        except BadPicture:
            continue
        joints.append(Crop(person.center, person.side, size).to_input(person.joints))
        labels.append(person.labelled)
    if not np.any(labels):
        raise DataError("there is no labelled joint to take the mean pose of")
    pose = mean_pose(np.stack(joints), np.stack(labels))
    return test.score(np.broadcast_to(pose, test.joints.shape).astype(np.float32))
