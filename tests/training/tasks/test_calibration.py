"""What a model is calibrated on, and that a run does it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from hbcore import StackedHourglass
from hbcore.landmarks.heatmaps import HeatmapCodec
from tests.tiny_runs import make_run, tiny
from training.datasets.drawn.synthetic import SyntheticFigures
from training.errors import BadPicture
from training.labels.skeletons import MPII
from training.loading.concatenated import ConcatenatedDataset
from training.prediction.model import Model
from training.tasks import calibration
from training.tasks.calibration import calibrate

FIGURES = SyntheticFigures("train", length=6, size=48)


def model() -> Model:
    return Model(StackedHourglass(16, 16, depth=1), MPII, HeatmapCodec(32))


def test_right_crops_are_told_from_wider_ones_and_from_what_is_beside(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network that is the surer the less black there is, and of the other crops there is a lot outside."""

    def maps(self: Model, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        lit = (pictures > 0).any(axis=-1).mean(axis=(1, 2), dtype=np.float32)
        return np.broadcast_to(lit[:, None, None, None], (len(pictures), 8, 8, 16)).copy()

    monkeypatch.setattr(Model, "_maps", maps)
    found = calibrate(model(), ConcatenatedDataset([FIGURES]))
    assert found is not None
    assert (found.right, found.wrong, found.crops) == (1, 1, 6)
    assert found.threshold is not None
    assert 0.3 < found.threshold < 0.9


def test_pictures_that_cannot_be_read_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = SyntheticFigures.sample

    def sample(self: SyntheticFigures, index: int) -> Any:
        if index != 1:
            raise BadPicture("broken")
        return drawn(self, index)

    monkeypatch.setattr(SyntheticFigures, "sample", sample)
    found = calibrate(model(), ConcatenatedDataset([FIGURES]))
    assert found is not None
    assert found.crops == 1
    monkeypatch.setattr(SyntheticFigures, "sample", lambda self, index: sample(self, 0))
    assert calibrate(model(), ConcatenatedDataset([FIGURES])) is None


def test_samples_are_spread_over_the_whole_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "MOST", 3)
    seen: list[int] = []
    drawn = SyntheticFigures.sample
    monkeypatch.setattr(SyntheticFigures, "sample", lambda self, index: (seen.append(index), drawn(self, index))[1])
    calibrate(model(), ConcatenatedDataset([FIGURES]))
    assert seen == [0, 2, 5]


def test_a_finished_run_calibrates_its_models_and_an_unfinished_one_does_not(tmp_path: Path) -> None:
    run = make_run(tmp_path, tiny("run.eval_every=2", "optim.lr=1e-9"), FIGURES, FIGURES)
    run.save()
    assert Model.load(tmp_path / "last.safetensors").calibration is None
    run.train()
    last, best = (Model.load(tmp_path / f"{name}.safetensors") for name in ("last", "best"))
    assert last.calibration == calibrate(last, run.data)
    assert best.calibration == calibrate(best, run.data)
    assert (last.trained["steps"], best.trained["steps"]) == (4, run.progress.best_step)
    assert last.trained["test"] == list(run.config.data.train)
