"""MPII Human Pose (Andriluka et al., 2014), human-pose.mpi-inf.mpg.de."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from hbcore.landmarks.squares import BOX_MARGIN, CropRule
from training.datasets.annotations import picture_folder
from training.datasets.poses.mpii_labels import (
    HOURGLASS_FILE,
    HRNET_FILES,
    RELEASE_FILE,
    MpiiLabels,
    read_hourglass,
    read_hrnet,
    read_release,
)
from training.errors import DataError
from training.labels.sample import Sample
from training.labels.skeletons import MPII
from training.pictures.reading import read_picture

_FILES = {"release": (RELEASE_FILE,), "hrnet": tuple(HRNET_FILES.values()), "hourglass": (HOURGLASS_FILE,)}
_READERS: dict[str, Callable[[Path, str], MpiiLabels]] = {
    "release": lambda folder, split: read_release(folder / RELEASE_FILE, split),
    "hrnet": read_hrnet,
    "hourglass": lambda folder, split: read_hourglass(folder / HOURGLASS_FILE, split),
}


class Mpii:
    """MPII: pictures in `root`/images, labels in `root` or `root`/annot.

    The labels are the first of these that is found, or those that `labels` names: "release", the official
    MATLAB file; "hrnet", train.json and valid.json; "hourglass", mpii_annotations.json. Which persons the
    splits hold depends on that, see `mpii_labels`; `protocol` says it.

    The crop is the usual one, from `center` and `scale` of the label: 15 * scale further down, to
    have the feet in, and a side of 1.25 * 200 * scale pixels, black where it leaves the picture.

    A person is named after its picture and, behind #, its number: in the picture, from 1, for the official
    file; in the list, from 0, for the others.

    Raises DataError if there are no labels, no pictures, or labels that make no sense.
    """

    name = "mpii"
    crop = CropRule("box", BOX_MARGIN)
    skeleton = MPII

    def __init__(self, root: Path, split: str, labels: str | None = None) -> None:
        folder, kind = _find(root, labels)
        self.split = split
        self._folder = picture_folder(root)
        self._labels = _READERS[kind](folder, split)
        boxes = int(np.isfinite(self._labels.head_size).sum())
        self.protocol = (
            f"mpii {split}: {self._labels.source}; crop: side 250 * scale around (x, y + 15 * scale); "
            f"head size: 0.6 * diagonal of the head box, known for {boxes} of {len(self)} persons"
        )

    def __len__(self) -> int:
        return len(self._labels.files)

    def sample(self, index: int) -> Sample:
        """See Dataset."""
        labels = self._labels
        x, y = labels.position[index].tolist()
        scale = float(labels.scale[index])
        return Sample(
            picture=read_picture(self._folder / labels.files[index]),
            keypoints=labels.keypoints[index].copy(),
            labelled=labels.labelled[index].copy(),
            center=(x, y + 15 * scale),
            side=1.25 * 200 * scale,
            head_size=float(labels.head_size[index]),
            name=labels.names[index],
        )


def _find(root: Path, labels: str | None) -> tuple[Path, str]:
    kinds = [labels] if labels else list(_FILES)
    for kind in kinds:
        for folder in (root, root / "annot"):
            if any((folder / file).is_file() for file in _FILES[kind]):
                return folder, kind
    wanted = ", ".join(file for kind in kinds for file in _FILES[kind])
    raise DataError(f"{root}: holds none of {wanted}; ask for the data at human-pose.mpi-inf.mpg.de")
