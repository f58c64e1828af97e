import csv
import hashlib
import io
import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from hbcore import StackedHourglass
from hbcore.landmarks.confidence import Calibration
from hbcore.landmarks.heatmaps import HeatmapCodec
from hbcore.landmarks.squares import CropRule
from tests.command_lines import Outcome
from training import pose
from training.datasets import open_dataset
from training.errors import BadPicture, DataError, DiskError, UserError
from training.files.writing import append
from training.labels.skeletons import Skeleton
from training.pictures.drawing import LEFT, MIDDLE, RIGHT
from training.prediction import predict
from training.prediction.boxes import read_boxes
from training.prediction.model import Model
from training.prediction.point_files import PointFiles
from training.prediction.predict import crop_for, find_pictures, look, save_predictions

# Three joints; the network of these tests finds the first where the picture is red, the others at green and blue.
FLAG = Skeleton(
    name="flag",
    keypoints=("left_red", "right_green", "blue"),
    edges=((0, 2), (1, 2)),
    flip_pairs=((0, 1),),
    head=None,
    torso=(0, 1),
)
SIZE = 64
SPOTS = {"left_red": (40.0, 30.0), "right_green": (150.5, 61.0), "blue": (100.0, 95.0)}  # in a picture of 200 x 120


def flag(width: int = 200, height: int = 120, blur: float = 12.0) -> NDArray[np.uint8]:
    """A red, a green and a blue Gaussian spot on black."""
    x, y = np.arange(width)[None, :], np.arange(height)[:, None]
    channels = [np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * blur**2)) for cx, cy in SPOTS.values()]
    picture: NDArray[np.uint8] = np.rint(255 * np.stack(channels, -1)).astype(np.uint8)
    return picture


def save(path: Path, picture: NDArray[np.uint8]) -> Path:
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(picture).save(path)
    return path


@pytest.fixture
def seeing(monkeypatch: pytest.MonkeyPatch) -> None:
    """In place of the network: the mean colour of the 4 x 4 input pixels of each heatmap pixel."""

    def maps(self: Model, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        n, size = len(pictures), SIZE // 4
        blocks = pictures.astype(np.float32).reshape(n, size, 4, size, 4, 3)
        means: NDArray[np.float32] = blocks.mean(axis=(2, 4)) / np.float32(255)
        return means

    monkeypatch.setattr(Model, "_maps", maps)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "flag.safetensors"
    Model(StackedHourglass(16, 3, depth=1), FLAG, HeatmapCodec(SIZE)).save(path)
    return path


def run(*arguments: object) -> int:
    return pose.main(["predict", *map(str, arguments)])


def people(out: Path) -> list[dict[str, object]]:
    return json.loads((out / "predictions.json").read_text())["people"]  # type: ignore[no-any-return]


def places(person: dict[str, object]) -> dict[str, tuple[float, float]]:
    joints = person["joints"]
    assert isinstance(joints, list)
    return {joint["name"]: (joint["x"], joint["y"]) for joint in joints}


def hashes(folder: Path) -> dict[str, tuple[str, int]]:
    return {
        str(path.relative_to(folder)): (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file()
    }


UNCALIBRATED = (
    "no warnings of worthless answers: the model file has no calibration (it is of an older version, or its run did "
    "not finish); choose a --min-score yourself\n"
)

# A heatmap pixel of the whole picture is 12.5 picture pixels; the spots are Gaussians, but blurred by the shrinking.
ONE_PIXEL = 1.0


def test_joints_come_back_in_pixels_of_the_picture(
    tmp_path: Path, model: Path, seeing: None, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = save(tmp_path / "mine" / "flag.png", flag())
    before = hashes(tmp_path)
    out = tmp_path / "out"
    assert run(model, picture, "--out", out, "--threads", 1) == 0
    assert capsys.readouterr() == (
        f"1 of 1 pictures: predictions.json, predictions.csv and overlays in {out}\n",
        UNCALIBRATED,
    )
    assert {path.name for path in out.iterdir()} == {"predictions.json", "predictions.csv", "0000_flag.png"}
    content = json.loads((out / "predictions.json").read_text())
    assert list(content) == ["joints", "edges", "people", "min_score", "kpt_thr"]
    assert content["joints"] == list(FLAG.keypoints)
    assert content["edges"] == [[0, 2], [1, 2]]
    (person,) = content["people"]
    assert list(person) == ["picture", "center", "side", "joints", "confidence", "below"]
    assert (person["picture"], person["center"], person["side"]) == (str(picture), [99.5, 59.5], 200)
    found = places(person)
    assert list(found) == list(FLAG.keypoints)
    for name, place in SPOTS.items():
        assert found[name] == pytest.approx(place, abs=ONE_PIXEL)
    assert all(0.7 < joint["score"] <= 1 for joint in person["joints"])
    assert {name: value for name, value in hashes(tmp_path).items() if name.startswith("mine")} == before


def test_the_table_holds_the_same_as_the_json(tmp_path: Path, model: Path, seeing: None) -> None:
    pictures = [save(tmp_path / "in" / f'{name}"; , x.png', flag()) for name in "ab"]
    assert run(model, *pictures, "--out", tmp_path / "out", "--quiet") == 0
    with open(tmp_path / "out/predictions.csv", newline="") as file:
        header, *rows = list(csv.reader(file))
    assert header == ["picture", "joint", "x", "y", "score", "confidence", "kept"]
    assert [row[:2] for row in rows] == [[str(p), name] for p in pictures for name in FLAG.keypoints]
    joints = [joint for person in people(tmp_path / "out") for joint in person["joints"]]  # type: ignore[attr-defined]
    assert [list(map(float, row[2:5])) for row in rows] == [[j["x"], j["y"], j["score"]] for j in joints]
    sure = [person["confidence"] for person in people(tmp_path / "out") for _ in FLAG.keypoints]
    assert [(float(row[5]), row[6]) for row in rows] == [(confidence, "1") for confidence in sure]


def test_a_box_is_looked_at_with_a_margin(tmp_path: Path, model: Path, seeing: None) -> None:
    picture = save(tmp_path / "in" / "flag.png", flag(blur=6))
    out = tmp_path / "out"
    # 80 wide and 40 high around (150.5, 60.5): a square of 100.
    assert run(model, picture, "--out", out, "--box", "111,41,80,40", "--quiet") == 0
    (person,) = people(out)
    assert (person["center"], person["side"]) == ([150.5, 60.5], 100)
    assert places(person)["right_green"] == pytest.approx(SPOTS["right_green"], abs=ONE_PIXEL / 2)
    # A box may begin outside the picture.
    assert run(model, picture, "--out", tmp_path / "more", "--box=-20,-10,80,80", "--quiet") == 0
    (person,) = people(tmp_path / "more")
    assert (person["center"], person["side"]) == ([19.5, 29.5], 100)
    assert places(person)["left_red"] == pytest.approx(SPOTS["left_red"], abs=ONE_PIXEL / 2)


@pytest.mark.parametrize(
    ("rules", "side", "told"),
    [
        ((), 100, None),  # of an older version
        ((CropRule("picture"),), 100, None),
        ((CropRule("box", 1.25),), 100, "1.25 x the box around the instance"),
        ((CropRule("points", 1.3),), 104, "1.3 x the box of its points"),
        ((CropRule("picture"), CropRule("points", 1.5)), 120, None),
    ],
)
def test_the_crop_rule_of_the_training_is_applied(
    tmp_path: Path, model: Path, seeing: None, capsys: pytest.CaptureFixture[str],
    rules: tuple[CropRule, ...], side: float, told: str | None,
) -> None:  # fmt: skip
    """A box 80 wide and 40 high; without one, a model that never saw whole pictures says so."""
    picture, path = save(tmp_path / "in" / "flag.png", flag()), tmp_path / "m"
    replace(Model.load(model), crops=rules).save(path)
    assert Model.load(path).crops == rules
    assert run(path, picture, "--out", tmp_path / "box", "--box", "111,41,80,40", "--quiet") == 0
    assert capsys.readouterr().err == ""
    assert people(tmp_path / "box")[0]["side"] == pytest.approx(side)
    assert run(path, picture, "--out", tmp_path / "whole", "--quiet") == 0
    errors = capsys.readouterr().err
    assert errors.count("\n") == (told is not None)
    if told:
        assert f"warning: this model was trained on squares of {told}, but looks at whole pictures: say where" in errors
        assert "--boxes FILE" in errors


@pytest.mark.parametrize("rule", [{"around": "sky", "margin": 1}, {"around": "box", "margin": "x"}, {"margin": 1}, 7])
def test_a_model_with_a_crop_rule_that_is_none(tmp_path: Path, model: Path, rule: object) -> None:
    Model.load(model).save(tmp_path / "m", crops=[rule])
    with pytest.raises(DataError, match="not a model of this version"):
        Model.load(tmp_path / "m")


COCO_BOXES = {
    "images": [
        {"id": 1, "file_name": "flag.png"},
        {"id": 2, "file_name": "other.png"},
        {"id": 3, "file_name": "no.png"},
    ],
    "annotations": [
        {"image_id": 1, "bbox": [111, 41, 80, 40]},
        {"image_id": 1, "bbox": [-20, -10, 80, 80]},
        {"image_id": 2, "bbox": [60, 55, 80, 80], "category_id": 9, "score": 0.9},
        {"image_id": 2, "bbox": [60, 55, 0, 80]},
        {"image_id": 2, "bbox": [0, 0, 9, 9], "iscrowd": 1},
        {"image_id": 3, "bbox": [1, 1, 5, 5]},
    ],
}
CSV_BOXES = """picture,who,box_x,box_y,box_w,box_h
flag.png,a,111,41,80,40
flag.png,b,-20,-10,80,80
in/other.png,c,60,55,80,80
other.png,d,60,,80,80
no.png,e,1,1,5,5
"""


@pytest.mark.parametrize(("kind", "text"), [("coco", json.dumps(COCO_BOXES)), ("csv", CSV_BOXES)])
@pytest.mark.parametrize("inside", [False, True])
def test_boxes_from_a_file(
    tmp_path: Path, model: Path, seeing: None, capsys: pytest.CaptureFixture[str], kind: str, text: str, inside: bool
) -> None:
    """Several in a picture; the file beside the pictures or elsewhere.

    One box is bad, one is of a picture that was not named, and one picture has none.
    """
    for name in ("flag", "other", "third"):
        save(tmp_path / "in" / f"{name}.png", flag(blur=6))
    file, out = tmp_path / ("in" if inside else "") / f"boxes.{kind}", tmp_path / "out"
    file.write_text(text)
    assert run(model, "in", "--boxes", f"{kind}:{file}", "--out", out, "--quiet") == 0
    bad, missing, unused = capsys.readouterr().err.splitlines()
    assert bad.startswith(f"skipped: {file}")
    assert "box" in bad
    assert unused.startswith("1 pictures with boxes were not named, the first: ")
    assert unused.endswith("no.png")
    assert missing == f"skipped: in/third.png: has no box in {kind}:{file}"
    assert [(p["picture"], p["person"], p["center"], p["side"]) for p in people(out)] == [
        ("in/flag.png", 1, [150.5, 60.5], 100),
        ("in/flag.png", 2, [19.5, 29.5], 100),
        ("in/other.png", 1, [99.5, 94.5], 100),
    ]
    assert places(people(out)[0])["right_green"] == pytest.approx(SPOTS["right_green"], abs=ONE_PIXEL / 2)
    # What comes out can be corrected, and read back as labels of as many people.
    data = open_dataset(f"csv:{out / 'predictions.csv'}?images=.", "train")
    assert [data.sample(k).name for k in range(len(data))] == ["in/flag.png#1", "in/flag.png#2", "in/other.png#1"]
    assert len(list(out.glob("*.png"))) == 3


def test_rows_with_too_few_or_too_many_cells(tmp_path: Path) -> None:
    """As spreadsheets leave them: what is missing makes one row bad, and nobody asked for what is over."""
    file = tmp_path / "boxes.csv"
    file.write_text("picture,box_x,box_y,box_w,box_h\na.png,1,2,3\nb.png\nc.png,1,2,3,4,a note\n")
    boxes = read_boxes(f"csv:{file}")
    assert boxes.paths == {str(tmp_path / "c.png"): [(1.0, 2.0, 3.0, 4.0)]}
    assert [text.partition(": ")[0] for text in boxes.bad] == [f"{file}, line 2", f"{file}, line 3"]


@pytest.mark.parametrize(
    ("spec", "text", "code", "message"),
    [
        ("coco:b", "{}", 3, "should hold an object with the lists images and annotations"),
        ("coco:b", '{"images": [], "annotations": []}', 3, "has no box"),
        ("coco:b", '{"images": [], "annotations": [{"image_id": 1, "bbox": [1, 1, 2, 2]}]}', 3, "names no picture"),
        ("csv:b", "picture,box_x\na,1\n", 3, "has no column 'box_y'"),
        ("csv:b", CSV_BOXES.replace("40\n", "x\n", 1).split("flag.png,b")[0], 3, "has no box; b, line 2"),
        ("csv:none", "", 3, "none: no such file"),
        ("yolo:b", "", 2, "unknown kind of boxes 'yolo'"),
        ("csv:b?test=1", "", 2, "there is ?images=FOLDER"),
    ],
)  # fmt: skip
def test_boxes_that_are_none(
    tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str], spec: str, text: str, code: int, message: str
) -> None:
    Path("b").write_text(text)
    picture = save(tmp_path / "in" / "flag.png", flag())
    Outcome(pose.main, capsys, "predict", model, picture, "--boxes", spec).fails(code, message)
    assert not (tmp_path / "predictions").exists()


def test_nobodys_work_is_overwritten(
    tmp_path: Path, model: Path, seeing: None, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = save(tmp_path / "in" / "flag.png", flag())
    for number in ("", "-2", "-3"):
        assert run(model, picture) == 0
        assert f"overlays in predictions{number}\n" in capsys.readouterr().out
    table = tmp_path / "predictions/predictions.csv"
    table.write_text(table.read_text().replace("left_red", "corrected"))
    before = hashes(tmp_path)
    Outcome(pose.main, capsys, "predict", model, picture, "--out", "predictions").fails(2, "choose another --out")
    assert hashes(tmp_path) == before
    (tmp_path / "overlays").mkdir()
    (tmp_path / "overlays/0000_flag.png").write_text("mine")
    Outcome(pose.main, capsys, "predict", model, picture, "--out", "overlays").fails(2, "holds 0000_flag.png already")


@pytest.mark.parametrize("error", [KeyboardInterrupt(), DiskError("full"), MemoryError()])
def test_what_is_done_stays(
    tmp_path: Path, model: Path, seeing: None, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str], error: BaseException,
) -> None:  # fmt: skip
    """Three pictures; the third does not come about. Before that the table has two, should the power fail."""
    for name in "abc":
        save(tmp_path / "in" / f"{name}.png", flag())
    original, seen = predict.read_picture, []

    def failing(path: Path) -> NDArray[np.uint8]:
        if path.name == "c.png":
            seen.append((tmp_path / "out/predictions.csv").read_text())
            raise error
        return original(path)

    monkeypatch.setattr(predict, "read_picture", failing)
    code = run(model, tmp_path / "in", "--out", tmp_path / "out", "--quiet")
    assert code == {KeyboardInterrupt: 130, DiskError: 5, MemoryError: 2}[type(error)]
    errors = capsys.readouterr().err
    assert "Traceback" not in errors
    if code == 130:
        assert f"what was done is in {tmp_path / 'out'}" in errors
    assert seen == [(tmp_path / "out/predictions.csv").read_text()]
    data = open_dataset(f"csv:{tmp_path / 'out/predictions.csv'}?names=base&images=in", "train")
    assert len(data) == len(people(tmp_path / "out")) == 2


def test_an_answer_outlives_its_overlay(
    tmp_path: Path, model: Path, seeing: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a full disk an overlay of half a megabyte is what does not fit."""

    def full(path: Path, picture: object) -> None:
        raise DiskError(f"cannot write {path}")

    monkeypatch.setattr("training.prediction.point_files.save_png", full)
    picture = save(tmp_path / "in" / "flag.png", flag())
    Outcome(pose.main, capsys, "predict", model, picture, "--out", "out", "--quiet").fails(5, "cannot write out")
    assert len(people(tmp_path / "out")) == 1
    assert (tmp_path / "out/predictions.csv").read_text().count("flag.png") == 3


def test_the_table_ends_with_a_whole_row_on_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(b"a,b\n")

    class Full(io.FileIO):
        """Takes two bytes, then none."""

        def write(self, data: memoryview) -> int:  # type: ignore[override]
            if self.tell() > 4:
                raise OSError(28, "No space left on device")
            return super().write(bytes(data)[:2])

    monkeypatch.setattr("builtins.open", lambda path, mode, buffering: Full(path, mode))
    with pytest.raises(DiskError, match=r"t\.csv \(4 bytes\): No space left"):
        append(path, b"1,2\n")
    monkeypatch.undo()
    assert path.read_bytes() == b"a,b\n"
    append(path, b"1,2\n")
    assert path.read_bytes() == b"a,b\n1,2\n"


def test_a_picture_named_twice_is_looked_at_once(tmp_path: Path, model: Path, seeing: None) -> None:
    folder = tmp_path / "in"
    for name in ("a.png", "b.png"):
        save(folder / name, flag())
    assert run(model, "in/b.png", "in", folder / "a.png", "./in/../in/b.png", "--out", "out", "--quiet") == 0
    assert [person["picture"] for person in people(tmp_path / "out")] == ["in/b.png", "in/a.png"]


def test_the_flip_test_finds_the_same(tmp_path: Path, model: Path, seeing: None) -> None:
    """What looks the same in the mirror, that is: red and green change sides there."""
    picture = save(tmp_path / "in" / "flag.png", flag())
    assert run(model, picture, "--out", tmp_path / "out", "--flip-test", "--quiet") == 0
    assert places(people(tmp_path / "out")[0])["blue"] == pytest.approx(SPOTS["blue"], abs=ONE_PIXEL)


def test_packed_bits_find_the_same(tmp_path: Path, model: Path) -> None:
    picture = save(tmp_path / "in" / "flag.png", flag())
    for out, more in (("simulated", ("--simulate",)), ("packed", ("--packed",)), ("deployed", ())):
        assert run(model, picture, "--out", tmp_path / out, "--quiet", *more) == 0
    for name in ("predictions.json", "predictions.csv", "0000_flag.png"):
        for way in ("packed", "deployed"):
            assert (tmp_path / way / name).read_bytes() == (tmp_path / "simulated" / name).read_bytes()


def test_a_folder_is_taken_by_name_without_what_is_no_picture(tmp_path: Path, model: Path, seeing: None) -> None:
    folder = tmp_path / "in"
    for name in ("b.PNG", "a.png", "c.bmp", "d.jpeg"):
        save(folder / name, flag())
    for name in ("notes.txt", "labels.json", ".hidden"):
        (folder / name).write_text("x")
    (folder / "more").mkdir()
    single = save(tmp_path / "single.png", flag())
    before = hashes(folder)
    assert run(model, folder, single, "--out", tmp_path / "out", "--quiet") == 0
    names = [Path(str(person["picture"])).name for person in people(tmp_path / "out")]
    assert names == ["a.png", "b.PNG", "c.bmp", "d.jpeg", "single.png"]
    overlays = sorted(path.name for path in (tmp_path / "out").glob("*.png"))
    assert overlays == ["0000_a.png", "0001_b.png", "0002_c.png", "0003_d.png", "0004_single.png"]
    assert hashes(folder) == before


@pytest.mark.parametrize(
    ("size", "drawn"),
    [
        ((200, 120), (400, 240)),
        ((40, 50), (400, 500)),
        ((700, 300), (700, 300)),
        ((1920, 480), (960, 240)),
        ((1, 1), (480, 480)),
    ],
)
def test_overlays_have_a_size_that_can_be_looked_at(
    tmp_path: Path, model: Path, seeing: None, size: tuple[int, int], drawn: tuple[int, int]
) -> None:
    picture = save(tmp_path / "in" / "flag.png", flag(*size))
    assert run(model, picture, "--out", tmp_path / "out", "--quiet") == 0
    with Image.open(tmp_path / "out/0000_flag.png") as image:
        assert (image.size, image.mode) == (drawn, "RGB")


@pytest.mark.parametrize("enlarged", [1, 8])
def test_overlays_show_the_joints_where_they_are(tmp_path: Path, model: Path, seeing: None, enlarged: int) -> None:
    """In a picture of 1600 pixels as well as in one of 200: dots are some five pixels wide and as good to see."""
    picture = Image.fromarray(flag()).resize((200 * enlarged, 120 * enlarged))
    (tmp_path / "in").mkdir()
    picture.save(tmp_path / "in/flag.png")
    assert run(model, tmp_path / "in/flag.png", "--out", tmp_path / "out", "--quiet") == 0
    drawn = np.asarray(Image.open(tmp_path / "out/0000_flag.png"))
    zoom = drawn.shape[1] / 200
    for (x, y), colour in zip(SPOTS.values(), (LEFT, RIGHT, MIDDLE), strict=True):
        at = drawn[round((y + 0.5) * zoom), round((x + 0.5) * zoom)]
        assert np.abs(at.astype(int) - colour).max() < 60


def test_weak_joints_are_not_drawn_but_reported(tmp_path: Path, model: Path, seeing: None) -> None:
    picture = save(tmp_path / "in" / "flag.png", flag())
    assert run(model, picture, "--out", tmp_path / "out", "--kpt-thr", "1.1", "--quiet") == 0
    drawn = np.asarray(Image.open(tmp_path / "out/0000_flag.png"))
    assert np.array_equal(drawn, np.asarray(Image.fromarray(flag()).resize((400, 240), Image.Resampling.BICUBIC)))
    (person,) = people(tmp_path / "out")
    assert list(places(person)) == list(FLAG.keypoints)
    assert [joint["kept"] for joint in person["joints"]] == [False] * 3  # type: ignore[attr-defined]
    assert person["below"] is False
    rows = (tmp_path / "out/predictions.csv").read_text().splitlines()[1:]
    assert [row.rpartition(",")[2] for row in rows] == ["0", "0", "0"]


def test_worthless_answers_are_named_and_not_drawn(
    tmp_path: Path, model: Path, seeing: None, capsys: pytest.CaptureFixture[str]
) -> None:
    """Here, a picture that is nearly black."""
    good, bad = save(tmp_path / "in/good.png", flag()), save(tmp_path / "in/bad.png", flag() // 4)
    calibrated, out = tmp_path / "calibrated", tmp_path / "out"
    replace(Model.load(model), calibration=Calibration(0.5, 0.98, 0.97, 200)).save(calibrated)
    assert run(calibrated, bad, good, "--out", out, "--quiet") == 0
    printed, errors = capsys.readouterr()
    assert printed == ""
    doubtful, sure = people(out)
    assert errors == (
        f"warning: {bad}: confidence {doubtful['confidence']:.2f} is below 0.50, the answer is likely worthless and "
        "not drawn: say where to look with --box x,y,width,height, or lower --min-score\n"
    )
    assert [person["below"] for person in (doubtful, sure)] == [True, False]
    kept = [[joint["kept"] for joint in person["joints"]] for person in (doubtful, sure)]  # type: ignore[attr-defined]
    assert kept == [[False] * 3, [True] * 3]
    rows = (out / "predictions.csv").read_text().splitlines()[1:]
    assert [row.rpartition(",")[2] for row in rows] == ["0"] * 3 + ["1"] * 3
    assert json.loads((out / "predictions.json").read_text())["min_score"] == 0.5
    drawn = np.asarray(Image.open(out / "0000_bad.png"))
    plain = np.asarray(Image.fromarray(flag() // 4).resize((400, 240), Image.Resampling.BICUBIC))
    assert np.array_equal(drawn[30:], plain[30:])  # no point
    assert not np.array_equal(drawn[:30], plain[:30])  # but a line that says why
    # With a box the remedy is another, and a lower threshold is taken at its word.
    assert run(calibrated, bad, "--out", tmp_path / "box", "--quiet", "--box", "10,10,100,100") == 0
    assert "not drawn: check --box, or lower --min-score\n" in capsys.readouterr().err
    assert run(calibrated, bad, "--out", tmp_path / "low", "--quiet", "--min-score", "0") == 0
    assert capsys.readouterr().err == ""
    assert people(tmp_path / "low")[0]["below"] is False


def test_a_model_whose_confidence_tells_nothing_says_so(
    tmp_path: Path, model: Path, seeing: None, capsys: pytest.CaptureFixture[str]
) -> None:
    picture, path = save(tmp_path / "in/flag.png", flag() // 4), tmp_path / "m"
    replace(Model.load(model), calibration=Calibration(None, 0.5, 0.5, 200)).save(path)
    assert run(path, picture, "--out", tmp_path / "out") == 0
    assert "in training this model was no surer of right crops than of wrong ones" in capsys.readouterr().err
    assert run(path, picture, "--out", tmp_path / "high", "--min-score", "0.9") == 0
    errors = capsys.readouterr().err
    assert errors.startswith(f"warning: {picture}: confidence 0.2")
    assert errors.count("\n") == 1


def test_unreadable_pictures_are_named_and_skipped(
    tmp_path: Path, model: Path, seeing: None, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "in"
    save(folder / "good.png", flag())
    (folder / "text.jpg").write_text("no picture")
    (folder / "empty.png").touch()
    (folder / "cut.png").write_bytes((folder / "good.png").read_bytes()[:200])
    (folder / "folder.png").mkdir()
    before = hashes(folder)
    assert run(model, folder, "--out", tmp_path / "out", "--quiet") == 0
    out, errors = capsys.readouterr()
    assert out == ""
    lines = errors.splitlines()
    assert [line.partition(": ")[0] for line in lines] == ["skipped"] * 4
    assert [line.split(": ")[1] for line in lines] == [
        str(folder / name) for name in ("cut.png", "empty.png", "folder.png", "text.jpg")
    ]
    assert [person["picture"] for person in people(tmp_path / "out")] == [str(folder / "good.png")]
    assert hashes(folder) == before


def test_exit_codes(tmp_path: Path, model: Path, seeing: None, capsys: pytest.CaptureFixture[str]) -> None:
    good = save(tmp_path / "in" / "good.png", flag())
    text = tmp_path / "text.jpg"
    text.write_text("no picture")
    (tmp_path / "nothing").mkdir()
    out = tmp_path / "out"
    for arguments, code, message in (
        ([text], 3, f"skipped: {text}: not a JPEG, PNG, BMP, PPM, WEBP, TIFF picture; convert it to one of these\n"),
        ([tmp_path / "none.png"], 2, f"there is no picture or folder {tmp_path / 'none.png'}\n"),
        (["x" * 4000], 2, "there is no picture or folder xxxx"),
        ([tmp_path / "nothing"], 2, "holds no picture (.bmp, .jpeg, .jpg, .png, .ppm, .tif, .tiff, .webp)\n"),
        ([good, "--box", "300,0,10,10"], 3, "the box 300,0,10,10 is not in a picture of 200 x 120 pixels"),
        ([good, "--box", "0,0,1e9,10"], 3, "is not in a picture of 200 x 120 pixels"),
        ([good, "--out", text], 2, f"{text} is a file, not a folder"),
        ([good, "--out", text / "sub"], 5, f"cannot write {text / 'sub'}"),
        ([good, "--out", good.parent], 2, "holds the pictures themselves: choose another folder"),
    ):
        assert run(model, "--out", out, *arguments) == code, arguments
        printed, errors = capsys.readouterr()
        assert printed == ""
        assert message in errors
        assert "Traceback" not in errors
    assert [path.name for path in good.parent.iterdir()] == ["good.png"]


def test_long_and_strange_names(tmp_path: Path, model: Path, seeing: None) -> None:
    names = ["ü ñ.png", "n" * 251 + ".png", "12:30:05.png", "a\u2028b.webp", "c.tif"]
    if sys.platform == "linux":
        names.append(os.fsdecode(b"caf\xe9.png"))  # a name of the days before UTF-8
    for name in names:
        save(tmp_path / "in" / name, flag())
    assert run(model, tmp_path / "in", "--out", tmp_path / "out", "--quiet") == 0
    assert {Path(str(person["picture"])).name for person in people(tmp_path / "out")} == set(names)
    assert len(list((tmp_path / "out").glob("*.png"))) == len(names)
    assert (tmp_path / "out/predictions.csv").read_text().count("blue") == len(names)
    data: Any = open_dataset(f"csv:{tmp_path / 'out/predictions.csv'}?names=base&images=in", "train")
    assert set(names[:5]) <= set(data.labels.files)  # a table in UTF-8 cannot hold the last one


def test_a_box_needs_numbers_and_an_area(capsys: pytest.CaptureFixture[str]) -> None:
    for box in ("1,2,3", "1,2,3,4,5", "a,b,c,d", "", "0,0,0,5", "0,0,5,-1", "nan,0,5,5", "0,0,inf,5"):
        with pytest.raises(SystemExit) as caught:
            run("model", "picture", f"--box={box}")
        assert caught.value.code == 2
        errors = capsys.readouterr().err
        assert "argument --box" in errors
        assert errors.count("\n") == 1


def test_crops() -> None:
    picture = np.zeros((30, 50, 3), np.uint8)
    said = Model(StackedHourglass(16, 3, depth=1), FLAG, HeatmapCodec(64)).description
    whole = crop_for(picture, said, None)
    assert (whole.center, whole.side, whole.size) == ((24.5, 14.5), 50, 64)
    part = crop_for(picture, said, (10, 5, 4, 20))
    assert (part.center, part.side, part.size) == ((11.5, 14.5), 25, 64)
    for outside in ((50, 0, 5, 5), (0, 30, 5, 5), (-5, 0, 5, 5), (0, -5, 5, 5), (0, 0, 5001, 5)):
        with pytest.raises(ValueError, match="not in a picture of 50 x 30 pixels"):
            crop_for(picture, said, outside)


def test_the_functions_beneath(tmp_path: Path, model: Path, seeing: None) -> None:
    loaded = Model.load(model)
    path = save(tmp_path / "in" / "flag.png", flag())
    view = look(loaded, path)
    assert np.array_equal(view.picture, flag())
    joints, scores = view.found.points, view.found.scores
    assert joints is not None
    assert scores is not None
    assert (view.path, joints.shape, scores.shape) == (path, (3, 2), (3,))
    np.testing.assert_allclose(joints, list(SPOTS.values()), atol=ONE_PIXEL)
    with pytest.raises(BadPicture, match="the box 900,0,1,1 is not in a picture"):
        look(loaded, path, (900, 0, 1, 1))
    assert find_pictures([tmp_path / "in", path]) == [path, path]
    with pytest.raises(UserError, match="no picture or folder"):
        find_pictures([tmp_path / "none"])
    (tmp_path / "out").mkdir()
    done, bad = save_predictions(loaded, [path, tmp_path / "gone.png"], PointFiles(loaded, tmp_path / "out"))
    assert done == 1
    assert [str(error) for error in bad] == [f"{tmp_path / 'gone.png'}: no such picture"]


def test_a_folder_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(self: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", denied)
    with pytest.raises(DataError, match=r"cannot look into .*: Permission denied"):
        find_pictures([tmp_path])
