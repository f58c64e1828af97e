"""Wider Facial Landmarks in the Wild (Wu et al., 2018), wywu.github.io/projects/LAB/WFLW.html."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from training.datasets.annotations import file_name, pixels, text_lines
from training.datasets.faces.base import BOX_RULE, OF_BOX, FaceLabel, as_sample
from training.errors import DataError
from training.labels.face_skeletons import WFLW98
from training.labels.sample import Sample
from training.pictures.reading import read_picture

LIST = "list_98pt_rect_attr_train_test/list_98pt_rect_attr_{split}.txt"
ATTRIBUTES = ("pose", "expression", "illumination", "makeup", "occlusion", "blur")
_POINTS = len(WFLW98.keypoints)
_NUMBERS = 2 * _POINTS + 4 + len(ATTRIBUTES)


class Wflw:
    """WFLW: pictures in `root`/WFLW_images, lists in `root` or `root`/WFLW_annotations.

    A line of a list is one face: 98 times x y, the box as left, top, right, bottom, six attributes of 0 or 1, and the
    picture's path below WFLW_images. `subset` keeps the faces with one attribute, as the tables of papers do. Pixels
    are taken as counted from 0. The crop is a square around the given box.

    Raises DataError, naming the list and the line, for anything else.
    """

    name = "wflw"
    crop = BOX_RULE
    skeleton = WFLW98

    def __init__(self, root: Path, split: str, subset: str | None = None) -> None:
        places = [folder / LIST.format(split=split) for folder in (root, root / "WFLW_annotations")]
        path = next((place for place in places if place.is_file()), places[1])
        self.split = split
        self._folder = root / "WFLW_images"
        if not self._folder.is_dir():
            raise DataError(f"{self._folder}: no such folder; the pictures of the data set belong there")
        self._files: list[str] = []
        labels: list[np.ndarray[tuple[int, ...], np.dtype[np.float64]]] = []
        for number, line in enumerate(text_lines(path), start=1):
            if not line.strip():
                continue
            where = f"{path}: line {number}"
            *values, name = line.split(maxsplit=_NUMBERS)
            if len(values) != _NUMBERS:
                raise DataError(f"{where} has {len(values)} numbers before the picture's name, expected {_NUMBERS}")
            try:
                row = pixels([float(value) for value in values], (_NUMBERS,), where)
            except ValueError as error:
                raise DataError(f"{where}: {error}") from None
            left, top, right, bottom = row[2 * _POINTS : 2 * _POINTS + 4]
            if not (left < right and top < bottom):
                raise DataError(f"{where}: the box {left:g} {top:g} {right:g} {bottom:g} has no area")
            flags = row[2 * _POINTS + 4 :]
            if not np.isin(flags, (0, 1)).all():
                raise DataError(f"{where}: an attribute is neither 0 nor 1")
            file = file_name(name.strip(), f"{where}: the picture's name")
            if subset is None or flags[ATTRIBUTES.index(subset)]:
                labels.append(row)
                self._files.append(file)
        if not labels:
            raise DataError(f"{path}: holds no face{f' with the attribute {subset}' if subset else ''}")
        table = np.stack(labels)
        self._points = table[:, : 2 * _POINTS].reshape(-1, _POINTS, 2).astype(np.float32)
        self._boxes = table[:, 2 * _POINTS : 2 * _POINTS + 4]
        which = f", attribute {subset}" if subset else ""
        self.protocol = f"wflw {split}: {path.name}{which}, {len(self)} faces, {_POINTS} points; {OF_BOX}"

    def __len__(self) -> int:
        return len(self._files)

    def sample(self, index: int) -> Sample:
        """See Dataset."""
        picture = read_picture(self._folder / self._files[index])
        left, top, right, bottom = self._boxes[index].tolist()
        label = FaceLabel(self._points[index], np.ones(_POINTS, np.bool_), (left, top, right, bottom))
        return as_sample(picture, label, self._files[index])
