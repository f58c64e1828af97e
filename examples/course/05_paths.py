"""The block from its parts: three filters in a row, an exit for each, three sizes of what they see."""

import numpy as np

from hbcore import HPMBlock, Style, Tensor, concatenate, no_grad
from hbcore.inspect.footprint import footprint
from hbcore.nn.layers import BinaryConv2d


def weights(block):
    """Its one-bit weights."""
    return sum(module.weight.data.size for module in block.walk() if isinstance(module, BinaryConv2d))


rng = np.random.default_rng(0)
block = HPMBlock(64, 64, Style(rng=rng)).eval()
x = Tensor(rng.standard_normal((1, 16, 16, 64)).astype(np.float32), requires_grad=True)

# Each of its units is a batch norm, a sign and a 3x3 filter. The second works on what the first gave, the third on what
# the second gave, and all three results are part of the block's own: 1/2, 1/4 and 1/4 of the channels.
o1 = block.conv1(x)
o2 = block.conv2(o1)
o3 = block.conv3(o2)
for name, result in (("o1", o1), ("o2", o2), ("o3", o3)):
    box = footprint(result, 8, 8)  # the recorded graph, walked back: which pixels reach pixel 8, 8
    print(f"{name:<16}{result.shape[3]:2d} channels, sees {box.height}x{box.width} pixels")

# The input itself is added. No sign lies on this way, so what came in is never lost; one block after the other only
# adds corrections to one and the same numbers, the residual stream.
by_hand = concatenate([o1, o2, o3]) + x
with no_grad():
    print("block by hand   ", "the same" if np.array_equal(by_hand.data, block(x).data) else "different")

# Three 3x3 filters of full width would see as much and cost four times as many weights. Here widths halve.
full = 3 * 9 * 64 * 64
print("one-bit weights ", f"{weights(block):,} of {full:,}, a share of {weights(block) / full:.2f}")

# And how many values has a sum of each? Lesson 4: the more there are, the more a filter can say.
for name, conv in (("conv1", block.conv1), ("conv2", block.conv2), ("conv3", block.conv3)):
    height, width, channels, _ = conv.modules[-1].weight.shape
    print(f"{name:<16}{height * width * channels + 1} values, and no sign between it and the result")

# Exercise. The network of the paper has blocks of 256 channels. How many one-bit weights has one?
# python examples/course/answer.py 5 NUMBER
