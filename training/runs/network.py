"""The network that a configuration describes, as it is before the first step."""

from __future__ import annotations

import math
from dataclasses import asdict

from hbcore import StackedHourglass
from training.configuration.settings import Config

PRIOR = 0.01  # probability that a pixel of a heatmap is on, at the start
OUTPUTS = {"bce": "sigmoid", "mse": "identity", "softmax": "softmax"}
"""What turns a network's maps into answers, by the loss it is trained with; see `Model`."""

LOSS_PER = {"bce": "loss per map", "mse": "loss per map", "softmax": "loss per pixel"}
"""What the number is that falls, by the loss, see `hbcore/optim/losses.py`."""


def build_network(config: Config, maps: int) -> StackedHourglass:
    """The network with so many maps, one for each keypoint or class."""
    options = asdict(config.model)
    options["joints"] = maps
    network = StackedHourglass(**options, seed=config.run.seed)
    if config.optim.loss == "bce":
        # Nearly all pixels of a target are background. Starting there, instead of at one half everywhere, spares the
        # network hundreds of steps of learning nothing else (the prior of Lin et al. 2017, "Focal loss").
        for head in network.heads:
            head.bias.data[:] = math.log(PRIOR / (1 - PRIOR))
    return network
