"""DeepLabCut's tables (CollectedData_SCORER.csv) and Lightning Pose's, which have the same three header rows.

The rows are scorer, bodyparts and coords; projects of several animals have a fourth, individuals, after the first. The
first column, or the first three (labeled-data, video, picture), name the picture. Coordinates come from clicks on plots
in which integers are pixel centres: the convention is ours. Empty cells are not labelled.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from training.datasets.own.content import Content, Contradiction, Instance, Trouble, checked, gathered
from training.datasets.own.label_file import LabelFile
from training.datasets.own.scheme import check_names, make_scheme
from training.datasets.own.table import csv_lines
from training.errors import DataError, UserError, unknown

_FOLDER = "labeled-data"


def read_dlc(label_file: LabelFile, scorer: str | None = None) -> Content:
    """All that the tables of a project say; `label_file.path` is the project, a folder of it, or one table.

    `scorer` names whose labels to take where several people labelled. Pictures are named from the project's folder.
    Raises DataError, naming file and line, for files of another format, UserError for a scorer that is not named.
    """
    path = label_file.path
    paths = [path] if path.is_file() else _tables(path)
    if scorer is None and len({table.stem for table in paths}) > 1:
        names = sorted({table.stem.removeprefix("CollectedData_") for table in paths})
        raise UserError(f"{path}: several people labelled: choose one by ?scorer= {', '.join(names)}")
    if scorer is not None:
        known = sorted({table.stem.removeprefix("CollectedData_") for table in paths})
        if scorer not in known:
            raise UserError(f"{path}: {unknown('scorer', scorer, known)}")
        paths = [table for table in paths if table.stem == f"CollectedData_{scorer}"]
    return _read(label_file, paths, _project(path))


def read_lightning(label_file: LabelFile) -> Content:
    """All that Lightning Pose's table says. Pictures are named from its folder. Raises as `read_dlc`."""
    return _read(label_file, [label_file.path], label_file.path.parent)


def _tables(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise DataError(f"{folder}: no such file or folder")
    below = (folder, folder / _FOLDER)
    found = sorted(path for place in below for way in ("", "*/") for path in place.glob(f"{way}CollectedData_*.csv"))
    if not found:
        raise DataError(f"{folder}: has no {_FOLDER}/*/CollectedData_*.csv; name a DeepLabCut project or such a file")
    return found


def _project(path: Path) -> Path:
    """The folder that holds labeled-data/, which pictures are named from."""
    for place in (path, *path.parents):
        if place.name == _FOLDER:
            return place.parent
    return path.parent if path.is_file() else path


def _read(label_file: LabelFile, paths: Sequence[Path], root: Path) -> Content:
    trouble = Trouble()
    instances: list[Instance] = []
    pictures: dict[str, Path] = {}
    names: dict[str, None] = {}
    for path in paths:
        table = _Table(path)
        names |= dict.fromkeys(table.names)
        for where, cells in table.rows:
            try:
                picture = label_file.picture(table.picture(cells, where), f"{where}: picture")
                if picture in pictures:
                    raise Contradiction(f"{where}: {picture} is in {pictures[picture]} already")
                pictures[picture] = path
            except DataError as error:
                trouble.skip(error, where)
                continue
            try:
                instances += table.instances(picture, cells, where)
            except DataError as error:
                trouble.skip(error, where, picture)
    where = str(label_file.path)
    check_names(list(names), f"{where}: bodyparts")
    if not instances:
        raise trouble.all_bad(f"{where}: has no row below the names of the columns")
    scheme = make_scheme(label_file.name, list(names), f"{where}: bodyparts", label_file.toml())
    return Content(scheme, gathered(instances, list(names)), tuple(pictures), trouble=trouble, root=root)


@dataclass(frozen=True)
class _Column:
    individual: str
    name: str
    axis: str


class _Table:
    """One file: its columns, read when it is made, and its rows."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: Iterator[tuple[str, list[str]]] = csv_lines(path)
        heads = [[cell.strip() for cell in cells] for _, cells in islice(self.rows, 3)]
        if len(heads) == 3 and heads[1][0] == "individuals":
            heads += [[cell.strip() for cell in cells] for _, cells in islice(self.rows, 1)]
        titles = [head[0] for head in heads]
        if titles not in (["scorer", "bodyparts", "coords"], ["scorer", "individuals", "bodyparts", "coords"]):
            raise DataError(f"{path}: should begin with rows for scorer, bodyparts and coords, not {', '.join(titles)}")
        if len({len(head) for head in heads}) > 1:
            raise DataError(f"{path}: the rows of its head have different lengths")
        self.index = 1  # columns before the first coordinate
        while self.index < len(heads[-1]) and not heads[-1][self.index]:
            self.index += 1
        several = len(heads) == 4
        self.columns = [
            _Column(heads[1][place] if several else "", heads[-2][place], heads[-1][place])
            for place in range(self.index, len(heads[-1]))
        ]
        if any(column.axis == "likelihood" for column in self.columns):
            raise DataError(
                f"{path}: has columns of likelihood, so these are predictions; corrected ones are read without them"
            )
        counts = Counter(self.columns)
        for column in self.columns:
            if column.axis not in ("x", "y") or counts[column] > 1:
                raise DataError(f"{path}: the column {column.axis!r} of {column.name!r} should be there once, x or y")
        for column in self.columns:
            for axis in "xy":
                if _Column(column.individual, column.name, axis) not in counts:
                    raise DataError(f"{path}: has no column {axis!r} of {column.name!r}")
        self.names = list(dict.fromkeys(column.name for column in self.columns))

    def picture(self, cells: list[str], where: str) -> str:
        if len(cells) != self.index + len(self.columns):
            raise DataError(f"{where}: {len(cells)} cells for {self.index + len(self.columns)} columns")
        return "/".join(cell.strip() for cell in cells[: self.index])

    def instances(self, picture: str, cells: list[str], where: str) -> list[Instance]:
        """Those of one row: one without individuals, else those with a labelled point."""
        found: dict[str, dict[str, dict[str, float]]] = {}
        for column, cell in zip(self.columns, cells[self.index :], strict=True):
            points = found.setdefault(column.individual, {})
            value = _number(cell.strip(), f"{where}: {column.axis} of {column.name}")
            if not math.isnan(value):
                points.setdefault(column.name, {})[column.axis] = value
        instances = []
        for individual, points in found.items():
            for name, axes in points.items():
                if len(axes) == 1:
                    raise DataError(f"{where}: {name} has an {next(iter(axes))} alone")
            places = {name: (axes["x"], axes["y"]) for name, axes in points.items()}
            if places or not individual:
                instances.append(checked(Instance(picture, f"{picture}#{individual or 1}", places), where))
        return instances


def _number(text: str, what: str) -> float:
    """A number; nan for an empty cell, which some tables write as nan."""
    try:
        return float(text or "nan")
    except ValueError:
        raise DataError(f"{what} is {text!r}, not a number") from None
