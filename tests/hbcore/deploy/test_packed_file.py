"""Packed files: what is lost, that nothing more is, and that a stranger can read one by its description."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from hbcore import StackedHourglass, Tensor, load_model, no_grad
from hbcore.commands import DATA, DISK
from hbcore.deploy import Engine
from hbcore.deploy.model_file import ModelFileError, model_bytes
from hbcore.deploy.packed_file import packed, packed_bytes
from hbcore.export.command import main
from hbcore.nn.layers import BatchNorm2d, BinaryConv2d, Conv2d, use_packed
from tests.hbcore.deploy.stranger import Stranger

SMALL = {"features": 16, "joints": 5, "depth": 1}
CHOICES = (
    {}, {"stem": 8, "real_lin": True}, {"real_skip": True, "activation": "prelu"},
    {"stacks": 2, "depth": 2}, {"stacks": 2, "binary_ends": True},
    {"binarize": "weights"}, {"binarize": "weights", "binary_ends": True, "activation": "prelu"},
    {"binarize": "weights", "real_skip": True, "activation": "prelu"},
    {"binarize": "weights", "real_lin": True, "activation": "relu"},
    {"binarize": "activations"}, {"binarize": "activations", "binary_ends": True},
    {"activation": "prelu"}, {"activation": "prelu", "real_lin": True}, {"activation": "relu"}, {"scale": False},
    {"block": "bottleneck"}, {"block": "wider", "pool": "avg"}, {"block": "bottleneck_no1x1"}, {"block": "multiscale"},
    {"block": "multiscale_no1x1"}, {"cardinality": 2, "layers": 4, "features": 32}, {"hourglass": "improved"},
    {"binary": False},
)  # fmt: skip


def network(**choices):
    """A network that has lived: gammas of both signs, some of them 0, biases and slopes."""
    model = StackedHourglass(**SMALL | choices, seed=3)
    rng = np.random.default_rng(1)
    for name, parameter in model.named_parameters():
        if name.endswith((".bias", ".slope")):
            parameter.data[:] = rng.normal(size=parameter.data.shape)
    for _, module in model.named_modules():
        if isinstance(module, BatchNorm2d):
            size = module.gamma.data.size
            module.gamma.data[:] = rng.normal(size=size) * (rng.random(size) > 0.1)
            module.beta.data[:] = rng.normal(size=size)
            module.running_mean[:] = rng.normal(size=size)
            module.running_variance[:] = rng.random(size) + 0.1
    return model.eval()


def file_of(model: StackedHourglass, metadata: dict[str, object]) -> bytes:
    return packed_bytes(*packed(model, metadata))


def written(tmp_path: Path, model: StackedHourglass) -> Path:
    path = tmp_path / "packed.safetensors"
    path.write_bytes(file_of(model, {"task": "pose"}))
    return path


@pytest.mark.parametrize("choices", CHOICES, ids=str)
def test_every_way_computes_the_same_bits_and_packing_again_loses_nothing(tmp_path, choices):
    content = file_of(network(**choices), {"task": "pose"})
    path = tmp_path / "packed.safetensors"
    path.write_bytes(content)
    model, header = load_model(path)
    assert header["task"] == "pose"
    assert file_of(model, {"task": "pose"}) == content
    x = np.random.default_rng(0).random((2, 32, 32, 3), dtype=np.float32)
    with no_grad():
        simulated = use_packed(model, False)(Tensor(x))[-1].data
        bits = use_packed(model, True)(Tensor(x))[-1].data
    assert np.array_equal(simulated, bits)
    assert np.array_equal(Engine(model, 32, 32, 2)(x), bits)


def test_what_is_lost(tmp_path):
    """Half a step of a byte, half a unit of float16's last place; no sign of a weight."""
    model = network(stem=8, real_lin=True)
    rounded, _ = load_model(written(tmp_path, model))
    for (_, before), (_, after) in zip(model.named_modules(), rounded.named_modules(), strict=True):
        if isinstance(before, BinaryConv2d):
            assert np.array_equal(before.weight.data < 0, after.weight.data < 0)
            assert np.abs(after.alpha / before.alpha - 1).max() <= 2**-11
        elif isinstance(before, Conv2d):
            step = np.abs(before.weight.data).max(axis=(0, 1, 2)) / 127
            assert (np.abs(before.weight.data - after.weight.data) <= step * 0.5001).all()


@pytest.mark.parametrize("choices", CHOICES, ids=str)
def test_a_stranger_reads_it_by_the_description(tmp_path, choices):
    """Sums of real numbers have an order of their own there, so that the last digits differ, but no sign does."""
    path = written(tmp_path, network(**choices))
    x = np.random.default_rng(5).random((32, 32, 3), dtype=np.float32)
    model, _ = load_model(path)
    with no_grad():
        expected = model(Tensor(x[None]))[-1].data[0]
    found = Stranger(path)(x)
    assert expected.std() > 0.1
    assert np.abs(found - expected).max() <= 1e-4 * np.abs(expected).max()


def test_64_features_take_at_most_80_kilobytes():
    names = {"skeleton": {"keypoints": [str(k) for k in range(1, 69)]}}
    assert len(file_of(StackedHourglass(64, 68, stem=48, real_lin=True), names)) < 80 * 1024


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a, h: a.update(alpha=-a["alpha"]), "the scale of a filter is no positive number"),
        (lambda a, h: a.update(threshold=a["threshold"] * np.float16("nan")), "a threshold is no number"),
        (lambda a, h: a.update(line=a["line"] * np.float32("inf")), "line is not finite"),
        (lambda a, h: a.update(line=a["line"] * np.float32(1e12)), "more than 1e+06"),
        (lambda a, h: a.update(bits=a["bits"][:-1]), "bits ends too early"),
        (lambda a, h: a.update(step=np.append(a["step"], np.float32(1))), "step holds 1 numbers more"),
        (lambda a, h: a.update(bytes=a["bytes"].astype(np.int16)), "bytes should be one row of int8"),
        (lambda a, h: a.update(more=a["bits"]), "it holds 'more'"),
        (lambda a, h: h["layers"].pop(), "table of layers"),
        (lambda a, h: h.update(layers=3), "table of layers"),
        (lambda a, h: h["architecture"].update(features=1024), "fewer"),
        (lambda a, h: h["architecture"].update(block="x"), "unknown block"),
    ],
)
def test_damaged_files_are_refused(tmp_path, change, message):
    path = written(tmp_path, network())
    arrays, header = load_file(path), json.loads(_metadata(path))
    change(arrays, header)
    save_file(arrays, path, {"hbcore": json.dumps(header)})
    with np.errstate(invalid="ignore"), pytest.raises(ModelFileError, match=message.replace("+", r"\+")) as caught:
        load_model(path)
    assert str(path) in str(caught.value)


def _metadata(path: Path) -> str:
    content = path.read_bytes()
    return json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]["hbcore"]


def test_the_command_line(tmp_path, capsys):
    source, target = tmp_path / "model.safetensors", tmp_path / "packed.safetensors"
    trained = {"steps": 7, "data": ["300w"], "test": ["300w:/home/somebody/300w"]}
    source.write_bytes(model_bytes(network(), {"task": "pose", "trained": trained}))
    assert main(["pack", str(source), "-o", str(target)]) == 0
    assert f"{target.stat().st_size:,} bytes" in capsys.readouterr().out
    assert main(["unpack", str(target)]) == 0
    printed = capsys.readouterr().out
    assert "task: pose" in printed
    assert "trained: {'data': ['300w'], 'steps': 7}" in printed
    assert "hourglasses.0.up1.conv1.1 unit 3x3x16x8" in printed
    assert main(["unpack", "face68-tiny"]) == 0  # one that comes with hbcore needs no path
    assert "68-tiny.safetensors: 81,720 bytes" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message", "code"),
    [
        (["pack", "packed", "-o", "x"], "packed: is a packed file already", DATA),
        (["unpack", "plain"], "plain: not a file of format hbcore-packed/1", DATA),
        (["unpack", "x" * 300], f"unknown model '{'x' * 300}': there is", DATA),
        (["pack", "plain", "-o", "plain"], "plain: is the model itself: choose another name", DATA),
        (["pack", "missing", "-o", "x"], "missing: No such file or directory", DATA),
        (["pack", "smooth", "-o", "x"], "smooth: cannot be packed: a network whose signs are smooth", DATA),
        (["pack", "large", "-o", "x"], "large: cannot be packed: stem.5.conv1.1: the scale of a filter", DATA),
        (["pack", "steep", "-o", "x"], "steep: cannot be packed: stem.modules.1.gamma holds 3", DATA),
        (["pack", "plain", "-o", "no/x"], "no/x: No such file or directory", DISK),
        (["pack", "plain", "-o", "."], ".: is a folder: name a file in it", DISK),
        (["pack", "plain", "-o", "x" * 300], f"{'x' * 300}: File name too long", DISK),
    ],
)
def test_what_cannot_be_packed_or_shown_is_one_line(tmp_path, monkeypatch, capsys, words, message, code):
    monkeypatch.chdir(tmp_path)
    Path("plain").write_bytes(model_bytes(network(), {}))
    Path("packed").write_bytes(file_of(network(), {}))
    Path("smooth").write_bytes(model_bytes(network(sharpness=3.0), {}))
    large, steep = network(), network()
    large.stem.modules[5].conv1.modules[1].weight.data[...] = 1e5  # beyond float16
    norm = steep.stem.modules[1]
    norm.gamma.data[:], norm.running_variance[:] = 1e6, 0  # times 316 for want of a variance
    Path("large").write_bytes(model_bytes(large, {}))
    Path("steep").write_bytes(model_bytes(steep, {}))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert main(words) == code
    printed = capsys.readouterr().err
    assert printed.startswith(f"export: {message}")
    assert printed.count("\n") == 1
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
