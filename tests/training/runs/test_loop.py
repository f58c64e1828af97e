import csv
import json
import math
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hbcore
from hbcore.landmarks.squares import CropRule
from hbcore.nn.layers import BinaryConv2d, use_gradients
from tests.tiny_runs import TINY, make_run, tiny
from training.datasets import Dataset, Sample
from training.datasets.drawn.synthetic import SyntheticFigures
from training.errors import BadPicture, DataError, DiskError, Diverged, Interrupted
from training.files.environment import sha256
from training.files.logs import read_log
from training.labels.skeletons import LSP, MPII, Skeleton
from training.loading.test_set import TestSet
from training.prediction.model import Model
from training.runs import run as run_module
from training.runs.checkpoint import read_checkpoint
from training.runs.network import build_network
from training.runs.run import Run
from training.runs.trainer import LOSSES, learning_rate
from training.tasks import task
from training.tasks.pose import POSE

ROOT = Path(__file__).resolve().parents[3]
pytestmark = pytest.mark.usefixtures("one_thread")
PLAIN = tuple(f"augment.{key}=0" for key in ("flip", "rotate", "scale", "shift", "colour", "erase"))


@dataclass(frozen=True, eq=False)
class Four:
    """Four synthetic figures, drawn once; those in `bad` cannot be read."""

    samples: tuple[Sample, ...]
    bad: tuple[int, ...] = ()
    skeleton: Skeleton = MPII
    name: str = "four"
    split: str = "train"
    protocol: str = "for tests"

    def __len__(self) -> int:
        return len(self.samples)

    def sample(self, index: int) -> Sample:
        if index in self.bad:
            raise BadPicture(f'folder/{index} "x".png: unreadable, really')
        return self.samples[index]


FOUR = Four(tuple(SyntheticFigures("train", 4).sample(i) for i in range(4)))


def make(folder: Path, *more: str, data: Dataset = FOUR, test: Dataset = FOUR, **options: Any) -> Run:
    return make_run(folder, tiny(*more), data, test, **options)


def bytes_of(run: Run) -> list[bytes]:
    return [array.tobytes() for array in run.trainer.network.state_dict().values()]


def test_a_run_of_another_task_is_not_resumed(tmp_path: Path) -> None:
    run = make(tmp_path)
    run.save()
    other = Run(replace(POSE, name="face"), run.config, tmp_path, run.data, run.test)
    with pytest.raises(DataError, match=r"with training\.face: it began as training\.pose"):
        other.resume()


def test_a_model_knows_the_crop_rules_of_its_training(tmp_path: Path) -> None:
    """Also the best one, which is read and written anew at the end; of a data set that tells none there is none."""
    figures = SyntheticFigures("train", 4)
    make(tmp_path, "optim.steps=1", data=figures).train()
    for name in ("last", "best"):
        assert Model.load(tmp_path / f"{name}.safetensors").crops == (CropRule("box", 1.14),)
    (tmp_path / "other").mkdir()
    assert make(tmp_path / "other").model().crops == ()


# ------------------------------------------------------------------------------------------------- learning


def test_a_small_network_learns_four_samples_by_heart(tmp_path: Path) -> None:
    losses: list[float] = []
    more = ("model.features=48", "optim.batch_size=4", "optim.steps=150", "optim.lr=0.02", "optim.ema=0", *PLAIN)
    run = make(tmp_path, *more, report=lambda step, values: losses.append(values["loss"]))
    run.train()
    assert len(losses) == 150
    assert np.mean(losses[-10:]) < 0.5 * losses[0]
    assert run.headline == "PCKh@0.5"
    assert run.progress.best >= 90  # per cent; 100 where this was written, 3 for the mean pose of other figures
    model = Model.load(tmp_path / "best.safetensors")
    assert POSE.score(TestSet.read([FOUR], 32), model.predict(run.test.pictures)[0])["PCKh@0.5"] == run.progress.best


@pytest.mark.parametrize("name", ["adam", "rmsprop", "sgd"])
@pytest.mark.parametrize("loss", ["bce", "mse"])
def test_every_optimizer_lowers_every_loss(tmp_path: Path, name: str, loss: str) -> None:
    losses: list[float] = []
    lr = {"adam": 0.01, "rmsprop": 0.003, "sgd": 0.003}[name]
    more = (
        "optim.batch_size=4",
        "optim.steps=20",
        f"optim.lr={lr}",
        f"optim.name={name}",
        f"optim.loss={loss}",
        *PLAIN,
    )
    run = make(tmp_path, *more, report=lambda step, values: losses.append(values["loss"]))
    run.advance()
    assert np.mean(losses[-5:]) < 0.97 * losses[0]  # little, but noise is less: 20 steps on the same four samples


def test_every_stack_is_supervised(tmp_path: Path) -> None:
    run = make(tmp_path, "model.stacks=2", *PLAIN)
    batch = run.plan.batch(0)
    loss, _ = run.step(batch)
    twice = make(tmp_path, "model.stacks=2", *PLAIN)
    twice.trainer.network.train()
    outputs = twice.trainer.network(hbcore.Tensor(batch.pictures.astype(np.float32) / np.float32(255)))
    assert len(outputs) == 2
    terms = [LOSSES["bce"](output, *twice.trainer.encode(batch)).item() for output in outputs]
    assert loss == pytest.approx(sum(terms), rel=1e-6)  # float32 sums of thousands of terms


def test_the_network_starts_from_the_prior_of_a_heatmap() -> None:
    network = build_network(tiny(), 16)
    for head in network.heads:
        assert head.heatmaps.bias is not None
        assert 1 / (1 + np.exp(-head.heatmaps.bias.data)) == pytest.approx(0.01, rel=1e-6)
    (head,) = build_network(tiny("optim.loss=mse"), 16).heads
    assert head.heatmaps.bias is not None
    assert not head.heatmaps.bias.data.any()


def test_the_seed_decides_the_network() -> None:
    weights = [build_network(tiny(f"run.seed={seed}"), 16).state_dict()["stem.modules.0.weight"] for seed in (0, 0, 1)]
    assert np.array_equal(weights[0], weights[1])
    assert not np.array_equal(weights[0], weights[2])


# ------------------------------------------------------------------------------------------------- schedule


def rates(*more: str) -> list[float]:
    config = tiny("optim.lr=2", "optim.steps=10", *more)
    return [learning_rate(config, step) for step in range(10)]


def test_learning_rates() -> None:
    assert rates("optim.schedule=constant") == [2.0] * 10
    assert rates("optim.schedule=constant", "optim.warmup=4") == [0.5, 1.0, 1.5] + [2.0] * 7
    cosine = [1 + math.cos(math.pi * step / 10) for step in range(10)]
    assert rates("optim.schedule=cosine") == pytest.approx(cosine)
    steps = ("optim.schedule=step", "optim.milestones=[0.5, 0.8]", "optim.decay=0.1")
    assert rates(*steps) == pytest.approx([2.0] * 5 + [0.2] * 3 + [0.02] * 2)
    assert rates(*steps, "optim.warmup=2") == pytest.approx([1.0] + [2.0] * 4 + [0.2] * 3 + [0.02] * 2)


def test_the_schedule_reaches_optimizer_and_log(tmp_path: Path) -> None:
    run = make(tmp_path, "optim.lr=2e-3", "optim.schedule=constant", "optim.warmup=2")
    run.advance()
    assert run.trainer.optimizer.lr == 2e-3
    assert read_log(tmp_path / "log.csv")["lr"].tolist() == [1e-3, 2e-3, 2e-3, 2e-3]


def test_each_update_is_made_at_the_rate_of_its_own_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make(tmp_path, "optim.lr=2", "optim.schedule=constant", "optim.warmup=4", "optim.steps=6")
    used: list[float] = []
    monkeypatch.setattr(run.trainer.optimizer, "step", lambda: used.append(run.trainer.optimizer.lr))
    run.advance()
    assert used == [0.5, 1.0, 1.5, 2.0, 2.0, 2.0]


@pytest.mark.parametrize("kind", ["int8", "float32"])
def test_gradients_are_taken_back_as_the_settings_say(tmp_path: Path, kind: str) -> None:
    run = make(tmp_path, f"optim.gradients={kind}", "optim.steps=1")
    twin = make(tmp_path)
    use_gradients(twin.trainer.network, kind)
    other = make(tmp_path)
    use_gradients(other.trainer.network, {"int8": "float32", "float32": "int8"}[kind])
    for each in (run, twin, other):
        each.step(each.plan.batch(0))
    assert bytes_of(run) == bytes_of(twin)
    if hbcore.kernel_report()["kernels"] not in ("numpy", "cython"):  # which know one way only
        assert bytes_of(run) != bytes_of(other)


# ---------------------------------------------------------------------------------------------------- steps


def test_binary_weights_are_kept_where_they_belong(tmp_path: Path) -> None:
    run = make(tmp_path, "optim.lr=0.5", "model.center_weights=true")
    run.step(run.plan.batch(0))
    layers = [module for _, module in run.trainer.network.named_modules() if isinstance(module, BinaryConv2d)]
    assert len(layers) == 27
    assert all(np.abs(layer.weight.data).max() <= 1 for layer in layers)
    assert any(np.abs(layer.weight.data).max() == 1 for layer in layers)
    free = make(tmp_path, "optim.lr=0.5", "model.clamp_weights=false")
    free.step(free.plan.batch(0))
    assert max(np.abs(p.data).max() for _, p in free.trainer.network.named_parameters()) > 1


def test_gradients_are_clipped_to_the_norm(tmp_path: Path) -> None:
    """With plain descent the step's length is lr times the clipped norm."""

    def step(*more: str) -> tuple[float, float]:
        free = "model.clamp_weights=false"
        run = make(tmp_path, free, "optim.name=sgd", "optim.lr=1", "optim.schedule=constant", *more)
        before = {name: p.data.copy() for name, p in run.trainer.network.named_parameters()}
        _, norm = run.step(run.plan.batch(0))
        moved = [p.data.astype(np.float64) - before[name] for name, p in run.trainer.network.named_parameters()]
        return norm, math.sqrt(sum(float((m * m).sum()) for m in moved))

    norm, length = step()
    assert norm > 1
    assert length == pytest.approx(norm, rel=1e-3)  # weights are float32
    for limit, expected in ((0.5, 0.5), (2 * norm, norm)):
        same, length = step(f"optim.clip_norm={limit}")
        assert same == norm
        assert length == pytest.approx(expected, rel=1e-3)


def test_the_average_is_what_is_evaluated_and_saved(tmp_path: Path) -> None:
    run = make(tmp_path, "optim.ema=0.5", "optim.steps=2")
    weights = [run.trainer.network.heads[0].heatmaps.weight.data.copy()]
    for step in range(2):
        run.step(run.plan.batch(step))
        weights.append(run.trainer.network.heads[0].heatmaps.weight.data.copy())
    # The momentum of the first steps is (1 + t) / (10 + t), 2/11 and 1/4, both below 0.5.
    first = 2 / 11 * weights[0] + 9 / 11 * weights[1]
    second = 1 / 4 * first + 3 / 4 * weights[2]
    run.save()
    saved = Model.load(tmp_path / "last.safetensors").network.state_dict()["heads.0.heatmaps.weight"]
    np.testing.assert_allclose(saved, second, rtol=1e-5, atol=1e-7)  # float32
    assert not np.array_equal(saved, weights[2])

    plain = make(tmp_path, "optim.ema=0")
    plain.step(plain.plan.batch(0))
    plain.save_model("plain")
    state = Model.load(tmp_path / "plain.safetensors").network.state_dict()
    assert all(np.array_equal(array, state[name]) for name, array in plain.trainer.network.state_dict().items())


def test_steps_use_packed_bits_and_change_nothing_by_it(tmp_path: Path) -> None:
    packed, simulated = make(tmp_path), make(tmp_path)
    hbcore.nn.layers.use_packed(simulated.trainer.network, False)
    for step in range(2):
        batch = packed.plan.batch(step)
        assert packed.step(batch) == simulated.step(batch)
    assert bytes_of(packed) == bytes_of(simulated)


# ------------------------------------------------------------------------------------------------ the whole


def test_a_run_leaves_its_files(tmp_path: Path) -> None:
    said: list[str] = []
    run = make(tmp_path, "optim.steps=5", "run.log_every=2", "run.eval_every=3", say=said.append)
    run.train()
    assert {path.name for path in tmp_path.iterdir()} == {
        "log.csv",
        "flips.csv",
        "state.safetensors",
        "last.safetensors",
        "best.safetensors",
    }
    log = read_log(tmp_path / "log.csv")
    assert list(log) == ["step", "epoch", "train_loss", "lr", "grad_norm", "PCKh@0.5"]
    assert log["step"].tolist() == [2, 3, 4, 5]
    assert log["epoch"].tolist() == [1, 1.5, 2, 2.5]  # batches of 2 out of 4 samples
    assert np.isfinite(log["PCKh@0.5"]).tolist() == [False, True, False, True]
    assert len(said) == 2
    assert said[0].startswith("step 3: PCKh@0.5 ")
    assert (run.progress.step, run.progress.people, run.progress.losses) == (5, 4, [])


def test_the_logged_loss_is_the_mean_since_the_last_row(tmp_path: Path) -> None:
    losses: list[float] = []
    run = make(tmp_path, "optim.steps=5", "run.log_every=2", report=lambda step, values: losses.append(values["loss"]))
    run.train()
    rows = [np.mean(losses[0:2]), np.mean(losses[2:4]), losses[4]]
    assert read_log(tmp_path / "log.csv")["train_loss"].tolist() == rows


def test_sign_changes_are_counted_and_a_resumed_run_goes_on_counting(tmp_path: Path) -> None:
    """flips.csv beside what the weights themselves say after every step; rows every second step of six."""
    more = ("optim.steps=6", "run.log_every=2", "optim.lr=0.05")
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    seen = []
    name = "hourglasses.0.low1.conv1"
    run = make(tmp_path / "a", *more)
    weight = run.trainer.network.state_dict()[f"{name}.modules.1.weight"]
    seen.append(weight < 0)
    run.report = lambda step, values: seen.append(weight < 0)
    run.train()
    changed = [int(np.sum(one != other)) for one, other in pairwise(seen)]
    log = read_log(tmp_path / "a/flips.csv")
    assert log["step"].tolist() == [2, 4, 6]
    assert log[name].tolist() == [changed[0] + changed[1], changed[2] + changed[3], changed[4] + changed[5]]
    assert sum(changed) > 0
    make(tmp_path / "b", *more, "run.stop_after=3").train()  # in the middle of a row
    rest = make(tmp_path / "b", *more)
    rest.resume()
    rest.train()
    assert (tmp_path / "b/flips.csv").read_bytes() == (tmp_path / "a/flips.csv").read_bytes()
    assert all(np.array_equal(rest.changes.last[key], array) for key, array in run.changes.last.items())


def test_the_best_model_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scores = iter([5.0, 9.0, 7.0, 9.0])
    monkeypatch.setattr(run_module, "evaluate", lambda task, model, test: ({"PCKh@0.5": next(scores)}, None))
    run = make(tmp_path, "run.eval_every=1")
    run.train()
    assert (run.progress.best, run.progress.best_step, run.progress.stale) == (9.0, 2, 2)

    def trained(name: str) -> object:
        data = (tmp_path / f"{name}.safetensors").read_bytes()
        metadata = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]
        return json.loads(metadata["hbcore"])["trained"]

    assert trained("best") == {"steps": 2, "data": ["four"], "test": ["synthetic"]}
    assert trained("last") == {"steps": 4, "data": ["four"], "test": ["synthetic"]}


def test_patience_ends_a_run_and_a_resumed_one_stays_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scores = iter([5.0, 6.0, 6.0, 1.0])
    monkeypatch.setattr(run_module, "evaluate", lambda task, model, test: ({"PCKh@0.5": next(scores)}, None))
    more = ("optim.steps=100", "run.eval_every=2", "run.patience=2")
    said: list[str] = []
    make(tmp_path, *more, say=said.append).train()
    assert said[-1] == "no better PCKh@0.5 in 2 evaluations: stopped"
    before = sha256(tmp_path / "last.safetensors"), (tmp_path / "log.csv").read_bytes()
    run = make(tmp_path, *more)
    run.resume()
    assert (run.progress.step, run.progress.best_step) == (8, 4)
    run.train()
    assert run.progress.step == 8
    assert (sha256(tmp_path / "last.safetensors"), (tmp_path / "log.csv").read_bytes()) == before


def test_stop_after_stops_but_keeps_the_schedule(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    whole = make(tmp_path / "a", "optim.steps=6")
    whole.train()
    part = make(tmp_path / "b", "optim.steps=6", "run.stop_after=2")
    part.train()
    assert part.progress.step == 2
    rest = make(tmp_path / "b", "optim.steps=6")
    rest.resume()
    assert bytes_of(rest) == bytes_of(part)
    rest.train()
    assert bytes_of(rest) == bytes_of(whole)
    assert sha256(tmp_path / "a/last.safetensors") == sha256(tmp_path / "b/last.safetensors")


def test_resuming_where_nothing_was_saved_begins_anew(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("step,epoch,train_loss,lr,grad_norm,PCKh@0.5\n1,1,1,1,1,\n2,1,1,1,1,\n3,1")
    run = make(tmp_path)
    run.resume()
    assert run.progress.step == 0
    run.train()
    assert read_log(tmp_path / "log.csv")["step"].tolist() == [1, 2, 3, 4]


def test_resuming_with_other_data_is_refused(tmp_path: Path) -> None:
    make(tmp_path).train()
    run = make(tmp_path, data=replace(FOUR, samples=FOUR.samples[:3]))
    with pytest.raises(DataError, match="began with 4 samples to train on, now there are 3"):
        run.resume()


def test_joints_must_agree(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"model.joints = 3, but the data set labels 16"):
        make(tmp_path, "model.joints=3")
    legs = replace(
        FOUR,
        skeleton=LSP,
        samples=tuple(replace(p, keypoints=p.keypoints[:14], labelled=p.labelled[:14]) for p in FOUR.samples),
    )
    with pytest.raises(DataError, match=r"keypoints to train on .*mpii \(16\), the keypoints to test on .*lsp \(14\)"):
        make(tmp_path, test=legs)
    assert list(tmp_path.iterdir()) == []


# -------------------------------------------------------------------------------------------- what goes wrong


def poison(run: Run, name: str, value: float) -> None:
    run.trainer.network.state_dict()[name].reshape(-1)[0] = value


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("stem.modules.0.weight", math.nan),
        ("heads.0.heatmaps.bias", math.inf),
        ("hourglasses.0.low1.units.0.conv.weight", math.nan),
        ("stem.modules.1.gamma", math.nan),
    ],
)
def test_a_loss_that_is_not_finite_stops_the_run(tmp_path: Path, name: str, value: float) -> None:
    run = make(tmp_path, "optim.steps=9")
    names = run.trainer.network.state_dict()
    if name not in names:
        name = next(key for key in names if key.startswith("hourglasses.0.low1") and "weight" in key)
    run.save()
    run.step(run.plan.batch(0))
    poison(run, name, value)
    before = {path.name: sha256(path) for path in tmp_path.iterdir()}
    weights = bytes_of(run)
    batch = run.plan.batch(1)
    with pytest.raises(Diverged) as caught:
        run.step(batch)
    message = str(caught.value)
    assert caught.value.exit_code == 4
    assert message.startswith("step 2: the loss is ")
    assert f"first in {name}" in message
    assert ", ".join(batch.names) in message
    assert str(tmp_path / "state.safetensors") in message
    assert "\n" not in message
    assert {path.name: sha256(path) for path in tmp_path.iterdir()} == before
    parameters = dict(run.trainer.network.named_parameters())
    after = {key: array.tobytes() for key, array in run.trainer.network.state_dict().items()}
    assert [after[key] for key in parameters] == [
        old for key, old in zip(after, weights, strict=True) if key in parameters
    ]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.inf, r"the gradient's norm is inf, first in heads.0.heatmaps.bias"),
        (1e30, r"the square of the gradient of heads.0.heatmaps.bias is not finite: clip gradients"),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning")
def test_a_gradient_that_is_not_finite_stops_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: float, message: str
) -> None:
    run = make(tmp_path)
    backward = hbcore.Tensor.backward

    def broken(self: hbcore.Tensor) -> None:
        backward(self)
        gradient = dict(run.trainer.network.named_parameters())["heads.0.heatmaps.bias"].grad
        assert gradient is not None
        gradient[0] = value

    monkeypatch.setattr(hbcore.Tensor, "backward", broken)
    weights = {name: p.data.copy() for name, p in run.trainer.network.named_parameters()}
    with pytest.raises(Diverged, match=f"step 1: {message}, with"):
        run.step(run.plan.batch(0))
    assert all(np.array_equal(p.data, weights[name]) for name, p in run.trainer.network.named_parameters())


@pytest.mark.parametrize("more", [("optim.name=adam",), ("optim.name=sgd", "optim.loss=mse"), ("run.eval_every=1",)])
def test_an_enormous_rate_diverges_and_spares_the_checkpoint(tmp_path: Path, more: Sequence[str]) -> None:
    run = make(tmp_path, "optim.lr=1e38", "optim.steps=50", "run.checkpoint_minutes=1e-9", *more)
    with pytest.raises(Diverged, match=r"step \d+: .*train anew with a lower optim.lr"):
        run.train()
    model = Model.load(tmp_path / "last.safetensors")  # which refuses what is not finite
    assert all(np.isfinite(array).all() for array in model.network.state_dict().values())
    again = make(tmp_path, "optim.lr=1e38", "optim.steps=50", *more)
    again.resume()
    assert all(np.isfinite(array).all() for array in again.trainer.network.state_dict().values())


def test_a_network_that_is_not_finite_is_never_saved(tmp_path: Path) -> None:
    run = make(tmp_path)
    run.save()
    before = {path.name: sha256(path) for path in tmp_path.iterdir()}
    poison(run, "stem.modules.1.running_variance", math.inf)
    with pytest.raises(Diverged, match=r"step 0: stem.modules.1.running_variance is not finite; the last good"):
        run.save()
    assert {path.name: sha256(path) for path in tmp_path.iterdir()} == before


def test_a_full_disk_leaves_the_old_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make(tmp_path)
    run.save()
    run.step(run.plan.batch(0))
    before = {path.name: sha256(path) for path in tmp_path.iterdir()}

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        with pytest.raises(DiskError, match="No space left on device") as caught:
            run.save()
    assert caught.value.exit_code == 5
    assert str(tmp_path / "state.safetensors") in str(caught.value)
    assert {path.name: sha256(path) for path in tmp_path.iterdir()} == before
    again = make(tmp_path)
    again.resume()
    assert again.progress.step == 0


@pytest.mark.skipif(sys.platform == "win32", reason="limits of POSIX")
def test_a_file_size_limit_ends_a_run_with_exit_code_5(tmp_path: Path) -> None:
    import resource

    out = tmp_path / "run"
    command = [
        *(sys.executable, "-m", "training.pose", "--quiet", "--out", str(out), "--data", "synthetic?length=4"),
        *("--test", "synthetic?length=2", "--threads", "1", "--set", *TINY),
    ]

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))  # a checkpoint has 238,416 bytes

    done = subprocess.run(command, cwd=ROOT, preexec_fn=limit, capture_output=True, text=True, timeout=60)
    assert done.returncode == 5
    assert done.stderr.startswith(f"train: cannot write {out / 'state.safetensors'} (")
    assert "File too large" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not list(out.glob("*.safetensors"))
    assert not list(out.glob(".unfinished*"))


def test_space_is_checked_before_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: type("Usage", (), {"free": 1000})())
    run = make(tmp_path)
    with pytest.raises(DiskError, match=r"1,000 bytes free, checkpoints need \d{3},\d{3}: make room first"):
        run.train()
    assert not run.state_path.exists()


def test_bad_pictures_are_listed_and_remembered(tmp_path: Path) -> None:
    more = ("data.max_bad=0.5", "optim.batch_size=4", "optim.steps=2")
    broken = replace(FOUR, bad=(1, 3))
    run = make(tmp_path, *more, data=broken, test=replace(FOUR, bad=(2,)))
    run.train()
    with open(tmp_path / "bad_images.csv", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["split", "index", "reason"]
    assert rows[1] == ["test", "four/train/2", 'folder/2 "x".png: unreadable, really']
    assert sorted(rows[2:]) == [["train", i, f'folder/{i} "x".png: unreadable, really'] for i in "13"]
    again = make(tmp_path, *more, data=broken)
    again.resume()
    assert set(again.progress.bad) == {"1", "3"}


def test_too_many_bad_pictures_stop_the_run(tmp_path: Path) -> None:
    run = make(tmp_path, "data.max_bad=0.25", "optim.steps=9", data=replace(FOUR, bad=(0, 2)))
    with pytest.raises(DataError, match=r"2 of 4 pictures cannot be read .*data.max_bad = 0.25 allows") as caught:
        run.train()
    assert caught.value.exit_code == 3
    again = make(tmp_path, "data.max_bad=0.25", "optim.steps=9", data=replace(FOUR, bad=(0, 2)))
    again.resume()
    with pytest.raises(DataError, match="2 of 4 pictures cannot be read"):
        again.train()
    one = make(tmp_path, "optim.steps=9", data=replace(FOUR, bad=(0,)))  # more than data.max_bad = 0.01, but one
    one.train()
    with pytest.raises(DataError, match="1 of 4 pictures cannot be read"):
        make(tmp_path, "data.max_bad=0", "optim.steps=9", data=replace(FOUR, bad=(0,))).train()
    strict = make(tmp_path, "data.bad_pictures=error", data=replace(FOUR, bad=(0,)))
    with pytest.raises(BadPicture, match="folder/0"):
        strict.train()


def twice(number: signal.Signals) -> None:
    """What an impatient user does."""
    signal.raise_signal(number)
    signal.raise_signal(number)


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_signals_end_the_run_after_the_step_with_everything_saved(tmp_path: Path, number: str) -> None:
    def interrupt(step: int, values: dict[str, float]) -> None:
        if step == 3:
            twice(signal.Signals[number])

    handlers = [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    run = make(tmp_path, "optim.steps=9", report=interrupt)
    with pytest.raises(Interrupted, match=f"stopped at step 3; go on with --resume --out {tmp_path}") as caught:
        run.train()
    assert caught.value.exit_code == 130
    assert [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == handlers
    again = make(tmp_path, "optim.steps=9")
    again.resume()
    assert again.progress.step == 3
    assert bytes_of(again) == bytes_of(run)


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_a_hang_up_stays_ignored_under_nohup(tmp_path: Path) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        run = make(tmp_path, report=lambda step, values: signal.raise_signal(signal.SIGHUP))
        run.train()
    finally:
        signal.signal(signal.SIGHUP, before)
    assert run.progress.step == 4


def same_end(a: Path, b: Path) -> bool:
    """Whether two runs left the same models, state and log."""
    states = [replace(read_checkpoint(folder / "state.safetensors")[2], seconds=0) for folder in (a, b)]
    files = ("last.safetensors", "best.safetensors", "log.csv")
    return states[0] == states[1] and all((a / name).read_bytes() == (b / name).read_bytes() for name in files)


@pytest.mark.parametrize("error", [KeyboardInterrupt, BrokenPipeError, BadPicture])
@pytest.mark.parametrize("what", ["evaluate", "calibrate", "batches"])
def test_whatever_ends_a_run_between_steps_loses_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, error: type[BaseException]
) -> None:
    """In an evaluation, at the very end, and while a batch is waited for."""
    more = ("optim.steps=5", "run.eval_every=2", "run.log_every=3")
    for name in "ab":
        (tmp_path / name).mkdir()
    make(tmp_path / "a", *more).train()

    def broken(*_: Any) -> Any:
        if error is KeyboardInterrupt:
            signal.raise_signal(signal.SIGINT)
        raise error("gone")

    with monkeypatch.context() as patch:
        if what == "batches":
            real = run_module.batches
            patch.setattr(
                run_module,
                "batches",
                lambda plan, *_: (broken() if k == 2 else b for k, b in enumerate(real(plan, 0, 5, 0))),
            )
        else:
            patch.setattr(task if what == "calibrate" else run_module, what, broken)
        with pytest.raises(Interrupted if error is KeyboardInterrupt else error):
            make(tmp_path / "b", *more).train()
    rest = make(tmp_path / "b", *more)
    rest.resume()
    assert rest.progress.step == {"evaluate": 2, "calibrate": 5, "batches": 2}[what]
    rest.train()
    assert same_end(tmp_path / "a", tmp_path / "b")


def test_an_update_half_done_is_not_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make(tmp_path)
    monkeypatch.setattr(run.trainer, "step", lambda *_: (_ for _ in ()).throw(MemoryError()))
    with pytest.raises(MemoryError):
        run.train()
    again = make(tmp_path)
    again.resume()
    assert again.progress.step == 0


@pytest.mark.parametrize("slices", [(1, 3), (3, 5), (2, 4)])
def test_a_run_in_slices_is_the_run_in_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slices: tuple[int, int]
) -> None:
    """With the same patience, the same best model and the same log, wherever it was stopped."""
    more = ("optim.steps=9", "run.eval_every=2", "run.log_every=3", "run.patience=2")
    table = {2: 5.0, 4: 7.0, 6: 7.0, 8: 6.0}  # no better one twice after step 4
    monkeypatch.setattr(
        run_module, "evaluate", lambda task, model, test: ({"PCKh@0.5": table.get(model.trained["steps"], 9.0)}, None)
    )
    for name in "ab":
        (tmp_path / name).mkdir()
    make(tmp_path / "a", *more).train()
    for stop in (*slices, None):
        run = make(tmp_path / "b", *more, *([f"run.stop_after={stop}"] if stop else []))
        run.resume()
        run.train()
        assert run.progress.step == (stop or 8)
        assert (tmp_path / "b/best.safetensors").exists()  # from the first slice on
    assert run.progress.best_step == 4
    assert same_end(tmp_path / "a", tmp_path / "b")
