"""The head: a skull of hair and skin with a face on it, whatever side it is seen from."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np

from training.datasets.drawn.figures.body import HEAD_TOP, THORAX, UPPER_NECK, Array, Body, Figure
from training.datasets.drawn.figures.clothes import Look, tone
from training.datasets.drawn.figures.shapes import CIRCLE, DISTANCE, Point, Sketch, between

Corners = Array  # (n, 3) points of the unit sphere: to the left, down, to the front


def _sphere(*corners: tuple[float, float]) -> Corners:
    """Points of the unit sphere from (turn to the left, height above the eyes), in degrees."""
    turn, height = np.radians(np.array(corners)).T
    return np.stack([np.cos(height) * np.sin(turn), -np.sin(height), np.cos(height) * np.cos(turn)], axis=1)


def _mirrored(*corners: tuple[float, float]) -> Corners:
    """The same for an outline of which only the left half is given, from top to bottom."""
    return _sphere(*corners, *((-turn, height) for turn, height in reversed(corners)))


_FACE = _mirrored((16, 46), (38, 38), (60, 26), (73, 8), (77, -20), (74, -50), (50, -74), (16, -84))
_FACE_LIT = _mirrored((14, 41), (33, 34), (52, 22), (62, 6), (65, -20), (62, -46), (42, -68), (14, -78))
_BEARD = _sphere(
    (77, -16), (74, -50), (50, -74), (0, -86), (-50, -74), (-74, -50), (-77, -16),
    (-50, -36), (-22, -30), (22, -30), (50, -36),
)  # fmt: skip
_MOUTH = _sphere((16, -42), (-16, -42), (-11, -50), (11, -50))
_BROWS = tuple(_sphere((12 * s, 14), (38 * s, 16), (36 * s, 21), (12 * s, 19)) for s in (-1, 1))
_LENSES = tuple(_sphere((7 * s, 11), (44 * s, 12), (40 * s, -10), (11 * s, -10)) for s in (-1, 1))
_EYES, _EARS = _sphere((-24, 1), (24, 1)), _sphere((-88, -8), (88, -8))
_NOSE = _sphere((0, 4), (0, -17))
_RIM = _sphere(*((30.0 * k, 24.0) for k in range(12)))
_BRIM = _sphere(*((8.0 * k, 20.0) for k in range(-5, 6)))


class Ellipsoid:
    """An ellipsoid in space: where points of its surface appear, and which of them are turned to the viewer.

    Projected, it is the image of the unit sphere: turned by a rotation whose last row says how near a point is, then
    stretched in the plane by the Cholesky factor of the outline's matrix.
    """

    def __init__(self, centre: Array, axes: Array) -> None:
        """`axes` (3, 3) has the half axes as columns: to the left, down, to the front."""
        scale = DISTANCE / (DISTANCE - float(centre[2]))
        self.x, self.y = float(centre[0]) * scale, float(centre[1]) * scale
        flat = axes[:2] * scale
        (p, q), (_, r) = (flat @ flat.T).tolist()
        self.a = math.sqrt(p)
        self.b = q / self.a
        self.c = math.sqrt(max(r - self.b * self.b, 1e-12))
        first = flat[0] / self.a
        second = (flat[1] - self.b * first) / self.c
        self.stretch, self.middle = np.array(((self.a, self.b), (0.0, self.c))), np.array((self.x, self.y))
        self.rotation = np.stack([first, second, np.cross(first, second)])

    def place(self, u: float, v: float) -> Point:
        """From the unit disc to the plane."""
        return self.x + self.a * u, self.y + self.b * u + self.c * v

    def turned(self, corners: Corners) -> list[tuple[float, float, float]]:
        """Points of the sphere as (u, v, nearness); (u, v) in the unit disc, nearness positive where visible."""
        rows: list[list[float]] = (corners @ self.rotation.T).tolist()
        return [(u, v, near) for u, v, near in rows]

    def outline(self, size: float = 1.0, shift: Point = (0.0, 0.0)) -> Array:
        """The ellipse that bounds it, (12, 2), perhaps smaller or larger and shifted (in units of the disc)."""
        return self._place_all(size * CIRCLE + shift)

    def patch(self, corners: Corners, out: float = 1.0) -> Array:
        """The visible part, (n, 2), of a polygon on the surface; n is 0 if it is turned away.

        Beyond the horizon the polygon is closed along the horizon, the short way round. `out` scales the result.
        """
        points = self.turned(corners)
        start = next((k for k, point in enumerate(points) if point[2] >= 0.0), None)
        if start is None:
            return np.empty((0, 2))
        points = points[start:] + points[: start + 1]
        kept: list[tuple[float, float]] = []
        left_at = 0.0
        for (u0, v0, near0), (u1, v1, near1) in pairwise(points):
            if near0 >= 0.0:
                kept.append((u0, v0))
            if (near0 >= 0.0) == (near1 >= 0.0):
                continue
            share = near0 / (near0 - near1)
            angle = math.atan2(v0 + share * (v1 - v0), u0 + share * (u1 - u0))
            if near0 >= 0.0:
                left_at = angle
            else:
                arc = (angle - left_at + math.pi) % (2.0 * math.pi) - math.pi
                kept += [(math.cos(left_at + arc * k / 5), math.sin(left_at + arc * k / 5)) for k in range(1, 5)]
            kept.append((math.cos(angle), math.sin(angle)))
        return self._place_all(out * np.array(kept))

    def _place_all(self, disc: Array) -> Array:
        placed: Array = disc @ self.stretch + self.middle
        return placed


def paint_head(sketch: Sketch, figure: Figure, body: Body, look: Look) -> None:
    """Neck, skull, face, hair and hat. The shapes called "head" are the skull with the hair close to it."""
    down, front = figure.head[:, 1] * body.head, figure.head[:, 2] * body.head
    chest = figure.chest[:, 1] * body.head
    # The top of the head lies on the surface of the skull.
    axes = figure.head * (0.375 * body.head, 0.52 * body.head, 0.44 * body.head)
    centre = figure.joints[HEAD_TOP] + 0.52 * down
    skull = Ellipsoid(centre, axes)
    depth = float(centre[2]) + 0.03  # over the collar
    light = sketch.light

    thorax, upper_neck = figure.joints[THORAX].tolist(), figure.joints[UPPER_NECK].tolist()
    neck_top = between(upper_neck, figure.joints[HEAD_TOP].tolist(), 0.15)
    thick = 0.028 * body.bulk
    sketch.limb("neck", sketch.middle - 0.0005, thorax, neck_top, 1.15 * thick, thick, tone(look.skin, 0.92))

    sketch.add("head", depth, skull.outline(), tone(look.skin, 0.78))
    sketch.add("head", depth, skull.outline(0.86, (0.1 * light[0], 0.1 * light[1])), tone(look.skin, 0.95))
    if look.style != "bald":
        size = {"round": 1.24, "short": 1.02}.get(look.style, 1.07) if look.hat == "none" else 1.02
        back = centre - 0.055 * down - 0.07 * front
        mop = Ellipsoid(back, axes * size)
        sketch.add("head", depth + 0.0002, mop.outline(), tone(look.hair, 0.8))
        sketch.add("head", depth + 0.0003, mop.outline(0.78, (0.14 * light[0], 0.14 * light[1])), tone(look.hair, 1.12))

    # The face, from the skin up. `near` grows so that every layer lies on the one before.
    sketch.add("head", depth + 0.0010, skull.patch(_FACE), tone(look.skin, 0.86))
    sketch.add("head", depth + 0.0011, skull.patch(_FACE_LIT), look.skin)
    if look.beard:
        sketch.add("head", depth + 0.0012, skull.patch(_BEARD), tone(look.hair, 0.95))
    for u, v, near in skull.turned(_EARS):
        if near > -0.2:
            sketch.add("head", depth + 0.0012, _spot(skull.place(u, v), 0.011, 0.016), tone(look.skin, 0.8))
    brow = tone(look.hair, 0.7) if sum(look.hair) < 330 else (96, 72, 56)
    for u, v, near in skull.turned(_EYES):
        if near > 0.1:
            x, y = skull.place(u, v)
            sketch.add("head", depth + 0.0014, _spot((x, y), 0.004 + 0.007 * near, 0.008), (240, 236, 232))
            sketch.add("head", depth + 0.0015, _spot((x, y), 0.003 + 0.004 * near, 0.007), (30, 22, 22))
    for corners in _BROWS:
        sketch.add("head", depth + 0.0015, skull.patch(corners), brow)
    sketch.add("head", depth + 0.0015, skull.patch(_MOUTH), tone((196, 84, 84), 0.4 + 0.6 * look.skin[0] / 255))
    if look.glasses:
        for corners in _LENSES:
            sketch.add("head", depth + 0.0016, skull.patch(corners), (24, 24, 28))
    (u0, v0, near), (u1, v1, _) = skull.turned(_NOSE)
    if near > -0.3:
        bridge, tip = skull.place(u0, v0), skull.place(1.15 * u1, 1.15 * v1)
        over = 0.0014 if near > 0.0 else 0.0001
        sketch.capsule("head", depth + over, bridge, tip, 0.005, 0.010, tone(look.skin, 0.82))

    _hang_hair(sketch, look, depth, figure.joints[HEAD_TOP] + 0.5 * down - 0.4 * front, down, front, chest)
    if look.hat != "none":
        _put_on_hat(sketch, look, skull, depth)


def _spot(at: Point, wide: float, high: float) -> Array:
    return CIRCLE[::2] * (wide, high) + at


def _hang_hair(sketch: Sketch, look: Look, depth: float, back: Array, down: Array, front: Array, chest: Array) -> None:
    """What falls from the back of a head drawn at `depth`; the vectors are as long as the head."""
    size = float(np.linalg.norm(down))
    if look.style in ("long", "bob"):
        reach = 1.3 if look.style == "long" else 0.5
        start = back + 0.2 * front
        end = start + reach * (0.4 * down + 0.6 * chest) - 0.1 * front
        # Behind head and trunk for a viewer in front of the face, before both for anybody else.
        depth = min(depth, sketch.middle) - 0.002 if front[2] > 0.1 * size else max(depth, sketch.middle) + 0.0018
        sketch.limb("tresses", depth, start.tolist(), end.tolist(), 0.40 * size, 0.34 * size, look.hair)
    elif look.style == "tail":
        end = back + 0.9 * chest - 0.25 * front
        sketch.limb("tresses", float(back[2]) + 0.034, back.tolist(), end.tolist(), 0.15 * size, 0.09 * size, look.hair)
    elif look.style == "bun":
        knot = (back - 0.35 * down - 0.08 * front).tolist()
        sketch.limb("tresses", knot[2] + 0.034, knot, knot, 0.2 * size, 0.2 * size, look.hair)


def _put_on_hat(sketch: Sketch, look: Look, skull: Ellipsoid, depth: float) -> None:
    dome = skull.patch(_RIM, 1.14)
    if not len(dome):
        return  # seen from right below
    middle = dome.mean(axis=0)
    sketch.add("hat", depth + 0.0020, dome, tone(look.hat_colour, 0.75))
    sketch.add("hat", depth + 0.0021, middle + 0.8 * (dome - middle), look.hat_colour)
    if look.hat == "wool":
        return
    corners = skull.turned(_BRIM if look.hat == "cap" else _RIM)
    ahead = sum(near for _, _, near in corners) > 0.0
    edge = [skull.place(1.7 * u, 1.7 * v) for u, v, _ in corners]
    if look.hat == "cap":
        edge += [skull.place(1.1 * u, 1.1 * v) for u, v, _ in reversed(corners)]
    sketch.add("hat", depth + (0.0022 if ahead else 0.0018), np.array(edge), tone(look.hat_colour, 0.6))
