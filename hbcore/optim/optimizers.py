"""Optimizers, in order of what they remember, and the average of weights.

Notation: w a parameter, g its gradient, lr the learning rate of this step, t how many gradients the parameter has had.
State is a dictionary of arrays, so that a checkpoint holds it and a resumed run continues to the same bytes.

Weight decay.   SGD adds weight_decay w to the gradient. RMSprop and Adam divide gradients by their usual size, which
would undo that; there it is decoupled (Loshchilov & Hutter 2019, AdamW):  w -= lr weight_decay w  before the step.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from hbcore import kernels
from hbcore.autograd.function import Array
from hbcore.nn.module import Module, Parameter
from hbcore.values import number

# Parameters of up to so many numbers are updated together: a call for each costs more than copying them.
SMALL = 1 << 13


@dataclass(frozen=True, eq=False)
class _Group:
    """Parameters that are updated together, and their state, slot by slot, in one array each."""

    names: list[str]
    slots: list[Array]


class _Part(NamedTuple):
    """What one call of :meth:`Optimizer.update` is for: of one parameter, or of the numbers of a group, copied."""

    names: list[str]
    w: Array
    g: Array
    state: list[Array]


class Optimizer:
    """Base of all: walks over named parameters, each once; a subclass says what happens to a number.

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
        data = {name: parameter.data for name, parameter in self.parameters.items()}
        self._groups = [_Group(names, [_zeros(data, names) for _ in self.slots]) for names in _groups(data)]
        self.state: dict[str, Array] = {}
        for i, slot in enumerate(self.slots):
            for group in self._groups:
                parts = _apart(group.slots[i], [data[name] for name in group.names])
                self.state |= {f"{slot}.{name}": part for name, part in zip(group.names, parts, strict=True)}

    def step(self) -> None:
        """Update every parameter that has a gradient.

        FloatingPointError, with nothing changed, if a gradient is squared and its square is not finite: the mean of
        squares would stay so, and the weight where it is.
        """
        parts = [part for group in self._groups for part in self._parts(group)]
        if self.squares:
            for part in parts:
                if not _finite_squares(part.g):
                    broken = next(name for name in part.names if not _finite_squares(self._gradient(name)))
                    raise FloatingPointError(f"the square of the gradient of {broken} is not finite: clip gradients")
        self.steps += 1
        for names, w, g, state in parts:
            if self.weight_decay and self.decoupled:
                w *= 1 - self.lr * self.weight_decay
            elif self.weight_decay:
                g = g + self.weight_decay * w
            self.update(self.steps - int(self.state.get(f"missed.{names[0]}", 0)), w, g, *state)
            changed = [self.parameters[name] for name in names]
            if len(names) > 1:
                for parameter, numbers in zip(changed, _apart(w, [each.data for each in changed]), strict=True):
                    parameter.data[...] = numbers
            for parameter in changed:
                parameter.changed()
        for name, parameter in self.parameters.items():
            if parameter.grad is None:  # counted, but only for those that ever missed a step
                self.state.setdefault(f"missed.{name}", np.zeros((), dtype=np.int64))[...] += 1

    def _parts(self, group: _Group) -> list[_Part]:
        """The group as a whole if all of it has had every gradient so far, else one by one."""
        each = {name: self.parameters[name] for name in group.names}
        gradients = [parameter.grad for parameter in each.values() if parameter.grad is not None]
        ever_missed = len(self.state) > len(self.slots) * len(self.parameters)  # seldom, and each is asked if so
        missed = ever_missed and any(f"missed.{name}" in self.state for name in each)
        if len(each) > 1 and len(gradients) == len(each) and not missed:
            w = np.concatenate([parameter.data for parameter in each.values()], axis=None)
            return [_Part(group.names, w, np.concatenate(gradients, axis=None), group.slots)]
        return [
            _Part([name], parameter.data, parameter.grad, [self.state[f"{slot}.{name}"] for slot in self.slots])
            for name, parameter in each.items()
            if parameter.grad is not None
        ]

    def _gradient(self, name: str) -> Array:
        gradient = self.parameters[name].grad
        assert gradient is not None
        return gradient

    def update(self, t: int, w: Array, g: Array, *state: Array) -> None:
        """Change w and the state of its slots in place by the t-th gradient g, each number by itself."""
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


def _groups(data: Mapping[str, Array]) -> list[list[str]]:
    """Names of what is updated together: all small arrays of a type; each larger one is alone."""
    groups: dict[object, list[str]] = {}
    for name, array in data.items():
        groups.setdefault(array.dtype if array.size <= SMALL else name, []).append(name)
    return list(groups.values())


def _zeros(data: Mapping[str, Array], names: list[str]) -> Array:
    return np.zeros(sum(data[name].size for name in names), dtype=data[names[0]].dtype)


def _apart(joined: Array, like: list[Array]) -> list[Array]:
    """Views of joined numbers, in the shapes of the arrays that they belong to."""
    ends = np.cumsum([array.size for array in like])
    return [joined[end - array.size : end].reshape(array.shape) for end, array in zip(ends, like, strict=True)]


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
