"""Helen's part masks (Smith et al., "Exemplar-based face parsing", CVPR 2013): `helen:PATH`.

PATH/images/NAME.jpg
PATH/labels/NAME/NAME_lbl00.png to NAME_lbl10.png    one grey picture per class: how much of a pixel belongs to it
PATH/exemplars.txt, PATH/tuning.txt, PATH/testing.txt    2,000, 230 and 100 lines such as "12 , 100032540_1"
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hbcore.landmarks.squares import BOX_MARGIN, CropRule, Square, around_box, around_picture
from training.datasets.annotations import file_name, picture_folder, text_lines
from training.datasets.parts.base import masked
from training.errors import BadPicture, DataError
from training.labels.parts import HELEN11, Mask
from training.labels.sample import Sample
from training.pictures.reading import read_levels, read_picture

FACE = range(1, 10)  # all classes but background and hair
_LINE = re.compile(r"\s*\d+\s*,\s*(\S+)\s*")


class Helen:
    """Train is exemplars.txt; test is testing.txt, or what `test` names.

    A pixel is of the class whose label picture is brightest there, the first of equals. The crop is a square around
    the box of the face, all classes but background and hair. Raises DataError, naming the file, for another layout.
    """

    name = "helen"
    crop = CropRule("box", BOX_MARGIN)
    skeleton = HELEN11

    def __init__(self, root: Path, split: str, test: str = "testing") -> None:
        path = root / f"{'exemplars' if split == 'train' else test}.txt"
        self._names = _read_names(path)
        self._pictures = picture_folder(root)
        self._labels = root / "labels"
        if not self._labels.is_dir():
            raise DataError(f"{self._labels}: no such folder; the masks of helen belong there")
        self.split = split
        self.protocol = (
            f"helen {split}: {path.name}, {len(self)} pictures, {len(HELEN11.names)} classes; "
            "crop: 1.25 x the box of the masks of the face, without hair"
        )

    def __len__(self) -> int:
        return len(self._names)

    def sample(self, index: int) -> Sample:
        """See Dataset."""
        name = self._names[index]
        picture, mask = read_picture(self._pictures / f"{name}.jpg"), self._mask(name)
        return masked(picture, mask, HELEN11, _square(picture, mask), name)

    def _mask(self, name: str) -> Mask:
        folder = self._labels / name
        levels = [read_levels(folder / f"{name}_lbl{k:02d}.png") for k in range(len(HELEN11.names))]
        if len({level.shape for level in levels}) > 1:
            raise BadPicture(f"{folder}: its label pictures differ in size")
        mask: Mask = np.stack(levels).argmax(axis=0).astype(np.uint8)
        return mask


def _square(picture: NDArray[np.uint8], mask: Mask) -> Square:
    face = np.isin(mask, FACE)
    if not face.any():
        return around_picture(picture)
    rows, columns = np.flatnonzero(face.any(axis=1)), np.flatnonzero(face.any(axis=0))
    left, top = float(columns[0]), float(rows[0])
    return around_box(left, top, float(columns[-1]) - left + 1, float(rows[-1]) - top + 1)


def _read_names(path: Path) -> list[str]:
    names = []
    for number, line in enumerate(text_lines(path), start=1):
        if line.strip():
            match = _LINE.fullmatch(line)
            if match is None:
                raise DataError(f"{path}, line {number}: should be a number, a comma and a name, not {line[:60]!r}")
            names.append(file_name(match[1], f"{path}, line {number}: {match[1]!r}"))
    if not names:
        raise DataError(f"{path}: names no picture")
    return names
