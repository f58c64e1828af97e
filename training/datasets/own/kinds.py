"""A user's own labels by the kinds of their files: what opens each, and which options it takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from training.datasets.kinds import FOLD, VAL, Kind, Option, Options, fold_of
from training.datasets.own.coco import read_coco
from training.datasets.own.content import Content
from training.datasets.own.label_file import LabelFile
from training.datasets.own.labels import OwnSamples, own_samples
from training.datasets.own.table import read_table
from training.datasets.own.tools.cvat import read_cvat
from training.datasets.own.tools.deeplabcut import read_dlc, read_lightning
from training.datasets.own.tools.label_studio import read_label_studio
from training.datasets.own.tools.labelme import read_labelme
from training.datasets.own.tools.yolo import read_yolo

Reader = Callable[[LabelFile, Options], Content]


def _open(name: str, read: Reader, path: Path, split: str, options: Options) -> OwnSamples:
    told: dict[str, Any] = {key: options.get(key) for key in ("images", "skeleton", "rescale", "exif")}
    test = float(options["test"]) if "test" in options else None
    val = float(options.get("val", 0))
    fold = fold_of(options)
    label_file = LabelFile(path, test=test, val=val, fold=fold, base_names=options.get("names") == "base", **told)
    return own_samples(name, label_file, split, read(label_file, options))


def _kind(name: str, read: Reader, about: str, path: str, *more: str) -> Kind:
    options = _SHARED | {key: _CHOICE[key] for key in more}
    return Kind(partial(_open, name, read), about, about, options, file=True, path=path)


_SHARED: dict[str, Option] = {
    "images": Option("where the pictures are; without it, the folder of the labels", str, "FOLDER"),
    "test": Option("the share of the pictures held out, 1 for a file that is all for testing; without it, none", float),
    "val": VAL,
    "fold": FOLD,
    "skeleton": Option("what the points mean; without it, the TOML file of the same name", str, "FILE.toml"),
    "rescale": Option("scale labels to pictures that were resized later; no: the sizes told are wrong", ("yes", "no")),
    "exif": Option("labels are of pictures as stored, or (apply) turned upright by their tag", ("ignore", "apply")),
    "names": Option("of names that lead out of the picture folder take what follows the last slash", ("base",)),
}  # fmt: skip
_CHOICE: dict[str, Option] = {
    "category": Option("the category to take; without it, the only one with points", str),
    "scorer": Option("whose labels to take; without it, the only ones", str),
}

OWN_KINDS: Mapping[str, Kind] = {
    "coco": _kind(
        "coco", lambda file, options: read_coco(file, options.get("category")), "COCO keypoints as JSON", "FILE.json",
        "category",
    ),
    "csv": _kind("csv", lambda file, _: read_table(file), "a table of points", "FILE.csv"),
    "dlc": _kind(
        "dlc", lambda file, options: read_dlc(file, options.get("scorer")),
        "DeepLabCut: a project, a folder of it or one CollectedData_*.csv", "PATH", "scorer",
    ),
    "lightning": _kind("lightning", lambda file, _: read_lightning(file), "Lightning Pose: its table", "FILE.csv"),
    "labelme": _kind(
        "labelme", lambda file, _: read_labelme(file), "labelme: a folder with a JSON file per picture", "FOLDER",
    ),
    "cvat": _kind(
        "cvat", lambda file, options: read_cvat(file, options.get("category")), "CVAT for images 1.1", "FILE.xml",
        "category",
    ),
    "labelstudio": _kind(
        "labelstudio", lambda file, _: read_label_studio(file), "Label Studio: its export as JSON", "FILE.json"
    ),
    "yolo": _kind(
        "yolo", lambda file, options: read_yolo(file, options.get("category")),
        "YOLO pose: its YAML file, with images/ and labels/", "DATA.yaml", "category",
    ),
}  # fmt: skip
"""A user's own labels, of whatever has points."""
