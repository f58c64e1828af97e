"""Networks of every architecture, small, as if they were trained."""

import numpy as np

from hbcore import StackedHourglass, Tensor, no_grad
from hbcore.nn.layers import BatchNorm2d


def network(seed=0, **architecture):
    """A network whose batch norms have seen pictures and have gammas of either sign, some of them zero."""
    model = StackedHourglass(**{"features": 16, "joints": 5, "depth": 2, "seed": seed, **architecture})
    rng = np.random.default_rng(seed + 1)
    for name, array in model.state_dict().items():
        kind = name.rsplit(".")[-1]
        if kind in ("gamma", "beta", "slope", "bias"):
            array[...] = rng.standard_normal(array.shape)
        if kind == "gamma":
            array[rng.random(array.shape) < 0.1] = 0
    for _, module in model.named_modules():
        if isinstance(module, BatchNorm2d):
            module.momentum = 1.0
    with no_grad():
        model(Tensor(pictures(4, 32, 32, seed=7)))
    return model


def pictures(*shape, seed=5):
    return np.random.default_rng(seed).random((*shape, 3), dtype=np.float32)


ARCHITECTURES = {
    "hpm": {},
    "bottleneck": {"block": "bottleneck"},
    "relu": {"activation": "relu"},
    "prelu, three stacks": {"activation": "prelu", "stacks": 3},
    "bottleneck, prelu, two stacks": {"activation": "prelu", "stacks": 2, "block": "bottleneck"},
    "odd widths": {"features": 48, "joints": 17},
    "several words": {"features": 144, "depth": 1},
    "wider": {"block": "wider"},
    "bottleneck without 1x1": {"block": "bottleneck_no1x1", "features": 32},
    "six layers": {"features": 64, "layers": 6},
    "four paths": {"features": 32, "cardinality": 4, "activation": "prelu"},
    "without scale": {"scale": False, "stacks": 2},
    "multi-scale": {"block": "multiscale"},
    "multi-scale, average, improved": {"block": "multiscale_no1x1", "pool": "avg", "hourglass": "improved"},
    "improved, two stacks": {"hourglass": "improved", "stacks": 2, "activation": "prelu"},
    "average": {"pool": "avg"},
    "binary ends, two stacks": {"binary_ends": True, "stacks": 2},
    "binary weights": {"binarize": "weights", "stacks": 2, "activation": "relu"},
    "binary weights, ends": {"binarize": "weights", "binary_ends": True, "scale": False},
    "binary weights, multi-scale": {"binarize": "weights", "block": "multiscale"},
    "binary activations": {"binarize": "activations", "stacks": 2, "activation": "prelu"},
    "binary activations, ends": {"binarize": "activations", "binary_ends": True, "block": "bottleneck"},
    "wide stem, real lin, two stacks": {"stem": 16, "real_lin": True, "stacks": 2},
    "narrow stem, real lin, prelu": {"stem": 8, "real_lin": True, "activation": "prelu", "features": 64},
    "real skips": {"features": 32, "real_skip": True, "activation": "prelu", "hourglass": "improved"},
    "binary activations, real lin": {"binarize": "activations", "real_lin": True, "stem": 16},
    "real": {"binary": False, "stacks": 2},
    "real, improved, multi-scale": {"binary": False, "block": "multiscale", "hourglass": "improved", "pool": "avg"},
}
