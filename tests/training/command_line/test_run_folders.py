"""Where runs go that nobody gave a folder, and which of them --resume takes up."""

import json
import os
from pathlib import Path

import pytest

from tests.command_lines import Outcome
from training import pose
from training.files.run_folder import free_folder, locked, newest_folder

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
