"""Boxes of a user's own pictures, from a file: several a picture, as a detector or somebody with a mouse leaves them.

    coco:FILE.json    COCO's images (id, file_name) and annotations (image_id, bbox)
    csv:FILE.csv      the columns picture, box_x, box_y, box_w, box_h; others are not used

`?images=FOLDER` says where the names of pictures start, without it at the folder of the file. Where a name leads to no
picture that is looked at, the last part of it will do if no other name has the same.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from training.datasets.annotations import box as checked_box
from training.datasets.annotations import field as field_of
from training.datasets.annotations import load_json, objects
from training.datasets.own.table import read_rows
from training.errors import DataError, UserError, unknown

Box = tuple[float, float, float, float]
"""Left, top, width and height in pixels; left and top are the centre of the first pixel."""

COLUMNS = ("picture", "box_x", "box_y", "box_w", "box_h")


@dataclass(frozen=True)
class Boxes:
    """Boxes by the paths of their pictures; `bad` says what could not be read."""

    name: str
    paths: dict[str, list[Box]] = field(default_factory=dict)
    bad: list[str] = field(default_factory=list)

    def of(self, picture: Path) -> list[Box]:
        """Those in one picture, in the order of the file."""
        return self.paths.get(self._path(picture), [])

    def unused(self, pictures: Iterable[Path]) -> list[str]:
        """The paths that are none of these pictures'."""
        used = set(map(self._path, pictures))
        return [path for path in self.paths if path not in used]

    def _path(self, picture: Path) -> str:
        """The one among `paths` that means this picture, if any does."""
        path = os.path.realpath(picture)
        alike = self._bases.get(picture.name, [])
        return alike[0] if path not in self.paths and len(alike) == 1 else path

    @cached_property
    def _bases(self) -> dict[str, list[str]]:
        bases: dict[str, list[str]] = {}
        for path in self.paths:
            bases.setdefault(os.path.basename(path), []).append(path)
        return bases


def read_boxes(spec: str) -> Boxes:
    """The boxes of a file, as it is named on the command line.

    A record that cannot be read is left out. Raises UserError for a name of another form, DataError for a file that is
    of another format or has no box.
    """
    place, _, query = spec.partition("?")
    kind, _, path = place.partition(":")
    if kind not in _READERS:
        raise UserError(
            f"--boxes: {unknown('kind of boxes', kind, _READERS)}: name them as coco:FILE.json or csv:FILE.csv"
        )
    option, _, folder = query.partition("=")
    if query and (option != "images" or not folder):
        raise UserError(f"--boxes: {query!r} is no option here; there is ?images=FOLDER")
    boxes = Boxes(spec)
    root = Path(folder) if folder else Path(path).parent
    for where, picture, values in _READERS[kind](Path(path)):
        try:
            if not isinstance(picture, str) or not picture:
                raise DataError(f"{where}: names no picture")
            x, y, width, height = checked_box(values, f"{where}: box").tolist()
        except DataError as error:
            boxes.bad.append(str(error))
            continue
        name = os.path.realpath(root / picture.replace("\\", "/"))
        boxes.paths.setdefault(name, []).append((x, y, width, height))
    if not boxes.paths:
        raise DataError(f"{path}: has no box{f'; {boxes.bad[0]}' if boxes.bad else ''}")
    return boxes


Records = Iterator[tuple[str, Any, Any]]
"""Where a record stands, the name of its picture, and its box."""


def _coco(path: Path) -> Records:
    content = load_json(path)
    if not isinstance(content, dict) or not all(
        isinstance(content.get(key), list) for key in ("images", "annotations")
    ):
        raise DataError(f"{path}: should hold an object with the lists images and annotations")
    images: Mapping[Any, Any] = {
        str(field_of(image, "id", f"{path}: an image")): image.get("file_name")
        for image in objects(content["images"], f"{path}: images: record")
    }
    for index, record in enumerate(objects(content["annotations"], f"{path}: annotations: record")):
        if record.get("iscrowd") != 1:
            yield f"{path}: annotations: record {index}", images.get(str(record.get("image_id"))), record.get("bbox")


def _csv(path: Path) -> Records:
    header, rows = read_rows(path)
    if missing := [column for column in COLUMNS if column not in header]:
        raise DataError(f"{path}: has no column {missing[0]!r}; boxes need {', '.join(COLUMNS)}")
    for where, cells in rows:
        row = dict(zip(header, (cell.strip() for cell in cells), strict=False))
        try:
            yield where, row.get("picture"), [float(row.get(column) or "nan") for column in COLUMNS[1:]]
        except ValueError:
            yield where, row.get("picture"), None


_READERS = {"coco": _coco, "csv": _csv}
