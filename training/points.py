"""Tasks whose answer is points: one heatmap per landmark. Pose and face differ in data, skeletons and scores only."""

from __future__ import annotations

import argparse
import csv
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.codec import Codec, HeatmapCodec
from training.config import Config
from training.errors import BadPicture, DataError
from training.files import atomic_write, write_json
from training.geometry import Crop
from training.loader import Batch, Joined
from training.metrics import mean_pose
from training.model import Model
from training.predict import Predictions, View, presentable
from training.report import overlay, save_png
from training.task import Task
from training.testset import TestSet

Scorer = Callable[[TestSet, NDArray[np.float32]], dict[str, float]]
Ranker = Callable[[TestSet, NDArray[np.float32], NDArray[np.float32]], dict[str, float]]


@dataclass(frozen=True, kw_only=True)
class PointTask(Task):
    """scorer: metrics by key, the headline first, of a test set and predictions (N, K, 2) in the pixels of its crops.

    It raises DataError if nothing in the test set can be scored. ranker: further ones, from the scores (N, K) of the
    points as well.
    """

    scorer: Scorer
    ranker: Ranker | None = None
    things: str = "joints"
    losses: tuple[str, ...] = ("bce", "mse")
    baseline: str = "mean pose"

    def codec(self, config: Config) -> Codec:
        return HeatmapCodec(config.data.size, sigma=config.data.sigma)

    def target(self, codec: Codec, batch: Batch) -> tuple[NDArray[Any], ...]:
        """Heatmaps (N, h, w, K) and joint weights (N, K)."""
        assert isinstance(codec, HeatmapCodec)
        encoded = [codec.encode(j, v) for j, v in zip(batch.joints, batch.labelled, strict=True)]
        return np.stack([maps for maps, _ in encoded]), np.stack([weights for _, weights in encoded])

    def truth(self, test: TestSet) -> NDArray[Any]:
        return test.joints

    def score(self, test: TestSet, predicted: NDArray[Any]) -> dict[str, float]:
        return self.scorer(test, predicted)

    def ranking(self, test: TestSet, predicted: NDArray[Any], *more: NDArray[Any]) -> dict[str, float]:
        return self.ranker(test, predicted, *more) if self.ranker else {}

    def constant(self, train: Joined, test: TestSet) -> NDArray[Any]:
        """The mean place of every joint. Raises DataError if no joint is labelled."""
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
            raise DataError(f"there is no labelled joint to take the {self.baseline} of")
        pose = mean_pose(np.stack(joints), np.stack(labels))
        return np.broadcast_to(pose, test.joints.shape).astype(np.float32)

    def overlay(self, test: TestSet, index: int, predicted: NDArray[Any]) -> NDArray[np.uint8]:
        truth = np.where(test.labelled[index][:, None], test.joints[index], np.nan)
        return overlay(test.pictures[index], predicted, test.skeleton, truth=truth)

    def predictions(self, model: Model, out: Path, options: argparse.Namespace) -> Predictions:
        return PointFiles(model, out, options.kpt_thr)

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--kpt-thr", type=float, default=0.0, help="draw only joints with at least this score")


class PointFiles:
    """predictions.json, predictions.csv, and one overlay per picture with the joints of at least a threshold."""

    files = "predictions.json, predictions.csv and overlays"

    def __init__(self, model: Model, out: Path, threshold: float = 0.0) -> None:
        self.model, self.out, self.threshold = model, out, threshold
        self.skeleton = model.skeleton
        self.people: list[dict[str, Any]] = []
        self.table = io.StringIO()
        self.rows = csv.writer(self.table, lineterminator="\n")
        self.rows.writerow(["picture", "joint", "x", "y", "score"])

    def add(self, number: int, view: View) -> None:
        joints, scores = points_in(self.model, view)
        records = [
            {"name": name, "x": round(float(x), 2), "y": round(float(y), 2), "score": round(float(score), 4)}
            for name, (x, y), score in zip(self.skeleton.joints, joints, scores, strict=True)
        ]
        picture = str(view.path)
        self.people.append({"picture": picture, "center": view.crop.center, "side": view.crop.side, "joints": records})
        self.rows.writerows([picture, j["name"], j["x"], j["y"], j["score"]] for j in records)
        save_png(self.out / view.file_name(number), self._draw(view, joints, scores))

    def close(self) -> None:
        atomic_write(self.out / "predictions.csv", self.table.getvalue().encode(errors="backslashreplace"))
        content = {"joints": self.skeleton.joints, "edges": self.skeleton.edges, "people": self.people}
        write_json(self.out / "predictions.json", content)

    def _draw(self, view: View, joints: NDArray[np.float32], scores: NDArray[np.float32]) -> NDArray[np.uint8]:
        """The picture with the person on it."""
        picture, zoom = presentable(view.picture)
        scale = np.divide(picture.shape[1::-1], view.picture.shape[1::-1])
        return overlay(
            picture,
            ((joints + 0.5) * scale - 0.5).astype(np.float32),
            self.skeleton,
            scores=scores,
            threshold=self.threshold,
            zoom=zoom,
            weight=max(picture.shape[:2]) / 160,
        )


def points_in(model: Model, view: View) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Joints (K, 2) in pixels of the picture (centres at integers), and scores (K,)."""
    joints, scores = model.codec.decode(view.maps)
    return view.crop.to_picture(joints), scores
