"""The test split of one or several data sets, ready to be looked at by a network and scored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.augment import plain
from training.datasets import PersonDataset
from training.errors import BadPicture, DataError
from training.loader import Joined
from training.skeletons import Skeleton


@dataclass(frozen=True, eq=False)
class TestSet:
    """The crops of a test split, decoded once: pictures uint8 (N, S, S, 3), joints and norms in their pixels.

    head_size, box_size, area and yaw (degrees) are nan where the data set has none. bad: names and reasons of
    pictures left out.
    """

    __test__ = False  # for pytest: not a test class

    pictures: NDArray[np.uint8]
    joints: NDArray[np.float32]
    labelled: NDArray[np.bool_]
    head_size: NDArray[np.float64]
    box_size: NDArray[np.float64]
    area: NDArray[np.float64]
    yaw: NDArray[np.float64]
    skeleton: Skeleton
    protocol: str
    bad: tuple[tuple[str, str], ...]

    @classmethod
    def read(cls, datasets: Sequence[PersonDataset], size: int, skip_bad: bool = True) -> TestSet:
        """Cut every person out by the data set's own crop rule, unaugmented.

        Raises UserError if the data sets label different joints, DataError if no picture can be read.
        """
        skeleton = Joined(datasets).skeleton
        pictures, joints, labels, measures, bad = [], [], [], [], []
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
                zoom = size / person.side
                lengths = person.head_size * zoom, person.box_size * zoom
                measures.append((*lengths, person.area * zoom**2, person.yaw))
        if not pictures:
            raise DataError(f"the test set {', '.join(d.name for d in datasets)} has no readable picture")
        protocol = "; ".join(f"{dataset.name}: {dataset.protocol}" for dataset in datasets)
        heads, boxes, areas, yaws = (np.array(values, np.float64) for values in zip(*measures, strict=True))
        return cls(
            np.stack(pictures),
            np.stack(joints),
            np.stack(labels),
            heads,
            boxes,
            areas,
            yaws,
            skeleton,
            protocol,
            tuple(bad),
        )
