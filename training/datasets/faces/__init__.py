"""Sets of faces by name, for `open_dataset`: drawn ones, and the files of 300-W and its like, COFW and WFLW."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from training.datasets import OWN_KINDS, Dataset, Kind, Options
from training.datasets.faces.cofw import Cofw
from training.datasets.faces.fitted import POINTS, open_300wlp, open_aflw2000
from training.datasets.faces.pts import TESTS, open_300w, open_pts
from training.datasets.faces.wflw import ATTRIBUTES, Wflw
from training.labels.face_skeletons import SCHEMES


def _open_synthetic(_: Path, split: str, options: Options) -> Dataset:
    from training.datasets.drawn.synthetic_faces import SyntheticFaces  # draws pictures: not every command needs that

    return SyntheticFaces(split, **{name: int(value) for name, value in options.items()})


def _open_300w(root: Path, split: str, options: Options) -> Dataset:
    return open_300w(root, split, **options)


def _open_pts(root: Path, split: str, options: Options) -> Dataset:
    return open_pts(root, split, options.get("scheme"), float(options["test"]) if "test" in options else None)


def _open_300wlp(root: Path, split: str, options: Options) -> Dataset:
    return open_300wlp(root, split, **options)


def _open_aflw2000(root: Path, split: str, options: Options) -> Dataset:
    return open_aflw2000(root, split)


def _open_cofw(root: Path, split: str, options: Options) -> Dataset:
    return Cofw(root, split)


def _open_wflw(root: Path, split: str, options: Options) -> Dataset:
    return Wflw(root, split, **options)


FACE_KINDS: Mapping[str, Kind] = {
    "synthetic": Kind(_open_synthetic, None, {"length": (), "seed": (), "size": ()}),
    "300w": Kind(_open_300w, "lfpw/, helen/ and afw/", {"tests": tuple(TESTS)}),
    "pts": Kind(_open_pts, "pictures and .pts files", {"scheme": (*SCHEMES, "none"), "test": float}),
    "300wlp": Kind(_open_300wlp, "AFW/, HELEN/, IBUG/ and LFPW/", {"points": POINTS}),
    "aflw2000": Kind(_open_aflw2000, "imageNNNNN.jpg and imageNNNNN.mat", {}),
    "cofw": Kind(_open_cofw, "COFW_train_color.mat and COFW_test_color.mat", {}),
    "wflw": Kind(_open_wflw, "WFLW_annotations/ and WFLW_images/", {"subset": ATTRIBUTES}),
    **OWN_KINDS,
}
