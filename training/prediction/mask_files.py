"""Masks of a user's own pictures, as files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from training.files.writing import atomic_write, make_folder, numbered, write_json
from training.labels.parts import parts_of
from training.pictures.drawing import save_png, tint
from training.pictures.legend import captioned
from training.prediction.model import Model
from training.prediction.predict import View, not_drawn, presentable


class PartFiles:
    """A mask of every picture, an overlay of it, and predictions.json with the share of every class.

    masks/NAME.png is an index-colour PNG in the pixels of the picture: each holds its class, or IGNORED where the
    network did not look. NAME is the picture's; -2 and so on keep pictures of one name apart. classes.txt names the
    classes, so that the folder is a data set, `masks:FOLDER`. Where the confidence is below `least`, by default the
    model's own threshold, the overlay shows no parts, and predictions.json says so.
    """

    files = "masks/, classes.txt, predictions.json and overlays"

    def __init__(self, model: Model, out: Path, least: float | None = None) -> None:
        self.model, self.out = model, out
        self.least = model.least_confidence if least is None else least
        self.doubtful: list[tuple[Path, float]] = []
        self.parts = parts_of(model.scheme)
        self.names: set[str] = set()
        self.pictures: list[dict[str, Any]] = []

    def add(self, number: int, view: View) -> None:
        mask, name = view.found.classes, self._free_name(view.path.stem[:200])
        assert mask is not None
        if not self.pictures:
            classes = "".join(f"{part}\n" for part in self.parts.names)
            atomic_write(self.out / "classes.txt", classes.encode())
        colours = self.parts.colours()
        palette = np.full((256, 3), 128, dtype=np.uint8)
        palette[: len(colours)] = colours
        save_png(make_folder(self.out / "masks") / f"{name}.png", mask, palette)
        below = self.least is not None and view.confidence < self.least
        counts = np.bincount(mask.ravel(), minlength=256)[: len(self.parts.names)]
        shares = {part: round(int(n) / mask.size, 6) for part, n in zip(self.parts.names, counts, strict=True)}
        self.pictures.append(
            {
                "picture": str(view.path),
                "mask": f"masks/{name}.png",
                "center": view.crop.center,
                "side": view.crop.side,
                "shares": shares,
                "confidence": round(view.confidence, 4),
                "below": below,
            }
        )
        picture, zoom = presentable(view.picture)
        shown = np.asarray(Image.fromarray(mask).resize(picture.shape[1::-1], Image.Resampling.NEAREST))
        drawn = tint(picture, np.zeros_like(shown) if below else shown, colours, zoom=zoom)
        if self.least is not None and below:
            self.doubtful.append((view.path, view.confidence))
            drawn = captioned(drawn, not_drawn(view.confidence, self.least))
        save_png(self.out / view.file_name(number), drawn)

    def close(self) -> None:
        if not self.pictures:
            return
        content = {"classes": self.parts.names, "pictures": self.pictures, "min_score": self.least}
        write_json(self.out / "predictions.json", content)

    def _free_name(self, stem: str) -> str:
        name = next(name for name in numbered(stem) if name not in self.names)
        self.names.add(name)
        return name
