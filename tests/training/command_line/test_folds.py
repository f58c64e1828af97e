"""`train --folds K`: K ordinary runs, and what they come to."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.command_lines import Outcome
from training import pose
from training.command_line import train
from training.command_line.folds import summarise

TINY = ("--batch-size", "2", "--steps", "2", "--threads", "1", "--workers", "0", "--set",
        "model.features=16", "model.depth=1", "data.size=32")  # fmt: skip


@pytest.fixture(autouse=True)
def no_curves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train, "curves", lambda *_: None)


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    rows = ["picture,left_eye_x,left_eye_y,right_eye_x,right_eye_y"]
    for number in range(7):
        Image.fromarray(rng.integers(256, size=(40, 40, 3), dtype=np.uint8)).save(tmp_path / f"{number}.png")
        rows.append(f"{number}.png,10,12,30,12")
    path = tmp_path / "bees.csv"
    path.write_text("\n".join(rows) + "\n")
    return path


def test_mean_and_spread_are_those_of_the_runs_that_it_leaves(
    labels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "cv"
    words = ("--data", f"csv:{labels}", "--folds", 3, "--out", out, *TINY)
    done = Outcome(pose.main, capsys, *words, "--json", "--quiet")
    assert done.code == 0, done.errors
    told = json.loads(done.out)
    assert told == json.loads((out / "folds.json").read_text())
    runs = [json.loads((out / f"fold-{number}" / "metrics.json").read_text()) for number in (1, 2, 3)]
    assert [run["people"] for run in runs] == told["people"]
    assert sorted(told["people"]) == [2, 2, 3]
    for name, mean in told["mean"].items():
        values = [run["metrics"][name] for run in runs]
        assert told["values"][name] == values
        assert math.isclose(mean, sum(values) / 3)

    again = Outcome(pose.main, capsys, "eval", out / "fold-2", "--json", "--threads", 1)  # the model knows its fold
    assert json.loads(again.out)["metrics"] == runs[1]["metrics"]
    other = Outcome(pose.main, capsys, *words, "--quiet")
    assert (other.code, other.errors.count("\n")) == (2, 1)
    assert "fold-1 holds a run already" in other.errors
    before = (out / "fold-3" / "last.safetensors").read_bytes()
    assert Outcome(pose.main, capsys, *words, "--quiet", "--resume").code == 0
    assert (out / "fold-3" / "last.safetensors").read_bytes() == before


def test_spread_is_that_of_single_runs() -> None:
    results = [{"people": 1, "metrics": {"a": value, "b": 1.0}} for value in (1.0, 2.0, 6.0)]
    del results[1]["metrics"]["b"]  # not every fold can be scored by it
    told = summarise(results)
    assert told["mean"] == {"a": 3.0}
    assert told["spread"] == {"a": pytest.approx(math.sqrt((4 + 1 + 9) / 2))}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "divides your own labelled pictures, not synthetic: name them with --data"),
        (("--data", "csv:LABELS", "--test", "csv:LABELS?test=1"), "leave out --test"),
        (("--data", "csv:LABELS?fold=1/3"), "option fold of csv is given twice"),
        (("--data", "csv:LABELS", "--resume"), "name the folder of the folds with --out"),
        (("--data", "csv:LABELS", "--folds", "8"), "7 photos for training cannot be divided into 8 folds"),
    ],
)
def test_what_cannot_be_divided_is_named_in_one_line(
    words: tuple[str, ...],
    message: str,
    labels: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(labels.parent)
    named = [word.replace("LABELS", str(labels)) for word in words]
    done = Outcome(pose.main, capsys, "--folds", "2", *named, "--quiet", *TINY)
    assert done.code in (2, 3)
    assert message in done.errors
    assert done.errors.count("\n") == 1
