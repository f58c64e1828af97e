"""Where points truly are, from a table, in the pixels that the network sees: what its answers are compared with."""

from __future__ import annotations

import argparse
import csv
import difflib
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hbcore.autograd.function import Array
from hbcore.inspect.subject import InspectError, Subject
from hbcore.photos.boxes import row_of

COLUMNS = "picture", "name", "x", "y"
MOST = 1 << 28
"""Bytes of a table."""


@dataclass(frozen=True, eq=False)
class Truth:
    """Where points are (N, K, 2), in input pixels, NaN where that is not known; and in what errors are measured.

    norm: a length of each picture (N,), in the same pixels, that its errors are divided by: the side of the picture, or
    the distance between two points. near: the share of it within which a point counts as found.
    """

    points: Array
    norm: Array
    near: float | None = None

    def errors(self, found: Array) -> Array:
        """Of points (N, K, 2): (N, K), in percent of the norm, NaN where nothing is known."""
        return np.asarray(100 * np.linalg.norm(found - self.points, axis=-1) / self.norm[:, None])


def known(subject: Subject, options: argparse.Namespace) -> Truth | None:
    """The truth that the options name, if any. InspectError where they do not fit each other or the model."""
    if options.points is None:
        for name in ("norm", "near"):
            if getattr(options, name) is not None:
                raise InspectError(f"--{name} says how errors are measured: name a table of the truth with --points")
        return None
    points = read_truth(options.points, subject)
    if options.near is not None and not 0 < options.near < np.inf:
        raise InspectError(f"--near {options.near:g}: a share above 0")
    if options.norm is None:
        return Truth(points, np.full(len(points), float(subject.size)), options.near)
    assert subject.description is not None  # or `read_truth` would have said so
    places = {name: place for place, name in enumerate(subject.description.names)}
    first, _, second = options.norm.partition(",")
    if first == second or not second:
        raise InspectError(f"--norm {options.norm}: name two points, A,B")
    for name in (first, second):
        if name not in places:
            near = ", ".join(difflib.get_close_matches(name, places, n=3, cutoff=0))
            raise InspectError(f"--norm {options.norm}: {name!r} is no point of this model; similar: {near}")
    norm = np.linalg.norm(points[:, places[first]] - points[:, places[second]], axis=-1)
    norm[~(norm > 0)] = np.nan  # a picture without that length is left out
    if np.isnan(norm).all():
        raise InspectError(f"--norm {options.norm}: {options.points} has both points of no picture")
    return Truth(points, norm, options.near)


def read_truth(path: Path, subject: Subject) -> NDArray[np.float64]:
    """The points (N, K, 2) of a subject's pictures in input pixels, NaN where the table has none.

    The table is CSV with the columns picture, name, x, y and maybe instance, from 1, and others, as `python -m hbcore
    landmarks` writes it. Pictures are found as boxes are, see `row_of` in `hbcore/photos/boxes.py`.
    InspectError where it is no such table, or has not a single point that can be compared.
    """
    if subject.description is None or subject.description.parts:
        raise InspectError(f"--points: {subject.name} has no points to compare with {path}")
    subject.require_photos("--points")
    places = {name: place for place, name in enumerate(subject.description.names)}
    rows = _rows(path)
    found = np.full((len(subject.pictures), len(places), 2), np.nan)
    for index, (source, crop) in enumerate(zip(subject.sources, subject.crops or (), strict=True)):
        photo, instance = source
        for name, x, y in (row_of(Path(photo), rows) or {}).get(instance, ()):
            if name in places:
                found[index, places[name]] = crop.to_input(np.array([x, y]))
    if np.isnan(found).all():
        raise InspectError(f"{path}: has no point of these pictures by the names of this model")
    return found


def _rows(path: Path) -> dict[str, dict[int, list[tuple[str, float, float]]]]:
    """Points by the real path of their picture, and by instance."""
    found: dict[str, dict[int, list[tuple[str, float, float]]]] = {}
    try:
        if path.stat().st_size > MOST:
            raise InspectError(f"{path}: more than {MOST >> 20} MB are no table of points")
        reader = csv.DictReader(path.read_text(encoding="utf-8-sig").splitlines())
        missing = [column for column in COLUMNS if column not in (reader.fieldnames or [])]
        if missing:
            raise InspectError(f"{path}: has no column {missing[0]!r}; points need {', '.join(COLUMNS)}")
        for row in reader:
            try:
                point = row["name"], float(row["x"]), float(row["y"])
                instance = int(row.get("instance") or 1)
                real = os.path.realpath(path.parent / row["picture"])
                if not np.isfinite(point[1:]).all():
                    raise ValueError
            except (TypeError, ValueError):
                raise InspectError(f"{path}, line {reader.line_num}: needs a picture, a name, x and y") from None
            found.setdefault(real, {}).setdefault(instance, []).append(point)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        said = error.strerror if isinstance(error, OSError) else "no table in UTF-8"
        raise InspectError(f"--points: {path}: {said}") from None
    return found
