"""From a network to the steps of a plan: every layer in order, and which memory it reads and writes.

The plan is any object with the steps of :class:`hbcore.kernels.plan.Plan`: what runs here, or what is written as C.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hbcore import bits
from hbcore.autograd.function import Array
from hbcore.bits import conv_size
from hbcore.deploy.folding import BinaryFolded, after_sums, conv_of, fold, norm_line, real_weights
from hbcore.deploy.memory import Memory
from hbcore.kernels.plan import Epilogue
from hbcore.nn.blocks import Bottleneck, Hierarchy, HPMBlock, MultiScale, Unit
from hbcore.nn.hourglass import Head, Hourglass, StackedHourglass
from hbcore.nn.layers import AvgPool2d, BatchNorm2d, BinaryConv2d, Conv2d, MaxPool2d, PReLU, ReLU, Upsample
from hbcore.nn.module import Identity, Module, Sequential

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


class Lowering:
    """Adds steps to a plan. Arrays given back to `memory` are used again by later steps."""

    def __init__(self, plan: Any) -> None:
        self.plan, self.memory = plan, Memory()

    def network(self, model: StackedHourglass, picture: Array) -> Array:
        """Heatmap logits of the last stack, for the picture in that array (N, H, W, 3)."""
        beginning, norm, _, first, pool, second, third = model.stem.modules
        assert isinstance(norm, BatchNorm2d)
        x = self._conv2d(picture, beginning, _normalised(norm))
        x = self._block(first, x)
        x = self._pool(pool, x)
        x = self._block(third, self._block(second, x))
        for stack, (hourglass, head) in enumerate(zip(model.hourglasses, model.heads, strict=True)):
            y = self._hourglass(hourglass, x, keep=stack + 1 < len(model.heads))
            lin, heatmaps = self._head(head, y)
            if stack < len(model.merge_features):
                merged = self.memory.numbers(x.shape)
                self._units(lin, [model.merge_features[stack]], [{"y": merged, "skip": x}])
                self.memory.give_back(x, lin)
                x = self._conv2d(heatmaps, model.merge_heatmaps[stack], {"skip": merged})
                self.memory.give_back(merged, heatmaps)
        return heatmaps

    def _hourglass(self, module: Hourglass, x: Array, keep: bool = False) -> Array:
        up1 = self._widened(x, module.filters) if module.improved else self._block(module.up1, x, keep=True)
        pool1 = self._pool(module.pool1, x, keep=keep)
        low1 = self._block(module.low1, pool1)
        inner = module.low2
        low2 = self._hourglass(inner, low1) if isinstance(inner, Hourglass) else self._block(inner, low1)
        low3 = self._block(module.low3, low2)
        if module.improved:  # side by side, not added
            self.plan.upsample(low3, up1[..., x.shape[3] :])
        else:
            self.plan.upsample_add(low3, up1)
        self.memory.give_back(low3)
        return up1

    def _widened(self, x: Array, channels: int) -> Array:
        """An array of more channels that begins with those of x."""
        y = self.memory.numbers((*x.shape[:3], channels))
        self.plan.copy(x, y[..., : x.shape[3]])
        return y

    def _head(self, module: Head, x: Array) -> tuple[Array, Array]:
        unit, norm, _ = module.lin.modules
        assert isinstance(norm, BatchNorm2d)
        x = self._block(module.block, x)
        lin = self._conv2d(x, unit, _normalised(norm))
        self.memory.give_back(x)
        return lin, self._conv2d(lin, module.heatmaps, {})

    # ------------------------------------------------------------------------------------------------ blocks

    def _block(self, module: Module, x: Array, keep: bool = False) -> Array:
        """The block's result; x may be used for something else from then on unless it is to be kept."""
        assert isinstance(module, HPMBlock | Bottleneck | MultiScale)
        skip = x if isinstance(module.skip, Identity) else self._conv2d(x, module.skip, {})
        # Nobody looks at a skip path again once something was added to it: it becomes the result.
        read_again = skip is x and (keep or (isinstance(module, HPMBlock) and len(module.paths) > 1))
        y = self.memory.numbers(x.shape) if read_again else skip
        if isinstance(module, HPMBlock):
            self._hpm(module, x, skip, y)
        elif isinstance(module, MultiScale):
            self._multiscale(module, x, skip, y)
        else:
            self._units(x, [module.reduce, module.spatial, module.expand], [{}, {}, {"y": y, "skip": skip}])
        if y is not x and not keep:
            self.memory.give_back(x)
        return y

    def _hpm(self, module: HPMBlock, x: Array, skip: Array, y: Array) -> None:
        """Each convolution adds its part of the skip path and hands its result on."""
        start = 0
        for path in module.paths:
            endings = []
            for unit in path.convs:
                part = slice(start, start + conv_of(unit).weight.shape[3])
                endings.append({"y": y[..., part], "skip": skip[..., part]})
                start = part.stop
            self._units(x, path.convs, endings)

    def _multiscale(self, module: MultiScale, x: Array, skip: Array, y: Array) -> None:
        """Three branches side by side, the second and third from pooled pixels; then a 1x1 unit, if there is one."""
        pool, _ = module.pool.modules
        small = self._pool(pool, x, keep=True)
        pooled = self.memory.numbers(x.shape)
        self.plan.upsample(small, pooled)
        self.memory.give_back(small)
        expands = not isinstance(module.expand, Identity)
        joined = self.memory.numbers((*y.shape[:3], conv_of(module.expand).weight.shape[2])) if expands else y
        start = 0
        for source, branch in ((x, module.left), (pooled, module.small), (pooled, module.large)):
            units = [branch] if isinstance(branch, Unit) else branch.modules
            part = slice(start, start + conv_of(units[-1]).weight.shape[3])
            last = {"y": joined[..., part]} | ({} if expands else {"skip": skip[..., part]})
            self._units(source, units, [{}] * (len(units) - 1) + [last])
            start = part.stop
        self.memory.give_back(pooled)
        if expands:
            self._units(joined, [module.expand], [{"y": y, "skip": skip}])
            self.memory.give_back(joined)

    # ------------------------------------------------------------------------------------------------- units

    def _units(self, x: Array, units: Sequence[Module], endings: Sequence[Ending]) -> None:
        """Units one after the other, and what each of them leaves besides what the next one wants."""
        folded = [fold(unit) for unit in units]
        if isinstance(folded[0], BinaryFolded):
            self._on_bits(x, folded, endings)
        else:
            self._on_numbers(x, folded, endings)

    def _on_bits(self, x: Array, units: Sequence[Any], endings: Sequence[Ending]) -> None:
        """Signs of x, then bits from convolution to convolution."""
        first = units[0]
        signs = self.memory.words((*x.shape[:3], bits.word_count(x.shape[3])))
        self.plan.threshold(x, first.threshold, first.flip, signs)
        for unit, following, ending in zip(units, (*units[1:], None), endings, strict=True):
            out = signs
            compare: Ending = {}
            if following is not None:
                out = self.memory.words((*x.shape[:3], bits.word_count(unit.width)))
                compare = {"bits": out, "threshold": following.threshold, "flip": following.flip}
            epilogue = unit.epilogue(**ending, **compare)
            self.plan.binary_conv2d(signs, unit.weights, unit.channels, unit.stride, unit.padding, epilogue)
            self.memory.give_back(signs)
            signs = out

    def _on_numbers(self, x: Array, units: Sequence[Any], endings: Sequence[Ending]) -> None:
        """The same where weights or activations are no bits."""
        source = x
        for unit, following, ending in zip(units, (*units[1:], None), endings, strict=True):
            taken = self.memory.numbers(source.shape)
            self.plan.line(source, unit.scale, unit.shift, unit.sign, taken)
            result = None if following is None else self.memory.numbers((*x.shape[:3], unit.width))
            epilogue = unit.epilogue(**(ending if result is None else {"y": result}))
            self.plan.conv2d(taken, unit.weights, unit.stride, unit.padding, epilogue)
            self.memory.give_back(taken)
            if result is not None and "y" in ending:
                self.plan.add(result, ending["skip"], ending["y"])
            if source is not x:
                self.memory.give_back(source)
            source = x if result is None else result

    def _conv2d(self, x: Array, module: Module, ending: Ending) -> Array:
        """The result of a unit, or of a convolution by itself, in an array of its own."""
        conv: Any = conv_of(module) if isinstance(module, Unit) else module
        stride, padding = conv.stride, conv.padding
        kernel_h, kernel_w, _, filters = conv.weight.shape
        out_h = conv_size(x.shape[1], kernel_h, stride, padding)
        out_w = conv_size(x.shape[2], kernel_w, stride, padding)
        y = self.memory.numbers((x.shape[0], out_h, out_w, filters))
        if conv is not module:
            self._units(x, [module], [{"y": y, **ending}])
        else:
            epilogue = Epilogue(y=y, **after_sums(conv), **ending)
            self.plan.conv2d(x, real_weights(conv), stride, padding, epilogue)
        return y

    def _pool(self, module: Module, x: Array, keep: bool = False) -> Array:
        n, height, width, channels = x.shape
        y = self.memory.numbers((n, height // 2, width // 2, channels))
        (self.plan.avg_pool if isinstance(module, AvgPool2d) else self.plan.max_pool)(x, y)
        if not keep:
            self.memory.give_back(x)
        return y


def _normalised(norm: BatchNorm2d) -> Ending:
    """Batch norm and ReLU at the end of an epilogue."""
    line, shift = norm_line(norm)
    return {"scale": line, "shift": shift, "relu_last": True}
