"""Packed files: what is lost, that nothing more is, and that a stranger can read one by its description."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load, load_file, save_file

from hbcore import StackedHourglass, Tensor, load_model, no_grad
from hbcore.deploy import Engine
from hbcore.deploy.model_file import ModelFileError, model_bytes
from hbcore.deploy.packed_file import packed_bytes
from hbcore.export import main
from hbcore.nn.layers import BatchNorm2d, BinaryConv2d, Conv2d, use_packed

SMALL = {"features": 16, "joints": 5, "depth": 1}


def network(**choices):
    """A network whose batch norms have lived: gammas of both signs, some of them 0."""
    model = StackedHourglass(**SMALL | choices, seed=3)
    rng = np.random.default_rng(1)
    for _, module in model.named_modules():
        if isinstance(module, BatchNorm2d):
            size = module.gamma.data.size
            module.gamma.data[:] = rng.normal(size=size) * (rng.random(size) > 0.1)
            module.beta.data[:] = rng.normal(size=size)
            module.running_mean[:] = rng.normal(size=size)
            module.running_variance[:] = rng.random(size) + 0.1
    return model.eval()


def packed(tmp_path: Path, model: StackedHourglass) -> Path:
    path = tmp_path / "packed.safetensors"
    path.write_bytes(packed_bytes(model, {"task": "pose"}))
    return path


@pytest.mark.parametrize(
    "choices",
    [
        {}, {"stem": 8, "real_lin": True}, {"stacks": 2}, {"binary_ends": True}, {"binarize": "weights"},
        {"binarize": "activations"}, {"binarize": "activations", "binary_ends": True}, {"activation": "prelu"},
        {"activation": "relu"}, {"scale": False}, {"block": "multiscale"}, {"hourglass": "improved"}, {"binary": False},
    ],
    ids=str,
)  # fmt: skip
def test_every_way_computes_the_same_bits_and_packing_again_loses_nothing(tmp_path, choices):
    content = packed_bytes(network(**choices), {"task": "pose"})
    path = tmp_path / "packed.safetensors"
    path.write_bytes(content)
    model, header = load_model(path)
    assert header["task"] == "pose"
    assert packed_bytes(model, {"task": "pose"}) == content
    x = np.random.default_rng(0).random((2, 32, 32, 3), dtype=np.float32)
    with no_grad():
        simulated = use_packed(model, False)(Tensor(x))[-1].data
        bits = use_packed(model, True)(Tensor(x))[-1].data
    assert np.array_equal(simulated, bits)
    assert np.array_equal(Engine(model, 32, 32, 2)(x), bits)


def test_what_is_lost(tmp_path):
    """Half a step of a byte, half a unit of float16's last place; no sign of a weight."""
    model = network(stem=8, real_lin=True)
    rounded, _ = load_model(packed(tmp_path, model))
    for (_, before), (_, after) in zip(model.named_modules(), rounded.named_modules(), strict=True):
        if isinstance(before, BinaryConv2d):
            assert np.array_equal(before.weight.data < 0, after.weight.data < 0)
            assert np.abs(after.alpha / before.alpha - 1).max() <= 2**-11
        elif isinstance(before, Conv2d):
            step = np.abs(before.weight.data).max(axis=(0, 1, 2)) / 127
            assert (np.abs(before.weight.data - after.weight.data) <= step * 0.5001).all()


def test_a_stranger_reads_it_by_the_description(tmp_path):
    """The first unit of the first hourglass, by docs/packed_file.md and integers alone."""
    path = packed(tmp_path, network())
    content = path.read_bytes()
    text = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    header, arrays = json.loads(text["__metadata__"]["hbcore"]), load(content)
    wanted = "hourglasses.0.up1.conv1"
    at = {"bits": 0, "alpha": 0, "threshold": 0, "flip": 0}
    for row in header["layers"]:
        name, kinds, sizes = row.split(" ")
        if kinds != "unit":
            continue
        kernel_h, kernel_w, channels, filters = map(int, sizes.split("x"))
        bits = kernel_h * kernel_w * channels * filters
        if name.startswith(wanted):
            break
        for key, count in {
            "bits": -(-bits // 8),
            "alpha": filters,
            "threshold": channels,
            "flip": -(-channels // 8),
        }.items():
            at[key] += count

    def bit(key, index):
        return arrays[key][at[key] + index // 8] >> (index % 8) & 1

    x = np.random.default_rng(5).normal(size=(1, 6, 6, channels)).astype(np.float32)
    t = arrays["threshold"][at["threshold"] :][:channels].astype(np.float32)
    flip = np.array([bit("flip", c) for c in range(channels)], dtype=bool)
    signs = np.zeros((8, 8, channels), dtype=int)
    signs[1:7, 1:7] = np.where((x[0] < t) ^ flip, -1, 1)
    expected = np.zeros((6, 6, filters), dtype=np.float32)
    for o in range(filters):
        w = [1 - 2 * int(bit("bits", o * kernel_h * kernel_w * channels + k)) for k in range(9 * channels)]
        w = np.reshape(w, (3, 3, channels))
        alpha = np.float32(arrays["alpha"][at["alpha"] + o])
        for i in range(6):
            for j in range(6):
                expected[i, j, o] = np.float32((signs[i : i + 3, j : j + 3] * w).sum()) * alpha
    model, _ = load_model(path)
    with no_grad():
        assert np.array_equal(model.hourglasses[0].up1.conv1(Tensor(x)).data[0], expected)


def test_64_features_take_at_most_80_kilobytes():
    names = {"skeleton": {"keypoints": [str(k) for k in range(1, 69)]}}
    assert len(packed_bytes(StackedHourglass(64, 68, stem=48, real_lin=True), names)) < 80 * 1024


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
    path = packed(tmp_path, network())
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
    source.write_bytes(model_bytes(network(), {"task": "pose"}))
    assert main(["pack", str(source), "-o", str(target)]) == 0
    assert f"{target.stat().st_size:,} bytes" in capsys.readouterr().out
    assert main(["unpack", str(target)]) == 0
    printed = capsys.readouterr().out
    assert "task: pose" in printed
    assert "hourglasses.0.up1.conv1.1 unit 3x3x16x8" in printed
    for words in (["pack", target, "-o", source], ["unpack", source], ["pack", source, "-o", tmp_path / "no/x"]):
        assert main([*map(str, words)]) == 1
        printed = capsys.readouterr().err
        assert printed.startswith("export: ")
        assert printed.count("\n") == 1
