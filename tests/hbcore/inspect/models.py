"""Small networks to look into, with batch norms as training leaves them, and what their files say."""

import numpy as np

from hbcore import BatchNorm2d, StackedHourglass

HEADER = {
    "task": "face",
    "skeleton": {"name": "three", "joints": ["a", "b", "c"], "edges": [[0, 1]], "flip_pairs": []},
    "codec": {"input_size": 32, "stride": 4, "sigma": 1.0},
    "output": "sigmoid",
    "crops": [{"around": "picture", "margin": 1.0}],
}
PARTS = {
    "task": "parts",
    "parts": {"name": "colours", "names": ["none", "green", "blue"], "flip_pairs": []},
    "codec": {"input_size": 32, "stride": 4},
    "output": "softmax",
}


def model(seed=1, **architecture):
    """A network of 16 features and 3 maps, unless told otherwise, no batch norm of which does nothing.

    As it is made, every sign behind its first ReLU is +1, and its answer the same for all pictures.
    """
    network = StackedHourglass(**{"features": 16, "joints": 3, "depth": 1, "seed": seed} | architecture).eval()
    rng = np.random.default_rng(seed)
    for module in network.walk():
        if isinstance(module, BatchNorm2d):
            size = module.gamma.data.size
            module.gamma.data[:] = rng.standard_normal(size)
            module.beta.data[:] = rng.standard_normal(size)
            module.running_mean[:] = rng.standard_normal(size)
            module.running_variance[:] = rng.random(size) + 0.5
    return network


def batches_of(answers, sizes):
    """In place of `Subject.answers`: also notes of how many pictures maps are held at once."""

    def noted(subject, heatmaps):
        sizes.append(len(heatmaps))
        return answers(subject, heatmaps)

    return noted
