"""Faces in .pts files: `300w:PATH`, the folders of 300-W (Sagonas et al., 2013), and `pts:FOLDER`, any folder.

A picture NAME.jpg or NAME.png has its points beside it in NAME.pts:

    version: 1
    n_points: 68
    {
    107.4 141.8
    ...
    }

Pixels are counted from 1, as MATLAB does: the first pixel's centre is (1, 1).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.datasets.annotations import load_text, pixels
from training.datasets.faces.base import OF_POINTS, POINTS_RULE, FaceLabel, as_sample
from training.datasets.splits import Division, Fold
from training.errors import DataError, UserError
from training.labels.face_skeletons import IBUG68, SCHEMES, generic
from training.labels.sample import Sample
from training.labels.skeletons import Skeleton
from training.pictures.reading import read_picture

_LOWER = (".jpg", ".png", ".jpeg", ".bmp", ".webp", ".tif", ".tiff")
ENDINGS = (*_LOWER, *map(str.upper, _LOWER))
MAX_POINTS = 1000
MAX_BYTES = 2**20
_HEADER = re.compile(r"\s*version\s*:\s*\d+\s+n_points\s*:\s*(\d+)\s*\{")
_FACE_NUMBER = re.compile(r"_(\d|[1-9]\d)$")  # no number of a picture, as in image_0001
TRAIN = ("lfpw/trainset", "helen/trainset", "afw")
TESTS = {
    "lfpw": ("lfpw/testset",),
    "common": ("lfpw/testset", "helen/testset"),
    "challenging": ("ibug",),
    "full": ("lfpw/testset", "helen/testset", "ibug"),
}


def read_pts(path: Path, count: int | None = None) -> NDArray[np.float64]:
    """The points (K, 2) of a .pts file, 0-based.

    Raises DataError, naming file and point, for anything else than the format above: another header, fewer or more
    points than `n_points` or than `count`, no closing brace, a coordinate that is not a finite number.
    """
    text = load_text(path, MAX_BYTES)
    header = _HEADER.match(text)
    if header is None:
        raise DataError(f"{path}: should begin with 'version: 1', 'n_points: K' and '{{', as .pts files do")
    promised = int(header[1][:9])
    if not 1 <= promised <= MAX_POINTS:
        raise DataError(f"{path}: n_points is {promised}, not in 1..{MAX_POINTS}")
    if count is not None and promised != count:
        raise DataError(f"{path}: has {promised} points where the other files have {count}: keep one kind per folder")
    body, brace, _ = text[header.end() :].partition("}")
    if not brace:
        raise DataError(f"{path}: ends without a closing brace: the file is cut off")
    rows = [line.split() for line in body.split("\n") if line.strip()]
    if len(rows) != promised:
        raise DataError(f"{path}: n_points is {promised}, but there are {len(rows)} lines of points")
    for index, row in enumerate(rows, start=1):
        if len(row) != 2:
            raise DataError(f"{path}: point {index} is not 'x y': {' '.join(row)[:60]!r}")
    try:
        values = [[float(x), float(y)] for x, y in rows]
    except ValueError as error:
        raise DataError(f"{path}: {str(error)[:100]}") from None
    return pixels(values, (promised, 2), f"{path}: a point") - 1


class PtsFaces:
    """The faces of some .pts files, all with the same number of points.

    68 points are taken for ibug's, any other number for points of an unknown order, unless `scheme`
    names it. The crop is a square around the box of the points. Raises DataError as `read_pts` does.
    """

    crop = POINTS_RULE

    def __init__(self, name: str, split: str, files: Sequence[Path], source: str, scheme: str | None = None) -> None:
        first = read_pts(files[0])
        if scheme is None and len(first) == len(IBUG68.keypoints):
            scheme = IBUG68.name
        self.skeleton: Skeleton = SCHEMES[scheme] if scheme in SCHEMES else generic(len(first))
        count = len(self.skeleton.keypoints)
        self.name, self.split = name, split
        self.protocol = f"{name} {split}: {source}, {len(files)} faces, {count} points; {OF_POINTS}"
        self.files = list(files)
        self._points = np.stack([read_pts(path, count) for path in files]).astype(np.float32)

    def __len__(self) -> int:
        return len(self.files)

    def sample(self, index: int) -> Sample:
        """See Dataset."""
        path = self.files[index]
        picture = read_picture(picture_of(path))
        points = self._points[index]
        return as_sample(picture, FaceLabel(points, np.ones(len(points), np.bool_)), "/".join(path.parts[-2:]))


def picture_of(label: Path) -> Path:
    """The picture beside a label file; a name to complain about if there is none."""
    candidates = [label.with_suffix(ending) for ending in ENDINGS]
    return next((path for path in candidates if path.is_file()), candidates[0])


def open_300w(root: Path, split: str, tests: str = "lfpw") -> PtsFaces:
    """300-W below `root`: lfpw/ and helen/ with trainset/ and testset/, afw/, ibug/; capitals do not matter.

    Train is lfpw/trainset, helen/trainset and afw. Test is lfpw/testset, or what `tests` names: "common" is
    lfpw/testset and helen/testset, "challenging" is ibug, "full" is both. Raises DataError for a missing part.
    """
    parts = TRAIN if split == "train" else TESTS[tests]
    files: list[Path] = []
    for part in parts:
        folder = _find(root, part)
        found = sorted(folder.glob("*.pts")) if folder else []
        if not found:
            hint = "; is PATH the folder that holds lfpw/, helen/ and afw/?" if split == "train" else ""
            raise DataError(f"300w: {root / part} holds no .pts file{hint}")
        files += found
    return PtsFaces("300w", split, files, " + ".join(parts), IBUG68.name)


def _find(root: Path, part: str) -> Path | None:
    """The sub-folder `part` of `root`, whatever the case of its letters."""
    folder = root
    for step in part.split("/"):
        inside = sorted(path for path in folder.iterdir() if path.is_dir())
        match = next((path for path in inside if path.name.lower() == step), None)
        if match is None:
            return None
        folder = match
    return folder


def open_pts(
    root: Path,
    split: str,
    scheme: str | None = None,
    test: float | None = None,
    val: float = 0.0,
    fold: Fold | None = None,
) -> PtsFaces:
    """All .pts files below `root`.

    The splits are `root`/train and `root`/test where there are such folders. Else `test` is the share of the photos
    held out for testing, drawn by their names, by default none; NAME_1.pts to NAME_99.pts are taken for faces of one
    photo, as in AFW, unless all files are called so. `val` is the share of the photos for training that are held out
    for validation, `fold` the part of the rest that is tested on. Raises DataError for a folder without .pts files and
    for an empty split, UserError for such folders and a share.
    """
    own = [part for part in ("train", "test") if (root / part).is_dir()]
    folder = root / ("test" if split == "test" and not fold else "train") if own else root
    files = sorted(folder.rglob("*.pts"))
    if own and test is not None:
        raise UserError(f"pts: {root} has the folder {own[0]}/, which says what is for what: leave out ?test={test:g}")
    if not files:
        raise DataError(f"pts: {folder} holds no .pts file")
    rest = folder.name if own else None
    division = Division(test or 0.0, rest=rest, validation=val, fold=fold)
    photo = photos(files)
    division = division.of((picture_of(path), photo[path]) for path in files)
    chosen = [path for path in files if division.split(photo[path]) == split]
    if not chosen:
        raise DataError(
            f"pts: {root} has no face for the split {split!r} ({division.rule}; NAME_1 and NAME_2 are one photo): "
            f"{division.remedy(split, 'photos')}"
        )
    rules = ([division.rule] if val or fold else []) if own else [division.rule]
    source = ", ".join([f"folder {root.name}{f'/{rest}' if own else ''}", *rules])
    return PtsFaces("pts", split, chosen, source, scheme)


def photos(files: Sequence[Path]) -> dict[Path, str]:
    """The names of the photos that faces were taken from. Where that would be a single one, numbers count photos."""
    names = {path: path.with_suffix("").name for path in files}
    photos = {path: _FACE_NUMBER.sub("", name) for path, name in names.items()}
    return photos if len(set(photos.values())) > 1 else names
