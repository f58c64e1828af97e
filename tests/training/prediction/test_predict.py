import csv
import hashlib
import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from hbcore import StackedHourglass
from training import pose
from training.codecs.heatmaps import HeatmapCodec
from training.errors import BadPicture, DataError, UserError
from training.labels.skeletons import Skeleton
from training.pictures.drawing import LEFT, MIDDLE, RIGHT
from training.prediction.confidence import Calibration
from training.prediction.model import Model
from training.prediction.point_files import PointFiles, points_in
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
    assert run(model, picture, "--out", out, "--box=-20,-10,80,80", "--quiet") == 0
    (person,) = people(out)
    assert (person["center"], person["side"]) == ([19.5, 29.5], 100)
    assert places(person)["left_red"] == pytest.approx(SPOTS["left_red"], abs=ONE_PIXEL / 2)


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
    assert run(calibrated, bad, "--out", out, "--quiet", "--box", "10,10,100,100") == 0
    assert "not drawn: check --box, or lower --min-score\n" in capsys.readouterr().err
    assert run(calibrated, bad, "--out", out, "--quiet", "--min-score", "0") == 0
    assert capsys.readouterr().err == ""
    assert people(out)[0]["below"] is False


def test_a_model_whose_confidence_tells_nothing_says_so(
    tmp_path: Path, model: Path, seeing: None, capsys: pytest.CaptureFixture[str]
) -> None:
    picture, path = save(tmp_path / "in/flag.png", flag() // 4), tmp_path / "m"
    replace(Model.load(model), calibration=Calibration(None, 0.5, 0.5, 200)).save(path)
    assert run(path, picture, "--out", tmp_path / "out") == 0
    assert "in training this model was no surer of right crops than of wrong ones" in capsys.readouterr().err
    assert run(path, picture, "--out", tmp_path / "out", "--min-score", "0.9") == 0
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
    names = ["ü ñ.png", "n" * 251 + ".png"]
    if sys.platform == "linux":
        names.append(os.fsdecode(b"caf\xe9.png"))  # a name of the days before UTF-8
    for name in names:
        save(tmp_path / "in" / name, flag())
    assert run(model, tmp_path / "in", "--out", tmp_path / "out", "--quiet") == 0
    assert {Path(str(person["picture"])).name for person in people(tmp_path / "out")} == set(names)
    assert len(list((tmp_path / "out").glob("*.png"))) == len(names)
    assert (tmp_path / "out/predictions.csv").read_text().count("blue") == len(names)


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
    whole = crop_for(picture, 64, None)
    assert (whole.center, whole.side, whole.size) == ((24.5, 14.5), 50, 64)
    part = crop_for(picture, 64, (10, 5, 4, 20))
    assert (part.center, part.side, part.size) == ((11.5, 14.5), 25, 64)
    for outside in ((50, 0, 5, 5), (0, 30, 5, 5), (-5, 0, 5, 5), (0, -5, 5, 5), (0, 0, 5001, 5)):
        with pytest.raises(ValueError, match="not in a picture of 50 x 30 pixels"):
            crop_for(picture, 64, outside)


def test_the_functions_beneath(tmp_path: Path, model: Path, seeing: None) -> None:
    loaded = Model.load(model)
    path = save(tmp_path / "in" / "flag.png", flag())
    view = look(loaded, path)
    assert np.array_equal(view.picture, flag())
    joints, scores = points_in(loaded, view)
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
