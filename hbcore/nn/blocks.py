"""Residual blocks of the paper, binary or real-valued by one switch.

Every convolution sits in a pre-activation :class:`Unit`:

    binary            batch norm -> sign -> binary convolution [-> ReLU or PReLU]
    only weights      batch norm -> ReLU -> convolution with alpha sign(W) [-> ReLU or PReLU]
    only activations  batch norm -> sign -> convolution with real weights [-> ReLU or PReLU]
    real-valued       batch norm -> ReLU -> convolution

The optional activation comes *after* a binary convolution, never before the sign: sign(ReLU(x)) would be constant.
With binary weights alone the unit is the real-valued one and the weights are all that changes.

"The paper" is Bulat & Tzimiropoulos, TPAMI 2018. Where a width or detail of one of its blocks is not known from a
public source, the docstring of the block says what was chosen and what supports it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from hbcore.autograd.function import grad_enabled
from hbcore.autograd.tensor import Tensor, concatenate, join
from hbcore.binary.partial import partial_unit
from hbcore.binary.unit import binary_unit
from hbcore.nn.layers import (
    ACTIVATIONS,
    BINARIZE,
    POOLS,
    BatchNorm2d,
    BinaryConv2d,
    Conv2d,
    ReLU,
    Upsample,
    activation,
)
from hbcore.nn.module import Identity, Module, Sequential
from hbcore.values import choice, switch, whole

_SHARED = np.random.default_rng(0)


@dataclass(frozen=True)
class Style:
    """How units and blocks are made: the choices that a whole network shares.

    binary: 1-bit weights and activations, or the real-valued twin. activation: "none", "relu" (the paper's best) or
    "prelu" (its follow-up), after each binary convolution. binarize and the weight options are those of BinaryConv2d.
    layers, cardinality: of HPM blocks. pool: "max" or "avg", every pooling of the network. real_skip: see
    :func:`shortcut`. rng: what weights are drawn from; styles without one share a generator, and so go on with each
    other's numbers. ValueError names what is no such choice.
    """

    binary: bool = True
    activation: str = "none"
    center_weights: bool = False
    clamp_weights: bool = True
    rng: np.random.Generator = field(default_factory=lambda: _SHARED)
    scale: bool = True
    binarize: str = "both"
    layers: int = 3
    cardinality: int = 1
    pool: str = "max"
    real_skip: bool = False

    def __post_init__(self) -> None:
        for name in ("binary", "center_weights", "clamp_weights", "scale", "real_skip"):
            switch(name, getattr(self, name))
        for name, known in {"activation": ACTIVATIONS, "binarize": BINARIZE, "pool": POOLS}.items():
            choice(name, getattr(self, name), known)
        whole("layers", self.layers)
        whole("cardinality", self.cardinality)

    def conv(self, channels: int, filters: int, kernel: int, stride: int = 1, bias: bool = False) -> Module:
        """A convolution, binary or not, that keeps height and width (divided by the stride)."""
        padding = kernel // 2
        if not self.binary:
            return Conv2d(channels, filters, kernel, self.rng, stride, padding, bias)
        return BinaryConv2d(
            channels,
            filters,
            kernel,
            self.rng,
            stride,
            padding,
            center_weights=self.center_weights,
            clamp_weights=self.clamp_weights,
            scaled=self.scale,
            binarize=self.binarize,
            bias=bias,
        )


class Unit(Sequential):
    """Batch norm, non-linearity, convolution: (N, H, W, channels) -> (N, H / stride, W / stride, filters)."""

    def __init__(
        self, channels: int, filters: int, kernel: int, style: Style, stride: int = 1, bias: bool = False
    ) -> None:
        signs = style.binary and style.binarize != "weights"  # the convolution takes the signs itself
        between = [] if signs else [ReLU()]
        after = activation(style.activation, filters) if style.binary else []
        conv = style.conv(channels, filters, kernel, stride, bias)
        super().__init__(BatchNorm2d(channels), *between, conv, *after)

    def forward(self, x: Tensor) -> Tensor:
        norm, conv, *rest = self.modules
        # Exactly these: what a subclass does otherwise would be left out.
        if not (type(norm) is BatchNorm2d and type(conv) is BinaryConv2d and self._in_one(norm, conv)):
            return super().forward(x)
        operands = x, norm.gamma, norm.beta, conv.weight, norm.eps, conv.padding, conv.gradients
        if conv.all_bits:
            y, mean, variance = binary_unit(*operands)
        else:
            y, mean, variance = partial_unit(*operands, conv.sharpness, real=conv.binarize == "activations")
        norm.follow(mean, variance, pixels=x.data.size // mean.size)
        for module in rest:
            y = module(y)
        return y

    def _in_one(self, norm: BatchNorm2d, conv: BinaryConv2d) -> bool:
        """Whether a unit of signs can go through in one step: in training, unless somebody looks between its layers."""
        if not (conv.scaled and conv.stride == 1 and conv.bias is None):
            return False
        return norm.training and grad_enabled() and norm.observer is None and conv.observer is None


def keep_size_pool(style: Style) -> Sequential:
    """Pooling of 2 x 2 pixels that keeps the size: each pixel becomes the largest (or the mean) of its window."""
    return Sequential(POOLS[style.pool](), Upsample())


def shortcut(channels: int, filters: int, style: Style) -> Module:
    """Skip path of a block: nothing where the widths agree, else a 1x1 unit, which style.real_skip makes real-valued.

    Numbers go from block to block along these paths; a binary unit in one of them passes no more than their signs.
    """
    if channels == filters:
        return Identity()
    return Unit(channels, filters, 1, replace(style, binary=False) if style.real_skip else style)


class Bottleneck(Module):
    """1x1 to a middle width, 3x3, 1x1 back, plus the skip path (He et al. 2016).

    middle: half of the filters is the classic bottleneck (block (a) of the paper), all of them its "wider" (b).
    kernel: of the outer two convolutions; 3 leaves no 1x1 filter.
    """

    def __init__(self, channels: int, filters: int, style: Style, middle: int | None = None, kernel: int = 1) -> None:
        middle = whole("middle", whole("filters", filters) // 2 if middle is None else middle)
        self.reduce = Unit(channels, middle, kernel, style)
        self.spatial = Unit(middle, middle, 3, style)
        self.expand = Unit(middle, filters, kernel, style)
        self.skip = shortcut(channels, filters, style)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.expand(self.spatial(self.reduce(x))) + self.skip(x)
        return y


def wider(channels: int, filters: int, style: Style) -> Bottleneck:
    """Block (b): a bottleneck without the narrow part, 1x1, 3x3, 1x1 at full width."""
    return Bottleneck(channels, filters, style, middle=filters)


def bottleneck_no1x1(channels: int, filters: int, style: Style) -> Bottleneck:
    """The paper's control of about 5.8M parameters: a bottleneck with 3x3 filters only.

    Its widths are not known. Three 3x3 convolutions with a middle of 5/18 of the filters (71 of 256) give 5.79M; the
    figure 5.8M itself is recalled with low certainty, the shape is a guess.
    """
    return Bottleneck(channels, filters, style, middle=max(1, 5 * filters // 18), kernel=3)


class MultiScale(Module):
    """Two branches side by side, of several receptive fields (blocks (c) and (d) of the paper).

        left:   [1x1 ->] 3x3            right:  pool -> 3x3 beside 3x3 -> 3x3 (a 5x5 filter in two steps)

    joined: half left, a quarter from each part of the right, plus the skip path. With `pointwise` (c) the joined width
    is half of the filters, the left branch begins with a 1x1 and a 1x1 brings the result to the full width; without (d)
    there is no 1x1 but in the skip path, and the joined width is that of the filters.

    The paper's exact widths are not public: these give 3.78M and 9.47M parameters for the whole network at 256
    features, where about 4.0M and 9.3M are recalled (medium certainty). How its max-pooling keeps the size of the map
    is unknown; here it is 2 x 2 pooling and nearest up-sampling, so heights and widths must be even.
    """

    def __init__(self, channels: int, filters: int, style: Style, pointwise: bool) -> None:
        width = filters // 2 if pointwise else filters
        if width < 4 or width % 4:
            raise ValueError(f"a multi-scale block splits its width into 1/2, 1/4, 1/4: {width} is not a multiple of 4")
        if pointwise:
            self.left = Sequential(Unit(channels, width // 2, 1, style), Unit(width // 2, width // 2, 3, style))
        else:
            self.left = Sequential(Unit(channels, width // 2, 3, style))
        self.pool = keep_size_pool(style)
        self.small = Unit(channels, width // 4, 3, style)
        self.large = Sequential(Unit(channels, width // 4, 3, style), Unit(width // 4, width // 4, 3, style))
        self.expand = Unit(width, filters, 1, style) if pointwise else Identity()
        self.skip = shortcut(channels, filters, style)

    def forward(self, x: Tensor) -> Tensor:
        pooled = self.pool(x)
        joined = concatenate([self.left(x), self.small(pooled), self.large(pooled)])
        y: Tensor = self.expand(joined) + self.skip(x)
        return y


def multiscale(channels: int, filters: int, style: Style) -> MultiScale:
    """Block (c)."""
    return MultiScale(channels, filters, style, pointwise=True)


def multiscale_no1x1(channels: int, filters: int, style: Style) -> MultiScale:
    """Block (d): (c) with all its 1x1 filters removed."""
    return MultiScale(channels, filters, style, pointwise=False)


class Hierarchy(Module):
    """3x3 convolutions in a row, of which every result counts: x -> [o1, o2, ...] with o1 = conv1(x), o2 = conv2(o1).

    Each has half the channels of the one before, the last two are equal: `width` in all.
    """

    def __init__(self, channels: int, width: int, style: Style) -> None:
        for number in range(1, style.layers + 1):
            filters = width >> min(number, style.layers - 1)
            setattr(self, f"conv{number}", Unit(channels, filters, 3, style))
            channels = filters

    @property
    def convs(self) -> list[Unit]:
        return [module for name, module in self.children() if name.startswith("conv") and isinstance(module, Unit)]

    def results(self, x: Tensor) -> list[Tensor]:
        results = []
        for conv in self.convs:
            x = conv(x)
            results.append(x)
        return results


class HPMBlock(Hierarchy):
    """The paper's hierarchical, parallel, multi-scale block (its final block, section 4).

    Three 3x3 convolutions in a row, each with its own exit to the output, so that every filter is one step away from
    the block's result and receptive fields of 3, 5 and 7 pixels stand side by side:

        o1 = conv1(x),  o2 = conv2(o1),  o3 = conv3(o2),   y = concatenate(o1, o2, o3) + skip(x)

    with 1/2, 1/4 and 1/4 of the filters. style.layers: 3 to 6 such convolutions, the widths halving, the last two equal
    (6.22M, 6.08M, 6.04M, 6.03M parameters for the whole network). style.cardinality: so many hierarchies side by side,
    each with its share of the filters and each reading the whole input, as the paths of ResNeXt do (that much of the
    paper is recalled with medium certainty); `others` are all but the first.
    """

    def __init__(self, channels: int, filters: int, style: Style) -> None:
        paths = style.cardinality
        require_split(filters, style.layers, paths)
        super().__init__(channels, filters // paths, style)
        self.others = [Hierarchy(channels, filters // paths, style) for _ in range(paths - 1)]
        self.skip = shortcut(channels, filters, style)

    @property
    def paths(self) -> list[Hierarchy]:
        return [self, *self.others]

    def forward(self, x: Tensor) -> Tensor:
        return join([result for path in self.paths for result in path.results(x)], self.skip(x))


def require_split(filters: int, layers: int, cardinality: int) -> None:
    """ValueError unless HPM blocks of so many filters can be cut into so many paths and layers."""
    parts = cardinality << (layers - 1)
    if filters < parts or filters % parts:
        kind = f"an HPM block of {layers} layers and cardinality {cardinality}"
        raise ValueError(f"{kind} cannot split its filters evenly: {filters} is not a multiple of {parts}")


BLOCKS: dict[str, Callable[[int, int, Style], Module]] = {
    "bottleneck": Bottleneck,
    "wider": wider,
    "multiscale": multiscale,
    "multiscale_no1x1": multiscale_no1x1,
    "bottleneck_no1x1": bottleneck_no1x1,
    "hpm": HPMBlock,
}


def block_named(name: str) -> Callable[[int, int, Style], Module]:
    """What makes blocks of that name: (channels, filters, style) -> block. ValueError names all if there is none."""
    return BLOCKS[choice("block", name, BLOCKS)]


MULTI_SCALE = "multiscale", "multiscale_no1x1"  # these halve the map within the block
