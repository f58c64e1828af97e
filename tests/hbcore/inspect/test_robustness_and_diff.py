"""Bits that flip by chance, and bits that differ between two models: by hand."""

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from hbcore import save_model
from hbcore.inspect import __main__ as entry
from hbcore.inspect.observe import observe
from hbcore.inspect.subject import InspectError, Subject, binary_units
from hbcore.inspect.views.difference import distances
from hbcore.inspect.views.robustness import (
    answers,
    chosen,
    flipped_weights,
    movement,
    negate,
    shifts,
    with_flipped_activations,
)
from tests.command_lines import Outcome
from tests.hbcore.inspect.models import HEADER, batches_of, model

LAYER = "heads.0.block.conv1"


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_model(model(), "m.safetensors", HEADER)
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (40, 60, 3), dtype=np.uint8)).save("one.png")


def test_movement_is_a_share_of_the_side():
    right = np.zeros((2, 2, 2), dtype=np.float32)
    other = right.copy()
    other[1, 0] = 3, 4  # five pixels, of one of two points
    assert movement(right, other, 50).tolist() == [0, 5]
    classes = np.zeros((2, 2, 2), dtype=np.uint8)
    assert movement(classes, classes + np.eye(2, dtype=np.uint8), 2).tolist() == [50, 50]


def test_so_many_bits_are_chosen_and_negated_zero_too():
    mask = chosen(100, 7, np.random.default_rng(0))
    assert (mask.shape, mask.sum()) == ((100,), 7)
    with pytest.raises(InspectError, match="--flips 101: there are 100 bits"):
        chosen(100, 101, np.random.default_rng(0))
    numbers = np.array([0, -0.0, 2, -3, 5], dtype=np.float32)
    negate(numbers, np.array([True, True, True, True, False]))
    assert (numbers < 0).tolist() == [True, True, True, False, False]
    assert numbers[2:].tolist() == [-2, 3, 5]


def test_weights_are_flipped_within_a_context_and_keep_their_scales():
    subject = Subject.read("m.safetensors")
    convs = [conv for _, conv, _ in binary_units(subject.network).values()]
    before = [(conv.weight.data.copy(), conv.alpha) for conv in convs]
    with flipped_weights(subject, 11, np.random.default_rng(0)) as total:
        assert total == sum(conv.weight.data.size for conv in convs)
        apart = [(conv.weight.data < 0) != (w < 0) for conv, (w, _) in zip(convs, before, strict=True)]
        assert sum(map(np.count_nonzero, apart)) == 11
        assert all(np.array_equal(conv.alpha, alpha) for conv, (_, alpha) in zip(convs, before, strict=True))
    assert all(np.array_equal(conv.weight.data, w) for conv, (w, _) in zip(convs, before, strict=True))


def test_signs_are_flipped_before_the_convolution_takes_them():
    subject = Subject.read("m.safetensors")
    first = next(iter(binary_units(subject.network).values()))[1]

    def taken(count):
        seen = []

        def note(_, module, inputs, result):
            if module is first:
                seen.append(inputs[0].data < 0)

        with observe(subject.network, note):
            _, total = with_flipped_activations(subject, count, np.random.default_rng(0))
        return seen[-1], total

    usual, total = taken(0)
    opposite, _ = taken(total)
    assert np.array_equal(opposite, ~usual)
    assert total > usual.size


def test_maps_are_held_for_a_batch_at_a_time(monkeypatch):
    sizes = []
    monkeypatch.setattr(Subject, "answers", batches_of(Subject.answers, sizes))
    subject = Subject.read("m.safetensors")
    subject = replace(subject, pictures=np.random.default_rng(3).random((17, 32, 32, 3), dtype=np.float32))
    assert len(answers(subject)) == 17
    assert sizes == [16, 1]
    assert len(with_flipped_activations(subject, 3, np.random.default_rng(0))[0]) == 17
    assert max(sizes) == 16


def test_without_flips_nothing_moves_and_with_many_something_does():
    subject = Subject.read("m.safetensors")
    for of in ("weights", "activations"):
        still = shifts(subject, of, 0, 2)
        assert (still.mean, still.worst) == (0, 0)
        assert shifts(subject, of, still.bits // 2, 2).mean > 0


def test_distance_by_hand():
    """Of the other model, three weights of a layer are turned over and a filter's scale is doubled."""
    other = model()
    conv = binary_units(other)[LAYER][1]
    conv.weight.data[0, 0, :3, 0] *= -1
    conv.weight.data[..., 1] *= 2
    save_model(other, "n.safetensors", HEADER)
    one = Subject.read("m.safetensors")
    found = {d.name: d for d in distances(one, one.also("n.safetensors"))}
    layer = found.pop(LAYER)
    assert (layer.flipped, layer.weights) == (3, 9 * 16 * 8)
    assert layer.scale == pytest.approx(1 / 8)  # one octave, in one of eight filters
    assert layer.signs == 0  # what it takes is the same
    assert all(d.flipped == 0 and d.scale == 0 for d in found.values())
    assert found["heads.0.block.conv2"].signs > 0


def test_the_commands(capsys):
    words = "robustness", "m.safetensors", "one.png", "--flips", "0,500", "--seeds", 1
    said = json.loads(Outcome(entry.main, capsys, *words, "--json").out)
    assert [(s["of"], s["flips"]) for s in said["shifts"]] == [
        (of, flips) for of in ("weights", "activations") for flips in (0, 500)
    ]
    assert "1 pictures, 1 times" in Outcome(entry.main, capsys, *words).out
    Outcome(entry.main, capsys, *words[:-1], 0).fails(3, "--seeds 0: at least 1")
    for odd in ("-1", "1,,2", "x", "1e3"):
        message = f"argument --flips: {odd!r} is not K or K,K,..., whole numbers from 0"
        Outcome(entry.main, capsys, *words[:4], odd).fails(2, message)
    Outcome(entry.main, capsys, "robustness", "m.safetensors").fails(3, "robustness needs pictures")
    save_model(model(), "bare.safetensors")
    message = "bare.safetensors: its file does not say what its maps mean"
    Outcome(entry.main, capsys, "robustness", "bare.safetensors", *words[2:], "--size", 32).fails(3, message)
    save_model(model(2), "n.safetensors", HEADER)
    out = Outcome(entry.main, capsys, "diff", "m.safetensors", "--with", "n.safetensors").out
    assert " weight bits differ, " in out
    save_model(model(binary=False), "real.safetensors")
    words = "diff", "m.safetensors", "--with", "real.safetensors"
    Outcome(entry.main, capsys, *words).fails(3, "this network has no binary layer")
    save_model(model(features=32), "wide.safetensors", HEADER)
    message = "m.safetensors and wide.safetensors have no binary layer of the same name and shape"
    Outcome(entry.main, capsys, *words[:-1], "wide.safetensors").fails(3, message)
