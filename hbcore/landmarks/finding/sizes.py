"""Boxes to maps and back: one map per size, so that a network says where things are and how large they are at once.

Map number k is about boxes whose longer side is `smallest` 2^(k / 2) input pixels. A box of centre (x, y) and of size
bin s = 2 log2(longer side / smallest) leaves in map k

    exp(-(k - s)^2 / (2 BINS^2)) exp(-((u - x)^2 + (v - y)^2) / (2 w_k^2)),    w_k = max(1, SPREAD x the size of map k),

u and v running through the map's pixels, w_k in the same. Where boxes meet, the larger value counts. In size the width
is the same number of octaves everywhere, in place a share of the size: a box twice as large may be twice as far off.

Reading is the inverse: a pixel that no neighbour exceeds, in its own map and the two beside it, is a box. Through the
logarithms of it and its two neighbours goes a parabola, in x, in y and in size, whose top is the box's; how high it is
says how sure the box is, the same for boxes on a map and for those between two.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hbcore.landmarks.codec import Codec

OCTAVE = 2  # maps per octave
BINS = 0.5  # width of the Gaussian in size, in maps
SPREAD = 0.06  # that in place, in sizes
TRUNCATION = 3.0  # half width of what is drawn, in widths
FAINT = 0.02  # what is below is no box
OVERLAP = 0.5  # share of the smaller of two boxes from which on both are the same thing
BETWEEN = 0.5  # least share of its height that a box has in the nearest pixel of the nearest map
MOST = 32  # boxes of a picture

Boxes = NDArray[np.float64]
"""(n, 4): x0, y0, x1, y1, pixel centres at whole numbers."""


@dataclass(frozen=True)
class SizeCodec(Codec):
    """Squares of `maps` sizes, from one of `smallest` input pixels on.

    A box is known by its centre and its longer side: the answer is a square. Raises ValueError if a field cannot be
    used.
    """

    OUTPUTS = ("sigmoid",)
    smallest: float = 12.0
    maps: int = 9

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.smallest, int | float) or not 1 <= self.smallest <= self.input_size:
            raise ValueError(f"codec: smallest must lie in 1..{self.input_size} pixels, not {self.smallest!r}")
        if not isinstance(self.maps, int) or not 1 <= self.maps <= 32:
            raise ValueError(f"codec: maps must be a whole number in 1..32, not {self.maps!r}")

    @property
    def sizes(self) -> NDArray[np.float64]:
        """What the maps are about: longer sides (maps,), in input pixels."""
        return self.smallest * 2.0 ** (np.arange(self.maps) / OCTAVE)

    def encode(self, boxes: Boxes, height: int, width: int) -> NDArray[np.float32]:
        """Maps (height, width, maps), in map pixels, of boxes (n, 4) in input pixels that have an area."""
        maps = np.zeros((height, width, self.maps), np.float32)
        spread = np.maximum(1.0, SPREAD / self.stride * self.sizes)
        for x0, y0, x1, y1 in np.asarray(boxes, np.float64).tolist():
            x, y = self.to_heatmap(np.array([(x0 + x1) / 2, (y0 + y1) / 2]))
            place = OCTAVE * np.log2(max(x1 - x0, y1 - y0) / self.smallest)
            across, down = (
                _profile((np.arange(count)[:, None] - at) / spread) for count, at in ((width, x), (height, y))
            )
            size = _profile((np.arange(self.maps) - place) / BINS)
            np.maximum(maps, down[:, None, :] * across[None] * size, out=maps)
        return maps

    def decode(self, heatmaps: NDArray[np.floating[Any]]) -> tuple[NDArray[np.float32], ...]:
        """Boxes with confidence, float32 (..., MOST, 5), the surest first, then NaN and 0; of maps (..., h, w, K)."""
        lead, planes = heatmaps.shape[:-3], heatmaps.reshape(-1, *heatmaps.shape[-3:])
        answers = np.full((len(planes), MOST, 5), np.nan, np.float32)
        answers[..., 4] = 0
        for answer, plane in zip(answers, planes, strict=True):
            boxes, confidence = self.boxes(plane)
            answer[: len(boxes), :4], answer[: len(boxes), 4] = boxes, confidence
        return (answers.reshape(*lead, MOST, 5),)

    def confidence(self, heatmaps: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """Of the surest box, 0 where there is none."""
        planes = heatmaps.reshape(-1, *heatmaps.shape[-3:])
        highest = np.array([self.boxes(plane)[1].max(initial=0.0) for plane in planes])
        return highest.reshape(heatmaps.shape[:-3])

    def boxes(self, maps: NDArray[np.floating[Any]], least: float = FAINT) -> tuple[Boxes, NDArray[np.float64]]:
        """Boxes (n, 4), in input pixels, and their confidence (n,), the surest first, of maps (h, w, K) in [0, 1].

        At most MOST of them, none of a confidence below `least`, no two of which are the same thing.
        """
        maps = maps.astype(np.float32, copy=False)
        padded = np.pad(maps, 1)
        likely = np.flatnonzero(maps >= max(least * BETWEEN, FAINT))
        tops = likely[maps.ravel()[likely] >= _neighbourhood(padded).ravel()[likely]]
        y, x, k = np.unravel_index(tops, maps.shape)
        order = np.argsort(-maps[y, x, k], kind="stable")[: 2 * MOST]
        y, x, k = y[order], x[order], k[order]
        logs = np.log(np.maximum(padded, FAINT / 8).astype(np.float64))
        peaks, height = [], logs[y + 1, x + 1, k + 1]
        for at, (dy, dx, dk) in zip((y, x, k), np.eye(3, dtype=int), strict=True):
            step, gain = _top(*(logs[y + 1 + n * dy, x + 1 + n * dx, k + 1 + n * dk] for n in (-1, 0, 1)))
            peaks.append(at + step)
            height = height + gain
        v, u, size = peaks
        centre = self.to_input(np.stack([u, v], axis=-1))
        half = self.smallest * 2.0 ** (size / OCTAVE) / 2
        boxes = np.concatenate([centre - half[:, None], centre + half[:, None]], axis=-1)
        confidence = np.minimum(np.exp(height), 1)
        best = np.argsort(-confidence, kind="stable")
        chosen = best[separate(boxes[best])][:MOST]
        chosen = chosen[confidence[chosen] >= least]
        return boxes[chosen], confidence[chosen]


def separate(boxes: Boxes, overlap: float = OVERLAP) -> list[int]:
    """Which of boxes (n, 4), the best first, stay where of two that are the same thing the better one is kept."""
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    chosen: list[int] = []
    for index, box in enumerate(boxes):
        others = boxes[chosen]
        shared = np.maximum(0, np.minimum(others[:, 2:], box[2:]) - np.maximum(others[:, :2], box[:2])).prod(axis=1)
        if not (shared > overlap * np.minimum(areas[chosen], areas[index])).any():
            chosen.append(index)
    return chosen


def _profile(away: NDArray[np.float64]) -> NDArray[np.float32]:
    return np.where(np.abs(away) <= TRUNCATION, np.exp(-0.5 * away**2), 0).astype(np.float32)


def _neighbourhood(padded: NDArray[np.float32]) -> NDArray[np.float32]:
    """The largest of each value and its 26 neighbours, of maps with a border of one."""
    most = np.maximum(np.maximum(padded[:-2], padded[1:-1]), padded[2:])
    most = np.maximum(np.maximum(most[:, :-2], most[:, 1:-1]), most[:, 2:])
    return np.maximum(np.maximum(most[..., :-2], most[..., 1:-1]), most[..., 2:])


def _top(
    before: NDArray[np.float64], at: NDArray[np.float64], after: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where the parabola through three values has its top, within half a step of the middle one; how much higher."""
    slope, bend = (after - before) / 2, np.minimum(before - 2 * at + after, -1e-6)
    step = np.clip(-slope / bend, -0.5, 0.5)
    return step, step * (slope + step * bend / 2)
