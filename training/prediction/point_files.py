"""Points of a user's own pictures, as files."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.files.writing import append, atomic_write, write_json
from training.pictures.drawing import overlay, save_png
from training.pictures.legend import captioned
from training.prediction.model import Model
from training.prediction.predict import View, not_drawn, presentable


class PointFiles:
    """predictions.json, predictions.csv, and one overlay per picture with the keypoints that are kept.

    A keypoint is kept if its score is at least `threshold` and the confidence of the answer at least `least`, by
    default the model's own threshold. The others are in the files all the same, and marked. several: there may be
    several people in a picture, which a column and a field `person` tell apart.
    """

    files = "predictions.json, predictions.csv and overlays"

    def __init__(
        self, model: Model, out: Path, threshold: float = 0.0, least: float | None = None, several: bool = False
    ) -> None:
        self.model, self.out, self.threshold = model, out, threshold
        self.least = model.least_confidence if least is None else least
        self.doubtful: list[tuple[Path, float]] = []
        self.skeleton = model.skeleton
        self.samples: list[dict[str, Any]] = []
        self.several = several

    def add(self, number: int, view: View) -> None:
        keypoints, scores = view.found.points, view.found.scores
        assert keypoints is not None
        assert scores is not None
        confidence = round(view.confidence, 4)
        below = self.least is not None and view.confidence < self.least
        kept = np.full(len(scores), False) if below else scores >= self.threshold
        records: list[dict[str, Any]] = [
            {
                "name": name,
                "x": round(float(x), 2),
                "y": round(float(y), 2),
                "score": round(float(score), 4),
                "kept": bool(keep),
            }
            for name, (x, y), score, keep in zip(self.skeleton.keypoints, keypoints, scores, kept, strict=True)
        ]
        picture = str(view.path)
        who = {"person": view.person} if self.several else {}
        place = {"picture": picture, **who, "center": view.crop.center, "side": view.crop.side}
        # Before the overlay, which is larger: on a full disk the answer still fits.
        rows = [
            [picture, *who.values(), j["name"], j["x"], j["y"], j["score"], confidence, int(j["kept"])] for j in records
        ]
        if not self.samples:
            header = ["picture", *who, "joint", "x", "y", "score", "confidence", "kept"]
            atomic_write(self.out / "predictions.csv", _lines([header]))
        append(self.out / "predictions.csv", _lines(rows))
        self.samples.append({**place, "joints": records, "confidence": confidence, "below": below})
        drawn = self._draw(view, np.where(kept[:, None], keypoints, np.float32(np.nan)))
        if self.least is not None and below:
            self.doubtful.append((view.path, view.confidence))
            drawn = captioned(drawn, not_drawn(view.confidence, self.least))
        save_png(self.out / view.file_name(number), drawn)

    def close(self) -> None:
        if not self.samples:
            return
        content = {"joints": self.skeleton.keypoints, "edges": self.skeleton.edges, "people": self.samples}
        write_json(self.out / "predictions.json", {**content, "min_score": self.least, "kpt_thr": self.threshold})

    def _draw(self, view: View, keypoints: NDArray[np.float32]) -> NDArray[np.uint8]:
        """The picture with the keypoints on it that are not NaN."""
        picture, zoom = presentable(view.picture)
        scale = np.divide(picture.shape[1::-1], view.picture.shape[1::-1])
        return overlay(
            picture,
            ((keypoints + 0.5) * scale - 0.5).astype(np.float32),
            self.skeleton,
            zoom=zoom,
            weight=max(picture.shape[:2]) / 160,
        )


def _lines(rows: list[list[Any]]) -> bytes:
    """Rows as CSV."""
    table = io.StringIO()
    csv.writer(table, lineterminator="\n").writerows(rows)
    return table.getvalue().encode(errors="backslashreplace")
