"""A finder as a user meets it: train, eval and predict, and then a model that follows it."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hbcore.landmarks import landmarker
from hbcore.landmarks.finding.finder import Finder
from training import face, finder
from training.files.logs import read_log
from training.prediction.boxes import COLUMNS, read_boxes
from training.prediction.model import Model

pytestmark = pytest.mark.usefixtures("one_thread")

DATA = ("--data", "synthetic?length=12&size=96", "--data", "scenery?length=6&size=64")
TINY = ("--threads", "1", "--workers", "0", "--batch-size", "2", "--steps", "3", "--set", "model.features=16")
TINY = (*TINY, "model.depth=2", "data.size=96", "optim.warmup=0", "run.eval_every=1000", "run.log_every=1")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of three steps. Not to be changed."""
    out = tmp_path_factory.mktemp("trained") / "run"
    assert finder.main([*DATA, "--out", str(out), *TINY, "--quiet"]) == 0
    return out


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    capsys.readouterr()
    code = finder.main([str(word) for word in words])
    return code, *capsys.readouterr()


def test_a_run_leaves_what_other_runs_leave(trained: Path) -> None:
    left = {"best.safetensors", "last.safetensors", "log.csv", "metrics.json", "overlays.png", "config.toml"}
    assert left <= {path.name for path in trained.iterdir()}
    result = json.loads((trained / "metrics.json").read_text())
    assert set(result["metrics"]) == {"found@1%", "confidence@1%"}
    assert len(read_log(trained / "log.csv")["step"]) == 3
    model = Model.load(trained / "last.safetensors", "finder")
    assert model.description.finds
    assert model.calibration is not None
    assert model.calibration.threshold is not None


def test_the_defaults_can_be_trained_on(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "--dry-run")
    assert (code, err) == (0, "")
    assert 'train = ["synthetic", "scenery"]' in out


def test_eval_and_resume(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "eval", trained, "--threads", 1, "--json", "--middle-box", "synthetic")
    assert code == 0
    result = json.loads(out)
    assert result["metrics"] == json.loads((trained / "metrics.json").read_text())["metrics"]
    assert result["middle_box"]["found@1%"] >= 0
    code, _, said = run(capsys, "eval", trained, "--threads", 1, "--data", "scenery?length=2")
    assert (code, "no picture has a labelled instance" in said) == (3, True)


def test_predict_writes_boxes_that_other_tasks_read(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = np.random.default_rng(0).integers(0, 255, (50, 80, 3), np.uint8)
    Image.fromarray(picture).save(tmp_path / "a.png")
    out = tmp_path / "found"
    code, _, _ = run(capsys, "predict", trained, tmp_path / "a.png", "--out", out, "--min-score", 0, "--threads", 1)
    assert code == 0
    with open(out / "boxes.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    told = json.loads((out / "boxes.json").read_text())["pictures"]
    assert len(rows) == len(told[0]["found"]) > 0
    assert (out / "0000_a.png").exists()
    boxes = read_boxes(f"csv:{out / 'boxes.csv'}").of(tmp_path / "a.png")
    assert boxes == [tuple(float(row[column]) for column in COLUMNS[1:]) for row in rows]


def test_a_model_is_led_by_a_finder(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["--data", "synthetic?length=4&size=64", *TINY, "--quiet", "--out", str(tmp_path / "face")]
    assert face.main(words) == 0
    Image.fromarray(np.zeros((50, 80, 3), np.uint8)).save(tmp_path / "a.png")
    model, picture = str(tmp_path / "face"), str(tmp_path / "a.png")
    led = ["predict", model, picture, "--finder", str(trained / "last.safetensors"), "--out"]
    places = np.array([[10.0, 10, 30, 30], [50.0, 10, 70, 30]])
    monkeypatch.setattr(Finder, "__call__", lambda self, picture, least: (places, np.ones(len(places))))
    # A model of three steps has no threshold: it is never unsure. One look alone, so that places stay where they are.
    monkeypatch.setattr(landmarker, "settled", lambda picture, look, *_: look)
    assert face.main([*led, str(tmp_path / "two")]) == 0
    with open(tmp_path / "two" / "predictions.csv", newline="") as file:
        assert {row["person"] for row in csv.DictReader(file)} == {"1", "2"}
    places = places[:0]
    capsys.readouterr()
    assert face.main([*led, str(tmp_path / "none")]) == 3
    assert "nothing was found that the model is sure of" in capsys.readouterr().err
    assert face.main(["predict", model, picture, "--finder", str(tmp_path / "face/last.safetensors")]) == 3
    assert "and not where to look" in capsys.readouterr().err
