"""The log of a run: a table of numbers that a crash may cut short."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.errors import DataError, UserError
from training.files.writing import atomic_write, disk_error


class CsvLog:
    """A table of numbers on disk. The first column is `step`; a missing value is an empty cell."""

    def __init__(self, path: str | Path, columns: Sequence[str]) -> None:
        """Take up the log at `path`, or begin it with a header.

        Raises UserError if it has other columns, DataError if it is no log, DiskError if it cannot be made.
        """
        if columns[0] != "step":
            raise ValueError("the first column of a log is step")
        self.path = Path(path)
        self.columns = tuple(columns)
        if not self.path.exists():
            atomic_write(self.path, f"{','.join(columns)}\n".encode())
        there, _ = _read(self.path)
        if there != self.columns:
            raise UserError(f"{path} has the columns {there}, not {self.columns}: choose another --out")

    def append(self, row: Mapping[str, float | None]) -> None:
        """Write one row through to the system, so that a killed process loses none.

        Raises DiskError if it cannot be written, ValueError for an unknown column.
        """
        if unknown := row.keys() - set(self.columns):
            raise ValueError(f"the log has no columns {sorted(unknown)}")
        cells = ["" if row.get(name) is None else str(row[name]) for name in self.columns]
        line = f"{','.join(cells)}\n".encode()
        try:
            with open(self.path, "ab") as file:
                file.write(line)
        except OSError as error:
            raise disk_error(self.path, len(line), error) from error

    def truncate_after(self, step: int) -> None:
        """Drop the rows of later steps, and a last line that a crash cut short; the others stay as they are.

        Raises DiskError, with the log untouched, if it cannot be rewritten.
        """
        _, rows = _read(self.path)
        kept = [line for line, cells in rows if cells[0] <= step]
        atomic_write(self.path, "\n".join([",".join(self.columns), *kept, ""]).encode())


def read_log(path: str | Path) -> dict[str, NDArray[np.float64]]:
    """The columns of a `CsvLog`, each (rows,), NaN where a cell is empty. A last line cut short is left out.

    Raises DataError, naming file and line, if it is not such a table.
    """
    names, rows = _read(path)
    table = np.array([cells for _, cells in rows], dtype=np.float64).reshape(-1, len(names))
    return {name: table[:, index] for index, name in enumerate(names)}


def _read(path: str | Path) -> tuple[tuple[str, ...], list[tuple[str, list[float]]]]:
    """Columns and rows of a log, each row as it stands and as numbers."""
    try:
        # What follows the last newline is nothing, or a torn row.
        lines = Path(path).read_text(encoding="utf-8").split("\n")[:-1]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read the log {path}: {error}") from None
    names = tuple(lines[0].split(",")) if lines else ()
    if names[:1] != ("step",):
        raise DataError(f"{path} is not a log of a run: its first line does not begin with step")
    rows = []
    for number, line in enumerate(lines[1:], start=2):
        try:
            cells = [float(cell or "nan") for cell in line.split(",")]
        except ValueError:
            cells = []
        if len(cells) != len(names):
            raise DataError(f"{path}, line {number}: expected {len(names)} numbers")
        rows.append((line, cells))
    return names, rows
