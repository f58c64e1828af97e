"""What finders learn from by name, for `open_dataset`: sets of faces, of people, a user's own, and pictures of none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from training.datasets import DRAWN, OWN_KINDS, POSE_KINDS, Dataset, Kind, Options
from training.datasets.faces import FACE_KINDS
from training.datasets.faces.pts import PtsFaces, open_300w, photos
from training.datasets.own.labels import OwnSamples, own_labels
from training.datasets.poses.lsp import Lspet
from training.datasets.scenes.faceless import Beside, Bodies, Scenery
from training.datasets.scenes.instances import Instances, Photos
from training.errors import DataError

FEW = 2
"""Labelled faces of a photograph without a crowd."""

AFW_TRAIN = 120
"""The photographs of AFW, by file name, that are for training; those behind them are the test."""


def as_scenes(points: Dataset) -> Dataset:
    """A labelled data set as a finder takes it: single instances to train on, else whole pictures."""
    if points.split == "train":
        return Instances(points)
    own = own_labels(points)
    groups: dict[str, list[int]] = {}
    for index in range(len(points)):
        groups.setdefault(own.labels.files[index] if own else str(index), []).append(index)
    return Photos(points, list(groups.values()))


def _open(kind: Kind, root: Path, split: str, options: Options) -> Dataset:
    return as_scenes(kind.open(root, split, options))


def _open_300w(root: Path, split: str, options: Options) -> Dataset:
    """Without the faces of the photographs of AFW that `afw` tests on."""
    points = open_300w(root, split, **options)
    if split != "train":
        return as_scenes(points)
    held = _held_out(points)
    return Instances(points, [index for index, path in enumerate(points.files) if path not in held])


def _held_out(points: PtsFaces) -> set[Path]:
    afw = photos([path for path in points.files if path.parent.name.lower() == "afw"])
    last = sorted(set(afw.values()), key=lambda photo: f"{photo}.jpg")[AFW_TRAIN:]
    return {path for path, photo in afw.items() if photo in last}


def _afw(root: Path, split: str) -> tuple[OwnSamples, list[list[int]]]:
    """All of AFW, and the samples of each photograph of a split."""
    points = own_labels(OWN_KINDS["coco"].open(root / "faces.json", "train", {"images": str(root / "images")}))
    assert points is not None
    names = sorted(set(points.labels.files))
    names = names[:AFW_TRAIN] if split == "train" else names[AFW_TRAIN:]
    return points, [[index for index, file in enumerate(points.labels.files) if file == name] for name in names]


def _open_afw(root: Path, split: str, options: Options) -> Dataset:
    """In training, single faces alone: what is around others has faces of its own."""
    points, groups = _afw(root, split)
    points.name, points.split = "afw", split  # and not that of a user's own labels
    if split == "train":
        return Instances(points, [group[0] for group in groups if len(group) == 1])
    return Photos(points, groups)


def _open_beside(root: Path, split: str, options: Options) -> Dataset:
    if split != "train":
        raise DataError("afw-beside has no test split: whoever is not labelled may be in its pieces")
    points, groups = _afw(root, split)
    points.name = "afw"
    return Beside(points, [group for group in groups if len(group) <= FEW])


def _open_scenery(_: Path, split: str, options: Options) -> Dataset:
    return Scenery(split, **{name: int(value) for name, value in options.items()})


def _open_lspet(root: Path, split: str, options: Options) -> Dataset:
    return Bodies(Lspet(root, split, **options))


FINDER_KINDS: Mapping[str, Kind] = {
    **{name: replace(kind, open=partial(_open, kind)) for name, kind in FACE_KINDS.items()},
    "300w": replace(FACE_KINDS["300w"], open=_open_300w, about="300-W, of AFW what `afw` trains on"),
    "afw": Kind(_open_afw, f"AFW: train on the first {AFW_TRAIN} photographs", "faces.json and images/"),
    "afw-beside": Kind(_open_beside, "AFW: pieces of those photographs, of no labelled face", "faces.json and images/"),
    "scenery": Kind(_open_scenery, "drawn pictures without a face", options=DRAWN),
    "lspet": replace(POSE_KINDS["lspet"], open=_open_lspet, about="LSP extended without the heads: none to be found"),
}
