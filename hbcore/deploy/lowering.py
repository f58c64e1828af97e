"""From a network to the steps of a plan: every layer in order, and which memory it reads and writes.

The plan is any object with the steps of :class:`hbcore.kernels.plan.Plan`: what runs here, or what is written as C.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hbcore import bits
from hbcore.autograd.function import Array
from hbcore.bits import Words, conv_size
from hbcore.deploy.folding import FoldedUnit, norm_line
from hbcore.deploy.memory import Memory
from hbcore.kernels.plan import Epilogue
from hbcore.nn.blocks import Bottleneck, HPMBlock
from hbcore.nn.hourglass import Head, Hourglass, StackedHourglass
from hbcore.nn.layers import BatchNorm2d, Conv2d
from hbcore.nn.module import Identity, Module

Ending = dict[str, Any]  # fields of an Epilogue


class Lowering:
    """Adds steps to a plan. Arrays given back to `memory` are used again by later steps."""

    def __init__(self, plan: Any) -> None:
        self.plan, self.memory = plan, Memory()

    def network(self, model: StackedHourglass, picture: Array) -> Array:
        """Heatmap logits of the last stack, for the picture in that array (N, H, W, 3)."""
        conv, norm, _, first, _, second, third = model.stem.modules
        assert isinstance(norm, BatchNorm2d)
        x = self._conv2d(picture, conv, norm)
        x = self._block(first, x)
        x = self._pool(x)
        x = self._block(third, self._block(second, x))
        for stack, (hourglass, head) in enumerate(zip(model.hourglasses, model.heads, strict=True)):
            y = self._hourglass(hourglass, x, keep=stack + 1 < len(model.heads))
            lin, heatmaps = self._head(head, y)
            if stack < len(model.merge_features):
                merged = self.memory.numbers(x.shape)
                self._units(lin, [model.merge_features[stack]], [{"y": merged, "skip": x}])
                self.memory.give_back(x, lin)
                x = self._conv2d(heatmaps, model.merge_heatmaps[stack], skip=merged)
                self.memory.give_back(merged, heatmaps)
        return heatmaps

    def _hourglass(self, module: Hourglass, x: Array, keep: bool = False) -> Array:
        up1 = self._block(module.up1, x, keep=True)
        pool1 = self._pool(x, keep=keep)
        low1 = self._block(module.low1, pool1)
        inner = module.low2
        low2 = self._hourglass(inner, low1) if isinstance(inner, Hourglass) else self._block(inner, low1)
        low3 = self._block(module.low3, low2)
        self.plan.upsample_add(low3, up1)
        self.memory.give_back(low3)
        return up1

    def _head(self, module: Head, x: Array) -> tuple[Array, Array]:
        unit, norm, _ = module.lin.modules
        assert isinstance(norm, BatchNorm2d)
        x = self._block(module.block, x)
        lin = self.memory.numbers(x.shape)
        self._units(x, [unit], [{"y": lin, **_normalised(norm)}])
        self.memory.give_back(x)
        return lin, self._conv2d(lin, module.heatmaps)

    def _block(self, module: Module, x: Array, keep: bool = False) -> Array:
        """The block's result; x may be used for something else from then on unless it is to be kept."""
        assert isinstance(module, HPMBlock | Bottleneck)
        skip = x
        if not isinstance(module.skip, Identity):
            folded = FoldedUnit.of(module.skip)
            skip = self.memory.numbers((*x.shape[:3], folded.width))
            self._folded(x, [folded], [{"y": skip}])
        y = self.memory.numbers(skip.shape)
        if isinstance(module, HPMBlock):
            self._hpm(module, x, skip, y)
        else:
            self._units(x, [module.reduce, module.spatial, module.expand], [{}, {}, {"y": y, "skip": skip}])
        if skip is not x:
            self.memory.give_back(skip)
        if not keep:
            self.memory.give_back(x)
        return y

    def _hpm(self, module: HPMBlock, x: Array, skip: Array, y: Array) -> None:
        """Each convolution adds its part of the skip path and hands its signs on."""
        start = 0
        for path in module.paths:
            folded, endings = [FoldedUnit.of(unit) for unit in path.convs], []
            for unit in folded:
                part = slice(start, start + unit.width)
                endings.append({"y": y[..., part], "skip": skip[..., part]})
                start += unit.width
            self._folded(x, folded, endings)

    def _units(self, x: Array, units: Sequence[Module], endings: Sequence[Ending]) -> None:
        self._folded(x, [FoldedUnit.of(unit) for unit in units], endings)

    def _folded(self, x: Array, units: Sequence[FoldedUnit], endings: Sequence[Ending]) -> None:
        """Units one after the other: signs of x, then bits from convolution to convolution; what else each leaves."""
        first = units[0]
        signs = self._words(x, x.shape[3])
        self.plan.threshold(x, first.threshold, first.flip, signs)
        for unit, following, ending in zip(units, (*units[1:], None), endings, strict=True):
            out = signs
            compare: Ending = {}
            if following is not None:
                out = self._words(x, unit.width)
                compare = {"bits": out, "threshold": following.threshold, "flip": following.flip}
            epilogue = Epilogue(alpha=unit.alpha, relu=unit.relu, slope=unit.slope, **ending, **compare)
            self.plan.binary_conv2d(signs, unit.filters, unit.channels, unit.padding, epilogue)
            self.memory.give_back(signs)
            signs = out

    def _words(self, like: Array, channels: int) -> Words:
        return self.memory.words((*like.shape[:3], bits.word_count(channels)))

    def _conv2d(self, x: Array, conv: Module, norm: BatchNorm2d | None = None, skip: Array | None = None) -> Array:
        """Real-valued convolution with its bias, followed by batch norm and ReLU, or added to something."""
        assert isinstance(conv, Conv2d)
        w = conv.weight.data.copy()
        out_h = conv_size(x.shape[1], w.shape[0], conv.stride, conv.padding)
        out_w = conv_size(x.shape[2], w.shape[1], conv.stride, conv.padding)
        y = self.memory.numbers((x.shape[0], out_h, out_w, w.shape[3]))
        ending: Ending = {} if norm is None else _normalised(norm)
        bias = None if conv.bias is None else conv.bias.data.copy()
        self.plan.conv2d(x, w, conv.stride, conv.padding, Epilogue(y=y, bias=bias, skip=skip, **ending))
        return y

    def _pool(self, x: Array, keep: bool = False) -> Array:
        n, height, width, channels = x.shape
        y = self.memory.numbers((n, height // 2, width // 2, channels))
        self.plan.max_pool(x, y)
        if not keep:
            self.memory.give_back(x)
        return y


def _normalised(norm: BatchNorm2d) -> Ending:
    """Batch norm and ReLU at the end of an epilogue."""
    line, shift = norm_line(norm)
    return {"scale": line, "shift": shift, "relu_last": True}
