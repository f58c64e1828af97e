"""What learns: a network, its optimizer, the average of its weights, and a teacher if there is one."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hbcore import StackedHourglass, Tensor
from hbcore.inspect.observe import first_not_finite
from hbcore.landmarks.description import to_input
from hbcore.nn.layers import constrain, use_gradients, use_packed
from hbcore.nn.module import Parameter
from hbcore.optim.losses import heatmap_cross_entropy, heatmap_mse, softmax_cross_entropy
from hbcore.optim.optimizers import OPTIMIZERS, ExponentialMovingAverage
from hbcore.optim.schedules import constant, cosine, stepwise, warmup
from training.configuration.settings import Config
from training.errors import DataError
from training.labels.parts import Scheme
from training.loading.batch import Batch
from training.prediction.model import Model, NotFinite
from training.prediction.unpacking import give_statistics
from training.runs.network import build_network
from training.runs.techniques import Teacher, phase
from training.tasks.task import Task

LOSSES: Mapping[str, Callable[..., Tensor]] = {
    "bce": heatmap_cross_entropy,
    "mse": heatmap_mse,
    "softmax": softmax_cross_entropy,
}


State = dict[str, NDArray[Any]]


def learning_rate(config: Config, step: int) -> float:
    """The rate of one step: warm-up times schedule."""
    o = config.optim
    shapes: dict[str, Callable[[], float]] = {
        "constant": lambda: constant(step, o.steps),
        "cosine": lambda: cosine(step, o.steps),
        "step": lambda: stepwise(step, o.steps, o.milestones, o.decay),
    }
    return o.lr * warmup(step, o.warmup) * shapes[o.schedule]()


class BadUpdate(NotFinite):
    """The loss or a gradient is not finite: the update was not made."""


class Trainer:
    """A network with so many maps, and what changes its weights. It knows nothing of files."""

    def __init__(self, task: Task, config: Config, maps: int, teacher: Teacher | None = None) -> None:
        self.task, self.config, self.maps, self.teacher = task, config, maps, teacher
        self.codec = task.codec(config)
        self.network = build_network(config, maps)
        use_packed(self.network)  # same integers as the float simulation, sooner
        use_gradients(self.network, config.optim.gradients)
        self.optimizer = OPTIMIZERS[config.optim.name](self._learning(), config.optim.lr, config.optim.weight_decay)
        self.average = self._average()

    def _learning(self) -> dict[str, Parameter]:
        """The parameters that change, by name."""
        named = dict(self.network.named_parameters())
        if self.config.optim.freeze == "none":
            return named
        return {name: parameter for name, parameter in named.items() if name.startswith("heads.")}

    def _average(self) -> ExponentialMovingAverage | None:
        momentum = self.config.optim.ema
        return ExponentialMovingAverage(self.network, momentum) if momentum else None

    def begin_with(self, path: str, scheme: Scheme, batches: Iterable[NDArray[np.uint8]]) -> None:
        """Take the weights of a model file, before the first step.

        Of a model that finds other things, those of the same names are taken, and the others stay as they were drawn.
        Of a packed one the latent weights are its signs times the scale of each filter, and its norms are measured on
        `batches`, pictures (N, S, S, 3). DataError if it is of another network.
        """
        model = Model.load(path)
        if model.packed:
            give_statistics(model.network, batches)
        state = model.network.state_dict()
        try:
            if model.scheme.names != scheme.names:
                state = self._by_name(state, model.scheme.names, scheme.names)
            self.network.load_state_dict(state)
        except ValueError as error:
            raise DataError(f"run.init: {path} is a model of another network: {error}") from None
        self.average = self._average()

    def _by_name(self, state: State, theirs: Sequence[str], ours: Sequence[str]) -> State:
        """The state of a network with maps of other names, for ours. ValueError where it is of another network."""
        # Which axis of an array counts maps, if any, is the one that a further map makes longer.
        longer = build_network(self.config, self.maps + 1).state_dict()
        pairs = [(ours.index(name), theirs.index(name)) for name in ours if name in theirs]
        result = {}
        for name, own in self.network.state_dict().items():
            axis = next((k for k, size in enumerate(longer[name].shape) if size != own.shape[k]), None)
            if name not in state:
                raise ValueError(f"it has no {name}")
            given = state[name]
            if axis is None:
                result[name] = given
                continue
            if np.delete(given.shape, axis).tolist() != np.delete(own.shape, axis).tolist():
                raise ValueError(f"{name} is {given.shape}, not {own.shape} but for the number of maps")
            taken, kept = np.moveaxis(given, axis, 0), own.copy()
            for here, there in pairs:
                np.moveaxis(kept, axis, 0)[here] = taken[there]
            result[name] = kept
        return result

    @np.errstate(over="ignore", invalid="ignore")  # what is not finite is found, and named
    def step(self, batch: Batch, number: int) -> tuple[float, float]:
        """Loss and gradient norm of one update, that of step `number`, counted from 0.

        Raises BadUpdate, naming the layer, before any weight changes if either is not finite.
        """
        config = self.config
        target = self.encode(batch)
        pictures = to_input(batch.pictures)
        phase(config, number).enter(self.network)
        lesson = self.teacher.lesson(batch.pictures) if self.teacher else None
        self.network.train()
        if config.optim.freeze == "trunk":  # its batch norms stay those of the pictures that it was trained on
            for module in (self.network.stem, *self.network.hourglasses):
                module.eval()
        try:
            predictions = self.network(Tensor(pictures))
            loss = Tensor(np.zeros((), dtype=np.float32))
            for prediction in predictions:  # intermediate supervision: one term per stack
                loss = loss + LOSSES[config.optim.loss](prediction, *target)
                if lesson:
                    loss = loss + config.technique.distill * LOSSES[config.optim.loss](prediction, *lesson)
            value = loss.item()
        except FloatingPointError:  # a sign met NaN
            value = math.nan
        if not math.isfinite(value):
            layer = first_not_finite(self.network, pictures)
            raise BadUpdate(f"the loss is {value}, {f'first in {layer}' if layer else 'in itself'}")
        loss.backward()
        norm = self.optimizer.gradient_norm()
        if not math.isfinite(norm):
            broken = [
                name
                for name, parameter in self.optimizer.parameters.items()
                if parameter.grad is not None and not np.isfinite(parameter.grad).all()
            ]
            raise BadUpdate(f"the gradient's norm is {norm}{f', first in {broken[-1]}' if broken else ''}")
        if config.optim.clip_norm:
            self.optimizer.clip_gradients(norm, config.optim.clip_norm)
        self.optimizer.lr = learning_rate(config, number)
        try:
            self.optimizer.step()
        except FloatingPointError as error:
            raise BadUpdate(str(error)) from None
        constrain(self.network)
        self.network.zero_grad()
        if self.average:
            self.average.update(self.network)
        return value, norm

    def encode(self, batch: Batch) -> tuple[NDArray[Any], ...]:
        """What the loss compares the network's maps with."""
        return self.task.target(self.codec, batch)

    def averaged(self) -> StackedHourglass:
        """The network to be used: averaged weights if there is an average."""
        if self.average is None:
            return self.network
        network = build_network(self.config, self.maps)
        network.load_state_dict(self.average.state)
        use_packed(network)
        return network
