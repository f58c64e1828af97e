"""The plan says what the C file takes, to the byte, and counts products as the summary does."""

import re
import shutil
from dataclasses import asdict, fields
from pathlib import Path

import numpy as np
import pytest

from hbcore import StackedHourglass, save_model
from hbcore.deploy.lowering import lower
from hbcore.deploy.model_file import rebuilt
from hbcore.deploy.packed_file import packed
from hbcore.deploy.table import Area, Step, Table
from hbcore.export.command import main as export
from hbcore.inspect.summary import summary
from hbcore.kernels.plan import Epilogue
from hbcore.landmarks.heatmaps import HeatmapCodec
from hbcore.nn.architecture import check_architecture
from hbcore.plan import command
from hbcore.plan.boards import M4, M7, WHOLE, Board
from hbcore.plan.command import DATA_KEYS, SECTIONS, main, read_configuration
from hbcore.plan.needs import Needs, enlarged, needs, needs_of, smaller, smaller_needs, untrained
from hbcore.plan.work import Work, work_of
from tests.architectures import ARCHITECTURES, network
from tests.hbcore.export import test_machines
from training.configuration.settings import Config

NOTHING = Work(0, 0, 0, 0)
ROOT = Path(__file__).resolve().parents[3]
RECIPE = ROOT / "training" / "recipes" / "face68-tiny.toml"


def test_ram_and_constants_are_those_of_the_c_file(tmp_path, capsys):
    """Of the shipped model, and of its recipe before it is trained."""
    assert export(["c", "face68-tiny", "-o", str(tmp_path), "--pictures", "0"]) == 0
    header = (tmp_path / "face68_tiny.h").read_text()
    source = (tmp_path / "face68_tiny.c").read_text()
    sizes = {"float": 4, "double": 8, "uint32_t": 4, "int8_t": 1}
    found = re.findall(r"^static const (\w+) \w+\[(\d+|REACH \+ 1)\] =", source, re.M)
    reach = int(re.search(r"REACH = (\d+)", source)[1])
    stored = sum(sizes[kind] * (reach + 1 if "R" in count else int(count)) for kind, count in found)
    tables = re.findall(r"^static const (layer|binary_layer) layer_\d+ =", source, re.M)
    stored += sum({"layer": 84, "binary_layer": 76}[kind] for kind in tables)  # 21 and 19 numbers and pointers
    assert f"_FLASH {stored} " in header
    ram = int(re.search(r"_RAM (\d+) ", header)[1])
    capsys.readouterr()
    for source in ("face68-tiny", str(RECIPE)):
        assert main([source]) == 0
        said = capsys.readouterr().out
        assert f"RAM           {ram:,} bytes" in said
        assert f"constants     {stored:,} bytes" in said


def test_work_by_hand():
    """2 x 3 pixels: of 40 signs, 9 taps, 10 filters, which are 2 words, 2 groups; of 5 numbers, 4 filters; a copy."""
    pixels = (1, 2, 3)
    bits, ten = Area(0, (*pixels, 1), np.dtype(np.uint64), 0, 1), Area(1, (*pixels, 10), np.dtype(np.float32), 0, 10)
    five, four = Area(2, (*pixels, 5), np.dtype(np.float32), 0, 5), Area(3, (*pixels, 4), np.dtype(np.float32), 0, 4)
    steps = [
        Step("binary_conv2d", {"x": bits, "w": np.zeros((3, 3, 1, 10)), "channels": 40, "epilogue": Epilogue(y=ten)}),
        Step("conv2d", {"x": five, "w": np.zeros((1, 1, 5, 4)), "epilogue": Epilogue(y=four)}),
        Step("copy", {"x": four, "y": four}),
    ]
    found = work_of(Table(steps, [bits, ten, five, four], five, four))
    assert found == Work(words=6 * 9 * 2 * 2, products=6 * 5 * 8, sums=6 * 10 + 6 * 4, numbers=6 * 4)
    assert found.instructions(Work(1, 2, 3, 4)) == 216 + 2 * 240 + 3 * 84 + 4 * 24
    assert Board("a board", 0, 0, 100, Work(1, 2, 3, 4)).milliseconds(found) == pytest.approx(0.01044)


@pytest.mark.parametrize(
    ("name", "whole", "cost"), [("Cortex-M4", False, M4), ("Cortex-M7", False, M7), ("Cortex-M3", True, WHOLE)]
)
def test_instructions_are_about_those_of_the_emulator(name, whole, cost, tmp_path, monkeypatch):
    """Of a network that the table was not made from, within a tenth."""
    for tool in ("arm-none-eabi-gcc", "qemu-system-arm"):
        if not shutil.which(tool):
            pytest.skip(f"{tool} is not installed")
    model = network(features=80, joints=30, stem=24, depth=2, activation="prelu", seed=3).eval()
    monkeypatch.setattr(test_machines, "RAM", 1024)
    test_machines.written(model, tmp_path, whole, 64)
    same, thousands = test_machines.on_board(tmp_path, *test_machines.BOARDS[name]).split()
    assert same == "same"
    assert work_of(lower(model, 64, 64)).instructions(cost) == pytest.approx(1000 * int(thousands), rel=0.1)


@pytest.mark.parametrize("architecture", [{}, {"stacks": 2, "block": "multiscale"}, {"real_lin": True, "stem": 16}])
def test_products_are_those_of_the_summary(architecture):
    model = StackedHourglass(features=32, joints=7, depth=2, **architecture)
    expected = summary(model, 64, 64)
    found = needs(model, HeatmapCodec(64))
    assert (found.binary_macs, found.real_macs) == (expected.binary_macs, expected.real_macs)


def test_room_by_hand():
    board = Board("a board", 100 << 10, 64 << 10, 1, NOTHING)
    assert board.has_room((100 - 16) << 10, (64 - 32) << 10)
    assert not board.has_room(((100 - 16) << 10) + 1, 0)
    assert not board.has_room(0, ((64 - 32) << 10) + 1)


def test_smaller_networks_come_with_most_products_first():
    architecture = StackedHourglass(features=32, joints=5, depth=2).architecture
    found = list(smaller_needs(architecture, HeatmapCodec(64)))
    products = [each.binary_macs + each.real_macs for _, each in found]
    assert products == sorted(products, reverse=True)
    names = [said for said, _ in found]
    assert len(set(names)) == len(names)
    assert {"size 48", "size 32", "features 16", "size 32, features 16"} <= set(names)
    begun = [(changed["stem"], pixels) for changed, pixels, said in smaller(architecture | {"stem": 16}, 64)]
    assert all(stem in (16, 8) for stem, _ in begun)


def test_defaults_are_those_of_training(tmp_path):
    empty = tmp_path / "empty.toml"
    empty.write_text("")
    architecture, codec = read_configuration(empty, 68)
    config = Config()
    assert architecture == check_architecture(**asdict(config.model) | {"joints": 68})
    assert codec.input_size == config.data.size


@pytest.mark.parametrize("name", [*ARCHITECTURES][::3])
def test_a_blank_network_takes_what_its_packed_file_will(name):
    model, codec = network(**ARCHITECTURES[name]), HeatmapCodec(32)
    expected = needs(rebuilt(*packed(model, {})), codec)
    assert untrained(model.architecture, codec) == expected


@pytest.mark.parametrize("architecture", [{}, {"block": "multiscale", "hourglass": "improved"}, {"binary": False}])
def test_steps_on_more_pixels(architecture):
    model = StackedHourglass(features=16, joints=3, depth=2, **architecture)
    assert needs_of(enlarged(lower(model, 32, 32), 3), HeatmapCodec(96)) == needs(model, HeatmapCodec(96))


def test_words_of_a_configuration_are_those_of_training():
    assert [field.name for field in fields(Config)] == list(SECTIONS)
    assert [field.name for field in fields(Config().data)] == list(DATA_KEYS)


def test_what_a_configuration_says_of_its_maps(tmp_path, capsys):
    """A wider Gaussian has more constants: with sigma 2, of all 16 distances in a map of 16 pixels, with 1, of 8."""
    sizes = {}
    for sigma in (1, 2):
        (tmp_path / "a.toml").write_text(f"[model]\ndepth = 2\nfeatures = 16\n[data]\nsize = 64\nsigma = {sigma}\n")
        for words in ((), ("--parts",), ("--joints", "5")):
            assert main([str(tmp_path / "a.toml"), *words]) == 0
            said = capsys.readouterr().out
            sizes[sigma, words] = int(re.search(r"constants +([\d,]+)", said)[1].replace(",", ""))
    assert sizes[2, ()] - sizes[1, ()] == 8 * (15 - 8)
    assert sizes[2, ("--parts",)] == sizes[1, ("--parts",)] == sizes[1, ()] - 8 * 8
    assert sizes[1, ("--joints", "5")] < sizes[1, ()]
    for words in (["--joints", "0"], ["--parts"]):
        with pytest.raises(SystemExit):
            main(["face68-tiny", *words])
    assert main([str(tmp_path / "a.toml"), "--joints", "0"]) == 3


def test_a_file_that_is_not_packed_is_told_of_packing(tmp_path, capsys):
    """Where that is all that is lacking: real weights in floats are four times as large as in bytes."""
    model = network(features=96, binary=False, depth=1)
    header = {
        "task": "face", "output": "sigmoid", "codec": {"input_size": 16, "stride": 4, "sigma": 1.0},
        "skeleton": {"joints": list("abcde"), "edges": []},
    }  # fmt: skip
    save_model(model, tmp_path / "a.safetensors", header)
    assert main([str(tmp_path / "a.safetensors")]) == 0
    said = capsys.readouterr().out
    assert re.search(r"^STM32F407 +no; with its packed file: yes, about \d+ ms$", said, re.M), said


def test_no_more_is_tried_than_needed(monkeypatch, capsys):
    """Of a network that lacks room on one board: the first smaller one that has it is the last that is looked at."""
    monkeypatch.setattr(command, "BOARDS", (Board("one", 150 << 10, 100 << 10, 1, NOTHING),))
    rest = 0, 0, 0, NOTHING
    some = iter([("a", Needs(200 << 10, *rest)), ("b", Needs(100 << 10, *rest)), ("c", Needs(0, *rest))])
    architecture = {"joints": 3}
    found = list(command.lines(architecture, HeatmapCodec(64), Needs(300 << 10, *rest), some))
    assert found[-1].split(maxsplit=1) == ["one", "no; with b: yes, about 0 ms"]
    assert next(some)[0] == "c"


def test_interrupted(monkeypatch, capsys):
    def pressed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "find_model", pressed)
    assert main(["face68-tiny"]) == 130
    assert capsys.readouterr().err == "plan: interrupted\n"


def test_mistakes_in_one_line(tmp_path, capsys):
    (tmp_path / "a.toml").write_text("[model]\nfeatures = 7\n")
    (tmp_path / "b.toml").write_text("model = 3\n")
    (tmp_path / "c.toml").write_text("[model\n")
    (tmp_path / "d.toml").write_text("[data]\nsize = 100\n")
    (tmp_path / "e.toml").write_text("[model]\nfeatures = 1600000000\n")
    (tmp_path / "f.toml").write_text("[model]\nwidth = 3\n")
    (tmp_path / "g.toml").write_text("[data]\nsize = 64000000000\n")
    (tmp_path / "h.toml").write_text("[model]\ndepth = 1000\n")
    (tmp_path / "i.toml").write_text(f"a = {'[' * 100_000}\n")
    (tmp_path / "j.toml").write_text("data = [1]\n")
    (tmp_path / "k.toml").write_text("[data]\nsigmas = 2\n")
    (tmp_path / "l.toml").write_text("[modle]\nfeatures = 32\n")
    (tmp_path / "m.toml").write_text("[data]\nsize = 'large'\n")
    (tmp_path / "n.toml").write_text("[model]\nfeatures = 16\nstacks = 5000\n")
    bare = tmp_path / "bare.safetensors"
    save_model(StackedHourglass(features=16, joints=5, depth=1), bare)
    for source, message in {
        tmp_path / "a.toml": "features must be a positive multiple of 16",
        tmp_path / "b.toml": "[model] must be a section, not 3",
        tmp_path / "c.toml": "c.toml: ",
        tmp_path / "d.toml": "size = 100: pictures must be multiples of 64 pixels",
        tmp_path / "e.toml": "fits none of these boards",
        tmp_path / "f.toml": "missing or unknown are width",
        tmp_path / "g.toml": "at most 4096",
        tmp_path / "h.toml": "depth 1000",
        tmp_path / "i.toml": "nested too deeply",
        tmp_path / "j.toml": "[data] must be a section, not [1]",
        tmp_path / "k.toml": "'sigmas' is not among [data]",
        tmp_path / "l.toml": "'modle' is not among sections",
        tmp_path / "m.toml": "input_size must be a positive whole number",
        tmp_path / "n.toml": "stacks 5000",
        tmp_path / "none.toml": "cannot be read",
        bare: "does not say what its maps mean",
        "nobody": "unknown model 'nobody'",
    }.items():
        assert main([str(source)]) == 3
        said = capsys.readouterr()
        assert (said.out, said.err.count("\n")) == ("", 1)
        assert message in said.err
