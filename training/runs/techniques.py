"""Training techniques of the follow-up, as functions of configuration and step.

The follow-up is Bulat et al., "Improved training of binary networks for human pose estimation and image recognition",
2019. The functions have no state, so that runs stay resumable.

Binary activations first, weights second.   For the first `technique.real_weights` of the steps, signs of activations
meet real weights; then the weights become bits as well.

Progressive sharpness.   For the first `technique.smooth` of the steps the sign of an activation is the smooth one of
`hbcore.binary.smooth`, its sharpness rising geometrically from the first to the last number of `technique.sharpness`;
then it is the hard sign. Weights are bits or real, never in between.

Distillation.   To the loss of every stack comes `technique.distill` times the same loss against the maps of a trained
model, for all landmarks, labelled or not: for sigmoid cross-entropy the teacher's probabilities p,

    L = CE(z, labels) + distill * CE(z, p),

which is least where the student's own probabilities are p.

The follow-up's other techniques are settings of the model: PReLU (`model.activation`) and stacking (`model.stacks`). It
trains its two steps one after the other; here they share one run and one schedule of the learning rate. How sharpness
rises and how the teacher's term is weighted was not found in a public source: both are choices made here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hbcore import StackedHourglass
from training.configuration.settings import Config
from training.errors import DataError, UserError
from training.files.environment import sha256
from training.labels.parts import Scheme
from training.prediction.model import Model

HEATMAP_LOSSES = "bce", "mse"


@dataclass(frozen=True)
class Phase:
    """What of a network is binary, as StackedHourglass.quantize takes it."""

    binarize: str
    sharpness: float | None = None

    def __str__(self) -> str:
        sharpness = "" if self.sharpness is None else f", sharpness {self.sharpness:.3g}"
        return ("real weights" if self.binarize == "activations" else "binary weights") + sharpness

    def enter(self, network: StackedHourglass) -> None:
        """Let the network compute as in this phase."""
        if (self.binarize, self.sharpness) != tuple(network.architecture[key] for key in ("binarize", "sharpness")):
            network.quantize(self.binarize, self.sharpness)


def phase(config: Config, step: int) -> Phase:
    """The phase of a step, counted from 0."""
    technique = config.technique
    real = step < int(technique.real_weights * config.optim.steps)
    smooth = int(technique.smooth * config.optim.steps)
    sharpness = None
    if technique.sharpness and step < smooth:
        first, last = technique.sharpness
        sharpness = float(first * (last / first) ** (step / max(1, smooth - 1)))
    return Phase("activations" if real else config.model.binarize, sharpness)


def settled(config: Config) -> int:
    """The first step at which the network is what it is to be in the end. There is always one."""
    technique = config.technique
    shares = technique.real_weights, technique.smooth if technique.sharpness else 0
    return int(max(shares) * config.optim.steps)


@dataclass(frozen=True, eq=False)
class Teacher:
    """A trained model whose maps a student is to match. digest: SHA-256 of its file."""

    model: Model
    digest: str

    @classmethod
    def read(cls, config: Config, scheme: Scheme) -> Teacher | None:
        """The teacher that a configuration names, if it does.

        Raises UserError for a loss that is not on heatmaps; DataError if the file is no model, or a model of other
        landmarks or another input size.
        """
        path = config.technique.teacher
        if not path:
            return None
        if config.optim.loss not in HEATMAP_LOSSES:
            raise UserError(
                f'technique.teacher teaches heatmaps: it does not go with optim.loss = "{config.optim.loss}"'
            )
        model = Model.load(path)
        if model.scheme.names != scheme.names:
            raise DataError(
                f"the teacher {path} finds {len(model.scheme.names)} landmarks of {model.scheme.name}, the data "
                f"set has {len(scheme.names)} of {scheme.name}: train a teacher on this data set"
            )
        if model.codec.input_size != config.data.size:
            size = model.codec.input_size
            raise DataError(f"the teacher {path} takes pictures of {size} pixels, data.size is {config.data.size}")
        return cls(model, sha256(path))

    def lesson(self, pictures: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Its maps (N, h, w, K) in [0, 1] for a batch, and weights (N, K) of 1: what losses take."""
        maps = np.clip(self.model.heatmaps(pictures), 0, 1)
        return maps, np.ones((len(maps), maps.shape[-1]), dtype=np.float32)
