"""Leeds Sports Pose and its extension (Johnson and Everingham, 2010 and 2011).

The two look alike and are traps for each other: `joints` is (3, 14, N) with a flag for *occluded* in LSP, and
(14, 3, N) with a flag for *labelled* in the extension. Both count pixels from 1, as MATLAB does.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hbcore.landmarks.squares import POINTS_MARGIN, CropRule, around_picture, around_points
from training.datasets.annotations import load_mat, picture_folder
from training.errors import DataError
from training.labels.sample import Sample
from training.labels.skeletons import LSP
from training.pictures.reading import read_picture

CONFIDENT = 0.3
"""The confidence from which a joint of the second labelling counts as labelled."""


class Lsp:
    """LSP: `root`/joints.mat and `root`/images/im0001.jpg to im2000.jpg, or as many as are labelled.

    Train is pictures 1-1000, test is pictures 1001 to the last one. Every joint is labelled, occluded or not.
    Its pictures are cropped around the person, so the crop is the whole picture and owes nothing to the
    labels. There is no head size. Raises DataError if the files are not LSP's.
    """

    name = "lsp"
    crop = CropRule("picture")
    skeleton = LSP

    def __init__(self, root: Path, split: str) -> None:
        path = root / "joints.mat"
        labels = _load_labels(path, (3, 14), "the layout of LSP extended; open it as lspet:PATH")
        x, y, occluded = labels
        _check_flags(path, occluded)
        joints = np.stack([x, y], axis=-1).transpose(1, 0, 2)  # (N, 14, 2)
        _check_finite(path, joints, np.ones(joints.shape[:2], np.bool_), self._picture_name)

        first, last = (0, min(1000, len(joints))) if split == "train" else (1000, len(joints))
        if first >= last:
            raise DataError(f"{path}: labels {len(joints)} pictures, but test starts at picture 1001")
        self.split = split
        self.protocol = (
            f"lsp {split}: pictures {first + 1}-{last}; "
            "crop: whole picture, side = its longer side (no label used); head size: none"
        )
        self._folder = picture_folder(root)
        self._first = first
        self._joints = (joints[first:last] - 1).astype(np.float32)

    @staticmethod
    def _picture_name(index: int) -> str:
        return f"im{index + 1:04d}.jpg"

    def __len__(self) -> int:
        return len(self._joints)

    def sample(self, index: int) -> Sample:
        """See Dataset."""
        index = range(len(self))[index]
        name = self._picture_name(self._first + index)
        picture = read_picture(self._folder / name)
        center, side = around_picture(picture)
        labelled = np.ones(len(LSP.keypoints), np.bool_)
        return Sample(picture, self._joints[index].copy(), labelled, center, side, np.nan, name)


class Lspet:
    """LSP extended: `root`/joints.mat and `root`/images/im00001.jpg to im10000.jpg. Train only.

    The crop is a square around the box of the labelled joints, of 1.35 times its longer side and at least 40
    pixels, so that people come out as tall as in the crops of LSP; with fewer than two labelled joints, the
    whole picture. There is no head size.

    With `labels="teacher"` the joints come from `root`/joints_teacher.mat, of the same shape, made by a
    network: its third row is a confidence in 0..1, and joints from 0.3 on count as labelled. It too counts
    pixels from 1: where it agrees with the crowd, within 3 pixels, the median difference is (-0.06, -0.15)
    pixels and not 1.

    Raises DataError if the files are not those of LSP extended, and for the split "test", which it does not
    have.
    """

    name = "lspet"
    crop = CropRule("points", POINTS_MARGIN)
    skeleton = LSP

    def __init__(self, root: Path, split: str, labels: str = "crowd") -> None:
        if split != "train":
            raise DataError("lspet has no test split, its labels are too loose for it; test on lsp:PATH")
        path = root / ("joints_teacher.mat" if labels == "teacher" else "joints.mat")
        values = _load_labels(path, (14, 3), "the layout of LSP; open it as lsp:PATH").transpose(2, 0, 1)
        joints, flags = values[..., :2], values[..., 2]
        if labels == "teacher":
            if not ((flags >= 0) & (flags <= 1)).all():
                raise DataError(f"{path}: a confidence is outside 0..1")
            labelled = flags >= CONFIDENT
        else:
            _check_flags(path, flags)
            labelled = flags == 1
        _check_finite(path, joints, labelled, self._picture_name)

        self.split = split
        self.protocol = (
            f"lspet train: pictures 1-{len(joints)}, labels of the {labels}; "
            f"crop: box of the labelled joints, side = {POINTS_MARGIN} x its longer side; head size: none"
        )
        self._folder = picture_folder(root)
        self._joints = np.where(labelled[..., None], joints - 1, 0).astype(np.float32)
        self.labelled = labelled

    @staticmethod
    def _picture_name(index: int) -> str:
        return f"im{index + 1:05d}.jpg"

    def __len__(self) -> int:
        return len(self._joints)

    def sample(self, index: int) -> Sample:
        """See Dataset."""
        index = range(len(self))[index]
        name = self._picture_name(index)
        picture = read_picture(self._folder / name)
        joints, labelled = self._joints[index].copy(), self.labelled[index].copy()
        center, side = around_points(joints[labelled]) if labelled.sum() >= 2 else around_picture(picture)
        return Sample(picture, joints, labelled, center, side, np.nan, name)


def _load_labels(path: Path, rows: tuple[int, int], other: str) -> NDArray[np.float64]:
    labels = np.asarray(load_mat(path, "joints")["joints"])
    if labels.dtype.kind not in "fiu":
        raise DataError(f"{path}: 'joints' does not hold numbers")
    if labels.ndim == 3 and labels.shape[:2] == rows[::-1]:
        raise DataError(f"{path}: 'joints' has shape {labels.shape}, {other}")
    if labels.ndim != 3 or labels.shape[:2] != rows or labels.shape[2] == 0:
        raise DataError(f"{path}: 'joints' has shape {labels.shape}, expected ({rows[0]}, {rows[1]}, N)")
    return labels.astype(np.float64)


def _check_flags(path: Path, flags: NDArray[np.float64]) -> None:
    if not np.isin(flags, (0, 1)).all():
        raise DataError(f"{path}: the third value of a joint is a flag and should be 0 or 1")


def _check_finite(
    path: Path, joints: NDArray[np.float64], labelled: NDArray[np.bool_], picture_name: Callable[[int], str]
) -> None:
    bad = ~np.isfinite(joints).all(axis=-1) & labelled
    if bad.any():
        index, joint = np.argwhere(bad)[0]
        raise DataError(f"{path}: {picture_name(index)}: {LSP.keypoints[joint]} is not finite")
