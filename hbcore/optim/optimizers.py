"""Optimizers, in order of what they remember, and the average of weights.

Notation: w a parameter, g its gradient, lr the learning rate of this step, t how many gradients the parameter has had.
State is a dictionary of arrays, so that a checkpoint holds it and a resumed run continues to the same bytes.

Weight decay.   SGD adds weight_decay w to the gradient. RMSprop and Adam divide gradients by their usual size, which
would undo that; there it is decoupled (Loshchilov & Hutter 2019, AdamW):  w -= lr weight_decay w  before the step.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from hbcore import kernels
from hbcore.autograd.function import Array
from hbcore.nn.module import Module, Parameter
from hbcore.values import number


class Optimizer:
    """Base of all: walks over named parameters, each once; a subclass says what happens to one.

    parameters: by name, dict(model.named_parameters()). Raises TypeError for anything else, ValueError for rates below
    zero. slots: names of the arrays that are kept for each parameter, zero at first. decoupled: whether weights decay
    apart from the gradient. squares: whether the rule squares gradients.
    """

    slots: tuple[str, ...] = ()
    decoupled = squares = False

    def __init__(self, parameters: Mapping[str, Parameter], lr: float, weight_decay: float = 0.0) -> None:
        self.parameters = _once_each(parameters)
        self.lr, self.weight_decay = number("lr", lr), number("weight_decay", weight_decay)
        self.steps = 0
        self.state = {
            f"{slot}.{name}": np.zeros_like(parameter.data)
            for slot in self.slots
            for name, parameter in self.parameters.items()
        }

    def step(self) -> None:
        """Update every parameter that has a gradient.

        FloatingPointError, with nothing changed, if a gradient is squared and its square is not finite: the mean of
        squares would stay so, and the weight where it is.
        """
        if self.squares:
            for name, parameter in self.parameters.items():
                if parameter.grad is not None and not _finite_squares(parameter.grad):
                    raise FloatingPointError(f"the square of the gradient of {name} is not finite: clip gradients")
        self.steps += 1
        for name, parameter in self.parameters.items():
            if parameter.grad is None:
                self._miss(name)
                continue
            w, g = parameter.data, parameter.grad
            if self.weight_decay and self.decoupled:
                w *= 1 - self.lr * self.weight_decay
            elif self.weight_decay:
                g = g + self.weight_decay * w
            t = self.steps - int(self.state.get(f"missed.{name}", 0))
            self.update(t, w, g, *(self.state[f"{slot}.{name}"] for slot in self.slots))
            parameter.changed()

    def _miss(self, name: str) -> None:
        """Count a step without a gradient for this parameter. State, but only of those that ever missed one."""
        self.state.setdefault(f"missed.{name}", np.zeros((), dtype=np.int64))[...] += 1

    def update(self, t: int, w: Array, g: Array, *state: Array) -> None:
        """Change w and the state of its slots in place by the t-th gradient g."""
        raise NotImplementedError

    def load_state(self, state: Mapping[str, Array], steps: int) -> None:
        """Go on where another optimizer of the same parameters was. ValueError, with nothing changed, if it is not."""
        own = {name: array for name, array in self.state.items() if not name.startswith("missed.")}
        missed = {f"missed.{name}": np.zeros((), dtype=np.int64) for name in self.parameters}
        wanted = own | {name: array for name, array in missed.items() if name in state}
        if wanted.keys() != state.keys() or any(state[name].shape != array.shape for name, array in wanted.items()):
            raise ValueError("the optimizer's state is that of another network or optimizer")
        for name, array in wanted.items():
            array[...] = state[name]
        self.state, self.steps = wanted, steps

    def gradient_norm(self) -> float:
        """Euclidean length of all gradients together; nan or inf if any element is."""
        gradients = [p.grad for p in self.parameters.values() if p.grad is not None]
        norm = math.sqrt(sum(float(np.vdot(g, g)) for g in gradients))
        if 0 < norm < math.inf:
            return norm
        # The square of a number leaves float32 long before the number does: once more, in units of the largest.
        largest = max((float(np.abs(g).max(initial=0)) for g in gradients), default=0.0)
        if largest == 0 or not math.isfinite(largest):
            return math.nan if any(np.isnan(g).any() for g in gradients) else largest
        return largest * math.sqrt(sum(float(np.square(g / largest, dtype=np.float64).sum()) for g in gradients))

    def clip_gradients(self, norm: float, limit: float) -> None:
        """Scale all gradients so that their common length, measured as `norm`, is at most `limit`.

        FloatingPointError if the norm is not finite: no factor makes such gradients right.
        """
        if not math.isfinite(norm):
            raise FloatingPointError(f"the gradient's norm is {norm}: skip this step, or lower the learning rate")
        if norm > limit:
            for parameter in self.parameters.values():
                if parameter.grad is not None:
                    parameter.grad = parameter.grad * np.asarray(limit / norm, dtype=parameter.grad.dtype)


class SGD(Optimizer):
    """v = momentum v + g + weight_decay w;  w -= lr v."""

    slots = ("velocity",)

    def __init__(
        self, parameters: Mapping[str, Parameter], lr: float, weight_decay: float = 0.0, momentum: float = 0.9
    ) -> None:
        super().__init__(parameters, lr, weight_decay)
        self.momentum = momentum

    def update(self, t: int, w: Array, g: Array, *state: Array) -> None:
        (velocity,) = state
        velocity *= self.momentum
        velocity += g
        w -= self.lr * velocity


class RMSprop(Optimizer):
    """v = decay v + (1 - decay) g^2;  w -= lr g / (sqrt(v) + eps)  (Hinton's lecture 6e; the paper's optimizer)."""

    slots = ("square",)
    decoupled = squares = True

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

    def update(self, t: int, w: Array, g: Array, *state: Array) -> None:
        (square,) = state
        kernels.backend.rmsprop(w, g, square, self.decay, self.lr, self.eps)


class Adam(Optimizer):
    """m = b1 m + (1 - b1) g,  v = b2 v + (1 - b2) g^2;  w -= lr m^ / (sqrt(v^) + eps)  (Kingma & Ba 2015).

    m^ = m / (1 - b1^t) and v^ = v / (1 - b2^t) undo the bias of the zero start.
    """

    slots = ("mean", "square")
    decoupled = squares = True

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

    def update(self, t: int, w: Array, g: Array, *state: Array) -> None:
        mean, square = state
        b1, b2 = self.betas
        step_size, correction = self.lr / (1 - b1**t), 1 - b2**t
        kernels.backend.adam(w, g, mean, square, self.betas, step_size, correction, self.eps)


def _once_each(parameters: Mapping[str, Parameter]) -> dict[str, Parameter]:
    """Parameters by name, also from pairs of them; one that has several names by its first."""
    try:
        named = dict(parameters)
        if not all(isinstance(each, Parameter) for each in named.values()):
            raise TypeError
    except (TypeError, ValueError):  # above all, a list of parameters, as others take it
        raise TypeError("an optimizer takes parameters by name: dict(model.named_parameters())") from None
    first = {id(parameter): name for name, parameter in reversed(named.items())}
    return {name: parameter for name, parameter in named.items() if first[id(parameter)] == name}


def _finite_squares(g: Array) -> bool:
    return math.isfinite(np.vdot(g, g)) or bool(np.isfinite(np.square(g)).all())


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
