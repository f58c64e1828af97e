"""Look inside: one number by its bits, bits that say nothing, and bits that may be wrong."""

from dataclasses import replace

import numpy as np
from crosses import MODEL, SIZE, draw

from hbcore import StackedHourglass, bits
from hbcore.inspect.observe import run_once
from hbcore.inspect.subject import Subject, binary_units
from hbcore.inspect.truth import Truth
from hbcore.inspect.views.dead import dead
from hbcore.inspect.views.robustness import answers, shifts

pictures, points = draw(np.random.default_rng(2), 64)
subject = replace(Subject.read(str(MODEL)), pictures=pictures)
units = binary_units(subject.network)

# Every module tells what it took and gave. So one number of one layer can be had, and the signs that it comes from.
name = "hourglasses.0.low1.conv2"
conv = units[name][1]
seen = {}


def note(_, module, inputs, result):
    if module is conv:
        seen["v"], seen["y"] = inputs[0].data[0], result.data[0]


run_once(subject.network, pictures[:1], note)
window, weights = seen["v"][0:3, 0:3], conv.weight.data[..., 3]  # of filter 3 at row 1, column 1
a, w = bits.pack_signs(window), bits.pack_signs(weights)
differing = sum(int(word).bit_count() for word in np.bitwise_xor(a, w).ravel())
print("one number      ", f"{weights.size} - 2 * {differing} = {weights.size - 2 * differing}")
print(
    "times alpha     ", f"{conv.alpha[3] * (weights.size - 2 * differing):.4f}, the layer says {seen['y'][1, 1, 3]:.4f}"
)

# How far did training come? The same seed gives the network as it was before the first step.
start = binary_units(StackedHourglass(features=16, joints=2, depth=1, seed=0))
turned = sum(int(np.sum((units[n][1].weight.data < 0) != (start[n][1].weight.data < 0))) for n in units)
total = sum(conv.weight.data.size for _, conv, _ in units.values())
print("other signs     ", f"{turned:,} of {total:,} weights, {100 * turned / total:.0f} %, than before training")

# A channel whose sign is the same at all pixels of all pictures says nothing, and a filter that is there twice says
# nothing new the second time.
layers = dead(subject)
still, channels = sum(len(d.still) for d in layers), sum(d.channels for d in layers)
print(
    "still channels  ",
    f"{still} of {channels}; {sum(d.idle for d in layers):,} weights are idle, for this or as copies",
)

# And how many may be wrong? Flip some at random, and see how far the answers are from the truth.
truth = Truth(points, np.full(len(points), float(SIZE)))
for shift in shifts(subject, answers(subject), "weights", (0, 1, 10, 100, 1000), 2, truth):
    print(f"{shift.flips:<16d}weights flipped: error {shift.error * SIZE / 100:.1f} pixels")

# Exercise. A 3x3 layer has 64 filters over 32 channels. Eight channels are still, and two filters are copies of others.
# How many of its weights are idle?  python examples/course/answer.py 8 NUMBER
