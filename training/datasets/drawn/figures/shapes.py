"""Flat outlines of round things: what the drawing of a figure is made of.

A shape is one filled polygon in the projected plane, in statures, before the picture's scale is known. Round things
are drawn twice, dark at full size and light a little smaller and nearer the light, which models them and parts limbs
of one colour from one another.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from training.datasets.drawn.figures.clothes import Colour, tone

Array = NDArray[np.float64]
Point = tuple[float, float]
DISTANCE = 5.0  # of the viewer, in statures
DARK, LIT = 0.74, 1.0  # tones of the two layers
CIRCLE = np.array([(math.cos(math.pi * k / 6), math.sin(math.pi * k / 6)) for k in range(12)])
_HALF = np.array([(math.cos(math.pi * k / 6), math.sin(math.pi * k / 6)) for k in range(-3, 4)])
ACROSS, DOWN = np.array(((1.0, 0.0, 0.0),)), np.array(((0.0, 1.0, 0.0),))  # half axes of a disc that faces the viewer
_DIRECTIONS = np.array([(math.cos(math.pi * k / 9), math.sin(math.pi * k / 9)) for k in range(18)])


class Shape(NamedTuple):
    """One polygon and the name of the part it draws; what has a larger `depth` is nearer and drawn later."""

    part: str
    depth: float
    points: Array  # (n, 2)
    colour: Colour


def corners(shapes: Sequence[Shape]) -> Array:
    """The corners of all shapes, (n, 2), in their order."""
    return np.concatenate([shape.points for shape in shapes])


def project(point: Sequence[float]) -> tuple[float, float, float]:
    """Weak perspective: x and y in the plane, and the scale there."""
    scale = DISTANCE / (DISTANCE - point[2])
    return point[0] * scale, point[1] * scale, scale


def between(a: Sequence[float], b: Sequence[float], share: float) -> list[float]:
    """The point at a share of the way from `a` to `b`."""
    return [x + share * (y - x) for x, y in zip(a, b, strict=True)]


def capsules(rows: Array) -> Array:
    """Outlines, (n, 14, 2), of n tapered capsules (n, 6): centre x, y and radius of the one end, then of the other.

    A capsule is two half discs, back to back, and the trapezium between them.
    """
    a, b, ra, rb = rows[:, None, 0:2], rows[:, None, 3:5], rows[:, 2, None, None], rows[:, 5, None, None]
    along = b - a
    length = np.sqrt((along * along).sum(axis=2, keepdims=True))
    along = np.where(length > 1e-9, along, (1.0, 0.0)) / np.where(length > 1e-9, length, 1.0)
    across = along[:, :, ::-1] * (1.0, -1.0)
    fan = _HALF[:, :1] * along + _HALF[:, 1:] * across
    return np.concatenate([a - ra * fan, b + rb * fan], axis=1)


def _flatten(centres: Array, left: Array, front: Array) -> tuple[Array, Array, Array]:
    """Ellipses in space, projected: centres (n, 2), and in 18 directions how far they reach, (n, 18), and where there.

    An ellipse is its centre plus cos t times `left` plus sin t times `front`; the arguments are (n, 3). Reach and place
    (n, 18, 2) are relative to the centre.
    """
    scale = DISTANCE / (DISTANCE - centres[:, 2:])
    a, b = left[:, :2] * scale, front[:, :2] * scale
    p, q = a @ _DIRECTIONS.T, b @ _DIRECTIONS.T
    reach = np.sqrt(p * p + q * q) + 1e-9
    place = (p / reach)[..., None] * a[:, None] + (q / reach)[..., None] * b[:, None]
    return centres[:, :2] * scale, reach, place


def wrap(centres: Array, left: Array, front: Array) -> Array:
    """The outline of the convex hull of ellipses in space; see `_flatten`."""
    flat, reach, place = _flatten(centres, left, front)
    farthest = (flat @ _DIRECTIONS.T + reach).argmax(axis=0)
    outline: Array = flat[farthest] + place[farthest, np.arange(len(_DIRECTIONS))]
    return outline


class Sketch:
    """The shapes of one figure, collected in any order."""

    def __init__(self, light: Point, middle: float) -> None:
        """`light` points to where the light comes from; `middle` is the depth of the trunk."""
        self.light, self.middle = light, middle
        # Capsules are many: their outlines are computed all at once, in `shapes`. Until then a number stands for them.
        self._entries: list[tuple[str, float, Array | int, Colour]] = []
        self._rows: list[tuple[float, float, float, float, float, float]] = []

    def add(self, part: str, depth: float, points: Array, colour: Colour) -> None:
        """One flat polygon, (n, 2); nothing if it has no area."""
        if len(points) > 2:
            self._entries.append((part, depth, points, colour))

    def capsule(self, part: str, depth: float, a: Point, b: Point, ra: float, rb: float, colour: Colour) -> None:
        """A flat tapered capsule."""
        self._entries.append((part, depth, len(self._rows), colour))
        self._rows.append((*a, ra, *b, rb))

    def limb(
        self,
        part: str,
        depth: float,
        a: Sequence[float],
        b: Sequence[float],
        ra: float,
        rb: float,
        colour: Colour,
        joined: tuple[bool, bool] = (False, False),
    ) -> None:
        """A rounded limb between two points in space.

        At an end that is `joined` to another limb the light layer reaches the tip, so that no dark line parts the two.
        """
        (ax, ay, sa), (bx, by, sb) = project(a), project(b)
        ra, rb = ra * sa, rb * sb
        # What lies behind the trunk gets less light.
        far = 1.0 + min(0.04, max(-0.18, 0.5 * (a[2] + b[2]) - self.middle))
        self.capsule(part, depth, (ax, ay), (bx, by), ra, rb, tone(colour, DARK * far))
        lx, ly = self.light
        dx, dy = bx - ax, by - ay
        length = math.hypot(dx, dy) + 1e-9
        reach_a, reach_b = 0.27 * ra * joined[0] / length, 0.27 * rb * joined[1] / length
        start = ax + 0.16 * ra * lx - reach_a * dx, ay + 0.16 * ra * ly - reach_a * dy
        end = bx + 0.16 * rb * lx + reach_b * dx, by + 0.16 * rb * ly + reach_b * dy
        self.capsule(part, depth, start, end, 0.77 * ra, 0.77 * rb, tone(colour, LIT * far))

    def band(self, part: str, rings: tuple[Array, Array, Array], fills: Sequence[tuple[float, Colour] | None]) -> None:
        """Convex hulls of successive ellipses in space (see `_flatten`), in two layers.

        Of n ellipses, `fills` gives the depth and the colour of the n - 1 hulls; None leaves one out.
        """
        flat, reach, place = _flatten(*rings)
        shift = 0.09 * reach.mean(axis=1, keepdims=True) * self.light
        for factor, shade, centres in ((1.0, DARK, flat), (0.84, LIT, flat + shift)):
            support, points = centres @ _DIRECTIONS.T + factor * reach, centres[:, None] + factor * place
            outlines = np.where((support[:-1] > support[1:])[..., None], points[:-1], points[1:])
            for outline, fill in zip(outlines, fills, strict=True):
                if fill:
                    self.add(part, fill[0], outline, tone(fill[1], shade))

    def shapes(self) -> list[Shape]:
        """Everything so far, in the order of drawing it."""
        outlines = capsules(np.array(self._rows).reshape(-1, 6))
        return [
            Shape(part, depth, outlines[points] if isinstance(points, int) else points, colour)
            for part, depth, points, colour in self._entries
        ]
