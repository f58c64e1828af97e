import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hbcore import StackedHourglass
from hbcore.deploy.model_file import read_arrays
from hbcore.landmarks.heatmaps import HeatmapCodec
from hbcore.optim.optimizers import OPTIMIZERS, Adam, ExponentialMovingAverage, Optimizer
from training.errors import DataError, DiskError
from training.files.environment import sha256
from training.labels.skeletons import LSP
from training.prediction.model import Model
from training.runs.checkpoint import FORMAT, Progress, read_checkpoint, restore, save_checkpoint

CONFIG = '[run]\nout = "a \\" quote, ü and \\u0000"\n'
PROGRESS = Progress(
    step=17, best=1 / 3, best_step=12, stale=2, seconds=0.1, people=9, losses=[1e-40, 2 / 3], bad={"4": 'a "b"\nc'}
)


def network(seed: int = 0, features: int = 16) -> StackedHourglass:
    return StackedHourglass(features=features, joints=2, depth=1, seed=seed)


def state(
    seed: int, optimizer: str = "adam", averaged: bool = True, features: int = 16
) -> tuple[StackedHourglass, Optimizer, ExponentialMovingAverage | None]:
    """A network, its optimizer and average with random numbers in every array."""
    rng = np.random.default_rng(seed)
    model = network(seed, features)
    made = OPTIMIZERS[optimizer](dict(model.named_parameters()), 0.1)
    average = ExponentialMovingAverage(model, 0.9) if averaged else None
    for arrays in (model.state_dict(), made.state, average.state if average else {}):
        for array in arrays.values():
            array[...] = rng.standard_normal(array.shape)
    return model, made, average


def snapshot(model: StackedHourglass, optimizer: Optimizer, average: ExponentialMovingAverage | None) -> list[bytes]:
    arrays = [model.state_dict(), optimizer.state, average.state if average else {}]
    return [array.tobytes() for table in arrays for array in table.values()]


@pytest.mark.parametrize("optimizer", ["adam", "rmsprop", "sgd"])
@pytest.mark.parametrize("averaged", [True, False])
def test_everything_comes_back_to_the_bit(tmp_path: Path, optimizer: str, averaged: bool) -> None:
    before = state(1, optimizer, averaged)
    save_checkpoint(tmp_path / "state", CONFIG, PROGRESS, *before)
    arrays, config, progress = read_checkpoint(tmp_path / "state")
    assert (config, progress) == (CONFIG, PROGRESS)
    after = state(2, optimizer, averaged)
    assert snapshot(*after) != snapshot(*before)
    restore(arrays, progress, *after)
    assert snapshot(*after) == snapshot(*before)
    assert after[1].steps == 17
    if after[2]:
        assert after[2].steps == 17


def test_a_fresh_run_has_not_had_a_best_yet(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "state", "", Progress(), *state(0))
    assert read_checkpoint(tmp_path / "state")[2] == Progress(best=float("-inf"))


def test_equal_states_are_equal_files(tmp_path: Path) -> None:
    for name in "ab":
        save_checkpoint(tmp_path / name, CONFIG, PROGRESS, *state(1))
    save_checkpoint(tmp_path / "c", CONFIG, replace(PROGRESS, step=18), *state(1))
    hashes = [sha256(tmp_path / name) for name in "abc"]
    assert hashes[0] == hashes[1] != hashes[2]


def test_a_checkpoint_is_a_safetensors_file_with_a_json_header(tmp_path: Path) -> None:
    model, optimizer, average = state(1)
    save_checkpoint(tmp_path / "state", CONFIG, PROGRESS, model, optimizer, average)
    data = (tmp_path / "state").read_bytes()
    length = int.from_bytes(data[:8], "little")
    metadata = json.loads(data[8 : 8 + length])["__metadata__"]
    assert json.loads(metadata["hbcore"])["format"] == FORMAT == "hbcore-run/1"
    arrays, _ = read_arrays(tmp_path / "state", FORMAT)
    assert {name.partition("/")[0] for name in arrays} == {"model", "optimizer", "average"}
    assert np.array_equal(arrays["model/stem.modules.0.weight"], model.state_dict()["stem.modules.0.weight"])


def test_a_failed_save_leaves_the_old_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "state"
    save_checkpoint(path, CONFIG, PROGRESS, *state(1))
    before = sha256(path)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(DiskError, match="No space left") as caught:
            save_checkpoint(path, CONFIG, PROGRESS, *state(2))
    assert str(path) in str(caught.value)
    assert sha256(path) == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["state"]


def test_what_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state"
    for content in (b"", b"garbage", os.urandom(10_000)):
        path.write_bytes(content)
        with pytest.raises(DataError, match="not a safetensors file"):
            read_checkpoint(path)
    save_checkpoint(path, CONFIG, PROGRESS, *state(1))
    whole = path.read_bytes()
    for cut in (whole[:-1], whole[:100], whole + b"x"):
        path.write_bytes(cut)
        with pytest.raises(DataError, match="not a safetensors file"):
            read_checkpoint(path)
    Model(StackedHourglass(16, 14, depth=1), LSP, HeatmapCodec(32)).save(path)
    with pytest.raises(DataError, match="not a file of format hbcore-run/1"):
        read_checkpoint(path)
    with pytest.raises(DataError, match="No such file"):
        read_checkpoint(tmp_path / "nothing")


@pytest.mark.parametrize("progress", [{"step": 1, "new": 2}, [], "x", None])
def test_a_header_of_another_version_is_refused(tmp_path: Path, progress: object) -> None:
    from safetensors.numpy import save

    header = {"format": FORMAT, "config": "", "progress": progress}
    (tmp_path / "state").write_bytes(save({"a": np.zeros(1)}, {"hbcore": json.dumps(header)}))
    with pytest.raises(DataError, match="not a checkpoint of this version"):
        read_checkpoint(tmp_path / "state")


@pytest.mark.parametrize(
    ("saved", "wanted"),
    [
        ({"features": 32}, {}),
        ({"optimizer": "sgd"}, {}),
        ({"optimizer": "adam"}, {"optimizer": "rmsprop"}),
        ({"averaged": False}, {}),
        ({}, {"averaged": False}),
    ],
)
def test_a_checkpoint_of_another_run_is_refused(
    tmp_path: Path, saved: dict[str, object], wanted: dict[str, object]
) -> None:
    save_checkpoint(tmp_path / "state", CONFIG, PROGRESS, *state(1, **saved))  # type: ignore[arg-type]
    arrays, _, progress = read_checkpoint(tmp_path / "state")
    with pytest.raises(DataError, match="the checkpoint does not fit this run"):
        restore(arrays, progress, *state(2, **wanted))  # type: ignore[arg-type]


def test_a_restored_optimizer_goes_on_as_the_other_would_have(tmp_path: Path) -> None:
    def step(model: StackedHourglass, optimizer: Optimizer) -> None:
        rng = np.random.default_rng(optimizer.steps)
        for parameter in model.parameters():
            parameter.grad = rng.standard_normal(parameter.data.shape, dtype=np.float32)
        optimizer.step()

    model, average = network(), None
    optimizer = Adam(dict(model.named_parameters()), 0.1)
    for _ in range(3):
        step(model, optimizer)
    save_checkpoint(tmp_path / "state", "", Progress(step=3), model, optimizer, average)
    step(model, optimizer)

    other = network(5)
    resumed = Adam(dict(other.named_parameters()), 0.1)
    arrays, _, progress = read_checkpoint(tmp_path / "state")
    restore(arrays, progress, other, resumed, None)
    step(other, resumed)
    assert snapshot(other, resumed, None) == snapshot(model, optimizer, None)
