"""Data sets of parts by name, for `open_dataset`: every set of faces with ibug's 68 points, and masks in files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from training.datasets import FOLD, VAL, Dataset, Kind, Option, Options, fold_of
from training.datasets.faces import FACE_KINDS
from training.datasets.parts.helen import Helen
from training.datasets.parts.masks import MaskFolder
from training.datasets.parts.outlined import Outlined


def _open_outlined(kind: Kind, root: Path, split: str, options: Options) -> Dataset:
    return Outlined(kind.open(root, split, options))


def _open_helen(root: Path, split: str, options: Options) -> Dataset:
    return Helen(root, split, **options)


def _open_masks(root: Path, split: str, options: Options) -> Dataset:
    return MaskFolder(root, split, float(options.get("val", 0)), fold_of(options))


PART_KINDS: Mapping[str, Kind] = {
    **{name: replace(kind, open=partial(_open_outlined, kind)) for name, kind in FACE_KINDS.items()},
    "helen": Kind(
        _open_helen,
        "Helen's parts",
        "images/, labels/, exemplars.txt and testing.txt",
        {"test": Option("which faces to test on", ("testing", "tuning"))},
    ),
    "masks": Kind(
        _open_masks,
        "masks in files",
        "images/, masks/ and classes.txt or classes.toml",
        {"val": VAL, "fold": FOLD},
    ),
}
