"""What a model file says of its answers: names, codec, crop rules, confidence. Checked: files come from anywhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from hbcore.autograd.ops import sigmoid
from hbcore.deploy.engine import UNIT
from hbcore.landmarks.codec import Codec
from hbcore.landmarks.confidence import Calibration
from hbcore.landmarks.finding.sizes import SizeCodec
from hbcore.landmarks.heatmaps import HeatmapCodec
from hbcore.landmarks.masks import MaskCodec
from hbcore.landmarks.squares import BOX_MARGIN, CropRule
from hbcore.nn.architecture import STRIDE
from hbcore.nn.hourglass import StackedHourglass

MOST = 4096
"""Pixels of an input's side: far beyond what is trained. A damaged number must not ask for gigabytes."""


@dataclass(frozen=True, eq=False)
class Description:
    """What the maps of a network mean.

    names: of its points, classes or sizes, in the order of the maps. edges: lines between points. output: "sigmoid" if
    the maps are logits of probabilities, "identity" if they are the maps themselves, "softmax" if they are the logits
    of classes. calibration: None for a model of an unfinished run. crops: the rules of the training, none in older
    files.
    """

    task: str
    names: tuple[str, ...]
    edges: tuple[tuple[int, int], ...]
    codec: Codec
    output: str
    calibration: Calibration | None
    crops: tuple[CropRule, ...]

    @classmethod
    def read(cls, header: Mapping[str, Any], network: StackedHourglass) -> Self:
        """What the header of a model file says. AttributeError, KeyError, TypeError or ValueError where it is amiss."""
        task, output = header["task"], header["output"]
        if not isinstance(task, str) or not task.isidentifier() or len(task) > 20:
            raise ValueError("its task has no name")
        codec: Codec
        edges: list[list[int]] = []
        if "parts" in header:
            names, codec = header["parts"]["names"], MaskCodec(**header["codec"])
        elif "sizes" in header:
            names, codec = header["sizes"]["names"], SizeCodec(**header["codec"])
        else:
            skeleton = header["skeleton"]
            names, edges, codec = skeleton["joints"], skeleton["edges"], HeatmapCodec(**header["codec"])
        if not isinstance(names, list) or not all(isinstance(name, str) and name.isprintable() for name in names):
            raise ValueError("its names are no texts")
        if any(type(end) is not int or not 0 <= end < len(names) for edge in edges for end in edge):
            raise ValueError("an edge leads to no point")
        calibration = Calibration.from_dict(header["confidence"]) if "confidence" in header else None
        crops = tuple(CropRule.from_dict(rule) for rule in header.get("crops", []))
        require_together(network, len(names), codec, output)
        lines = tuple((first, second) for first, second in edges)
        return cls(task, tuple(names), lines, codec, output, calibration, crops)

    @property
    def least_confidence(self) -> float | None:
        """The confidence that an answer needs to be worth something; None where that is not known."""
        return self.calibration.threshold if self.calibration else None

    @property
    def parts(self) -> bool:
        """Whether the answer is a class for every pixel, and not points."""
        return isinstance(self.codec, MaskCodec)

    @property
    def finds(self) -> bool:
        """Whether the answer is where things are in a whole picture: a finder for models that need boxes."""
        return isinstance(self.codec, SizeCodec)

    @property
    def needs_box(self) -> bool:
        """Whether in training it never saw whole pictures, as far as its file tells."""
        return bool(self.crops) and all(rule.around != "picture" for rule in self.crops)

    @property
    def box_margin(self) -> float:
        """Side of the square to look at over the longer side of a box."""
        return box_margin(self.crops)


def box_margin(crops: tuple[CropRule, ...]) -> float:
    """That of the first rule that has one."""
    return next((rule.margin for rule in crops if rule.around != "picture"), BOX_MARGIN)


def require_together(network: StackedHourglass, names: int, codec: Codec, output: object) -> None:
    """Raise ValueError where the parts of a model file do not go together."""
    maps, step = network.architecture["joints"], network.multiple
    if names != maps:
        raise ValueError(f"{names} names for {maps} maps")
    if codec.stride != STRIDE or codec.input_size % step:
        raise ValueError(f"the network needs stride {STRIDE} and an input that is a multiple of {step}, not {codec}")
    if codec.input_size > MOST:
        raise ValueError(f"an input of {codec.input_size} pixels, more than {MOST}")
    if isinstance(codec, HeatmapCodec) and codec.sigma > codec.heatmap_size:
        raise ValueError(f"sigma = {codec.sigma} is wider than the map of {codec.heatmap_size} pixels")
    if isinstance(codec, SizeCodec) and codec.maps != maps:
        raise ValueError(f"{codec.maps} sizes for {maps} maps")
    if output not in codec.OUTPUTS:
        raise ValueError(f"output {output!r}")


def to_input(pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What the network sees: pictures as float32 in [0, 1], no mean subtracted (as the paper's)."""
    return pictures.astype(np.float32) * UNIT


def to_maps(last: NDArray[np.float32], output: str) -> NDArray[np.float32]:
    """What the codec reads, for what the network's last stack gives; FloatingPointError unless that is finite."""
    if not np.isfinite(last).all():
        raise FloatingPointError("the network's heatmaps are not finite")
    if output != "sigmoid":
        return last
    # Rounded from float64: the nearest number on every machine. NumPy's own float32 is another one here and there, and
    # points that differ in their last digits lead to a second look at other pixels.
    return sigmoid(last, np.exp(-np.abs(last), dtype=np.float64).astype(np.float32))
