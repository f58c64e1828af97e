"""Several data sets as one."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import numpy as np

from training.datasets import Dataset, Sample
from training.errors import DataError, UserError
from training.labels.parts import Scheme


class ConcatenatedDataset:
    """Several data sets with the same keypoints as one, or the first `limit` samples of that.

    Each comes as often in a row as `times` says, once where it says nothing: a few pictures that are like those the
    network is made for are not lost among many that are not.
    Raises UserError if their keypoints differ, DataError if they hold no samples.
    """

    def __init__(self, datasets: Sequence[Dataset], limit: int | None = None, times: Sequence[int] = ()) -> None:
        first = datasets[0].skeleton
        for dataset in datasets[1:]:
            if dataset.skeleton.names != first.names:
                raise UserError(
                    f"{datasets[0].name} and {dataset.name} label different keypoints "
                    f"({len(first.names)} and {len(dataset.skeleton.names)}): use them one at a time"
                )
        self.datasets = tuple(datasets)
        self.times = tuple(times) or (1,) * len(datasets)
        self.ends = list(accumulate(len(dataset) * n for dataset, n in zip(datasets, self.times, strict=True)))
        if not self.ends[-1]:
            names = ", ".join(dataset.name for dataset in datasets)
            raise DataError(f"{names} {'holds' if len(datasets) == 1 else 'hold'} no samples")
        self.length = min(self.ends[-1], limit or self.ends[-1])

    @property
    def scheme(self) -> Scheme:
        return self.datasets[0].skeleton

    def __len__(self) -> int:
        return self.length

    def place(self, index: int) -> tuple[int, int]:
        """Which data set sample `index` is from, and which sample of it it is."""
        which = int(np.searchsorted(self.ends, index, side="right"))
        start = self.ends[which - 1] if which else 0
        return which, (index - start) % len(self.datasets[which])

    def sample(self, index: int) -> Sample:
        """Sample `index`, counted through all data sets. Raises BadPicture if the picture cannot be read."""
        which, own = self.place(index)
        return self.datasets[which].sample(own)
