"""The comparison with few pictures trains, and is cut off in time; on faces drawn here."""

import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from training.datasets.drawn.synthetic_faces import SyntheticFaces

ROOT = Path(__file__).parents[2]
OPTIONS = ("--threads", 1, "--workers", 0)


def example(*words):
    command = [sys.executable, "-W", "error", "examples/09_few_pictures.py", *map(str, words)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    """Four drawn faces in the folders of 300-W."""
    root = tmp_path_factory.mktemp("300w")
    drawn = SyntheticFaces("train", length=4, size=64)
    for number, folder in enumerate(("lfpw/trainset", "helen/trainset", "afw", "lfpw/testset")):
        sample = drawn.sample(number)
        (root / folder).mkdir(parents=True)
        rows = "\n".join(f"{x + 1} {y + 1}" for x, y in sample.keypoints.tolist())
        (root / folder / f"{number}.pts").write_text(f"version: 1\nn_points: 68\n{{\n{rows}\n}}\n")
        Image.fromarray(sample.picture).save(root / folder / f"{number}.png")
    return root


def test_a_run_is_stopped_for_its_time_and_scored_as_it_is(faces, tmp_path):
    done = example(faces, "--out", tmp_path, "--pictures", 2, "--starts", "scratch", "--minutes", 0.1, "--", *OPTIONS)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].endswith(", out of time |")


def test_folders_without_faces_are_one_line(tmp_path):
    done = example(tmp_path, "--out", tmp_path / "out")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "there is no picture with a .pts file in lfpw/trainset, helen/trainset, afw" in done.stderr
