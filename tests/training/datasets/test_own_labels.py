"""A user's own labels: COCO keypoints JSON and CSV, in their exact layout, and what can be wrong with them."""

import contextlib
import copy
import hashlib
import json
import math
import pickle
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from hbcore.landmarks.squares import CropRule
from training import data as command
from training.datasets import annotations, open_dataset
from training.datasets.own.scheme import mirror_pairs
from training.datasets.splits import Division, drawn_for_test
from training.errors import BadPicture, DataError, UserError

Json = dict[str, Any]


def save_picture(path: Path, width: int = 60, height: int = 40, level: int = 90) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((height, width, 3), level, np.uint8)).save(path)


def error_of(spec: str, split: str = "train", kind: type[UserError] = DataError) -> str:
    """The message with which opening fails: one line."""
    with pytest.raises(kind) as caught:
        open_dataset(spec, split)
    message = str(caught.value)
    assert "\n" not in message
    return message


def complaints_of(spec: str) -> str:
    """The messages about bad records, which are left out, or about the whole file."""
    try:
        data: Any = open_dataset(spec, "train")
    except DataError as error:
        return str(error)
    assert all("\n" not in bad.reason for bad in data.bad_records)
    return "; ".join(bad.text for bad in data.bad_records)


# --------------------------------------------------------------------------------------------------- COCO

BEE = {
    "id": 3, "name": "bee", "supercategory": "insect",
    "keypoints": ["head", "left_wing", "right_wing", "sting"],
    "skeleton": [[1, 2], [1, 3], [1, 4]],
}  # fmt: skip


def content() -> Json:
    """Three pictures; two bees in the first, one that nobody labelled in the second, none in the third."""
    return {
        "info": {"description": "bees"},
        "licenses": [],
        "images": [
            {"id": 10, "file_name": "a.png", "width": 60, "height": 40, "license": 1},
            {"id": 11, "file_name": "sub/b.png", "width": 60, "height": 40},
            {"id": 12, "file_name": "c.png", "width": 60, "height": 40},
        ],
        "annotations": [
            {
                "id": 1, "image_id": 10, "category_id": 3, "iscrowd": 0, "num_keypoints": 3,
                "keypoints": [30, 10, 2, 20.5, 12, 1, 40, 12, 2, 0, 0, 0],
                "bbox": [10, 5, 40, 20.0], "area": 321.5, "segmentation": [],
            },
            {"id": 2, "image_id": 11, "category_id": 3, "iscrowd": 0, "num_keypoints": 0, "keypoints": [0] * 12},
            {"id": 5, "image_id": 10, "category_id": 3, "keypoints": [9, 9, 0, 10, 8, 2, 50, 18, 2, 30, 38, 1]},
            {"id": 4, "image_id": 10, "category_id": 3, "iscrowd": 1, "segmentation": {}},
            {"id": 9, "image_id": 12, "category_id": 1, "bbox": [0, 0, 5, 5]},
        ],
        "categories": [{"id": 1, "name": "flower"}, BEE],
    }  # fmt: skip


@pytest.fixture
def bees(tmp_path: Path) -> Path:
    for name in ("a.png", "sub/b.png", "c.png"):
        save_picture(tmp_path / "photos" / name)
    write(tmp_path, content())
    return tmp_path


def write(folder: Path, value: Any) -> None:
    (folder / "bees.json").write_text(value if isinstance(value, str) else json.dumps(value))


def spec(folder: Path, options: str = "") -> str:
    return f"coco:{folder}/bees.json?images={folder}/photos{options}"


def test_coco_skeleton(bees: Path) -> None:
    skeleton = open_dataset(spec(bees), "train").skeleton
    assert skeleton.name == "bee"
    assert skeleton.keypoints == ("head", "left_wing", "right_wing", "sting")
    assert skeleton.edges == ((0, 1), (0, 2), (0, 3))  # counted from 1 in the file
    assert (skeleton.flip_pairs, skeleton.flips) == (((1, 2),), True)
    assert (skeleton.torso, skeleton.head, skeleton.sigmas) == (None, None, None)


def test_coco_samples(bees: Path) -> None:
    data = open_dataset(spec(bees), "train")
    assert (data.name, data.split, len(data)) == ("coco", "train", 2)
    first, second = data.sample(0), data.sample(1)
    assert (first.name, second.name) == ("a.png#1", "a.png#5")
    assert first.picture.shape == (40, 60, 3)
    assert first.keypoints.dtype == np.float32
    assert first.keypoints.tolist() == [[30, 10], [20.5, 12], [40, 12], [0, 0]]
    assert first.labelled.tolist() == [True, True, True, False]  # hidden points count as labelled
    assert first.center == (10 + 39 / 2, 5 + 19 / 2)
    assert (first.side, first.box_size, first.area) == (1.25 * 40, 40, 321.5)
    assert math.isnan(first.head_size)
    # No box: that of the labelled points, x 10..50 and y 8..38. Where v is 0, positions mean nothing.
    assert second.keypoints.tolist() == [[0, 0], [10, 8], [50, 18], [30, 38]]
    assert (second.center, second.side, second.box_size) == ((30, 23), pytest.approx(1.35 * 40), 40)
    assert math.isnan(second.area)
    assert data.unlabelled == ("sub/b.png#2", "c.png")
    with pytest.raises(IndexError):
        data.sample(2)


def test_labels_survive_their_users_and_a_trip_to_a_worker(bees: Path) -> None:
    data = open_dataset(spec(bees), "train")
    sample = data.sample(0)
    sample.keypoints[:] = -1
    sample.labelled[:] = False
    assert b"\x5a" * 100 not in pickle.dumps(data)  # no picture goes along
    for again in (data, pickle.loads(pickle.dumps(data))):
        assert again.sample(0).keypoints[0].tolist() == [30, 10]
        assert again.sample(0).labelled.sum() == 3


def test_the_picture_of_several_samples_is_read_once(bees: Path) -> None:
    data = open_dataset(spec(bees), "train")
    assert data.sample(0).picture is data.sample(1).picture


def test_samples_of_one_picture_follow_one_another(bees: Path) -> None:
    value = content()
    value["annotations"][1]["keypoints"][:3] = [3, 3, 2]
    write(bees, value)
    data = open_dataset(spec(bees), "train")
    assert [data.sample(i).name for i in range(3)] == ["a.png#1", "a.png#5", "sub/b.png#2"]


def test_the_folder_of_the_file_is_that_of_its_pictures(bees: Path) -> None:
    (bees / "bees.json").rename(bees / "photos" / "bees.json")
    assert open_dataset(f"coco:{bees}/photos/bees.json", "train").sample(0).picture.shape == (40, 60, 3)


def test_a_missing_picture_is_bad_when_its_turn_comes(bees: Path) -> None:
    (bees / "photos" / "a.png").unlink()
    with pytest.raises(BadPicture, match=r"a\.png"):
        open_dataset(spec(bees), "train").sample(0)


def test_flip_pairs_of_the_file(bees: Path) -> None:
    for pairs, expected in (
        ([["head", "sting"]], ((0, 3),)),
        ([[1, 4]], ((0, 3),)),  # as the skeleton: from 1
        ([], ()),
    ):
        value = content()
        value["categories"][1] = BEE | {"flip_pairs": pairs}
        write(bees, value)
        skeleton = open_dataset(spec(bees), "train").skeleton
        assert (skeleton.flip_pairs, skeleton.flips) == (expected, True)


def test_where_nobody_knows_the_pairs_there_is_no_mirror(bees: Path) -> None:
    value = content()
    value["categories"][1] = BEE | {"keypoints": ["p1", "p2", "p3", "p4"]}
    write(bees, value)
    skeleton = open_dataset(spec(bees), "train").skeleton
    assert (skeleton.flip_pairs, skeleton.flips) == ((), False)


def test_the_persons_of_coco_bring_their_sigmas_and_torso(bees: Path) -> None:
    published = {  # k_i / 2, as cocodataset.org has them
        "nose": 0.026, "eye": 0.025, "ear": 0.035, "shoulder": 0.079, "elbow": 0.072, "wrist": 0.062, "hip": 0.107,
        "knee": 0.087, "ankle": 0.089,
    }  # fmt: skip
    names = [f"{side}_{part}" for part in published if part != "nose" for side in ("right", "left")] + ["nose"]
    value = content()
    value["categories"] = [{"id": 3, "name": "person", "keypoints": names, "skeleton": []}]
    value["annotations"] = [{"id": 1, "image_id": 10, "category_id": 3, "keypoints": [5, 5, 2] * 17}]
    write(bees, value)
    skeleton = open_dataset(spec(bees), "train").skeleton
    assert skeleton.sigmas == tuple(published[name.rpartition("_")[2]] for name in names)
    assert skeleton.torso == (names.index("left_shoulder"), names.index("right_hip"))
    assert len(skeleton.flip_pairs) == 8


def test_several_categories_with_points(bees: Path) -> None:
    value = content()
    value["categories"].append({"id": 8, "name": "wasp", "keypoints": ["tip"], "skeleton": None})
    value["annotations"].append({"id": 77, "image_id": 12, "category_id": 8, "keypoints": [1, 2, 2]})
    write(bees, value)
    assert "choose one by ?category= bee, wasp" in error_of(spec(bees), kind=UserError)
    assert "unknown category 'wsp'; did you mean 'wasp'?" in error_of(spec(bees, "&category=wsp"), kind=UserError)
    wasps = open_dataset(spec(bees, "&category=wasp"), "train")
    assert (len(wasps), wasps.skeleton.keypoints, wasps.sample(0).name) == (1, ("tip",), "c.png#77")
    # One point has no extent to crop by: the whole picture.
    assert (wasps.sample(0).center, wasps.sample(0).side) == ((29.5, 19.5), 60)
    assert math.isnan(wasps.sample(0).box_size)


# ------------------------------------------------------------------------------------------ TOML beside it


def test_a_toml_file_beside_the_labels_has_the_last_word(bees: Path) -> None:
    (bees / "bees.toml").write_text(
        """
        joints = ["sting", "right_wing", "left_wing", "head"]
        flip_pairs = [["head", "sting"]]
        edges = [["sting", "head"]]
        torso = ["left_wing", "sting"]
        head = ["head", "sting"]
        outer_eyes = ["right_wing", "left_wing"]
        pupils = [["right_wing", "head"], ["left_wing"]]
        sigmas = [0.1, 0.2, 0.2, 0.05]
        """
    )
    data = open_dataset(spec(bees), "train")
    skeleton = data.skeleton
    assert skeleton.keypoints == ("sting", "right_wing", "left_wing", "head")
    assert (skeleton.flip_pairs, skeleton.edges) == (((3, 0),), ((0, 3),))
    assert (skeleton.torso, skeleton.head, skeleton.outer_eyes) == ((2, 0), (3, 0), (1, 2))
    assert skeleton.pupils == ((1, 3), (2,))
    assert skeleton.sigmas == (0.1, 0.2, 0.2, 0.05)
    # The points of the samples are in the new order, too.
    assert data.sample(0).keypoints.tolist() == [[0, 0], [40, 12], [20.5, 12], [30, 10]]
    assert data.sample(0).labelled.tolist() == [False, True, True, True]


def test_lines_between_points_are_converted(bees: Path) -> None:
    """Counted from 0 here, and from 1 in COCO's files."""
    (bees / "lines.toml").write_text(
        'joints = ["sting", "head", "left_wing", "right_wing"]\nedges = [["sting", "head"]]'
    )
    assert (
        command.main(
            [
                "convert",
                spec(bees, f"&skeleton={bees}/lines.toml"),
                "--to",
                "coco",
                "--out",
                str(bees / "out.json"),
                "--quiet",
            ]
        )
        == 0
    )
    (category,) = json.loads((bees / "out.json").read_text())["categories"]
    assert category["skeleton"] == [[1, 2]]


def test_a_new_order_takes_edges_and_pairs_of_the_file_along(bees: Path) -> None:
    value = content()
    value["categories"][1] = BEE | {"flip_pairs": [[1, 4]], "sigmas": [1, 2, 3, 4]}
    write(bees, value)
    (bees / "order.toml").write_text('joints = ["sting", "head", "left_wing", "right_wing"]')
    skeleton = open_dataset(spec(bees, f"&skeleton={bees}/order.toml"), "train").skeleton
    assert skeleton.edges == ((1, 2), (1, 3), (1, 0))
    assert skeleton.flip_pairs == ((1, 0),)
    assert skeleton.sigmas == (4, 1, 2, 3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("flip_pairs = [", "not a TOML file"),
        ("flip_pares = []", "unknown key 'flip_pares'; did you mean 'flip_pairs'?"),
        ('flip_pairs = [["left_wing", "rigth_wing"]]', "unknown point 'rigth_wing'; did you mean 'right_wing'?"),
        ('flip_pairs = [["left_wing"]]', "flip_pairs[0] should name 2 points"),
        ('flip_pairs = [["head", "head"]]', "flip_pairs[0] should name 2 points"),
        ('flip_pairs = [["head", "sting"], ["sting", "left_wing"]]', "stands in two flip pairs"),
        ("flip_pairs = [[1, 2]]", "should list names of points"),
        ("flip_pairs = 3", "should be a list of pairs"),
        ('torso = "head"', "torso should list names"),
        ('joints = ["head", "sting"]', "names 2 of 4 points"),
        ('pupils = [["head"]]', "pupils should be two lists"),
        ("sigmas = [1, 2, 3]", "sigmas has shape (3,), expected (4,)"),
        ("sigmas = [1, 2, 3, nan]", "sigmas is not finite"),
        ("sigmas = [1, 2, 3, 0]", "a sigma is not positive"),
        ('sigmas = ["1", "2", "3", "4"]', "sigmas should be numbers"),
        ('test = "a.png"', "test should list file names"),
        ('test = ["../a.png"]', "leads out of the picture folder"),
        ('test = ["a.png"]\ntrain = ["a.png"]', "in train and in test"),
    ],
)
def test_a_toml_file_that_cannot_be_meant(bees: Path, text: str, message: str) -> None:
    (bees / "bees.toml").write_text(text)
    found = error_of(spec(bees))
    assert message in found
    assert "bees.toml" in found


def test_a_toml_file_that_was_named_must_be_there(bees: Path) -> None:
    assert "nowhere.toml: no such file" in error_of(spec(bees, "&skeleton=nowhere.toml"))


@given(st.permutations(["left_eye", "right_eye", "nose", "EarLeft", "EarRight", "L knee", "R knee", "upperleft"]))
def test_pairs_are_found_by_name_in_any_order(names: list[str]) -> None:
    found = {frozenset((names[a], names[b])) for a, b in mirror_pairs(names)}
    assert found == {
        frozenset(("left_eye", "right_eye")),
        frozenset(("EarLeft", "EarRight")),
        frozenset(("L knee", "R knee")),
    }


@pytest.mark.parametrize(
    "names",
    [
        ("left_eye", "nose"),  # no partner
        ("a", "b", "left", "ring"),
        ("bright", "light"),
        ("p1", "p2"),
        ("+", "-"),
        ("l1", "r2"),
        ("left_eye", "LeftEye", "right eye"),  # which of the two?
        ("lr", "rl"),
    ],
)
def test_names_that_are_no_pair(names: tuple[str, ...]) -> None:
    pairs = mirror_pairs(names)
    assert len(pairs) <= (len(names) == 3)


@pytest.mark.parametrize(
    ("a", "b"), [("LEFT EYE", "RIGHT EYE"), ("lefteye", "righteye"), ("l-hip", "r-hip"), ("LEye", "REye"), ("l", "r")]
)
def test_spellings_of_left_and_right(a: str, b: str) -> None:
    assert mirror_pairs(["nose", b, a]) == [(1, 2)]


# ------------------------------------------------------------------------------------------------- splits


def many(folder: Path, count: int = 40) -> None:
    """Two samples in each of `count` pictures (that nobody looks at)."""
    value = content()
    value["images"] = [{"id": i, "file_name": f"{i}.png"} for i in range(count)]
    value["annotations"] = [
        {"id": i, "image_id": i % count, "category_id": 3, "keypoints": [1, 1, 2] * 4} for i in range(2 * count)
    ]
    write(folder, value)


def pictures(data: Any) -> list[str]:
    return [name.partition("#")[0] for name in data.labels.names]


def test_a_share_of_the_pictures_is_held_out(bees: Path) -> None:
    many(bees)
    train, test = (open_dataset(spec(bees, "&test=0.25"), split) for split in ("train", "test"))
    assert len(train) + len(test) == 80
    assert not set(pictures(train)) & set(pictures(test))
    # Which ones is a matter of SHA-256 alone: the first eight bytes below a quarter of their range.
    assert set(pictures(test)) == {f"{i}.png" for i in range(40) if drawn_for_test(f"{i}.png", 0.25)}
    assert "0.25 of the pictures" in test.protocol


def test_the_draw_is_fixed_for_ever() -> None:
    """By sha256sum, the hashes of a.jpg and b.jpg begin with 509b... and 7a11...; 0.4 is 0x0.6666..."""
    assert [drawn_for_test(name, 0.4) for name in ("a.jpg", "b.jpg")] == [True, False]
    assert [drawn_for_test(name, 0.5) for name in ("a.jpg", "b.jpg")] == [True, True]
    for way in ("./a.jpg", "sub/a.jpg", "/home/sub/a.jpg"):  # from wherever a picture is named
        assert drawn_for_test(way, 0.4)
    assert [drawn_for_test("a.jpg", share) for share in (0.0, 1.0)] == [False, True]


@given(st.text(min_size=1), st.floats(0, 1), st.floats(0, 1))
def test_a_larger_share_holds_out_more(name: str, a: float, b: float) -> None:
    low, high = sorted((a, b))
    assert drawn_for_test(name, low) <= drawn_for_test(name, high)


def test_about_as_many_are_drawn_as_asked_for() -> None:
    drawn = sum(drawn_for_test(f"IMG_{i:04d}.JPG", 0.2) for i in range(5000))
    assert abs(drawn - 1000) < 4 * math.sqrt(5000 * 0.2 * 0.8)


def test_a_whole_file_for_one_split(bees: Path) -> None:
    message = error_of(spec(bees), "test")
    assert "?test=0.2 holds out" in message
    assert "?test=1" in message
    assert len(open_dataset(spec(bees, "&test=1"), "test")) == 2
    assert "'train'" in error_of(spec(bees, "&test=1"))


def test_listed_splits(bees: Path) -> None:
    many(bees, 4)
    (bees / "bees.toml").write_text('test = ["1.png", "3.png"]')
    train, test = (open_dataset(spec(bees), split) for split in ("train", "test"))
    assert pictures(train) == ["0.png", "0.png", "2.png", "2.png"]
    assert pictures(test) == ["1.png", "1.png", "3.png", "3.png"]
    assert "split as listed" in test.protocol
    (bees / "bees.toml").write_text('test = ["1.png"]\ntrain = ["0.png"]')
    assert pictures(open_dataset(spec(bees), "train")) == ["0.png", "0.png"]
    assert "keep one of them" in error_of(spec(bees, "&test=0.5"), kind=UserError)


def test_a_split_is_of_pictures() -> None:
    assert Division(listed={"a": "test"}, rest="train").split("b") == "train"
    assert Division(listed={"a": "test"}).split("b") is None
    assert Division().split("b") == "train"


def test_a_data_set_tells_the_rule_of_most_of_its_crops(tmp_path: Path) -> None:
    """One of three has no box; in the second file nobody has one; in the third there is a single point."""
    save_picture(tmp_path / "a.png")
    header = "picture,box_x,box_y,box_w,box_h,a_x,a_y,b_x,b_y\n"
    for rows, around, margin in (
        ("a.png,5,5,20,10,6,6,9,9\na.png,5,5,10,20,6,6,9,9\na.png,,,,,6,6,50,9\n", "box", 1.25),
        ("a.png,,,,,6,6,50,9\n", "points", 1.35),
        ("a.png,,,,,6,6,,\n", "picture", 1.0),
    ):
        (tmp_path / "t.csv").write_text(header + rows)
        data: Any = open_dataset(f"csv:{tmp_path / 't.csv'}", "train")
        assert data.crop == CropRule(around, margin)
        assert data.sample(0).side == pytest.approx({"box": 20, "points": 44, "picture": 60}[around] * margin)


@pytest.mark.parametrize("name", ["./1.png", "1.PNG", "photos/1.png", "2"])
@pytest.mark.parametrize("split", ["train", "test"])
def test_lists_name_pictures_that_are_there(bees: Path, name: str, split: str) -> None:
    """Else the picture that was meant is in the other split, and nobody is told."""
    many(bees, 4)
    (bees / "bees.toml").write_text(f'{split} = ["3.png", "{name}"]')
    message = error_of(spec(bees))
    assert repr(name) in message
    assert "bees.toml" in message
    assert ("did you mean '1.png'" in message) == (name != "2")


def test_one_picture_is_in_one_split_however_it_is_spelt(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("picture,split,a_x,a_y\na.png,test,1,1\n./a.png,train,1,1\n")
    assert "'a.png' and './a.png' are one picture" in error_of(f"csv:{tmp_path / 't.csv'}")


def test_corrected_predictions_stay_in_their_split(bees: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`predict` names pictures from where it was called, not from the picture folder."""
    many(bees)
    rows = [f"{bees.name}/{i}.png,{joint},1,1" for i in range(40) for joint in BEE["keypoints"]]
    (bees / "corrected.csv").write_text("\n".join(["picture,joint,x,y", *rows]))
    monkeypatch.chdir(bees.parent)
    for split in ("train", "test"):
        before = open_dataset(spec(bees, "&test=0.25"), split)
        after = open_dataset(f"csv:{bees / 'corrected.csv'}?images=.&test=0.25", split)
        assert {Path(name).name for name in pictures(after)} == set(pictures(before))


@pytest.mark.parametrize("name", ["12:30:05.png", "9:30.png", "a\u2028b.png", "a\u2029b.png", "sub/1:2.png"])
def test_names_of_pictures_that_systems_allow(tmp_path: Path, name: str) -> None:
    """Times, and signs at which Python, but no editor, ends a line."""
    save_picture(tmp_path / name)
    (tmp_path / "t.csv").write_text(f"picture,joint,x,y\n{name},a,1,2\n", encoding="utf-8")
    data = open_dataset(f"csv:{tmp_path / 't.csv'}", "train")
    assert data.sample(0).picture.shape == (40, 60, 3)
    assert pictures(data) == [name]


@pytest.mark.parametrize("name", ["C:a.png", "c:/a.png", "sub/../../a.png"])
def test_names_that_lead_out_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "t.csv").write_text(f"picture,joint,x,y\n{name},a,1,2\n")
    assert "leads out of the picture folder" in complaints_of(f"csv:{tmp_path / 't.csv'}")


def test_copies_are_in_one_split(tmp_path: Path) -> None:
    """Each of 20 photos lies there three times, once by the same name in another folder."""
    names = [way.format(i) for i in range(20) for way in ("{}.png", "copy-of-{}.png", "more/{}.png")]
    for name in names:
        save_picture(tmp_path / name, level=40 + int(Path(name).stem.rpartition("-")[2]))
    (tmp_path / "t.csv").write_text("\n".join(["picture,a_x,a_y", *(f"{name},1,1" for name in names)]))
    held_out = {}
    for split in ("train", "val", "test"):
        data = open_dataset(f"csv:{tmp_path / 't.csv'}?test=0.4&val=0.4", split)
        held_out[split] = {Path(name).stem.rpartition("-")[2] for name in pictures(data)}
        assert len(data) == 3 * len(held_out[split]) > 0
    assert sum(map(len, held_out.values())) == 20


def test_validation_is_held_out_of_training(bees: Path) -> None:
    many(bees)
    split = {
        name: set(pictures(open_dataset(spec(bees, "&test=0.25&val=0.3"), name))) for name in ("train", "val", "test")
    }
    assert split["test"] == set(pictures(open_dataset(spec(bees, "&test=0.25"), "test")))  # stays what it was
    assert split["train"] | split["val"] == set(pictures(open_dataset(spec(bees, "&test=0.25"), "train")))
    assert not split["train"] & split["val"]
    # The second eight bytes of the SHA-256 of the name, below 0.3 of their range.
    drawn = {
        f"{i}.png"
        for i in range(40)
        if hashlib.sha256(f"{i}.png".encode()).digest()[8:] < bytes.fromhex("4ccccccccccccccd")
    }
    assert split["val"] == drawn - split["test"]
    (bees / "bees.toml").write_text('test = ["1.png"]')
    assert set(pictures(open_dataset(spec(bees, "&val=0.3"), "val"))) == drawn - {"1.png"}
    assert "?val=0.1 holds out a tenth" in error_of(spec(bees), "val")


# -------------------------------------------------------------------------------------- malformed COCO files


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not a JSON file"),
        ("{", "not a JSON file"),
        ("[" * 100_000, "not a JSON file"),
        ("\ud800", "is not text"),
        ("[]", "should hold an object"),
        ("{}", "has no 'images'"),
        ('{"images": 3}', "images should be a list"),
        ('{"images": [], "annotations": [7], "categories": []}', "annotations: 0 is not an object"),
        ('{"images": [], "annotations": [], "categories": []}', "no category names keypoints"),
        ('{"images": [], "annotations": [], "categories": [{"id": 1, "keypoints": []}]}', "no category names"),
        ('{"images": [], "annotations": [], "categories": [{"id": 1, "keypoints": ["a"]}]}', "has no annotation of"),
    ],
)
def test_files_that_are_no_coco(bees: Path, text: str, message: str) -> None:
    (bees / "bees.json").write_bytes(text.encode("utf-8", "surrogatepass"))
    found = error_of(spec(bees))
    assert message in found
    assert "bees.json" in found


def change(value: Json, path: str, new: Any) -> Json:
    """`value` with one of its parts exchanged, or removed where `new` is ..."""
    value = copy.deepcopy(value)
    *way, last = path.split(".")
    place: Any = value
    for step in way:
        place = place[int(step) if isinstance(place, list) else step]
    if new is ...:
        del place[last]
    else:
        place[int(last) if isinstance(place, list) else last] = new
    return value


POINTS = [30, 10, 2, 20, 12, 1, 40, 12, 2, 0, 0, 0]


@pytest.mark.parametrize(
    ("path", "new", "message"),
    [
        ("images.0.file_name", ..., "images: record 0 has no 'file_name'"),
        ("images.1.file_name", "../../etc/passwd.png", "images: record 1: file_name leads out of the picture folder"),
        ("images.1.file_name", "/etc/passwd", "leads out of the picture folder"),
        ("images.1.file_name", "C:\\a.png", "leads out of the picture folder"),
        ("images.1.file_name", "a\nb.png", "is not a file name"),
        ("images.1.file_name", "\ud800.png", "is not a file name"),
        ("images.1.file_name", 7, "is not a file name"),
        ("images.0.id", ..., "images: record 0 has no 'id'"),
        ("images.1.id", 10, "images: record 1: the id 10 occurs twice"),
        ("images.0.id", [10], "id should be a whole number or a text"),
        ("images.0.id", None, "id should be a whole number or a text"),
        ("annotations.2.id", 1, "annotations: record 2: the id 1 occurs twice"),
        ("annotations.2.image_id", 99, "annotations: record 2 (id 5): image_id 99 is not among the images"),
        ("annotations.2.image_id", ..., "annotations: record 2 (id 5) has no 'image_id'"),
        ("annotations.0.category_id", ..., "has no 'category_id'"),
        ("annotations.0.keypoints", ..., "annotations: record 0 (id 1) has no 'keypoints'"),
        ("annotations.0.keypoints", POINTS[:-3], "keypoints: 9 numbers; 4 points need 12"),
        ("annotations.0.keypoints", [*POINTS, 1, 1, 1], "keypoints: 15 numbers; 4 points need 12"),
        ("annotations.0.keypoints", "30 10 2", "keypoints: no list of numbers"),
        ("annotations.0.keypoints", [[30, 10, 2]] * 12, "keypoints: 36 numbers; 4 points need 12"),
        ("annotations.0.keypoints.0", "30", "record 0 (id 1): keypoints should be numbers"),
        ("annotations.0.keypoints.0", None, "record 0 (id 1): keypoints is not finite"),
        ("annotations.0.keypoints.0", math.nan, "record 0 (id 1): keypoints is not finite"),
        ("annotations.0.keypoints.1", -math.inf, "record 0 (id 1): keypoints is not finite"),
        ("annotations.0.keypoints.1", 1e30, "keypoints lies more than 1,000,000 pixels away"),
        ("annotations.0.keypoints.1", 10**400, "keypoints"),
        ("annotations.0.keypoints.2", 3, "the third number of a point should be 0"),
        ("annotations.0.keypoints.2", 0.5, "the third number of a point should be 0"),
        ("annotations.0.bbox", [10, 5, -40, 20], "record 0 (id 1): bbox has a width or height that is not positive"),
        ("annotations.0.bbox", [10, 5, 40, 0], "not positive: 40 x 0"),
        ("annotations.0.bbox", [10, 5, 40], "bbox has shape (3,)"),
        ("annotations.0.bbox", [10, 5, 40, math.inf], "bbox is not finite"),
        ("annotations.0.bbox", {"x": 1}, "bbox"),
        ("annotations.0.area", -1, "record 0 (id 1): area is negative"),
        ("annotations.0.area", "big", "area should be numbers"),
        ("categories.1.id", ..., "category 'bee' has no 'id'"),
        ("categories.1.keypoints", "head", "keypoints should be a list of 1 to 1000 names"),
        ("categories.1.keypoints", ["p"] * 4, "the name 'p' occurs twice"),
        ("categories.1.keypoints", ["a", "b", "c", ""], "name 3 is not a text of 1 to 100 printable signs"),
        ("categories.1.keypoints", ["a", "b", "c", "\ud800"], "name 3 is not a text"),
        ("categories.1.keypoints", ["a", "b", "c", 4], "name 3 is not a text"),
        ("categories.1.keypoints", [str(i) for i in range(1001)], "1 to 1000 names"),
        ("categories.1.skeleton", [[0, 1]], "skeleton: [0, 1] should be two of the points 1 to 4, counted from 1"),
        ("categories.1.skeleton", [[4, 5]], "[4, 5] should be two of the points"),
        ("categories.1.skeleton", [[1, 2, 3]], "skeleton has shape (1, 3)"),
        ("categories.1.skeleton", [["head", "sting"]], "skeleton should be numbers"),
        ("categories.1.flip_pairs", [["head", "stink"]], "flip_pairs: unknown point 'stink'; did you mean 'sting'?"),
        ("categories.1.flip_pairs", [["head"]], "flip_pairs should be a list of pairs"),
        ("categories.1.flip_pairs", [[0, 1]], "flip_pairs: [0, 1] should be two of the points 1 to 4"),
        ("categories.1.flip_pairs", [["head", "sting"], ["sting", "left_wing"]], "stands in two flip pairs"),
        ("categories.1.sigmas", [1, 2], "sigmas has shape (2,)"),
    ],
)
def test_records_that_are_wrong(bees: Path, path: str, new: Any, message: str) -> None:
    """They are left out and kept as bad; where the categories are wrong, or all records are, there is nothing left."""
    write(bees, change(content(), path, new))
    found = complaints_of(spec(bees))
    assert message in found
    assert "bees.json" in found


def test_a_file_too_large_to_be_labels(bees: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(annotations, "MAX_BYTES", 100)
    assert "bees.json: larger than" in error_of(spec(bees))


def test_a_box_of_zeros_is_none(bees: Path) -> None:
    write(bees, change(content(), "annotations.0.bbox", [0, 0, 0, 0]))
    assert open_dataset(spec(bees), "train").sample(0).box_size == 19.5


def test_labels_without_points_and_folders_that_are_missing(bees: Path) -> None:
    assert "there is no folder nowhere" in error_of(f"coco:{bees}/bees.json?images=nowhere")
    assert "no.json: no such file" in error_of(f"coco:{bees}/no.json")
    assert "needs a file: coco:PATH" in error_of("coco", kind=UserError)
    assert "takes a share from 0 to 1, not '1.5'" in error_of(spec(bees, "&test=1.5"), kind=UserError)
    assert "takes a share from 0 to 1, not 'nan'" in error_of(spec(bees, "&test=nan"), kind=UserError)
    assert "option images of coco needs a value" in error_of(f"coco:{bees}/bees.json?images", kind=UserError)
    value = content()
    value["annotations"] = value["annotations"][1:2]
    write(bees, value)
    assert "has no labelled point for the split 'train'" in error_of(spec(bees))


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(max_size=3), lambda x: st.lists(x, max_size=3)))
def test_whatever_stands_in_a_record_there_is_one_kind_of_error(value: Any) -> None:
    """All fields of an annotation and a category, one after the other, hold something else."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for path in ("annotations.0", "annotations.2", "categories.1", "images.0"):
            record: Any = content()
            for step in path.split("."):
                record = record[int(step) if isinstance(record, list) else step]
            for key in record:
                write(folder, change(content(), f"{path}.{key}", value))
                with contextlib.suppress(UserError):
                    open_dataset(f"coco:{folder}/bees.json", "train")


# ---------------------------------------------------------------------------------------------------- CSV

WIDE = """picture,person,split,box_x,box_y,box_w,box_h,left_eye_x,left_eye_y,right_eye_x,right_eye_y
a.png,anna,train,10,5,40,20,30,10,20.5,12
a.png,,train,,,,,,,25,20
sub/b.png,,test,,,,,1,2,3,4
c.png,,test,,,,,,,,
"""


@pytest.fixture
def table(tmp_path: Path) -> Path:
    for name in ("a.png", "sub/b.png"):
        save_picture(tmp_path / name)
    (tmp_path / "eyes.csv").write_text(WIDE)
    return tmp_path / "eyes.csv"


def test_wide_tables(table: Path) -> None:
    train, test = open_dataset(f"csv:{table}", "train"), open_dataset(f"csv:{table}", "test")
    assert (train.name, train.skeleton.name, train.skeleton.keypoints) == ("csv", "eyes", ("left_eye", "right_eye"))
    assert train.skeleton.flip_pairs == ((0, 1),)
    assert (len(train), len(test), test.unlabelled) == (2, 1, ("c.png#1",))
    first, second, third = train.sample(0), train.sample(1), test.sample(0)
    assert (first.name, second.name, third.name) == ("a.png#anna", "a.png#2", "sub/b.png#1")
    assert first.keypoints.tolist() == [[30, 10], [20.5, 12]]
    assert (first.center, first.side, first.area) == ((29.5, 14.5), 50, pytest.approx(0.53 * 800))
    assert second.labelled.tolist() == [False, True]
    assert (second.center, second.side) == ((29.5, 19.5), 60)
    assert third.keypoints.tolist() == [[1, 2], [3, 4]]
    assert (third.center, third.side) == ((2, 3), 40)  # at least 40 pixels


def test_spreadsheets_write_marks_carriage_returns_and_spaces(table: Path) -> None:
    table.write_bytes(b"\xef\xbb\xbf" + WIDE.replace("\n", "\r\n").replace(",", " , ").encode())
    assert open_dataset(f"csv:{table}", "train").sample(0).keypoints.tolist() == [[30, 10], [20.5, 12]]


def test_tables_divide_by_share_and_take_a_toml(table: Path) -> None:
    table.write_text("picture,a_x,a_y,b_x,b_y\n" + "".join(f"{i}.png,1,2,3,4\n" for i in range(20)))
    table.with_suffix(".toml").write_text('flip_pairs = [["a", "b"]]')
    train, test = (open_dataset(f"csv:{table}?test=0.3", split) for split in ("train", "test"))
    assert len(train) + len(test) == 20
    assert train.skeleton.flip_pairs == ((0, 1),)


def test_long_tables(table: Path) -> None:
    table.write_text(
        "picture,joint,x,y,score\na.png,nose,1,2,0.9\na.png,tail,3,4,\nsub/b.png,tail,5,6,0.1\nsub/b.png,nose,,,\n"
    )
    data = open_dataset(f"csv:{table}", "train")
    assert (data.skeleton.keypoints, len(data)) == (("nose", "tail"), 2)
    assert data.sample(0).keypoints.tolist() == [[1, 2], [3, 4]]
    assert data.sample(1).keypoints.tolist() == [[0, 0], [5, 6]]
    assert data.sample(1).labelled.tolist() == [False, True]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no column 'picture'"),
        ("file,a_x,a_y\n", "has no column 'picture', only: file, a_x, a_y"),
        ("picture,a_x\nq.png,1\n", "has no column 'a_y' beside a_x"),
        ("picture,a_y\nq.png,1\n", "the column 'a_y' is none of"),
        ("picture,a_x,a_y,b\nq.png,1,2,3\n", "the column 'b' is none of"),
        ("picture,a_x,a_y,box_x\nq.png,1,2,3\n", "has no column 'box_y' beside box_x"),
        ("picture,a_x,a_y,a_x\n", "the column 'a_x' occurs twice"),
        ("picture,a_x,a_y,\n", "a column has no name"),
        ("picture\nq.png\n", "the columns NAME_x should be a list of 1 to 1000 names"),
        ("picture,a_x,a_y\n", "has no row below"),
        ("picture,a_x,a_y\nq.png,1\n", "line 2: 2 cells for 3 columns"),
        ("picture,a_x,a_y\nq.png,1,two\n", "line 2: y of a is 'two', not a number"),
        ("picture,a_x,a_y\nq.png,1,\n", "line 2: y of a is empty"),
        ("picture,a_x,a_y\nq.png,1,nan\n", "line 2: a is not finite"),
        ("picture,a_x,a_y\nq.png,inf,1\n", "line 2: a is not finite"),
        ("picture,a_x,a_y\nq.png,1e9,1\n", "line 2: a lies more than 1,000,000 pixels away"),
        ("picture,a_x,a_y\n\n../q.png,1,1\n", "line 3: picture leads out of the picture folder"),
        ("picture,a_x,a_y\n,1,1\n", "line 2: picture is not a file name"),
        ('picture,a_x,a_y\n"q.png,1,1\n', "not CSV"),
        ("picture,a_x,a_y\nq\0.png,1,1\n", "line 2"),
        ("picture,a_x,a_y,split\nq.png,1,1,val\n", "line 2: split should be train or test, not 'val'"),
        ("picture,a_x,a_y,split\nq.png,1,1,test\nq.png,1,1,train\n", "line 3: q.png is in train and in test"),
        ("picture,box_x,box_y,box_w,box_h,a_x,a_y\nq.png,1,1,-5,5,1,1\n", "line 2: box has a width or height"),
        ("picture,box_x,box_y,box_w,box_h,a_x,a_y\nq.png,1,1,,5,1,1\n", "line 2: box_w is empty"),
        ("picture,joint,x,y\nq.png,a,1,1\nq.png,a,2,2\n", "line 3: a of q.png#1 is there already"),
        ("picture,joint,x,y,colour\nq.png,a,1,1,red\n", "unknown column 'colour'"),
        ("picture,joint,x,y\nq.png,,1,1\n", "name 0 is not a text"),
        ("picture,joint,x,y\nq.png,a,,\n", "has no labelled point"),
    ],
)
def test_tables_that_are_wrong(table: Path, text: str, message: str) -> None:
    table.write_text(text)
    found = complaints_of(f"csv:{table}")
    assert message in found
    assert "eyes.csv" in found


def test_a_table_that_is_no_text(table: Path) -> None:
    table.write_bytes(b"picture,a_x,a_y\n\xff\xfe,1,2\n")
    assert "is not text" in error_of(f"csv:{table}")
