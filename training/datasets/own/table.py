"""A CSV table as a data set, for labels from a spreadsheet. Pixels count from 0 and points are pixel centres.

Wide: one row per instance, with the columns `picture` and NAME_x, NAME_y for every point; empty cells where it is not
labelled. Optional columns: `person`, which tells the instances of one picture apart in messages; `split`, train or
test; `box_x`, `box_y`, `box_w`, `box_h`, the box around the instance, empty or complete.

Long: one row per point, with the columns `picture`, `joint`, `x`, `y`, and optionally `person` and `split`; `score`,
`confidence` and `kept` are not used: what `predict` writes can be corrected and trained on.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from training.datasets.annotations import box, load_text, pixels
from training.datasets.own.content import Content, Contradiction, Instance, Trouble, gathered
from training.datasets.own.label_file import LabelFile
from training.datasets.own.scheme import MOST_POINTS, check_names, make_scheme
from training.errors import DataError

_BOX = ("box_x", "box_y", "box_w", "box_h")
_LONG = ("picture", "joint", "x", "y")
Row = dict[str, str]


def read_table(label_file: LabelFile) -> Content:
    """All that `label_file.path` says.

    An instance is named after its picture and, behind #, the cell `person` or its number within the picture. A row
    that cannot be read is left out and kept as a bad record. Raises DataError, naming file and line, for a file that is
    not of this format.
    """
    path = label_file.path
    header, rows = read_rows(path)
    if "picture" not in header:
        raise DataError(f"{path}: has no column 'picture', only: {', '.join(header)}")
    reader = _Reader(label_file, header)
    names, instances = reader.long(rows) if set(_LONG) <= set(header) else reader.wide(rows)
    if not instances:
        raise reader.trouble.all_bad(f"{path}: has no row below the names of the columns")
    scheme = make_scheme(path.stem, names, f"{path}: points", label_file.toml())
    return Content(scheme, gathered(instances, names), listed=reader.splits, trouble=reader.trouble)


def read_rows(path: Path) -> tuple[list[str], Iterator[tuple[str, list[str]]]]:
    """The names of the columns, and the rows, each with the beginning of a message about it."""
    lines = csv_lines(path)
    _, header = next(lines, ("", []))
    header = [name.strip() for name in header]
    for name in header:
        if not name or header.count(name) > 1:
            raise DataError(f"{path}: {f'the column {name!r} occurs twice' if name else 'a column has no name'}")
    return header, lines


def csv_lines(path: Path) -> Iterator[tuple[str, list[str]]]:
    """The lines of a CSV file that are not empty, each with the beginning of a message about it."""
    reader = csv.reader(io.StringIO(load_text(path), newline=""), strict=True)
    return _lines(path, reader)


def _lines(path: Path, reader: Any) -> Iterator[tuple[str, list[str]]]:
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield f"{path}, line {reader.line_num}", cells
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: not CSV ({error})") from None


class _Reader:
    """The rows of a table, and what is known after them: the splits of pictures, and what was left out."""

    def __init__(self, label_file: LabelFile, header: list[str]) -> None:
        self.file, self.path, self.header = label_file, label_file.path, header
        self.splits: dict[str, str] = {}
        self.trouble = Trouble()
        self.count: dict[str, int] = {}  # of the instances so far, by picture

    def wide(self, rows: Iterator[tuple[str, list[str]]]) -> tuple[list[str], list[Instance]]:
        header, path = self.header, self.path
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
        instances: list[Instance] = []
        for where, cells in rows:
            picture = None
            try:
                row = self._row(where, cells)
                instance = self._instance(where, row, self.count)
                picture = instance.picture
                for name in names:
                    _add_point(instance, where, name, row[f"{name}_x"], row[f"{name}_y"])
                if boxed and any(row[column] for column in _BOX):
                    instance.box = tuple(box([_number(row[c], where, c) for c in _BOX], f"{where}: box").tolist())
            except DataError as error:
                self.trouble.skip(error, where, picture)
            else:
                instances.append(instance)
        return names, instances

    def long(self, rows: Iterator[tuple[str, list[str]]]) -> tuple[list[str], list[Instance]]:
        known = {*_LONG, "person", "split", "score", "confidence", "kept"}
        for column in self.header:
            if column not in known:
                raise DataError(
                    f"{self.path}: unknown column {column!r}; a row per point has {', '.join(sorted(known))}"
                )
        names: dict[str, None] = {}  # in the order in which they come
        instances: dict[tuple[str, str], Instance] = {}
        for where, cells in rows:
            picture = None
            try:
                row = self._row(where, cells)
                key = row["picture"], row.get("person", "")
                if key not in instances:
                    instances[key] = self._instance(where, row, {})
                elif row["joint"] in instances[key].points:
                    raise DataError(f"{where}: {row['joint']} of {instances[key].name} is there already")
                picture = instances[key].picture
                self._share(where, row, picture)
                names[row["joint"]] = None
                if len(names) > MOST_POINTS:
                    raise Contradiction(f"{where}: more than {MOST_POINTS} different names of points")
                _add_point(instances[key], where, row["joint"], row["x"], row["y"])
            except DataError as error:
                self.trouble.skip(error, where, picture)
        if names or not self.trouble.bad:
            check_names(list(names), f"{self.path}: the column joint")
        return list(names), list(instances.values())

    def _row(self, where: str, cells: list[str]) -> Row:
        if len(cells) != len(self.header):
            raise DataError(f"{where}: {len(cells)} cells for {len(self.header)} columns")
        return dict(zip(self.header, (cell.strip() for cell in cells), strict=True))

    def _instance(self, where: str, row: Row, count: dict[str, int]) -> Instance:
        """The sample of a row, without points; `count` holds how many came before, by picture."""
        picture = self.file.picture(row["picture"], f"{where}: picture")
        count[picture] = count.get(picture, 0) + 1
        self._share(where, row, picture)
        return Instance(picture, f"{picture}#{row.get('person') or count[picture]}", {})

    def _share(self, where: str, row: Row, picture: str) -> None:
        """Take down the split of the row's picture. A picture in both is no bad record: no number would be true."""
        if "split" not in row:
            return
        if row["split"] not in ("train", "test"):
            raise DataError(f"{where}: split should be train or test, not {row['split']!r}")
        if self.splits.setdefault(picture, row["split"]) != row["split"]:
            raise Contradiction(f"{where}: {picture} is in train and in test")


def _add_point(instance: Instance, where: str, name: str, x: str, y: str) -> None:
    if x or y:
        point = [_number(x, where, f"x of {name}"), _number(y, where, f"y of {name}")]
        a, b = pixels(point, (2,), f"{where}: {name}").tolist()
        instance.points[name] = a, b


def _number(text: str, where: str, what: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise DataError(f"{where}: {what} is {text!r}, not a number" if text else f"{where}: {what} is empty") from None
