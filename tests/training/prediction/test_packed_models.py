"""Packed files in the place of a trained model: same answers by every way, in eval, predict, and as a teacher."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hbcore import StackedHourglass
from hbcore.export.packing import pack
from hbcore.landmarks.confidence import Calibration
from hbcore.landmarks.heatmaps import HeatmapCodec
from hbcore.landmarks.masks import MaskCodec
from hbcore.landmarks.squares import CropRule
from tests.command_lines import Outcome
from tests.tiny_runs import tiny
from training import parts, pose
from training.labels.parts import Parts
from training.labels.skeletons import MPII
from training.prediction.model import Model
from training.prediction.runner import WAYS
from training.runs.techniques import Teacher

FIELDS: dict[str, Any] = {
    "calibration": Calibration(0.25, 0.9, 0.8, 7),
    "crops": (CropRule("points", 1.35), CropRule("picture")),
    "trained": {"steps": 3, "data": ["synthetic"], "test": ["synthetic?length=2&size=48"]},
}
POINTS = Model(StackedHourglass(16, 16, depth=1, stem=16, real_lin=True), MPII, HeatmapCodec(32), **FIELDS)
SIDES = Parts("sides", ("background", "left", "right"), ((1, 2),))
PARTS = Model(StackedHourglass(16, 3, depth=1, activation="prelu"), SIDES, MaskCodec(32), "softmax", "parts", **FIELDS)


@pytest.fixture(params=[POINTS, PARTS], ids=["points", "parts"])
def packed(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Model, Path]:
    request.param.save(tmp_path / "plain.safetensors")
    pack(str(tmp_path / "plain.safetensors"), tmp_path / "packed.safetensors")
    return request.param, tmp_path / "packed.safetensors"


def test_all_that_a_model_file_says_is_kept_but_where_data_lay(packed: tuple[Model, Path]) -> None:
    before, path = packed
    after = Model.load(path, before.task)
    assert after.packed
    assert not before.packed
    for name in ("scheme", "codec", "output", "task", "calibration", "crops"):
        assert getattr(after, name) == getattr(before, name)
    assert after.trained == {"steps": 3, "data": ["synthetic"]}
    pictures = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    maps = [Model.load(path, way=way).heatmaps(pictures) for way in WAYS]
    assert np.array_equal(maps[0], maps[1])
    assert np.array_equal(maps[0], maps[2])
    assert maps[0].std() > 0


def test_eval_and_predict_take_it(packed: tuple[Model, Path], capsys: pytest.CaptureFixture[str]) -> None:
    model, path = packed
    task = pose if model is POINTS else parts
    Image.new("RGB", (40, 30), (200, 100, 50)).save("photo.png")
    answers = []
    for way in ([], ["--packed"], ["--simulate"]):
        done = Outcome(task.main, capsys, "predict", path, "photo.png", "--threads", 1, "--out", f"out{way}", *way)
        assert done.code == 0, done.errors
        answers.append(json.loads(Path(f"out{way}/predictions.json").read_text()))
    assert answers[0] == answers[1] == answers[2]
    assert answers[0]["min_score"] == 0.25
    if model is POINTS:
        scored = Outcome(pose.main, capsys, "eval", path, "--data", "synthetic?length=2&size=48", "--threads", 1)
        assert scored.code == 0
        assert "PCKh@0.5" in scored.out


def test_a_teacher_may_be_packed(tmp_path: Path) -> None:
    """It is only looked at: no weight of it changes."""
    POINTS.save(tmp_path / "plain.safetensors")
    pack(str(tmp_path / "plain.safetensors"), tmp_path / "packed.safetensors")
    teacher = Teacher.read(tiny(f"technique.teacher={tmp_path}/packed.safetensors", "technique.distill=1"), MPII)
    assert teacher is not None
    maps, _ = teacher.lesson(np.zeros((1, 32, 32, 3), np.uint8))
    assert np.isfinite(maps).all()
