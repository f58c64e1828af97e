"""The points of a face in space: ibug's 68 and a few more that the drawing needs, of any person and any expression.

Axes as those of `figures.body`: x to the person's left, y down, z to the front; the origin lies between the outer
corners of the eyes, whose distance is one half, so that the viewer, at figures.shapes.DISTANCE, is about a metre away.
Proportions are those of a grown-up, put together by eye; measured against the medians of frontal faces of 300-W, the
points of a face seen from the front are off by some hundredths of the distance between the eyes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.datasets.drawn.figures.body import roll, tip, turn
from training.datasets.drawn.figures.shapes import DISTANCE
from training.labels.face_skeletons import IBUG68

Array = NDArray[np.float64]
Rng = np.random.Generator

# Points beyond the 68: at the temple, where hair and forehead meet, and on the cheek; last, the middle of the hairline.
TEMPLE, HAIRLINE, CHEEK, HAIR_MIDDLE = (68, 71), (69, 72), (70, 73), 74
POINTS = 75

# The right half and the middle of a face at rest, in distances between the outer corners of the eyes: the first index
# of a row of points, and the points.
_HALF = (
    (0, (-0.84, 0.02, -0.80), (-0.83, 0.24, -0.77), (-0.80, 0.46, -0.71), (-0.745, 0.66, -0.60), (-0.65, 0.86, -0.43),
        (-0.515, 1.03, -0.22), (-0.35, 1.16, -0.02), (-0.175, 1.245, 0.12), (0.0, 1.275, 0.17)),
    (17, (-0.63, -0.14, -0.05), (-0.53, -0.235, 0.08), (-0.40, -0.26, 0.16), (-0.265, -0.24, 0.21),
        (-0.14, -0.19, 0.24)),
    (27, (0.0, -0.02, 0.21), (0.0, 0.13, 0.29), (0.0, 0.27, 0.39), (0.0, 0.40, 0.49)),
    (31, (-0.165, 0.50, 0.24), (-0.085, 0.53, 0.31), (0.0, 0.55, 0.35)),
    (36, (-0.50, 0.01, 0.0), (-0.40, -0.05, 0.08), (-0.285, -0.045, 0.095), (-0.19, 0.02, 0.08), (-0.29, 0.045, 0.085),
        (-0.395, 0.045, 0.065)),
    (48, (-0.315, 0.755, 0.14), (-0.205, 0.71, 0.26), (-0.085, 0.68, 0.33), (0.0, 0.70, 0.345)),
    (57, (0.0, 0.90, 0.32), (-0.09, 0.89, 0.305), (-0.205, 0.84, 0.245)),
    (60, (-0.27, 0.755, 0.17), (-0.09, 0.752, 0.31), (0.0, 0.757, 0.32)),
    (66, (0.0, 0.772, 0.31), (-0.09, 0.768, 0.30)),
    (TEMPLE[0], (-0.76, -0.40, -0.52), (-0.48, -0.73, -0.02), (-0.50, 0.38, 0.08)),
    (HAIR_MIDDLE, (0.0, -0.85, 0.11)),
)  # fmt: skip

MIRROR = np.concatenate([IBUG68.flip_index(), [71, 72, 73, 68, 69, 70, 74]])
"""(75,) which point a mirror puts in whose place."""


def _neutral() -> Array:
    points = np.zeros((POINTS, 3))
    for first, *row in _HALF:
        points[first : first + len(row)] = row
        points[MIRROR[first : first + len(row)]] = np.array(row) * (-1.0, 1.0, 1.0)
    return points


NEUTRAL = _neutral()
_JAW, _BROWS, _NOSE, _MOUTH = np.arange(17), np.arange(17, 27), np.arange(27, 36), np.arange(48, 68)
_EYE = (np.arange(36, 42), np.arange(42, 48))
_LIDS = (((37, 41), (38, 40)), ((43, 47), (44, 46)))  # upper and lower lid, right and left
_LOWER_LIP = np.array((55, 56, 57, 58, 59, 65, 66, 67))
_CORNERS = np.array((48, 54, 60, 64))
_HINGE = np.array((0, 0, 0.04, 0.14, 0.34, 0.58, 0.8, 0.95, 1, 0.95, 0.8, 0.58, 0.34, 0.14, 0.04, 0, 0))  # of the jaw


@dataclass(frozen=True)
class Expression:
    """What a face does; all zero is a face at rest."""

    open: float = 0.0  # of the mouth, 1 as wide as it goes
    smile: float = 0.0  # corners of the mouth out and up, negative down
    pucker: float = 0.0
    closed: tuple[float, float] = (0.0, 0.0)  # right and left eye, 1 is shut, negative wide open
    brows: float = 0.0  # raised, or lowered in a frown
    gaze: tuple[float, float] = (0.0, 0.0)  # to the left and down, in widths of an eye


@dataclass(frozen=True)
class Turn:
    """How a head is held, in degrees: `yaw` to its left, `pitch` nods, `roll` tips it to its right."""

    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0

    def matrix(self) -> Array:
        matrix: Array = roll(self.roll) @ tip(self.pitch) @ turn(self.yaw)
        return matrix


def draw_identity(rng: Rng) -> Array:
    """The points (75, 3) of a random person at rest."""

    def vary(by: float) -> float:
        return 1.0 + by * min(2.2, max(-2.2, float(rng.standard_normal())))

    points = NEUTRAL.copy()
    _scale(points, _BROWS, (vary(0.03), vary(0.10), 1.0), points[27])
    points[_BROWS, 1] += 0.035 * (vary(1.0) - 1.0)
    size = vary(0.07), vary(0.14), 1.0
    for eye in _EYE:
        _scale(points, eye, size, points[eye].mean(axis=0))
    _scale(points, _NOSE, (vary(0.12), vary(0.09), vary(0.15)), points[27])
    _scale(points, _MOUTH, (vary(0.09), vary(0.17), 1.0), points[62])
    low = _JAW[2:-2]
    taper = vary(0.07)
    points[low, 0] *= 1.0 + (taper - 1.0) * np.clip(points[low, 1] / 0.9, 0.0, 1.0)
    points[_JAW[6:11], 1] += 0.05 * (vary(1.0) - 1.0)
    long, below = vary(0.06), points[:, 1] > 0.0
    points[below, 1] *= long
    points[:, 0] *= vary(0.05)
    points[:, 2] *= vary(0.08)
    wobble = 0.004 * rng.standard_normal((POINTS, 3))
    points += wobble + wobble[MIRROR] * (-1.0, 1.0, 1.0)
    return points


def _scale(points: Array, chosen: NDArray[np.intp], factors: tuple[float, float, float], about: Array) -> None:
    points[chosen] = about + (points[chosen] - about) * factors


def express(points: Array, expression: Expression) -> Array:
    """The points (75, 3) of a person at rest, with an expression."""
    face = points.copy()
    drop = 0.42 * expression.open
    face[_LOWER_LIP, 1] += drop
    face[_CORNERS, 1] += 0.42 * drop
    face[_JAW, 1] += drop * np.array(
        (0, 0, 0.04, 0.14, 0.34, 0.58, 0.8, 0.95, 1, 0.95, 0.8, 0.58, 0.34, 0.14, 0.04, 0, 0)
    )
    face[_CORNERS, 0] *= 1.0 - 0.12 * expression.open
    face[_MOUTH, 0] *= 1.0 + 0.22 * expression.smile - 0.35 * expression.pucker
    face[_MOUTH, 2] += 0.10 * expression.pucker - 0.03 * expression.smile
    face[_CORNERS, 1] -= 0.10 * expression.smile
    face[list(CHEEK), 1] -= 0.06 * max(0.0, expression.smile)
    face[_BROWS, 1] -= 0.11 * expression.brows
    if expression.brows < 0.0:
        face[[20, 21, 22, 23], 0] *= 1.0 + 0.25 * expression.brows
    for lids, closed in zip(_LIDS, expression.closed, strict=True):
        for upper, lower in lids:
            gap = face[lower] - face[upper]
            face[upper] += 0.95 * closed * gap
            face[lower] -= 0.04 * max(0.0, closed) * gap
    return face


def view(points: Array, turned: Array) -> Array:
    """Points (n, 3) in distances between the eyes, turned by a rotation (3, 3), in the units of the viewer's axes."""
    seen: Array = 0.5 * points @ turned.T
    return seen


def project(points: Array) -> Array:
    """Points (n, 3) of the view in the plane (n, 2), with weak perspective, as figures.shapes.project."""
    flat: Array = points[:, :2] * (DISTANCE / (DISTANCE - points[:, 2:]))
    return flat


def draw_turn(rng: Rng) -> Turn:
    """Most heads look near the viewer; one in four is turned away by anything up to a profile."""

    def normal(sd: float, most: float) -> float:
        return min(most, max(-most, sd * float(rng.standard_normal())))

    yaw = normal(20.0, 60.0) if rng.random() < 0.75 else 170.0 * float(rng.random()) - 85.0
    return Turn(yaw, normal(9.0, 28.0), normal(11.0, 40.0))


def draw_expression(rng: Rng) -> Expression:
    """A random expression; mouths are mostly closed, eyes mostly open."""
    wide = float(rng.random()) if rng.random() < 0.4 else 0.0
    smile = float(rng.random()) if rng.random() < 0.45 else -0.35 * float(rng.random())
    blink = float(rng.random())
    closed = -0.25 + 0.5 * float(rng.random())
    shut = 1.0 if blink < 0.08 else closed
    other = 1.0 - shut if blink > 0.97 else shut
    look = 0.16 * rng.standard_normal(2)
    return Expression(
        open=wide**1.5,
        smile=smile,
        pucker=float(rng.random()) if rng.random() < 0.08 else 0.0,
        closed=(shut, min(1.0, other)),
        brows=min(1.0, max(-0.7, 0.4 * float(rng.standard_normal()))),
        gaze=(float(look[0].clip(-0.28, 0.28)), float(look[1].clip(-0.1, 0.1))),
    )
