"""Each technique of the follow-up does what its equation says, and a run with all of them stays resumable."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import hbcore
from hbcore import load_model
from hbcore.landmarks.heatmaps import HeatmapCodec
from hbcore.nn.layers import BinaryConv2d
from tests.tiny_runs import make_run, tiny
from training.configuration.schema import literal
from training.configuration.settings import Config
from training.datasets.drawn.synthetic import SyntheticFigures
from training.errors import DataError, UserError
from training.files.environment import sha256
from training.labels.skeletons import LSP
from training.prediction.model import Model
from training.runs import techniques
from training.runs.network import build_network
from training.runs.run import Run
from training.runs.techniques import Phase, Teacher, phase, settled

FIGURES = SyntheticFigures("train", 4)


def eight_steps(*more: str) -> Config:
    return tiny("optim.steps=8", "run.eval_every=2", *more)


def make(folder: Path, *more: str, **options: Any) -> Run:
    folder.mkdir(exist_ok=True)
    return make_run(folder, eight_steps(*more), FIGURES, FIGURES, **options)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real-valued model that has learned for a moment."""
    run = make(tmp_path_factory.mktemp("teacher"), "model.binary=false", "optim.steps=3", "run.seed=5")
    run.train()
    return run.folder / "last.safetensors"


def taught(teacher: Path, weight: float = 0.5) -> tuple[str, str]:
    return f"technique.teacher={literal(str(teacher))}", f"technique.distill={weight}"


# ----------------------------------------------------------------------------------------------------- schedules


def test_weights_are_real_first() -> None:
    config = eight_steps("technique.real_weights=0.4", "optim.steps=10")
    assert [phase(config, step).binarize for step in range(10)] == ["activations"] * 4 + ["both"] * 6
    assert settled(config) == 4
    assert all(phase(config, step).sharpness is None for step in range(10))


def test_sharpness_rises_geometrically_and_ends_in_the_hard_sign() -> None:
    config = eight_steps("technique.sharpness=[1, 8]", "technique.smooth=0.4", "optim.steps=10")
    rising = [phase(config, step).sharpness for step in range(10)]
    assert rising[:4] == pytest.approx([1, 2, 4, 8], rel=1e-12)
    assert rising[4:] == [None] * 6
    assert settled(config) == 4


def test_without_techniques_there_is_one_phase() -> None:
    assert settled(Config()) == 0
    assert phase(Config(), 0) == Phase("both")
    assert phase(eight_steps("model.binarize=weights"), 3) == Phase("weights")
    assert phase(eight_steps("model.binary=false"), 3) == Phase("both")


@given(st.floats(0, 0.99), st.floats(0, 0.99), st.integers(1, 10**6), st.booleans())
def test_the_last_step_is_truly_binary(real: float, smooth: float, steps: int, sharp: bool) -> None:
    sharpness = "technique.sharpness=[0.01, 1000]" if sharp else "technique.sharpness=[]"
    shares = f"technique.real_weights={real!r}", f"technique.smooth={smooth!r}"
    config = eight_steps(*shares, f"optim.steps={steps}", sharpness)
    first = settled(config)
    assert 0 <= first < steps
    assert phase(config, steps - 1) == phase(config, first) == Phase("both")
    assert first == 0 or phase(config, first - 1) != Phase("both")


# -------------------------------------------------------------------------------------------------------- phases


def test_a_run_goes_through_its_phases(tmp_path: Path) -> None:
    """Files say what they hold, and messages what a score is of."""
    said: list[str] = []
    more = ("technique.real_weights=0.5", "technique.sharpness=[1, 4]", "technique.smooth=0.25")
    run = make(tmp_path, *more, say=said.append)
    held = []
    step = run.step

    def note(batch: Any) -> tuple[float, float]:
        result = step(batch)
        run.save()
        network, _ = load_model(tmp_path / "last.safetensors")
        convs = [m for _, m in network.named_modules() if isinstance(m, BinaryConv2d)]
        held.append({(conv.binarize, conv.sharpness) for conv in convs})
        assert network.architecture == run.trainer.network.architecture
        return result

    run.step = note  # type: ignore[method-assign]
    run.train()
    soft = [{("activations", 1.0)}, {("activations", 4.0)}]
    assert held == soft + [{("activations", None)}] * 2 + [{("both", None)}] * 4
    assert [text.partition("(")[2] for text in said] == ["real weights, sharpness 4)", "real weights)", "", ""]
    assert hbcore.summary(load_model(tmp_path / "last.safetensors")[0], 32, 32).binary_convolutions == 27


def test_best_starts_anew_when_all_is_binary(tmp_path: Path) -> None:
    run = make(tmp_path, "technique.real_weights=0.5", "run.patience=1")
    run.progress.best, run.progress.stale = 1000.0, 5
    assert not run.out_of_patience
    run.advance()
    assert run.progress.step > 4, "patience must not end a run before its weights are binary"
    assert run.progress.best <= 100
    network, _ = load_model(tmp_path / "best.safetensors")
    assert network.architecture["binarize"] == "both"


def test_real_weights_are_trained_as_such(tmp_path: Path) -> None:
    """The first step is that of a network with binary activations only."""
    first = make(tmp_path / "a", "technique.real_weights=0.5")
    other = make(tmp_path / "b", "model.binarize=activations")
    plain = make(tmp_path / "c")
    losses = [run.step(run.plan.batch(0))[0] for run in (first, other, plain)]
    assert losses[0] == losses[1] != losses[2]
    states = [run.trainer.network.state_dict() for run in (first, other)]
    assert all(np.array_equal(states[0][name], states[1][name]) for name in states[0])


def test_the_smooth_sign_is_trained_with_its_own_gradient(tmp_path: Path) -> None:
    """Loss and gradient norm are those of a network that was built with the sharpness of the step."""
    run = make(tmp_path, "technique.sharpness=[2, 8]", "optim.loss=mse", "optim.gradients=float32")
    batch = run.plan.batch(0)
    network = build_network(run.config, 16)
    network.quantize("both", 2.0)
    target, weight = run.trainer.encode(batch)
    (prediction,) = network(hbcore.Tensor(batch.pictures.astype(np.float32) / np.float32(255)))
    loss = hbcore.optim.losses.heatmap_mse(prediction, target, weight)
    loss.backward()
    norm = math.sqrt(sum(float((p.grad.astype(np.float64) ** 2).sum()) for p in network.parameters()))
    assert run.step(batch) == pytest.approx((loss.item(), norm), rel=1e-5)


# -------------------------------------------------------------------------------------------------- distillation


def cross_entropy(z: np.ndarray, p: np.ndarray, weight: np.ndarray) -> float:
    """Mean over the maps that count of the sum over pixels, from the definition."""
    q = 1 / (1 + np.exp(-z.astype(np.float64)))
    maps = -(p * np.log(q) + (1 - p) * np.log(1 - q)).sum(axis=(1, 2))
    return float((maps * weight).sum() / weight.sum())


@pytest.mark.parametrize("stacks", [1, 2])
def test_the_teacher_adds_its_cross_entropy(tmp_path: Path, teacher: Path, stacks: int) -> None:
    run = make(tmp_path, *taught(teacher, 0.5), f"model.stacks={stacks}")
    batch = run.plan.batch(0)
    batch.labelled[:, :5] = False  # the labels say nothing of these, the teacher does
    run.trainer.network.train()
    predictions = run.trainer.network(hbcore.Tensor(batch.pictures.astype(np.float32) / np.float32(255)))
    probabilities = Model.load(teacher).heatmaps(batch.pictures)
    assert probabilities.min() >= 0
    assert np.ptp(probabilities) > 0.001
    target, weight = run.trainer.encode(batch)
    expected = sum(
        cross_entropy(z.data, target, weight) + 0.5 * cross_entropy(z.data, probabilities, np.ones_like(weight))
        for z in predictions
    )
    assert weight[:, :5].sum() == 0
    assert run.step(batch)[0] == pytest.approx(expected, rel=1e-5)


def test_a_student_that_agrees_learns_nothing_from_its_teacher(teacher: Path) -> None:
    """The gradient of the teacher's term is sigmoid(z) - p, over the number of maps."""
    config = eight_steps(*taught(teacher))
    lesson = Teacher.read(config, FIGURES.skeleton)
    assert lesson is not None
    pictures = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    maps, weight = lesson.lesson(pictures)
    assert weight.shape == (2, 16)
    assert weight.all()
    p = np.clip(maps.astype(np.float64), 1e-12, 1 - 1e-12)
    z = hbcore.Tensor(np.log(p / (1 - p)) + 0.25, requires_grad=True)
    hbcore.optim.losses.heatmap_cross_entropy(z, maps, weight).backward()
    q = 1 / (1 + np.exp(-z.data))
    assert np.allclose(z.grad, (q - p) / 32, rtol=0, atol=1e-12)
    z = hbcore.Tensor(np.log(p / (1 - p)), requires_grad=True)
    hbcore.optim.losses.heatmap_cross_entropy(z, maps, weight).backward()
    assert np.abs(z.grad).max() < 1e-8


def test_maps_of_a_teacher_of_squared_error_are_cut_to_probabilities(tmp_path: Path) -> None:
    codec = make(tmp_path).trainer.codec
    model = Model(build_network(eight_steps("model.binary=false"), 16), FIGURES.skeleton, codec, "identity")
    pictures = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3), dtype=np.uint8)
    raw = model.heatmaps(pictures)
    assert raw.min() < 0
    assert np.array_equal(Teacher(model, "").lesson(pictures)[0], np.clip(raw, 0, 1))


def test_teachers_that_do_not_fit_are_named(tmp_path: Path, teacher: Path) -> None:
    with pytest.raises(DataError, match=r"takes pictures of 32 pixels, data\.size is 64"):
        make(tmp_path, *taught(teacher), "data.size=64")
    with pytest.raises(DataError, match=r"nowhere\.safetensors: No such file"):
        make(tmp_path, *taught(tmp_path / "nowhere.safetensors"))
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"x" * 100)
    with pytest.raises(DataError, match=r"broken\.safetensors: not a safetensors file"):
        make(tmp_path, *taught(broken))
    legs = tmp_path / "legs.safetensors"
    Model(hbcore.StackedHourglass(16, 14, depth=1), LSP, HeatmapCodec(32)).save(legs)
    with pytest.raises(DataError, match=r"legs\.safetensors finds 14 landmarks of lsp, the data set has 16 of mpii"):
        make(tmp_path, *taught(legs))


def test_teachers_are_for_heatmaps(teacher: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(techniques, "HEATMAP_LOSSES", ("mse",))
    with pytest.raises(UserError, match=r'technique\.teacher teaches heatmaps: .* optim\.loss = "bce"'):
        Teacher.read(eight_steps(*taught(teacher)), FIGURES.skeleton)


# ---------------------------------------------------------------------------------------------------- resumption

ALL = (
    "technique.real_weights=0.5",
    "technique.sharpness=[1, 6]",
    "technique.smooth=0.75",
    "model.activation=prelu",
    "model.stacks=2",
    "optim.ema=0.9",
)


def result(run: Run) -> tuple[Any, ...]:
    state = {name: array.tobytes() for name, array in run.trainer.network.state_dict().items()}
    state |= {name: array.tobytes() for name, array in run.trainer.optimizer.state.items()}
    files = [sha256(run.folder / f"{name}.safetensors") for name in ("last", "best")]
    return state, files, run.progress.best, run.progress.best_step, (run.folder / "log.csv").read_text()


def test_a_resumed_run_ends_in_the_same_bytes(tmp_path: Path, teacher: Path) -> None:
    """Stopped within each phase and on the borders."""
    whole = make(tmp_path / "whole", *ALL, *taught(teacher))
    whole.train()
    expected = result(whole)
    for stop in (1, 4, 5, 6, 7):
        make(tmp_path / str(stop), *ALL, *taught(teacher), f"run.stop_after={stop}").train()
        second = make(tmp_path / str(stop), *ALL, *taught(teacher))
        second.resume()
        assert second.progress.step == stop
        second.train()
        assert result(second) == expected, stop


def test_a_teacher_must_not_change_between_sessions(tmp_path: Path, teacher: Path) -> None:
    copy = tmp_path / "teacher.safetensors"
    copy.write_bytes(teacher.read_bytes())
    run = make(tmp_path / "run", *taught(copy))
    run.save()
    make(tmp_path / "run", *taught(copy)).resume()
    make(tmp_path / "other", "optim.steps=1", "run.seed=9").train()
    copy.write_bytes((tmp_path / "other" / "last.safetensors").read_bytes())
    with pytest.raises(DataError, match=r"teacher\.safetensors is not the file it began with"):
        make(tmp_path / "run", *taught(copy)).resume()
