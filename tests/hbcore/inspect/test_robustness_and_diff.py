"""Bits that flip by chance, and bits that differ between two models: by hand."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from hbcore import save_model
from hbcore.inspect import __main__ as entry
from hbcore.inspect.observe import observe
from hbcore.inspect.subject import InspectError, Subject, binary_units
from hbcore.inspect.truth import Truth
from hbcore.inspect.views.difference import distances
from hbcore.inspect.views.robustness import (
    activations,
    answers,
    chosen,
    flipped_weights,
    measured,
    movement,
    negate,
    shifts,
    weights,
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


def many_pictures(count):
    pictures = np.random.default_rng(3).random((count, 32, 32, 3), dtype=np.float32)
    return replace(Subject.read("m.safetensors"), pictures=pictures)


def test_movement_is_a_share_of_the_side():
    right = np.zeros((2, 2, 2), dtype=np.float32)
    other = right.copy()
    other[1, 0] = 3, 4  # five pixels, of one of two points
    assert movement(right, other, 50).tolist() == [0, 5]
    classes = np.zeros((2, 2, 2), dtype=np.uint8)
    assert movement(classes, classes + np.eye(2, dtype=np.uint8), 2).tolist() == [50, 50]


def test_so_many_places_are_chosen():
    sizes = [30, 5, 65]
    places = chosen(sizes, 100, np.random.default_rng(0))
    assert [part.tolist() for part in places] == [list(range(size)) for size in sizes]
    places = chosen(sizes, 7, np.random.default_rng(0))
    assert sum(map(len, places)) == 7
    assert all(len(set(part)) == len(part) for part in places)
    with pytest.raises(InspectError, match="--flips 101: there are 100 bits"):
        chosen(sizes, 101, np.random.default_rng(0))


def test_the_other_bit_of_zero_too():
    numbers = np.array([0, -0.0, 2, -3, 5], dtype=np.float32)
    negate(numbers, np.arange(4))
    assert (numbers < 0).tolist() == [True, True, True, False, False]
    assert numbers[2:].tolist() == [-2, 3, 5]


def test_shift_and_error_by_hand():
    """Two pictures and two seeds. Points move by 0 and 1 pixels, then by 3 and 10; one is not known in picture 1."""
    right = np.zeros((2, 2, 2))
    others = [right.copy(), right.copy()]
    others[0][1, :, 0], others[1][0, :, 0], others[1][1, :, 0] = 1, 3, 10
    truth = np.zeros((2, 2, 2))
    truth[0, :, 1] = 0, 4  # with a shift of 3: 3 and 5 away
    truth[1, 1] = np.nan
    found = measured("weights", 5, 99, right, others, 50, Truth(truth, np.array([50.0, 50.0]), 0.05))
    assert (found.of, found.flips, found.bits) == ("weights", 5, 99)
    assert found.mean == pytest.approx(100 / 50 * (0 + 1 + 3 + 10) / 4)
    assert found.worst == pytest.approx(100 / 50 * 10)
    # of the seeds: pictures 0 and 4 away, on average 2, and 1; then 3 and 5, on average 4, and 10
    assert found.error == pytest.approx(100 / 50 * ((2 + 1) / 2 + (4 + 10) / 2) / 2)
    # within 2.5 pixels of three known points: 0 and 1, but not 4; then none
    assert found.within == pytest.approx(100 * (2 / 3 + 0) / 2)
    # the means of the two seeds are 1 and 13, 3 and 14, and two thirds and nothing
    half = 0.5**0.5
    assert found.spread == pytest.approx({"mean": 12 * half, "error": 11 * half, "within": 100 * 2 / 3 * half})
    plain = measured("weights", 5, 99, right, others, 50, None)
    assert (plain.error, plain.within, list(plain.spread)) == (None, None, ["mean"])
    assert measured("weights", 5, 99, right, others[:1], 50, None).spread is None


def test_every_seed_flips_other_bits():
    subject = Subject.read("m.safetensors")
    right, count = answers(subject), 400
    moved = []
    for seed in (0, 1):
        with flipped_weights(subject, count, np.random.default_rng(seed)):
            moved.append(movement(right, answers(subject), subject.size).mean())
    assert moved[0] != moved[1]
    (found,) = shifts(subject, right, "weights", [count], 2)
    assert found.mean == pytest.approx(np.mean(moved))
    moved = [
        movement(right, with_flipped_activations(subject, count, np.random.default_rng(seed)), subject.size).mean()
        for seed in (0, 1)
    ]
    assert moved[0] != moved[1]
    (found,) = shifts(subject, right, "activations", [count], 2)
    assert found.mean == pytest.approx(np.mean(moved))


def test_weights_are_flipped_within_a_context_and_keep_their_scales():
    subject = Subject.read("m.safetensors")
    convs = [conv for _, conv, _ in binary_units(subject.network).values()]
    before = [(conv.weight.data.copy(), conv.alpha) for conv in convs]
    with flipped_weights(subject, 11, np.random.default_rng(0)):
        apart = [(conv.weight.data < 0) != (w < 0) for conv, (w, _) in zip(convs, before, strict=True)]
        assert sum(map(np.count_nonzero, apart)) == 11
        assert all(np.array_equal(conv.alpha, alpha) for conv, (_, alpha) in zip(convs, before, strict=True))
    assert all(np.array_equal(conv.weight.data, w) for conv, (w, _) in zip(convs, before, strict=True))


def test_signs_of_every_picture_are_flipped_before_the_convolution_takes_them():
    """Of 17 pictures, which are two batches; all signs, and then half of them, other ones in every picture."""
    subject = many_pictures(17)
    first = next(iter(binary_units(subject.network).values()))[1]
    sizes = activations(subject)

    def taken(count):
        seen = []

        def note(_, module, inputs, result):
            if module is first:
                seen.append(inputs[0].data < 0)

        with observe(subject.network, note):
            with_flipped_activations(subject, count, np.random.default_rng(0), sizes)
        assert [len(batch) for batch in seen] == [16, 1]
        return np.concatenate(seen)

    usual = taken(0)
    assert np.array_equal(taken(sum(sizes)), ~usual)
    apart = (taken(sum(sizes) // 2) != usual).reshape(17, -1)
    assert sizes[0] == apart.shape[1]
    assert np.all(np.abs(apart.mean(axis=1) - 0.5) < 0.1)
    assert len({row.tobytes() for row in apart}) == 17


def test_maps_are_held_for_a_batch_at_a_time(monkeypatch):
    sizes = []
    monkeypatch.setattr(Subject, "answers", batches_of(Subject.answers, sizes))
    subject = many_pictures(17)
    assert len(answers(subject)) == 17
    assert len(with_flipped_activations(subject, 3, np.random.default_rng(0))) == 17
    assert sizes == [16, 1] * 2


def test_without_flips_nothing_moves_or_is_computed_and_with_many_something_does(monkeypatch):
    subject = Subject.read("m.safetensors")
    right, sizes = answers(subject), []
    monkeypatch.setattr(Subject, "answers", batches_of(Subject.answers, sizes))
    for of, bits in (("weights", weights(subject)), ("activations", activations(subject))):
        sizes.clear()
        still, moved = shifts(subject, right, of, [0, sum(bits) // 2], 2)
        assert (still.mean, still.worst, still.bits) == (0, 0, sum(bits))
        assert moved.mean > 0
        assert len(sizes) == 2  # one for each seed


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


def test_both_models_look_at_the_same_picture():
    """Whose signs, behind the same batch norm, depend on it: a black picture and a white one differ."""
    one = Subject.read("m.safetensors")
    black, white = (one.looking_at([("p", np.full((32, 32, 3), grey, np.uint8), None)]) for grey in (0, 255))
    for subject in (black, white):
        assert all(d.signs == 0 for d in distances(subject, subject.also("m.safetensors")))
    assert any(d.signs > 0 for d in distances(black, white))


def test_layers_of_one_model_alone_are_counted(capsys):
    """A deeper hourglass has all layers of the other, and some more."""
    save_model(model(depth=2), "deep.safetensors", HEADER)
    ours, more = (len(binary_units(model(depth=depth))) for depth in (1, 2))
    said = json.loads(Outcome(entry.main, capsys, "diff", "m.safetensors", "--with", "deep.safetensors", "--json").out)
    assert said["without_counterpart"] == (ours - len(said["layers"])) + (more - len(said["layers"]))
    assert 0 < len(said["layers"]) <= ours < more


def test_models_of_other_sizes_are_compared_by_their_weights(capsys):
    """One takes multiples of 8 pixels and looks at 32, the other multiples of 64 alone."""
    header = HEADER | {"codec": HEADER["codec"] | {"input_size": 64}}
    save_model(model(depth=4), "deep.safetensors", header)
    words = "diff", "m.safetensors", "--with", "deep.safetensors"
    said = json.loads(Outcome(entry.main, capsys, *words, "--json").out)
    assert said["layers"]
    assert {layer["signs"] for layer in said["layers"]} == {None}
    out = Outcome(entry.main, capsys, *words).out
    assert "input signs" not in out
    assert "deep.safetensors cannot see 32 pixels as m.safetensors does: signs are not compared\n" in out


def test_the_commands(capsys):
    words = "robustness", "m.safetensors", "one.png", "--flips", "0,500", "--seeds", 1
    said = json.loads(Outcome(entry.main, capsys, *words, "--json").out)
    assert [(s["of"], s["flips"]) for s in said["shifts"]] == [
        (of, flips) for of in ("weights", "activations") for flips in (0, 500)
    ]
    out = Outcome(entry.main, capsys, *words).out
    assert "1 picture, 1 time;" in out
    assert "±" not in out
    twice = Outcome(entry.main, capsys, *words[:-1], 2).out
    assert re.search(r"^weights +0 .* 0\.000 % ", twice, re.M)
    assert re.search(r"^weights +500 .* \d+\.\d{3} ± \d+\.\d{3} % ", twice, re.M)
    assert "±: standard deviation between the times\n" in twice
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
