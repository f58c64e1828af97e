"""Trained models in three lines: `hbcore.Landmarker("runs/face/last.safetensors")(picture, boxes=...)`."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hbcore.deploy.engine import Engine
from hbcore.deploy.model_file import ModelFileError, load_model, reason
from hbcore.landmarks.crop import Crop
from hbcore.landmarks.description import Description, to_maps
from hbcore.landmarks.finding.finder import Finder
from hbcore.landmarks.finding.sizes import SizeCodec, separate
from hbcore.landmarks.heatmaps import mean_score
from hbcore.landmarks.masks import MaskCodec
from hbcore.landmarks.squares import around_corners, around_picture
from hbcore.values import whole

MODELS = Path(__file__).resolve().parents[1] / "models"
"""Where the models lie that a name is enough for."""

Levels = NDArray[np.uint8]
MapsOf = Callable[[Levels], NDArray[np.float32]]
"""From crops (1, S, S, 3) to maps (1, h, w, K)."""


LEAD = 0.45
"""Share of a finder's threshold from which on a model looks at its boxes; in photos to train on, less found no more."""

GLANCE = 0.75
"""Share of a model's threshold that its first look at such a box must reach for a second one."""


@dataclass(frozen=True, eq=False)
class Instance:
    """What a model found at one place of a picture.

    points (K, 2) float32, x and y in pixels of the picture, the first pixel's centre at (0, 0), and their scores (K,);
    of a model of parts, None. classes: of such a model, the class of every pixel, uint8 (H, W), 255 where it did not
    look; else None. names: of the points or classes. box (x0, y0, x1, y1): where it looked, without the model's margin:
    as it was given, or after a second look around the points of the first. confidence: how sure the answer is. sure:
    whether that is enough for an answer that is worth something, None where the model file does not say what is.
    """

    names: tuple[str, ...]
    box: NDArray[np.float64]
    confidence: float
    sure: bool | None
    points: NDArray[np.float32] | None = None
    scores: NDArray[np.float32] | None = None
    classes: NDArray[np.uint8] | None = None


class Landmarker:
    """A trained model, ready for pictures: landmarker(picture, boxes) -> instances.

    model: the name of a model that comes with hbcore, or a model file, packed or not. finder: the same of a model that
    says where to look in a picture without boxes; by default the one that goes with the model, see `finder_for`.
    ModelFileError, in one line, where there is none. Threads may share one: their calls wait for each other's network.
    """

    def __init__(self, model: str | Path, finder: str | Path | None = None) -> None:
        path = find_model(model)
        network, header = load_model(path)
        try:
            self.description = Description.read(header, network)
            size = self.description.codec.input_size
            self.engine = Engine(network, size, size)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ModelFileError(f"{path}: not a model of this version ({reason(error)})") from None
        if self.description.finds:
            raise ModelFileError(f"{path}: a finder: name it beside a model, as finder={os.fspath(model)!r}")
        self._finder = Finder(find_model(finder)) if finder else None
        self._lock = threading.Lock()

    @property
    def finder(self) -> Finder | None:
        """What says where to look, None where nothing does; the default one is loaded when it is first asked for."""
        with self._lock:
            if self._finder is None and (path := finder_for(self.description)):
                self._finder = Finder(path)
            return self._finder

    @property
    def names(self) -> tuple[str, ...]:
        """Of the points or classes that it finds, in order."""
        return self.description.names

    def __call__(self, pictures: Any, boxes: Any = None, again: int | None = None) -> list[Any]:
        """The instances in a picture, or a list of them for each of several.

        pictures: one, uint8 RGB (H, W, 3); or several, as (N, H, W, 3) or a list. boxes: for one picture (4,) or
        (n, 4), each x0, y0, x1, y1 in its pixels, the first pixel's centre at (0, 0): corners of what the face or
        person takes up, without the margin, which the model knows. For several, a sequence of such, or None for some.
        Without boxes the finder says where to look, and only what the model is sure of is an instance. Without a finder
        the square to look at is around the whole picture: a model that never saw that in training will not be sure of
        it. again: how often to look once more at the box of the points that were found, which makes up for boxes that
        are off; None: once where the finder gave the box, else not. TypeError or ValueError, in one line, for other
        pictures or boxes; FloatingPointError if the network computes NaN or infinity.
        """
        if again is not None:
            again = whole("again", again, least=0)
        if isinstance(pictures, np.ndarray) and pictures.ndim != 4:
            return self._instances(pictures, boxes, again)
        if not isinstance(pictures, np.ndarray | Sequence) or isinstance(pictures, str | bytes):
            raise TypeError(f"pictures are arrays of uint8, RGB (H, W, 3), or a list of them, got {type(pictures)}")
        if boxes is not None and len(boxes) != len(pictures):
            raise ValueError(f"{len(boxes)} boxes for {len(pictures)} pictures: give each picture its own, or None")
        return [
            self._instances(picture, None if boxes is None else boxes[index], again)
            for index, picture in enumerate(pictures)
        ]

    def _instances(self, picture: Levels, boxes: Any, again: int | None) -> list[Instance]:
        require_picture(picture)
        if boxes is None and self.finder:
            found = found_in(picture, self.finder, self.description, self._maps, 1 if again is None else again)
            return [instance for _, instance in found]
        instances = []
        for box in _whole(picture) if boxes is None else _rows(boxes):
            try:
                crop = look_at(picture, None if boxes is None else box, self.description)
            except ValueError as error:
                raise ValueError(f"the box {','.join(f'{x:g}' for x in box)} {error}") from None
            first = crop, answer(self.description, self._maps, picture, crop, box)
            instances.append(settled(picture, first, self.description, self._maps, again or 0)[1])
        return instances

    def _maps(self, crops: Levels) -> NDArray[np.float32]:
        return to_maps(self.engine(crops), self.description.output)


def find_model(model: str | Path) -> Path:
    """The file of a model by its name or its path. ModelFileError that lists the names, where there is none."""
    name = os.fspath(model)
    path = MODELS / f"{name}.safetensors"
    run = os.path.join(name, "last.safetensors")  # of another folder, such as an export, a model's name is its own
    if os.sep in name or name.endswith(".safetensors") or os.path.isfile(name) or os.path.isfile(run):
        return Path(name)
    if os.path.isfile(path):  # not path.is_file(), which raises where a name is longer than a path can be
        return path
    if os.path.isdir(name):
        return Path(name)
    known = ", ".join(model_names())
    held = f"there is {known}" if known else "none comes with this version"
    raise ModelFileError(f"unknown model {name!r}: {held}; a model file can be named by its path")


def model_names() -> list[str]:
    """The models that a name is enough for."""
    return sorted(file.stem for file in MODELS.glob("*.safetensors"))


def require_picture(picture: Any) -> None:
    """TypeError or ValueError unless it is uint8 RGB (H, W, 3) with a pixel."""
    if not isinstance(picture, np.ndarray) or picture.dtype != np.uint8:
        kind = picture.dtype if isinstance(picture, np.ndarray) else type(picture).__name__
        raise TypeError(f"a picture is an array of uint8, RGB (H, W, 3), got {kind}")
    if picture.ndim != 3 or picture.shape[2] != 3 or picture.size == 0:
        raise ValueError(f"a picture is an array of uint8, RGB (H, W, 3), got the shape {picture.shape}")


def look_at(picture: Levels, box: NDArray[np.float64] | None, description: Description) -> Crop:
    """The square around a box (x0, y0, x1, y1) with the model's margin, or around the whole picture.

    ValueError, to stand behind the name of the box, where that has no area, does not touch the picture, or is more than
    a hundred times as large.
    """
    size = description.codec.input_size
    if box is None:
        return Crop(*around_picture(picture), size)
    rows, columns = picture.shape[:2]
    x0, y0, x1, y1 = map(float, box)
    if not (x1 > x0 and y1 > y0):  # NaN neither
        raise ValueError("has no area: give x0, y0, x1, y1 with x0 < x1 and y0 < y1")
    beside = x0 >= columns - 0.5 or y0 >= rows - 0.5 or x1 <= -0.5 or y1 <= -0.5
    if beside or max(x1 - x0, y1 - y0) > 100 * max(rows, columns):
        raise ValueError(f"is not in a picture of {columns} x {rows} pixels")
    return Crop(*around_corners(box, description.box_margin), size)


def answer(
    description: Description,
    maps_of: MapsOf,
    picture: Levels,
    crop: Crop,
    box: NDArray[np.float64],
) -> Instance:
    """What maps_of says about one square of a picture.

    Of a finder, the points are the corners of the boxes that it finds, two and two, with a score for each box.
    """
    return read(description, maps_of(crop.extract(picture)[None]), picture, crop, box)


def read(
    description: Description, maps: NDArray[np.float32], picture: Levels, crop: Crop, box: NDArray[np.float64]
) -> Instance:
    """What maps (1, h, w, K) of one square of a picture say, see `answer`."""
    codec, least = description.codec, description.least_confidence
    found: dict[str, Any]
    if isinstance(codec, MaskCodec):
        confidence = float(codec.confidence(maps)[0])
        found = {"classes": codec.on_picture(maps[0], crop, *picture.shape[:2])}
    elif isinstance(codec, SizeCodec):
        boxes, surety = codec.boxes(maps[0])
        confidence = float(surety.max(initial=0.0))
        corners = crop.to_picture(boxes.reshape(-1, 2)).astype(np.float32)
        found = {"points": corners, "scores": surety.astype(np.float32)}
    else:
        points, scores = codec.decode(maps[0])
        confidence = float(mean_score(scores))
        found = {"points": crop.to_picture(points), "scores": scores}
    return Instance(description.names, box, confidence, None if least is None else confidence >= least, **found)


Look = tuple[Crop, Instance]
"""A square of a picture, and what is in it."""


def settled(picture: Levels, look: Look, description: Description, maps_of: MapsOf, again: int) -> Look:
    """A look at the box of the points that the last look found, so many times more; of parts, the look as it is."""
    for _ in range(again):
        if look[1].points is None:
            break
        box = extent(look[1])
        try:
            crop = look_at(picture, box, description)
        except ValueError:  # points that lie on one another, or beside the picture: no better place to look
            break
        look = crop, answer(description, maps_of, picture, crop, box)
    return look


def found_in(picture: Levels, finder: Finder, description: Description, maps_of: MapsOf, again: int = 1) -> list[Look]:
    """Every instance that a finder leads to and the model is sure of, the surest first, none of them twice.

    The finder need not be sure: the model tells faces from other things better than it does, if not as fast.
    """
    looks = []
    for box in finder(picture, LEAD * finder.least)[0]:
        try:
            crop = look_at(picture, box, description)
        except ValueError:  # of less than nothing, at the picture's edge
            continue
        maps = maps_of(crop.extract(picture)[None])
        if description.codec.most_confidence(maps)[0] < GLANCE * (description.least_confidence or 0.0):
            continue
        look = settled(picture, (crop, read(description, maps, picture, crop, box)), description, maps_of, again)
        if look[1].sure is not False:
            looks.append(look)
    looks.sort(key=lambda look: -look[1].confidence)
    boxes = np.array([extent(instance) for _, instance in looks]).reshape(-1, 4)
    return [looks[index] for index in separate(boxes)]


def extent(instance: Instance) -> NDArray[np.float64]:
    """The box around the points of an instance; of parts, the one that was looked at."""
    points = instance.points
    if points is None:
        return instance.box
    return np.concatenate([points.min(axis=0), points.max(axis=0)]).astype(np.float64)


def finder_for(description: Description) -> Path | None:
    """The finder that comes with hbcore for a model, if there is one: of faces, for 68 points of a face."""
    path = MODELS / "face-finder.safetensors"
    return path if description.task == "face" and len(description.names) == 68 and path.is_file() else None


def _whole(picture: Levels) -> NDArray[np.float64]:
    """The one box that is the picture."""
    return np.array([[-0.5, -0.5, picture.shape[1] - 0.5, picture.shape[0] - 0.5]])


def _rows(boxes: Any) -> NDArray[np.float64]:
    """Boxes (n, 4) of one picture."""
    rows = np.asarray(boxes, dtype=np.float64)
    rows = rows.reshape(0, 4) if rows.size == 0 else np.atleast_2d(rows)
    if rows.ndim != 2 or rows.shape[1] != 4:
        raise ValueError(f"boxes of a picture are x0, y0, x1, y1, as (4,) or (n, 4), got the shape {rows.shape}")
    return rows
