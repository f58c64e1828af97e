"""Maps of classes to a mask: the class of every pixel, of the input or of a whole picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hbcore.landmarks.codec import Codec
from hbcore.landmarks.crop import Crop
from hbcore.optim.losses import IGNORED

Mask = NDArray[np.uint8]
BLOCK = 256  # rows at a time: bounds the memory that a large picture takes


@dataclass(frozen=True)
class MaskCodec(Codec):
    """Reads masks out of the logits of a softmax.

    Between the centres of map pixels logits are interpolated bilinearly, outside of them continued constantly; then
    the class of the largest is taken. A constant added to all classes of a map pixel, which a softmax does not see,
    does not change it.
    """

    OUTPUTS = ("softmax",)

    def decode(self, heatmaps: NDArray[np.floating[Any]]) -> tuple[NDArray[Any], ...]:
        """Masks uint8 (..., input_size, input_size) of maps (..., h, w, classes)."""
        pixels = np.arange(self.input_size, dtype=np.float64)
        planes = heatmaps.reshape(-1, *heatmaps.shape[-3:])
        masks = np.stack([self.classes(plane, pixels, pixels) for plane in planes])
        return (masks.reshape(*heatmaps.shape[:-3], self.input_size, self.input_size),)

    def confidence(self, heatmaps: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """The mean probability of the chosen class, over the map pixels that are not of the first, the background.

        0 where there are none. A network is sure of a background wherever it looks: that says nothing.
        """
        raised = np.exp(heatmaps - heatmaps.max(axis=-1, keepdims=True), dtype=np.float64)
        chosen = 1 / raised.sum(axis=-1)
        part = heatmaps.argmax(axis=-1) > 0
        count = part.sum(axis=(-2, -1))
        mean: NDArray[np.float64] = (chosen * part).sum(axis=(-2, -1)) / np.maximum(count, 1)
        return mean

    def classes(self, maps: NDArray[np.floating[Any]], y: NDArray[np.float64], x: NDArray[np.float64]) -> Mask:
        """The classes, uint8 (n, m), at the points of n rows y and m columns x, in input pixels; maps (h, w, C).

        Among equal logits the first class is taken. Raises ValueError for maps of another size.
        """
        if maps.shape[:-1] != (self.heatmap_size, self.heatmap_size):
            raise ValueError(f"codec: maps ({self.heatmap_size}, {self.heatmap_size}, C) expected, got {maps.shape}")
        across = self.weights(x)
        result = np.empty((len(y), len(x)), dtype=np.uint8)
        for top in range(0, len(y), BLOCK):
            rows = np.tensordot(self.weights(y[top : top + BLOCK]), maps, axes=1)  # (block, w, C)
            result[top : top + BLOCK] = np.matmul(across, rows).argmax(axis=-1)
        return result

    def on_picture(self, maps: NDArray[np.floating[Any]], crop: Crop, height: int, width: int) -> Mask:
        """The classes (height, width) of a picture's pixels, IGNORED outside the square that the network saw."""
        # The square is not turned: x decides x, and y decides y.
        pixels = np.arange(max(height, width), dtype=np.float64)
        x, y = crop.to_input(np.stack([pixels, pixels], axis=-1)).T
        x, y = x[:width], y[:height]
        seen_x, seen_y = (np.abs(2 * at - (crop.size - 1)) <= crop.size for at in (x, y))
        mask = np.full((height, width), IGNORED, dtype=np.uint8)
        mask[np.ix_(seen_y, seen_x)] = self.classes(maps, y[seen_y], x[seen_x])
        return mask

    def weights(self, at: NDArray[np.float64]) -> NDArray[np.float32]:
        """What each map pixel along one axis contributes to points there: (n, size), rows that sum to 1."""
        last = self.heatmap_size - 1
        place = np.clip(self.to_heatmap(at), 0, last)
        before = np.minimum(place.astype(np.intp), max(0, last - 1))
        weights = np.zeros((len(at), self.heatmap_size), dtype=np.float32)
        point = np.arange(len(at))
        weights[point, before] = 1 - (place - before)
        weights[point, np.minimum(before + 1, last)] += place - before
        return weights
