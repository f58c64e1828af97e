"""Residual blocks of the paper, binary or real-valued by one switch.

Every convolution sits in a pre-activation :class:`Unit`:

    binary         batch norm -> sign -> binary convolution [-> ReLU or PReLU]
    real-valued    batch norm -> ReLU -> convolution

The optional activation comes *after* a binary convolution, never before the sign: sign(ReLU(x)) would be constant.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from hbcore import kernels
from hbcore.autograd import grad_enabled
from hbcore.binary import binary_unit
from hbcore.layers import BatchNorm2d, BinaryConv2d, Conv2d, ReLU, activation
from hbcore.module import Identity, Module, Sequential
from hbcore.tensor import Tensor, join


@dataclass(frozen=True)
class Style:
    """How units are made: the choices that a whole network shares.

    binary: 1-bit weights and activations, or the real-valued twin. activation: "none", "relu" (the paper's best) or
    "prelu" (its follow-up), after each binary convolution. The weight options are those of BinaryConv2d.
    """

    binary: bool = True
    activation: str = "none"
    center_weights: bool = False
    clamp_weights: bool = True
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))


class Unit(Sequential):
    """Batch norm, non-linearity, convolution that keeps height and width: (N, H, W, channels) -> (N, H, W, filters)."""

    def __init__(self, channels: int, filters: int, kernel: int, style: Style) -> None:
        padding = kernel // 2
        if style.binary:
            conv: Module = BinaryConv2d(
                channels,
                filters,
                kernel,
                style.rng,
                padding=padding,
                center_weights=style.center_weights,
                clamp_weights=style.clamp_weights,
            )
            super().__init__(BatchNorm2d(channels), conv, *activation(style.activation, filters))
        else:
            conv = Conv2d(channels, filters, kernel, style.rng, padding=padding, bias=False)
            super().__init__(BatchNorm2d(channels), ReLU(), conv)

    def forward(self, x: Tensor) -> Tensor:
        norm, conv, *rest = self.modules
        if not (isinstance(norm, BatchNorm2d) and isinstance(conv, BinaryConv2d) and self._in_one(x, norm)):
            return super().forward(x)
        y, mean, variance = binary_unit(x, norm.gamma, norm.beta, conv.weight, norm.eps, conv.padding)
        norm.follow(mean, variance)
        for module in rest:
            y = module(y)
        return y

    def _in_one(self, x: Tensor, norm: BatchNorm2d) -> bool:
        """Whether a binary unit can go through in one step: in training, unless somebody looks between its layers."""
        return norm.training and grad_enabled() and norm.observer is None and kernels.wide(x.data, norm.gamma.data)


def shortcut(channels: int, filters: int, style: Style) -> Module:
    """Skip path of a block: nothing where the widths agree, else a 1x1 unit."""
    return Identity() if channels == filters else Unit(channels, filters, 1, style)


class Bottleneck(Module):
    """1x1 to half the width, 3x3, 1x1 back, plus the skip path (He et al. 2016; block (a) of the paper)."""

    def __init__(self, channels: int, filters: int, style: Style) -> None:
        half = filters // 2
        self.reduce = Unit(channels, half, 1, style)
        self.spatial = Unit(half, half, 3, style)
        self.expand = Unit(half, filters, 1, style)
        self.skip = shortcut(channels, filters, style)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.expand(self.spatial(self.reduce(x))) + self.skip(x)
        return y


class HPMBlock(Module):
    """The paper's hierarchical, parallel, multi-scale block (its final block, section 4).

    Three 3x3 convolutions in a row, each with its own exit to the output, so that every filter is one step away from
    the block's result and receptive fields of 3, 5 and 7 pixels stand side by side:

        o1 = conv(x),  o2 = conv(o1),  o3 = conv(o2),   y = concatenate(o1, o2, o3) + skip(x)

    with 1/2, 1/4 and 1/4 of the filters.
    """

    def __init__(self, channels: int, filters: int, style: Style) -> None:
        if filters % 4:
            raise ValueError(f"an HPM block splits its filters into 1/2, 1/4, 1/4: {filters} is not a multiple of 4")
        self.conv1 = Unit(channels, filters // 2, 3, style)
        self.conv2 = Unit(filters // 2, filters // 4, 3, style)
        self.conv3 = Unit(filters // 4, filters // 4, 3, style)
        self.skip = shortcut(channels, filters, style)

    def forward(self, x: Tensor) -> Tensor:
        o1 = self.conv1(x)
        o2 = self.conv2(o1)
        o3 = self.conv3(o2)
        return join([o1, o2, o3], self.skip(x))


BLOCKS: dict[str, type[Bottleneck] | type[HPMBlock]] = {"bottleneck": Bottleneck, "hpm": HPMBlock}
