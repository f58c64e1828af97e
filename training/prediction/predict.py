"""A network's look at a user's own pictures. What it saw there is for the task to say."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hbcore.landmarks.crop import Crop
from hbcore.landmarks.description import Description
from hbcore.landmarks.finding.finder import Finder
from hbcore.landmarks.landmarker import Instance, answer, found_in, look_at
from hbcore.landmarks.squares import corners_of
from training.errors import BadPicture, DataError, UserError
from training.pictures.reading import ENDINGS, read_picture
from training.prediction.boxes import Box, Boxes
from training.prediction.model import Model

DRAWN = 480, 960  # least and most pixels of the longer side of an overlay


@dataclass(frozen=True, eq=False)
class View:
    """One picture (H, W, 3), the square of it that the network saw, and what was found there.

    person: which of those in the picture, from 1; 0 where nobody asked for several.
    """

    path: Path
    picture: NDArray[np.uint8]
    crop: Crop
    found: Instance
    person: int = 0

    @property
    def confidence(self) -> float:
        """How sure the answer is."""
        return self.found.confidence

    def file_name(self, number: int) -> str:
        """The name of a PNG made of it; `number` keeps pictures of the same name apart."""
        return f"{number:04d}_{self.path.stem[:50]}.png"


class Predictions(Protocol):
    """Where the answers for a user's pictures are written: `add` for each of them, then `close`.

    What `add` was given is on the disk when it comes back, all but `predictions.json`, which `close` writes. Nothing is
    written where nothing was added.

    `files` says what there will be in the folder, `least` what confidence an answer needs to be drawn, `doubtful` which
    views had less.
    """

    files: str
    least: float | None
    doubtful: list[tuple[Path, float]]

    def add(self, number: int, view: View) -> None: ...
    def close(self) -> None: ...


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


def crop_for(picture: NDArray[np.uint8], description: Description, box: Box | None) -> Crop:
    """The square around a box (x, y, width, height, in picture pixels) with a margin, or around the whole picture.

    Raises ValueError for a box that does not touch the picture or is more than a hundred times as large.
    """
    if box is None:
        return look_at(picture, None, description)
    try:
        return look_at(picture, corners_of(*box), description)
    except ValueError as error:
        raise ValueError(f"the box {','.join(f'{number:g}' for number in box)} {error}") from None


def look(model: Model, path: Path, box: Box | None = None, flip: bool = False) -> View:
    """What the network sees in one picture. BadPicture if it cannot be read or the box is not in it."""
    return _look(model, path, read_picture(path), box, flip)


def _look(model: Model, path: Path, picture: NDArray[np.uint8], box: Box | None, flip: bool, person: int = 0) -> View:
    try:
        crop = crop_for(picture, model.description, box)
    except ValueError as error:
        raise BadPicture(f"{path}: {error}") from None
    height, width = picture.shape[:2]
    place = corners_of(*(box or (0, 0, width, height)))
    maps = partial(model.heatmaps, flip=flip)
    return View(path, picture, crop, answer(model.description, maps, picture, crop, place), person)


def not_drawn(confidence: float, least: float) -> str:
    """What stands on the overlay of an answer that is not drawn."""
    return f"confidence {confidence:.2f}, below {least:.2f}: not drawn"


def presentable(picture: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], int]:
    """A picture of a size that can be looked at: shrunk if need be, and how many times it is to be enlarged."""
    height, width = picture.shape[:2]
    least, most = DRAWN
    shrink = max(1.0, max(height, width) / most)
    if shrink > 1:
        size = max(1, round(width / shrink)), max(1, round(height / shrink))
        picture = np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BILINEAR))
    return picture, max(1, round(least / max(picture.shape[:2])))


def save_predictions(
    model: Model,
    paths: Iterable[Path],
    predictions: Predictions,
    box: Box | None = None,
    flip: bool = False,
    boxes: Boxes | None = None,
    finder: Finder | None = None,
) -> tuple[int, list[BadPicture]]:
    """How many pictures were read and their answers written, and why the others were not.

    With `boxes` there is an answer for each box of a picture; without any, for each that `finder` leads to, if there is
    one. Whatever ends this early leaves what is done.
    """
    bad: list[BadPicture] = []
    done = 0
    number = count()
    try:
        for path in paths:
            seen = False
            for view in _views(model, path, box, flip, boxes, finder):
                place = next(number)
                if isinstance(view, BadPicture):
                    bad.append(view)
                else:
                    predictions.add(place, view)
                    seen = True
            done += seen
    except BaseException:  # KeyboardInterrupt as well
        with contextlib.suppress(UserError):  # of a full disk
            predictions.close()
        raise
    predictions.close()
    return done, bad


def _views(
    model: Model, path: Path, box: Box | None, flip: bool, boxes: Boxes | None, finder: Finder | None
) -> Iterator[View | BadPicture]:
    """The answers for one picture, or what is wrong with it or with a box."""
    chosen = [box] if boxes is None else boxes.of(path)
    if boxes is not None and not chosen:
        yield BadPicture(f"{path}: has no box in {boxes.name}")
        return
    try:
        picture = read_picture(path)
    except BadPicture as error:
        yield error
        return
    if finder and box is None and boxes is None:
        looks = found_in(picture, finder, model.description, partial(model.heatmaps, flip=flip))
        for person, (crop, found) in enumerate(looks, start=1):
            yield View(path, picture, crop, found, person)
        if not looks:
            yield BadPicture(f"{path}: nothing was found that the model is sure of")
        return
    for person, part in enumerate(chosen, start=1):
        try:
            yield _look(model, path, picture, part, flip, person if boxes else 0)
        except BadPicture as error:
            yield error
