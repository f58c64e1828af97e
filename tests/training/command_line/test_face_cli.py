"""`python -m training.face`: train, eval and predict on drawn and on real-looking files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from training import face
from training.configuration.toml import load
from training.datasets.drawn.synthetic_faces import SyntheticFaces
from training.errors import DataError, UserError
from training.labels.face_skeletons import IBUG68, generic
from training.loading.test_set import TestSet
from training.prediction.model import Model
from training.tasks.face import FACE, score

SMALL = ("--features", "16", "--size", "32", "--threads", "1", "--workers", "0", "--batch-size", "2", "--quiet")
DEPTH = ("--set", "model.depth=1", "optim.warmup=0")
DATA = ("--data", "synthetic?length=4", "--test", "synthetic?length=3")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("face") / "run"
    assert face.main(["train", *DATA, *SMALL, *DEPTH, "--steps", "2", "--out", str(folder)]) == 0
    return folder


def test_a_run_leaves_every_norm_and_the_curve(run: Path) -> None:
    result = json.loads((run / "metrics.json").read_text())
    names = list(result["metrics"])
    assert names[:4] == ["NME_ioc", "NME_pupil", "NME_box", "NME_diag"]
    assert {"AUC@0.08", "AUC@0.1", "FR@0.08", "FR@0.1"} < set(names)
    assert any(name.startswith("NME_box/yaw_") for name in names)
    assert set(result["protocol"]) == {"data", "NME_ioc", "NME_pupil", "NME_box", "NME_diag", "AUC", "FR"}
    assert "outer eye corners" in result["protocol"]["NME_ioc"]
    assert result["best"]["metric"] == "NME_ioc"
    assert result["best"]["value"] == pytest.approx(result["metrics"]["NME_ioc"])  # lower is better than nothing
    for name in ("ced.png", "overlays.png", "curves.png"):
        with Image.open(run / name) as picture:
            picture.load()
    assert Model.load(run / "last.safetensors", "face").skeleton == IBUG68


def test_eval_scores_and_draws(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = str(run / "last.safetensors")
    arguments = ["eval", model, "--data", "synthetic?length=3", "--flip-test", "--packed", "--threads", "1"]
    arguments += ["--mean-face", "synthetic?length=4", "--pictures", str(tmp_path / "pictures"), "--json"]
    assert face.main(arguments) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["mean_face"]["NME_ioc"] < result["metrics"]["NME_ioc"]  # two steps teach nothing
    assert {path.name for path in (tmp_path / "pictures").iterdir()} == {"ced.png", "overlays.png"}


def test_predict_finds_points(run: Path, tmp_path: Path) -> None:
    Image.fromarray(SyntheticFaces("test").sample(0).picture).save(tmp_path / "a.png")
    out = tmp_path / "out"
    model = str(run / "last.safetensors")
    assert face.main(["predict", model, str(tmp_path / "a.png"), "--out", str(out), "--quiet", "--threads", "1"]) == 0
    found = json.loads((out / "predictions.json").read_text())
    assert len(found["people"][0]["joints"]) == 68


def test_a_folder_of_unknown_points_is_trained_without_mirrors(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(4):
        picture = np.full((40, 40, 3), 60 * number, np.uint8)
        Image.fromarray(picture).save(tmp_path / f"f{number}x.png")
        text = "version: 1\nn_points: 3\n{\n5 5\n30 6\n20 30\n}\n"
        (tmp_path / f"f{number}x.pts").write_text(text)
    data = ("--data", f"pts:{tmp_path}", "--test", f"pts:{tmp_path}?test=1")
    out = tmp_path / "run"
    assert face.main([*data, *SMALL, *DEPTH, "--steps", "1", "--out", str(out)]) == 0
    result = json.loads((out / "metrics.json").read_text())
    assert list(result["metrics"])[:2] == ["NME_box", "NME_diag"]
    capsys.readouterr()
    arguments = ["eval", str(out / "last.safetensors"), "--data", f"pts:{tmp_path}?test=1", "--flip-test"]
    assert face.main(arguments) == UserError.exit_code
    assert "points3 has no mirror" in capsys.readouterr().err


def test_data_of_another_task_is_unknown(capsys: pytest.CaptureFixture[str]) -> None:
    assert face.main(["--data", "lsp:x", "--dry-run"]) == UserError.exit_code
    assert "unknown data set 'lsp'" in capsys.readouterr().err


def test_the_recipe_is_a_configuration() -> None:
    config = FACE.check(load(Path(__file__).parents[3] / "training" / "recipes" / "face.toml"))
    assert (config.data.size, config.model.features, config.optim.batch_size) == (128, 64, 8)


def _test_set(labelled: NDArray[np.bool_]) -> TestSet:
    count, points = labelled.shape
    joints = np.zeros((count, points, 2), np.float32)
    joints[:, :, 0] = np.arange(points)
    joints[:, 0, 1] = 3
    values = {
        "pictures": np.zeros((count, 32, 32, 3), np.uint8),
        "keypoints": joints,
        "labelled": labelled,
        "scheme": generic(points),
        "masks": None,
        "protocol": "",
        "bad": (),
    }
    for name in TestSet.__dataclass_fields__:
        values.setdefault(name, np.full(count, np.nan))
    return TestSet(**values)  # type: ignore[arg-type]


@pytest.mark.parametrize("labelled", [[[False, False]], [[True, False]]], ids=["nothing", "one point, so no box"])
def test_a_test_set_that_cannot_be_scored(labelled: list[list[bool]]) -> None:
    test = _test_set(np.array(labelled))
    with pytest.raises(DataError, match="nothing in the test set can be scored"):
        score(test, test.keypoints)


def test_a_prediction_that_is_nan_is_no_user_error() -> None:
    test = _test_set(np.ones((1, 2), np.bool_))
    with pytest.raises(ValueError, match="not finite"):
        score(test, np.full_like(test.keypoints, np.nan))
