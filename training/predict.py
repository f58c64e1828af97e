"""Joints for a user's own pictures."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from training.errors import BadPicture, DataError, UserError
from training.files import atomic_write, write_json
from training.geometry import Crop
from training.pictures import read_picture
from training.pose_model import PoseModel
from training.report import overlay, save_png

ENDINGS = {".jpg", ".jpeg", ".png", ".bmp", ".ppm"}
DRAWN = 480, 960  # least and most pixels of the longer side of an overlay
BOX_MARGIN = 1.25  # side of the crop over the longer side of a given box: what MPII's own rule amounts to


@dataclass(frozen=True, eq=False)
class Prediction:
    """One picture: joints (K, 2) in its pixels (centres at integers), scores (K,), and the square looked at."""

    path: Path
    joints: NDArray[np.float32]
    scores: NDArray[np.float32]
    crop: Crop


def find_pictures(inputs: Sequence[Path]) -> list[Path]:
    """The pictures named, and those in the folders named, by name. Raises UserError if there are none."""
    found: list[Path] = []
    for path in inputs:
        if os.path.isdir(path):
            try:
                inside = sorted(p for p in path.iterdir() if p.suffix.lower() in ENDINGS)
            except OSError as error:
                raise DataError(f"cannot look into {path}: {error.strerror}") from None
            if not inside:
                raise UserError(f"{path} holds no picture ({', '.join(sorted(ENDINGS))})")
            found += inside
        elif os.path.exists(path):  # unlike path.exists() without an exception, whatever the name
            found.append(path)
        else:
            raise UserError(f"there is no picture or folder {path}")
    return found


def crop_for(picture: NDArray[np.uint8], size: int, box: tuple[float, float, float, float] | None) -> Crop:
    """The square around a box (x, y, width, height, in picture pixels) with a margin, or around the whole picture.

    Raises ValueError for a box that does not touch the picture or is more than a hundred times as large.
    """
    rows, columns = picture.shape[:2]
    if box is None:
        return Crop(((columns - 1) / 2, (rows - 1) / 2), max(rows, columns), size)
    x, y, width, height = box
    if x >= columns or y >= rows or x + width <= 0 or y + height <= 0 or max(width, height) > 100 * max(rows, columns):
        raise ValueError(f"the box {x:g},{y:g},{width:g},{height:g} is not in a picture of {columns} x {rows} pixels")
    return Crop((x + (width - 1) / 2, y + (height - 1) / 2), BOX_MARGIN * max(width, height), size)


def predict(
    model: PoseModel, path: Path, box: tuple[float, float, float, float] | None = None, flip: bool = False
) -> tuple[Prediction, NDArray[np.uint8]]:
    """Joints of the person in one picture, and the picture. BadPicture if it cannot be read or the box is not in it."""
    picture = read_picture(path)
    try:
        crop = crop_for(picture, model.codec.input_size, box)
    except ValueError as error:
        raise BadPicture(f"{path}: {error}") from None
    joints, scores = model.predict(crop.extract(picture)[None], flip)
    return Prediction(path, crop.to_picture(joints[0]), scores[0], crop), picture


def draw(model: PoseModel, found: Prediction, picture: NDArray[np.uint8], threshold: float = 0.0) -> NDArray[np.uint8]:
    """The picture with the person on it, shrunk or enlarged to a size that can be looked at."""
    height, width = picture.shape[:2]
    least, most = DRAWN
    joints, shrink = found.joints, max(1.0, max(height, width) / most)
    if shrink > 1:
        size = max(1, round(width / shrink)), max(1, round(height / shrink))
        picture = np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BILINEAR))
        joints = ((joints + 0.5) * np.divide(size, (width, height)) - 0.5).astype(np.float32)
    longer = max(picture.shape[:2])
    return overlay(
        picture,
        joints,
        model.skeleton,
        scores=found.scores,
        threshold=threshold,
        zoom=max(1, round(least / longer)),
        weight=longer / 160,
    )


def save_predictions(
    model: PoseModel,
    paths: Sequence[Path],
    out: Path,
    box: tuple[float, float, float, float] | None = None,
    flip: bool = False,
    threshold: float = 0.0,
) -> tuple[int, list[BadPicture]]:
    """Predict every picture; write predictions.json, predictions.csv and one overlay each into the folder `out`.

    Returns how many were read, and why the others were not.
    """
    records: list[dict[str, Any]] = []
    bad: list[BadPicture] = []
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["picture", "joint", "x", "y", "score"])
    for number, path in enumerate(paths):
        try:
            found, picture = predict(model, path, box, flip)
        except BadPicture as error:
            bad.append(error)
            continue
        joints = [
            {"name": name, "x": round(float(x), 2), "y": round(float(y), 2), "score": round(float(score), 4)}
            for name, (x, y), score in zip(model.skeleton.joints, found.joints, found.scores, strict=True)
        ]
        records.append({"picture": str(path), "center": found.crop.center, "side": found.crop.side, "joints": joints})
        writer.writerows([path, j["name"], j["x"], j["y"], j["score"]] for j in joints)
        save_png(out / f"{number:04d}_{path.stem[:50]}.png", draw(model, found, picture, threshold))
    atomic_write(out / "predictions.csv", table.getvalue().encode(errors="backslashreplace"))
    write_json(
        out / "predictions.json", {"joints": model.skeleton.joints, "edges": model.skeleton.edges, "people": records}
    )
    return len(records), bad
