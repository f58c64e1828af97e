"""Inference without autograd: a trained network folded once into a plan, which one call runs from picture to heatmaps.

Folding. In evaluation, batch norm and sign of a number x are the question whether  v = scale x + shift  is negative.
Rounded or not, v never falls (scale > 0) or never rises (scale < 0) with x, so there is one number t with

    v < 0  <=>  (x < t) xor flip

:func:`threshold` finds it by bisection over all float32, with the very arithmetic of the layer it replaces: no tie, no
negative gamma and no rounding comes out differently. What is left of a unit is a comparison, a binary convolution and
its scale; bits go from convolution to convolution, and floats exist only in the residual stream. All memory is laid out
when the plan is made. The result is that of ``model.eval()(picture)`` to the last bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from hbcore import bits, kernels
from hbcore.autograd.function import Array
from hbcore.bits import Words, conv_size
from hbcore.nn.blocks import BLOCKS, MULTI_SCALE, Bottleneck, HPMBlock, Unit
from hbcore.nn.hourglass import Head, Hourglass, StackedHourglass
from hbcore.nn.layers import BatchNorm2d, BinaryConv2d, Conv2d, PReLU, ReLU
from hbcore.nn.module import Identity, Module

End = dict[str, Any]  # what becomes of a sum, see csrc/kernels.h, hb_epilogue


def norm_line(norm: BatchNorm2d) -> tuple[Array, Array]:
    """(scale, shift) of a batch norm in evaluation, rounded as :class:`hbcore.norm.FixedNorm` rounds them."""
    r = 1 / np.sqrt(norm.running_variance + norm.running_variance.dtype.type(norm.eps))
    gamma, beta = norm.gamma.data, norm.beta.data
    return gamma * r, beta - gamma * r * norm.running_mean


def threshold(scale: Array, shift: Array) -> tuple[Array, Array]:
    """(t, flip) such that scale x + shift < 0, in float32, exactly where (x < t) xor flip; one per channel.

    Bisection over the float32 in their order: as integers, sign and magnitude turned into one rising sequence.
    """
    rising = np.where(scale < 0, np.float32(-1), np.float32(1))
    # The smallest x (largest for a falling line) at which the line is not negative; infinity if there is none.
    low = np.full(scale.shape, _rank(np.float32(-np.inf)))
    high = np.full(scale.shape, _rank(np.float32(np.inf)) + 1)
    while (low < high).any():
        middle = (low + high) // 2
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            x = rising * _unrank(middle)
            reached = ~(scale * x + shift < 0)
        high = np.where((low < high) & reached, middle, high)
        low = np.where((low < high) & ~reached, middle + 1, low)
    edge = _unrank(np.minimum(low, _rank(np.float32(np.inf))))
    never = low > _rank(np.float32(np.inf))  # negative even at infinity
    flip = rising < 0
    # Falling: negative where -x < edge, that is where x > -edge: not where x < next(-edge).
    t = np.where(flip, np.nextafter(-edge, np.float32(np.inf)), edge)
    # Always negative: x < NaN never holds, and flip makes it always.
    return np.where(never, np.float32(np.nan), t).astype(np.float32), np.where(never, True, flip)


def _rank(x: Array | np.float32) -> Array:
    """The place of float32 numbers in their order, -0 and +0 being the same place."""
    raw = np.asarray(x, dtype=np.float32).view(np.int32).astype(np.int64)
    return np.where(raw < 0, -(raw & 0x7FFFFFFF), raw)


def _unrank(rank: Array) -> Array:
    raw = np.where(rank < 0, -rank | 0x80000000, rank)
    return raw.astype(np.uint32).view(np.float32)


@dataclass(frozen=True, eq=False)
class Signs:
    """What to compare with before a binary convolution."""

    threshold: Array  # (padded C,)
    flip: Words  # (words,)

    @classmethod
    def of(cls, unit: Module) -> Signs:
        """The signs that a binary unit takes of its input."""
        assert isinstance(unit, Unit)
        norm = unit.modules[0]
        assert isinstance(norm, BatchNorm2d)
        t, flip = threshold(*norm_line(norm))
        return cls(kernels.padded(t), bits.pack_bits(flip))


class Engine:
    """A network ready to run on pictures of one size: engine(pictures) -> heatmap logits of the last stack.

    model: a binary StackedHourglass in float32; its weights are copied. Raises ValueError for a network that is not
    binary, a choice of its architecture that plans have no steps for (multi-scale blocks, improved hourglass, average
    pooling, half-binary convolutions, binary ends), sizes that do not fit, or weights that are not finite, and
    RuntimeError without wide kernels. Not to be called from two threads at a time: its memory is one.
    """

    def __init__(self, model: StackedHourglass, height: int, width: int, batch: int = 1) -> None:
        if not model.architecture["binary"]:
            raise ValueError("only binary networks can be deployed: this one is the real-valued twin")
        for name, array in model.state_dict().items():
            if array.dtype != np.float32:
                raise ValueError(f"{name} is {array.dtype}: deploy a network in float32")
            if not np.isfinite(array).all():
                raise ValueError(f"{name} is not finite")
        self._require_supported(model)
        step = model.multiple
        if batch < 1 or height < step or width < step or height % step or width % step:
            raise ValueError(
                f"this network takes heights and widths that are multiples of {step}, got {height} x {width}"
            )
        self.plan = kernels.new_plan()
        self.memory = _Memory()
        self.picture = np.zeros((batch, height, width, 3), dtype=np.float32)
        self.heatmaps = self._network(model)

    @staticmethod
    def _require_supported(model: StackedHourglass) -> None:
        """ValueError naming the first choice of the architecture that no plan has steps for."""
        known: dict[str, tuple[Any, ...]] = {
            "block": tuple(name for name in BLOCKS if name not in MULTI_SCALE),
            "hourglass": ("plain",),
            "pool": ("max",),
            "binarize": ("both",),
            "binary_ends": (False,),
            "sharpness": (None,),
        }
        for name, values in known.items():
            value = model.architecture[name]
            if value not in values:
                raise ValueError(
                    f"networks with {name} = {value!r} cannot be deployed, only with {' or '.join(map(repr, values))}: "
                    "use the network itself"
                )

    def __call__(self, pictures: Array) -> Array:
        """(N, H, W, 3) float32 -> (N, H / 4, W / 4, joints); N is the batch the engine was made for."""
        if pictures.shape != self.picture.shape:
            raise ValueError(f"this engine takes pictures {self.picture.shape}, got {pictures.shape}")
        if not np.isfinite(pictures).all():
            raise FloatingPointError("NaN has no sign: the picture holds numbers that are not finite")
        self.picture[...] = pictures
        self.plan.run()
        return self.heatmaps.copy()

    # ------------------------------------------------------------------------------------------- the network

    def _network(self, model: StackedHourglass) -> Array:
        conv, norm, _, first, _, second, third = model.stem.modules
        assert isinstance(conv, Conv2d)
        assert isinstance(norm, BatchNorm2d)
        x = self._conv2d(self.picture, conv, norm)
        x = self._block(first, x)
        x = self._pool(x)
        x = self._block(third, self._block(second, x))
        for stack, (hourglass, head) in enumerate(zip(model.hourglasses, model.heads, strict=True)):
            y = self._hourglass(hourglass, x, keep=stack + 1 < len(model.heads))
            lin, heatmaps = self._head(head, y)
            if stack < len(model.merge_features):
                merged = self.memory.numbers(x.shape)
                self._unit(model.merge_features[stack], lin, {"y": merged, "skip": x})
                self.memory.give_back(x, lin)
                x = self._conv2d(heatmaps, model.merge_heatmaps[stack], skip=merged)
                self.memory.give_back(merged, heatmaps)
        return heatmaps

    def _hourglass(self, module: Hourglass, x: Array, keep: bool = False) -> Array:
        up1 = self._block(module.up1, x, keep=True)
        pool1 = self._pool(x, keep=keep)
        low1 = self._block(module.low1, pool1)
        low2 = (
            self._hourglass(module.low2, low1) if isinstance(module.low2, Hourglass) else self._block(module.low2, low1)
        )
        low3 = self._block(module.low3, low2)
        self.plan.upsample_add(low3, up1)
        self.memory.give_back(low3)
        return up1

    def _head(self, module: Head, x: Array) -> tuple[Array, Array]:
        unit, norm, _ = module.lin.modules
        assert isinstance(norm, BatchNorm2d)
        x = self._block(module.block, x)
        line, shift = norm_line(norm)
        lin = self.memory.numbers(x.shape)
        end = {"y": lin, "scale": kernels.padded(line), "shift": kernels.padded(shift), "relu_last": True}
        self._unit(unit, x, end)
        self.memory.give_back(x)
        return lin, self._conv2d(lin, module.heatmaps)

    # -------------------------------------------------------------------------------------------- the blocks

    def _block(self, module: Module, x: Array, keep: bool = False) -> Array:
        """The block's result; x may be used for something else from then on unless it is to be kept."""
        assert isinstance(module, HPMBlock | Bottleneck)
        skip = x
        if not isinstance(module.skip, Identity):
            skip = self.memory.numbers((*x.shape[:3], _conv(module.skip).weight.shape[3]))
            self._unit(module.skip, x, {"y": skip})
        y = self.memory.numbers(skip.shape)
        if isinstance(module, HPMBlock):
            self._hpm(module, x, skip, y)
        else:
            between = self._signs(x, module.reduce)
            for unit, following in ((module.reduce, module.spatial), (module.spatial, module.expand)):
                between = self._unit_on_bits(unit, between, {}, following)
            self._unit_on_bits(module.expand, between, {"y": y, "skip": skip})
        if skip is not x:
            self.memory.give_back(skip)
        if not keep:
            self.memory.give_back(x)
        return y

    def _hpm(self, module: HPMBlock, x: Array, skip: Array, y: Array) -> None:
        """Each convolution adds its part of the skip path and hands its signs on."""
        start = 0
        for path in module.paths:
            units = path.convs
            signs = self._signs(x, units[0])
            for unit, following in zip(units, (*units[1:], None), strict=True):
                stop = start + _conv(unit).weight.shape[3]
                part = slice(start, stop)
                signs = self._unit_on_bits(unit, signs, {"y": y[..., part], "skip": skip[..., part]}, following)
                start = stop

    def _unit(self, unit: Module, x: Array, end: End) -> None:
        self._unit_on_bits(unit, self._signs(x, unit), end)

    def _signs(self, x: Array, unit: Module) -> Words:
        """The signs of x as this unit sees them."""
        out = self.memory.words((*x.shape[:3], bits.word_count(x.shape[3])))
        compare = Signs.of(unit)
        self.plan.threshold(x, compare.threshold, compare.flip, out)
        return out

    def _unit_on_bits(self, unit: Module, signs: Words, end: End, following: Module | None = None) -> Words:
        """A binary convolution; the signs of its result for the unit that follows, if one does. Uses `signs` up."""
        conv = _conv(unit)
        w = conv.weight.data
        end = {**end, "alpha": kernels.padded(conv.alpha), **_activation(unit)}
        out = signs
        if following is not None:
            compare = Signs.of(following)
            out = self.memory.words((*signs.shape[:3], bits.word_count(w.shape[3])))
            end |= {"bits": out, "threshold": compare.threshold, "flip": compare.flip}
        self.plan.binary_conv2d(signs, kernels.side_by_side(w), w.shape[2], conv.padding, end)
        self.memory.give_back(signs)
        return out

    # --------------------------------------------------------------------------------------- the real-valued

    def _conv2d(self, x: Array, conv: Module, norm: BatchNorm2d | None = None, skip: Array | None = None) -> Array:
        """Convolution with its bias, or with batch norm and ReLU, or added to something."""
        assert isinstance(conv, Conv2d)
        w = conv.weight.data
        out_h = conv_size(x.shape[1], w.shape[0], conv.stride, conv.padding)
        out_w = conv_size(x.shape[2], w.shape[1], conv.stride, conv.padding)
        y = self.memory.numbers((x.shape[0], out_h, out_w, w.shape[3]))
        end: End = {"y": y}
        if conv.bias is not None:
            end["bias"] = kernels.padded(conv.bias.data)
        if skip is not None:
            end["skip"] = skip
        if norm is not None:
            line, shift = norm_line(norm)
            end |= {"scale": kernels.padded(line), "shift": kernels.padded(shift), "relu_last": True}
        self.plan.conv2d(x, w, conv.stride, conv.padding, out_h, out_w, end)
        return y

    def _pool(self, x: Array, keep: bool = False) -> Array:
        n, height, width, channels = x.shape
        y = self.memory.numbers((n, height // 2, width // 2, channels))
        self.plan.max_pool(x, y)
        if not keep:
            self.memory.give_back(x)
        return y


def _conv(unit: Module) -> BinaryConv2d:
    assert isinstance(unit, Unit)
    conv = unit.modules[1]
    assert isinstance(conv, BinaryConv2d)
    return conv


def _activation(unit: Module) -> End:
    assert isinstance(unit, Unit)
    for module in unit.modules[2:]:
        if isinstance(module, PReLU):
            return {"slope": kernels.padded(module.slope.data)}
        if isinstance(module, ReLU):
            return {"relu": True}
    return {}


class _Memory:
    """Arrays that are used again once they are given back: the plan runs in order, so one array serves many layers."""

    def __init__(self) -> None:
        self.free: dict[tuple[tuple[int, ...], str], list[Array]] = {}
        self.bytes = 0

    def numbers(self, shape: tuple[int, ...]) -> Array:
        return self._take(shape, np.float32)

    def words(self, shape: tuple[int, ...]) -> Words:
        return self._take(shape, np.uint64)

    def _take(self, shape: tuple[int, ...], dtype: type) -> Array:
        known = self.free.get((shape, np.dtype(dtype).str))
        if known:
            return known.pop()
        self.bytes += int(np.prod(shape)) * np.dtype(dtype).itemsize
        return np.zeros(shape, dtype=dtype)

    def give_back(self, *arrays: Array) -> None:
        for array in arrays:
            self.free.setdefault((array.shape, array.dtype.str), []).append(array)
