"""The hourglass: look at the whole picture where it is small, and add what was seen to where it is sharp."""

import numpy as np

from hbcore import Hourglass, HPMBlock, StackedHourglass, Style, Tensor, no_grad, summary
from hbcore.inspect.footprint import footprint
from hbcore.nn.layers import BinaryConv2d
from hbcore.nn.module import Sequential

SIDE = 64


def sees(network):
    """The side, in pixels, of what a pixel in the middle of the result depends on."""
    x = Tensor(np.zeros((1, SIDE, SIDE, 16), dtype=np.float32), requires_grad=True)
    return footprint(network(x), SIDE // 2, SIDE // 2).height


def macs(network):
    """Multiply-accumulates of its one-bit convolutions for a map of that side."""
    found = []

    def note(module, inputs, result):
        found.append(result.shape[1] * result.shape[2] * module.weight.data.size)

    for module in network.walk():
        if isinstance(module, BinaryConv2d):
            module.observer = note
    with no_grad():
        network(Tensor(np.zeros((1, SIDE, SIDE, 16), dtype=np.float32)))
    return sum(found)


# To find a wrist one must know where the body is. A block sees 7 pixels, and a row of blocks 6 more for each.
rng = np.random.default_rng(0)
style = Style(rng=rng)
for count in (1, 4, 13):
    row = Sequential(*(HPMBlock(16, 16, style) for _ in range(count))).eval()
    print(f"{count:2d} blocks       sees {sees(row):3d} pixels, {macs(row):11,} bit products")

# An hourglass halves the map, does the same with what is left, doubles it again and adds what it had kept before. A
# pixel of the small map stands for 2x2, then for 4x4, and so on: what is seen doubles, what is paid for is a quarter.
for depth in (1, 2, 3, 4):
    hourglass = Hourglass(depth, 16, "hpm", style).eval()
    name = f"depth {depth}"
    print(f"{name:<16}sees {sees(hourglass):3d} pixels, {macs(hourglass):11,} bit products")

# The same in the whole network of the paper, where a map of 64x64 belongs to a picture of 256x256.
whole = summary(StackedHourglass(features=256, joints=16), 256, 256)
by_side = {}
for layer in whole.layers:
    if layer.binary and "hourglasses" in layer.name:
        by_side[layer.output[0]] = by_side.get(layer.output[0], 0) + layer.macs
total = sum(by_side.values())
for side, products in sorted(by_side.items(), reverse=True):
    print(f"{side:2d} x {side:<11d}{100 * products / total:5.1f} % of the hourglass's bit products")

# Exercise. How many blocks has an hourglass of depth 4? Each level has one that keeps, one before the next smaller map
# and one behind it; the smallest map has one more.  python examples/course/answer.py 6 NUMBER
