"""A user's own masks: `masks:PATH`.

    PATH/images/NAME.jpg                 pictures (or .png, .jpeg, .bmp, .ppm, .webp, .tif)
    PATH/masks/NAME.png                  8 bits per pixel, index-colour or grey: the class of each pixel, 255 unknown
    PATH/classes.txt                     the names of the classes, one a line, from class 0
    PATH/train.txt and PATH/test.txt     which NAMEs are for training and for testing, one a line, if you like

Without images/, the pictures are those that a predictions.json names, so that what `predict` wrote is such a folder.
Without the lists, a fifth of the pictures, drawn by their names, are for testing. In classes.txt, `left_X` and
`right_X` change places in a mirror. classes.toml, in the place of classes.txt, can name such pairs as it likes:

    classes = ["background", "near_wing", "far_wing"]
    flip_pairs = [["near_wing", "far_wing"]]
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hbcore.landmarks.squares import CropRule, around_picture
from training.datasets.annotations import file_name, load_json, load_toml, picture_folder, text_lines
from training.datasets.parts.base import masked
from training.datasets.splits import Division, Fold
from training.errors import DataError
from training.labels.parts import Parts
from training.labels.sample import Sample
from training.pictures.reading import ENDINGS, read_levels, read_picture

HELD_OUT = 0.2  # share of the pictures for testing where no list says


class MaskFolder:
    """Pictures and masks of a folder. The crop is the whole picture.

    Raises DataError, naming the file, for a folder of another layout, a picture without a mask, a name on both lists
    or without a picture, and classes that cannot be.
    """

    name = "masks"
    crop = CropRule("picture")

    def __init__(self, root: Path, split: str, val: float = 0.0, fold: Fold | None = None) -> None:
        self.skeleton = read_classes(root)
        pictures = _predicted(root) or _by_name(picture_folder(root))
        division = _division(root, val, fold)
        for name in division.listed:
            if name not in pictures:
                raise DataError(f"{root}: a list names {name!r}, but there is no such picture in images/")
        division = division.of((path, name) for name, path in pictures.items())
        self._pictures = {name: path for name, path in pictures.items() if division.split(name) == split}
        self._names = list(self._pictures)
        self._masks = root / "masks"
        for name in self._names:
            if not self._mask(name).is_file():
                raise DataError(f"{self._mask(name)}: no such file; every picture needs a mask")
        if not self._pictures:
            raise DataError(f"masks: no picture in {root / 'images'} is for the split {split}; {division.rule}")
        self.split = split
        self.protocol = (
            f"masks {split}: {len(self._pictures)} pictures, {len(self.skeleton.names)} classes; {division.rule}; "
            "crop: whole picture"
        )

    def _mask(self, name: str) -> Path:
        return self._masks / f"{name}.png"

    def __len__(self) -> int:
        return len(self._pictures)

    def sample(self, index: int) -> Sample:
        """See Dataset."""
        name = self._names[index]
        path = self._pictures[name]
        picture, mask = read_picture(path), read_levels(self._mask(name))
        return masked(picture, mask, self.skeleton, around_picture(picture), path.name)


def read_classes(root: Path) -> Parts:
    """The classes that classes.toml or classes.txt names. Raises DataError, naming the file, if they cannot be."""
    path = root / "classes.toml"
    try:
        if path.is_file():
            content = load_toml(path)
            names, paired = content.get("classes"), content.get("flip_pairs", [])
            if not isinstance(names, list) or not isinstance(paired, list):
                raise ValueError('should hold classes = ["...", ...] and perhaps flip_pairs = [["...", "..."], ...]')
        else:
            path = root / "classes.txt"
            names = _lines(path)
            sides = [name[5:] for name in names if name.startswith("left_")]
            paired = [(f"left_{side}", f"right_{side}") for side in sides if f"right_{side}" in names]
        return Parts(root.name or "masks", tuple(names), tuple(_pair(names, pair) for pair in paired))
    except ValueError as error:
        raise DataError(f"{path}: {error}") from None


def _pair(names: Sequence[str], pair: Sequence[str]) -> tuple[int, int]:
    if not isinstance(pair, (list, tuple)) or len(pair) != 2 or any(name not in names for name in pair):
        raise ValueError(f"flip_pairs holds {pair!r}, which is no pair of classes")
    return names.index(pair[0]), names.index(pair[1])


def _division(root: Path, val: float, fold: Fold | None) -> Division:
    listed: dict[str, str] = {}
    for split in ("train", "test"):
        path = root / f"{split}.txt"
        for name in _lines(path) if path.exists() else ():
            if listed.setdefault(file_name(name, f"{path}: {name!r}"), split) != split:
                raise DataError(f"{path}: {name!r} is in train.txt too: test pictures must be others")
    return Division(HELD_OUT, listed, validation=val, fold=fold)


def _lines(path: Path) -> list[str]:
    return [line.strip() for line in text_lines(path) if line.strip()]


def _predicted(root: Path) -> dict[str, Path]:
    """The pictures that `predict` looked at, by what their masks are called; none where images/ has them."""
    path = root / "predictions.json"
    if (root / "images").is_dir() or not path.is_file():
        return {}
    content = load_json(path)
    records = content.get("pictures") if isinstance(content, dict) else None
    if not isinstance(records, list) or not all(
        isinstance(record, dict) and isinstance(record.get("mask"), str) and isinstance(record.get("picture"), str)
        for record in records
    ):
        raise DataError(f"{path}: does not say pictures and masks: put the pictures into {root / 'images'}")
    return {Path(record["mask"]).stem: Path(record["picture"]) for record in records}


def _by_name(folder: Path) -> dict[str, Path]:
    """Pictures by what their masks are called, in order. Raises DataError if two of them would share one."""
    pictures: dict[str, Path] = {}
    for path in sorted(path for path in folder.iterdir() if path.suffix.lower() in ENDINGS):
        if pictures.setdefault(path.stem, path) != path:
            raise DataError(f"{path} and {pictures[path.stem].name} would share one mask: rename one of them")
    return pictures
