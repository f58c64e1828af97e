"""The plan says what the C file takes, to the byte, and counts products as the summary does."""

import re
from dataclasses import asdict
from pathlib import Path

import pytest

from hbcore import StackedHourglass, save_model
from hbcore.export.command import main as export
from hbcore.inspect.summary import summary
from hbcore.landmarks.heatmaps import HeatmapCodec
from hbcore.landmarks.masks import MaskCodec
from hbcore.plan.boards import Board
from hbcore.plan.command import main, read_configuration
from hbcore.plan.needs import needs, smaller, smaller_needs
from training.configuration.settings import Config

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


@pytest.mark.parametrize("architecture", [{}, {"stacks": 2, "block": "multiscale"}, {"real_lin": True, "stem": 16}])
def test_products_are_those_of_the_summary(architecture):
    model = StackedHourglass(features=32, joints=7, depth=2, **architecture)
    expected = summary(model, 64, 64)
    found = needs(model, HeatmapCodec(64))
    assert (found.binary_macs, found.real_macs) == (expected.binary_macs, expected.real_macs)


def test_maps_of_parts_need_no_memory_to_decode():
    """A network whose end takes the most memory there is."""
    model = StackedHourglass(features=16, joints=3, depth=1, seed=1)
    points, parts = needs(model, HeatmapCodec(32)), needs(model, MaskCodec(32))
    assert parts.flash < points.flash
    assert parts.ram <= points.ram


def test_room_by_hand():
    board = Board("a board", 100 << 10, 64 << 10)
    assert board.has_room((100 - 16) << 10, (64 - 32) << 10)
    assert not board.has_room(((100 - 16) << 10) + 1, 0)
    assert not board.has_room(0, ((64 - 32) << 10) + 1)


def test_smaller_networks_come_with_most_products_first():
    architecture = StackedHourglass(features=32, joints=5, depth=2).architecture
    found = smaller_needs(architecture, 64, 1.0)
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
    expected = asdict(config.model) | {"joints": 68, "sharpness": None}
    assert architecture == expected
    assert codec.input_size == config.data.size


def test_mistakes_in_one_line(tmp_path, capsys):
    (tmp_path / "a.toml").write_text("[model]\nfeatures = 7\n")
    (tmp_path / "b.toml").write_text("model = 3\n")
    (tmp_path / "c.toml").write_text("[model\n")
    (tmp_path / "d.toml").write_text("[data]\nsize = 100\n")
    (tmp_path / "e.toml").write_text("[model]\nfeatures = 1600000000\n")
    (tmp_path / "f.toml").write_text("[model]\nwidth = 3\n")
    bare = tmp_path / "bare.safetensors"
    save_model(StackedHourglass(features=16, joints=5, depth=1), bare)
    for source, message in {
        tmp_path / "a.toml": "features must be a positive multiple of 16",
        tmp_path / "b.toml": "b.toml: ",
        tmp_path / "c.toml": "c.toml: ",
        tmp_path / "d.toml": "multiples of 64, got 100 x 100",
        tmp_path / "e.toml": "fits none of these boards",
        tmp_path / "f.toml": "missing or unknown are width",
        tmp_path / "none.toml": "cannot be read",
        bare: "does not say what its maps mean",
        "nobody": "unknown model 'nobody'",
    }.items():
        assert main([str(source)]) == 3
        said = capsys.readouterr()
        assert (said.out, said.err.count("\n")) == ("", 1)
        assert message in said.err
