"""Data sets of parts: polygons between points, Helen's files, folders of masks. The tests write all files."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from hbcore.optim.losses import IGNORED
from tests.data_sets import DATA, needs_data
from training.datasets import Sample, open_dataset
from training.datasets.parts import PART_KINDS
from training.datasets.parts.outlined import Outlined
from training.datasets.parts.polygons import OUTLINES, face_mask, fill
from training.errors import BadPicture, DataError, UserError
from training.labels.face_skeletons import IBUG68, WFLW98
from training.labels.parts import FACE7, HELEN11


def open_parts(spec: str, split: str = "train") -> Any:
    return open_dataset(spec, split, PART_KINDS)


# ------------------------------------------------------------------------------------------------- polygons


def filled(corners: list[tuple[float, float]], height: int = 6, width: int = 8) -> NDArray[np.uint8]:
    mask = np.zeros((height, width), np.uint8)
    fill(mask, np.array(corners), 1)
    return mask


def test_pixels_count_by_their_centres() -> None:
    square = filled([(0.6, 1.2), (4.4, 1.2), (4.4, 3.7), (0.6, 3.7)])
    expected = np.zeros((6, 8))
    expected[2:4, 1:5] = 1
    assert square.tolist() == expected.tolist()
    # A right angle at the origin: centres with x + y < 4, the border itself out, for it is on the right.
    triangle = filled([(0, 0), (4, 0), (0, 4)])
    assert triangle.tolist() == [[int(x + y < 4) for x in range(8)] for y in range(6)]


def test_polygons_side_by_side_share_no_pixel_and_leave_none_out() -> None:
    corners = [(0, 0), (5, 0), (5, 4), (0, 4)]
    for a, b in ((0, 2), (1, 3)):  # either diagonal of a rectangle whose sides run through centres
        one = filled([corners[a], corners[b], corners[(b + 1) % 4]])
        other = filled([corners[a], corners[(a + 1) % 4], corners[b]])
        assert np.array_equal(one + other, filled(corners))
    assert filled(corners).sum() == 20


def test_a_polygon_that_crosses_itself_is_filled_by_the_even_odd_rule() -> None:
    """A star of five points drawn in one line: its middle is inside twice, that is outside."""
    angles = -np.pi / 2 + 4 * np.pi / 5 * np.arange(5)
    star = np.stack([20 + 19.3 * np.cos(angles), 20 + 19.3 * np.sin(angles)], axis=-1)
    mask = np.zeros((40, 40), np.uint8)
    fill(mask, star, 3)
    assert mask[20, 20] == 0
    assert mask[6, 20] == 3
    assert set(np.unique(mask)) == {0, 3}


def test_what_lies_outside_the_picture_is_cut_off() -> None:
    assert filled([(-9, -9), (99, -9), (99, 99), (-9, 99)]).all()
    assert not filled([(9, 9), (12, 9), (12, 12)]).any()
    assert not filled([(-1e6, -1e6), (-1e6, -2e5), (-3e5, -1e6)]).any()
    assert not filled([(2.5, 2.5)] * 3).any()
    flat = filled([(0, 0), (4, 0), (4, 2.2e-308)])  # as flat as can be: centres on its upper side, none below
    assert flat[0].tolist() == [1, 1, 1, 1, 0, 0, 0, 0]
    assert not flat[1:].any()
    assert filled([(-1e6, -1e6), (1e6, -1e6), (1e6, 1e6), (-1e6, 1e6)]).all()


places = st.tuples(st.floats(-5, 15), st.floats(-5, 15))


@given(st.lists(places, min_size=3, max_size=7))
def test_filling_against_the_crossings_of_a_ray(corners: list[tuple[float, float]]) -> None:
    """For each centre by itself: how many edges lie to the left of it, at its height."""
    mask = filled(corners, 10, 10)
    edges = list(zip(corners, corners[1:] + corners[:1], strict=True))
    for y, x in np.ndindex(10, 10):
        crossings = [x0 + (x1 - x0) * ((y - y0) / (y1 - y0)) for (x0, y0), (x1, y1) in edges if (y0 <= y) != (y1 <= y)]
        assert mask[y, x] == sum(at <= x for at in crossings) % 2


# ---------------------------------------------------------------------------------------- faces from 68 points


def face() -> NDArray[np.float32]:
    """68 points of a face drawn by hand in 200 x 200 pixels, mouth open."""
    points = np.zeros((68, 2))
    turn = np.linspace(np.pi, 0, 17)
    points[:17] = np.stack([100 + 70 * np.cos(turn), 90 + 90 * np.sin(turn)], axis=-1)
    points[17:22] = [(40, 70), (50, 62), (60, 60), (70, 62), (80, 66)]
    points[22:27] = [(120, 66), (130, 62), (140, 60), (150, 62), (160, 70)]
    points[27:31] = [(100, 80), (100, 90), (100, 100), (100, 110)]
    points[31:36] = [(86, 116), (93, 119), (100, 121), (107, 119), (114, 116)]
    for first, x in ((36, 65), (42, 135)):
        points[first : first + 6] = [
            (x - 13, 82), (x - 5, 77), (x + 5, 77), (x + 13, 82), (x + 5, 87), (x - 5, 87),
        ]  # fmt: skip
    points[48:55] = [(72, 142), (82, 136), (92, 133), (100, 134), (108, 133), (118, 136), (128, 142)]
    points[55:60] = [(118, 156), (108, 161), (100, 162), (92, 161), (82, 156)]
    points[60:65] = [(76, 142), (90, 140), (100, 141), (110, 140), (124, 142)]
    points[65:68] = [(110, 151), (100, 153), (90, 151)]
    return points.astype(np.float32)


def test_every_part_is_where_it_should_be() -> None:
    mask = face_mask(face(), 200, 200)
    spots = {
        "background": [(5, 5), (100, 190), (100, 50), (20, 90)],  # the forehead is background: no point marks it
        "skin": [(100, 72), (50, 120), (100, 170), (150, 120), (35, 95)],
        "nose": [(100, 105), (93, 114)],
        "eyes": [(65, 82), (135, 82)],
        "upper_lip": [(100, 137), (84, 139)],
        "lower_lip": [(100, 157), (84, 153)],
        "inner_mouth": [(100, 147)],
    }
    assert spots.keys() == set(FACE7.names)
    for part, places in spots.items():
        for x, y in places:
            assert FACE7.names[mask[y, x]] == part, (part, x, y)
    assert (mask == mask[:, ::-1])[:, 41:160].mean() > 0.98  # the face is symmetric about x = 100


def test_areas_are_those_of_the_polygons() -> None:
    """By the shoelace formula, in pixels; parts that others cover are tried alone."""
    points = face().astype(np.float64)
    for part, corners in OUTLINES:
        x, y = points[list(corners)].T
        area = 0.5 * abs(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1)))
        mask = np.zeros((200, 200), np.uint8)
        fill(mask, points[list(corners)], 1)
        around = np.hypot(x - np.roll(x, -1), y - np.roll(y, -1)).sum()
        assert abs(mask.sum() - area) < 0.25 * around, part
        outline = Image.new("L", (200, 200))
        ImageDraw.Draw(outline).polygon([(float(a), float(b)) for a, b in points[list(corners)]], fill=1)
        assert (np.asarray(outline) != mask).sum() < around, part  # Pillow draws the border as well


def test_the_outlines_use_each_point_of_a_part_and_the_names_agree() -> None:
    used = {
        part: {IBUG68.keypoints[k] for p, corners in OUTLINES if p == part for k in corners} for part, _ in OUTLINES
    }
    assert all("eye" in name for name in used["eyes"])
    assert len(used["eyes"]) == 12
    assert all("lip" in name for part in ("upper_lip", "lower_lip", "inner_mouth") for name in used[part])
    assert {name for name in IBUG68.keypoints if "brow" in name or "jaw" in name or name == "chin"} == used["skin"]
    assert {part for part, _ in OUTLINES} | {"background"} == set(FACE7.names)


class Faces:
    """Two faces; the second lacks a point."""

    name, split, skeleton, protocol = "faces", "test", IBUG68, "made by hand"

    def __len__(self) -> int:
        return 2

    def sample(self, index: int) -> Sample:
        labelled = np.ones(68, bool)
        labelled[30] = index == 0
        return Sample(np.zeros((200, 220, 3), np.uint8), face(), labelled, (100, 110), 180, np.nan, "f", yaw=-20.0)


def test_points_become_masks() -> None:
    data = Outlined(Faces())
    first, second = data.sample(0), data.sample(1)
    assert (data.name, data.split, data.skeleton, len(data)) == ("faces", "test", FACE7, 2)
    assert data.protocol == "made by hand; masks: 7 classes, polygons between the 68 points"
    assert first.mask is not None
    assert np.array_equal(first.mask[:, :200], face_mask(face(), 200, 200))
    assert (first.center, first.side, first.yaw, first.name) == ((100, 110), 180, -20, "f")
    assert (first.keypoints.shape, first.labelled.shape) == ((0, 2), (0,))
    assert second.mask is not None
    assert (second.mask == IGNORED).all()
    assert len(pickle.loads(pickle.dumps(data))) == 2


def test_other_points_have_no_parts() -> None:
    other = Faces()
    other.skeleton = WFLW98  # type: ignore[assignment]
    with pytest.raises(DataError, match="faces has the 98 points of wflw98: parts are drawn between the 68 of ibug68"):
        Outlined(other)


def test_sets_of_faces_are_sets_of_parts(tmp_path: Path) -> None:
    for part in ("lfpw/trainset", "helen/trainset", "afw", "lfpw/testset"):
        (tmp_path / part).mkdir(parents=True)
        Image.fromarray(np.zeros((200, 200, 3), np.uint8)).save(tmp_path / part / "a.jpg")
        rows = "".join(f"{x + 1} {y + 1}\n" for x, y in face())
        (tmp_path / part / "a.pts").write_text(f"version: 1\nn_points: 68\n{{\n{rows}}}\n")
    train, test = open_parts(f"300w:{tmp_path}"), open_parts(f"300w:{tmp_path}", "test")
    assert (len(train), len(test)) == (3, 1)
    sample = test.sample(0)
    assert np.array_equal(sample.mask, face_mask(face(), 200, 200))
    assert "polygons between the 68 points" in test.protocol
    drawn = open_parts("synthetic?length=3", "test").sample(1)
    assert drawn.mask.shape == drawn.picture.shape[:2]
    assert len(np.unique(drawn.mask)) >= 6


# ----------------------------------------------------------------------------------------------- masks in files


def save(path: Path, pixels: NDArray[np.uint8], mode: str | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(pixels)
    if mode == "P":
        image.putpalette(np.random.default_rng(0).integers(0, 256, 768).astype(np.uint8).tobytes())
    image.save(path)


def a_mask(height: int = 10, width: int = 14, classes: int = 3, seed: int = 0) -> NDArray[np.uint8]:
    mask = np.random.default_rng(seed).integers(0, classes, (height, width)).astype(np.uint8)
    mask[0, 0] = IGNORED
    return mask


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three pictures with masks of three classes, of which c is for testing."""
    root = tmp_path / "wings"
    for index, name in enumerate(("a", "b", "c")):
        save(root / "images" / f"{name}.png", np.full((10, 14, 3), 50 * index, np.uint8))
        save(root / "masks" / f"{name}.png", a_mask(seed=index), "P" if name == "a" else "L")
    (root / "images" / "notes.txt").write_text("no picture")
    (root / "classes.txt").write_text("background\nleft_wing\n\nright_wing \n")
    (root / "train.txt").write_text("b\na\n")
    (root / "test.txt").write_text("c\n")
    return root


def test_masks_are_read_as_they_are(folder: Path) -> None:
    train, test = open_parts(f"masks:{folder}"), open_parts(f"masks:{folder}", "test")
    assert (len(train), len(test)) == (2, 1)
    for index in range(2):  # the one has colours, the other greys
        sample = train.sample(index)
        assert np.array_equal(sample.mask, a_mask(seed=index))
        assert (sample.name, sample.center, sample.side) == (f"{'ab'[index]}.png", (6.5, 4.5), 14)
        assert (sample.picture == 50 * index).all()
    assert (train.skeleton.name, train.skeleton.names) == ("wings", ("background", "left_wing", "right_wing"))
    assert train.skeleton.flip_pairs == ((1, 2),)
    assert test.protocol == "masks test: 1 pictures, 3 classes; split as listed; crop: whole picture"
    assert len(pickle.loads(pickle.dumps(train))) == 2


def test_classes_as_toml(folder: Path) -> None:
    (folder / "classes.toml").write_text('classes = ["ground", "near", "far"]\nflip_pairs = [["far", "near"]]\n')
    parts = open_parts(f"masks:{folder}").skeleton
    assert (parts.names, parts.flip_pairs) == (("ground", "near", "far"), ((2, 1),))
    (folder / "classes.toml").write_text('classes = ["left_x", "right_x", "z"]\n')
    assert open_parts(f"masks:{folder}").skeleton.flip_pairs == ()


def test_without_lists_a_fifth_is_held_out_and_nobody_is_in_both(tmp_path: Path) -> None:
    (tmp_path / "classes.txt").parent.mkdir(exist_ok=True)
    (tmp_path / "classes.txt").write_text("a\nb\n")
    for index in range(60):
        for place in ("images", "masks"):
            save(tmp_path / place / f"{index}.png", np.zeros((2, 2), np.uint8))
    splits = [open_parts(f"masks:{tmp_path}", split) for split in ("train", "test")]
    names = [{data.sample(i).name for i in range(len(data))} for data in splits]
    assert not names[0] & names[1]
    assert len(names[0] | names[1]) == 60
    assert 4 <= len(names[1]) <= 22
    assert "0.2 of the pictures, drawn by their names, are for testing" in splits[0].protocol


def write(name: str, text: str) -> Callable[[Path], object]:
    return lambda root: (root / name).write_text(text)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda root: (root / "classes.txt").unlink(), r"classes\.txt: no such file"),
        (write("classes.txt", "only\n"), r"classes\.txt: parts wings: 2 to 255 classes"),
        (write("classes.txt", "a\nb\na\n"), r"classes\.txt: parts wings: a class name occurs twice"),
        (write("classes.toml", "classes = 3\n"), r"classes\.toml: should hold classes = "),
        (write("classes.toml", "classes = [\n"), r"classes\.toml"),
        (write("classes.toml", 'classes = ["a", 3, "b"]\n'), r"classes\.toml: parts wings: a class has no name"),
        (
            write("classes.toml", 'classes = ["a", "b", "c"]\nflip_pairs = [["a", "x"]]\n'),
            r"classes\.toml: flip_pairs holds \['a', 'x'\], which is no pair of classes",
        ),
        (
            write("classes.toml", 'classes = ["a", "b", "c"]\nflip_pairs = ["ab"]\n'),
            r"classes\.toml: flip_pairs holds 'ab', which is no pair",
        ),
        (
            write("classes.toml", 'classes = ["a", "b"]\nflip_pairs = [["a", "b"], ["b", "a"]]\n'),
            r"classes\.toml: parts wings: a class stands in two flip pairs",
        ),
        (lambda root: (root / "masks/b.png").unlink(), r"masks/b\.png: no such file; every picture needs a mask"),
        (
            lambda root: save(root / "images/b.jpg", np.zeros((10, 14, 3), np.uint8)),
            r"images/b\.png and b\.jpg would share one mask",
        ),
        (write("test.txt", "c\nb\n"), r"test\.txt: 'b' is in train\.txt too"),
        (write("train.txt", "b\nd\n"), "a list names 'd', but there is no such picture"),
        (write("train.txt", "../c\n"), r"train\.txt: '\.\./c' leads out of the picture folder"),
        (write("train.txt", "b\0\n"), r"train\.txt: .* is not a file name"),
        (lambda root: (root / "images").rename(root / "pictures"), "images: no such folder"),
    ],
)
def test_folders_that_are_no_sets_of_masks(folder: Path, spoil: Callable[[Path], object], message: str) -> None:
    open_parts(f"masks:{folder}")
    spoil(folder)
    with pytest.raises(DataError, match=message) as caught:
        open_parts(f"masks:{folder}")
    assert "\n" not in str(caught.value)
    assert str(folder) in str(caught.value)


def test_a_split_without_pictures(folder: Path) -> None:
    (folder / "test.txt").unlink()
    with pytest.raises(DataError, match=r"no picture in .*images is for the split test; split as listed"):
        open_parts(f"masks:{folder}", "test")


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (a_mask(10, 13), r"b\.png: its mask is 13 x 10 pixels, the picture 14 x 10"),
        (np.full((10, 14), 3, np.uint8), r"b\.png: its mask holds 3, but there are 3 classes, from 0"),
        (np.zeros((10, 14, 3), np.uint8), r"masks/b\.png: cannot be decoded \(its pixels are no indices of 8 bits"),
        (np.zeros((10, 14), np.uint16), r"masks/b\.png: cannot be decoded \(its pixels are no indices of 8 bits"),
    ],
)
def test_masks_that_cannot_be(folder: Path, pixels: NDArray[np.uint8], message: str) -> None:
    Image.fromarray(pixels).save(folder / "masks/b.png")
    data = open_parts(f"masks:{folder}")
    data.sample(0)
    with pytest.raises(BadPicture, match=message):
        data.sample(1)


def test_a_broken_mask_is_a_bad_picture(folder: Path) -> None:
    (folder / "masks/b.png").write_bytes((folder / "masks/a.png").read_bytes()[:60])
    with pytest.raises(BadPicture, match=r"masks/b\.png"):
        open_parts(f"masks:{folder}").sample(1)


# -------------------------------------------------------------------------------------------------------- Helen


@pytest.fixture
def helen(tmp_path: Path) -> Path:
    """Two pictures for training, one each for tuning and testing, of 30 x 40 pixels."""
    for index, name in enumerate(("10_1", "11_1", "12_1", "13_2")):
        save(tmp_path / "images" / f"{name}.jpg", np.full((30, 40, 3), 40 * index, np.uint8))
        levels = np.zeros((11, 30, 40), np.uint8)
        levels[0] = 255
        levels[0, 5:25, 10:30], levels[1, 5:25, 10:30] = 0, 255  # face
        levels[1, 9, 12:16], levels[2, 9, 12:16] = 100, 155  # an eyebrow, more of which than of skin
        levels[1, 10, 12:16], levels[2, 10, 12:16] = 155, 100
        levels[0, :5], levels[10, :5] = 0, 255  # hair
        levels[0, 29], levels[10, 29] = 127, 127  # the first of equals
        for k in range(11):
            save(tmp_path / "labels" / name / f"{name}_lbl{k:02d}.png", levels[k])
    (tmp_path / "exemplars.txt").write_text("1 , 10_1\n2 , 11_1\n")
    (tmp_path / "tuning.txt").write_text("1 , 12_1\n")
    (tmp_path / "testing.txt").write_text("     1 , 13_2\r\n\r\n")
    return tmp_path


def test_helen(helen: Path) -> None:
    train, test = open_parts(f"helen:{helen}"), open_parts(f"helen:{helen}", "test")
    assert (len(train), len(test), train.skeleton) == (2, 1, HELEN11)
    sample = test.sample(0)
    expected = np.zeros((30, 40), np.uint8)
    expected[:5], expected[5:25, 10:30], expected[9, 12:16] = 10, 1, 2
    assert np.array_equal(sample.mask, expected)
    assert (sample.name, sample.side, sample.center) == ("13_2", 25, (19.5, 14.5))
    assert abs(int(sample.picture[0, 0, 0]) - 120) <= 2
    assert "testing.txt, 1 pictures, 11 classes" in test.protocol
    tuning = open_parts(f"helen:{helen}?test=tuning", "test")
    assert tuning.sample(0).name == "12_1"
    with pytest.raises(UserError, match="unknown value of option test of helen 'exemplars'"):
        open_parts(f"helen:{helen}?test=exemplars", "test")


def test_helen_without_a_face_shows_the_whole_picture(helen: Path) -> None:
    for k in range(11):
        save(helen / f"labels/10_1/10_1_lbl{k:02d}.png", np.full((30, 40), 255 * (k == 10), np.uint8))
    sample = open_parts(f"helen:{helen}").sample(0)
    assert (sample.center, sample.side) == ((19.5, 14.5), 40)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda root: (root / "exemplars.txt").unlink(), r"exemplars\.txt: no such file"),
        (write("exemplars.txt", "\n"), r"exemplars\.txt: names no picture"),
        (write("exemplars.txt", "1 , 10_1\n11_1\n"), r"exemplars\.txt, line 2: should be a number, a comma and a name"),
        (write("exemplars.txt", "1 , ../../x\n"), r"exemplars\.txt, line 1: '\.\./\.\./x' leads out of"),
        (lambda root: (root / "labels").rename(root / "lables"), "labels: no such folder"),
        (lambda root: (root / "images").rename(root / "img"), "images: no such folder"),
    ],
)
def test_folders_that_are_not_helen(helen: Path, spoil: Callable[[Path], object], message: str) -> None:
    spoil(helen)
    with pytest.raises(DataError, match=message) as caught:
        open_parts(f"helen:{helen}")
    assert "\n" not in str(caught.value)


def test_helen_with_a_picture_missing_or_of_another_size(helen: Path) -> None:
    data = open_parts(f"helen:{helen}")
    (helen / "labels/10_1/10_1_lbl07.png").unlink()
    with pytest.raises(BadPicture, match=r"10_1_lbl07\.png: no such picture"):
        data.sample(0)
    save(helen / "labels/11_1/11_1_lbl03.png", np.zeros((29, 40), np.uint8))
    with pytest.raises(BadPicture, match="11_1: its label pictures differ in size"):
        data.sample(1)
    for k in range(11):
        save(helen / f"labels/11_1/11_1_lbl{k:02d}.png", np.zeros((29, 40), np.uint8))
    with pytest.raises(BadPicture, match="11_1: its mask is 40 x 29 pixels, the picture 40 x 30"):
        data.sample(1)


# ------------------------------------------------------------------------------------------------- real data


@needs_data("300w")
def test_parts_of_real_faces_are_dark_red_or_neither() -> None:
    """Over many faces eyes are darker than skin, lips redder, and there is no mouth without lips."""
    data = open_parts(f"300w:{DATA / '300w'}", "test")
    assert len(data) == 224
    light, red = [], []
    for index in range(0, 224, 8):
        sample = data.sample(index)
        counts = np.bincount(sample.mask.ravel(), minlength=7) / sample.mask.size
        assert 0.1 < counts[1] < 0.7
        assert (counts[[2, 5, 6]] > 0.0005).all()
        assert counts[4] == 0 or counts[2] > 0
        colours = [sample.picture[sample.mask == k].mean(axis=0) for k in (1, 2, 5)]
        light.append([c.mean() for c in colours])
        red.append([c[0] / c.sum() for c in colours])
    assert np.mean(light, axis=0)[2] < 0.8 * np.mean(light, axis=0)[0]
    assert np.mean(red, axis=0)[1] > np.mean(red, axis=0)[0] + 0.02
