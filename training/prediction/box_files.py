"""Boxes found in a user's own pictures, as files."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

from training.files.writing import append, atomic_write, write_json
from training.pictures.drawing import frames, save_png
from training.prediction.boxes import COLUMNS
from training.prediction.model import Model
from training.prediction.predict import View, presentable


class BoxFiles:
    """boxes.json, boxes.csv, which `--boxes csv:` of the other tasks reads, and an overlay of every picture.

    A box is kept if its confidence is at least `least`, by default the model's own threshold.
    """

    files = "boxes.json, boxes.csv and overlays"

    def __init__(self, model: Model, out: Path, least: float | None = None) -> None:
        self.out = out
        self.least = model.least_confidence if least is None else least
        self.doubtful: list[tuple[Path, float]] = []
        self.pictures: list[dict[str, Any]] = []

    def add(self, number: int, view: View) -> None:
        corners, scores = view.found.points, view.found.scores
        assert corners is not None
        assert scores is not None
        kept = scores >= (self.least or 0)
        boxes, scores = corners.reshape(-1, 4)[kept], scores[kept]
        picture = str(view.path.resolve())
        # As everywhere, a box of so many pixels begins with the centre of its first one.
        rows = [
            [picture, round(x0 + 0.5, 2), round(y0 + 0.5, 2), round(x1 - x0, 2), round(y1 - y0, 2), round(score, 4)]
            for (x0, y0, x1, y1), score in zip(boxes.tolist(), scores.tolist(), strict=True)
        ]
        if not self.pictures:
            atomic_write(self.out / "boxes.csv", _lines([[*COLUMNS, "confidence"]]))
        append(self.out / "boxes.csv", _lines(rows))
        found = [{"box": row[1:5], "confidence": row[5]} for row in rows]
        self.pictures.append({"picture": str(view.path), "found": found})
        shown, zoom = presentable(view.picture)
        scale = shown.shape[1] / view.picture.shape[1]
        save_png(self.out / view.file_name(number), frames(shown, (boxes + 0.5) * scale - 0.5, zoom=zoom))

    def close(self) -> None:
        if self.pictures:
            write_json(self.out / "boxes.json", {"pictures": self.pictures, "min_score": self.least})


def _lines(rows: list[list[Any]]) -> bytes:
    """Rows as CSV."""
    table = io.StringIO()
    csv.writer(table, lineterminator="\n").writerows(rows)
    return table.getvalue().encode(errors="backslashreplace")
