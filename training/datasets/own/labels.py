"""Samples of a user's own label files, whatever format these have: pictures, points, boxes, and the crop rule."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.datasets.crops import BOX_MARGIN, LEAST_SIDE, POINTS_MARGIN, around_box, around_picture, around_points
from training.datasets.own.scheme import OwnScheme
from training.datasets.splits import Division
from training.errors import DataError, UserError
from training.labels.sample import Sample
from training.labels.skeletons import Skeleton
from training.pictures.reading import read_picture

BOX_TO_AREA = 0.53
"""The area of an instance over that of the box around it, where only the box is known: the usual stand-in for OKS."""

_CROP = (
    f"crop: box, side = {BOX_MARGIN} x its longer side; without a box, that of the labelled points x {POINTS_MARGIN}, "
    f"at least {LEAST_SIDE:g} pixels; with fewer than two points, the whole picture"
)


@dataclass(frozen=True, eq=False)
class Labels:
    """N labelled instances, 0-based, in picture pixels; nan where a box or an area is not given."""

    files: tuple[str, ...]
    names: tuple[str, ...]
    keypoints: NDArray[np.float64]  # (N, K, 2)
    labelled: NDArray[np.bool_]  # (N, K)
    boxes: NDArray[np.float64]  # (N, 4): left, top, width, height
    areas: NDArray[np.float64]  # (N,)

    def pick(self, samples: Sequence[int], points: Sequence[int]) -> Labels:
        """These samples and points, in this order."""
        chosen = list(samples)
        return Labels(
            tuple(self.files[index] for index in chosen),
            tuple(self.names[index] for index in chosen),
            self.keypoints[chosen][:, list(points)],
            self.labelled[chosen][:, list(points)],
            self.boxes[chosen],
            self.areas[chosen],
        )


class OwnSamples:
    """Samples of one split of a label file.

    `unlabelled` names what the split holds besides: samples without a labelled point, and pictures without one.

    The crop is the given box and a quarter, see `protocol` for samples without one. The norm of PCKbox is the longer
    side of the box, given or around the labelled points; that of OKS is the area, given or 0.53 of a given box. There
    is no head size.
    """

    def __init__(
        self,
        kind: str,
        split: str,
        skeleton: Skeleton,
        folder: Path,
        labels: Labels,
        source: str,
        unlabelled: tuple[str, ...] = (),
    ) -> None:
        """`labels` holds samples with a labelled point, those of one picture one after the other: it is read once.

        `source` says in a few words where they come from.
        """
        self.name, self.split = kind, split
        self.skeleton = skeleton
        self.protocol = f"{kind} {split}: {source}; {_CROP}; head size: none"
        self.unlabelled = unlabelled
        self._folder, self._labels = folder, labels
        self._last: tuple[str, NDArray[np.uint8]] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_last": None}  # a picture is no label

    def __len__(self) -> int:
        return len(self._labels.files)

    def sample(self, index: int) -> Sample:
        """See Dataset. The picture is not to be written to: samples may share it."""
        labels = self._labels
        index = range(len(self))[index]
        picture = self._picture(labels.files[index])
        keypoints, labelled = labels.keypoints[index].astype(np.float32), labels.labelled[index].copy()
        points = keypoints[labelled]
        box, area = labels.boxes[index], float(labels.areas[index])
        if np.isfinite(box).all():
            x, y, width, height = box.tolist()
            center, side = around_box(x, y, width, height)
            box_size = max(width, height)
            area = area if np.isfinite(area) else BOX_TO_AREA * width * height
        else:
            center, side = around_points(points) if len(points) >= 2 else around_picture(picture)
            box_size = float(np.ptp(points, axis=0).max()) or np.nan
        return Sample(
            picture, keypoints, labelled, center, side, np.nan, labels.names[index], box_size=box_size, area=area
        )

    def _picture(self, file: str) -> NDArray[np.uint8]:
        if self._last is None or self._last[0] != file:
            picture = read_picture(self._folder / file)
            picture.flags.writeable = False
            self._last = file, picture
        return self._last[1]


@dataclass(frozen=True)
class LabelFile:
    """Where the labels are and what the user said about them.

    `images` is the folder of the pictures, by default that of the label file; `test` the share of the pictures held
    out; `skeleton` a TOML file, by default the one beside the label file with the same name, if there is one.
    """

    path: Path
    images: str | None = None
    test: float | None = None
    skeleton: str | None = None

    def folder(self) -> Path:
        """The folder of the pictures. Raises DataError if there is none."""
        folder = self.path.parent if self.images is None else Path(self.images)
        if not folder.is_dir():
            raise DataError(f"{self.path}: there is no folder {folder} with its pictures: name it by ?images=FOLDER")
        return folder

    def toml(self) -> Path | None:
        """The TOML file that describes the labels, None if there is none. One that was named must be there."""
        if self.skeleton is not None:
            return Path(self.skeleton)
        beside = self.path.with_suffix(".toml")
        return beside if beside.is_file() else None

    def division(self, scheme: OwnScheme, listed: Mapping[str, str]) -> Division:
        """How the pictures are divided; `listed` is what the label file says. Raises UserError if it is said twice."""
        said = {"in the label file": listed, "in the TOML file": scheme.lists, "by ?test=": self.test is not None}
        ways = [way for way, given in said.items() if given]
        if len(ways) > 1:
            raise UserError(f"{self.path}: train and test are told apart {' and '.join(ways)}: keep one of them")
        if listed:
            return Division(listed=listed)
        return Division(self.test or 0.0, scheme.lists, scheme.rest)


def own_samples(
    kind: str,
    label_file: LabelFile,
    split: str,
    scheme: OwnScheme,
    labels: Labels,
    pictures: Iterable[str] = (),
    listed: Mapping[str, str] = MappingProxyType({}),
) -> OwnSamples:
    """The samples of `split` among `labels`, which has all samples of the file and points in the order of the file.

    `pictures` are those that the file knows of, with or without a sample; `listed` the splits it tells itself.
    Raises DataError for a split that is empty and a folder that is missing, UserError as `LabelFile.division`.
    """
    division = label_file.division(scheme, listed)
    folder = label_file.folder()
    mine = np.array([division.split(file) == split for file in labels.files], dtype=np.bool_)
    known = labels.labelled.any(axis=1)
    if not (mine & known).any():
        raise DataError(
            f"{label_file.path}: has no labelled point for the split {split!r} ({division.rule}): ?test=0.2 holds out "
            "a fifth of the pictures, ?test=1 says that the whole file is for testing"
        )
    first: dict[str, int] = {}
    for index, file in enumerate(labels.files):
        first.setdefault(file, index)
    order = sorted(np.flatnonzero(mine & known).tolist(), key=lambda index: first[labels.files[index]])
    unlabelled = [labels.names[index] for index in np.flatnonzero(mine & ~known)]
    unlabelled += [file for file in pictures if file not in first and division.split(file) == split]
    pairs = len(scheme.skeleton.flip_pairs)
    source = f"{label_file.path.name}, {division.rule}; {len(scheme.source)} points, {pairs} flip pairs"
    return OwnSamples(
        kind, split, scheme.skeleton, folder, labels.pick(order, scheme.source), source, tuple(unlabelled)
    )
