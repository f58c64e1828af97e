"""Covering a picture, patch by patch: by hand, and by the network itself."""

import json
from argparse import Namespace

import numpy as np
import pytest
from PIL import Image

from hbcore import Tensor, no_grad, save_model
from hbcore.inspect import __main__ as entry
from hbcore.inspect.subject import Subject
from hbcore.inspect.views import attention as module
from hbcore.inspect.views.attention import Attention, attention, changes, heat
from tests.command_lines import Outcome
from tests.hbcore.inspect.models import HEADER, PARTS, batches_of, model


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, header in (("m", HEADER), ("parts", PARTS), ("bare", {})):
        save_model(model(), f"{name}.safetensors", header)
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (40, 60, 3), dtype=np.uint8)).save("one.png")


def test_changes_of_points_and_classes():
    right = np.zeros((2, 2), dtype=np.float32)
    others = np.array([[[0, 0], [3, 4]], [[0, 10], [0, 0]]], dtype=np.float32)
    assert changes(right, others, 50, 2).tolist() == [[0, 10], [20, 0]]
    classes = np.array([[0, 1], [1, 1]], dtype=np.uint8)
    others = np.array([[[0, 1], [0, 1]]], dtype=np.uint8)
    assert changes(classes, others, 2, 3).tolist() == [[0, pytest.approx(100 / 3), 0]]


def test_each_patch_is_what_the_network_says_of_the_covered_picture():
    subject = Subject.read("m.safetensors")
    found = attention(subject, 20, 8)
    assert found.corners.tolist() == [0, 8, 12]  # the last patch ends with the picture
    covered = subject.pictures.copy()
    covered[0, 8:28, 12:32] = covered.mean(axis=(0, 1, 2))
    with no_grad():
        open_, closed = (
            subject.answers(subject.network(Tensor(pictures))[-1].data)[0] for pictures in (subject.pictures, covered)
        )
    assert np.array_equal(found.answers, open_)
    moved = 100 / 32 * np.linalg.norm(closed - open_, axis=1)
    assert found.effect[1, 2] == pytest.approx(moved, abs=1e-5)
    assert moved.max() > 0


def test_maps_are_held_for_a_batch_at_a_time(monkeypatch):
    sizes = []
    monkeypatch.setattr(Subject, "answers", batches_of(Subject.answers, sizes))
    found = attention(Subject.read("m.safetensors"), 8, 8)
    assert sizes == [1, 8, 8]
    assert found.effect.shape == (4, 4, 3)


def test_heat_is_red_where_it_counts():
    subject = Subject("toy", None, None, np.full((1, 3, 3, 3), 0.4, dtype=np.float32))
    found = Attention(2, np.array([0, 1]), np.zeros((1, 2)), np.zeros((2, 2, 1)))
    drawn = heat(subject, found, np.array([[0.0, 4.0], [0.0, 0.0]]))
    assert drawn[0, 2].tolist() == [255, 25, 0]  # covered by that patch alone
    assert drawn[2, 0].tolist() == [102, 102, 102]  # not by it
    assert drawn[0, 1].tolist() == [178, 63, 51]  # half of the patches there


def test_what_is_said_of_patches_beside_the_diagonal(monkeypatch):
    """Point b is moved by the patch at the top right and a little by others, point a by that at the bottom left."""
    effect = np.zeros((3, 3, 3))
    effect[0, 2, 1], effect[1, 1, 1], effect[2, 0, 0] = 9, 4.5, 1
    points = np.array([[7.5, 20.5], [3.5, 7.5], [0, 0]])
    found = Attention(16, np.array([0, 8, 16]), points, effect)
    monkeypatch.setattr(module, "attention", lambda subject, patch, step: found)
    subject = Subject.read("m.safetensors").looking_at([("one.png", np.zeros((32, 32, 3), np.uint8), None)])
    seen = module.view(subject, Namespace(point="b", patch=16, step=None, out=None))
    a, b, c = seen.data["points"]
    assert (c["patch"], c["apart"], c["largest"]) == (None, None, 0)  # nothing moves it
    assert seen.lines[3].split() == ["c", "0.00", "%", "0.00", "%"]
    assert (b["patch"], b["largest"], b["mean"], b["apart"]) == ([23.5, 7.5], 9, 1.5, 20)  # x, then y
    assert (a["patch"], a["apart"]) == ([7.5, 23.5], 3)
    assert "23.5,7.5" in seen.lines[2]
    drawn = seen.pictures["attention-1"]
    assert drawn[0, 31].tolist() == [255, 25, 0]  # where b is moved
    assert drawn[31, 0].tolist() == [0, 0, 0]  # and not where a is
    every = module.view(subject, Namespace(point=None, patch=16, step=None, out=None)).pictures["attention"]
    assert every[31, 0, 0] > 0


def test_the_command(capsys):
    words = "attention", "m.safetensors", "one.png"
    said = json.loads(Outcome(entry.main, capsys, *words, "--patch", 16, "--step", 8, "--json").out)
    assert (said["patch"], said["corners"]) == (16, [0, 8, 16])
    assert [point["name"] for point in said["points"]] == ["a", "b", "c"]
    assert Outcome(entry.main, capsys, *words, "--point", "b", "--out", "seen").out.endswith("1 picture in seen\n")
    assert "--out FOLDER draws the picture" in Outcome(entry.main, capsys, *words).out
    with Image.open("seen/attention-1.png") as image:
        assert image.size == (32, 32)
    Outcome(entry.main, capsys, *words, "--point", "d").fails(3, "--point d: the points are a, b, c\n")
    Outcome(entry.main, capsys, *words, "--patch", 33).fails(3, "a patch of 1 to 32 pixels")
    Outcome(entry.main, capsys, "attention", "m.safetensors").fails(3, "attention needs pictures")
    message = "bare.safetensors: its file does not say what its maps mean"
    Outcome(entry.main, capsys, "attention", "bare.safetensors", "one.png", "--size", 32).fails(3, message)
    assert "blue " in Outcome(entry.main, capsys, "attention", "parts.safetensors", "one.png").out
