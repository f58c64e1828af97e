"""Things that belong to a pose: what a figure sits on, and what it holds in a hand."""

from __future__ import annotations

import numpy as np

from training.datasets.drawn.figures.body import KNEE, WRIST, Array, Figure
from training.datasets.drawn.figures.clothes import Colour, Rng, fabric, tone, vivid
from training.datasets.drawn.figures.shapes import ACROSS, DOWN, Shape, Sketch, between, wrap

_CORNERS = np.array([(x, y, z) for x in (-1.0, 1.0) for y in (0.0, 1.0) for z in (-1.0, 1.0)])


def _crate(sketch: Sketch, depth: float, corners: Array, colour: Colour) -> None:
    """A box in space from its 8 corners (8, 3), in the order of `_CORNERS`: its outline, and its lid lighter."""
    thin = 0.004
    for part, tint in ((corners, 0.8), (corners[[0, 1, 4, 5]], 1.1)):
        outline = wrap(part, np.repeat(thin * ACROSS, len(part), 0), np.repeat(thin * DOWN, len(part), 0))
        sketch.add("seat", depth, outline, tone(colour, tint))


def seat(rng: Rng, figure: Figure) -> list[Shape]:
    """A stool, a bench or a chair with a back under somebody who sits; depths fit those of the figure's own shapes."""
    sketch = Sketch((0.0, -1.0), 0.0)
    colour = fabric(rng)
    frame = figure.pelvis
    knees = 0.5 * (figure.joints[KNEE[0]] + figure.joints[KNEE[1]])
    reach = max(0.1, 0.75 * float(knees @ frame[:, 2]))
    wide = (0.13, 0.16, 0.45)[int(rng.integers(3))]
    half = 0.5 * (reach + 0.1)
    low = (0.30, 0.05)[int(rng.integers(2))]  # a block that stands on the ground, or a board
    middle = 0.055 * frame[:, 1] + (half - 0.1) * frame[:, 2]
    corners = middle + (_CORNERS * (wide, low, half)) @ frame.T
    # Legs hang in front of the seat for a viewer in front of it, and behind it for one behind.
    depth = float(middle[2]) - 0.06 if frame[2, 2] > 0.0 else float(middle[2]) + 0.02
    if low < 0.1:
        for corner in corners[2::4].tolist() + corners[3::4].tolist():
            ground = (np.array(corner) + 0.36 * frame[:, 1]).tolist()
            sketch.limb("seat", depth, corner, ground, 0.012, 0.010, tone(colour, 0.7))
    _crate(sketch, depth, corners, colour)
    if rng.random() < 0.4:
        middle = -0.12 * frame[:, 2] - 0.30 * frame[:, 1]
        corners = middle + (_CORNERS * (min(wide, 0.15), 0.36, 0.012)) @ frame.T
        _crate(sketch, float(middle[2]), corners, tone(colour, 0.85))
    return sketch.shapes()


def carry(rng: Rng, figure: Figure) -> list[Shape]:
    """A stick, a racket, a ball or a bag in one hand."""
    side = int(rng.integers(2))
    sketch = Sketch((0.0, -1.0), 0.0)
    wrist, tip = figure.joints[WRIST[side]], figure.hands[side]
    hand = 0.5 * (wrist + tip)
    along = (tip - wrist) / float(np.linalg.norm(tip - wrist))
    across = np.cross(along, rng.normal(size=3))
    across /= float(np.linalg.norm(across))
    depth, colour, kind = float(hand[2]) + 0.01, vivid(rng), rng.random()
    at = hand.tolist()
    if kind < 0.35:
        length = 0.15 + 0.35 * float(rng.random())
        ends = (hand - 0.3 * length * across).tolist(), (hand + length * across).tolist()
        sketch.limb("prop", depth, *ends, 0.008, 0.009, colour)
    elif kind < 0.55:
        end = hand + 0.2 * (0.6 * along + 0.8 * across)
        sketch.limb("prop", depth, at, end.tolist(), 0.008, 0.007, tone(colour, 0.6))
        far = (end + 0.05 * (0.6 * along + 0.8 * across)).tolist()
        sketch.limb("prop", depth + 0.001, end.tolist(), far, 0.05, 0.05, colour)
    elif kind < 0.75:
        radius = 0.03 + 0.035 * float(rng.random())
        ball = (hand + 0.6 * radius * along).tolist()
        sketch.limb("prop", depth, ball, ball, radius, radius, colour)
    else:
        top = (hand + 0.06 * np.array((0.0, 1.0, 0.0))).tolist()
        wide = 0.05 + 0.03 * float(rng.random())
        sketch.limb("prop", depth, at, top, 0.006, 0.006, tone(colour, 0.6))
        bag = np.array((top, between(top, (top[0], top[1] + 1.0, top[2]), 0.13)))
        rings = bag, np.repeat(wide * ACROSS, 2, 0), np.repeat(0.02 * DOWN, 2, 0)
        sketch.band("prop", rings, ((depth, colour),))
    return sketch.shapes()
