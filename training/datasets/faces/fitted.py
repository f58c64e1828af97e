"""300W-LP and AFLW2000-3D (Zhu et al., 2016): faces to which a 3-D model was fitted, one .mat file per picture.

Beside NAME.jpg lies NAME.mat with `Pose_Para` (1, 7), whose second number is the yaw in radians. AFLW2000-3D has the
68 points of the fitted model as `pt3d_68` (3, 68), of which x and y count; 300W-LP has its points as `pt2d` (2, 68),
and the projected ones of the model as `pts_3d` (68, 2) in landmarks/SUBSET/NAME_pts.mat. Pixels are taken as counted
from 1, as MATLAB does; the files do not say.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from training.datasets.annotations import load_mat, numbers, pixels
from training.datasets.faces.base import OF_POINTS, POINTS_RULE, FaceLabel, as_sample
from training.datasets.faces.pts import picture_of
from training.errors import BadPicture, DataError
from training.labels.face_skeletons import IBUG68
from training.labels.sample import Sample
from training.pictures.reading import read_picture

POINTS = ("pt2d", "pts_2d", "pts_3d")
SUBSETS = ("AFW", "HELEN", "IBUG", "LFPW")
_POINTS = len(IBUG68.keypoints)
_YAW = 1  # its place in Pose_Para


class FittedFaces:
    """The faces of some .mat files.

    There are many files, so each is read when its turn comes, but for the first, which is read at once to see a wrong
    folder early. What is wrong with one later is a BadPicture: the run names it, counts it and goes on.
    """

    skeleton = IBUG68

    crop = POINTS_RULE

    def __init__(self, name: str, split: str, files: Sequence[Path], source: str, key: str) -> None:
        """`key`: the variable with the points; "pts_3d" and "pts_2d" are looked for in landmarks/."""
        self.name, self.split = name, split
        self.protocol = f"{name} {split}: {source}, {len(files)} faces, points {key}; {OF_POINTS}"
        self._files, self._key = list(files), key
        self._label(self._files[0])

    def __len__(self) -> int:
        return len(self._files)

    def sample(self, index: int) -> Sample:
        """See Dataset. Raises BadPicture also for a label that cannot be used."""
        path = self._files[index]
        picture = read_picture(picture_of(path))
        try:
            label = self._label(path)
        except BadPicture:
            raise
        except DataError as error:
            raise BadPicture(str(error)) from error
        return as_sample(picture, label, "/".join(path.parts[-2:]))

    def _label(self, path: Path) -> FaceLabel:
        """Raises DataError, naming the file, for a missing variable, another shape and numbers that are not finite."""
        if self._key in ("pts_2d", "pts_3d"):
            folder = path.parent
            points_path = folder.parent / "landmarks" / folder.name / f"{path.stem}_pts.mat"
            points = pixels(load_mat(points_path, self._key)[self._key], (_POINTS, 2), f"{points_path}: {self._key}")
            content = load_mat(path, "Pose_Para")
        else:
            content = load_mat(path, self._key, "Pose_Para")
            rows = 3 if self._key == "pt3d_68" else 2
            what = f"{path}: {self._key}"
            points = pixels(numbers(content[self._key], (rows, _POINTS), what)[:2].T, (_POINTS, 2), what)
        pose = numbers(content["Pose_Para"], (1, 7), f"{path}: Pose_Para")
        return FaceLabel.whole(points - 1, yaw=math.degrees(pose[0, _YAW]))


def open_300wlp(root: Path, split: str, points: str = "pt2d") -> FittedFaces:
    """300W-LP below `root`: AFW/, HELEN/, IBUG/ and LFPW/; the mirrored ones, AFW_Flip/ and so on, are not read, since
    training mirrors by itself. Train only. `points` names the variable, one of POINTS.
    """
    if split != "train":
        raise DataError("300wlp has no test split: test on aflw2000:PATH")
    folders = [root / subset for subset in SUBSETS if (root / subset).is_dir()]
    files = [path for folder in folders for path in sorted(folder.glob("*.mat"))]
    if not files:
        raise DataError(f"300wlp: {root} holds no .mat file in any of {', '.join(SUBSETS)}")
    return FittedFaces("300wlp", split, files, " + ".join(folder.name for folder in folders), points)


def open_aflw2000(root: Path, split: str) -> FittedFaces:
    """AFLW2000-3D: `root`/imageNNNNN.jpg and .mat. Test only."""
    if split != "test":
        raise DataError("aflw2000 is for testing only: train on 300wlp:PATH")
    files = sorted(root.glob("image*.mat"))
    if not files:
        raise DataError(f"aflw2000: {root} holds no imageNNNNN.mat")
    return FittedFaces("aflw2000", split, files, "all pictures", "pt3d_68")
