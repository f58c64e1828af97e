"""A network, or one layer, as a flat list of steps: what every peer is given, so that all of them run the same thing.

hbcore.nn.hourglass says what is connected to what with modules that call modules; :func:`record` walks through them
once and writes down each convolution, normalisation, sum ... in order. A peer then knows eight operations, not
hourglasses. The tests hold the list against the network itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from hbcore.nn.blocks import Bottleneck, HPMBlock
from hbcore.nn.hourglass import Hourglass, StackedHourglass
from hbcore.nn.layers import BatchNorm2d, BinaryConv2d, Conv2d, MaxPool2d, ReLU
from hbcore.nn.module import Identity, Module

T = TypeVar("T")
OPERATIONS = {BatchNorm2d: "norm", Conv2d: "conv", BinaryConv2d: "binary", ReLU: "relu", MaxPool2d: "pool"}


@dataclass(frozen=True)
class Step:
    """One operation on values that are known by number; 0 is the picture.

    op: "conv", "binary" (sign, then convolution with alpha sign(W)), "norm", "relu", "pool", "upsample", "add" or
    "concat" (of channels). layer: name of the module whose weights it takes. drop: values that no later step needs.
    """

    op: str
    inputs: tuple[int, ...]
    output: int
    layer: str = ""
    drop: tuple[int, ...] = ()


@dataclass(frozen=True, eq=False)
class Program:
    """Steps in order, the numbers of the results, and the layers they name."""

    steps: tuple[Step, ...]
    results: tuple[int, ...]
    layers: dict[str, Module]


def run(program: Program, picture: T, apply: Callable[[Step, list[T]], T]) -> list[T]:
    """Run the steps: apply(step, its inputs) -> its output. Values are let go as soon as nobody needs them."""
    values = {0: picture}
    for step in program.steps:
        values[step.output] = apply(step, [values[i] for i in step.inputs])
        for i in step.drop:
            del values[i]
    return [values[i] for i in program.results]


def single(conv: Conv2d | BinaryConv2d) -> Program:
    """One convolution and nothing else."""
    return _finish([Step(OPERATIONS[type(conv)], (0,), 1, "conv")], [1], {"conv": conv})


def record(model: StackedHourglass) -> Program:
    """Write down what the network does."""
    return _Recorder(model).program


class _Recorder:
    def __init__(self, model: StackedHourglass) -> None:
        self.names = {id(module): name for name, module in model.named_modules()}
        self.steps: list[Step] = []
        self.layers: dict[str, Module] = {}
        x, results = self.sequence(model.stem.modules, 0), []
        for stack, (hourglass, head) in enumerate(zip(model.hourglasses, model.heads, strict=True)):
            y = self.block(head.block, self.hourglass(hourglass, x))
            lin = self.sequence(head.lin.modules, y)
            results.append(self.layer(head.heatmaps, lin))
            if stack < len(model.merge_features):
                features = self.layer(model.merge_features[stack], lin)
                x = self.put("add", self.put("add", x, features), self.layer(model.merge_heatmaps[stack], results[-1]))
        self.program = _finish(self.steps, results, self.layers)

    def put(self, op: str, *inputs: int, layer: str = "") -> int:
        output = len(self.steps) + 1
        self.steps.append(Step(op, inputs, output, layer))
        return output

    def layer(self, module: Module, x: int) -> int:
        """A block, a sequence or a single layer."""
        if isinstance(module, Bottleneck | HPMBlock):
            return self.block(module, x)
        if hasattr(module, "modules"):
            return self.sequence(module.modules, x)
        op = OPERATIONS.get(type(module))
        if op is None:
            raise ValueError(f"the benchmarks have no peer for {type(module).__name__}")
        if op in ("relu", "pool"):
            return self.put(op, x)
        name = self.names[id(module)]
        self.layers[name] = module
        return self.put(op, x, layer=name)

    def sequence(self, modules: Sequence[Module], x: int) -> int:
        for module in modules:
            x = self.layer(module, x)
        return x

    def block(self, block: Module, x: int) -> int:
        if isinstance(block, HPMBlock):
            o1 = self.layer(block.conv1, x)
            o2 = self.layer(block.conv2, o1)
            o3 = self.layer(block.conv3, o2)
            y = self.put("concat", o1, o2, o3)
        else:
            assert isinstance(block, Bottleneck)
            y = self.layer(block.expand, self.layer(block.spatial, self.layer(block.reduce, x)))
        return self.put("add", y, x if isinstance(block.skip, Identity) else self.layer(block.skip, x))

    def hourglass(self, module: Hourglass, x: int) -> int:
        up = self.block(module.up1, x)
        low = self.block(module.low1, self.put("pool", x))
        inner = module.low2
        low = self.hourglass(inner, low) if isinstance(inner, Hourglass) else self.block(inner, low)
        return self.put("add", up, self.put("upsample", self.block(module.low3, low)))


def _finish(steps: Sequence[Step], results: Sequence[int], layers: dict[str, Module]) -> Program:
    """Note at each step which values it is the last to use."""
    last: dict[int, int] = {}
    for place, step in enumerate(steps):
        last |= dict.fromkeys(step.inputs, place)
    kept = set(results)
    done = [
        replace(step, drop=tuple(i for i in dict.fromkeys(step.inputs) if last[i] == place and i not in kept))
        for place, step in enumerate(steps)
    ]
    return Program(tuple(done), tuple(results), layers)
