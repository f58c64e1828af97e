"""What a network looks like when it is printed."""

import numpy as np
import pytest

from hbcore import BatchNorm2d, BinaryConv2d, Conv2d, StackedHourglass
from hbcore.nn.layers import AvgPool2d, MaxPool2d, PReLU, ReLU, Upsample
from hbcore.nn.module import Identity, Module, Parameter, Sequential

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("layer", "line"),
    [
        (Conv2d(3, 64, 7, RNG, stride=2, padding=3), "Conv2d(3 -> 64, 7x7, stride 2, bias)  9,472 parameters"),
        (Conv2d(8, 2, 3, RNG, bias=False), "Conv2d(8 -> 2, 3x3, padding 0)  144 parameters"),
        (BinaryConv2d(8, 2, 1, RNG), "BinaryConv2d(8 -> 2, 1x1, 1-bit)  16 parameters, 16 of them bits"),
        (
            BinaryConv2d(8, 2, 1, RNG, binarize="weights", bias=True),
            "BinaryConv2d(8 -> 2, 1x1, bias, 1-bit weights)  18 parameters, 16 of them bits",
        ),
        (BinaryConv2d(8, 2, 1, RNG, binarize="activations"), "BinaryConv2d(8 -> 2, 1x1, 1-bit inputs)  16 parameters"),
        (BatchNorm2d(5), "BatchNorm2d(5)  10 parameters"),
        (PReLU(5), "PReLU(5)  5 parameters"),
        (MaxPool2d(), "MaxPool2d(2x2)"),
        (AvgPool2d(4), "AvgPool2d(4x4)"),
        (Upsample(3), "Upsample(3x3)"),
        (ReLU(), "ReLU"),
        (Identity(), "Identity"),
        (Sequential(), "Sequential"),
        (Sequential(BatchNorm2d(5), ReLU()), "Sequential(BatchNorm2d(5), ReLU)  10 parameters"),
    ],
)
def test_layers_in_one_line(layer: Module, line: str) -> None:
    assert repr(layer) == line


def test_a_smooth_sign_is_told() -> None:
    conv = BinaryConv2d(8, 2, 1, RNG)
    conv.sharpness = 2.5
    assert "1-bit, sharpness 2.5" in repr(conv)


def test_the_authors_network() -> None:
    lines = repr(StackedHourglass()).splitlines()
    assert lines[0] == "StackedHourglass(6,236,560 parameters, 6,207,488 of them bits)"
    assert lines[2] == "    0: Conv2d(3 -> 64, 7x7, stride 2, bias)  9,472 parameters"
    assert "    conv1: Unit(BatchNorm2d(256), BinaryConv2d(256 -> 128, 3x3, 1-bit))" in "\n".join(lines)
    assert lines.count("        low1: HPMBlock as hourglasses.0.up1") == 1
    assert len(lines) < 70


def test_what_repeats_is_drawn_once_and_named_by_its_place() -> None:
    model = StackedHourglass(features=16, joints=2, depth=1, stacks=2)
    lines = repr(model).splitlines()
    assert "  hourglasses.1: Hourglass as hourglasses.0" in lines
    assert "  heads.1: Head as heads.0" in lines
    named = dict(model.named_modules())
    places = {line.rpartition(" as ")[2] for line in lines if " as " in line}
    assert places <= named.keys()


def test_blocks_that_differ_are_both_drawn() -> None:
    def block(filters: int) -> Sequential:
        return Sequential(Sequential(Conv2d(2, filters, 1, RNG), ReLU()), ReLU())

    assert repr(Sequential(block(3), block(4), block(3))) == (
        "Sequential(30 parameters)\n"
        "  0: Sequential(9 parameters)\n"
        "    0: Sequential(Conv2d(2 -> 3, 1x1, bias), ReLU)  9 parameters\n"
        "    1: ReLU\n"
        "  1: Sequential(12 parameters)\n"
        "    0: Sequential(Conv2d(2 -> 4, 1x1, bias), ReLU)  12 parameters\n"
        "    1: ReLU\n"
        "  2: Sequential as modules.0"
    )


def test_modules_of_ones_own_need_nothing() -> None:
    class Own(Module):
        def __init__(self) -> None:
            self.scale = Parameter(np.ones(3, dtype=np.float32))

    assert repr(Own()) == "Own(3 parameters)"
