"""COCO files as tools really write them: the right numbers, or one clear line, and nothing silent."""

import contextlib
import copy
import json
import math
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from training import data as command
from training.datasets import OWN_KINDS, POSE_KINDS, open_dataset
from training.datasets.kinds import describe_kinds, kinds_table
from training.datasets.own.fitting import scaled, scaled_box
from training.datasets.own.labels import OwnSamples
from training.errors import DataError, Misfit, UserError

Json = dict[str, Any]


def save_picture(path: Path, width: int = 60, height: int = 40, orientation: int = 1) -> None:
    """A picture, black but for a white left upper quarter; `orientation` as its EXIF tag."""
    path.parent.mkdir(parents=True, exist_ok=True)
    levels = np.zeros((height, width, 3), np.uint8)
    levels[: height // 2, : width // 2] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(levels).save(path, exif=exif)


def content() -> Json:
    return {
        "images": [{"id": n, "file_name": f"{n}.png", "width": 60, "height": 40} for n in (1, 2)],
        "annotations": [
            {"id": n, "image_id": n, "category_id": 3, "keypoints": [10, 5, 2, 50, 30.5, 1], "bbox": [5, 4, 50, 30]}
            for n in (1, 2)
        ],
        "categories": [{"id": 3, "name": "bee", "keypoints": ["head", "sting"], "skeleton": [[1, 2]]}],
    }


def opened(folder: Path, value: Json, options: str = "") -> OwnSamples:
    for image in value["images"]:
        name = str(image["file_name"]).replace("\\", "/").rpartition("/")[2]
        if not (folder / name).exists():
            save_picture(folder / name)
    (folder / "bees.json").write_text(json.dumps(value))
    data = open_dataset(f"coco:{folder}/bees.json{options}", "train")
    assert isinstance(data, OwnSamples)
    return data


# ----------------------------------------------------------------------------------------- read without need


def whole_numbers_with_a_point(value: Json) -> None:
    for record in (*value["images"], *value["annotations"], *value["categories"]):
        for key in ("id", "image_id", "category_id"):
            if key in record:
                record[key] = float(record[key])


def nested(value: Json) -> None:
    for annotation in value["annotations"]:
        flat = annotation["keypoints"]
        annotation["keypoints"] = [flat[:3], flat[3:]]


def windows(value: Json) -> None:
    value["images"][0]["file_name"] = ".\\1.png"


@pytest.mark.parametrize("change", [whole_numbers_with_a_point, nested, windows])
def test_other_spellings_are_read_the_same(tmp_path: Path, change: Callable[[Json], None]) -> None:
    plain, other = content(), content()
    change(other)
    before, after = opened(tmp_path, plain), opened(tmp_path, other)
    assert after.bad_records == after.remarks == ()
    assert [name.replace("./", "") for name in after.labels.names] == list(before.labels.names)
    assert np.array_equal(after.labels.keypoints, before.labels.keypoints)
    assert after.sample(0).picture.shape == (40, 60, 3)


def test_a_backslash_is_a_slash(tmp_path: Path) -> None:
    value = content()
    value["images"][0]["file_name"] = "sub\\1.png"
    save_picture(tmp_path / "sub/1.png")
    assert opened(tmp_path, value).labels.files == ("sub/1.png", "2.png")


@pytest.mark.parametrize("name", ["/home/anna/1.png", "C:\\photos\\1.png", "../photos/1.png"])
def test_names_that_lead_out_of_the_folder_may_be_cut(tmp_path: Path, name: str) -> None:
    value = content()
    value["images"][0]["file_name"] = name
    data = opened(tmp_path, value)
    image, annotation = data.bad_records
    assert image.reason.endswith("?names=base looks for '1.png' in that folder")
    assert annotation.reason == "the record of its picture is bad"
    data = opened(tmp_path, value, "?names=base")
    assert (data.labels.files, data.bad_records) == (("1.png", "2.png"), ())
    value["images"][1]["file_name"] = "/home/bert/1.png"
    with pytest.raises(DataError, match=r"are both '1\.png' by \?names=base"):
        opened(tmp_path, value, "?names=base")


def test_a_category_without_names_has_numbers(tmp_path: Path) -> None:
    value = content()
    value["categories"][0] = {"id": 3, "name": "bee"}
    data = opened(tmp_path, value)
    assert data.skeleton.keypoints == ("1", "2")
    assert data.sample(0).keypoints.tolist() == [[10, 5], [50, 30.5]]
    (remark,) = data.remarks
    assert (remark.kind, remark.message) == ("unnamed", "its 2 points have no names and are called 1 to 2")


def test_categories_with_the_same_points_are_one(tmp_path: Path) -> None:
    value = content()
    value["categories"].append(value["categories"][0] | {"id": 4, "name": "wasp"})
    value["annotations"][1]["category_id"] = 4
    data = opened(tmp_path, value)
    assert (len(data), data.skeleton.name) == (2, "bee+wasp")
    assert len(opened(tmp_path, value, "?category=wasp")) == 1
    value["categories"][1]["keypoints"] = ["sting", "head"]
    with pytest.raises(UserError, match="choose one by"):
        opened(tmp_path, value)


def test_a_point_flagged_at_the_origin_is_left_out(tmp_path: Path) -> None:
    value = content()
    value["annotations"][0]["keypoints"][:3] = [0, 0, 2]
    data = opened(tmp_path, value)
    assert data.sample(0).labelled.tolist() == [False, True]
    (remark,) = data.remarks
    assert (remark.kind, remark.name) == ("origin", "1.png#1")
    assert remark.message.startswith("head is flagged as labelled at 0, 0")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"bbox": [5, 4, 0, 30]}, "bbox has a width or height that is not positive: 0 x 30"),
        ({"keypoints": None}, "keypoints: no list of numbers; 2 points need 6: x, y, flag for each"),
        ({"keypoints": [10, 5, 2, math.nan, 1, 2]}, "keypoints is not finite"),
        ({"keypoints": [10, None, 2, 1, 1, 2]}, "keypoints is not finite"),
        ({"keypoints": []}, "keypoints: 0 numbers; 2 points need 6: x, y, flag for each"),
        ({"image_id": 77}, "image_id 77 is not among the images"),
    ],
)
def test_one_bad_record_does_not_refuse_the_others(tmp_path: Path, change: Json, reason: str) -> None:
    value = content()
    value["annotations"][0] |= change
    data = opened(tmp_path, value)
    assert data.labels.names == ("2.png#2",)
    (bad,) = data.bad_records
    assert bad.name.endswith("bees.json: annotations: record 0 (id 1)")
    assert bad.reason == reason


@pytest.mark.parametrize("options", ["", "?test=0.5", "?test=1"])
def test_a_record_of_no_known_picture_is_told_once(tmp_path: Path, options: str) -> None:
    value = content()
    value["images"] += [{"id": n, "file_name": f"{n}.png"} for n in range(3, 9)]
    value["annotations"] += [value["annotations"][0] | {"id": n, "image_id": n} for n in range(3, 9)]
    value["annotations"].append(value["annotations"][0] | {"id": 99, "image_id": 99})
    (tmp_path / "bees.json").write_text(json.dumps(value))
    told = 0
    for split in ("train", "test"):
        with contextlib.suppress(DataError):
            data: Any = open_dataset(f"coco:{tmp_path}/bees.json{options}", split)
            told += len(data.bad_records)
    assert told == 1


def test_a_file_of_bad_records_names_the_first(tmp_path: Path) -> None:
    value = content()
    for annotation in value["annotations"]:
        del annotation["keypoints"]
    with pytest.raises(DataError, match=r"2 records are bad, the first one: .*record 0 \(id 1\) has no 'keypoints'"):
        opened(tmp_path, value)


# ------------------------------------------------------------------------------------------------ sizes, EXIF


def test_a_picture_that_was_resized(tmp_path: Path) -> None:
    """Labels of 60 x 40 on a picture of 120 x 60: refused, scaled or taken as they are, as the user says."""
    save_picture(tmp_path / "1.png", 120, 60)
    with pytest.raises(Misfit, match=r"labelled at 60 x 40, the picture has 120 x 60: \?rescale=yes") as caught:
        opened(tmp_path, content()).sample(0)
    assert (caught.value.kind, pickle.loads(pickle.dumps(caught.value)).kind) == ("size", "size")
    sample = opened(tmp_path, content(), "?rescale=yes").sample(0)
    # The first pixel's corner stays at -0.5: 10.5 from the left becomes 21.
    np.testing.assert_allclose(sample.keypoints, [[20.5, 7.75], [100.5, 46]], atol=1e-5)
    assert (sample.box_size, sample.center) == (100, (10 + 99 / 2, 6 + 44 / 2))
    assert sample.area == pytest.approx(0.53 * 100 * 45)
    assert opened(tmp_path, content(), "?rescale=no").sample(0).keypoints.tolist() == [[10, 5], [50, 30.5]]
    assert opened(tmp_path, content(), "?rescale=yes").sample(1).keypoints.tolist() == [[10, 5], [50, 30.5]]


@pytest.mark.parametrize("zoom", [(1.0, 1.0), (0.5, 1.0), (1.0, 0.5), (2.0, 3.0)])
def test_points_and_boxes_grow_from_the_corner(zoom: tuple[float, float]) -> None:
    """By hand for the pixel (3, 7), whose middle is 3.5 and 7.5 from the corner, and a box as far from there."""
    x, y = zoom
    assert scaled(np.array([[3.0, 7.0]]), zoom).tolist() == [[3.5 * x - 0.5, 7.5 * y - 0.5]]
    assert scaled_box(np.array([2.0, 4.0, 10.0, 20.0]), zoom).tolist() == [2 * x, 4 * y, 10 * x, 20 * y]


def test_labels_of_a_picture_as_stored(tmp_path: Path) -> None:
    """Stored as 60 x 40, turned by its tag to 40 x 60: the head in the white quarter as stored stays there."""
    save_picture(tmp_path / "1.jpg", orientation=6)
    value = content()
    value["images"][0]["file_name"] = "1.jpg"
    message = r"labelled at 60 x 40, and its EXIF tag turns it to 40 x 60: \?exif=ignore"
    for options in ("", "?rescale=yes"):  # stretching would hide it
        with pytest.raises(Misfit, match=message) as caught:
            opened(tmp_path, value, options).sample(0)
        assert caught.value.kind == "turned"
    sample = opened(tmp_path, value, "?exif=ignore").sample(0)
    assert sample.picture.shape == (40, 60, 3)
    assert sample.picture[5, 10, 0] > 200
    assert sample.keypoints[0].tolist() == [10, 5]
    assert opened(tmp_path, value, "?exif=apply").sample(0).picture.shape == (60, 40, 3)


def test_labels_of_an_upright_picture(tmp_path: Path) -> None:
    save_picture(tmp_path / "1.jpg", orientation=8)
    value = content()
    value["images"][0] |= {"file_name": "1.jpg", "width": 40, "height": 60}
    assert opened(tmp_path, value).sample(0).picture.shape == (60, 40, 3)
    value["images"][0] |= {"width": 20, "height": 30}
    assert opened(tmp_path, value, "?rescale=yes").sample(0).keypoints[0].tolist() == [20.5, 10.5]


@pytest.mark.parametrize("size", [(0, 0), (None, None), ("60", "40"), (1e30, 3)])
def test_sizes_that_say_nothing(tmp_path: Path, size: tuple[Any, Any]) -> None:
    save_picture(tmp_path / "1.png", 120, 60)
    value = content()
    value["images"][0] |= {"width": size[0], "height": size[1]}
    assert opened(tmp_path, value).sample(0).keypoints.tolist() == [[10, 5], [50, 30.5]]


def test_outlines_are_samples_without_pixels(tmp_path: Path) -> None:
    data = opened(tmp_path, content())
    sample, outline = data.sample(0), data.outline(0, data.header("1.png"))
    assert outline.picture.shape == sample.picture.shape
    for name in ("center", "side", "area", "box_size", "name"):
        assert getattr(outline, name) == getattr(sample, name)
    assert np.array_equal(outline.keypoints, sample.keypoints)


# ------------------------------------------------------------------------------------------------------ help


def test_kinds_describe_themselves() -> None:
    text = describe_kinds(POSE_KINDS)
    lines = text.splitlines()
    for name, kind in POSE_KINDS.items():
        assert any(line.startswith(f"  {name}") for line in lines)
        for key, option in kind.options.items():
            assert any(line.lstrip().startswith(f"?{key}={option.value} ") for line in lines)
    assert sum("?images=FOLDER" in line for line in lines) == 1  # what all share is said once
    assert f"options of {', '.join(OWN_KINDS)}:" in lines
    assert "?labels=crowd|teacher" in text


def test_the_page_of_data_sets_says_the_same() -> None:
    root = Path(__file__).parents[3]
    page = (root / "docs" / "data.md").read_text(encoding="utf-8")
    assert kinds_table(command.KINDS) in page, "run python docs/data_sets.py"


def test_labels_are_not_changed_by_reading(tmp_path: Path) -> None:
    value = content()
    before = copy.deepcopy(value)
    opened(tmp_path, value)
    assert value == before
