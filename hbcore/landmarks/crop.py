"""The square of a picture that the network sees, and the way there and back."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from hbcore import kernels
from hbcore.kernels.pictures import PARTS

Floating = TypeVar("Floating", bound=np.floating[Any])
_BILINEAR_REACH = 1.5
"""Picture pixels per input pixel up to which bilinear sampling does alone: beyond, it would skip pixels."""

LEVELS = np.tile(np.arange(256, dtype=np.uint8), (3, 1))
"""Of `Crop.extract`: every level stays what it is."""


@dataclass(frozen=True)
class Crop:
    """A square of a picture, seen as `size` x `size` input pixels.

    `center` (x, y) and `side` are in picture pixels. `angle`, in radians, turns the content counter-clockwise
    as seen on the screen, like `np.rot90`; `mirror` swaps its left and right after that. Pixel areas are kept
    aligned: the edges of the square map to -0.5 and size - 0.5, so that a centred square of `side == size` is
    the picture itself.

    Raises ValueError for a side or size that is not positive and for numbers that are not finite.
    """

    center: tuple[float, float]
    side: float
    size: int
    angle: float = 0.0
    mirror: bool = False

    def __post_init__(self) -> None:
        if not all(map(math.isfinite, (*self.center, self.side, self.angle))):
            raise ValueError(f"a crop needs finite numbers, not {self}")
        if self.side <= 0 or self.size < 1:
            raise ValueError(f"a crop needs a positive side and size, not {self.side} and {self.size}")

    def _turn(self) -> NDArray[np.float64]:
        """The orthogonal (2, 2) part of the map from picture to input."""
        cos, sin = math.cos(self.angle), math.sin(self.angle)
        flip = -1.0 if self.mirror else 1.0
        return np.array([[flip * cos, flip * sin], [-sin, cos]])

    def matrix(self) -> NDArray[np.float64]:
        """The (2, 3) affine map from picture to input pixels: input = matrix @ (x, y, 1)."""
        linear = self._turn() * (self.size / self.side)
        return np.column_stack([linear, (self.size - 1) / 2 - linear @ self.center])

    def to_input(self, points: NDArray[Floating]) -> NDArray[Floating]:
        """Points (..., 2) of the picture in input pixels, in the precision of `points`."""
        offsets = np.asarray(points, np.float64) - self.center
        mapped = offsets @ self._turn().T * (self.size / self.side) + (self.size - 1) / 2
        return mapped.astype(points.dtype)

    def to_picture(self, points: NDArray[Floating]) -> NDArray[Floating]:
        """Points (..., 2) in input pixels as points of the picture: the inverse of `to_input`."""
        offsets = np.asarray(points, np.float64) - (self.size - 1) / 2
        mapped = offsets @ self._turn() * (self.side / self.size) + self.center
        return mapped.astype(points.dtype)

    def extract(
        self, picture: NDArray[np.uint8], levels: NDArray[np.uint8] = LEVELS, out: NDArray[np.uint8] | None = None
    ) -> NDArray[np.uint8]:
        """The square of an RGB picture (H, W, 3): uint8 (size, size, 3), black outside the picture.

        Each channel's levels go through its row of `levels`, uint8 (3, 256), black too. `out`, if given, is what is
        filled and returned.

        Bilinear. Where the picture shrinks, it is low-pass filtered first. That first step brings it down to
        1.5 picture pixels per input pixel and no further: measured against area averages of 64 samples per
        input pixel, errors are smallest there, since a second interpolation of a picture already at its final
        size blurs it.
        """
        if out is None:
            out = np.empty((self.size, self.size, 3), np.uint8)
        left, top, right, bottom = self._box(picture.shape[1], picture.shape[0])
        if left >= right or top >= bottom:
            out[:] = levels[:, 0]
            return out
        part = picture[top:bottom, left:right]
        height, width = part.shape[:2]
        shrink = self.side / self.size / _BILINEAR_REACH
        if shrink > 1:
            part = shrunk(part, max(1, round(height / shrink)), max(1, round(width / shrink)))

        # From pixel corners: half a pixel goes off on the way in and on again on the way out.
        linear = replace(self, mirror=False)._turn().T * (self.side / self.size)
        origin = np.add(self.center, 0.5) - linear @ (self.size / 2, self.size / 2) - (left, top)
        grid = np.column_stack([linear, origin]) * [[part.shape[1] / width], [part.shape[0] / height]]
        # Levels are rounded down, which makes cos(pi / 2) = 6e-17 visible: whole turns need whole numbers. Mirroring
        # where the square is written to makes the mirror exact to the last bit.
        kernels.backend.warp(part, grid.round(9), levels, out[:, ::-1] if self.mirror else out)
        return out

    def extract_mask(self, mask: NDArray[np.uint8], outside: int) -> NDArray[np.uint8]:
        """The square of a mask (H, W): uint8 (size, size), `outside` beyond the picture.

        Each pixel takes the value at its centre: classes cannot be averaged.
        """
        if self.mirror:
            return np.ascontiguousarray(replace(self, mirror=False).extract_mask(mask, outside)[:, ::-1])
        pixels = np.arange(self.size, dtype=np.float64)
        points = self.to_picture(np.stack(np.meshgrid(pixels, pixels), axis=-1))
        # Rounded first, as in `extract`: whole turns need whole numbers. Then to the pixel that holds the point.
        x, y = np.moveaxis(np.floor(points.round(9) + 0.5).astype(np.intp), -1, 0)
        height, width = mask.shape
        inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
        return np.where(inside, mask[np.where(inside, y, 0), np.where(inside, x, 0)], np.uint8(outside))

    def _box(self, width: int, height: int) -> tuple[int, int, int, int]:
        """What the square needs of a picture, in whole pixels: left, top, right, bottom."""
        reach = self.side / 2 * (abs(math.cos(self.angle)) + abs(math.sin(self.angle)))
        margin = 2 + math.ceil(self.side / self.size)  # the support of the filters
        x, y = self.center[0] + 0.5, self.center[1] + 0.5
        return (
            max(0, math.floor(x - reach) - margin),
            max(0, math.floor(y - reach) - margin),
            min(width, math.ceil(x + reach) + margin),
            min(height, math.ceil(y + reach) + margin),
        )


def shrunk(picture: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """An RGB picture of another size, each level a mean of those around it with the weights of a triangle."""
    for across, size in ((True, width), (False, height)):
        length = picture.shape[1 if across else 0]
        if size != length:
            picture = kernels.backend.weighted(picture, *_triangles(length, size), across)
    return picture


def _triangles(length: int, size: int) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """For `size` pixels out of `length`: the first that each is made of (size,), and weights (size, taps)."""
    step = length / size
    reach = max(step, 1.0)
    taps = min(2 * math.ceil(reach) + 1, length)
    centres = (np.arange(size) + 0.5) * step
    first = np.floor(centres - reach + 0.5).clip(0, length - taps).astype(np.int64)
    away = np.abs(first[:, None] + np.arange(taps) + 0.5 - centres[:, None]) / reach
    weights = np.maximum(1 - away, 0)
    weights /= np.cumsum(weights, axis=1)[:, -1:]  # in their order: a sum would be taken in one of the machine's
    return first, np.floor(weights * (1 << PARTS) + 0.5).astype(np.int32)
