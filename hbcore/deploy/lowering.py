"""From a network to the table of its steps: every layer in order, and which memory it reads and writes.

Whoever runs a network, writes it in another language or only asks what it takes reads the same table (`table.py`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from hbcore import bits
from hbcore.autograd.function import Array
from hbcore.bits import conv_size
from hbcore.deploy.folding import BinaryFolded, after_sums, conv_of, fold, norm_line, real_weights
from hbcore.deploy.model_file import require_evaluable
from hbcore.deploy.table import Area, Step, Table
from hbcore.kernels.plan import Epilogue
from hbcore.nn.blocks import Bottleneck, Hierarchy, HPMBlock, MultiScale, Unit
from hbcore.nn.hourglass import Head, Hourglass, StackedHourglass
from hbcore.nn.layers import AvgPool2d, BatchNorm2d, BinaryConv2d, Conv2d, MaxPool2d, PReLU, ReLU, Upsample
from hbcore.nn.module import Identity, Module, Sequential
from hbcore.values import whole

Ending = dict[str, Any]  # fields of an Epilogue

KNOWN = {
    *(StackedHourglass, Hourglass, Head, Unit, HPMBlock, Hierarchy, Bottleneck, MultiScale, Sequential, Identity),
    *(Conv2d, BinaryConv2d, BatchNorm2d, ReLU, PReLU, MaxPool2d, AvgPool2d, Upsample),
}


def require_known(model: Module) -> None:
    """ValueError naming a module that is not exactly one of these: what a subclass does would be left out of a plan."""
    for name, module in model.named_modules():
        if type(module) not in KNOWN:
            kind = type(module).__name__
            raise ValueError(
                f"{name or 'the network'} is a {kind}, which plans do not know: deploy hbcore's own layers"
            )


def lower(model: StackedHourglass, height: int, width: int, batch: int = 1) -> Table:
    """The table of a network for pictures (batch, height, width, 3), its weights copied.

    Raises ValueError for a network with smooth signs or layers that plans do not know, sizes that do not fit, weights
    that are not finite float32, or variances below zero.
    """
    if model.architecture["sharpness"] is not None:
        raise ValueError("a network whose signs are smooth is in the middle of its training: plans know hard signs")
    state = model.state_dict()
    for name, array in state.items():
        if array.dtype != np.float32:
            raise ValueError(f"{name} is {array.dtype}: deploy a network in float32")
    require_evaluable(state, largest=math.inf)
    require_known(model)
    step, batch = model.multiple, whole("batch", batch)
    height, width = whole("height", height, least=0), whole("width", width, least=0)
    if height < step or width < step or height % step or width % step:
        raise ValueError(f"this network takes heights and widths that are multiples of {step}, got {height} x {width}")
    return _Lowering().network(model, (batch, height, width, 3))


class _Lowering:
    """Adds steps and buffers to a table."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.buffers: list[Area] = []

    def network(self, model: StackedHourglass, shape: tuple[int, ...]) -> Table:
        """The whole of it, for pictures of that shape."""
        picture = self._numbers(shape)
        beginning, norm, _, first, pool, second, third = model.stem.modules
        assert isinstance(norm, BatchNorm2d)
        x = self._conv2d(picture, beginning, _normalised(norm))
        x = self._block(first, x)
        x = self._pool(pool, x)
        x = self._block(third, self._block(second, x))
        for stack, (hourglass, head) in enumerate(zip(model.hourglasses, model.heads, strict=True)):
            y = self._hourglass(hourglass, x)
            lin, heatmaps = self._head(head, y)
            if stack < len(model.merge_features):
                merged = self._numbers(x.shape)
                self._units(lin, [model.merge_features[stack]], [{"y": merged, "skip": x}])
                x = self._conv2d(heatmaps, model.merge_heatmaps[stack], {"skip": merged})
        return Table(self.steps, self.buffers, picture, heatmaps)

    def _step(self, kind: str, **arguments: Any) -> None:
        self.steps.append(Step(kind, arguments))

    def _numbers(self, shape: tuple[int, ...]) -> Area:
        return self._buffer(shape, np.float32)

    def _words(self, shape: tuple[int, ...]) -> Area:
        return self._buffer(shape, np.uint64)

    def _buffer(self, shape: tuple[int, ...], dtype: type) -> Area:
        self.buffers.append(Area(len(self.buffers), shape, np.dtype(dtype), 0, shape[3]))
        return self.buffers[-1]

    def _hourglass(self, module: Hourglass, x: Area) -> Area:
        up1 = self._widened(x, module.filters) if module.improved else self._block(module.up1, x, keep=True)
        pool1 = self._pool(module.pool1, x)
        low1 = self._block(module.low1, pool1)
        inner = module.low2
        low2 = self._hourglass(inner, low1) if isinstance(inner, Hourglass) else self._block(inner, low1)
        low3 = self._block(module.low3, low2)
        if module.improved:  # side by side, not added
            self._step("upsample", x=low3, y=up1.part(slice(x.shape[3], up1.shape[3])))
        else:
            self._step("upsample_add", x=low3, y=up1)
        return up1

    def _widened(self, x: Area, channels: int) -> Area:
        """An array of more channels that begins with those of x."""
        y = self._numbers((*x.shape[:3], channels))
        self._step("copy", x=x, y=y.part(slice(0, x.shape[3])))
        return y

    def _head(self, module: Head, x: Area) -> tuple[Area, Area]:
        unit, norm, _ = module.lin.modules
        assert isinstance(norm, BatchNorm2d)
        x = self._block(module.block, x)
        lin = self._conv2d(x, unit, _normalised(norm))
        return lin, self._conv2d(lin, module.heatmaps, {})

    # ------------------------------------------------------------------------------------------------ blocks

    def _block(self, module: Module, x: Area, keep: bool = False) -> Area:
        """The block's result; x may become it unless it is to be kept."""
        assert isinstance(module, HPMBlock | Bottleneck | MultiScale)
        skip = x if isinstance(module.skip, Identity) else self._conv2d(x, module.skip, {})
        # Nobody looks at a skip path again once something was added to it: it becomes the result.
        read_again = skip is x and (keep or (isinstance(module, HPMBlock) and len(module.paths) > 1))
        y = self._numbers(x.shape) if read_again else skip
        if isinstance(module, HPMBlock):
            self._hpm(module, x, skip, y)
        elif isinstance(module, MultiScale):
            self._multiscale(module, x, skip, y)
        else:
            self._units(x, [module.reduce, module.spatial, module.expand], [{}, {}, {"y": y, "skip": skip}])
        return y

    def _hpm(self, module: HPMBlock, x: Area, skip: Area, y: Area) -> None:
        """Each convolution adds its part of the skip path and hands its result on."""
        start = 0
        for path in module.paths:
            endings = []
            for unit in path.convs:
                part = slice(start, start + conv_of(unit).weight.shape[3])
                endings.append({"y": y.part(part), "skip": skip.part(part)})
                start = part.stop
            self._units(x, path.convs, endings)

    def _multiscale(self, module: MultiScale, x: Area, skip: Area, y: Area) -> None:
        """Three branches side by side, the second and third from pooled pixels; then a 1x1 unit, if there is one."""
        pool, _ = module.pool.modules
        small = self._pool(pool, x)
        pooled = self._numbers(x.shape)
        self._step("upsample", x=small, y=pooled)
        expands = not isinstance(module.expand, Identity)
        joined = self._numbers((*y.shape[:3], conv_of(module.expand).weight.shape[2])) if expands else y
        start = 0
        for source, branch in ((x, module.left), (pooled, module.small), (pooled, module.large)):
            units = [branch] if isinstance(branch, Unit) else branch.modules
            part = slice(start, start + conv_of(units[-1]).weight.shape[3])
            last = {"y": joined.part(part)} | ({} if expands else {"skip": skip.part(part)})
            self._units(source, units, [{}] * (len(units) - 1) + [last])
            start = part.stop
        if expands:
            self._units(joined, [module.expand], [{"y": y, "skip": skip}])

    # ------------------------------------------------------------------------------------------------- units

    def _units(self, x: Area, units: Sequence[Module], endings: Sequence[Ending]) -> None:
        """Units one after the other, and what each of them leaves besides what the next one wants."""
        folded = [fold(unit) for unit in units]
        if isinstance(folded[0], BinaryFolded):
            self._on_bits(x, folded, endings)
        else:
            self._on_numbers(x, folded, endings)

    def _on_bits(self, x: Area, units: Sequence[Any], endings: Sequence[Ending]) -> None:
        """Signs of x, then bits from convolution to convolution."""
        first = units[0]
        signs = self._words((*x.shape[:3], bits.word_count(x.shape[3])))
        self._step("threshold", x=x, threshold=first.threshold, flip=first.flip, out=signs)
        for unit, following, ending in zip(units, (*units[1:], None), endings, strict=True):
            out = signs
            compare: Ending = {}
            if following is not None:
                out = self._words((*x.shape[:3], bits.word_count(unit.width)))
                compare = {"bits": out, "threshold": following.threshold, "flip": following.flip}
            epilogue = unit.epilogue(**ending, **compare)
            size = {"channels": unit.channels, "stride": unit.stride, "padding": unit.padding}
            self._step("binary_conv2d", x=signs, w=unit.weights, **size, epilogue=epilogue)
            signs = out

    def _on_numbers(self, x: Area, units: Sequence[Any], endings: Sequence[Ending]) -> None:
        """The same where weights or activations are no bits."""
        source = x
        for unit, following, ending in zip(units, (*units[1:], None), endings, strict=True):
            taken = self._numbers(source.shape)
            self._step("line", x=source, scale=unit.scale, shift=unit.shift, sign=unit.sign, y=taken)
            result = None if following is None else self._numbers((*x.shape[:3], unit.width))
            epilogue = unit.epilogue(**(ending if result is None else {"y": result}))
            self._convolve(taken, unit.weights, unit.stride, unit.padding, epilogue)
            if result is not None and "y" in ending:
                self._step("add", x=result, other=ending["skip"], y=ending["y"])
            source = x if result is None else result

    def _convolve(self, x: Area, w: Array, stride: int, padding: int, epilogue: Epilogue) -> None:
        self._step("conv2d", x=x, w=w, stride=stride, padding=padding, epilogue=epilogue)

    def _conv2d(self, x: Area, module: Module, ending: Ending) -> Area:
        """The result of a unit, or of a convolution by itself, in an array of its own."""
        conv: Any = conv_of(module) if isinstance(module, Unit) else module
        stride, padding = conv.stride, conv.padding
        kernel_h, kernel_w, _, filters = conv.weight.shape
        out_h = conv_size(x.shape[1], kernel_h, stride, padding)
        out_w = conv_size(x.shape[2], kernel_w, stride, padding)
        y = self._numbers((x.shape[0], out_h, out_w, filters))
        stored: Ending = {"y": y, **ending}
        if conv is not module:
            self._units(x, [module], [stored])
        else:
            self._convolve(x, real_weights(conv), stride, padding, Epilogue(**after_sums(conv), **stored))
        return y

    def _pool(self, module: Module, x: Area) -> Area:
        n, height, width, channels = x.shape
        y = self._numbers((n, height // 2, width // 2, channels))
        self._step("avg_pool" if isinstance(module, AvgPool2d) else "max_pool", x=x, y=y)
        return y


def _normalised(norm: BatchNorm2d) -> Ending:
    """Batch norm and ReLU at the end of an epilogue."""
    line, shift = norm_line(norm)
    return {"scale": line, "shift": shift, "relu_last": True}
