"""Hourglass networks (Newell et al. 2016) out of the paper's blocks: from a picture to one heatmap per landmark."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np

from hbcore.autograd.conv import require_pictures
from hbcore.autograd.tensor import Tensor, arrays_of, concatenate
from hbcore.nn.architecture import check_architecture, input_multiple
from hbcore.nn.blocks import Style, Unit, block_named
from hbcore.nn.layers import POOLS, BatchNorm2d, BinaryConv2d, Conv2d, ReLU, Upsample
from hbcore.nn.module import Identity, Module, Parameter, Sequential
from hbcore.values import whole


class Hourglass(Module):
    """Down to 1 / 2^depth of the resolution and up again, with a skip branch at every level; names as in the figure.

    (N, H, W, features) -> (N, H, W, filters); H and W must be multiples of 2^depth, else ValueError.

    Plain: a block on the skip branch, added to what comes up; filters = features. Improved (TPAMI 2018): no block on
    the skip branch, concatenated with what comes up, so filters = 2 features; the block behind each such merge takes
    both and brings them back to `features`, its own skip path by a 1x1 unit as wherever a block changes the width.
    """

    def __init__(self, depth: int, features: int, block: str, style: Style, improved: bool = False) -> None:
        depth, features = whole("depth", depth), whole("features", features)
        self.depth, self.improved = depth, improved
        self.filters = 2 * features if improved else features
        make = block_named(block)
        self.up1 = Identity() if improved else make(features, features, style)
        self.pool1 = POOLS[style.pool]()
        self.low1 = make(features, features, style)
        inner = Hourglass(depth - 1, features, block, style, improved) if depth > 1 else None
        self.low2 = inner or make(features, features, style)
        self.low3 = make(inner.filters if inner else features, features, style)
        self.up2 = Upsample()

    def forward(self, x: Tensor) -> Tensor:
        _require_multiple(x, 2**self.depth)
        up1 = self.up1(x)
        pool1 = self.pool1(x)
        low1 = self.low1(pool1)
        low2 = self.low2(low1)
        low3 = self.low3(low2)
        up2 = self.up2(low3)
        y: Tensor = concatenate([up1, up2]) if self.improved else up1 + up2
        return y


class Head(Module):
    """One block and a 1x1 "lin" unit (batch norm, ReLU), then heatmaps by a 1x1 convolution.

    That convolution is real-valued, or with binary_ends a unit like all others: lin is never negative, but the unit's
    batch norm centres it before the sign. A real bias per heatmap stays. real_lin: the unit of lin is real-valued,
    which gives narrow networks back much of what they lose at this end.
    """

    def __init__(
        self,
        channels: int,
        features: int,
        joints: int,
        block: str,
        style: Style,
        binary_ends: bool = False,
        real_lin: bool = False,
    ) -> None:
        self.block = block_named(block)(channels, features, style)
        unit = Unit(features, features, 1, replace(style, binary=False) if real_lin else style)
        self.lin = Sequential(unit, BatchNorm2d(features), ReLU())
        self.heatmaps = _end(features, joints, style, binary_ends)

    @property
    def bias(self) -> Parameter:
        """The bias of the heatmaps (joints,)."""
        conv = self.heatmaps.modules[-1] if isinstance(self.heatmaps, Unit) else self.heatmaps
        assert isinstance(conv, BinaryConv2d | Conv2d)
        assert conv.bias is not None
        return conv.bias

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(N, h, w, channels) -> (features (N, h, w, features), heatmap logits (N, h, w, joints))."""
        lin = self.lin(self.block(x))
        return lin, self.heatmaps(lin)


class StackedHourglass(Module):
    """Stem, then `stacks` hourglasses that each predict heatmaps (intermediate supervision).

    Picture (N, H, W, 3) in [0, 1] -> a list of `stacks` tensors of heatmap logits (N, H / 4, W / 4, joints); the last
    is the network's answer. H and W must be multiples of `multiple`, else ValueError. Between stacks: x + lin +
    heatmaps, each brought back to `features` channels by a 1x1 convolution.

    Only the stem, the heatmap convolutions and (with several stacks) the way back from heatmaps are real-valued, unless
    real_lin and real_skip add to them. With
    256 features, 16 joints and one stack of HPM blocks this is the authors' released topology: 54 binary convolutions
    with 6,207,488 weights, 6,236,560 trainable parameters.

    The choices that the paper compares are arguments; ValueError names one that is unknown or contradicts another:

    block, layers, cardinality   see :mod:`hbcore.nn.blocks`; the latter two are of "hpm" only
    hourglass                    "plain" or "improved", see :class:`Hourglass`
    pool                         "max" or "avg"
    binary                       or the real-valued twin, with ReLU for signs
    activation, scale, binarize  of every binary convolution, see :class:`hbcore.nn.layers.BinaryConv2d`, `Style`
    binary_ends                  no real-valued convolution is left. The first takes the signs of the picture after a
                                 batch norm, which learns one threshold per colour (with binary weights alone: the
                                 picture as it is); the last, and the way back from heatmaps, are units like all others
    stem                         filters of the first convolution; None: a quarter of the features, as in the paper.
                                 The blocks behind it have as many where that is more than half of the features
    real_lin                     see :class:`Head`
    real_skip                    1x1 shortcuts are real-valued, see :func:`hbcore.nn.blocks.shortcut`
    sharpness                    None, or that of a smooth sign: a network in the middle of its training

    architecture: the arguments that rebuild this network, for model files.
    """

    def __init__(
        self,
        features: int = 256,
        joints: int = 16,
        stacks: int = 1,
        depth: int = 4,
        block: str = "hpm",
        binary: bool = True,
        activation: str = "none",
        center_weights: bool = False,
        clamp_weights: bool = True,
        seed: int = 0,
        *,
        layers: int = 3,
        cardinality: int = 1,
        hourglass: str = "plain",
        pool: str = "max",
        scale: bool = True,
        binarize: str = "both",
        binary_ends: bool = False,
        stem: int | None = None,
        real_lin: bool = False,
        real_skip: bool = False,
        sharpness: float | None = None,
    ) -> None:
        self.architecture = known = check_architecture(
            features=features,
            joints=joints,
            stacks=stacks,
            depth=depth,
            block=block,
            binary=binary,
            activation=activation,
            center_weights=center_weights,
            clamp_weights=clamp_weights,
            layers=layers,
            cardinality=cardinality,
            hourglass=hourglass,
            pool=pool,
            scale=scale,
            binarize=binarize,
            binary_ends=binary_ends,
            stem=stem,
            real_lin=real_lin,
            real_skip=real_skip,
            sharpness=sharpness,
        )
        of_style = (field.name for field in fields(Style) if field.name in known)
        style = Style(rng=np.random.default_rng(seed), **{name: known[name] for name in of_style})
        make = block_named(block)
        first = stem or features // 4
        second = max(first, features // 2)
        self.stem = Sequential(
            _beginning(first, style, binary_ends),
            BatchNorm2d(first),
            ReLU(),
            make(first, second, style),
            POOLS[pool](),
            make(second, second, style),
            make(second, features, style),
        )
        improved = hourglass == "improved"
        self.hourglasses = [Hourglass(depth, features, block, style, improved) for _ in range(stacks)]
        merged = self.hourglasses[0].filters
        self.heads = [Head(merged, features, joints, block, style, binary_ends, real_lin) for _ in range(stacks)]
        self.merge_features = [Unit(features, features, 1, style) for _ in range(stacks - 1)]
        self.merge_heatmaps = [_end(joints, features, style, binary_ends) for _ in range(stacks - 1)]
        if sharpness is not None:
            self.quantize(binarize, sharpness)

    @property
    def multiple(self) -> int:
        """Heights and widths of pictures must be multiples of this."""
        return input_multiple(self.architecture["depth"], self.architecture["block"])

    def quantize(self, binarize: str, sharpness: float | None = None) -> None:
        """Change between steps of training what is binary, "both" or "activations", and the sharpness of the sign.

        ValueError for a network without binary activations.
        """
        known = self.architecture
        changed = check_architecture(**known | {"binarize": binarize, "sharpness": sharpness})
        if "weights" in (binarize, known["binarize"]) and binarize != known["binarize"]:
            raise ValueError("a network of which only the weights are binary has other layers: build it anew")
        for _, module in self.named_modules():
            if isinstance(module, BinaryConv2d):
                module.binarize, module.sharpness = changed["binarize"], changed["sharpness"]
        known.update(changed)

    def forward(self, picture: Tensor) -> list[Tensor]:
        _require_multiple(picture, self.multiple)
        x = self.stem(picture)
        predictions = []
        for stack, (hourglass, head) in enumerate(zip(self.hourglasses, self.heads, strict=True)):
            lin, heatmaps = head(hourglass(x))
            predictions.append(heatmaps)
            if stack < len(self.merge_features):
                x = x + self.merge_features[stack](lin) + self.merge_heatmaps[stack](heatmaps)
        return predictions


def _beginning(filters: int, style: Style, binary_ends: bool) -> Module:
    """The first convolution, 7x7 with stride 2: real-valued, or see StackedHourglass."""
    if not binary_ends:
        return Conv2d(3, filters, 7, style.rng, stride=2, padding=3)
    if style.binarize == "weights":
        return style.conv(3, filters, 7, stride=2)
    return Unit(3, filters, 7, replace(style, activation="none"), stride=2)


def _end(channels: int, filters: int, style: Style, binary_ends: bool) -> Module:
    """A 1x1 convolution to or from heatmaps, with bias: real-valued, or a unit."""
    if not binary_ends:
        return Conv2d(channels, filters, 1, style.rng)
    return Unit(channels, filters, 1, replace(style, activation="none"), bias=True)


def _require_multiple(x: Tensor, size: int) -> None:
    (pixels,) = arrays_of("this network", x)
    require_pictures(pixels, "this network")
    height, width = pixels.shape[1:3]
    if height < size or width < size or height % size or width % size:
        raise ValueError(f"this network takes heights and widths that are multiples of {size}, got {height} x {width}")
