"""Hourglass networks (Newell et al. 2016) out of the paper's blocks: from a picture to one heatmap per landmark."""

from __future__ import annotations

from typing import Any

import numpy as np

from hbcore.blocks import BLOCKS, Style, Unit
from hbcore.layers import BatchNorm2d, Conv2d, MaxPool2d, ReLU, Upsample
from hbcore.module import Module, Sequential
from hbcore.tensor import Tensor

STRIDE = 4  # input pixels per heatmap pixel: the stem and one pooling halve the picture each


class Hourglass(Module):
    """Down to 1 / 2^depth of the resolution and up again, with a skip branch at every level; names as in the figure.

    (N, H, W, features) -> the same shape; H and W must be multiples of 2^depth, else ValueError.
    """

    def __init__(self, depth: int, features: int, block: str, style: Style) -> None:
        self.depth = depth
        make = BLOCKS[block]
        self.up1 = make(features, features, style)
        self.pool1 = MaxPool2d()
        self.low1 = make(features, features, style)
        self.low2 = Hourglass(depth - 1, features, block, style) if depth > 1 else make(features, features, style)
        self.low3 = make(features, features, style)
        self.up2 = Upsample()

    def forward(self, x: Tensor) -> Tensor:
        _require_multiple(x, 2**self.depth)
        up1 = self.up1(x)
        pool1 = self.pool1(x)
        low1 = self.low1(pool1)
        low2 = self.low2(low1)
        low3 = self.low3(low2)
        up2 = self.up2(low3)
        y: Tensor = up1 + up2
        return y


class Head(Module):
    """One block and a 1x1 "lin" unit (batch norm, ReLU), then heatmaps by a real-valued 1x1 convolution."""

    def __init__(self, features: int, joints: int, block: str, style: Style) -> None:
        self.block = BLOCKS[block](features, features, style)
        self.lin = Sequential(Unit(features, features, 1, style), BatchNorm2d(features), ReLU())
        self.heatmaps = Conv2d(features, joints, 1, style.rng)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(N, h, w, features) -> (features of the same shape, heatmap logits (N, h, w, joints))."""
        lin = self.lin(self.block(x))
        return lin, self.heatmaps(lin)


class StackedHourglass(Module):
    """Stem, then `stacks` hourglasses that each predict heatmaps (intermediate supervision).

    Picture (N, H, W, 3) in [0, 1] -> a list of `stacks` tensors of heatmap logits (N, H / 4, W / 4, joints); the last
    is the network's answer. H and W must be multiples of 4 * 2^depth, else ValueError. Between stacks: x + lin +
    heatmaps, each brought back to `features` channels by a 1x1 convolution.

    Only the stem, the heatmap convolutions and (with several stacks) the way back from heatmaps are real-valued. With
    256 features, 16 joints and one stack of HPM blocks this is the authors' released topology: 54 binary convolutions
    with 6,207,488 weights, 6,236,560 trainable parameters.

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
    ) -> None:
        if block not in BLOCKS:
            raise ValueError(f"unknown block {block!r}: choose from {', '.join(BLOCKS)}")
        for name, value in {"joints": joints, "stacks": stacks, "depth": depth}.items():
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        if features < 16 or features % 16:
            raise ValueError(f"features must be a positive multiple of 16 (the stem has a quarter), got {features}")
        self.architecture: dict[str, Any] = {
            "features": features,
            "joints": joints,
            "stacks": stacks,
            "depth": depth,
            "block": block,
            "binary": binary,
            "activation": activation,
            "center_weights": center_weights,
            "clamp_weights": clamp_weights,
        }
        style = Style(binary, activation, center_weights, clamp_weights, np.random.default_rng(seed))
        make = BLOCKS[block]
        self.stem = Sequential(
            Conv2d(3, features // 4, 7, style.rng, stride=2, padding=3),
            BatchNorm2d(features // 4),
            ReLU(),
            make(features // 4, features // 2, style),
            MaxPool2d(),
            make(features // 2, features // 2, style),
            make(features // 2, features, style),
        )
        self.hourglasses = [Hourglass(depth, features, block, style) for _ in range(stacks)]
        self.heads = [Head(features, joints, block, style) for _ in range(stacks)]
        self.merge_features = [Unit(features, features, 1, style) for _ in range(stacks - 1)]
        self.merge_heatmaps = [Conv2d(joints, features, 1, style.rng) for _ in range(stacks - 1)]

    def forward(self, picture: Tensor) -> list[Tensor]:
        _require_multiple(picture, STRIDE * 2 ** self.architecture["depth"])
        x = self.stem(picture)
        predictions = []
        for stack, (hourglass, head) in enumerate(zip(self.hourglasses, self.heads, strict=True)):
            lin, heatmaps = head(hourglass(x))
            predictions.append(heatmaps)
            if stack < len(self.merge_features):
                x = x + self.merge_features[stack](lin) + self.merge_heatmaps[stack](heatmaps)
        return predictions


def _require_multiple(x: Tensor, size: int) -> None:
    height, width = x.shape[1:3]
    if height % size or width % size:
        raise ValueError(f"this network takes heights and widths that are multiples of {size}, got {height} x {width}")
