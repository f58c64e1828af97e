"""Data sets by name: `open_dataset("lsp:../data/lsp", "test")`. Each task has kinds of its own."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from training.datasets.base import Person, PersonDataset
from training.datasets.lsp import Lsp, Lspet
from training.datasets.mpii import Mpii
from training.errors import DataError, UserError

__all__ = ["POSE_KINDS", "Kind", "Person", "PersonDataset", "open_dataset"]

Options = dict[str, str]


@dataclass(frozen=True)
class Kind:
    """How to open one kind of data set, what its folder holds, if it has one, and what its options take."""

    open: Callable[[Path, str, Options], PersonDataset]
    folder: str | None
    options: dict[str, tuple[str, ...]]  # an empty tuple stands for any whole number


def _open_synthetic(_: Path, split: str, options: Options) -> PersonDataset:
    from training.datasets.synthetic import SyntheticFigures  # draws pictures: not everybody needs that

    return SyntheticFigures(split, **{name: int(value) for name, value in options.items()})


def _open_lsp(root: Path, split: str, options: Options) -> PersonDataset:
    return Lsp(root, split)


def _open_lspet(root: Path, split: str, options: Options) -> PersonDataset:
    return Lspet(root, split, **options)


def _open_mpii(root: Path, split: str, options: Options) -> PersonDataset:
    return Mpii(root, split, **options)


POSE_KINDS: Mapping[str, Kind] = {
    "synthetic": Kind(_open_synthetic, None, {"length": (), "seed": (), "size": ()}),
    "lsp": Kind(_open_lsp, "joints.mat and images/", {}),
    "lspet": Kind(_open_lspet, "joints.mat and images/", {"labels": ("crowd", "teacher")}),
    "mpii": Kind(_open_mpii, "its labels and images/", {"labels": ("release", "hrnet", "hourglass")}),
}


def open_dataset(spec: str, split: str, kinds: Mapping[str, Kind] = POSE_KINDS) -> PersonDataset:
    """Open a data set by its name and folder: `synthetic`, `lsp:PATH`, `lspet:PATH` or `mpii:PATH` among POSE_KINDS.

    Options follow a question mark: `lspet:PATH?labels=teacher` (or crowd), `mpii:PATH?labels=hrnet` (or
    release or hourglass, see Mpii), `synthetic?length=500&seed=1&size=160`. A relative PATH starts at the
    working folder.

    Raises UserError for an unknown name, option, value or split, with the nearest known one, and DataError
    for a folder that is not there or does not hold the data set.
    """
    if split not in ("train", "test"):
        raise UserError(_unknown("split", split, ("train", "test")))
    # From the right: a folder may have a question mark in its name as long as options follow it.
    place, _, query = spec.rpartition("?") if "?" in spec else (spec, "", "")
    name, colon, folder = place.partition(":")
    if name not in kinds:
        raise UserError(_unknown("data set", name, kinds))
    kind = kinds[name]
    options = _options(name, query, kind.options)
    if kind.folder is None:
        if colon:
            raise UserError(f"data set {name} is made, not read: leave out ':{folder}'")
        return kind.open(Path(), split, options)
    if not folder:
        raise UserError(f"data set {name} needs a folder: {name}:PATH, where PATH holds {kind.folder}")
    root = Path(folder)
    if not root.is_dir():
        here = "" if root.is_absolute() else f" (seen from {Path.cwd()})"
        raise DataError(f"{name}: there is no folder {folder}{here}; give the one that holds {kind.folder}")
    return kind.open(root, split, options)


def _options(name: str, query: str, known: dict[str, tuple[str, ...]]) -> Options:
    options: Options = {}
    for item in filter(None, query.split("&")):
        key, equals, value = item.partition("=")
        if key not in known:
            raise UserError(_unknown(f"option of {name}", key, known))
        if key in options:
            raise UserError(f"option {key} of {name} is given twice")
        if known[key] and value not in known[key]:
            raise UserError(_unknown(f"value of option {key} of {name}", value, known[key]))
        if not known[key] and not (equals and value.isascii() and value.isdigit()):
            raise UserError(f"option {key} of {name} takes a whole number, not {value!r}")
        options[key] = value
    return options


def _unknown(what: str, given: str, known: Iterable[str]) -> str:
    names = list(known)
    nearest = difflib.get_close_matches(given, names, n=1)
    if nearest:
        return f"unknown {what} {given!r}; did you mean {nearest[0]!r}?"
    return f"unknown {what} {given!r}; {'there is ' + ', '.join(names) if names else 'there is none'}"
