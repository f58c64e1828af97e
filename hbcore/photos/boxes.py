"""Where to look in photos: `x0,y0,x1,y1` for all of them, or a CSV file with rows for each."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

COLUMNS = ("picture", "x0", "y0", "x1", "y1")
MOST = 1 << 26
"""Bytes of a file of boxes: a million rows."""

Box = tuple[float, ...]
T = TypeVar("T")


class BoxesError(ValueError):
    """Boxes that cannot be used: one line."""


@dataclass(frozen=True)
class Boxes:
    """same: the boxes of every photo; or rows: those of each, by its real path. source: where they were given."""

    source: str
    same: tuple[Box, ...] = ()
    rows: dict[str, list[Box]] = field(default_factory=dict)

    def of(self, photo: Path) -> NDArray[np.float64]:
        """The boxes (n, 4) in one photo. BoxesError where no row names it."""
        found = row_of(photo, self.rows)
        if not self.same and not found:
            raise BoxesError(f"{photo}: has no box in {self.source}")
        return np.array(self.same or found, dtype=np.float64)


def row_of(photo: Path, rows: Mapping[str, T]) -> T | None:
    """What a table by real paths has of a photo; or, where that is elsewhere, by its name, if only one path has it."""
    found = rows.get(os.path.realpath(photo))
    if found is None:
        alike = [path for path in rows if os.path.basename(path) == photo.name]
        found = rows[alike[0]] if len(alike) == 1 else None
    return found


def read_boxes(words: Sequence[str]) -> Boxes:
    """Boxes as they are named on the command line: each `x0,y0,x1,y1`, or one CSV file. BoxesError for anything else.

    The file has the columns picture, x0, y0, x1, y1, and maybe others; names of pictures start at its folder.
    """
    boxes = [_numbers(word.split(",")) for word in words]
    if all(boxes):
        return Boxes("--boxes", same=tuple(box for box in boxes if box))
    if len(words) > 1:
        odd = words[boxes.index(None)]
        raise BoxesError(f"--boxes: {odd!r} is not x0,y0,x1,y1; a CSV file stands alone")
    return Boxes(words[0], rows=_read(Path(words[0])))


def _read(path: Path) -> dict[str, list[Box]]:
    try:
        if path.is_file() and path.stat().st_size > MOST:
            raise BoxesError(f"{path}: more than {MOST >> 20} MB are no boxes")
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        if isinstance(error, BoxesError):
            raise
        said = error.strerror if isinstance(error, OSError) else "is no text in UTF-8"
        raise BoxesError(f"--boxes: {path}: {said}; give x0,y0,x1,y1 or a CSV file") from None
    try:
        table = csv.DictReader(lines)
        missing = [column for column in COLUMNS if column not in (table.fieldnames or [])]
        if missing:
            raise BoxesError(f"{path}: has no column {missing[0]!r}; boxes need {', '.join(COLUMNS)}")
        rows: dict[str, list[Box]] = {}
        for row in table:
            box = _numbers([row[column] or "" for column in COLUMNS[1:]])
            if not box or not row["picture"]:
                raise BoxesError(f"{path}, line {table.line_num}: needs the name of a picture and four numbers")
            rows.setdefault(os.path.realpath(path.parent / row["picture"]), []).append(box)
    except (csv.Error, ValueError) as error:  # ValueError: a name with a zero byte
        raise error if isinstance(error, BoxesError) else BoxesError(f"{path}: no CSV file ({error})") from None
    if not rows:
        raise BoxesError(f"{path}: has no box")
    return rows


def _numbers(cells: Sequence[str]) -> Box | None:
    """Four finite numbers, or None."""
    try:
        box = tuple(map(float, cells))
    except ValueError:
        return None
    return box if len(box) == 4 and np.isfinite(box).all() else None
