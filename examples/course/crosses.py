"""Pictures for lessons 7 to 10: a light cross and a dark ring on a restless background, and where they are."""

from pathlib import Path

import numpy as np

from hbcore import Tensor, no_grad
from hbcore.landmarks.heatmaps import HeatmapCodec

SIZE = 32
NAMES = "cross", "ring"
MODEL = Path(__file__).with_name("crosses.safetensors")  # what lesson 7 made, in bits
CODEC = HeatmapCodec(SIZE)


def draw(rng, count):
    """Pictures (N, 32, 32, 3) in [0, 1], float32, and points (N, 2, 2), x and y of the cross and of the ring.

    Both lie anywhere between 4 and 28; what is drawn later hides what is below it.
    """
    pictures = rng.random((count, SIZE // 4, SIZE // 4, 3)).repeat(4, axis=1).repeat(4, axis=2)
    pictures = 0.2 + 0.4 * pictures + 0.1 * rng.random((count, SIZE, SIZE, 3))
    points = rng.uniform(4, 28, (count, 2, 2))
    y, x = np.mgrid[:SIZE, :SIZE]
    for picture, (cross, ring) in zip(pictures, points, strict=True):
        for shape in rng.permutation(2):
            if shape == 0:
                dx, dy = np.abs(x - cross[0]), np.abs(y - cross[1])
                picture[(np.minimum(dx, dy) < 1.5) & (np.maximum(dx, dy) < 4.5)] = rng.uniform(0.7, 1, 3)
            else:
                away = np.hypot(x - ring[0], y - ring[1])
                picture[(away > 2) & (away < 4)] = rng.uniform(0, 0.3, 3)
    return pictures.astype(np.float32), points


def found(network, pictures):
    """Where a network sees the points: (N, 2, 2), in pixels."""
    with no_grad():
        maps = network.eval()(Tensor(pictures))[-1].sigmoid().data
    return CODEC.decode(maps)[0]
