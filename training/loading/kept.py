"""Samples that are kept in memory once they have been decoded."""

from __future__ import annotations

from training.datasets import Sample
from training.loading.concatenated import ConcatenatedDataset


class KeptSamples(ConcatenatedDataset):
    """A data set that remembers the samples that came first, up to so many bytes of pixels.

    None makes way for another: what is kept is met again as often as what might replace it, or, of a set that comes
    several times in a pass, oftener. Two workers keep different samples if each is asked for its own.
    """

    def __init__(self, data: ConcatenatedDataset, room: int) -> None:
        super().__init__(data.datasets, data.length, data.times)
        self.room = room
        self._kept: dict[tuple[int, int], Sample] = {}

    def sample(self, index: int) -> Sample:
        """See ConcatenatedDataset. What comes out is not to be changed."""
        place = self.place(index)
        sample = self._kept.get(place)
        if sample is None:
            sample = super().sample(index)
            size = sample.picture.nbytes + (0 if sample.mask is None else sample.mask.nbytes)
            if size <= self.room:
                self.room -= size
                self._kept[place] = sample
        return sample
