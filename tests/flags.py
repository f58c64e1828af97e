"""A picture of three coloured spots, and model files for it."""

import numpy as np

from hbcore import StackedHourglass, save_model

SIZE = 64
SPOTS = np.array([(40.0, 30.0), (150.5, 61.0), (100.0, 95.0)])  # red, green, blue, in a picture of 200 x 120
HEADER = {
    "task": "face",
    "skeleton": {"name": "flag", "joints": ["red", "green", "blue"], "edges": [[0, 1]], "flip_pairs": []},
    "codec": {"input_size": SIZE, "stride": 4, "sigma": 1.0},
    "output": "identity",
    "confidence": {"threshold": 0.25, "right": 1.0, "wrong": 1.0, "crops": 5},
    "crops": [{"around": "points", "margin": 1.5}],
}


def flag(width=200, height=120):
    """A red, a green and a blue Gaussian spot on black."""
    x, y = np.arange(width)[None, :], np.arange(height)[:, None]
    channels = [np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * 12.0**2)) for cx, cy in SPOTS]
    return np.rint(255 * np.stack(channels, -1)).astype(np.uint8)


def made(path, header=HEADER):
    save_model(StackedHourglass(16, 3, depth=1, seed=1).eval(), path, header)
    return path
