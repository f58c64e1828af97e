"""Bits as pictures, and bits that say nothing: by hand."""

import numpy as np
import pytest
from PIL import Image

from hbcore import save_model
from hbcore.inspect import __main__ as entry
from hbcore.inspect.subject import Subject
from hbcore.inspect.views.dead import counts, dead, repeated
from hbcore.inspect.views.planes import signs, tiled, weight_plane
from hbcore.nn.blocks import Style, Unit
from hbcore.nn.module import Sequential
from tests.command_lines import Outcome
from tests.hbcore.inspect.models import model


def test_weights_are_a_row_for_each_filter():
    """Two taps of two channels, three filters: filter 1 has its -1 in channel 1 of the second tap."""
    bits = np.zeros((1, 2, 2, 3), dtype=bool)
    bits[0, 1, 1, 1] = True
    bits[0, 0, :, 2] = True
    assert weight_plane(bits).tolist() == [
        [255, 255, 128, 255, 255],
        [255, 255, 128, 255, 0],
        [0, 0, 128, 255, 255],
    ]


def test_maps_are_tiles():
    maps = np.zeros((3, 1, 1), dtype=bool)
    maps[1] = True
    assert tiled(maps).tolist() == [[255, 128, 0], [128, 128, 128], [255, 128, 128]]
    assert tiled(np.zeros((64, 32, 32), dtype=bool)).shape == (8 * 33 - 1, 8 * 33 - 1)


def unit(filters=4):
    """A unit whose batch norm does next to nothing, with filters +, a copy of it, its negative, and one of its own."""
    made = Unit(3, filters, 1, Style(rng=np.random.default_rng(0)))
    made.modules[1].weight.data[0, 0] = np.array([[0.1, 2, -3, 1], [0.2, 1, -1, -1], [0.3, 5, -2, 1]])
    return made


def pictures():
    """Channel 0 is negative at one of eight pixels, channel 1 never, channel 2 always."""
    x = np.ones((2, 2, 2, 3), dtype=np.float32)
    x[1, 0, 1, 0] = x[..., 2] = -1
    return x


def test_copies_and_negatives_of_filters():
    w = np.array([[[[1.0, 2, -1, 1, -2], [-1, -3, 1, 1, -1]]]])
    assert repeated(w) == (((1, 0),), ((2, 0), (4, 3)))


def test_idle_bits_by_hand():
    subject = Subject("toy", Sequential(unit()), None, pictures())
    negative, pixels = counts(subject)
    assert (negative["0"].tolist(), pixels["0"]) == ([1, 0, 8], 8)
    (found,) = dead(subject)
    assert (found.still, found.copies, found.negatives) == ((1, 2), ((1, 0),), ((2, 0),))
    assert (found.weights, found.idle) == (12, 10)  # channel 0 of filters 0 and 3 is all that is left


def test_more_pictures_than_a_batch_are_looked_at():
    """Channel 1 is negative in the last of 17 pictures alone."""
    x = np.ones((17, 2, 2, 3), dtype=np.float32)
    x[16, 0, 0, 1] = x[..., 2] = -1
    subject = Subject("toy", Sequential(unit()), None, x)
    negative, pixels = counts(subject)
    assert (negative["0"].tolist(), pixels["0"]) == ([0, 1, 68], 68)
    assert dead(subject)[0].still == (0, 2)


def test_signs_are_those_of_the_first_picture():
    found = signs(Subject("toy", Sequential(unit()), None, pictures()[::-1]))["0"]
    assert found.shape == (2, 2, 3)
    assert found[..., 0].tolist() == [[False, True], [False, False]]


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_model(model(), "m.safetensors")
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (40, 60, 3), dtype=np.uint8)).save("one.png")


def test_bits_are_written_once(tmp_path, capsys):
    words = ["bits", "m.safetensors", "one.png", "--size", 32, "--layer", "heads.0.block.conv1", "--out", "seen"]
    outcome = Outcome(entry.main, capsys, *words)
    assert outcome.out.endswith("2 pictures in seen\n")
    with Image.open("seen/heads.0.block.conv1-weights.png") as image:
        assert image.size == (9 * 17 - 1, 8)  # nine taps of sixteen channels, eight filters
    with Image.open("seen/heads.0.block.conv1-signs.png") as image:
        assert image.size == (4 * 9 - 1, 4 * 9 - 1)  # sixteen maps of 8x8
    Outcome(entry.main, capsys, *words).fails(5, "seen/heads.0.block.conv1-weights.png: is there already")
    assert "--out FOLDER writes" in Outcome(entry.main, capsys, *words[:-2]).out


def test_dead_needs_pictures(capsys):
    Outcome(entry.main, capsys, "dead", "m.safetensors").fails(3, "dead needs pictures to look at")
    out = Outcome(entry.main, capsys, "dead", "m.safetensors", "one.png", "--size", 32).out
    assert " channels never change their sign over 1 picture\n" in out
