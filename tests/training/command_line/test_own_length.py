"""How long a training on a user's own pictures is, where nobody says it."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.command_lines import Outcome
from training import pose
from training.command_line.options import read_options
from training.command_line.resolve import OWN_PATIENCE, resolve, steps_for
from training.configuration.settings import Config
from training.tasks.pose import POSE


@pytest.fixture
def labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Two hundred rows of one picture each; that there are none does not matter before the training."""
    monkeypatch.chdir(tmp_path)
    rows = ["picture,eye_x,eye_y,nose_x,nose_y", *(f"{number}.png,10,12,30,12" for number in range(200))]
    Path("bees.csv").write_text("\n".join(rows) + "\n")
    return "csv:bees.csv"


def resolved(*words: object) -> Config:
    return resolve(POSE, read_options(POSE, [str(word) for word in words]))


@pytest.mark.parametrize(
    ("pictures", "batch_size", "steps"),
    [(100, 8, 3000), (400, 8, 6000), (400, 16, 3000), (50, 8, 2100), (1, 8, 1000), (10**6, 8, 20_000)],
)
def test_steps_go_with_the_root_of_the_number_of_pictures(pictures: int, batch_size: int, steps: int) -> None:
    assert steps_for(pictures, batch_size) == steps


def test_own_pictures_choose_length_and_evaluations(labels: str) -> None:
    config = resolved("--data", labels)
    assert (config.optim.steps, config.run.eval_every, config.run.patience) == (4200, 210, None)
    fewer = resolved("--data", labels, "--limit", 100)
    assert (fewer.optim.steps, fewer.run.eval_every) == (3000, 150)
    heads = resolved("--data", labels, "--limit", 100, "--freeze", "trunk")
    assert (heads.optim.steps, heads.run.eval_every) == (750, 38)


def test_patience_needs_pictures_held_out_for_validation(labels: str) -> None:
    assert resolved("--data", f"{labels}?val=0.2").run.patience == OWN_PATIENCE
    assert resolved("--data", f"{labels}?val=0.2", "--patience", 2).run.patience == 2


def test_what_is_said_counts(labels: str) -> None:
    usual = Config().run
    said = resolved("--data", f"{labels}?val=0.2", "--steps", 77)
    assert (said.optim.steps, said.run.eval_every, said.run.patience) == (77, usual.eval_every, None)
    assert resolved("--data", labels, "--set", "run.eval_every=9").run.eval_every == 9
    Path("c.toml").write_text("[optim]\nsteps = 99\n")
    assert resolved("--data", labels, "--config", "c.toml").optim.steps == 99
    Path("d.toml").write_text("[optim]\nbatch_size = 16\n")
    assert resolved("--data", labels, "--config", "d.toml").optim.steps == 2100


def test_other_data_choose_nothing(labels: str) -> None:
    drawn = resolved("--data", "synthetic?length=4")
    assert (drawn.optim, drawn.run.eval_every, drawn.run.patience) == (Config().optim, Config().run.eval_every, None)


def test_a_run_says_its_length_and_goes_on_with_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    rows = ["picture,eye_x,eye_y,nose_x,nose_y"]
    for number in range(4):
        Image.fromarray(rng.integers(256, size=(40, 40, 3), dtype=np.uint8)).save(f"{number}.png")
        rows.append(f"{number}.png,10,12,30,12")
    Path("bees.csv").write_text("\n".join(rows) + "\n")
    words = ("--data", "csv:bees.csv?test=0.4", "--out", "a", "--threads", 1, "--workers", 0,
             "--set", "model.features=16", "model.depth=1", "data.size=32", "run.stop_after=1")  # fmt: skip
    begun = Outcome(pose.main, capsys, *words)
    assert begun.code == 0, begun.errors
    assert "1000 steps, in which each picture is looked at" in begun.errors
    Path("e.toml").write_text("[run]\nlog_every = 1\n")
    again = Outcome(pose.main, capsys, *words[:-1], "run.stop_after=2", "--config", "e.toml", "--resume")
    assert again.code == 0, again.errors
