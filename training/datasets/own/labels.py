"""Samples of a user's own label files, whatever format these have: pictures, points, boxes, and the crop rule."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hbcore.landmarks.squares import (
    BOX_MARGIN,
    LEAST_SIDE,
    POINTS_MARGIN,
    CropRule,
    around_box,
    around_picture,
    around_points,
)  # fmt: skip
from training.datasets.own.content import BadRecord, Content, Labels, Remark, Size
from training.datasets.own.fitting import Fitting, scaled, scaled_box
from training.datasets.own.label_file import LabelFile
from training.labels.sample import Dataset, Sample
from training.labels.skeletons import Skeleton
from training.pictures.reading import Header, read_header, read_picture

BOX_TO_AREA = 0.53
"""The area of an instance over that of the box around it, where only the box is known: the usual stand-in for OKS."""

_CROP = (
    f"crop: box, side = {BOX_MARGIN} x its longer side; without a box, that of the labelled points x {POINTS_MARGIN}, "
    f"at least {LEAST_SIDE:g} pixels; with fewer than two points, the whole picture"
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
        sizes: Mapping[str, Size] = MappingProxyType({}),
        fitting: Fitting | None = None,
        bad_records: tuple[BadRecord, ...] = (),
        remarks: tuple[Remark, ...] = (),
    ) -> None:
        """`labels` holds samples with a labelled point, those of one picture one after the other: it is read once.

        `source` says in a few words where they come from; `sizes` are those of the pictures as they were labelled.
        """
        self.name, self.split = kind, split
        self.skeleton = skeleton
        self.protocol = f"{kind} {split}: {source}; {_CROP}; head size: none"
        self.unlabelled = unlabelled
        self.bad_records, self.remarks = bad_records, remarks
        self.folder, self.labels = folder, labels
        self.crop = _rule(labels)
        self.sizes, self.fitting = dict(sizes), fitting or Fitting()
        self._last: tuple[str, NDArray[np.uint8], tuple[float, float]] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_last": None}  # a picture is no label

    def __len__(self) -> int:
        return len(self.labels.files)

    def sample(self, index: int) -> Sample:
        """See Dataset. The picture is not to be written to: samples may share it.

        Raises Misfit for a picture that its labels do not fit.
        """
        index = range(len(self))[index]
        return self._sample(index, *self._picture(self.labels.files[index]))

    def outline(self, index: int, header: Header) -> Sample:
        """Sample `index` with a black picture of the right size, which takes no memory: nothing is decoded.

        `header` is that of its picture. Raises as `sample`.
        """
        file = self.labels.files[index]
        width, height = self.fitting.size(header)
        black = np.broadcast_to(np.uint8(0), (height, width, 3))
        return self._sample(index, black, self.zoom(file, header))

    def header(self, file: str) -> Header:
        """Of a picture by its name in the label file. Raises BadPicture."""
        return read_header(self.folder / file)

    def placed(
        self, index: int, zoom: tuple[float, float]
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.float64], float]:
        """Keypoints (K, 2), labelled (K,), box (4,) and area of sample `index`, scaled to its picture."""
        labels = self.labels
        labelled = labels.labelled[index].copy()
        keypoints = np.where(labelled[:, None], scaled(labels.keypoints[index], zoom), 0.0)
        area = float(labels.areas[index]) * zoom[0] * zoom[1]
        return keypoints, labelled, scaled_box(labels.boxes[index], zoom), area

    def zoom(self, file: str, header: Header) -> tuple[float, float]:
        """The factors of x and y from labels to picture. Raises Misfit."""
        return self.fitting.zoom(file, self.sizes.get(file), header)

    def _sample(self, index: int, picture: NDArray[np.uint8], zoom: tuple[float, float]) -> Sample:
        labels = self.labels
        exact, labelled, box, area = self.placed(index, zoom)
        keypoints = exact.astype(np.float32)
        points = keypoints[labelled]
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

    def _picture(self, file: str) -> tuple[NDArray[np.uint8], tuple[float, float]]:
        if self._last is None or self._last[0] != file:
            path = self.folder / file
            picture = read_picture(path, upright=False) if self.fitting.exif == "ignore" else read_picture(path)
            picture.flags.writeable = False
            fits = self.sizes.get(file) in (None, picture.shape[1::-1])
            zoom = (1.0, 1.0) if fits else self.zoom(file, self.header(file))
            self._last = file, picture, zoom
        return self._last[1:]


def _rule(labels: Labels) -> CropRule:
    """What most of the crops are around."""
    boxes = np.isfinite(labels.boxes).all(axis=1)
    points = ~boxes & (labels.labelled.sum(axis=1) >= 2)
    rules = {
        CropRule("box", BOX_MARGIN): boxes,
        CropRule("points", POINTS_MARGIN): points,
        CropRule("picture"): ~boxes & ~points,
    }
    return max(rules, key=lambda rule: int(rules[rule].sum()))


def own_labels(dataset: Dataset) -> OwnSamples | None:
    """The user's own labels that a data set rests on, None for a published or drawn one."""
    points = getattr(dataset, "points", dataset)  # of faces whose parts are outlined
    return points if isinstance(points, OwnSamples) else None


def own_samples(kind: str, label_file: LabelFile, split: str, content: Content) -> OwnSamples:
    """The samples of `split` among `content`.

    Raises DataError for a split that is empty and a folder that is missing, UserError as `LabelFile.division`.
    """
    scheme, labels, trouble = content.scheme, content.labels, content.trouble
    folder = label_file.folder(content.root)
    division = label_file.division(content, folder)
    mine = np.array([division.split(file) == split for file in labels.files], dtype=np.bool_)
    known = labels.labelled.any(axis=1)
    if not (mine & known).any():
        raise trouble.all_bad(
            f"{label_file.path}: has no labelled point for the split {split!r} ({division.rule}): "
            f"{division.remedy(split)}"
        )
    first: dict[str, int] = {}
    for index, file in enumerate(labels.files):
        first.setdefault(file, index)
    order = sorted(np.flatnonzero(mine & known).tolist(), key=lambda index: first[labels.files[index]])
    unlabelled = [labels.names[index] for index in np.flatnonzero(mine & ~known)]
    seen = first.keys() | {bad.picture for bad in trouble.bad}
    unlabelled += [file for file in content.pictures if file not in seen and division.split(file) == split]
    # What is of no known picture is told once, with the first picture that has a split.
    home = next(filter(None, map(division.split, labels.files)))

    def told(picture: str | None) -> bool:
        return (home if picture is None else division.split(picture)) == split

    pairs = len(scheme.skeleton.flip_pairs)
    source = f"{label_file.path.name}, {division.rule}; {len(scheme.source)} points, {pairs} flip pairs"
    return OwnSamples(
        kind,
        split,
        scheme.skeleton,
        folder,
        labels.pick(order, scheme.source),
        source,
        tuple(unlabelled),
        content.sizes,
        Fitting(label_file.rescale, label_file.exif),
        tuple(bad for bad in trouble.bad if told(bad.picture)),
        tuple(note for note in trouble.remarks if told(note.picture)),
    )
