"""Caltech Occluded Faces in the Wild (Burgos-Artizzu et al., 2013), the colour version.

Its two files are MATLAB's version 7.3, which is HDF5: pictures and labels in one. HDF5 turns the axes of a MATLAB array
around. COFW_train_color.mat has `IsTr`, references to pictures (3, W, H) or (W, H), `phisTr` (87, N): 29 times x, then
y, then 1 for an occluded point, and `bboxesTr` (4, N): left, top, width, height. COFW_test_color.mat has `IsT`, `phisT`
and `bboxesT`. Pixels are counted from 1.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.datasets.annotations import check_file, pixels
from training.datasets.faces.base import BOX_RULE, OF_BOX, FaceLabel, as_sample
from training.errors import BadPicture, DataError, UserError
from training.labels.face_skeletons import COFW29
from training.labels.sample import Sample
from training.pictures.reading import MAX_PIXELS

FILES = {"train": ("COFW_train_color.mat", "Tr"), "test": ("COFW_test_color.mat", "T")}
MAX_BYTES = 2**31
MAX_FACES = 100_000
_POINTS = len(COFW29.keypoints)


class Cofw:
    """COFW: `root`/COFW_train_color.mat and `root`/COFW_test_color.mat, 1345 and 507 faces.

    Every point counts as labelled, occluded ones too. The crop is a square around the given box. Raises UserError if
    h5py is not installed, and DataError, naming file and variable, if the file is not COFW's.
    """

    name = "cofw"
    crop = BOX_RULE
    skeleton = COFW29

    def __init__(self, root: Path, split: str) -> None:
        file, ending = FILES[split]
        self.split = split
        self._path, self._pictures = root / file, f"Is{ending}"
        check_file(self._path, MAX_BYTES)
        with _open(self._path) as content:
            pictures = _dataset(content, self._path, self._pictures)
            count = pictures.size
            if pictures.dtype != _reference() or not 1 <= count <= MAX_FACES:
                raise DataError(f"{self._path}: {self._pictures} should be a list of pictures")
            labels = self._table(content, f"phis{ending}", 3 * _POINTS, count)
            boxes = self._table(content, f"bboxes{ending}", 4, count)
        if not np.isin(labels[:, 2 * _POINTS :], (0, 1)).all():
            raise DataError(f"{self._path}: phis{ending}: a flag for an occluded point is neither 0 nor 1")
        if not (boxes[:, 2:] > 0).all():
            face = int((boxes[:, 2:] > 0).all(axis=1).argmin())
            raise DataError(f"{self._path}: bboxes{ending}: face {face + 1} has a box without area")
        self._points = (labels[:, : 2 * _POINTS].reshape(count, 2, _POINTS).transpose(0, 2, 1) - 1).astype(np.float32)
        self._boxes = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1) - 1
        self.protocol = f"cofw {split}: {file}, {count} faces, {_POINTS} points, occluded ones too; {OF_BOX}"

    def _table(self, content: Any, key: str, rows: int, count: int) -> NDArray[np.float64]:
        """A variable of shape (rows, count), by faces: (count, rows)."""
        dataset = _dataset(content, self._path, key)
        if dataset.shape != (rows, count) or dataset.dtype.kind not in "fiu":
            raise DataError(f"{self._path}: {key} should be numbers of shape ({rows}, {count}), not {dataset.shape}")
        return pixels(dataset[()].T, (count, rows), f"{self._path}: {key}")

    def __len__(self) -> int:
        return len(self._points)

    def sample(self, index: int) -> Sample:
        """See Dataset."""
        index = range(len(self))[index]
        name = f"{self._path.name}#{index + 1}"
        # Opened anew: a worker process cannot share an open file.
        with _open(self._path) as content:
            try:
                dataset = content[_dataset(content, self._path, self._pictures)[()].ravel()[index]]
                picture = _picture(dataset)
            except Exception as error:
                raise BadPicture(f"{self._path}: picture {index + 1} cannot be read ({error})") from error
        left, top, right, bottom = self._boxes[index].tolist()
        label = FaceLabel(self._points[index], np.ones(_POINTS, np.bool_), (left, top, right, bottom))
        return as_sample(picture, label, name)


def _picture(dataset: Any) -> NDArray[np.uint8]:
    """An RGB picture (H, W, 3) from pixels (3, W, H) or grey ones (W, H). Raises ValueError for anything else."""
    _check_inside(dataset)
    *colours, width, height = dataset.shape
    if dataset.dtype != np.uint8 or colours not in ([], [3]):
        raise ValueError(f"not 8-bit pixels but {dataset.dtype} of shape {dataset.shape}")
    if not 0 < width * height <= MAX_PIXELS:
        raise ValueError(f"{width} x {height} pixels")
    picture = np.broadcast_to(dataset[()], (3, width, height))
    return np.ascontiguousarray(picture.transpose(2, 1, 0))


def _open(path: Path) -> Any:
    try:
        import h5py
    except ImportError as error:
        raise UserError(f"{path}: reading MATLAB 7.3 files needs h5py; run: pip install h5py") from error
    try:
        return h5py.File(path, "r")
    except Exception as error:
        raise DataError(f"{path}: not a MATLAB 7.3 file that can be read ({' '.join(str(error).split())})") from error


def _reference() -> Any:
    import h5py

    return h5py.ref_dtype


def _dataset(content: Any, path: Path, key: str) -> Any:
    """Variable `key` of an open file. Raises DataError if there is none."""
    import h5py

    try:
        link, dataset = content.get(key, getlink=True), content.get(key)
    except Exception as error:
        raise DataError(f"{path}: {key} cannot be read ({error})") from error
    if not isinstance(link, h5py.HardLink) or not isinstance(dataset, h5py.Dataset):
        raise DataError(f"{path}: has no variable '{key}', only: {', '.join(list(content)[:20]) or 'nothing'}")
    try:
        _check_inside(dataset)
    except ValueError as error:
        raise DataError(f"{path}: {key}: {error}") from error
    return dataset


def _check_inside(dataset: Any) -> None:
    """HDF5 can take the numbers of an array from any other file of the system: raise ValueError if this one does."""
    if dataset.external or dataset.is_virtual:
        raise ValueError("its values are in another file")
