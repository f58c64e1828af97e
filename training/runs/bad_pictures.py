"""Pictures that cannot be read: a run lists them in bad_images.csv, and goes on unless they are too many."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from training.errors import DataError
from training.files.writing import atomic_write

NAME = "bad_images.csv"


def write_bad_pictures(folder: Path, test: Sequence[tuple[str, str]], train: Mapping[str, str]) -> None:
    """bad_images.csv: the pictures that were skipped, for the user to mend. No file if there are none."""
    rows = [("test", index, reason) for index, reason in test]
    rows += [("train", index, reason) for index, reason in train.items()]
    if rows:
        table = io.StringIO()
        csv.writer(table, lineterminator="\n").writerows([("split", "index", "reason"), *rows])
        atomic_write(folder / NAME, table.getvalue().encode(errors="backslashreplace"))


def check_share(folder: Path, bad: Mapping[str, str], total: int, most: float) -> None:
    """Raise DataError if more than the share `most` of `total` pictures are bad. The message ends with the last one."""
    if len(bad) > most * total:
        raise DataError(
            f"{len(bad)} of {total} pictures cannot be read (see {folder / NAME}), "
            f"more than data.max_bad = {most:g} allows; the last one: {list(bad.values())[-1]}"
        )
