"""Train it: a network that finds a cross and a ring, from nothing, in the time of a cup of tea poured."""

import sys

import numpy as np
from crosses import CODEC, NAMES, draw, found

from hbcore import StackedHourglass, Tensor, save_model
from hbcore.nn.layers import constrain
from hbcore.optim.losses import heatmap_cross_entropy
from hbcore.optim.optimizers import Adam
from hbcore.optim.schedules import cosine

STEPS, BATCH, RATE = 300, 16, 0.02

network = StackedHourglass(features=16, joints=2, depth=1, seed=0)
optimizer = Adam(dict(network.named_parameters()), lr=RATE)
rng = np.random.default_rng(0)
test, truth = draw(np.random.default_rng(1), 200)  # of another seed: never seen in training


def error():
    """Mean distance, in pixels, of what it finds from where it is, of cross and ring."""
    return np.linalg.norm(found(network, test) - truth, axis=-1).mean(axis=0)


# Whoever knows nothing says the middle: that is the error to beat.
middle = np.linalg.norm(15.5 - truth, axis=-1).mean(axis=0)
print("the middle      ", f"{NAMES[0]} {middle[0]:.1f} pixels, {NAMES[1]} {middle[1]:.1f}")

# A step: pictures, a target that is a small hill in a map of its own for each point, the loss, its gradient, an update.
# All real numbers here are float32, also the weights: of these only the signs go into the products. Latent weights are
# kept within -1 and 1: beyond, the straight-through estimator lets no gradient through, and they would never come back.
losses = []
for step in range(STEPS):
    pictures, points = draw(rng, BATCH)
    maps, known = zip(*(CODEC.encode(each, np.ones(2, dtype=bool)) for each in points), strict=True)
    network.train()
    loss = heatmap_cross_entropy(network(Tensor(pictures))[-1], np.stack(maps), np.stack(known))
    network.zero_grad()
    loss.backward()
    optimizer.lr = RATE * cosine(step, STEPS)
    optimizer.step()
    constrain(network)
    losses.append(loss.item())
    if (step + 1) % 100 == 0:
        cross, ring = error()
        line = f"loss {np.mean(losses[-50:]):.0f}, cross {cross:.1f} pixels, ring {ring:.1f}"
        print(f"step {step + 1:<11d}{line}")

# A model file that says what its maps mean is all that others need: lessons 8 to 10 read one that was made like this.
for file in sys.argv[1:]:
    if not file.endswith(".safetensors"):  # a notebook has arguments of its own
        continue
    said = {
        "task": "pose",
        "skeleton": {"name": "crosses", "joints": list(NAMES), "edges": [], "flip_pairs": []},
        "codec": CODEC.describe(),
        "output": "sigmoid",
        "crops": [{"around": "picture", "margin": 1.0}, {"around": "box", "margin": 1.0}],
    }
    save_model(network, file, said)

# Exercise. Along x, a point is anywhere between 4 and 28 alike. Somebody always says 16. What is the mean of |x - 16|?
# python examples/course/answer.py 7 NUMBER
