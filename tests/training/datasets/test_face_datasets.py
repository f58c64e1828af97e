"""Sets of faces: files written here in the exact original layouts, and what is said of broken ones."""

from __future__ import annotations

import errno
import math
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy import io

from hbcore.landmarks.squares import CropRule
from tests.data_sets import DATA, check_sample, needs_data
from tests.data_sets import error_of as error_of_any
from training.datasets import Dataset
from training.datasets import open_dataset as open_any
from training.datasets.faces import FACE_KINDS
from training.datasets.faces.pts import read_pts
from training.datasets.parts import PART_KINDS
from training.errors import BadPicture, UserError
from training.labels.face_skeletons import COFW29, IBUG68, WFLW98

FACE = np.column_stack([31 + np.arange(68) % 17, 21 + np.arange(68) * 0.5])  # 1-based: x 31..47, y 21..54.5


def open_dataset(spec: str, split: str) -> Dataset:
    return open_any(spec, split, FACE_KINDS)


def error_of(spec: str, split: str = "train") -> str:
    return error_of_any(spec, split, FACE_KINDS)


def save_picture(path: Path, width: int = 90, height: int = 70, shade: int = 90) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((height, width, 3), shade, np.uint8)).save(path)


def pts_text(points: NDArray[np.float64]) -> str:
    """As the tools of ibug write it."""
    lines = "\n".join(f"{x:.6f} {y:.6f}" for x, y in points)
    return f"version: 1\nn_points:  {len(points)}\n{{\n{lines}\n}}"


def save_face(path: Path, points: NDArray[np.float64] = FACE, ending: str = ".jpg") -> None:
    """A picture and its .pts file; `path` without ending."""
    save_picture(path.with_suffix(ending))
    path.with_suffix(".pts").write_text(pts_text(points))


# ---------------------------------------------------------------------------------------------------- 300-W


@pytest.fixture
def w300(tmp_path: Path) -> Path:
    for folder, names in {
        "lfpw/trainset": ("image_0001", "image_0002"), "lfpw/testset": ("image_0001",), "helen/trainset": ("1_1",),
        "helen/testset": ("2_1",), "afw": ("134212_1", "134212_2"), "ibug": ("image_003_1",),
    }.items():  # fmt: skip
        for name in names:
            save_face(tmp_path / folder / name, ending=".png" if folder.startswith("lfpw") else ".jpg")
    return tmp_path


def test_300w_splits(w300: Path) -> None:
    train, test = open_dataset(f"300w:{w300}", "train"), open_dataset(f"300w:{w300}", "test")
    assert (train.name, train.split, len(train), train.skeleton) == ("300w", "train", 5, IBUG68)
    names = [train.sample(k).name for k in range(5)]
    assert names == [
        "trainset/image_0001.pts", "trainset/image_0002.pts", "trainset/1_1.pts",
        "afw/134212_1.pts", "afw/134212_2.pts",
    ]  # fmt: skip
    assert (len(test), test.sample(0).name) == (1, "testset/image_0001.pts")
    assert "lfpw/testset" in test.protocol
    sizes = {
        tests: len(open_dataset(f"300w:{w300}?tests={tests}", "test")) for tests in ("common", "challenging", "full")
    }
    assert sizes == {"common": 2, "challenging": 1, "full": 3}


def test_300w_face(w300: Path) -> None:
    data = open_dataset(f"300w:{w300}", "test")
    sample = data.sample(0)
    np.testing.assert_allclose(sample.keypoints, FACE - 1, atol=1e-5)  # .pts files count pixels from 1
    assert sample.labelled.all()
    assert sample.center == pytest.approx((38, 36.75))  # the box is x 30..46, y 20..53.5
    assert sample.side == pytest.approx(1.3 * 33.5)
    assert "1.3 x its longer side" in data.protocol
    assert math.isnan(sample.yaw)
    check_sample(data, 0)


def test_300w_folders_in_capitals(w300: Path) -> None:
    for name in ("lfpw", "helen", "afw", "ibug"):
        (w300 / name).rename(w300 / f"{name}_")
        (w300 / f"{name}_").rename(w300 / name.upper())
    assert len(open_dataset(f"300w:{w300}", "train")) == 5


def test_300w_without_a_part(w300: Path) -> None:
    for path in (w300 / "ibug").iterdir():
        path.unlink()
    message = error_of(f"300w:{w300}?tests=full", "test")
    assert f"{w300 / 'ibug'} holds no .pts file" in message
    assert "is PATH the folder that holds" in error_of(f"300w:{w300 / 'lfpw'}")


def test_300w_has_68_points(w300: Path) -> None:
    (w300 / "afw" / "134212_2.pts").write_text(pts_text(FACE[:51]))
    message = error_of(f"300w:{w300}")
    assert "134212_2.pts" in message
    assert "has 51 points where the other files have 68" in message


def test_a_missing_picture_is_a_bad_picture_when_its_turn_comes(w300: Path) -> None:
    (w300 / "afw" / "134212_1.jpg").unlink()
    data = open_dataset(f"300w:{w300}", "train")
    with pytest.raises(BadPicture, match=r"134212_1\.jpg"):
        data.sample(3)


# --------------------------------------------------------------------------------------------------- .pts


@pytest.mark.parametrize(("count", "name"), [(68, "ibug68"), (5, "points5"), (98, "points98")])
def test_a_folder_of_any_number_of_points(tmp_path: Path, count: int, name: str) -> None:
    save_face(tmp_path / "b", np.arange(2.0 * count).reshape(count, 2))
    save_face(tmp_path / "sub" / "a", np.arange(2.0 * count).reshape(count, 2))
    data = open_dataset(f"pts:{tmp_path}", "train")
    assert (len(data), data.skeleton.name, len(data.skeleton.keypoints)) == (2, name, count)
    check_sample(data, 1)


def test_a_folder_with_a_named_scheme(tmp_path: Path) -> None:
    save_face(tmp_path / "a", np.arange(196.0).reshape(98, 2))
    assert open_dataset(f"pts:{tmp_path}?scheme=wflw98", "train").skeleton == WFLW98
    assert "has 98 points where the other files have 29" in error_of(f"pts:{tmp_path}?scheme=cofw29")
    save_face(tmp_path / "a")
    assert not open_dataset(f"pts:{tmp_path}?scheme=none", "train").skeleton.flips


def test_splits_of_a_folder(tmp_path: Path) -> None:
    for number in range(40):
        for face in (1, 2):
            save_face(tmp_path / f"photo{number}_{face}", FACE[:3])

    def photos(option: str, split: str) -> list[str]:
        data = open_dataset(f"pts:{tmp_path}{option}", split)
        return [data.sample(k).name.partition("/")[2] for k in range(len(data))]

    held_out, rest = photos("?test=0.25", "test"), photos("?test=0.25", "train")
    assert 10 <= len(held_out) <= 30
    assert not {name[:-6] for name in held_out} & {name[:-6] for name in rest}  # both faces of a photo
    assert len(held_out) + len(rest) == len(photos("", "train")) == len(photos("?test=1", "test")) == 80
    assert "?test=0.2 holds out a fifth" in error_of(f"pts:{tmp_path}", "test")
    assert "no face for the split 'train'" in error_of(f"pts:{tmp_path}?test=1", "train")


def test_the_crop_rule_is_that_of_the_samples(tmp_path: Path, w300: Path) -> None:
    """Also of faces that are drawn, and where parts are outlined."""
    for kinds in (FACE_KINDS, PART_KINDS):
        for spec in (f"300w:{w300}", "synthetic?length=1"):
            data: Any = open_any(spec, "train", kinds)
            points = open_dataset(spec, "train").sample(0).keypoints
            assert data.crop == CropRule("points", 1.3)
            assert data.sample(0).side == pytest.approx(1.3 * np.ptp(points, axis=0).max(), rel=1e-5)


def test_faces_of_one_photo_by_two_digits(tmp_path: Path) -> None:
    """AFW has up to 15 faces of a photo; image_0001 and image_0002 are two photos, and so are numbers alone."""
    crowds = [f"photo{number}_{face}" for number in range(20) for face in (1, 9, 10, 15)]
    singles = [f"image_{number:04d}" for number in range(20)]
    for name in (*crowds, *singles):
        save_face(tmp_path / "many" / name, FACE[:3])
    for number in range(1, 31):
        save_face(tmp_path / "frames" / f"frame_{number}", FACE[:3])

    def split(folder: str, which: str) -> set[str]:
        data = open_dataset(f"pts:{tmp_path / folder}?test=0.3", which)
        return {Path(data.sample(k).name).stem for k in range(len(data))}

    train, test = split("many", "train"), split("many", "test")
    assert not {name.partition("_")[0] for name in train & set(crowds)} & {
        name.partition("_")[0] for name in test & set(crowds)
    }
    assert train & set(crowds)
    assert test & set(crowds)
    assert train & set(singles)
    assert test & set(singles)
    assert 2 <= len(split("frames", "test")) <= 18


@needs_data("300w")
def test_photos_of_afw_are_in_one_half() -> None:
    data = [open_dataset(f"pts:{DATA / '300w/afw'}?test=0.3", split) for split in ("train", "test")]
    train, test = ({Path(name).stem.rpartition("_")[0] for name in map(str, half.files)} for half in data)  # type: ignore[attr-defined]
    assert len(train | test) == 185  # whole photographs, as afw_photos/ has them
    assert not train & test


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere names are text")
def test_names_that_are_no_text(tmp_path: Path) -> None:
    for number in range(20):
        save_face(tmp_path / os.fsdecode(b"caf\xe9%d" % number), FACE[:3])
    splits = [open_dataset(f"pts:{tmp_path}?test=0.5", split) for split in ("train", "test")]
    assert len(splits[0]) + len(splits[1]) == 20


def test_a_folder_with_splits_of_its_own(tmp_path: Path) -> None:
    save_face(tmp_path / "train" / "a")
    assert len(open_dataset(f"pts:{tmp_path}", "train")) == 1
    assert f"{tmp_path / 'test'} holds no .pts file" in error_of(f"pts:{tmp_path}", "test")
    with pytest.raises(UserError, match=r"has the folder train/.*leave out \?test=0.2"):
        open_dataset(f"pts:{tmp_path}?test=0.2", "train")


def test_a_folder_that_cannot_be_looked_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = "a" * 300
    for spec in (f"300w:{long}", f"coco:{long}", f"csv:{long}"):
        assert error_of(spec).endswith(f"{long} cannot be read: File name too long")

    def forbidden(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(tmp_path))

    monkeypatch.setattr(Path, "rglob", forbidden)
    assert error_of(f"pts:{tmp_path}") == f"pts: {tmp_path} cannot be read: Permission denied"


def test_a_folder_without_points(tmp_path: Path) -> None:
    assert "holds no .pts file" in error_of(f"pts:{tmp_path}")


@pytest.mark.parametrize("style", ["\r\n", "no newline at the end", "mark", "space before the points", "blank lines"])
def test_what_editors_make_of_pts_files(tmp_path: Path, style: str) -> None:
    text = pts_text(FACE[:2]).rstrip("\n")
    path = tmp_path / "a.pts"
    content = {
        "\r\n": text.replace("\n", "\r\n"), "mark": "\ufeff" + text,
        "space before the points": text.replace("\n3", "\n  3"),
        "blank lines": text.replace("\n", "\n\n") + "\n\n",
    }.get(style, text)  # fmt: skip
    path.write_bytes(content.encode())
    np.testing.assert_allclose(read_pts(path), FACE[:2] - 1)


GOOD = pts_text(FACE[:3])
MALFORMED = {
    "missing header": ("\n".join(GOOD.split("\n")[3:]), "should begin with"),
    "no n_points": (GOOD.replace("n_points:  3\n", ""), "should begin with"),
    "no opening brace": (GOOD.replace("{\n", ""), "should begin with"),
    "another format": ("<image file='a.jpg'/>", "should begin with"),
    "empty": ("", "should begin with"),
    "fewer points than promised": (GOOD.replace("n_points:  3", "n_points:  4"), "n_points is 4, but there are 3"),
    "more points than promised": (GOOD.replace("n_points:  3", "n_points:  2"), "n_points is 2, but there are 3"),
    "truncated": (GOOD[:-2], "cut off"),
    "truncated in a point": (GOOD[:60], "cut off"),
    "nan": (GOOD.replace("31.000000", "nan"), "not finite"),
    "inf": (GOOD.replace("31.000000", "1e999"), "not finite"),
    "far": (GOOD.replace("31.000000", "1e30"), "outside every picture"),
    "text": (GOOD.replace("31.000000", "left"), "left"),
    "one number": (GOOD.replace("31.000000 21.000000", "31.000000"), "point 1 is not 'x y': '31.000000'"),
    "three numbers": (GOOD.replace("31.000000", "31 31"), "point 1 is not 'x y'"),
    "none": (GOOD.replace("n_points:  3", "n_points:  0"), "n_points is 0"),
    "hostile": (GOOD.replace("n_points:  3", "n_points:  99999999999999999999"), "n_points is 999999999, not in"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed_pts_files(tmp_path: Path, case: str) -> None:
    text, reason = MALFORMED[case]
    path = tmp_path / "face.pts"
    path.write_text(text)
    message = error_of(f"pts:{tmp_path}")
    assert str(path) in message
    assert reason in message


def test_pts_files_that_are_no_text_or_too_large(tmp_path: Path) -> None:
    path = tmp_path / "face.pts"
    path.write_bytes(b"\xff\xfe\x00")
    assert f"{path}: is not text" in error_of(f"pts:{tmp_path}")
    with path.open("wb") as file:
        file.truncate(2**40)  # a hole: it takes no room
    assert "larger than 1 MiB" in error_of(f"pts:{tmp_path}")


def test_one_kind_of_points_per_folder(tmp_path: Path) -> None:
    save_face(tmp_path / "a", FACE[:5])
    save_face(tmp_path / "b", FACE[:4])
    message = error_of(f"pts:{tmp_path}")
    assert str(tmp_path / "b.pts") in message
    assert "has 4 points where the other files have 5" in message


# ------------------------------------------------------------------------------------- 300W-LP and AFLW2000-3D


def save_fitted(path: Path, yaw: float = 0.5, **change: object) -> None:
    """NAME.jpg and NAME.mat as in AFLW2000-3D; `path` without ending."""
    save_picture(path.with_suffix(".jpg"))
    variables: dict[str, object] = {
        "pt2d": np.full((2, 21), -1.0), "pt3d_68": np.vstack([FACE.T, np.arange(68.0)]),
        "roi": np.array([[1, 1, 90, 70]]),
        "Pose_Para": np.array([[0.1, yaw, -0.2, 45.0, 35.0, 0.0, 1e-3]]), "Illum_Para": np.zeros((1, 10)),
    }  # fmt: skip
    variables = {name: value for name, value in (variables | change).items() if value is not None}
    io.savemat(path.with_suffix(".mat"), variables)


def test_aflw2000(tmp_path: Path) -> None:
    save_fitted(tmp_path / "image00002")
    save_fitted(tmp_path / "image00004", yaw=-math.pi / 2)
    data = open_dataset(f"aflw2000:{tmp_path}", "test")
    assert (data.name, len(data), data.skeleton) == ("aflw2000", 2, IBUG68)
    sample = data.sample(0)
    np.testing.assert_allclose(sample.keypoints, FACE - 1, atol=1e-5)
    assert sample.yaw == pytest.approx(28.6479, abs=1e-3)
    assert data.sample(1).yaw == pytest.approx(-90)
    assert sample.name.endswith("/image00002.mat")
    check_sample(data, 0)
    assert "testing only" in error_of(f"aflw2000:{tmp_path}")
    assert "holds no image" in error_of(f"aflw2000:{tmp_path.parent}", "test")


@pytest.fixture
def lp(tmp_path: Path) -> Path:
    for folder in ("AFW", "AFW_Flip", "LFPW"):
        path = tmp_path / folder / f"{folder[:4].rstrip('_')}_134212_1_0"
        save_fitted(path, pt2d=FACE.T, pt3d_68=None)
        (tmp_path / "landmarks" / folder).mkdir(parents=True)
        points = {"pts_2d": FACE + 1, "pts_3d": FACE + 2}
        io.savemat(tmp_path / "landmarks" / folder / f"{path.name}_pts.mat", points)
    return tmp_path


@pytest.mark.parametrize(
    ("points", "shift"), [("", 0), ("?points=pt2d", 0), ("?points=pts_2d", 1), ("?points=pts_3d", 2)]
)
def test_300wlp(lp: Path, points: str, shift: int) -> None:
    data = open_dataset(f"300wlp:{lp}{points}", "train")
    assert [data.sample(k).name for k in range(len(data))] == ["AFW/AFW_134212_1_0.mat", "LFPW/LFPW_134212_1_0.mat"]
    np.testing.assert_allclose(data.sample(0).keypoints, FACE - 1 + shift, atol=1e-5)
    assert data.sample(0).yaw == pytest.approx(math.degrees(0.5))
    check_sample(data, 1)


def test_300wlp_has_no_test_split(lp: Path) -> None:
    assert "no test split" in error_of(f"300wlp:{lp}", "test")
    assert "holds no .mat file" in error_of(f"300wlp:{lp / 'AFW'}")


BROKEN_FITS = {
    "wrong key": ({"pt3d_68": None, "points": np.zeros((3, 68))}, "has no variable 'pt3d_68'"),
    "21 points": ({"pt3d_68": np.ones((3, 21))}, "pt3d_68 has shape (3, 21), expected (3, 68)"),
    "turned": ({"pt3d_68": np.ones((68, 3))}, "pt3d_68 has shape (68, 3)"),
    "nan": ({"pt3d_68": np.full((3, 68), np.nan)}, "pt3d_68 is not finite"),
    "text": ({"pt3d_68": "points"}, "pt3d_68"),
    "no pose": ({"Pose_Para": None}, "has no variable 'Pose_Para'"),
    "another pose": ({"Pose_Para": np.zeros((1, 6))}, "Pose_Para has shape (1, 6)"),
    "far": ({"pt3d_68": np.full((3, 68), 1e12)}, "outside every picture"),
}


@pytest.mark.parametrize("case", BROKEN_FITS)
def test_malformed_fits(tmp_path: Path, case: str) -> None:
    """The first file stops the run before it begins; a later one is a bad picture, to be counted."""
    change, reason = BROKEN_FITS[case]
    save_fitted(tmp_path / "image00004", **change)
    message = error_of(f"aflw2000:{tmp_path}", "test")
    assert str(tmp_path / "image00004.mat") in message
    assert reason in message
    save_fitted(tmp_path / "image00002")
    data = open_dataset(f"aflw2000:{tmp_path}", "test")
    with pytest.raises(BadPicture) as caught:
        data.sample(1)
    assert str(caught.value) == message


def test_a_fit_that_is_cut_off(tmp_path: Path) -> None:
    save_fitted(tmp_path / "image00002")
    path = tmp_path / "image00002.mat"
    whole = path.read_bytes()
    for length, reason in ((100, "not a MATLAB file"), (400, "has no variable 'pt3d_68'"), (1000, "not a MATLAB file")):
        path.write_bytes(whole[:length])
        assert f"{path}: {reason}" in error_of(f"aflw2000:{tmp_path}", "test")


# --------------------------------------------------------------------------------------------------- WFLW

WFLW_POINTS = np.column_stack([10 + np.arange(98) * 0.5, 20 + np.arange(98) % 7])


def wflw_line(name: str, points: NDArray[np.float64] = WFLW_POINTS, attributes: str = "0 0 0 0 0 0") -> str:
    return " ".join(f"{value:.6f}" for value in points.ravel()) + f" 8 15 62 35 {attributes} {name}"


@pytest.fixture
def wflw(tmp_path: Path) -> Path:
    folder = tmp_path / "WFLW_annotations" / "list_98pt_rect_attr_train_test"
    folder.mkdir(parents=True)
    names = ["37--Soccer/37_Soccer_soccer_ball_37_45.jpg", "0--Parade/0 a.jpg"]
    for name in names:
        save_picture(tmp_path / "WFLW_images" / name)
    lines = [wflw_line(names[0], attributes="1 0 0 0 1 0"), wflw_line(names[1], WFLW_POINTS + 1)]
    for split in ("train", "test"):
        (folder / f"list_98pt_rect_attr_{split}.txt").write_text("\n".join(lines) + "\n")
    return tmp_path


def wflw_list(root: Path) -> Path:
    return root / "WFLW_annotations" / "list_98pt_rect_attr_train_test" / "list_98pt_rect_attr_train.txt"


def test_wflw(wflw: Path) -> None:
    data = open_dataset(f"wflw:{wflw}", "train")
    assert (data.name, len(data), data.skeleton) == ("wflw", 2, WFLW98)
    sample = data.sample(0)
    np.testing.assert_allclose(sample.keypoints, WFLW_POINTS)
    assert sample.center == (35, 25)
    assert sample.side == pytest.approx(1.3 * 54)
    assert "box that the set gives" in data.protocol
    assert data.sample(1).name == "0--Parade/0 a.jpg"
    check_sample(data, 1)
    (wflw / "WFLW_annotations" / "list_98pt_rect_attr_train_test").rename(wflw / "list_98pt_rect_attr_train_test")
    assert len(open_dataset(f"wflw:{wflw}", "test")) == 2


def test_subsets_of_wflw(wflw: Path) -> None:
    for subset in ("pose", "occlusion"):
        data = open_dataset(f"wflw:{wflw}?subset={subset}", "test")
        assert (len(data), data.sample(0).name) == (1, "37--Soccer/37_Soccer_soccer_ball_37_45.jpg")
        assert f"attribute {subset}" in data.protocol
    assert "no face with the attribute blur" in error_of(f"wflw:{wflw}?subset=blur", "test")


BAD_LINES = {
    "other number of points": (wflw_line("a.jpg", WFLW_POINTS[:68]), "146 numbers"),
    "no name": (wflw_line(""), "before the picture's name"),
    "text": (wflw_line("a.jpg").replace("20.000000", "left", 1), "could not convert string to float"),
    "nan": (wflw_line("a.jpg").replace("20.000000", "nan", 1), "is not finite"),
    "far": (wflw_line("a.jpg").replace("20.000000", "1e9", 1), "outside every picture"),
    "box without area": (wflw_line("a.jpg").replace(" 8 15 62 35 ", " 62 15 8 35 "), "has no area"),
    "attribute": (wflw_line("a.jpg", attributes="0 0 0 0 0 2"), "neither 0 nor 1"),
    "up and away": (wflw_line("../../../etc/passwd"), "leads out of the picture folder"),
    "absolute": (wflw_line("/etc/passwd"), "leads out of the picture folder"),
    "windows": (wflw_line("..\\..\\a.jpg"), "leads out of the picture folder"),
}


@pytest.mark.parametrize("case", BAD_LINES)
def test_malformed_lines_of_wflw(wflw: Path, case: str) -> None:
    line, reason = BAD_LINES[case]
    path = wflw_list(wflw)
    path.write_text(path.read_text() + line + "\n")
    message = error_of(f"wflw:{wflw}")
    assert f"{path}: line 3" in message
    assert reason in message


def test_wflw_with_a_part_missing(wflw: Path) -> None:
    path = wflw_list(wflw)
    path.write_text("\n")
    assert f"{path}: holds no face" in error_of(f"wflw:{wflw}")
    path.unlink()
    assert f"{path}: no such file" in error_of(f"wflw:{wflw}")
    (wflw / "WFLW_images").rename(wflw / "images")
    assert "WFLW_images: no such folder" in error_of(f"wflw:{wflw}")


# --------------------------------------------------------------------------------------------------- COFW

COFW_POINTS = np.column_stack([21 + np.arange(29.0), 11 + 0.5 * np.arange(29)])


def save_cofw(root: Path, split: str = "train", **change: object) -> Path:
    """Two faces, one in colour and one in grey, as MATLAB writes version 7.3: HDF5 with turned axes."""
    h5py = pytest.importorskip("h5py", reason="COFW's files are HDF5: pip install h5py")
    ending = "Tr" if split == "train" else "T"
    path = root / f"COFW_{split}_color.mat"
    colour = np.zeros((40, 60, 3), np.uint8)
    colour[:, :, 0] = np.arange(60)
    colour[:, :, 1] = np.arange(40)[:, None]
    grey = np.full((30, 50), 77, np.uint8)
    phis = np.stack([np.concatenate([(COFW_POINTS + k).T.ravel(), np.arange(29) % 2]) for k in range(2)])
    variables: dict[str, object] = {
        f"phis{ending}": phis.T, f"bboxes{ending}": np.array([[11.0, 6, 30, 20], [12, 7, 10, 40]]).T,
    } | change  # fmt: skip
    with h5py.File(path, "w", userblock_size=512) as file:
        cells = file.create_group("#refs#")
        references = []
        for k, picture in enumerate(change.pop("pictures", (colour, grey))):  # type: ignore[arg-type]
            references.append(cells.create_dataset(chr(97 + k), data=picture.T).ref)
        file.create_dataset(f"Is{ending}", data=np.array([references], h5py.ref_dtype), dtype=h5py.ref_dtype)
        for name, value in variables.items():
            if name != "pictures" and value is not None:
                file.create_dataset(name, data=value)
    with path.open("r+b") as raw:
        raw.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64, Created on: Thu Aug 8 2013 HDF5 schema 1.00 .".ljust(124))
    return path


@pytest.mark.parametrize("split", ["train", "test"])
def test_cofw(tmp_path: Path, split: str) -> None:
    save_cofw(tmp_path, split)
    data = open_dataset(f"cofw:{tmp_path}", split)
    assert (data.name, len(data), data.skeleton) == ("cofw", 2, COFW29)
    sample = data.sample(0)
    assert sample.picture.shape == (40, 60, 3)
    assert sample.picture[7, 31].tolist() == [31, 7, 0]
    np.testing.assert_allclose(sample.keypoints, COFW_POINTS - 1)  # MATLAB counts from 1
    assert sample.labelled.all()  # occluded ones too
    assert sample.center == (25, 15)
    assert sample.side == pytest.approx(1.3 * 30)
    grey = data.sample(1)
    assert grey.picture.shape == (30, 50, 3)
    assert (grey.picture == 77).all()
    np.testing.assert_allclose(grey.keypoints, COFW_POINTS)
    check_sample(data, 1)


BAD_COFW = {
    "wrong key": ({"phisTr": None, "phisT": np.zeros((87, 2))}, "has no variable 'phisTr'"),
    "other number of points": ({"phisTr": np.zeros((58, 2))}, "phisTr should be numbers of shape (87, 2), not (58, 2)"),
    "turned": ({"phisTr": np.zeros((2, 87))}, "not (2, 87)"),
    "nan": ({"phisTr": np.full((87, 2), np.nan)}, "phisTr is not finite"),
    "flags": ({"phisTr": np.full((87, 2), 3.0)}, "neither 0 nor 1"),
    "boxes": ({"bboxesTr": np.zeros((4, 3))}, "bboxesTr should be numbers of shape (4, 2)"),
    "empty box": ({"bboxesTr": np.array([[1.0, 1, 5, 5], [1, 1, 5, 0]]).T}, "face 2 has a box without area"),
}


@pytest.mark.parametrize("case", BAD_COFW)
def test_malformed_cofw(tmp_path: Path, case: str) -> None:
    change, reason = BAD_COFW[case]
    path = save_cofw(tmp_path, **change)
    message = error_of(f"cofw:{tmp_path}")
    assert str(path) in message
    assert reason in message


@pytest.mark.parametrize(
    "picture",
    [np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros(5, np.uint8)],
    ids=["four", "float", "flat"],
)
def test_a_broken_picture_of_cofw(tmp_path: Path, picture: NDArray[np.generic]) -> None:
    path = save_cofw(tmp_path, pictures=(np.zeros((9, 9), np.uint8), picture))
    data = open_dataset(f"cofw:{tmp_path}", "train")
    with pytest.raises(BadPicture, match="picture 2 cannot be read") as caught:
        data.sample(1)
    assert str(path) in str(caught.value)


def test_cofw_that_points_elsewhere(tmp_path: Path) -> None:
    """HDF5 can fetch an array from any file of the system, under the name of a variable or as its numbers."""
    h5py = pytest.importorskip("h5py", reason="COFW's files are HDF5: pip install h5py")
    secret = tmp_path / "secret"
    secret.write_bytes(np.zeros((87, 2)).tobytes())
    path = save_cofw(tmp_path, phisTr=None)
    with h5py.File(path, "r+") as file:
        file.create_dataset("phisTr", (87, 2), np.float64, external=[(str(secret), 0, h5py.h5f.UNLIMITED)])
    assert "in another file" in error_of(f"cofw:{tmp_path}")
    with h5py.File(path, "r+") as file:
        del file["phisTr"]
        file["phisTr"] = h5py.ExternalLink("other.mat", "/phisTr")
    assert "has no variable 'phisTr'" in error_of(f"cofw:{tmp_path}")


def test_cofw_that_is_no_hdf5(tmp_path: Path) -> None:
    path = save_cofw(tmp_path)
    path.write_bytes(path.read_bytes()[:2000])
    assert f"{path}: not a MATLAB 7.3 file" in error_of(f"cofw:{tmp_path}")
    io.savemat(path, {"phisTr": np.zeros((2, 87))})
    assert f"{path}: not a MATLAB 7.3 file" in error_of(f"cofw:{tmp_path}")
    assert "COFW_test_color.mat: no such file" in error_of(f"cofw:{tmp_path}", "test")


def test_cofw_without_h5py(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "COFW_train_color.mat").write_bytes(b"x")
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(UserError, match="pip install h5py"):
        open_dataset(f"cofw:{tmp_path}", "train")


# ---------------------------------------------------------------------------------------------- real data


@needs_data("300w")
@pytest.mark.parametrize(("split", "count"), [("train", 2012), ("test", 224)])
def test_real_faces_fit_their_pictures(split: str, count: int) -> None:
    data = open_dataset(f"300w:{DATA / '300w'}", split)
    assert len(data) == count
    inside, in_crop = [], []
    for index in range(0, count, count // 40):
        sample = data.sample(index)
        height, width = sample.picture.shape[:2]
        inside.append(((sample.keypoints > -1) & (sample.keypoints < (width, height))).all(axis=1).mean())
        in_crop.append((np.abs(sample.keypoints - sample.center) <= sample.side / 2).all())
    assert np.mean(inside) > 0.99
    assert all(in_crop)
