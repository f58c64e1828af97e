"""What is worth labelling: unsure, unlike what is labelled, and not the same thing twice."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from hbcore import StackedHourglass
from hbcore.landmarks.crop import Crop
from hbcore.landmarks.heatmaps import HeatmapCodec
from hbcore.landmarks.squares import around_picture
from tests.command_lines import Outcome
from training import data
from training.choosing import worth
from training.choosing.worth import Seen, choose, see, thumb
from training.labels.skeletons import Skeleton
from training.prediction.model import Model

PAIR = Skeleton("pair", ("left_eye", "right_eye"), (), ((0, 1),))
KNOWN = np.array([1.0, 0.0, 0.0])


def seen(doubt: float, spread: float, *thumb: float) -> Seen:
    return Seen(True, doubt, spread, np.array(thumb))


def test_a_picture_is_worth_what_it_lessens() -> None:
    """By hand: unsure by 1, 2/3 and 1/3, thumbs on axes, nothing known. Two shots of one scene weigh 1/2 and 1/3."""
    three = [seen(0.9, 0.3, 0, 1, 0), seen(0.8, 0.2, 0, 1, 0), seen(0.1, 0.1, 0, 0, 1)]
    first, second, third = choose(three, [KNOWN], 9)
    assert (first.index, first.worth, first.unlike) == (0, pytest.approx((5 / 6) / (7 / 6)), 1.0)
    assert (second.index, second.worth, second.unlike) == (2, pytest.approx((1 / 3) / (7 / 6)), 1.0)  # 1 is like 0
    assert (third.index, third.worth, third.unlike) == (1, 0.0, 0.0)
    assert len(choose(three, [KNOWN], 2)) == 2


def test_one_of_many_alike_comes_before_one_like_no_other() -> None:
    """Two are 0.2 from the first: 1/4 + (1/2 + 3/4) 0.8. Of the last alone a model is most unsure: 1."""
    around = [(0, 1, 0, 0), (0, 0.8, 0.6, 0), (0, 0.8, -0.6, 0), (0, 0, 0, 1)]
    four = [seen(number, number, *place) for number, place in enumerate(around)]
    known = np.array([1.0, 0, 0, 0])
    first, second, *_ = choose(four, [known], 4)
    assert (first.index, first.worth) == (0, pytest.approx((1 / 4 + (1 / 2 + 3 / 4) * 0.8) / 2.5))
    assert (second.index, second.worth) == (3, pytest.approx(1 / 2.5))


def test_a_hundred_shots_of_one_scene_take_one_place() -> None:
    rng = np.random.default_rng(0)
    shots = np.eye(8)[0] + 0.02 * rng.normal(size=(100, 8))
    others = [seen(0.5, 0.5, *np.eye(8)[axis]) for axis in range(1, 6)]
    burst = [seen(0.6, 0.6, *shot / np.linalg.norm(shot)) for shot in shots]
    listed = [choice.index for choice in choose([*burst, *others], [], 6)]
    assert sorted(listed)[1:] == [100, 101, 102, 103, 104]
    assert listed[0] < 100  # the more unsure, and neither a hundred times as much nor a hundredth


@given(st.integers(0, 1000), st.integers(1, 12), st.integers(0, 3))
def test_the_list_is_that_of_looking_at_all_again_each_time(seed: int, count: int, labelled: int) -> None:
    rng = np.random.default_rng(seed)
    thumbs = rng.normal(size=(count + labelled, 3))
    thumbs /= np.linalg.norm(thumbs, axis=1, keepdims=True)
    known, some = thumbs[count:], thumbs[:count]
    order = rng.permutation(count)
    apart = np.clip(1 - some @ some.T, 0, 1)
    weights = (order + 1) / count / (apart < worth.SAME).sum(axis=1)
    unlike = np.clip(1 - some @ known.T, 0, 1).min(axis=1, initial=1)
    total = weights @ unlike
    chosen = choose([seen(float(d), float(d), *t) for d, t in zip(order, some, strict=True)], list(known), count)
    assert sorted(choice.index for choice in chosen) == list(range(count))
    left = set(range(count))
    for choice in chosen:
        worths = {i: weights @ np.maximum(0, unlike - apart[i]) / total for i in left}
        assert choice.worth == pytest.approx(max(worths.values()), abs=1e-9)
        assert choice.worth == pytest.approx(worths[choice.index], abs=1e-9)
        assert choice.unlike == pytest.approx(unlike[choice.index], abs=1e-9)
        left.remove(choice.index)
        unlike = np.minimum(unlike, apart[choice.index])


def test_what_is_like_a_labelled_one_comes_last_however_unsure() -> None:
    two = [seen(0.9, 0.9, 1, 0, 0), seen(0.1, 0.1, 0, 1, 0)]
    assert [choice.index for choice in choose(two, [KNOWN], 2)] == [1, 0]
    assert [choice.index for choice in choose(two, [], 2)] == [0, 1]


def test_thumbs_do_not_depend_on_brightness_or_contrast() -> None:
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 100, (64, 64, 3), dtype=np.uint8)
    crop = Crop(*around_picture(picture), 64)
    one = thumb(picture, crop)
    assert one @ one == pytest.approx(1)
    assert one @ thumb(2 * picture + 20, crop) == pytest.approx(1, abs=0.01)
    assert abs(one @ thumb(rng.integers(0, 100, (64, 64, 3), dtype=np.uint8), crop)) < 0.4
    assert not thumb(np.full((64, 64, 3), 7, np.uint8), crop).any()


class Marks:
    """Stands for a model of one point: at the brightest red pixel of what it sees, or always in the middle column."""

    def __init__(self, steady: bool) -> None:
        self.codec, self.needs_box, self.steady = HeatmapCodec(32), False, steady
        self.scheme = Skeleton("spot", ("spot",), (), (), flips=False)
        self.description = Model(StackedHourglass(16, joints=1, depth=1), self.scheme, self.codec).description

    def heatmaps(self, crops: np.ndarray) -> np.ndarray:
        maps = np.zeros((len(crops), 8, 8, 1), np.float32)
        for index, crop in enumerate(crops):
            y, x = np.unravel_index(crop[..., 0].argmax(), crop.shape[:2])
            maps[index, y // 4, x // 4 if self.steady else 4] = 0.5
        return maps


def test_the_spread_is_how_far_points_move_when_the_square_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """By 8 pixels of 32 here, two of the maps. A point that goes along is 0, 8, -8, 0 and 0 pixels from its mean."""
    monkeypatch.setattr(worth, "MOVED", 0.25)
    picture = np.zeros((32, 32, 3), np.uint8)
    picture[12:16, 12:16, 0] = 255
    steady, astray = (see(Marks(way), picture, None) for way in (True, False))  # type: ignore[arg-type]
    assert (steady.found, steady.doubt, astray.doubt) == (True, 0.5, 0.5)
    assert steady.spread == pytest.approx(0, abs=1e-6)
    assert astray.spread == pytest.approx(np.sqrt(2 * 8**2 / 5) / 32)


# ------------------------------------------------------------------------------------------------ the command line


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five pictures, the first two with labels, the last one cut off, and a model that was trained on the labels."""
    root = tmp_path_factory.mktemp("next")
    (root / "photos").mkdir()
    rng = np.random.default_rng(1)
    for number in range(5):
        Image.fromarray(rng.integers(256, size=(40, 40, 3), dtype=np.uint8)).save(root / f"photos/{number}.png")
    cut = root / "photos/4.png"
    cut.write_bytes(cut.read_bytes()[:100])
    head = "picture,left_eye_x,left_eye_y,right_eye_x,right_eye_y\n"
    (root / "labels.csv").write_text(head + "0.png,30,10,10,10\n1.png,31,10,11,10\n")
    spec = f"csv:{root / 'labels.csv'}?images={root / 'photos'}"
    network = StackedHourglass(16, joints=2, depth=1, seed=0)
    Model(network, PAIR, HeatmapCodec(32), trained={"test": [spec]}).save(root / "m.safetensors")
    return root


def test_the_list_has_what_is_not_labelled_in_three_forms(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("next", folder / "m.safetensors", folder / "photos")
    done = Outcome(data.main, capsys, *words, "--json", "--out", tmp_path / "n.csv")
    assert done.code == 0, done.errors
    assert "skipped: " in done.errors
    rows = json.loads(done.out)
    assert sorted(Path(row["picture"]).name for row in rows) == ["2.png", "3.png"]
    assert [row["rank"] for row in rows] == [1, 2]
    assert rows[0]["worth"] >= rows[1]["worth"]
    with (tmp_path / "n.csv").open(newline="") as file:
        assert [row["picture"] for row in csv.DictReader(file)] == [row["picture"] for row in rows]
    text = Outcome(data.main, capsys, *words, "--count", 1)
    assert text.out.splitlines()[1].endswith(rows[0]["picture"])
    assert "1 of 2 pictures without labels, compared with 2 labelled ones" in text.out
    assert Outcome(data.main, capsys, *words, "--json").out == done.out


def test_labels_that_are_not_here_are_no_reason_to_stop(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = Model.load(folder / "m.safetensors")
    made.save(folder / "far.safetensors", trained={"test": ["csv:gone.csv"]})
    done = Outcome(data.main, capsys, "next", folder / "far.safetensors", folder / "photos", "--json")
    assert done.code == 0
    assert "gone.csv" in done.errors
    assert len(json.loads(done.out)) == 4


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("gone.safetensors", "photos"), 3, "gone.safetensors"),
        (("m.safetensors", "empty"), 2, "empty"),
        (("m.safetensors", "photos", "--out", "n.txt"), 2, "n.txt: a list is written as FILE.csv or FILE.json"),
        (("m.safetensors", "photos", "--labelled", "csv:gone.csv"), 3, "gone.csv"),
        (("m.safetensors", "photos", "--finder", "m.safetensors"), 3, "finds points or parts where it is told to look"),
        (("m.safetensors", "photos", "--count", "0"), 2, "'0' is not a number of pictures"),
    ],
)
def test_mistakes_are_one_line(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    code: int,
    message: str,
) -> None:
    monkeypatch.chdir(folder)
    Path("empty").mkdir(exist_ok=True)
    Outcome(data.main, capsys, "next", *words, "--quiet").fails(code, message)
