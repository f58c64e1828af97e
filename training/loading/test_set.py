"""The test split of one or several data sets, ready to be looked at by a network and scored."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.datasets import Dataset
from training.errors import BadPicture, DataError
from training.labels.parts import Mask, Scheme, skeleton_of
from training.labels.skeletons import Skeleton
from training.loading.concatenated import ConcatenatedDataset
from training.pictures.augmentation import plain, stack

Follow = Callable[[Sequence[int]], Iterable[int]]


@dataclass(frozen=True, eq=False)
class TestSet:
    """The crops of a test split, decoded once: pictures uint8 (N, S, S, 3), keypoints and norms in their pixels.

    head_size, box_size, area and yaw (degrees) are nan where the data set has none. bad: names and reasons of
    pictures left out. masks: uint8 (N, S, S), where parts are labelled and not keypoints. names: of the samples.
    """

    __test__ = False  # for pytest: not a test class

    pictures: NDArray[np.uint8]
    keypoints: NDArray[np.float32]
    labelled: NDArray[np.bool_]
    head_size: NDArray[np.float64]
    box_size: NDArray[np.float64]
    area: NDArray[np.float64]
    yaw: NDArray[np.float64]
    scheme: Scheme
    protocol: str
    bad: tuple[tuple[str, str], ...]
    masks: Mask | None = None
    names: tuple[str, ...] = ()

    @property
    def skeleton(self) -> Skeleton:
        """The keypoints. Raises DataError if parts are labelled."""
        return skeleton_of(self.scheme)

    @classmethod
    def read(cls, datasets: Sequence[Dataset], size: int, skip_bad: bool = True, follow: Follow = iter) -> TestSet:
        """Every sample, cropped by the data set's own rule and unaugmented; `follow` sees them go by.

        Raises UserError if the data sets label different keypoints, DataError if no picture can be read.
        """
        scheme = ConcatenatedDataset(datasets).scheme
        examples, measures, names, bad = [], [], [], []
        for dataset in datasets:
            for index in follow(range(len(dataset))):
                try:
                    sample = dataset.sample(index)
                except BadPicture as error:
                    if not skip_bad:
                        raise
                    bad.append((f"{dataset.name}/{dataset.split}/{index}", str(error)))
                    continue
                examples.append(plain(sample, size))
                names.append(sample.name)
                zoom = size / sample.side
                lengths = sample.head_size * zoom, sample.box_size * zoom
                measures.append((*lengths, sample.area * zoom**2, sample.yaw))
        if not examples:
            last = f"; the last one: {bad[-1][1]}" if bad else ""
            raise DataError(f"the test set {', '.join(d.name for d in datasets)} has no readable picture{last}")
        protocol = "; ".join(f"{dataset.name}: {dataset.protocol}" for dataset in datasets)
        pictures, keypoints, labelled, masks = stack(examples)
        heads, boxes, areas, yaws = (np.array(values, np.float64) for values in zip(*measures, strict=True))
        return cls(
            pictures,
            keypoints,
            labelled,
            heads,
            boxes,
            areas,
            yaws,
            scheme,
            protocol,
            tuple(bad),
            masks,
            tuple(names),
        )
