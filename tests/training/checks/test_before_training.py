"""What a run finds in labels before it trains on them: one line per kind, and no training on nonsense."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from training import data as command
from training import pose
from training.checks.before import check_before_training
from training.checks.faults import ERRORS, WARNINGS, in_shares
from training.checks.labels import quick_check
from training.datasets import open_dataset
from training.datasets.drawn.synthetic import SyntheticFigures
from training.errors import DataError

Json = dict[str, Any]
PLACES = [[10, 5], [50, 30.5], [20, 30]]


def save_picture(path: Path, width: int = 60, height: int = 40, orientation: int = 1) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.full((height, width, 3), 90, np.uint8)).save(path, exif=exif)


def content(count: int = 8) -> Json:
    """Bees in as many pictures."""
    points = [number for x, y in PLACES for number in (x, y, 2)]
    return {
        "images": [{"id": n, "file_name": f"{n}.png", "width": 60, "height": 40} for n in range(count)],
        "annotations": [{"id": n, "image_id": n, "category_id": 3, "keypoints": list(points)} for n in range(count)],
        "categories": [{"id": 3, "name": "bee", "keypoints": ["head", "left_wing", "right_wing"]}],
    }


@pytest.fixture
def bees(tmp_path: Path) -> Path:
    for number in range(8):
        save_picture(tmp_path / f"{number}.png")
    return tmp_path


def spec(folder: Path, value: Json, options: str = "") -> str:
    (folder / "bees.json").write_text(json.dumps(value))
    return f"coco:{folder}/bees.json{options}"


def said(name: str, most: float = 0.5) -> list[str]:
    lines: list[str] = []
    check_before_training([(name, open_dataset(name, "train"))], most, lines.append)
    return lines


def refusal(name: str, most: float = 0.5) -> str:
    with pytest.raises(DataError) as caught:
        said(name, most)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_good_labels_are_passed_over_in_silence(bees: Path) -> None:
    assert said(spec(bees, content())) == []
    assert quick_check([("synthetic", SyntheticFigures("train", 4))]) == []


def test_one_line_for_each_kind(bees: Path) -> None:
    value = content()
    value["annotations"][0]["keypoints"][0] = 75
    value["annotations"][1]["keypoints"][0] = 70
    value["annotations"][2]["keypoints"][:3] = [0, 0, 2]
    value["annotations"][3]["bbox"] = [1, 1, 0, 5]
    value["annotations"][4]["keypoints"] = [5, 5, 2] * 3
    (bees / "5.png").unlink()
    value["images"].append({"id": 99, "file_name": "99.png"})
    lines = said(spec(bees, value))
    assert [line.partition(",")[0] for line in lines] == [
        f"error: 1 {ERRORS['bad record'].partition(',')[0]}",
        f"error: 1 {ERRORS['unreadable']}",
        f"warning: 1 {WARNINGS['origin'].partition(',')[0]}",
        f"warning: 2 {WARNINGS['outside']}",
        f"warning: 1 {WARNINGS['collapsed']}",
        f"warning: 1 {WARNINGS['unlabelled'].partition(',')[0]}",
    ]
    assert "e.g. 0.png#0: head at 75, 5 is 16 pixels outside the picture of 60 x 40" in lines[3]
    assert all("\n" not in line for line in lines)


def test_shares_of_the_picture_are_named_and_refused(bees: Path) -> None:
    value = content()
    for annotation in value["annotations"]:
        annotation["keypoints"] = [0.1, 0.25, 2, 0.5, 0.75, 2, 1, 0.5, 1]
    name = spec(bees, value)
    message = refusal(name)
    assert "shares of the picture, from 0 to 1" in message
    assert "8 of 8 samples lie from 0 to 1, the first 0.png#0: multiply x by the width and y by the height" in message
    assert command.main(["check", name, "--quiet", "--out", str(bees / "out")]) == 3
    report = json.loads((bees / "out/check.json").read_text())
    assert (report["counts"]["fractions"], report["counts"]["collapsed"]) == (1, 8)
    assert sum("are these shares, 0 to 1?" in finding["message"] for finding in report["findings"]) == 8


def test_what_are_shares() -> None:
    nan = [np.nan, np.nan]
    points = np.array([[[0, 0.5], [1, 1]], [[0, 0], [1, 1]], [[0.5, 0.5], [1, 2]], [[0.5, 1], nan], [nan, nan]])
    assert in_shares(points).tolist() == [True, False, False, True, False]


def test_pictures_of_another_size_are_refused_unless_scaled(bees: Path) -> None:
    save_picture(bees / "3.png", 120, 80)
    message = refusal(spec(bees, content()))
    assert message.startswith(
        "1 pictures of another size than they were labelled at, the first: 3.png: labelled at 60 x 40"
    )
    assert "the picture has 120 x 80: ?rescale=yes scales the labels" in message
    assert said(spec(bees, content(), "?rescale=yes")) == []
    assert command.main(["check", spec(bees, content()), "--quiet", "--out", str(bees / "out")]) == 3
    report = json.loads((bees / "out/check.json").read_text())
    assert report["counts"]["size"] == 1
    assert "unreadable" not in report["counts"]


def test_labels_of_stored_pixels_are_refused_unless_taken_so(bees: Path) -> None:
    for number in range(8):
        save_picture(bees / f"{number}.png", orientation=6)
    assert refusal(spec(bees, content())).startswith(
        "8 pictures that their EXIF tag turns, unlike their labels, the first"
    )
    assert said(spec(bees, content(), "?exif=ignore")) == []


@pytest.mark.parametrize(("height", "kind"), [(20, "turned"), (19, "turned"), (18, "size")])
def test_a_smaller_picture_has_the_same_shape_up_to_a_pixel(bees: Path, height: int, kind: str) -> None:
    """Half of 60 x 40, cut off to 30 x 19, is still the stored picture, which its tag turns to 40 x 60."""
    save_picture(bees / "3.png", orientation=6)
    value = content()
    value["images"][3] |= {"width": 30, "height": height}
    assert refusal(spec(bees, value)).startswith(f"1 {ERRORS[kind]}, the first: 3.png: labelled at 30 x {height}")


def test_where_no_size_is_told_points_outside_show_that_a_tag_was_not_heeded(bees: Path) -> None:
    for number in range(8):
        save_picture(bees / f"{number}.png", orientation=6)
    value = content()
    for image in value["images"]:
        del image["width"]
    assert "its points fit 60 x 40, and its EXIF tag turns it to 40 x 60: ?exif=ignore" in refusal(spec(bees, value))
    for annotation in value["annotations"]:
        annotation["keypoints"][3] = 30  # fits either way
    (line,) = said(spec(bees, value))
    assert line.startswith("warning: 8 pictures that their EXIF tag turns, and labels that do not say")
    assert said(spec(bees, value, "?exif=apply")) == said(spec(bees, value, "?exif=ignore")) == []


def test_a_half_turn_shows_in_no_size(bees: Path) -> None:
    save_picture(bees / "2.png", orientation=3)
    (line,) = said(spec(bees, content()))
    assert "e.g. 2.png: its EXIF tag 3 turns it; it is read upright" in line


def test_the_corner_of_a_tool_is_the_origin(bees: Path) -> None:
    shapes = [
        {"label": name, "shape_type": "point", "group_id": None, "points": [[x, y]]}
        for name, (x, y) in {"left_eye": (0, 0), "right_eye": (55, 30), "nose": (30.0, 35.5)}.items()
    ]
    record = {"shapes": shapes, "imagePath": "0.png", "imageWidth": 60, "imageHeight": 40}
    (bees / "0.json").write_text(json.dumps(record))
    assert [line.partition(", e.g. ")[2] for line in said(f"labelme:{bees}")] == [
        "0.png#1: left_eye is at exactly 0, 0"
    ]


def test_too_many_bad_records_are_refused(bees: Path) -> None:
    """One is always allowed, unless none is."""
    value = content()
    value["annotations"][0]["keypoints"] = None
    name = spec(bees, value)
    assert len(said(name, 0.01)) == 1
    assert refusal(name, 0).startswith(f"{name} (train): 1 of 8 records cannot be read, more than data.max_bad = 0 ")
    value["annotations"][1]["keypoints"] = None
    name = spec(bees, value)
    assert refusal(name, 0.2).startswith(f"{name} (train): 2 of 8 records cannot be read, more than data.max_bad = 0.2")
    assert "record 0 (id 0): keypoints: no list of numbers" in refusal(name, 0.2)
    assert len(said(name, 0.25)) == 1


TINY = ["model.features=16", "model.depth=1", "data.size=32", "optim.batch_size=2", "optim.steps=2", "data.workers=0"]


def test_a_run_says_it_once_and_lists_bad_records(bees: Path, capsys: pytest.CaptureFixture[str]) -> None:
    value = content()
    value["annotations"][0]["bbox"] = [1, 1, 0, 5]
    name = spec(bees, value, "?test=0.4")
    words = ["--data", name, "--threads", "1", "--out", str(bees / "run"), "--set", *TINY]
    assert pose.main([*words, "data.max_bad=0.5"]) == 0
    printed = capsys.readouterr().err
    assert printed.count("error: 1 records that cannot be read, and are left out, e.g. ") == 1
    rows = (bees / "run/bad_records.csv").read_text().splitlines()
    assert rows[0] == "record,reason"
    assert rows[1].endswith("record 0 (id 0),bbox has a width or height that is not positive: 0 x 5")
    words[words.index("--out") + 1] += "2"
    assert pose.main([*words, "data.max_bad=0"]) == 3
    assert "records cannot be read, more than data.max_bad = 0 " in capsys.readouterr().err


def test_an_evaluation_looks_at_its_labels_as_well(bees: Path, capsys: pytest.CaptureFixture[str]) -> None:
    value = content()
    value["annotations"][0]["keypoints"] = None
    run = bees / "run"
    tiny = ["--threads", "1", "--quiet", "--set", *TINY, "data.max_bad=0.5"]
    assert (
        pose.main(["--data", spec(bees, value), "--test", f"coco:{bees}/bees.json?test=0.4", "--out", str(run), *tiny])
        == 0
    )
    capsys.readouterr()
    ask = ["eval", str(run), "--split", "train", "--data"]
    assert pose.main([*ask, spec(bees, value)]) == 0
    printed = capsys.readouterr().err
    assert "error: 1 records that cannot be read" in printed
    assert "left out: " in printed
    for annotation in value["annotations"][1:]:
        annotation["keypoints"] = [0.1, 0.25, 2, 0.5, 0.75, 2, 1, 0.5, 1]
    assert pose.main([*ask, spec(bees, value)]) == 3
    assert "shares of the picture, from 0 to 1" in capsys.readouterr().err
