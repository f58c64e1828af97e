"""The verb `next` of `python -m training.data`: which pictures of a folder are worth labelling next."""

from __future__ import annotations

import argparse
import csv
import io
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from hbcore.landmarks.crop import Crop
from training.checks.duplicates import fingerprint
from training.choosing.worth import CELLS, Seen, Thumb, choose, see, thumb
from training.command_line.common import finder_of, model_file, use_threads
from training.configuration.toml import load
from training.datasets import Kind, open_dataset
from training.datasets.splits import SPLITS
from training.errors import BadPicture, DataError, UserError
from training.files.writing import atomic_write, check_place
from training.labels.sample import Dataset
from training.labels.skeletons import Skeleton
from training.pictures.reading import read_picture
from training.prediction.model import Model
from training.prediction.predict import find_pictures
from training.runs.progress import followed

MOST_KNOWN = 2000
"""Labelled pictures that others are compared with, evenly spaced among all of them."""

COLUMNS = ("rank", "picture", "worth", "found", "confidence", "spread", "unlike")
Say = Callable[[str], None]


def next_pictures(options: argparse.Namespace, kinds: Mapping[str, Kind]) -> None:
    """Look at all pictures, and print or write the list."""
    if options.out:
        if Path(options.out).suffix not in (".csv", ".json"):
            raise UserError(f"{options.out}: a list is written as FILE.csv or FILE.json")
        check_place(options.out)
    use_threads(0)
    quiet = options.quiet or options.json
    say: Say = partial(print, file=sys.stderr)
    model = Model.load(model_file(options.model))
    if not isinstance(model.scheme, Skeleton):
        raise DataError(f"{options.model} finds {model.scheme.name}, not points: `next` is about models of points")
    finder = finder_of(model, options.finder)
    paths = find_pictures([Path(options.folder)])
    known, exact = _labelled(_known(options, kinds, say), quiet)
    chosen_from, seen = _seen(model, finder, paths, exact, quiet, say)
    if not seen:
        raise DataError(f"{options.folder}: every picture is labelled already, or cannot be read")
    rows = list(_rows(chosen_from, seen, known, options.count))
    if options.out:
        atomic_write(options.out, (_table(rows) if options.out.endswith(".csv") else _json(rows)).encode())
    if options.json:
        print(_json(rows), end="")
    elif not options.quiet:
        _print(rows)
        print(f"{len(rows)} of {len(seen)} pictures without labels, compared with {len(known)} labelled ones")


def _known(options: argparse.Namespace, kinds: Mapping[str, Kind], say: Say) -> list[Dataset]:
    """What is labelled already: what was named, else what the model was trained on, as far as that is here."""
    specs = options.labelled or _trained_on(options.model)
    opened, reasons = [], []
    for spec in specs:
        for split in SPLITS:
            try:
                opened.append(open_dataset(spec, split, kinds))
            except UserError as error:
                reasons.append(str(error))
    if options.labelled and not opened:
        raise DataError(reasons[0])
    if not opened:
        why = f" ({reasons[0]})" if reasons else ""
        say(f"what {options.model} was trained on is not here{why}: pictures are compared with each other alone; "
            "--labelled says what has labels")  # fmt: skip
    return opened


def _trained_on(model: str) -> Sequence[str]:
    """The data sets of a run by its folder; of a model file those it was tested on, which may be the same."""
    path = Path(model) / "config.toml"
    if path.is_file():
        data = load(path).data
        return (*data.train, *data.test)
    told = Model.load(model_file(model)).trained.get("test")
    return [spec for spec in told if isinstance(spec, str)] if isinstance(told, list) else []


def _labelled(datasets: Sequence[Dataset], quiet: bool) -> tuple[list[Thumb], set[bytes]]:
    """Thumbs of what is labelled, and digests of the pictures."""
    places = [(dataset, index) for dataset in datasets for index in range(len(dataset))]
    step = max(1, -(-len(places) // MOST_KNOWN))
    thumbs, exact = [], set()
    for dataset, index in followed(places[::step], "labelled", quiet):
        try:
            sample = dataset.sample(index)
        except BadPicture:
            continue
        thumbs.append(thumb(sample.picture, Crop(sample.center, sample.side, CELLS)))
        exact.add(fingerprint(sample.picture).exact)
    return thumbs, exact


def _seen(
    model: Model, finder: Any, paths: Sequence[Path], exact: set[bytes], quiet: bool, say: Say
) -> tuple[list[Path], list[Seen]]:
    """The pictures that have no labels yet, and what the model makes of them."""
    kept, seen = [], []
    for path in followed(paths, "picture", quiet):
        try:
            picture = read_picture(path)
        except BadPicture as error:
            say(f"skipped: {error}")
            continue
        if fingerprint(picture).exact not in exact:
            kept.append(path)
            seen.append(see(model, picture, finder))
    return kept, seen


def _rows(paths: Sequence[Path], seen: Sequence[Seen], known: Sequence[Thumb], count: int) -> Iterator[dict[str, Any]]:
    for rank, choice in enumerate(choose(seen, known, count), start=1):
        one = seen[choice.index]
        values = (
            rank,
            os.fspath(paths[choice.index]),
            round(choice.worth, 4),
            one.found,
            round(1 - one.doubt, 4) if one.found else None,
            round(one.spread, 5) if one.found else None,
            round(choice.unlike, 4),
        )
        yield dict(zip(COLUMNS, values, strict=True))


def _json(rows: Sequence[dict[str, Any]]) -> str:
    return json.dumps(rows, indent=2) + "\n"


def _table(rows: Sequence[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _print(rows: Sequence[dict[str, Any]]) -> None:
    print(f"{'rank':>4}  {'worth':>5}  {'confidence':>10}  {'spread':>7}  {'unlike':>6}  picture")
    for row in rows:
        sure = (
            f"{row['confidence']:>10.2f}  {100 * row['spread']:>5.1f} %" if row["found"] else f"{'nothing found':>19}"
        )
        print(f"{row['rank']:>4}  {row['worth']:>5.2f}  {sure}  {row['unlike']:>6.2f}  {row['picture']}")
