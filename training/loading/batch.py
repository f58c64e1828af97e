"""Batches of augmented samples: a function of the seed and the step.

What a run sees is a function of its seed alone. Sample number k of the run (k = step * batch size + place in the batch)
is sample `order[k % n]` of pass `k // n` through the data, each pass in an order of its own, and its augmentation draws
from a generator seeded with (seed, k). So nothing has to be remembered to resume at any step.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.datasets import Sample
from training.errors import BadPicture
from training.labels.parts import Mask
from training.loading.concatenated import ConcatenatedDataset
from training.pictures.augmentation import Augmentation, stack

ORDER, AUGMENTATION = 1, 2  # which stream of random numbers, beside the run's seed


@dataclass(frozen=True, eq=False)
class Batch:
    """Pictures uint8 (N, S, S, 3), keypoints float32 (N, K, 2) in input pixels, labelled (N, K), and what went wrong.

    masks: uint8 (N, h, w) of the size of a network's maps, where the data sets have them.
    bad: (name of the sample or file, reason) of pictures that were replaced by the next readable one.
    """

    pictures: NDArray[np.uint8]
    keypoints: NDArray[np.float32]
    labelled: NDArray[np.bool_]
    names: tuple[str, ...]
    bad: tuple[tuple[str, str], ...]
    masks: Mask | None = None


@dataclass(frozen=True)
class BatchPlan:
    """Everything that decides what batch number `step` holds."""

    data: ConcatenatedDataset
    augmentation: Augmentation
    size: int
    batch_size: int
    seed: int
    skip_bad: bool = True

    def batch(self, step: int) -> Batch:
        """Batch number `step`. Raises BadPicture where pictures may not be skipped, or if none can be read."""
        examples, names, bad = [], [], []
        for k in range(step * self.batch_size, (step + 1) * self.batch_size):
            sample, unreadable = self._sample(k)
            rng = np.random.default_rng(np.random.SeedSequence([self.seed, AUGMENTATION, k]))
            examples.append(self.augmentation.apply(sample, self.size, self.data.scheme, rng))
            names.append(sample.name)
            bad += unreadable
        pictures, keypoints, labelled, masks = stack(examples)
        return Batch(pictures, keypoints, labelled, tuple(names), tuple(bad), masks)

    def _sample(self, k: int) -> tuple[Sample, list[tuple[str, str]]]:
        """Sample number k, or the next readable one after it, with the unreadable ones in between."""
        epoch, place = divmod(k, len(self.data))
        order = _order(self.seed, epoch, len(self.data))
        bad: list[tuple[str, str]] = []
        for step in range(len(self.data)):
            index = int(order[(place + step) % len(self.data)])
            try:
                return self.data.sample(index), bad
            except BadPicture as error:
                if not self.skip_bad:
                    raise
                bad.append((str(index), str(error)))
        raise BadPicture(f"none of the {len(self.data)} pictures can be read; the last one: {bad[-1][1]}")


_orders: dict[tuple[int, int, int], NDArray[np.intp]] = {}


def _order(seed: int, epoch: int, length: int) -> NDArray[np.intp]:
    """The order of one pass through the data; the last two are kept."""
    key = seed, epoch, length
    if key not in _orders:
        while len(_orders) > 1:
            del _orders[next(iter(_orders))]
        rng = np.random.default_rng(np.random.SeedSequence([seed, ORDER, epoch]))
        _orders[key] = rng.permutation(length)
    return _orders[key]
