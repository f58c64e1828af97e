"""Points of a user's own pictures, as files."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.files.writing import atomic_write, write_json
from training.pictures.drawing import overlay, save_png
from training.prediction.model import Model
from training.prediction.predict import View, presentable


class PointFiles:
    """predictions.json, predictions.csv, and one overlay per picture with the keypoints of at least a threshold."""

    files = "predictions.json, predictions.csv and overlays"

    def __init__(self, model: Model, out: Path, threshold: float = 0.0) -> None:
        self.model, self.out, self.threshold = model, out, threshold
        self.skeleton = model.skeleton
        self.samples: list[dict[str, Any]] = []
        self.table = io.StringIO()
        self.rows = csv.writer(self.table, lineterminator="\n")
        self.rows.writerow(["picture", "joint", "x", "y", "score"])

    def add(self, number: int, view: View) -> None:
        keypoints, scores = points_in(self.model, view)
        records = [
            {"name": name, "x": round(float(x), 2), "y": round(float(y), 2), "score": round(float(score), 4)}
            for name, (x, y), score in zip(self.skeleton.keypoints, keypoints, scores, strict=True)
        ]
        picture = str(view.path)
        self.samples.append({"picture": picture, "center": view.crop.center, "side": view.crop.side, "joints": records})
        self.rows.writerows([picture, j["name"], j["x"], j["y"], j["score"]] for j in records)
        save_png(self.out / view.file_name(number), self._draw(view, keypoints, scores))

    def close(self) -> None:
        atomic_write(self.out / "predictions.csv", self.table.getvalue().encode(errors="backslashreplace"))
        content = {"joints": self.skeleton.keypoints, "edges": self.skeleton.edges, "people": self.samples}
        write_json(self.out / "predictions.json", content)

    def _draw(self, view: View, keypoints: NDArray[np.float32], scores: NDArray[np.float32]) -> NDArray[np.uint8]:
        """The picture with the keypoints on it."""
        picture, zoom = presentable(view.picture)
        scale = np.divide(picture.shape[1::-1], view.picture.shape[1::-1])
        return overlay(
            picture,
            ((keypoints + 0.5) * scale - 0.5).astype(np.float32),
            self.skeleton,
            scores=scores,
            threshold=self.threshold,
            zoom=zoom,
            weight=max(picture.shape[:2]) / 160,
        )


def points_in(model: Model, view: View) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Keypoints (K, 2) in pixels of the picture (centres at integers), and scores (K,)."""
    keypoints, scores = model.codec.decode(view.maps)
    return view.crop.to_picture(keypoints), scores
