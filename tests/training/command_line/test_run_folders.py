"""Where runs go that nobody gave a folder, and which of them --resume takes up."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

from hbcore.export import command
from tests.command_lines import Outcome
from training import pose
from training.configuration.toml import load
from training.files.run_folder import free_folder, locked, newest_folder
from training.loading.test_set import TestSet
from training.prediction.model import Model
from training.runs import run
from training.tasks.evaluation import evaluate
from training.tasks.task import Task

TINY = (
    *("--data", "synthetic?length=4&size=48", "--test", "synthetic?length=2&size=48", "--batch-size", "2"),
    *("--threads", "1", "--workers", "0", "--set", "model.features=16", "model.depth=1", "data.size=32"),
)


def steps(folder: str) -> int:
    return int(json.loads((Path(folder) / "metrics.json").read_text())["steps"])


def test_the_same_command_twice_and_what_resume_takes_up(capsys: pytest.CaptureFixture[str]) -> None:
    assert Outcome(pose.main, capsys, "--steps", 1, *TINY).code == 0
    again = Outcome(pose.main, capsys, "--steps", 2, *TINY, "run.stop_after=1")
    assert again.code == 0
    assert "runs/pose holds a run already: this one goes to runs/pose-2\n" in again.errors
    assert (steps("runs/pose"), steps("runs/pose-2")) == (1, 1)
    assert Outcome(pose.main, capsys, "--resume", "--set", "run.stop_after=none").code == 0
    assert (steps("runs/pose"), steps("runs/pose-2")) == (1, 2)
    named = Outcome(pose.main, capsys, "--out", "runs/pose", "--steps", 1, *TINY)
    named.fails(2, "runs/pose holds a run already")


def test_free_and_newest_folders(tmp_path: Path) -> None:
    base = tmp_path / "a.b"
    assert free_folder(base) == newest_folder(base) == base
    for name, age in (("a.b", 1), ("a.b-3", 9), ("a.b-2", 5), ("a.b-old", 99), ("axb-7", 99), ("a.b-12", 0)):
        (tmp_path / name).mkdir()
        if age:  # the last one holds no run
            (tmp_path / name / "log.csv").touch()
            os.utime(tmp_path / name / "log.csv", (1e9 + age, 1e9 + age))
    assert free_folder(base) == tmp_path / "a.b-4"
    assert newest_folder(base) == tmp_path / "a.b-3"


def test_a_folder_in_which_a_run_is_beginning_is_not_free(tmp_path: Path) -> None:
    base = tmp_path / "run"
    base.mkdir()
    with locked(base):
        assert free_folder(base) == tmp_path / "run-2"
    assert free_folder(base) == base


def test_resume_without_a_run_begins_none(capsys: pytest.CaptureFixture[str]) -> None:
    """Unless it is said what to train on; thousands of steps of drawn figures are not what was meant."""
    Outcome(pose.main, capsys, "--resume").fails(2, "there is no run to go on with in runs/pose: name its folder")
    Path("typo").mkdir()
    Outcome(pose.main, capsys, "--resume", "--out", "typo", "--steps", 3).fails(2, "no run to go on with in typo")
    assert sorted(os.listdir()) == ["typo"]
    assert Outcome(pose.main, capsys, "--resume", "--out", "typo", "--steps", 1, *TINY).code == 0


def test_a_longer_run_begins_with_the_weights_of_the_one_before(capsys: pytest.CaptureFixture[str]) -> None:
    assert Outcome(pose.main, capsys, "--out", "a", "--steps", 1, *TINY).code == 0
    refused = Outcome(pose.main, capsys, "--out", "a", "--resume", "--steps", 5)
    refused.fails(2, "optim.steps: 1 -> 5")
    assert "by --init a and another --out" in refused.errors
    more = ("--steps", 2, "--init", "a", *TINY, "run.stop_after=1", "optim.lr=1e-30")  # which changes next to nothing
    assert Outcome(pose.main, capsys, "--out", "b", *more, "optim.ema=0.5").code == 0
    a, b = (load_file(f"{folder}/last.safetensors")["heads.0.heatmaps.weight"] for folder in "ab")
    np.testing.assert_allclose(a, b, rtol=1e-6)
    assert load("b/config.toml").run.init == "a/last.safetensors"
    shutil.rmtree("a")
    assert Outcome(pose.main, capsys, "--out", "b", "--resume", "--set", "run.stop_after=none").code == 0


def test_weights_that_are_none_do_not_take_a_folder(capsys: pytest.CaptureFixture[str]) -> None:
    """What is amended may go where it was to go: no run has begun there."""
    assert Outcome(pose.main, capsys, "--out", "a", "--steps", 1, *TINY).code == 0
    begin = ("--out", "c", "--steps", 1, "--quiet")
    Outcome(pose.main, capsys, *begin, "--init", "none", *TINY).fails(3, "none: No such file or directory")
    Path("empty").touch()
    Outcome(pose.main, capsys, *begin, "--init", "empty", *TINY).fails(3, "empty: ")
    taught = Outcome(pose.main, capsys, *begin, *TINY, "technique.teacher=empty", "technique.distill=1")
    taught.fails(3, "empty: ")
    assert not Path("c").exists()
    other = Outcome(pose.main, capsys, *begin, "--init", "a", *TINY, "model.features=32")
    other.fails(3, "run.init: a/last.safetensors is a model of another network")
    assert command.main(["pack", "a/last.safetensors", "-o", "packed"]) == 0
    assert Outcome(pose.main, capsys, *begin, "--init", "a", *TINY).code == 0
    Path("c/state.safetensors").write_bytes(Path("packed").read_bytes())
    Outcome(pose.main, capsys, "--resume", "--out", "c").fails(3, "not a file of format hbcore-run/1")


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (["run.eval_every=2"], [2, 3]),
        (["run.eval_every=2", "run.stop_after=1"], [1]),  # for the report alone
    ],
)
def test_the_last_step_is_evaluated_once(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, more: list[str], expected: list[int]
) -> None:
    """What the report says is what the step was judged by."""
    seen: list[int] = []

    def count(task: Task, model: Model, test: TestSet) -> object:
        seen.append(model.trained["steps"])
        return evaluate(task, model, test)

    monkeypatch.setattr(run, "evaluate", count)
    words = [*TINY[:4], "--steps", "3", *TINY[4:], *more]
    assert Outcome(pose.main, capsys, "--out", "a", *words).code == 0
    assert seen == expected
    metrics = json.loads(Path("a/metrics.json").read_text())
    seen.clear()
    assert Outcome(pose.main, capsys, "--out", "a", "--resume").code == 0
    assert seen == expected[-1:]
    again = json.loads(Path("a/metrics.json").read_text())
    assert again["metrics"] == metrics["metrics"]


def test_a_resumed_run_says_what_has_changed_around_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert Outcome(pose.main, capsys, "--out", "a", "--steps", 2, *TINY, "run.stop_after=1").code == 0
    same = Outcome(pose.main, capsys, "--out", "a", "--resume")
    assert (same.code, "changed" in same.errors) == (0, False)
    stored = json.loads(Path("a/env.json").read_text())
    Path("a/env.json").write_text(json.dumps(stored | {"kernels": "abacus", "labels": "others", "command": "x"}))
    file = Path("a/config.toml")
    file.write_text(file.read_text().replace("lr = 0.02", "lr = 0.5"))
    done = Outcome(pose.main, capsys, "--out", "a", "--resume", "--set", "run.stop_after=none")
    assert done.code == 0
    now = json.loads(Path("a/env.json").read_text())
    assert [line for line in done.errors.splitlines() if "changed" in line] == [
        f"warning: kernels changed since this run was last at work: abacus -> {now['kernels']}",
        f"warning: labels changed since this run was last at work: others -> {now['labels']}",
        "warning: a/config.toml was changed (optim.lr: 0.02 -> 0.5) and is not followed: a run keeps its settings",
    ]
    assert load("a/config.toml").optim.lr == 0.02


def test_a_run_has_the_network_of_the_model_that_it_begins_with(capsys: pytest.CaptureFixture[str]) -> None:
    """Packed or not, and unless settings say otherwise, which then do not fit."""
    assert Outcome(pose.main, capsys, "--out", "a", "--steps", 1, *TINY).code == 0
    assert command.main(["pack", "a/last.safetensors", "-o", "packed"]) == 0
    words = [word for word in TINY if not str(word).startswith(("model.", "data.size"))]
    begin = ("--init", "packed", "--steps", 1, *words, "optim.lr=1e-30")
    assert Outcome(pose.main, capsys, "--out", "b", *begin).code == 0
    config = load("b/config.toml")
    assert (config.model.features, config.model.depth, config.data.size) == (16, 1, 32)
    a, b = arrays("a"), arrays("b")
    binary = [name for name in a if a[name].ndim == 4 and "conv" in name]
    assert len(binary) > 10
    for name in binary:
        np.testing.assert_array_equal(np.sign(a[name]), np.sign(b[name]), err_msg=name)
        alpha = np.abs(a[name]).mean(axis=(0, 1, 2))
        np.testing.assert_allclose(np.abs(b[name]), np.broadcast_to(alpha, a[name].shape), rtol=1e-3)
    other = Outcome(pose.main, capsys, "--out", "c", *begin, "model.features=32")
    other.fails(3, "run.init: packed is a model of another network")


def test_settings_name_models_as_options_do(capsys: pytest.CaptureFixture[str]) -> None:
    """A run by its folder, one of hbcore's by its name: also where the setting is a teacher, or comes from a file."""
    assert Outcome(pose.main, capsys, "--out", "a", "--steps", 1, *TINY).code == 0
    taught = ("technique.teacher=a", "technique.distill=1")
    assert Outcome(pose.main, capsys, "--out", "b", "--steps", 1, *TINY, "run.init=a", *taught).code == 0
    config = load("b/config.toml")
    assert (config.run.init, config.technique.teacher) == ("a/last.safetensors", "a/last.safetensors")
    Path("taught.toml").write_text('[technique]\nteacher = "pose14-small"\ndistill = 1.0\n')
    other = Outcome(pose.main, capsys, "--config", "taught.toml", "--out", "c", "--steps", 1, *TINY)
    other.fails(3, "pose14-small.safetensors finds 14 landmarks of lsp, the data set has 16")
    folder = Outcome(pose.main, capsys, "--out", "d", *TINY, "technique.teacher=.", "technique.distill=1")
    folder.fails(3, ". is a folder without last.safetensors")
    Path("pose14-small").mkdir()  # such as an export of the model makes: no run
    other = Outcome(pose.main, capsys, "--config", "taught.toml", "--out", "e", "--steps", 1, *TINY)
    other.fails(3, "pose14-small.safetensors finds 14 landmarks of lsp, the data set has 16")


def arrays(folder: str) -> dict[str, np.ndarray]:
    return load_file(f"{folder}/last.safetensors")


def test_other_points_begin_with_those_of_the_same_names(capsys: pytest.CaptureFixture[str]) -> None:
    """Of three points, in another order, two are known to the model: their filters move, the third is drawn."""
    rng = np.random.default_rng(0)
    for folder, names in (("one", ["nose", "tail", "eye"]), ("two", ["eye", "ear", "nose"])):
        Path(folder).mkdir()
        rows = ["picture," + ",".join(f"{name}_x,{name}_y" for name in names)]
        for k in range(4):
            Image.fromarray(rng.integers(0, 255, (40, 40, 3), np.uint8)).save(f"{folder}/{k}.png")
            rows.append(f"{k}.png,10,12,20,22,30,15")
        Path(f"{folder}/labels.csv").write_text("\n".join(rows) + "\n")
    words = ("--steps", 1, "--quiet", "--batch-size", 2, *TINY[6:], "optim.lr=1e-30")
    data = [f"csv:{folder}/labels.csv?test=0.5" for folder in ("one", "two")]
    assert Outcome(pose.main, capsys, "--data", data[0], "--out", "a", *words).code == 0
    begun = Outcome(
        pose.main, capsys, "--data", data[1], "--out", "b", "--init", "a", "--freeze", "trunk", *words, "run.seed=7"
    )
    assert begun.code == 0, begun.errors
    a, b = arrays("a"), arrays("b")
    np.testing.assert_allclose(
        b["heads.0.heatmaps.weight"][..., [0, 2]], a["heads.0.heatmaps.weight"][..., [2, 0]], atol=1e-6
    )
    assert np.abs(b["heads.0.heatmaps.weight"][..., 1] - a["heads.0.heatmaps.weight"][..., 1]).max() > 1e-3
    # What is frozen stays to the bit, running means as well; those of the head do not.
    trunk = [name for name in a if not name.startswith("heads.")]
    assert all(np.array_equal(a[name], b[name]) for name in trunk)
    assert any(not np.array_equal(a[name], b[name]) for name in a if name not in trunk and "running" in name)
