"""A dressed figure as a painter's list: every limb, garment and prop as flat shapes, the farthest first.

The order of depth is that of the bones' middles, with one exception (see `_leg`); it decides which arm crosses which.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from training.datasets.drawn.figures.body import (
    ANKLE,
    ELBOW,
    HIP,
    KNEE,
    PELVIS,
    SHOULDER,
    THORAX,
    WRIST,
    Array,
    Body,
    Figure,
)
from training.datasets.drawn.figures.clothes import Colour, Look, tone
from training.datasets.drawn.figures.head import paint_head
from training.datasets.drawn.figures.shapes import ACROSS, DARK, DISTANCE, DOWN, Shape, Sketch, between, wrap

SIDES = ("right", "left")

# The trunk: half widths and half thicknesses at levels between the pelvis (0) and the thorax (1).
_LEVEL = np.array((-0.14, 0.0, 0.18, 0.40, 0.72, 0.92, 1.00, 1.10))
_WIDTH = np.array((0.052, 0.092, 0.084, 0.072, 0.088, 0.099, 0.098, 0.034))
_THICK = np.array((0.045, 0.064, 0.062, 0.055, 0.063, 0.052, 0.044, 0.030))
_WAISTED = np.array((0.0, 0.0, 0.5, 1.0, 0.4, 0.0, 0.0, 0.0))  # how much of the body's `waist` applies
_WAIST = 0.40  # the level of the figure's `waist`


def _trunk_table(figure: Figure, body: Body) -> Array:
    """Centre, half axis to the left and half axis to the front, (8, 9), of the trunk at each of `_LEVEL`."""
    level = _LEVEL[:, None]
    share = level.clip(0.0, 1.0)
    pelvis, waist, thorax = figure.joints[PELVIS], figure.waist, figure.joints[THORAX]
    below = pelvis + (waist - pelvis) * (level / _WAIST)
    above = waist + (thorax - waist) * ((level - _WAIST) / (1.0 - _WAIST))
    girth = body.bulk * (1.0 + (body.waist - 1.0) * _WAISTED)
    across = body.hip / 0.053 * (1.0 - share) + body.shoulder / 0.100 * share
    frame = figure.pelvis + (figure.chest - figure.pelvis) * share[:, :, None]
    left = frame[:, :, 0] * (_WIDTH * girth)[:, None] * across
    front = frame[:, :, 2] * (_THICK * girth)[:, None]
    return np.concatenate([np.where(level < _WAIST, below, above), left, front], axis=1)


class _Dresser:
    """Draws one figure, part by part."""

    def __init__(self, figure: Figure, body: Body, look: Look) -> None:
        self.figure, self.body, self.look = figure, body, look
        self.joints: list[list[float]] = figure.joints.tolist()
        middle = 0.5 * (self.joints[THORAX][2] + self.joints[PELVIS][2])
        self.sketch = Sketch(look.light, middle)
        self.table = _trunk_table(figure, body)

    def arm(self, side: int) -> None:
        """Upper arm, forearm and hand: skin first, the sleeve over it."""
        look, limb = self.look, self.sketch.limb
        shoulder, elbow = self.joints[SHOULDER[side]], self.joints[ELBOW[side]]
        wrist, tip = self.joints[WRIST[side]], self.figure.hands[side].tolist()
        upper, lower = 0.5 * (shoulder[2] + elbow[2]), 0.5 * (elbow[2] + wrist[2])
        r0, r1, r2 = (radius * self.body.bulk for radius in (0.031, 0.024, 0.017))
        sleeve, wide = look.sleeve, look.loose

        part = f"{SIDES[side]} upper arm"
        if sleeve < 1.0:
            limb(part, upper, shoulder, elbow, r0, r1, look.skin, (False, True))
        if sleeve > 0.0:
            share = min(1.0, sleeve)
            cuff, top = (r0 + (r1 - r0) * share) * wide, r0 * (0.6 + 0.4 * wide)
            limb(part, upper + 0.001, shoulder, between(shoulder, elbow, share), top, cuff, look.shirt,
                 (False, sleeve > 1.0))  # fmt: skip
            for at in (0.3, 0.62, 0.94) if look.pattern == "stripes" else ():
                if at < share:
                    ends = between(shoulder, elbow, at - 0.07), between(shoulder, elbow, at + 0.05)
                    limb(part, upper + 0.002, *ends, 0.8 * r1, 0.8 * r1, look.second)

        part = f"{SIDES[side]} hand"
        palm = between(wrist, tip, 0.4)
        limb(part, lower + 0.0010, wrist, tip, 0.016, 0.011, look.skin)
        limb(part, lower + 0.0015, wrist, palm, 0.016, 0.020, look.skin, (True, True))

        part = f"{SIDES[side]} forearm"
        if sleeve < 2.0:
            limb(part, lower + 0.002, elbow, wrist, r1, r2, look.skin, (True, True))
        if sleeve > 1.0:
            share = sleeve - 1.0
            cuff = (r1 + (r2 - r1) * share) * wide
            limb(part, lower + 0.003, elbow, between(elbow, wrist, share), r1 * wide, cuff, look.shirt, (True, False))

    def leg(self, side: int) -> None:
        """Thigh, shin and foot: skin first, then socks, trousers and shoes."""
        look, limb, bulk = self.look, self.sketch.limb, self.body.bulk
        hip, knee, ankle = self.joints[HIP[side]], self.joints[KNEE[side]], self.joints[ANKLE[side]]
        thigh, shin = 0.5 * (hip[2] + knee[2]), 0.5 * (knee[2] + ankle[2])
        # A thigh in line with the trunk starts under the shirt, even if it is nearer the viewer.
        trunk = self.figure.joints[PELVIS] - self.figure.joints[THORAX]
        bone = self.figure.joints[KNEE[side]] - self.figure.joints[HIP[side]]
        if float(trunk @ bone) > 0.6 * self.body.trunk * self.body.thigh:
            thigh -= 0.07
        r0, r1, r2 = (radius * bulk for radius in (0.051, 0.035, 0.020))
        wide = 1.0 + 0.7 * (look.loose - 1.0)

        part, share = f"{SIDES[side]} thigh", min(1.0, look.leg)
        if share < 1.0:
            limb(part, thigh, hip, knee, r0, r1, look.skin, (True, True))
        if share > 0.0:
            cuff = (r0 + (r1 - r0) * share) * (wide + 0.1 * (share < 1.0))
            limb(part, thigh + 0.001, hip, between(hip, knee, share), r0, cuff, look.trousers, (True, look.leg > 1.0))

        part = f"{SIDES[side]} shin"
        if look.leg < 2.0:
            calf = between(knee, ankle, 0.3)
            limb(part, shin, knee, calf, r1 * 0.94, r1 * 0.96, look.skin, (True, True))
            limb(part, shin, calf, ankle, r1 * 0.96, r2, look.skin, (True, True))
            limb(part, shin + 0.001, between(knee, ankle, 0.8), ankle, r2 * 1.22, r2 * 1.1, look.socks, (False, True))
        if look.leg > 1.0:
            low = between(knee, ankle, look.leg - 1.0)
            limb(part, shin + 0.002, knee, low, r1 * wide, (r2 + 0.006) * wide, look.trousers, (True, False))

        heel, toe = self.figure.heels[side].tolist(), self.figure.toes[side].tolist()
        depth = shin + 0.5 * (toe[2] - ankle[2])
        centres = np.array((ankle, heel, between(heel, toe, 0.7), toe))
        radii = np.array(((0.021,), (0.021,), (0.024,), (0.014,)))
        foot = wrap(centres, radii * ACROSS, radii * DOWN)
        part = f"{SIDES[side]} foot"
        self.sketch.add(part, depth, foot, tone(look.shoes, 0.6))
        self.sketch.add(part, depth, foot - (0.0, 0.006), look.shoes)

    def trunk(self) -> None:
        """Pelvis, shirt and what is on the shirt. Only the front shows a neckline, a print, buttons or a lining."""
        look, depth = self.look, self.sketch.middle
        wide = 1.0 + 0.45 * (look.loose - 1.0)
        low, belt, shoulders = -0.14, 0.24, 1.1
        # The pelvis lies behind the thighs, or a dark line would part them from it; the belt goes around them.
        behind, around = (depth - 0.09, look.trousers), (depth - 0.001, look.trousers)
        levels: list[float] = [low, 0.0, belt, 0.0, belt]
        fills: list[tuple[float, Colour] | None] = [behind, behind, None, around, None]
        if look.pattern == "stripes":
            shirt = [look.hem + (shoulders - look.hem) * k / 9 for k in range(10)]
        else:
            shirt = [look.hem, *(level for level in _LEVEL[2:].tolist() if level > look.hem + 0.02)]
        for k, level in enumerate(shirt[:-1]):
            other = k % 2 == 1 if look.pattern == "stripes" else look.pattern == "two-tone" and level < 0.4
            fills.append((depth, look.second if other else look.shirt))
        centres, left, front = self._rings(np.array(levels + shirt))
        size = np.repeat((1.0, wide), (len(levels), len(shirt)))[:, None]
        self.sketch.band("trunk", (centres, size * left, size * front), fills)

        if look.pattern == "jacket":
            strip = ((1.02, 62.0), (0.7, 64.0), (look.hem, 68.0), (look.hem, 112.0), (0.7, 116.0), (1.02, 118.0))
            self._patch("trunk", depth + 0.001, strip, look.second, wide)
        elif look.pattern == "print":
            badge = ((0.86, 58.0), (0.52, 54.0), (0.52, 126.0), (0.86, 122.0))
            self._patch("trunk", depth + 0.001, badge, look.second, wide)
        elif look.pattern == "buttons":
            line = ((1.0, 83.0), (look.hem, 83.0), (look.hem, 97.0), (1.0, 97.0))
            self._patch("trunk", depth + 0.001, line, look.second, wide)
        cut = 1.0 - look.neckline
        neck = ((1.1, 10.0), (1.03, 50.0), (cut, 78.0), (cut, 102.0), (1.03, 130.0), (1.1, 170.0))
        self._patch("trunk", depth + 0.002, neck, tone(look.skin, 0.9), 1.02 * wide)
        if look.skirt > 0.0:
            self._skirt()
        if look.rucksack is not None:
            self._rucksack(look.rucksack, wide)

    def _rings(self, levels: Array) -> tuple[Array, Array, Array]:
        """Centres and half axes, each (n, 3), of the trunk at some levels: `_trunk_table`, interpolated."""
        at = (_LEVEL.searchsorted(levels) - 1).clip(0, len(_LEVEL) - 2)
        share = (levels - _LEVEL[at]) / (_LEVEL[at + 1] - _LEVEL[at])
        rings = self.table[at] + share[:, None] * (self.table[at + 1] - self.table[at])
        return rings[:, :3], rings[:, 3:6], rings[:, 6:]

    def _patch(
        self, part: str, depth: float, corners: Sequence[tuple[float, float]], colour: Colour, size: float
    ) -> None:
        """A polygon on the surface of the trunk; corners are (level, angle), 90 degrees being the middle of the front.

        A corner that is turned away moves along its ring to the edge of what can be seen.
        """
        levels, angles = np.array(corners).T
        centres, left, front = self._rings(levels)
        a2, b2 = (left * left).sum(axis=1), (front * front).sum(axis=1)
        nearest = np.arctan2(front[:, 2] / b2, left[:, 2] / a2)  # where the surface looks straight at the viewer
        turn = np.radians(angles)
        middle = turn.mean() - nearest
        away = turn - turn.mean() + (middle + math.pi) % (2.0 * math.pi) - math.pi
        if float(np.abs(away).min()) > 0.5 * math.pi:
            return
        at = (nearest + away.clip(-0.5 * math.pi, 0.5 * math.pi))[:, None]
        points = centres + size * (np.cos(at) * left + np.sin(at) * front)
        flat = points[:, :2] * (DISTANCE / (DISTANCE - points[:, 2:]))
        self.sketch.add(part, depth, flat, colour)

    def _skirt(self) -> None:
        """Cloth around the hips and both thighs, down to a share of them."""
        look = self.look
        centres, left, front = self._rings(np.array((0.06,)))
        nearest = self.sketch.middle
        for side in (0, 1):
            hip, knee = self.joints[HIP[side]], self.joints[KNEE[side]]
            low = between(hip, knee, min(look.skirt, 1.0))
            if look.skirt > 1.0:
                low = between(knee, self.joints[ANKLE[side]], look.skirt - 1.0)
            radius = self.body.bulk * (0.052 + 0.018 * look.loose)
            centres = np.concatenate([centres, (low,)])
            left = np.concatenate([left, radius * ACROSS])
            front = np.concatenate([front, 0.6 * radius * DOWN])
            nearest = max(nearest, 0.5 * (hip[2] + knee[2]) + 0.005)
        self.sketch.add("skirt", nearest - 0.003, wrap(centres, left, front), tone(look.trousers, DARK))
        centres[:, :2] += 0.01 * np.array(look.light)
        self.sketch.add("skirt", nearest - 0.003, wrap(centres, 0.8 * left, 0.8 * front), look.trousers)

    def _rucksack(self, colour: Colour, wide: float) -> None:
        """A block behind the chest, and its two straps in front."""
        centres, left, front = self._rings(np.array((0.3, 0.62, 0.95)))
        centres = centres - 1.75 * front
        depth = self.sketch.middle + float((centres - self.figure.waist)[1, 2])
        fills = ((depth, colour), (depth, tone(colour, 0.9)))
        self.sketch.band("rucksack", (centres, 0.85 * left, 0.95 * front), fills)
        for angle in (48.0, 132.0):
            strap = ((1.0, angle - 9), (0.5, angle - 16), (0.5, angle + 2), (1.0, angle + 9))
            self._patch("rucksack", self.sketch.middle + 0.003, strap, tone(colour, 0.7), 1.03 * wide)


def paint(figure: Figure, body: Body, look: Look) -> list[Shape]:
    """All shapes of a figure, farthest first."""
    dresser = _Dresser(figure, body, look)
    dresser.trunk()
    paint_head(dresser.sketch, figure, body, look)
    for side in (0, 1):
        dresser.arm(side)
        dresser.leg(side)
    return sorted(dresser.sketch.shapes(), key=lambda shape: shape.depth)  # stable: ties keep the order of drawing
