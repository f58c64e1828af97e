"""Module: a part of a network that owns parameters, running statistics and other modules."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import numpy as np

from hbcore.autograd.function import Array
from hbcore.autograd.tensor import Tensor

T = TypeVar("T")


class Parameter(Tensor):
    """A tensor that training changes."""

    __slots__ = ()

    def __init__(self, data: Array) -> None:
        super().__init__(data, requires_grad=True)


class Module:
    """Attributes that are Parameters, arrays (running statistics) or Modules, or lists of Modules, make up its state.

    Names are attribute paths ("hourglasses.0.up1.units.2.conv.weight"), in order of definition. What is used in several
    places is one thing, by its first name: walks, state and optimizers meet it once.
    """

    training = True
    observer: Callable[[Module, tuple[Any, ...], Any], None] | None = None  # see hbcore.inspect.observe

    def __call__(self, *inputs: Any) -> Any:
        result = self.forward(*inputs)
        if self.observer is not None:
            self.observer(self, inputs, result)
        return result

    def forward(self, *inputs: Any) -> Any:
        raise NotImplementedError

    def describe(self) -> str:
        """Shapes and options, as the tree shows them in brackets; nothing by default."""
        return ""

    @property
    def one_bit_weights(self) -> int:
        """How many of this module's own weights are bits to whoever deploys it."""
        return 0

    def __repr__(self) -> str:
        """The tree of all modules, with shapes, bits and numbers of parameters. What repeats is shown once."""
        try:
            return "\n".join(_tree("", self, "", {}))
        except RecursionError:
            return f"{type(self).__name__}(a part of itself, or nested too deeply to be drawn)"

    def children(self) -> Iterator[tuple[str, Module]]:
        for name, value in vars(self).items():
            if isinstance(value, Module):
                yield name, value
            elif isinstance(value, list):
                for index, item in enumerate(value):
                    if isinstance(item, Module):
                        yield f"{name}.{index}", item

    def walk(self) -> Iterator[Module]:
        """This module and all below it, as named_modules does, without the time that names take."""
        waiting: list[Module] = [self]
        seen: set[Module] = set()
        while waiting:
            module = waiting.pop()
            if module in seen:
                continue
            seen.add(module)
            yield module
            below: list[Module] = []
            for value in module.__dict__.values():
                if isinstance(value, Module):
                    below.append(value)
                elif isinstance(value, list):
                    below += [item for item in value if isinstance(item, Module)]
            waiting += reversed(below)

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """This module (named by the prefix) and all below it, each before its children and once, by its first name."""
        waiting: list[tuple[str, Module]] = [(prefix, self)]
        seen: set[Module] = set()
        while waiting:
            path, module = waiting.pop()
            if module in seen:
                continue
            seen.add(module)
            yield path, module
            below = [(f"{path}.{name}" if path else name, child) for name, child in module.children()]
            waiting.extend(reversed(below))

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        yield from self._named(Parameter)

    def parameters(self) -> list[Parameter]:
        every = (value for module in self.walk() for value in module.__dict__.values() if isinstance(value, Parameter))
        return list({id(parameter): parameter for parameter in every}.values())

    def named_buffers(self) -> Iterator[tuple[str, Array]]:
        """State that gradients do not reach: running statistics."""
        yield from self._named(np.ndarray)

    def _named(self, kind: type[T]) -> Iterator[tuple[str, T]]:
        """Attributes of that kind, of this module and all below, each by its first name."""
        seen: set[int] = set()
        for prefix, module in self.named_modules():
            for name, value in vars(module).items():
                if isinstance(value, kind) and id(value) not in seen:
                    seen.add(id(value))
                    yield f"{prefix}.{name}" if prefix else name, value

    def state_dict(self) -> dict[str, Array]:
        """Every parameter and buffer by name: the arrays themselves, not copies."""
        return {name: parameter.data for name, parameter in self.named_parameters()} | dict(self.named_buffers())

    def load_state_dict(self, state: Mapping[str, Array]) -> None:
        """Copy values in.

        ValueError names what is missing, left over, of another shape, or no real number of the type that is wanted;
        then nothing is changed.
        """
        own = self.state_dict()
        state = {name: np.asarray(array) for name, array in state.items()}
        problems = [f"missing {name}" for name in own if name not in state]
        problems += [f"unknown {name}" for name in state if name not in own]
        problems += [
            f"{name} has shape {state[name].shape}, expected {array.shape}"
            for name, array in own.items()
            if name in state and state[name].shape != array.shape
        ]
        fitting = {name: state[name] for name, array in own.items() if name in state}
        values, unfit = _converted(fitting, own)
        problems += unfit
        if problems:
            more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
            raise ValueError(f"the weights do not fit the network: {'; '.join(problems[:3])}{more}")
        for name, array in own.items():
            array[...] = values[name]
        for parameter in self.parameters():
            parameter.changed()

    def astype(self, dtype: type) -> Module:
        """Turn all state into another precision (float64 for checks). Returns self."""
        for _, module in self.named_modules():
            for name, value in vars(module).items():
                if isinstance(value, Parameter):
                    value.data = value.data.astype(dtype, copy=False)
                elif isinstance(value, np.ndarray):
                    setattr(module, name, value.astype(dtype))
        return self

    def train(self, mode: bool = True) -> Module:
        """Choose training (batch statistics) or evaluation (running statistics). Returns self."""
        for module in self.walk():
            module.training = mode
        return self

    def eval(self) -> Module:
        return self.train(False)

    def zero_grad(self) -> None:
        for module in self.walk():
            for value in module.__dict__.values():
                if isinstance(value, Parameter):
                    value.grad = None


class Sequential(Module):
    """Modules one after another."""

    def __init__(self, *modules: Module) -> None:
        self.modules = list(modules)

    def forward(self, x: Tensor) -> Tensor:
        for module in self.modules:
            x = module(x)
        return x


class Identity(Module):
    """y = x."""

    def forward(self, x: Tensor) -> Tensor:
        return x


def _converted(state: Mapping[str, Array], own: Mapping[str, Array]) -> tuple[dict[str, Array], list[str]]:
    """State in the types of the network's own, and what of it cannot be had there."""
    values, problems = {}, []
    for name, array in state.items():
        wanted = own[name].dtype
        if array.dtype.kind not in "fiu":
            problems.append(f"{name} holds {array.dtype} values, not real numbers")
            continue
        with np.errstate(over="ignore"):
            values[name] = array.astype(wanted, copy=False)
        if array.dtype != wanted and not np.array_equal(np.isfinite(values[name]), np.isfinite(array)):
            problems.append(f"{name} holds numbers beyond {wanted}")
    return values, problems


# ---------------------------------------------------------------------------------------------------- the tree


def _tree(label: str, module: Module, path: str, shown: dict[str, str]) -> list[str]:
    """The lines of a module and all below it. shown: paths by what has been drawn, which is not drawn again."""
    children = list(module.children())
    lines = [label + _line(module)]
    if not children or _in_a_row(module, children):
        return lines
    whole = _whole(module)
    if whole in shown:
        return [f"{label}{type(module).__name__} as {shown[whole]}"]
    if path:
        shown[whole] = path
    for name, child in children:
        below = f"{path}.{name}" if path else name
        inner = _tree(f"{name.removeprefix('modules.')}: ", child, below, shown)
        lines += [f"  {text}" for text in inner]
    return lines


def _in_a_row(module: Module, children: list[tuple[str, Module]]) -> bool:
    """Whether a module is a sequence of a few layers, which one line can hold."""
    return isinstance(module, Sequential) and len(children) <= 4 and not any(list(c.children()) for _, c in children)


def _head(module: Module) -> str:
    """Class and description, as in `Conv2d(3 -> 64, 7x7)`; of a sequence in one line, its layers."""
    children = list(module.children())
    row = ", ".join(_head(child) for _, child in children) if _in_a_row(module, children) else ""
    said = module.describe() or row
    return f"{type(module).__name__}({said})" if said else type(module).__name__


def _line(module: Module) -> str:
    """The head, and how many parameters there are in a module and below, and how many of them are bits."""
    head = _head(module)
    parameters = sum(parameter.data.size for parameter in module.parameters())
    bits = sum(each.one_bit_weights for each in module.walk())
    if not parameters:
        return head
    sizes = f"{parameters:,} parameters" + (f", {bits:,} of them bits" if bits else "")
    return f"{head}  {sizes}" if head.endswith(")") else f"{head}({sizes})"


def _whole(module: Module) -> str:
    """All that can be seen of a module and below, as a key."""
    return f"{_head(module)}[{';'.join(f'{name}={_whole(child)}' for name, child in module.children())}]"
