"""Data sets by name: `open_dataset("lsp:../data/lsp", "test")`. Each task has kinds of its own."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path

from training.datasets.kinds import FOLD, VAL, Kind, Option, Options, Values, fold_of
from training.datasets.own.kinds import OWN_KINDS
from training.datasets.poses.lsp import Lsp, Lspet
from training.datasets.poses.mpii import Mpii
from training.datasets.splits import SPLITS
from training.errors import DataError, UserError, unknown
from training.labels.sample import Dataset, Sample

__all__ = [
    "DRAWN", "FOLD", "OWN_KINDS", "POSE_KINDS", "VAL", "Dataset", "Kind", "Option", "Options", "Sample",
    "divisible", "fold_of", "has_validation", "open_dataset",
]  # fmt: skip

DRAWN: Mapping[str, Option] = {
    "length": Option("how many"),
    "seed": Option("others"),
    "size": Option("their side in pixels"),
}
"""Options of pictures that are drawn."""


def _open_synthetic(_: Path, split: str, options: Options) -> Dataset:
    from training.datasets.drawn.synthetic import SyntheticFigures  # draws pictures: not every command needs that

    return SyntheticFigures(split, **{name: int(value) for name, value in options.items()})


def _open_lsp(root: Path, split: str, options: Options) -> Dataset:
    return Lsp(root, split)


def _open_lspet(root: Path, split: str, options: Options) -> Dataset:
    return Lspet(root, split, **options)


def _open_mpii(root: Path, split: str, options: Options) -> Dataset:
    return Mpii(root, split, **options)


POSE_KINDS: Mapping[str, Kind] = {
    "synthetic": Kind(_open_synthetic, "drawn figures", options=DRAWN),
    "lsp": Kind(_open_lsp, "Leeds Sports Poses", "joints.mat and images/"),
    "lspet": Kind(
        _open_lspet,
        "Leeds Sports Poses, extended",
        "joints.mat and images/",
        {"labels": Option("whose labels", ("crowd", "teacher"))},
    ),
    "mpii": Kind(
        _open_mpii,
        "MPII Human Pose",
        "its labels and images/",
        {"labels": Option("which of its files", ("release", "hrnet", "hourglass"))},
    ),
    **OWN_KINDS,
}


def open_dataset(spec: str, split: str, kinds: Mapping[str, Kind] = POSE_KINDS) -> Dataset:
    """The data set of a name and folder: `synthetic`, `lsp:PATH`, `lspet:PATH` or `mpii:PATH` among POSE_KINDS.

    Options follow a question mark: `lspet:PATH?labels=teacher` (or crowd), `mpii:PATH?labels=hrnet` (or
    release or hourglass, see Mpii), `synthetic?length=500&seed=1&size=160`. A relative PATH starts at the
    working folder. A user's own labels are a file: `coco:FILE.json?images=FOLDER&test=0.2`, `csv:FILE.csv` and
    those of labelling tools, see `own/kinds.py`. The split is train, test, or val where the data set has it.

    Raises UserError for an unknown name, option, value or split, with the nearest known one, and DataError
    for a folder that is not there, may not be read or does not hold the data set.
    """
    if split not in SPLITS:
        raise UserError(unknown("split", split, SPLITS))
    name, colon, folder, options = _parts(spec, kinds)
    kind = kinds[name]
    if split == "val" and not float(options.get("val", 0)):
        how = ": ?val=0.1 holds out a tenth of the pictures for training" if "val" in kind.options else ""
        raise DataError(f"{spec} has no validation split{how}")
    if kind.folder is None:
        if colon:
            raise UserError(f"data set {name} is made, not read: leave out ':{folder}'")
        return kind.open(Path(), split, options)
    if not folder:
        what = {"FOLDER": "folder", "PATH": "file or folder"}.get(kind.path, "file")
        raise UserError(f"data set {name} needs a {what}: {name}:PATH, where PATH holds {kind.folder}")
    root = Path(folder)
    try:
        if not kind.file and not root.is_dir():  # a file is looked at when it is opened
            here = "" if root.is_absolute() else f" (seen from {Path.cwd()})"
            raise DataError(f"{name}: there is no folder {folder}{here}; give the one that holds {kind.folder}")
        return kind.open(root, split, options)
    except OSError as error:  # no permission, a name that is too long, a disk that is gone
        raise DataError(f"{name}: {error.filename or folder} cannot be read: {error.strerror or error}") from error


def has_validation(spec: str, kinds: Mapping[str, Kind] = POSE_KINDS) -> bool:
    """Whether the name of a data set asks for a split "val". Raises UserError as `open_dataset`."""
    return float(_parts(spec, kinds)[-1].get("val", 0)) > 0


def divisible(spec: str, kinds: Mapping[str, Kind] = POSE_KINDS) -> bool:
    """Whether a data set can be divided into folds. Raises UserError as `open_dataset`."""
    return "fold" in kinds[_parts(spec, kinds)[0]].options


def _parts(spec: str, kinds: Mapping[str, Kind]) -> tuple[str, str, str, Options]:
    """Name, colon, folder and options."""
    # From the right: a folder may have a question mark in its name as long as options follow it.
    place, _, query = spec.rpartition("?") if "?" in spec else (spec, "", "")
    name, colon, folder = place.partition(":")
    if name not in kinds:
        raise UserError(unknown("data set", name, kinds))
    return name, colon, folder, _options(name, query, kinds[name].options)


def _options(name: str, query: str, known: Mapping[str, Option]) -> Options:
    options: Options = {}
    for item in filter(None, query.split("&")):
        key, _, value = item.partition("=")
        if key not in known:
            raise UserError(unknown(f"option of {name}", key, known))
        if key in options:
            raise UserError(f"option {key} of {name} is given twice")
        _check(f"option {key} of {name}", value, known[key].values)
        options[key] = value
    return options


def _check(what: str, value: str, values: Values) -> None:
    if isinstance(values, tuple):
        if values and value not in values:
            raise UserError(unknown(f"value of {what}", value, values))
        if not values and not (value.isascii() and value.isdigit() and len(value) <= 18):
            raise UserError(f"{what} takes a whole number, not {value!r}")
    elif not value:
        raise UserError(f"{what} needs a value")
    elif values is float:
        with contextlib.suppress(ValueError):
            if 0 <= float(value) <= 1:
                return
        raise UserError(f"{what} takes a share from 0 to 1, not {value!r}")
