"""Sets of faces by name, for `open_dataset`: drawn ones, and the files of 300-W and its like, COFW and WFLW."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from training.datasets import DRAWN, FOLD, OWN_KINDS, VAL, Dataset, Kind, Option, Options, fold_of
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
    test = float(options["test"]) if "test" in options else None
    return open_pts(root, split, options.get("scheme"), test, float(options.get("val", 0)), fold_of(options))


def _open_300wlp(root: Path, split: str, options: Options) -> Dataset:
    return open_300wlp(root, split, **options)


def _open_aflw2000(root: Path, split: str, options: Options) -> Dataset:
    return open_aflw2000(root, split)


def _open_cofw(root: Path, split: str, options: Options) -> Dataset:
    return Cofw(root, split)


def _open_wflw(root: Path, split: str, options: Options) -> Dataset:
    return Wflw(root, split, **options)


FACE_KINDS: Mapping[str, Kind] = {
    "synthetic": Kind(_open_synthetic, "drawn faces", options=DRAWN),
    "300w": Kind(
        _open_300w, "300-W", "lfpw/, helen/ and afw/", {"tests": Option("which faces to test on", tuple(TESTS))}
    ),
    "pts": Kind(
        _open_pts,
        "points in files beside pictures",
        "pictures and .pts files",
        {
            "scheme": Option("what the points are; without it, by their number", (*SCHEMES, "none")),
            "test": Option("the share of the photos held out", float),
            "val": VAL,
            "fold": FOLD,
        },
    ),
    "300wlp": Kind(
        _open_300wlp, "300W-LP", "AFW/, HELEN/, IBUG/ and LFPW/", {"points": Option("which of the points", POINTS)}
    ),
    "aflw2000": Kind(_open_aflw2000, "AFLW2000-3D", "imageNNNNN.jpg and imageNNNNN.mat"),
    "cofw": Kind(_open_cofw, "COFW", "COFW_train_color.mat and COFW_test_color.mat"),
    "wflw": Kind(
        _open_wflw,
        "WFLW",
        "WFLW_annotations/ and WFLW_images/",
        {"subset": Option("which faces to test on", ATTRIBUTES)},
    ),
    **OWN_KINDS,
}
