"""What maps say about a picture: the one place that knows where a heatmap pixel lies in the input.

Coordinates are (x, y), 0-based, pixel centres at integers. A heatmap pixel covers `stride` x `stride` input
pixels, so

    heatmap = (input + 0.5) / stride - 0.5        input = (heatmap + 0.5) * stride - 0.5

Maps are channels-last: (H, W, K), rows first, one plane per keypoint or class.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Codec(ABC):
    """What the maps of a network say about its square input of `input_size` pixels.

    `stride` is the number of input pixels per map pixel and divides `input_size`. `describe` gives the fields
    as a dict for a model file. Raises ValueError if a field cannot be used.
    """

    OUTPUTS: ClassVar[tuple[str, ...]]  # what the maps may be, see `Model`
    input_size: int
    stride: int = 4

    def __post_init__(self) -> None:
        for name in ("input_size", "stride"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"codec: {name} must be a positive whole number, not {value!r}")
        if self.input_size % self.stride:
            raise ValueError(f"codec: input_size {self.input_size} is not a multiple of stride {self.stride}")

    @property
    def heatmap_size(self) -> int:
        """Height and width of the heatmaps, in heatmap pixels."""
        return self.input_size // self.stride

    def describe(self) -> dict[str, Any]:
        """The fields by name, as plain numbers."""
        return asdict(self)

    @abstractmethod
    def decode(self, heatmaps: NDArray[np.floating[Any]]) -> tuple[NDArray[Any], ...]:
        """The answer in maps (..., h, w, K), in input pixels, and what else there is to say about it."""

    @abstractmethod
    def confidence(self, heatmaps: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """How sure the answers in maps (..., h, w, K) are, (...,): one number each, the higher the surer."""

    def most_confidence(self, heatmaps: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """What `confidence` is at most, sooner said where that is possible."""
        return self.confidence(heatmaps)

    def to_heatmap(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Heatmap coordinates of input coordinates, any shape."""
        return (points + 0.5) / self.stride - 0.5

    def to_input(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Input coordinates of heatmap coordinates, any shape."""
        return (points + 0.5) * self.stride - 0.5
