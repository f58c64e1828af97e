"""The examples that measure finding and following say what their documents quote, on pictures drawn here."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from training.datasets.drawn.synthetic_faces import SyntheticFaces

ROOT = Path(__file__).parents[2]


def example(name, *words):
    command = [sys.executable, "-W", "error", f"examples/{name}", *map(str, words)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    """Two drawn faces as pictures with .pts files, and as 122 photographs of which the last two are looked at."""
    root = tmp_path_factory.mktemp("faces")
    (root / "images").mkdir()
    images, annotations = [], []
    drawn = SyntheticFaces("test", length=2, size=96)
    for k in range(122):
        images.append({"id": k, "file_name": f"{k:03d}.png", "width": 96, "height": 96})
    for k in range(2):
        sample = drawn.sample(k)
        rows = "\n".join(f"{x + 1} {y + 1}" for x, y in sample.keypoints.tolist())
        (root / f"{k}.pts").write_text(f"version: 1\nn_points: 68\n{{\n{rows}\n}}\n")
        flat = np.column_stack([sample.keypoints, np.full(68, 2)]).ravel().tolist()
        annotations.append({"id": k, "image_id": 120 + k, "category_id": 1, "keypoints": flat})
        for path in (root / f"{k}.png", root / "images" / f"{120 + k}.png"):
            Image.fromarray(sample.picture).save(path)
    (root / "faces.json").write_text(json.dumps({"images": images, "annotations": annotations}))
    return root


def test_boxes_that_are_off(faces):
    done = example("05_boxes.py", "face68-tiny", faces)
    lines = done.stdout.splitlines()
    assert (done.returncode, len(lines)) == (0, 15), done.stderr
    assert lines[2].startswith("| moved by 0 % | ")
    assert lines[-1].startswith("| 2 times as large | ")


@pytest.mark.parametrize("name", ["05_boxes.py", "06_film.py", "07_finding.py"])
def test_examples_say_what_is_wrong_in_one_line(name, tmp_path):
    for words, message in (((), "usage: "), (("moon", tmp_path / "gone"), "")):
        done = example(name, *words)
        assert done.returncode == 1
        assert done.stderr.startswith(message)
        assert done.stderr.count("\n") == 1


def test_what_is_found_in_photographs(faces):
    done = example("07_finding.py", "face68-tiny", faces, "2")
    assert done.returncode == 0, done.stderr
    rows = [line for line in done.stdout.splitlines() if line.startswith("| all |")]
    assert rows[0].split("|")[2].strip() == "2"
    assert "of 2 drawn pictures without a face have an instance" in done.stdout
