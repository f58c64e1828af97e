"""Why 1x1 filters hurt and every filter should have an exit: how far a gradient through signs can be believed."""

import numpy as np

from hbcore import Bottleneck, HPMBlock, Style, Tensor
from hbcore.nn.layers import BinaryConv2d


def convolutions(block):
    """Those of a block, in their order. There is none on the skip path, as the widths agree."""
    return [module for module in block.walk() if isinstance(module, BinaryConv2d)]


def belief(block, conv, x, direction, rng, count=100):
    """The correlation of what the gradient says about flipped weights with what comes of them.

    L = sum of y * direction. To flip a weight of sign s changes it by -2 s: the gradient says L changes by -2 s dL/ds.
    """
    block.zero_grad()
    before = (block(x) * direction).sum()
    before.backward()
    gradient, w = conv.weight.grad.reshape(-1), conv.weight.data.reshape(-1)
    said, done = [], []
    for place in rng.choice(w.size, count, replace=False):
        said.append(-2 * np.sign(w[place]) * gradient[place])
        w[place] *= -1
        done.append((block(x) * direction).sum().item() - before.item())
        w[place] *= -1
    return np.corrcoef(said, done)[0, 1]


# A filter over K signs can only say K + 1 things: the sum is -K, -K + 2, ..., K.
for name, kind in (("bottleneck", Bottleneck), ("hpm", HPMBlock)):
    found = []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        x, direction = (Tensor(rng.standard_normal((1, 8, 8, 32)).astype(np.float32)) for _ in range(2))
        style = Style(rng=rng, scale=False)  # without alpha: the derivative by a sign is that by its weight
        block = kind(32, 32, style)
        found.append([belief(block, conv, x, direction, rng) for conv in convolutions(block)])
    for conv, correlation in zip(convolutions(block), np.mean(found, axis=0), strict=True):
        height, width, channels, filters = conv.weight.shape
        shape = f"{height}x{width}, {channels:2d} -> {filters:2d}"
        print(f"{name:<16}{shape}: {height * width * channels + 1:3d} values, belief {correlation:.2f}")

# Exercise. How many different sums can a 3x3 filter over 64 channels have on the edge of a picture, not in a corner,
# where three of its taps are outside and left out?  python examples/course/answer.py 4 NUMBER
