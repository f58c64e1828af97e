"""A CSV table as a data set, for labels from a spreadsheet. Pixels count from 0 and points are pixel centres.

Wide: one row per instance, with the columns `picture` and NAME_x, NAME_y for every point; empty cells where it is not
labelled. Optional columns: `person`, which tells the instances of one picture apart in messages; `split`, train or
test; `box_x`, `box_y`, `box_w`, `box_h`, the box around the instance, empty or complete.

Long: one row per point, with the columns `picture`, `joint`, `x`, `y`, and optionally `person` and `split`; `score`,
`confidence` and `kept` are not used: what `predict` writes can be corrected and trained on.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from training.datasets.annotations import box, file_name, load_text, pixels
from training.datasets.own.labels import LabelFile, Labels, OwnSamples, own_samples
from training.datasets.own.scheme import MOST_POINTS, check_names, make_scheme
from training.errors import DataError

_BOX = ("box_x", "box_y", "box_w", "box_h")
_LONG = ("picture", "joint", "x", "y")
Row = dict[str, str]


@dataclass
class _Instance:
    picture: str
    name: str
    points: dict[str, tuple[float, float]] = field(default_factory=dict)
    box: tuple[float, ...] = (np.nan,) * 4


def open_table(label_file: LabelFile, split: str) -> OwnSamples:
    """The samples of one split of `label_file.path`.

    An instance is named after its picture and, behind #, the cell `person` or its number within the picture. Raises
    DataError, naming file and line, for a file that is not of this format.
    """
    path = label_file.path
    header, rows = _rows(path)
    if "picture" not in header:
        raise DataError(f"{path}: has no column 'picture', only: {', '.join(header)}")
    splits: dict[str, str] = {}
    if set(_LONG) <= set(header):
        names, instances = _long(path, header, rows, splits)
    else:
        names, instances = _wide(path, header, rows, splits)
    if not instances:
        raise DataError(f"{path}: has no row below the names of the columns")
    scheme = make_scheme(path.stem, names, f"{path}: points", label_file.toml())
    missing = np.array([[name not in instance.points for name in names] for instance in instances])
    labels = Labels(
        tuple(instance.picture for instance in instances),
        tuple(instance.name for instance in instances),
        np.array([[instance.points.get(name, (0.0, 0.0)) for name in names] for instance in instances]),
        ~missing,
        np.array([instance.box for instance in instances]),
        np.full(len(instances), np.nan),
    )
    return own_samples("csv", label_file, split, scheme, labels, listed=splits)


def _rows(path: Path) -> tuple[list[str], Iterator[tuple[str, Row]]]:
    """The names of the columns, and the rows by them, each with the beginning of a message about it."""
    reader = csv.reader(load_text(path).splitlines(keepends=True), strict=True)
    lines = _lines(path, reader)
    _, header = next(lines, ("", []))
    header = [name.strip() for name in header]
    for name in header:
        if not name or header.count(name) > 1:
            raise DataError(f"{path}: {f'the column {name!r} occurs twice' if name else 'a column has no name'}")

    def named() -> Iterator[tuple[str, Row]]:
        for where, cells in lines:
            if len(cells) != len(header):
                raise DataError(f"{where}: {len(cells)} cells for {len(header)} columns")
            yield where, dict(zip(header, (cell.strip() for cell in cells), strict=True))

    return header, named()


def _lines(path: Path, reader: Any) -> Iterator[tuple[str, list[str]]]:
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield f"{path}, line {reader.line_num}", cells
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: not CSV ({error})") from None


def _wide(
    path: Path, header: list[str], rows: Iterator[tuple[str, Row]], splits: dict[str, str]
) -> tuple[list[str], list[_Instance]]:
    boxed = set(_BOX) <= set(header)
    known = {"picture", "person", "split", *(_BOX if boxed else ())}
    names = [column[:-2] for column in header if column.endswith("_x") and column not in known]
    points = {f"{name}_{axis}" for name in names for axis in "xy"}
    for column in header:
        if column not in known | points:
            raise DataError(f"{path}: the column {column!r} is none of {', '.join(sorted(known))}, NAME_x, NAME_y")
    for column in sorted(points - set(header)):
        raise DataError(f"{path}: has no column {column!r} beside {column[:-1]}x")
    check_names(names, f"{path}: the columns NAME_x")
    instances: list[_Instance] = []
    count: dict[str, int] = {}
    for where, row in rows:
        instance = _instance(where, row, splits, count)
        for name in names:
            _add_point(instance, where, name, row[f"{name}_x"], row[f"{name}_y"])
        if boxed and any(row[column] for column in _BOX):
            instance.box = tuple(box([_number(row[c], where, c) for c in _BOX], f"{where}: box").tolist())
        instances.append(instance)
    return names, instances


def _long(
    path: Path, header: list[str], rows: Iterator[tuple[str, Row]], splits: dict[str, str]
) -> tuple[list[str], list[_Instance]]:
    known = {*_LONG, "person", "split", "score", "confidence", "kept"}
    for column in header:
        if column not in known:
            raise DataError(f"{path}: unknown column {column!r}; a row per point has {', '.join(sorted(known))}")
    names: dict[str, None] = {}  # in the order in which they come
    instances: dict[tuple[str, str], _Instance] = {}
    for where, row in rows:
        key = row["picture"], row.get("person", "")
        if key not in instances:
            instances[key] = _instance(where, row, splits, {})
        elif row["joint"] in instances[key].points:
            raise DataError(f"{where}: {row['joint']} of {instances[key].name} is there already")
        _share(where, row, splits)
        names[row["joint"]] = None
        if len(names) > MOST_POINTS:
            raise DataError(f"{where}: more than {MOST_POINTS} different names of points")
        _add_point(instances[key], where, row["joint"], row["x"], row["y"])
    check_names(list(names), f"{path}: the column joint")
    return list(names), list(instances.values())


def _instance(where: str, row: Row, splits: dict[str, str], count: dict[str, int]) -> _Instance:
    """The sample of a row, without points; `count` holds how many came before, by picture."""
    picture = file_name(row["picture"], f"{where}: picture")
    count[picture] = count.get(picture, 0) + 1
    _share(where, row, splits)
    return _Instance(picture, f"{picture}#{row.get('person') or count[picture]}")


def _share(where: str, row: Row, splits: dict[str, str]) -> None:
    """Take down the split of the row's picture."""
    if "split" not in row:
        return
    if row["split"] not in ("train", "test"):
        raise DataError(f"{where}: split should be train or test, not {row['split']!r}")
    if splits.setdefault(row["picture"], row["split"]) != row["split"]:
        raise DataError(f"{where}: {row['picture']} is in train and in test")


def _add_point(instance: _Instance, where: str, name: str, x: str, y: str) -> None:
    if x or y:
        point = [_number(x, where, f"x of {name}"), _number(y, where, f"y of {name}")]
        a, b = pixels(point, (2,), f"{where}: {name}").tolist()
        instance.points[name] = a, b


def _number(text: str, where: str, what: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise DataError(f"{where}: {what} is {text!r}, not a number" if text else f"{where}: {what} is empty") from None
