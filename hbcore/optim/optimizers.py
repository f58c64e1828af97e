"""Optimizers, in order of what they remember, and the average of weights.

Notation: w a parameter, g its gradient plus weight_decay * w, lr the learning rate of this step. State is a dictionary
of arrays, so that a checkpoint holds it and a resumed run continues to the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from hbcore import kernels
from hbcore.autograd.function import Array
from hbcore.nn.module import Module, Parameter


class Optimizer:
    """Base of all: walks over named parameters; a subclass says what happens to one.

    slots: names of the arrays that are kept for each parameter, zero at first.
    """

    slots: tuple[str, ...] = ()

    def __init__(self, parameters: Mapping[str, Parameter], lr: float, weight_decay: float = 0.0) -> None:
        self.parameters = dict(parameters)
        self.lr, self.weight_decay = lr, weight_decay
        self.steps = 0
        self.state = {
            f"{slot}.{name}": np.zeros_like(parameter.data)
            for slot in self.slots
            for name, parameter in self.parameters.items()
        }

    def step(self) -> None:
        """Update every parameter that has a gradient."""
        self.steps += 1
        for name, parameter in self.parameters.items():
            if parameter.grad is None:
                continue
            g = parameter.grad
            if self.weight_decay:
                g = g + self.weight_decay * parameter.data
            self.update(parameter.data, g, *(self.state[f"{slot}.{name}"] for slot in self.slots))

    def update(self, w: Array, g: Array, *state: Array) -> None:
        raise NotImplementedError

    def gradient_norm(self) -> float:
        """Euclidean length of all gradients together; nan or inf if any element is."""
        squares = (np.vdot(p.grad, p.grad) for p in self.parameters.values() if p.grad is not None)
        return float(np.sqrt(sum(map(float, squares))))

    def clip_gradients(self, norm: float, limit: float) -> None:
        """Scale all gradients so that their common length, measured as `norm`, is at most `limit`."""
        if norm > limit:
            for parameter in self.parameters.values():
                if parameter.grad is not None:
                    parameter.grad = parameter.grad * np.asarray(limit / norm, dtype=parameter.grad.dtype)


class SGD(Optimizer):
    """v = momentum v + g;  w -= lr v."""

    slots = ("velocity",)

    def __init__(
        self, parameters: Mapping[str, Parameter], lr: float, weight_decay: float = 0.0, momentum: float = 0.9
    ) -> None:
        super().__init__(parameters, lr, weight_decay)
        self.momentum = momentum

    def update(self, w: Array, g: Array, *state: Array) -> None:
        (velocity,) = state
        velocity *= self.momentum
        velocity += g
        w -= self.lr * velocity


class RMSprop(Optimizer):
    """v = decay v + (1 - decay) g^2;  w -= lr g / (sqrt(v) + eps)  (Hinton's lecture 6e; the paper's optimizer)."""

    slots = ("square",)

    def __init__(
        self,
        parameters: Mapping[str, Parameter],
        lr: float,
        weight_decay: float = 0.0,
        decay: float = 0.99,
        eps: float = 1e-8,
    ) -> None:
        super().__init__(parameters, lr, weight_decay)
        self.decay, self.eps = decay, eps

    def update(self, w: Array, g: Array, *state: Array) -> None:
        (square,) = state
        kernels.backend.rmsprop(w, g, square, self.decay, self.lr, self.eps)


class Adam(Optimizer):
    """m = b1 m + (1 - b1) g,  v = b2 v + (1 - b2) g^2;  w -= lr m^ / (sqrt(v^) + eps)  (Kingma & Ba 2015).

    m^ = m / (1 - b1^t) and v^ = v / (1 - b2^t) undo the bias of the zero start at step t.
    """

    slots = ("mean", "square")

    def __init__(
        self,
        parameters: Mapping[str, Parameter],
        lr: float,
        weight_decay: float = 0.0,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        super().__init__(parameters, lr, weight_decay)
        self.betas, self.eps = betas, eps

    def update(self, w: Array, g: Array, *state: Array) -> None:
        mean, square = state
        b1, b2 = self.betas
        step_size, correction = self.lr / (1 - b1**self.steps), 1 - b2**self.steps
        kernels.backend.adam(w, g, mean, square, self.betas, step_size, correction, self.eps)


OPTIMIZERS: dict[str, type[Optimizer]] = {"sgd": SGD, "rmsprop": RMSprop, "adam": Adam}


class ExponentialMovingAverage:
    """average += (1 - decay) (w - average) of parameters and running statistics.

    Early on the decay is (1 + t) / (10 + t) if that is smaller, so that the start is forgotten. Note for binary layers:
    the average is of latent weights; its signs are those that the weights had most of the time.
    """

    def __init__(self, module: Module, decay: float) -> None:
        self.decay = decay
        self.steps = 0
        self.state = {name: array.copy() for name, array in module.state_dict().items()}

    def update(self, module: Module) -> None:
        self.steps += 1
        keep = min(self.decay, (1 + self.steps) / (10 + self.steps))
        for name, array in module.state_dict().items():
            average = self.state[name]
            average += (1 - keep) * (array - average)
