"""Tasks whose answer is points: one heatmap per landmark. Pose and face differ in data, skeletons and scores only."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hbcore.landmarks.codec import Codec
from hbcore.landmarks.crop import Crop
from hbcore.landmarks.heatmaps import HeatmapCodec
from training.configuration.settings import Config
from training.errors import BadPicture, DataError
from training.loading.batch import Batch
from training.loading.concatenated import ConcatenatedDataset
from training.loading.test_set import TestSet
from training.metrics.points import mean_pose
from training.pictures.drawing import LEFT, MIDDLE, RIGHT, TRUTH, Colour, overlay
from training.prediction.model import Model
from training.prediction.point_files import PointFiles
from training.prediction.predict import Predictions
from training.tasks.task import Task

Scorer = Callable[[TestSet, NDArray[np.float32]], dict[str, float]]
Ranker = Callable[[TestSet, NDArray[np.float32], NDArray[np.float32]], dict[str, float]]


@dataclass(frozen=True, kw_only=True)
class PointTask(Task):
    """scorer: metrics by key of a test set and predictions (N, K, 2) in the pixels of its crops.

    It raises DataError if nothing in the test set can be scored. ranker: further ones, from the scores (N, K) of the
    points as well.
    """

    scorer: Scorer
    ranker: Ranker | None = None
    things: str = "keypoints"
    losses: tuple[str, ...] = ("bce", "mse")
    baseline: str = "mean pose"
    results: tuple[str, ...] = ("predictions.json", "predictions.csv")

    def codec(self, config: Config) -> Codec:
        return HeatmapCodec(config.data.size, sigma=config.data.sigma)

    def target(self, codec: Codec, batch: Batch) -> tuple[NDArray[Any], ...]:
        """Heatmaps (N, h, w, K) and keypoint weights (N, K)."""
        assert isinstance(codec, HeatmapCodec)
        encoded = [codec.encode(j, v) for j, v in zip(batch.keypoints, batch.labelled, strict=True)]
        return np.stack([maps for maps, _ in encoded]), np.stack([weights for _, weights in encoded])

    def truth(self, test: TestSet) -> NDArray[Any]:
        return test.keypoints

    def score(self, test: TestSet, predicted: NDArray[Any]) -> dict[str, float]:
        return self.scorer(test, predicted)

    def ranking(self, test: TestSet, predicted: NDArray[Any], *more: NDArray[Any]) -> dict[str, float]:
        return self.ranker(test, predicted, *more) if self.ranker else {}

    def constant(self, train: ConcatenatedDataset, test: TestSet) -> NDArray[Any]:
        """The mean place of every keypoint. Raises DataError if no keypoint is labelled."""
        size = test.pictures.shape[1]
        keypoints, labels = [], []
        for index in range(len(train)):
            try:
                sample = train.sample(index)
            except BadPicture:
                continue
            keypoints.append(Crop(sample.center, sample.side, size).to_input(sample.keypoints))
            labels.append(sample.labelled)
        if not np.any(labels):
            raise DataError(f"there is no labelled keypoint to take the {self.baseline} of")
        pose = mean_pose(np.stack(keypoints), np.stack(labels))
        return np.broadcast_to(pose, test.keypoints.shape).astype(np.float32)

    def overlay(self, test: TestSet, index: int, predicted: NDArray[Any]) -> NDArray[np.uint8]:
        truth = np.where(test.labelled[index][:, None], test.keypoints[index], np.nan)
        return overlay(test.pictures[index], predicted, test.skeleton, truth=truth)

    def legend(self, test: TestSet) -> list[tuple[Colour | None, str]]:
        """Sides only where points have them."""
        sides = {name.partition("_")[0] for name in test.skeleton.keypoints}
        words = [(RIGHT, "right"), (LEFT, "left")] if {"right", "left"} <= sides else []
        return [(None, "found:"), *words, (MIDDLE, "middle" if words else "points"), (TRUTH, "labels")]

    def predictions(self, model: Model, out: Path, options: argparse.Namespace) -> Predictions:
        return PointFiles(model, out, options.kpt_thr, options.min_score, options.several)

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--kpt-thr", type=float, default=0.0, help="keep and draw only keypoints with this score")
