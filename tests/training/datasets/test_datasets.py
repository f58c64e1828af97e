import json
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy import io

from tests.data_sets import DATA, check_sample, error_of, needs_data
from training.datasets import open_dataset
from training.errors import BadPicture, UserError
from training.labels.skeletons import LSP, MPII

Json = dict[str, Any]


def save_picture(path: Path, width: int, height: int) -> None:
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(np.full((height, width, 3), 90, np.uint8)).save(path)


# ---------------------------------------------------------------------------------------------------- LSP


def lsp_labels(count: int = 1003) -> NDArray[np.float64]:
    """(3, 14, N) as published: joint j of picture n at (10 + j + n/1000, 20 + 2j), odd ones occluded."""
    labels = np.zeros((3, 14, count))
    labels[0] = 10 + np.arange(14)[:, None] + np.arange(count) / 1000
    labels[1] = 20 + 2 * np.arange(14)[:, None]
    labels[2] = np.arange(14)[:, None] % 2
    return labels


@pytest.fixture
def lsp(tmp_path: Path) -> Path:
    io.savemat(tmp_path / "joints.mat", {"joints": lsp_labels()})
    save_picture(tmp_path / "images" / "im0001.jpg", 60, 81)
    save_picture(tmp_path / "images" / "im1002.jpg", 100, 40)
    return tmp_path


def test_lsp_splits_at_one_thousand(lsp: Path) -> None:
    train, test = open_dataset(f"lsp:{lsp}", "train"), open_dataset(f"lsp:{lsp}", "test")
    assert (train.name, train.split, len(train), train.skeleton) == ("lsp", "train", 1000, LSP)
    assert (test.name, test.split, len(test)) == ("lsp", "test", 3)
    assert "pictures 1-1000" in train.protocol
    assert "pictures 1001-1003" in test.protocol
    assert "whole picture" in test.protocol


def test_lsp_person(lsp: Path) -> None:
    data = open_dataset(f"lsp:{lsp}", "train")
    person = data.sample(0)
    assert person.name == "im0001.jpg"
    assert person.picture.shape == (81, 60, 3)
    assert person.labelled.all()  # also the occluded ones
    np.testing.assert_array_equal(person.keypoints[:, 0], 9 + np.arange(14))  # MATLAB counts from 1
    np.testing.assert_array_equal(person.keypoints[:, 1], 19 + 2 * np.arange(14))
    assert person.center == (29.5, 40)
    assert person.side == 81
    assert np.isnan(person.head_size)
    check_sample(data, 0)


def test_lsp_test_pictures_have_their_own_labels(lsp: Path) -> None:
    person = open_dataset(f"lsp:{lsp}", "test").sample(1)
    assert person.name == "im1002.jpg"
    assert person.keypoints[0, 0] == pytest.approx(9 + 1.001)
    assert (person.center, person.side) == ((49.5, 19.5), 100)


def test_a_missing_picture_is_a_bad_picture_when_its_turn_comes(lsp: Path) -> None:
    with pytest.raises(BadPicture, match=r"im0002\.jpg"):
        open_dataset(f"lsp:{lsp}", "train").sample(1)


def test_lsp_without_test_pictures(lsp: Path) -> None:
    io.savemat(lsp / "joints.mat", {"joints": lsp_labels(1000)})
    assert len(open_dataset(f"lsp:{lsp}", "train")) == 1000
    assert "test starts at picture 1001" in error_of(f"lsp:{lsp}", "test")


# --------------------------------------------------------------------------------------------------- LSPET


def lspet_labels() -> NDArray[np.float64]:
    """(14, 3, N) as in the original. Picture 1: all joints; 2: two, near each other; 3: one; 4: none."""
    labels = np.zeros((14, 3, 4))
    labels[:, 0, 0] = 31 + 2 * np.arange(14)
    labels[:, 1, 0] = 21 + 5 * np.arange(14)
    labels[:, 2, 0] = 1
    labels[3, :, 1] = 51, 61, 1
    labels[7, :, 1] = 61, 61, 1
    labels[3, :, 2] = 51, 61, 1
    labels[5, :, 2] = np.nan, np.inf, 0  # not labelled, so nobody reads it
    return labels


@pytest.fixture
def lspet(tmp_path: Path) -> Path:
    io.savemat(tmp_path / "joints.mat", {"joints": lspet_labels().astype(np.float32)})
    for number in range(1, 5):
        save_picture(tmp_path / "images" / f"im{number:05d}.jpg", 120, 100)
    return tmp_path


def test_lspet_persons(lspet: Path) -> None:
    data = open_dataset(f"lspet:{lspet}", "train")
    assert (data.name, data.split, len(data), data.skeleton) == ("lspet", "train", 4, LSP)
    assert "labels of the crowd" in data.protocol
    full, near, one, none = (data.sample(index) for index in range(4))

    assert full.name == "im00001.jpg"
    assert full.labelled.all()
    np.testing.assert_array_equal(full.keypoints[1], [32, 25])
    assert full.center == (30 + 13, 20 + 32.5)  # the box is x 30..56, y 20..85
    assert full.side == pytest.approx(1.35 * 65)

    np.testing.assert_array_equal(np.flatnonzero(near.labelled), [3, 7])
    assert near.center == (55, 60)
    assert near.side == 40

    for person, count in ((one, 1), (none, 0)):
        assert person.labelled.sum() == count
        assert (person.center, person.side) == ((59.5, 49.5), 120)
        assert np.isnan(person.head_size)
    for index in range(4):
        check_sample(data, index)


def test_lspet_labels_of_the_teacher(lspet: Path) -> None:
    labels = lspet_labels()
    labels[:, :2] = 41
    labels[:, 2] = 0.29
    labels[4, :, 0] = 11, 12, 0.3
    labels[5, :, 0] = 21, 32, 1.0
    io.savemat(lspet / "joints_teacher.mat", {"joints": labels})
    data = open_dataset(f"lspet:{lspet}?labels=teacher", "train")
    person = data.sample(0)
    np.testing.assert_array_equal(np.flatnonzero(person.labelled), [4, 5])
    np.testing.assert_array_equal(person.keypoints[4], [10, 11])
    assert "labels of the teacher" in data.protocol

    labels[0, 2, 0] = 1.5
    io.savemat(lspet / "joints_teacher.mat", {"joints": labels})
    assert "outside 0..1" in error_of(f"lspet:{lspet}?labels=teacher")


def test_lspet_has_no_test_split(lspet: Path) -> None:
    assert "no test split" in error_of(f"lspet:{lspet}", "test")


# ----------------------------------------------------------------------------- LSP and LSPET, malformed


def test_one_layout_for_the_other_says_so(lsp: Path) -> None:
    assert "open it as lsp:PATH" in error_of(f"lspet:{lsp}")
    io.savemat(lsp / "joints.mat", {"joints": lspet_labels()})
    assert "open it as lspet:PATH" in error_of(f"lsp:{lsp}")


@pytest.mark.parametrize("shape", [(3, 15, 5), (2, 14, 5), (14, 3), (3, 14, 0), (1, 1)])
def test_other_shapes_are_refused(lsp: Path, shape: tuple[int, ...]) -> None:
    io.savemat(lsp / "joints.mat", {"joints": np.zeros(shape)})
    message = error_of(f"lsp:{lsp}")
    assert "joints.mat" in message
    assert "expected (3, 14, N)" in message


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_coordinate_that_is_not_finite_is_named(lsp: Path, value: float) -> None:
    labels = lsp_labels()
    labels[1, 4, 6] = value
    io.savemat(lsp / "joints.mat", {"joints": labels})
    message = error_of(f"lsp:{lsp}")
    assert "joints.mat: im0007.jpg: left_knee is not finite" in message

    labels = lspet_labels()
    labels[13, 0, 0] = value
    io.savemat(lsp / "joints.mat", {"joints": labels})
    assert "joints.mat: im00001.jpg: head_top is not finite" in error_of(f"lspet:{lsp}")


def test_flags_that_are_none_are_refused(lsp: Path, lspet: Path) -> None:
    for name, labels in (("lsp", lsp_labels()), ("lspet", lspet_labels())):
        labels[2, 2] = 17
        io.savemat(lsp / "joints.mat", {"joints": labels})
        assert "should be 0 or 1" in error_of(f"{name}:{lsp}")


@pytest.mark.parametrize(
    "content",
    [
        {"points": np.zeros(3)},
        {"joints": "text"},
        {"joints": np.array([[1, "a"]], object)},
        {"joints": {"x": 1.0}},
    ],
)
def test_other_content_is_refused(lsp: Path, content: Json) -> None:
    io.savemat(lsp / "joints.mat", content)
    assert "joints.mat" in error_of(f"lsp:{lsp}")


def test_a_damaged_or_missing_file_is_named(lsp: Path) -> None:
    path = lsp / "joints.mat"
    io.savemat(path, {"joints": lsp_labels()}, do_compression=True)
    content = path.read_bytes()
    rng = np.random.default_rng(0)
    damaged = [b"", b"text", content[:100], content[: len(content) // 2], content[:128]]
    for place in rng.integers(200, len(content), 20):  # in the compressed part, as a bad download has it
        flipped = bytearray(content)
        flipped[int(place)] ^= 1
        damaged.append(bytes(flipped))
    for case in damaged:
        path.write_bytes(case)
        assert "joints.mat" in error_of(f"lsp:{lsp}")
    path.unlink()
    assert "joints.mat: no such file" in error_of(f"lsp:{lsp}")


def test_a_folder_without_pictures_is_named(lsp: Path) -> None:
    (lsp / "images").rename(lsp / "pictures")
    assert f"{lsp / 'images'}: no such folder" in error_of(f"lsp:{lsp}")


def test_annotation_files_have_a_largest_size(lsp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.datasets.annotations.MAX_BYTES", 1000)
    assert "joints.mat: larger than" in error_of(f"lsp:{lsp}")


def test_without_scipy_the_remedy_is_named(lsp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy", None)
    with pytest.raises(UserError, match="pip install scipy"):
        open_dataset(f"lsp:{lsp}", "train")


# ------------------------------------------------------------------------------------- MPII, official file


def structs(*records: Json) -> NDArray[Any]:
    """A MATLAB struct array (1, N); a field that a record lacks is empty there, as in MATLAB."""
    fields = sorted({field for record in records for field in record})
    array = np.empty((1, len(records)), dtype=[(field, object) for field in fields])
    for index, record in enumerate(records):
        for field in fields:
            array[field][0, index] = record.get(field, np.zeros((0, 0)))
    return array


def cells(*values: Any) -> NDArray[Any]:
    array = np.empty((len(values), 1), object)
    for index, value in enumerate(values):
        array[index, 0] = value
    return array


def point(joint: int, x: float, y: float, visible: object = 1) -> Json:
    # As in the release: small whole numbers in 8 bits; visibility as a number, a character or nothing.
    return {"id": np.uint8(joint), "x": x, "y": y, "is_visible": visible}


def rect(*points: Json, **changes: Any) -> Json:
    record: Json = {
        "scale": 2.0,
        "objpos": {"x": np.uint8(241), "y": np.uint8(201)},
        "annopoints": {"point": structs(*points)} if points else np.zeros((0, 0)),
        "x1": np.uint8(11),
        "y1": np.uint8(21),
        "x2": np.uint8(41),
        "y2": np.uint8(61),
    }
    return record | changes


def picture(name: str, video: Any, *rects: Json) -> Json:
    return {
        "image": {"name": name},
        "annorect": structs(*rects) if rects else np.zeros((0, 0)),
        "frame_sec": 11,
        "vididx": video,
    }


def release(*pictures: Json, training: list[int], single: list[Any]) -> Json:
    return {
        "annolist": structs(*pictures),
        "img_train": np.array([training], np.uint8),
        "single_person": cells(*single),
        "version": "12",
    }


def usual_release() -> Json:
    none = np.zeros((0, 0))
    unlabelled = rect(scale=none, objpos=none, x1=none)
    return release(
        picture("000000001.jpg", 1, rect(point(0, 33, 44), point(9, 51.5, 12.25, "0"))),
        picture(
            "000000002.jpg",
            9,
            rect(point(6, 7, 8), scale=1.0),
            unlabelled,
            rect(point(15, 130, 140, none), x2=none),
            rect(),  # no joints
        ),
        picture("000000003.jpg", none, rect(point(3, 5, 6))),
        picture("000000004.jpg", 18, rect(point(3, 5, 6))),  # of the test pictures: no labels in public
        picture("000000005.jpg", 4),
        training=[1, 1, 1, 0, 1],
        single=[1, np.array([[2], [3], [4]]), np.uint8(1), 1, none],
    )


def save_release(root: Path, content: Json) -> None:
    # MATLAB compresses; names longer than 31 characters do not occur
    io.savemat(root / "mpii_human_pose_v1_u12_1.mat", {"RELEASE": content}, do_compression=True)


@pytest.fixture
def mpii(tmp_path: Path) -> Path:
    for number in range(1, 6):
        save_picture(tmp_path / "images" / f"00000000{number}.jpg", 64, 48)
    return tmp_path


def test_mpii_release(mpii: Path) -> None:
    save_release(mpii, usual_release())
    train = open_dataset(f"mpii:{mpii}", "train")
    assert (train.name, train.split, len(train), train.skeleton) == ("mpii", "train", 2, MPII)
    assert [train.sample(index).name for index in range(2)] == ["000000001.jpg#1", "000000003.jpg#1"]

    person = train.sample(0)
    np.testing.assert_array_equal(np.flatnonzero(person.labelled), [0, 9])
    np.testing.assert_array_equal(person.keypoints[0], [32, 43])  # MATLAB counts from 1
    np.testing.assert_array_equal(person.keypoints[9], [50.5, 11.25])  # hidden is labelled too
    assert person.center == (240, 200 + 15 * 2)
    assert person.side == 200 * 2 * 1.25
    assert person.head_size == pytest.approx(0.6 * 50)  # a head box of 30 x 40
    check_sample(train, 0)
    assert "vididx % 9" in train.protocol
    assert "known for 2 of 2" in train.protocol


def test_mpii_release_test_split_is_every_ninth_video(mpii: Path) -> None:
    save_release(mpii, usual_release())
    test = open_dataset(f"mpii:{mpii}", "test")
    assert len(test) == 1  # of picture 2: person 1 is not single, 2 not labelled, 4 without joints
    person = test.sample(0)
    assert person.name == "000000002.jpg#3"
    np.testing.assert_array_equal(person.keypoints[15], [129, 139])
    assert np.isnan(person.head_size)  # half a head box is none
    assert "known for 0 of 1" in test.protocol


def change_release(case: str) -> Json:
    content = usual_release()
    first: Json = {"image": {"name": "000000001.jpg"}, "vididx": 1, "frame_sec": 1}
    points = (point(0, 33, 44),)
    if case == "no training list":
        del content["img_train"]
    elif case == "no pictures":
        del content["annolist"]
    elif case == "short list":
        content["single_person"] = cells(1, 1)
    else:
        changed: dict[str, Json] = {
            "joint id": rect(point(16, 1, 1)),
            "nan": rect(point(2, np.nan, 1)),
            "text": rect(point(2, 4, 1) | {"x": "left"}),
            "scale": rect(*points, scale=-1.0),
            "inf scale": rect(*points, scale=np.inf),
            "position": rect(*points, objpos={"x": np.nan, "y": 1.0}),
        }
        name = "../outside.jpg" if case == "traversal" else "000000001.jpg"
        record = changed.get(case, rect(*points))
        first = picture(name, 1, record)
        number = 2 if case == "single person" else 1
        content = release(first, picture("000000002.jpg", 2), training=[1, 1], single=[number, np.zeros((0, 0))])
    return content


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        ("no training list", "img_train"),
        ("no pictures", "annolist"),
        ("short list", "differ in length: 5, 5 and 2"),
        ("joint id", "annolist(1).annorect(1): joint id 16 is not one of 0..15"),
        ("nan", "annolist(1).annorect(1): a point is not finite"),
        ("text", "annolist(1).annorect(1): a point should be numbers"),
        ("scale", "000000001.jpg#1: scale -1.0 is not positive"),
        ("inf scale", "annolist(1).annorect(1).scale is not finite"),
        ("position", "annolist(1).annorect(1).objpos.x is not finite"),
        ("traversal", "leads out of the picture folder: '../outside.jpg'"),
        ("single person", "annolist(1).annorect(2): single_person lists it, but there are 1"),
    ],
)
def test_mpii_release_malformed(mpii: Path, case: str, reason: str) -> None:
    save_release(mpii, change_release(case))
    message = error_of(f"mpii:{mpii}")
    assert "mpii_human_pose_v1_u12_1.mat" in message
    assert reason in message


@pytest.mark.parametrize("content", [{"OTHER": 1.0}, {"RELEASE": 1.0}, {"RELEASE": np.zeros((0, 0))}])
def test_mpii_release_of_something_else(mpii: Path, content: Json) -> None:
    io.savemat(mpii / "mpii_human_pose_v1_u12_1.mat", content)
    assert "mpii_human_pose_v1_u12_1.mat" in error_of(f"mpii:{mpii}")


# -------------------------------------------------------------------------------------- MPII, JSON files


def hrnet_record(number: int = 1) -> Json:
    return {
        "image": f"00000000{number}.jpg",
        "center": [101.0, 51.0],
        "scale": 1.5,
        "joints": [[-1.0, -1.0]] + [[10.0 * joint + 1, 5.0 * joint + number] for joint in range(1, 16)],
        "joints_vis": [0] + [1] * 15,
    }


def save_hrnet(root: Path, train: list[Any], valid: list[Any]) -> None:
    (root / "train.json").write_text(json.dumps(train))
    (root / "valid.json").write_text(json.dumps(valid))


def save_heads(root: Path, records: list[Json]) -> None:
    """gt_valid.mat: joints (16, 2, N) and opposite corners of the head boxes (2, 2, N)."""
    boxes = np.array([[[10.0 * n, 20], [10.0 * n + 6, 28]] for n, _ in enumerate(records)]).transpose(1, 2, 0)
    joints = np.array([record["joints"] for record in records]).transpose(1, 2, 0)
    io.savemat(root / "gt_valid.mat", {"headboxes_src": boxes, "pos_gt_src": joints})


@pytest.mark.parametrize("below", ["", "annot"])
def test_mpii_hrnet(mpii: Path, below: str) -> None:
    folder = mpii / below
    folder.mkdir(exist_ok=True)
    save_hrnet(folder, [hrnet_record(1), hrnet_record(2)], [hrnet_record(3)])
    train, test = open_dataset(f"mpii:{mpii}", "train"), open_dataset(f"mpii:{mpii}", "test")
    assert (len(train), len(test)) == (2, 1)
    person = train.sample(1)
    assert person.name == "000000002.jpg#1"
    assert not person.labelled[0]
    assert person.labelled[1:].all()
    np.testing.assert_array_equal(person.keypoints[:3], [[0, 0], [10, 6], [20, 11]])
    assert person.center == (100, 50 + 15 * 1.5)
    assert person.side == 200 * 1.5 * 1.25
    assert np.isnan(test.sample(0).head_size)
    assert "train.json (community split)" in train.protocol
    assert "known for 0 of 1" in test.protocol
    check_sample(train, 0)


def test_mpii_hrnet_head_boxes_are_in_another_file(mpii: Path) -> None:
    valid = [hrnet_record(3), hrnet_record(4)]
    save_hrnet(mpii, [hrnet_record(1)], valid)
    save_heads(mpii, valid)
    test = open_dataset(f"mpii:{mpii}", "test")
    assert test.sample(1).head_size == pytest.approx(0.6 * 10)  # 6 x 8
    assert "known for 2 of 2" in test.protocol
    assert np.isnan(open_dataset(f"mpii:{mpii}", "train").sample(0).head_size)

    save_heads(mpii, valid[:1])
    assert "gt_valid.mat: headboxes_src has shape" in error_of(f"mpii:{mpii}", "test")
    valid[1]["joints"] = [[x + 50, y] for x, y in valid[1]["joints"]]
    save_heads(mpii, valid)
    assert "gt_valid.mat: person 1 is another than in valid.json" in error_of(f"mpii:{mpii}", "test")


def hourglass_record(number: int, validation: float) -> Json:
    return {
        "dataset": "MPI",
        "isValidation": validation,
        "img_paths": f"00000000{number}.jpg",
        "objpos": [101.0, 51.0],
        "scale_provided": 1.5,
        "joint_self": [[0.0, 0.0, 0.0]] + [[10.0 * joint + 1, 5.0, joint % 2] for joint in range(1, 16)],
    }


def test_mpii_hourglass(mpii: Path) -> None:
    records = [hourglass_record(1, 0.0), hourglass_record(2, 1.0), hourglass_record(3, 0.0)]
    (mpii / "mpii_annotations.json").write_text(json.dumps(records))
    train, test = open_dataset(f"mpii:{mpii}", "train"), open_dataset(f"mpii:{mpii}", "test")
    assert [train.sample(index).name for index in range(len(train))] == ["000000001.jpg#0", "000000003.jpg#2"]
    assert [test.sample(index).name for index in range(len(test))] == ["000000002.jpg#1"]
    person = test.sample(0)
    np.testing.assert_array_equal(person.labelled, [False] + [True] * 15)
    np.testing.assert_array_equal(person.keypoints[:3], [[0, 0], [10, 4], [20, 4]])
    assert (person.center, person.side) == ((100, 50 + 22.5), 375)
    assert np.isnan(person.head_size)


def test_mpii_takes_the_first_file_or_the_one_named(mpii: Path) -> None:
    (mpii / "mpii_annotations.json").write_text(json.dumps([hourglass_record(1, 0)]))
    assert "mpii_annotations.json" in open_dataset(f"mpii:{mpii}", "train").protocol
    save_hrnet(mpii, [hrnet_record()], [hrnet_record()])
    assert "train.json" in open_dataset(f"mpii:{mpii}", "train").protocol
    save_release(mpii, usual_release())
    assert "mpii_human_pose_v1_u12_1.mat" in open_dataset(f"mpii:{mpii}", "train").protocol
    for labels, file in (
        ("hourglass", "mpii_annotations.json"),
        ("hrnet", "train.json"),
        ("release", ".mat"),
    ):
        assert file in open_dataset(f"mpii:{mpii}?labels={labels}", "train").protocol
    (mpii / "mpii_annotations.json").unlink()
    assert "holds none of mpii_annotations.json" in error_of(f"mpii:{mpii}?labels=hourglass")


def test_mpii_that_is_not_there_says_where_to_ask(mpii: Path) -> None:
    message = error_of(f"mpii:{mpii}")
    for part in (
        "mpii_human_pose_v1_u12_1.mat",
        "valid.json",
        "mpii_annotations.json",
        "human-pose.mpi-inf.mpg.de",
    ):
        assert part in message
    (mpii / "train.json").write_text(json.dumps([hrnet_record()]))
    assert "valid.json: no such file" in error_of(f"mpii:{mpii}", "test")
    (mpii / "images").rename(mpii / "pictures")
    assert f"{mpii / 'images'}: no such folder" in error_of(f"mpii:{mpii}")


@pytest.mark.parametrize("text", ["", "{", "[1]", "{}", "[]", "null", "[" * 100_000, '[{"image": 1}', '["\xff"]'])
def test_mpii_json_that_is_none(mpii: Path, text: str) -> None:
    (mpii / "train.json").write_text(text, encoding="latin-1")
    assert "train.json" in error_of(f"mpii:{mpii}")


BAD_FIELDS: list[tuple[str, Any, str]] = [
    ("joints", [[1.0, 2.0]] * 14, "joints has shape (14, 2), expected (16, 2)"),
    ("joints", [[1.0, 2.0]] * 15 + [[1.0]], "joints should be numbers"),
    ("joints", [[1.0, float("nan")]] * 16, "joints is not finite"),
    ("joints", [[1.0, 10**400]] * 16, "joints should be numbers"),
    ("joints", "many", "joints should be numbers"),
    ("joints", None, "joints has shape ()"),
    ("joints_vis", [1] * 15, "joints_vis has shape (15,)"),
    ("center", [1.0, float("inf")], "center is not finite"),
    ("scale", 0.0, "scale 0.0 is not positive"),
    ("scale", [1.0], "scale has shape (1,)"),
    ("image", "../x.jpg", "leads out of the picture folder: '../x.jpg'"),
    ("image", "a/../../x.jpg", "leads out"),
    ("image", "/etc/x.jpg", "leads out"),
    ("image", "..\\x.jpg", "leads out"),
    ("image", "C:x.jpg", "leads out"),
    ("image", "", "not a file name"),
    ("image", "a\0b.jpg", "not a file name"),
    ("image", 7, "not a file name"),
]


@pytest.mark.parametrize(("field", "value", "reason"), BAD_FIELDS)
def test_mpii_hrnet_malformed(mpii: Path, field: str, value: Any, reason: str) -> None:
    save_hrnet(mpii, [hrnet_record(), hrnet_record() | {field: value}], [])
    message = error_of(f"mpii:{mpii}")
    assert "train.json" in message
    assert reason in message
    assert "record 1" in message or "#1" in message


@pytest.mark.parametrize("field", ["image", "center", "scale", "joints", "joints_vis"])
def test_mpii_hrnet_without_a_field(mpii: Path, field: str) -> None:
    record = hrnet_record()
    del record[field]
    save_hrnet(mpii, [hrnet_record(), record], [])
    assert f"train.json: record 1 has no '{field}'" in error_of(f"mpii:{mpii}")


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("joint_self", [[1, 1]] * 16, "joint_self has shape (16, 2), expected (16, 3)"),
        ("joint_self", [[1, 1, 1]] * 17, "joint_self has shape (17, 3)"),
        ("isValidation", "yes", "isValidation should be numbers"),
        ("img_paths", "../x.jpg", "leads out"),
        ("objpos", [1, 2, 3], "objpos has shape (3,)"),
        ("scale_provided", None, "scale_provided is not finite"),
    ],
)
def test_mpii_hourglass_malformed(mpii: Path, field: str, value: Any, reason: str) -> None:
    records = [hourglass_record(1, 0.0) | {field: value}]
    (mpii / "mpii_annotations.json").write_text(json.dumps(records))
    message = error_of(f"mpii:{mpii}")
    assert "mpii_annotations.json: record 0" in message
    assert reason in message
    del records[0][field]
    (mpii / "mpii_annotations.json").write_text(json.dumps(records))
    assert f"mpii_annotations.json: record 0 has no '{field}'" in error_of(f"mpii:{mpii}")


def test_mpii_without_anybody_in_the_split(mpii: Path) -> None:
    (mpii / "mpii_annotations.json").write_text(json.dumps([hourglass_record(1, 0.0)]))
    assert "holds no labelled person of this split" in error_of(f"mpii:{mpii}", "test")


# ------------------------------------------------------------------------------------------ open_dataset


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("lps:x", "unknown data set 'lps'; did you mean 'lsp'?"),
        ("hands:x", "unknown data set 'hands'; there is synthetic, lsp, lspet, mpii"),
        ("", "unknown data set ''"),
        ("lsp", "needs a folder: lsp:PATH"),
        ("lsp:", "needs a folder: lsp:PATH"),
        ("synthetic:x", "leave out ':x'"),
        ("lspet:x?lables=crowd", "unknown option of lspet 'lables'; did you mean 'labels'?"),
        (
            "lspet:x?labels=techer",
            "unknown value of option labels of lspet 'techer'; did you mean 'teacher'?",
        ),
        ("lspet:x?labels", "unknown value of option labels"),
        ("lspet:x?labels=crowd&labels=crowd", "given twice"),
        ("lsp:x?labels=crowd", "unknown option of lsp 'labels'; there is none"),
        ("synthetic?length=many", "takes a whole number, not 'many'"),
        ("synthetic?length=-5", "takes a whole number, not '-5'"),
    ],
)
def test_a_spec_that_cannot_be_meant(spec: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        open_dataset(spec, "train")
    assert message in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_split_that_does_not_exist(lsp: Path) -> None:
    with pytest.raises(UserError, match="unknown split 'tset'; did you mean 'test'"):
        open_dataset(f"lsp:{lsp}", "tset")


def test_a_folder_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    message = error_of("lsp:data/lsp")
    assert "no folder data/lsp" in message
    assert str(tmp_path) in message
    assert "joints.mat and images/" in message
    (tmp_path / "file").write_text("")
    assert "no folder file" in error_of("mpii:file")


def test_relative_folders_and_odd_names(lsp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(lsp.parent)
    assert len(open_dataset(f"lsp:{lsp.name}", "test")) == 3
    lsp.rename(lsp.parent / "what? a:b")
    assert len(open_dataset("lsp:what? a:b?", "test")) == 3


def test_synthetic_gets_its_options_as_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []
    fake = types.ModuleType("training.datasets.drawn.synthetic")
    vars(fake)["SyntheticFigures"] = lambda *args, **options: calls.append((args, options))
    monkeypatch.setitem(sys.modules, "training.datasets.drawn.synthetic", fake)
    open_dataset("synthetic", "test")
    open_dataset("synthetic?length=12&seed=3", "train")
    assert calls == [(("test",), {}), (("train",), {"length": 12, "seed": 3})]


# ---------------------------------------------------------------------------------------------- real data


@needs_data("lsp")
@pytest.mark.parametrize(
    ("spec", "split", "count"),
    [
        ("lsp", "train", 1000),
        ("lsp", "test", 500),
        ("lspet", "train", 10_000),
        ("lspet?teacher", "train", 10_000),
    ],
)
def test_real_labels_fit_their_pictures(spec: str, split: str, count: int) -> None:
    name, _, labels = spec.partition("?")
    data = open_dataset(f"{name}:{DATA / name}{'?labels=' + labels if labels else ''}", split)
    assert len(data) >= count
    inside, in_crop, right_is_left = [], [], []
    for index in range(0, len(data), len(data) // 50):
        person = data.sample(index)
        height, width = person.picture.shape[:2]
        joints = person.keypoints[person.labelled]
        inside.append(((joints > -1) & (joints < (width, height))).all(axis=1).mean())
        in_crop.append((np.abs(joints - person.center) <= person.side / 2 + 1).all(axis=1).mean())
        shoulders = [LSP.keypoints.index(f"{side}_shoulder") for side in ("right", "left")]
        if person.labelled[shoulders].all():
            right_is_left.append(person.keypoints[shoulders[0], 0] < person.keypoints[shoulders[1], 0])
    assert np.mean(inside) > 0.97
    assert np.mean(in_crop) > 0.97
    assert np.mean(right_is_left) > 0.55  # most people face the camera


@needs_data("lsp")
def test_the_teacher_counts_pixels_as_the_crowd_does() -> None:
    both = [
        io.loadmat(DATA / "lspet" / name)["joints"].astype(np.float64) for name in ("joints.mat", "joints_teacher.mat")
    ]
    offset = both[0][:, :2] - both[1][:, :2]
    agree = (both[0][:, 2] == 1) & (both[1][:, 2] >= 0.6) & (np.linalg.norm(offset, axis=1) < 3)
    # A file that counted from 0 would be off by 1 in both directions.
    assert np.abs(np.median(offset.transpose(0, 2, 1)[agree], axis=0)).max() < 0.3
