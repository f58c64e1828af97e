"""Batches of augmented samples: a function of the seed and the step.

What a run sees is a function of its seed alone. Sample number k of the run (k = step * batch size + place in the batch)
is sample `order[k % n]` of pass `k // n` through the data, each pass in an order of its own, and its augmentation draws
from a generator seeded with (seed, k). So nothing has to be remembered to resume at any step.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import chain
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from training.datasets import Sample
from training.errors import BadPicture
from training.labels.parts import Mask
from training.loading.concatenated import ConcatenatedDataset
from training.loading.kept import KeptSamples
from training.pictures.augmentation import Augmentation

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


class Labels(NamedTuple):
    """What belongs to one picture of a batch: keypoints (K, 2), labelled (K,) and the rest of a Batch."""

    keypoints: NDArray[np.float32]
    labelled: NDArray[np.bool_]
    mask: Mask | None
    name: str
    bad: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class BatchPlan:
    """Everything that decides what batch number `step` holds, and how many bytes of decoded pictures may be kept."""

    data: ConcatenatedDataset
    augmentation: Augmentation
    size: int
    batch_size: int
    seed: int
    skip_bad: bool = True
    keep: int = 0

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """That of the pictures of a batch."""
        return self.batch_size, self.size, self.size, 3

    def keeping(self, stop: int, workers: int) -> BatchPlan:
        """The plan of one of so many workers, which keeps decoded pictures if any is seen again before batch `stop`."""
        again = stop * self.batch_size > len(self.data)
        return replace(self, data=KeptSamples(self.data, self.keep // workers)) if self.keep and again else self

    def batch(self, step: int) -> Batch:
        """Batch number `step`. Raises BadPicture where pictures may not be skipped, or if none can be read."""
        pictures = np.empty(self.shape, np.uint8)
        return self.gather(pictures, {place: self.example(step, place, pictures) for place in range(self.batch_size)})

    def places(self, step: int, share: int, workers: int) -> list[int]:
        """The places of batch `step` that fall to one of so many workers: always the same samples to the same."""
        first = step * self.batch_size
        return [place for place in range(self.batch_size) if self._index(first + place) % workers == share]

    def example(self, step: int, place: int, pictures: NDArray[np.uint8]) -> Labels:
        """Make one example of batch `step`: its picture in its place of `pictures`, the rest is returned.

        Raises as `batch` does.
        """
        k = step * self.batch_size + place
        sample, bad = self._sample(k)
        rng = np.random.default_rng(np.random.SeedSequence([self.seed, AUGMENTATION, k]))
        made = self.augmentation.apply(sample, self.size, self.data.scheme, rng, pictures[place])
        return Labels(made.keypoints, made.labelled, made.mask, sample.name, tuple(bad))

    def gather(self, pictures: NDArray[np.uint8], labels: Mapping[int, Labels]) -> Batch:
        """The batch of these pictures, from what belongs to each place."""
        keypoints, labelled, masks, names, bad = zip(*(labels[place] for place in range(self.batch_size)), strict=True)
        there = None if any(mask is None for mask in masks) else np.stack(masks)
        return Batch(pictures, np.stack(keypoints), np.stack(labelled), names, tuple(chain(*bad)), there)

    def _index(self, k: int, further: int = 0) -> int:
        """Which sample of the data sample number k of the run is, or so many further in the order of its pass."""
        epoch, place = divmod(k, len(self.data))
        return int(_order(self.seed, epoch, len(self.data))[(place + further) % len(self.data)])

    def _sample(self, k: int) -> tuple[Sample, list[tuple[str, str]]]:
        """Sample number k, or the next readable one after it, with the unreadable ones in between."""
        bad: list[tuple[str, str]] = []
        for further in range(len(self.data)):
            index = self._index(k, further)
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
