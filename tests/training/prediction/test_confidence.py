"""Calibrations: the threshold between right and wrong crops, and its way through model files."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hbcore import StackedHourglass
from hbcore.landmarks.confidence import Calibration
from hbcore.landmarks.heatmaps import HeatmapCodec
from training.errors import DataError
from training.labels.skeletons import LSP
from training.prediction.model import Model


def test_between_sets_that_do_not_overlap_the_middle_is_taken() -> None:
    found = Calibration.between(np.array([0.5, 0.8, 0.9]), np.array([0.1, 0.3]))
    assert found == Calibration(0.4, 1.0, 1.0, 3)
    assert Calibration.between(np.array([0.5]), np.array([0.1])).threshold == pytest.approx(0.3)


def test_where_they_overlap_as_many_are_wrong_on_either_side() -> None:
    right = np.concatenate([np.linspace(0.5, 0.9, 90), np.full(10, 0.2)])
    wrong = np.concatenate([np.linspace(0.1, 0.4, 180), np.full(20, 0.7)])
    found = Calibration.between(right, wrong)
    assert found.threshold is not None
    assert 0.4 < found.threshold < 0.51
    assert (found.right, found.wrong) == (pytest.approx(0.9, abs=0.011), pytest.approx(0.9, abs=0.011))
    rng = np.random.default_rng(0)
    found = Calibration.between(rng.normal(0.6, 0.1, 200), rng.normal(0.4, 0.1, 600))
    assert found.right == pytest.approx(found.wrong, abs=0.02)
    assert found.right == pytest.approx(0.84, abs=0.05)  # one standard deviation each


@pytest.mark.parametrize("wrong", [[0.5, 0.5], [0.4, 0.6], [0.9, 0.8]])
def test_without_a_difference_there_is_no_threshold(wrong: list[float]) -> None:
    found = Calibration.between(np.array([0.4, 0.6, 0.5, 0.5]), np.array(wrong))
    assert found.threshold is None


@pytest.fixture
def model() -> Model:
    return Model(StackedHourglass(16, 14, depth=1), LSP, HeatmapCodec(32))


def test_a_model_file_keeps_it(tmp_path: Path, model: Model) -> None:
    path = tmp_path / "m"
    for calibration in (None, Calibration(0.31, 0.98, 0.95, 200), Calibration(None, 0.6, 0.6, 7)):
        made = Model(model.network, model.scheme, model.codec, calibration=calibration, trained={"steps": 3})
        made.save(path)
        loaded = Model.load(path)
        assert loaded.calibration == calibration
        assert loaded.least_confidence == (calibration.threshold if calibration else None)
        assert loaded.trained == {"steps": 3}


@pytest.mark.parametrize(
    "change",
    [
        {"threshold": "0.3"},
        {"threshold": float("nan")},
        {"threshold": [0.3]},
        {"right": 1.5},
        {"wrong": None},
        {"crops": "all"},
        {"crops": 10**400},
        {"threshold": float("inf")},
    ],
)
def test_a_damaged_one_is_refused(tmp_path: Path, model: Model, change: dict[str, Any]) -> None:
    path = tmp_path / "m.safetensors"
    for damaged in (Calibration(0.3, 1.0, 1.0, 9).to_dict() | change, [], 3, None, {"threshold": 0.3}):
        model.save(path, confidence=damaged)
        with pytest.raises(DataError, match=r"m\.safetensors: not a model of this version"):
            Model.load(path)
