"""Segmentation into parts: the class of every pixel."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hbcore.landmarks.codec import Codec
from hbcore.landmarks.masks import MaskCodec
from hbcore.optim.losses import IGNORED
from training.configuration.settings import Config
from training.datasets.parts import PART_KINDS
from training.errors import BadPicture, DataError
from training.labels.parts import Mask, parts_of
from training.loading.batch import Batch
from training.loading.concatenated import ConcatenatedDataset
from training.loading.test_set import TestSet
from training.metrics.parts import PROTOCOLS, confusion, summarise_parts
from training.pictures.augmentation import plain
from training.pictures.drawing import TRUTH, Colour, tint
from training.prediction.mask_files import PartFiles
from training.prediction.model import Model
from training.prediction.predict import Predictions
from training.tasks.task import Task


@dataclass(frozen=True, kw_only=True)
class PartTask(Task):
    """The answer is the class of each pixel: one map per class, of which the largest counts."""

    things: str = "parts"
    losses: tuple[str, ...] = ("softmax",)
    baseline: str = "mean mask"
    results: tuple[str, ...] = ("predictions.json", "classes.txt", "classes.toml", "masks")

    def codec(self, config: Config) -> Codec:
        return MaskCodec(config.data.size)

    def target(self, codec: Codec, batch: Batch) -> tuple[NDArray[Any], ...]:
        """Masks (N, h, w)."""
        assert batch.masks is not None
        return (batch.masks,)

    def truth(self, test: TestSet) -> NDArray[Any]:
        """What is labelled, and the first class elsewhere."""
        masks = _masks(test)
        return np.where(masks == IGNORED, 0, masks)

    def score(self, test: TestSet, predicted: NDArray[Any]) -> dict[str, float]:
        names = test.scheme.names
        counts = confusion(predicted, _masks(test), len(names))
        if not counts.any():
            raise DataError("nothing in the test set can be scored: no pixel is labelled")
        return summarise_parts(counts, names)

    def constant(self, train: ConcatenatedDataset, test: TestSet) -> NDArray[Any]:
        """The class that each pixel has most often."""
        size, classes = test.pictures.shape[1], np.arange(len(train.scheme.names))
        votes = np.zeros((size, size, len(classes)), dtype=np.int64)
        for index in range(len(train)):
            try:
                mask = plain(train.sample(index), size).mask
            except BadPicture:
                continue
            assert mask is not None
            votes += mask[..., None] == classes
        if not votes.any():
            raise DataError(f"there is no labelled pixel to take the {self.baseline} of")
        return np.broadcast_to(votes.argmax(axis=-1).astype(np.uint8), _masks(test).shape)

    def overlay(self, test: TestSet, index: int, predicted: NDArray[Any]) -> NDArray[np.uint8]:
        """Parts in colours; the borders of the labelled ones in white."""
        colours = parts_of(test.scheme).colours()
        return tint(test.pictures[index], predicted, colours, truth=_masks(test)[index])

    def legend(self, test: TestSet) -> list[tuple[Colour | None, str]]:
        """All parts but the background, which is not tinted."""
        parts = parts_of(test.scheme)
        words = [(tuple(colour), name) for colour, name in zip(parts.colours().tolist(), parts.names, strict=True)]
        return [(None, "found:"), *words[1:], (TRUTH, "borders of the labels")]

    def predictions(self, model: Model, out: Path, options: argparse.Namespace) -> Predictions:
        return PartFiles(model, out, options.min_score)

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        """There are none."""


def _masks(test: TestSet) -> Mask:
    assert test.masks is not None
    return test.masks


PARTS = PartTask(
    name="parts",
    about="Binary networks for the segmentation of faces into parts, on a CPU.",
    kinds=PART_KINDS,
    headlines=("mIoU",),
    protocols=PROTOCOLS,
    settings=("optim.loss=softmax",),
    unused=("data.sigma", "augment.mirror_shift"),
)
