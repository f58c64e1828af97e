"""The command lines as files, from a folder that is not the checkout."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


def command(folder: Path, *words: object) -> subprocess.CompletedProcess[str]:
    """A process in `folder` that knows nothing of the checkout."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    arguments = [sys.executable, *map(str, words)]
    return subprocess.run(arguments, cwd=folder, env=environment, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("name", ["pose", "face", "parts", "data"])
def test_a_file_finds_its_package(tmp_path: Path, name: str) -> None:
    done = command(tmp_path, ROOT / f"training/{name}.py", "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"usage: python -m training.{name}")


def test_a_run_with_a_worker_from_another_folder(tmp_path: Path) -> None:
    """The worker is a process of its own, which has to find the package as well."""
    small = ("--data", "synthetic?length=4&size=48", "--test", "synthetic?length=2&size=48", "--batch-size", "2")
    tiny = ("--steps", "1", "--workers", "1", "--set", "model.features=16", "model.depth=1", "data.size=32")
    done = command(tmp_path, ROOT / "training/pose.py", *small, *tiny, "--quiet")
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "runs/pose/last.safetensors").exists()
