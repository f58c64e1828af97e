"""Pictures and records that cannot be read: a run lists them in CSV files, and goes on unless they are too many."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from training.datasets.own.content import BadRecord
from training.errors import DataError, too_many
from training.files.writing import atomic_write

NAME, RECORDS = "bad_images.csv", "bad_records.csv"


def write_bad_pictures(folder: Path, test: Sequence[tuple[str, str]], train: Mapping[str, str]) -> None:
    """bad_images.csv: the pictures that were skipped, for the user to mend. No file if there are none."""
    rows = [("test", index, reason) for index, reason in test]
    rows += [("train", index, reason) for index, reason in train.items()]
    if rows:
        table = io.StringIO()
        csv.writer(table, lineterminator="\n").writerows([("split", "index", "reason"), *rows])
        atomic_write(folder / NAME, table.getvalue().encode(errors="backslashreplace"))


def write_bad_records(folder: Path, bad: Sequence[BadRecord]) -> None:
    """bad_records.csv: the records of a user's own labels that were left out. No file if there are none."""
    if bad:
        table = io.StringIO()
        rows = [(record.name, record.reason) for record in bad]
        csv.writer(table, lineterminator="\n").writerows([("record", "reason"), *rows])
        atomic_write(folder / RECORDS, table.getvalue().encode(errors="backslashreplace"))


def check_share(folder: Path, bad: Mapping[str, str], total: int, most: float) -> None:
    """Raise DataError if `too_many` of `total` pictures are bad. The message ends with the last one."""
    if too_many(len(bad), total, most):
        raise DataError(
            f"{len(bad)} of {total} pictures cannot be read (see {folder / NAME}), "
            f"more than data.max_bad = {most:g} allows; the last one: {list(bad.values())[-1]}"
        )
