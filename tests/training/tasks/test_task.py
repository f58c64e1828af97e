"""What a task decides, tried on one that is not pose: its name, its defaults, a score that is better when lower."""

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from hbcore import StackedHourglass
from hbcore.landmarks.heatmaps import HeatmapCodec
from training import pose
from training.command_line import main, train
from training.configuration.settings import Config
from training.configuration.toml import from_toml
from training.configuration.values import override
from training.datasets import POSE_KINDS
from training.errors import DataError, UserError
from training.labels.skeletons import MPII
from training.loading.test_set import TestSet
from training.prediction.model import Model
from training.tasks.face import FACE
from training.tasks.parts import PARTS
from training.tasks.points import PointTask
from training.tasks.pose import POSE

SMALL = ("model.features=16", "model.depth=1", "data.size=32", "data.workers=0", "optim.batch_size=2", "run.threads=1")
DATA = ("--data", "synthetic?length=4&size=48", "--test", "synthetic?length=2&size=48")


def error(test: TestSet, predicted: NDArray[np.float32]) -> dict[str, float]:
    return {"error@px": float(np.abs(predicted - test.keypoints).mean()), "error@px/all": 1.0}


ERROR = PointTask(
    name="distance",
    about="For tests.",
    kinds=POSE_KINDS,
    headlines=("error@other", "error@px"),
    scorer=error,
    protocols={"error": "in pixels", "other": "not used"},
    settings=(*SMALL, "optim.steps=7"),
    lower_is_better=True,
    baseline="mean thing",
)


@pytest.fixture(autouse=True)
def no_curves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train, "curves", lambda *_: None)


def test_a_task_has_defaults_of_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ERROR.defaults().run.out == "runs/distance"
    assert pose.POSE.defaults() == Config()
    path = tmp_path / "c.toml"
    path.write_text("[optim]\nlr = 0.5\n")
    assert main.main(ERROR, ["--config", str(path), "--seed", "3", "--dry-run", "--json"]) == 0
    values = json.loads(capsys.readouterr().out)["config"]
    assert (values["optim"]["steps"], values["optim"]["lr"], values["run"]["seed"]) == (7, 0.5, 3)
    assert (values["model"]["features"], values["run"]["out"]) == (16, "runs/distance")
    assert main.main(ERROR, ["--settings"]) == 0
    assert from_toml(capsys.readouterr().out) == ERROR.defaults()


def test_a_lower_score_can_be_the_better_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pace = ("--steps", "4", "--set", "run.eval_every=1", "optim.lr=0.05")
    assert main.main(ERROR, ["--out", str(tmp_path / "run"), *DATA, *pace]) == 0
    printed = capsys.readouterr().err
    scores = [float(line.split(" ")[-2]) for line in printed.splitlines() if ": error@px " in line]
    best = json.loads((tmp_path / "run/metrics.json").read_text())["best"]
    assert len(set(scores)) == 4
    assert best == {"metric": "error@px", "value": pytest.approx(min(scores), abs=0.005), "step": best["step"]}
    assert scores[best["step"] - 1] == min(scores)


def test_the_headline_is_the_preferred_score_that_is_there() -> None:
    pck = {"PCKbox@0.05": 1.0, "AUC": 2.0, "PCK@0.2": 3.0}
    assert POSE.headline(pck) == "PCK@0.2"
    assert POSE.headline(pck | {"PCKh@0.5": 4.0}) == "PCKh@0.5"
    assert POSE.headline({"PCKbox@0.2": 5.0, "PCKbox@0.05": 1.0}) == "PCKbox@0.05"
    nme = {f"NME_{norm}": 1.0 for norm in ("diag", "box", "pupil", "ioc")}
    for norm in ("ioc", "pupil", "box", "diag"):
        assert FACE.headline(nme) == f"NME_{norm}"
        del nme[f"NME_{norm}"]
    assert PARTS.headline({"mean_accuracy": 1.0, "mIoU": 2.0}) == "mIoU"
    with pytest.raises(ValueError, match="face: no headline among the scores AUC"):
        FACE.headline({"AUC": 1.0})


def test_models_carry_the_name_of_their_task(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mine, other = tmp_path / "mine", tmp_path / "pose"
    for path, task in ((mine, "distance"), (other, "pose")):
        Model(StackedHourglass(16, 16, depth=1), MPII, HeatmapCodec(32), task=task).save(path)
    assert Model.load(mine, "distance").task == "distance"
    assert Model.load(mine).task == "distance"
    assert main.main(ERROR, ["eval", str(mine), *DATA[:2], "--threads", "1", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert list(result["protocol"].items())[1:] == [("error", "in pixels")]
    for verb in (["eval", str(other), *DATA[:2]], ["predict", str(other), str(mine)]):
        assert main.main(ERROR, [*verb, "--threads", "1"]) == 3
        message = f"{other} is a model of the task pose: use it with python -m training.pose\n"
        assert capsys.readouterr().err == f"{verb[0]}: {message}"
    for name in (3, None, "no name", "x" * 99):
        Model(StackedHourglass(16, 16, depth=1), MPII, HeatmapCodec(32), task=name).save(mine)  # type: ignore[arg-type]
        with pytest.raises(DataError, match="not a model of this version"):
            Model.load(mine)


def test_the_constant_answer_has_the_task_s_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "m"
    Model(StackedHourglass(16, 16, depth=1), MPII, HeatmapCodec(32), task="distance").save(path)
    words = ["eval", str(path), *DATA[:2], "--mean-thing", DATA[1], "--threads", "1"]
    assert main.main(ERROR, [*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["mean_thing"].keys() == {"error@px", "error@px/all"}
    assert main.main(ERROR, words) == 0
    assert "mean thing of the training set:" in capsys.readouterr().out


def test_a_loss_of_another_task_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    only = PointTask(name="x", about="", kinds=POSE_KINDS, scorer=error, protocols={}, headlines=(), losses=("mse",))
    with pytest.raises(UserError, match=r'optim.loss = "bce" is not for training.x: choose from mse'):
        only.check(Config())
    assert main.main(only, ["--dry-run", "--set", "optim.loss=bce"]) == 2
    assert capsys.readouterr().err.startswith('train: optim.loss = "bce" is not for training.x')
    config = override(Config(), ["optim.loss=mse"])
    assert only.check(config) is config


def test_a_network_that_could_not_be_loaded_is_not_saved(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    network = StackedHourglass(16, 16, depth=1)
    network.parameters()[0].data[...] = np.nan
    with pytest.raises(DataError, match=r"model.safetensors: this network cannot be saved: stem.* is not finite"):
        Model(network, MPII, HeatmapCodec(32)).save(path)
    assert not path.exists()
