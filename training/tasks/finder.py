"""Finding: where faces, or whatever else is labelled by points, are in whole pictures, and how large they are."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hbcore.landmarks.codec import Codec
from hbcore.landmarks.confidence import Calibration
from hbcore.landmarks.crop import Crop
from hbcore.landmarks.finding.sizes import MOST, SizeCodec
from hbcore.landmarks.squares import around_picture
from training.configuration.settings import Config
from training.datasets.scenes import FINDER_KINDS
from training.datasets.scenes.instances import LOOK, boxes_of
from training.errors import BadPicture, DataError
from training.loading.batch import Batch, BatchPlan
from training.loading.concatenated import ConcatenatedDataset
from training.loading.mosaic import MosaicPlan
from training.loading.test_set import TestSet
from training.metrics.boxes import FALSE, PROTOCOLS, summarise_boxes
from training.pictures.drawing import RIGHT, TRUTH, Colour, frames
from training.prediction.box_files import BoxFiles
from training.prediction.model import BATCH, Model
from training.prediction.predict import Predictions
from training.tasks.task import Task

LOOKED_AT = 500  # pictures of a calibration, of each kind
WIDER = 4.0  # how many times as wide as its crop the picture of an instance is made for it


@dataclass(frozen=True, kw_only=True)
class FinderTask(Task):
    """Maps of sizes; it trains on scenes of `data.size` pixels and looks at pictures of LOOK."""

    things: str = "sizes"
    losses: tuple[str, ...] = ("bce",)
    baseline: str = "middle box"
    results: tuple[str, ...] = ("boxes.json", "boxes.csv")
    plan: type[BatchPlan] = MosaicPlan

    def codec(self, config: Config) -> Codec:
        return SizeCodec(LOOK)

    def target(self, codec: Codec, batch: Batch) -> tuple[NDArray[Any], ...]:
        """Maps (N, h, w, K) and their weights, which are 1."""
        assert isinstance(codec, SizeCodec)
        height, width = (side // codec.stride for side in batch.pictures.shape[1:3])
        pairs = zip(batch.keypoints, batch.labelled, strict=True)
        maps = np.stack([codec.encode(boxes_of(points, labelled), height, width) for points, labelled in pairs])
        return maps, np.ones((len(maps), codec.maps), np.float32)

    def truth(self, test: TestSet) -> NDArray[Any]:
        answers = np.full((len(test.pictures), MOST, 5), np.nan, np.float32)
        for answer, boxes in zip(answers, _boxes(test), strict=True):
            answer[: len(boxes)] = np.column_stack([boxes, np.ones(len(boxes))])
        return answers

    def score(self, test: TestSet, predicted: NDArray[Any]) -> dict[str, float]:
        boxes = _boxes(test)
        if not any(map(len, boxes)):
            raise DataError("nothing in the test set can be scored: no picture has a labelled instance")
        return summarise_boxes(list(predicted.astype(np.float64)), boxes)

    def constant(self, train: ConcatenatedDataset, test: TestSet) -> NDArray[Any]:
        """One box in the middle of every picture, a third as wide: where a portrait has its face."""
        size = test.pictures.shape[1]
        answers = np.full((len(test.pictures), MOST, 5), np.nan, np.float32)
        answers[:, 0] = size / 3, size / 3, 2 * size / 3, 2 * size / 3, 1
        return answers

    def calibrate(self, model: Model, data: ConcatenatedDataset) -> Calibration | None:
        """The confidence that lets 1 % of the pictures without an instance have one; right: pictures of single ones.

        None where no picture without an instance is among the data, or none can be read.
        """
        found: dict[bool, NDArray[np.float64]] = {}
        for faceless in (False, True):
            crops = list(_looks(data, faceless))
            if not crops:
                return None
            parts = [model.heatmaps(np.stack(crops[at : at + BATCH])) for at in range(0, len(crops), BATCH)]
            found[faceless] = model.codec.confidence(np.concatenate(parts))
        threshold = round(float(np.quantile(found[True], 1 - FALSE)), 4)
        right, wrong = (found[False] >= threshold).mean(), (found[True] < threshold).mean()
        return Calibration(threshold, round(float(right), 4), round(float(wrong), 4), len(found[False]))

    def overlay(self, test: TestSet, index: int, predicted: NDArray[Any]) -> NDArray[np.uint8]:
        return frames(test.pictures[index], predicted[predicted[:, 4] > 0.3, :4], _boxes(test)[index])

    def legend(self, test: TestSet) -> list[tuple[Colour | None, str]]:
        return [(RIGHT, "found with a confidence above 0.3"), (TRUTH, "labels")]

    def predictions(self, model: Model, out: Path, options: argparse.Namespace) -> Predictions:
        return BoxFiles(model, out, options.min_score)

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        """There are none."""


def _boxes(test: TestSet) -> list[NDArray[np.float64]]:
    return [boxes_of(points, labelled) for points, labelled in zip(test.keypoints, test.labelled, strict=True)]


def _looks(data: ConcatenatedDataset, faceless: bool) -> list[NDArray[np.uint8]]:
    """What a finder sees of pictures without an instance, or of single ones in wide crops; evenly spaced."""
    looks = []
    for dataset in data.datasets:
        # Photographs may hold what is not labelled: the threshold is about what is drawn, and known to be empty.
        if getattr(dataset, "faceless", False) != faceless or (faceless and dataset.name != "scenery"):
            continue
        for index in np.unique(np.linspace(0, len(dataset) - 1, LOOKED_AT).round().astype(int)).tolist():
            try:
                sample = dataset.sample(index)
            except BadPicture:  # a run has listed it
                continue
            center, side = around_picture(sample.picture) if faceless else (sample.center, WIDER * sample.side)
            looks.append(Crop(center, side, LOOK).extract(sample.picture))
    return looks


FINDER = FinderTask(
    name="finder",
    about="Binary networks that find faces in whole pictures, on a CPU.",
    kinds=FINDER_KINDS,
    headlines=("found@1%",),
    protocols=PROTOCOLS,
    settings=('data.train=["synthetic", "scenery"]', "data.size=256", "optim.batch_size=4"),
    unused=("data.sigma", "augment.mirror_shift"),
)
