"""One number of a binary layer: by hand, and equal to the kernels wherever one looks."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from hbcore import BinaryConv2d, kernels, save_model
from hbcore.deploy import packed_file
from hbcore.deploy.engine import Engine
from hbcore.deploy.lowering import lower
from hbcore.deploy.memory import run_apart
from hbcore.inspect import __main__ as entry
from hbcore.inspect.observe import run_once
from hbcore.inspect.subject import InspectError, Subject, binary_units
from hbcore.inspect.views.microscope import Slide, slides
from hbcore.nn.blocks import BLOCKS, Style, Unit
from hbcore.nn.layers import use_packed
from hbcore.nn.module import Sequential
from tests.command_lines import Outcome
from tests.hbcore.inspect.models import model


def toy():
    """A 3x3 filter of +0.5, but for -0.5 in channel 0 of its middle; a picture of +1, but for -1 at one place.

    Two weights of one corner have other sizes: it lies outside of the picture where the tests look.
    """
    unit = Unit(3, 1, 3, Style(rng=np.random.default_rng(0)))
    norm, conv = unit.modules
    norm.gamma.data[:], norm.beta.data[:] = 2, 1
    norm.running_mean[:], norm.running_variance[:] = 0.5, 1 - np.float32(norm.eps)
    conv.weight.data[:] = 0.5
    conv.weight.data[1, 1, 0, 0] = -0.5
    conv.weight.data[0, 2, :2, 0] = 0.25, 0.75
    picture = np.ones((1, 2, 2, 3), dtype=np.float32)
    picture[0, 0, 0, 0] = -1
    return Subject("toy", Sequential(unit), None, picture)


def test_a_corner_by_hand():
    sample = Slide.of(toy(), "0").at(0, 0, 0)
    inside = [tap for tap in sample.taps if tap.activations is not None]
    assert [tap.pixel for tap in inside] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert [tap.activations for tap in inside] == [(1,), (0,), (0,), (0,)]
    assert [tap.weights for tap in inside] == [(1,), (0,), (0,), (0,)]
    assert [tap.differing for tap in inside] == [(0,)] * 4
    assert (sample.factors, sample.popcount, sample.dot) == (12, 0, 12)
    assert (sample.alpha, sample.bias, sample.value, sample.kernel, sample.simulated) == (0.5, 0, 6, 6, 12)
    # v = 2 (x - 0.5) + 1 = 2 x: minus two once, times -0.5, and two eleven times, times 0.5
    assert sample.real == pytest.approx(12, rel=1e-4)
    first, second, _ = sample.middle
    assert (first.x, first.bit, second.x, second.bit) == (-1, 1, 1, 0)
    assert (first.scale, first.shift, first.v) == pytest.approx((2, 0, -2), abs=1e-4)
    assert sample.pixels == (-1, -1, 1, 1)


def test_bits_that_differ_by_hand():
    """At the other corner the filter's -1 meets a +1, and the picture's -1 a +1: two of twelve differ."""
    sample = Slide.of(toy(), "0").at(1, 1, 0)
    assert (sample.factors, sample.popcount, sample.dot, sample.kernel) == (12, 2, 8, 4)
    assert sample.real == pytest.approx(8, rel=1e-4)


def test_a_packed_file_has_no_latent_weights(tmp_path, capsys):
    path = tmp_path / "p.safetensors"
    path.write_bytes(packed_file.packed_bytes(*packed_file.packed(model(), {})))
    words = ["microscope", path, "--size", 32, "--layer", "heads.0.block.conv1"]
    assert json.loads(Outcome(entry.main, capsys, *words, "--json").out)["real"] is None
    assert "\nwithout signs: not known, as a packed file has no latent" in Outcome(entry.main, capsys, *words).out


def test_thresholds_that_no_number_reaches_are_words_in_json(tmp_path, capsys):
    """Batch norms that multiply by 0: the bit is that of their shift, whatever x is, and the threshold infinite."""
    network = model()
    norm, *_ = binary_units(network)["heads.0.block.conv1"]
    norm.gamma.data[:], norm.beta.data[:3] = 0, (1, -1, 1)
    save_model(network, tmp_path / "m.safetensors")
    words = ["microscope", tmp_path / "m.safetensors", "--size", 32, "--layer", "heads.0.block.conv1", "--json"]

    def never(word):
        raise AssertionError(f"{word} is no JSON")

    said = json.loads(Outcome(entry.main, capsys, *words).out, parse_constant=never)
    assert [normed["bit"] for normed in said["middle"][:3]] == [0, 1, 0]
    assert {normed["threshold"] for normed in said["middle"]} <= {"inf", "-inf"}


NETWORKS = {block: {"block": block} for block in BLOCKS} | {"ends": {"binary_ends": True, "activation": "prelu"}}


@pytest.mark.parametrize("name", NETWORKS)
def test_it_says_what_the_kernels_say(name):
    """More than 1,000 positions over all networks, in packed bits and in numbers of +1 and -1."""
    rng = np.random.default_rng(5)
    network = model(features=32, **NETWORKS[name])
    subject = Subject(name, network, None, rng.random((1, 32, 32, 3), dtype=np.float32))
    units, computed = binary_units(network), {}
    for packed in (True, False):
        use_packed(network, packed)

        def note(_, module, inputs, result, packed=packed):
            if isinstance(module, BinaryConv2d):
                computed[id(module), packed] = result.data[0]

        run_once(network, subject.pictures, note)
    for layer, (_, conv, _) in units.items():
        slide = Slide.of(subject, layer)
        height, width, filters = slide.y.shape
        for _ in range(-(-150 // len(units))):
            y, x, channel = (int(rng.integers(size)) for size in (height, width, filters))
            sample = slide.at(y, x, channel)
            for packed in (True, False):
                assert sample.value == computed[id(conv), packed][y, x, channel]
            assert sample.value == sample.kernel
            assert sample.simulated == sample.dot
            for normed in sample.middle:
                assert normed.bit == ((normed.x < normed.threshold) != normed.flip)


@pytest.mark.parametrize("name", NETWORKS)
def test_it_says_what_the_engine_says(name):
    """The words of more than 1,000 positions are those that the engine's steps take, each from the steps before it.

    Of the engine's table and its kernels, but with a place of its own for every buffer, so that all are still there.
    """
    rng = np.random.default_rng(6)
    network = model(features=32, **NETWORKS[name])
    subject = Subject(name, network, None, rng.random((1, 32, 32, 3), dtype=np.float32))
    table, plan = lower(network, 32, 32), kernels.backend.new_plan()
    array_of = run_apart(plan, table)
    array_of(table.picture)[...] = subject.pictures
    plan.run()
    assert np.array_equal(array_of(table.maps), Engine(network, 32, 32)(subject.pictures))
    steps = {step.arguments["w"].tobytes(): step.arguments for step in table.steps if step.kind == "binary_conv2d"}
    layers = slides(subject)
    assert len(steps) == len(layers)
    for slide in layers:
        step = steps[kernels.backend.pack_filters(slide.conv.weight.data).tobytes()]
        words, filters, alpha = array_of(step["x"])[0], step["w"], step["epilogue"].alpha
        for _ in range(-(-150 // len(layers))):
            y, x, channel = (int(rng.integers(size)) for size in slide.y.shape)
            sample = slide.at(y, x, channel)
            weights = filters[..., channel].reshape(-1, filters.shape[2])
            assert [list(tap.weights) for tap in sample.taps] == weights.tolist()
            inside = [tap for tap in sample.taps if tap.activations is not None]
            assert [list(tap.activations) for tap in inside] == [words[tap.pixel].tolist() for tap in inside]
            assert sample.alpha == alpha[channel]


def test_what_is_not_there_is_named():
    slide = Slide.of(toy(), "modules.0")
    for place, message in (((2, 0, 0), "--at 2,0: .* 2 rows"), ((0, 0, 1), "--channel 1: 0 has the filters 0 to 0")):
        with pytest.raises(InspectError, match=message):
            slide.at(*place)
    with pytest.raises(InspectError, match="--layer 1: no binary layer of this network; similar: 0"):
        Slide.of(toy(), "1")
    real = model(binary=False)
    with pytest.raises(InspectError, match="this network has no binary layer"):
        Slide.of(Subject("real", real, None, np.zeros((1, 32, 32, 3), dtype=np.float32)), "stem.3.conv1")


def test_the_command_says_it_in_lines_and_in_json(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_model(model(features=144), "m.safetensors")
    words = ["microscope", "m.safetensors", "--size", 32, "--layer", "heads.0.block.conv1", "--at", "0,0"]
    text = Outcome(entry.main, capsys, *words)
    said = json.loads(Outcome(entry.main, capsys, *words, "--json").out)
    assert said["factors"] == 4 * 144
    assert f"dot = K - 2 popcount = 576 - {2 * said['popcount']} = {said['dot']}\n" in text.out
    assert "5 outside the map are left out" in text.out
    inside = [tap for tap in said["taps"] if tap["activations"]]
    assert [len(tap["weights"]) for tap in inside] == [3] * 4  # words of 144 channels
    for tap in inside:
        pairs = zip(tap["activations"], tap["weights"], tap["differing"], strict=True)
        counts = [(int(a, 16) ^ int(w, 16) == int(xor, 16), int(xor, 16).bit_count()) for a, w, xor in pairs]
        assert all(same for same, _ in counts)
        assert sum(count for _, count in counts) == tap["popcount"]
    assert len(said["middle"]) == 144
    Outcome(entry.main, capsys, *words[:-1], "0;0").fails(2, "'0;0' is not Y,X, two whole numbers")


def test_the_worked_example_of_the_page_is_what_the_command_prints(capsys):
    page = (Path(__file__).parents[3] / "docs" / "inspect.md").read_text(encoding="utf-8")
    command, printed = re.search(
        r"```bash\npython -m hbcore\.inspect (micro.*?)\n```\n\nprints\n\n```text\n(.*?)```", page, re.S
    ).groups()
    assert Outcome(entry.main, capsys, *command.split()).out == printed
