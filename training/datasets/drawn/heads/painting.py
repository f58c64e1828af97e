"""A face as a painter's list: a shaded skin of triangles between the points, and the features on it, farthest first.

Every feature is a polygon through the very points that are the labels, so that these lie on what is drawn.
"""

from __future__ import annotations

import numpy as np

from training.datasets.drawn.figures.clothes import Colour, tone
from training.datasets.drawn.figures.head import Ellipsoid
from training.datasets.drawn.figures.shapes import CIRCLE, Shape, capsules
from training.datasets.drawn.heads.anatomy import CHEEK, HAIR_MIDDLE, HAIRLINE, MIRROR, TEMPLE, Array, project, view
from training.datasets.drawn.heads.looks import Look

_T, _H, _C, _M = TEMPLE[0], HAIRLINE[0], CHEEK[0], HAIR_MIDDLE
_SKIN_HALF = (
    (0, _T, 17), (0, 17, 36), (_T, _H, 17), (_H, 18, 17), (_H, 19, 18), (_H, 20, 19), (_H, _M, 20), (_M, 21, 20),
    (_M, 27, 21), (17, 18, 37), (17, 37, 36), (18, 19, 37), (19, 38, 37), (19, 20, 38), (20, 21, 38), (21, 39, 38),
    (21, 27, 39), (0, 36, 1), (36, _C, 1), (36, 41, _C), (41, 40, _C), (40, 39, _C), (36, 37, 41), (37, 38, 41),
    (38, 40, 41), (38, 39, 40), (27, 28, 39), (28, 29, 39), (29, 31, 39), (29, 30, 31), (39, 31, _C), (30, 32, 31),
    (30, 33, 32), (1, _C, 2), (2, _C, 3), (_C, 48, 3), (_C, 31, 48), (31, 49, 48), (31, 32, 49), (32, 50, 49),
    (32, 33, 50), (33, 51, 50), (3, 48, 4), (4, 48, 5), (48, 59, 5), (5, 59, 6), (59, 58, 6), (6, 58, 7), (58, 57, 7),
    (7, 57, 8),
)  # fmt: skip
_SKIN = np.array([*_SKIN_HALF, *(MIRROR[[a, c, b]] for a, b, c in _SKIN_HALF)])  # clockwise in the picture
_JAW, _BASE, _LIP = set(range(17)), set(range(31, 36)), set(range(48, 60))
_SETS = [set(triangle) for triangle in _SKIN.tolist()]
_BEARD = np.array([bool(_JAW & s) and bool(_LIP & s) for s in _SETS])
_MOUSTACHE = np.array([bool(_BASE & s) and bool(_LIP & s) and not set(CHEEK) & s for s in _SETS])
_HAIRY = {"full": _BEARD | _MOUSTACHE, "stubble": _BEARD | _MOUSTACHE, "moustache": _MOUSTACHE, "none": _BEARD & False}
_TONE = np.array([0.84 if s <= _BASE | {30} else 1.0 for s in _SETS])  # less light below the nose
_EYES = (np.arange(36, 42), np.arange(42, 48))
_UPPER_LIP = np.array((*range(48, 55), *range(64, 59, -1)))
_LOWER_LIP = np.array((*range(54, 60), 48, 60, 67, 66, 65, 64))
_INNER = np.arange(60, 68)
_NOSTRILS = (np.array((31, 32)), np.array((35, 34)))
_SKULL = np.array((0.0, -0.30, -0.74)), np.array((0.80, 0.98, 0.90))
_EAR = np.stack([-0.86 - 0.05 * CIRCLE[:, 0], 0.14 + 0.25 * CIRCLE[:, 1], -0.90 - 0.13 * CIRCLE[:, 0]], axis=1)
_RING = np.concatenate([1.12 * CIRCLE, 1.12 * CIRCLE[:1], 0.92 * CIRCLE[:1], 0.92 * CIRCLE[::-1]])
"""An outline with a hole in it: once round outside, then back inside."""


class _Painter:
    """Collects the shapes of one face; points are in distances between the eyes, before the turn of the head."""

    def __init__(self, face: Array, turned: Array, look: Look, gaze: tuple[float, float]) -> None:
        self.face, self.turned, self.look, self.gaze = face, turned, look, gaze
        self.shapes: list[Shape] = []
        # Polygons on the head are turned and projected all at once, in `finish`.
        self._polygons: list[tuple[str, Array, Colour, float, bool]] = []

    def polygon(self, part: str, points: Array, colour: Colour, above: float = 0.0, facing: bool = True) -> None:
        """One polygon through points (n, 3); left out if it is turned away, unless it has two sides (`facing` False).

        Its depth is that of its nearest point, so that the skin around it lies below, and `above` more.
        """
        self._polygons.append((part, points, colour, above, facing))

    def finish(self) -> list[Shape]:
        """All shapes, farthest first."""
        ends = np.cumsum([len(points) for _, points, _, _, _ in self._polygons])
        seen = view(np.concatenate([points for _, points, _, _, _ in self._polygons]), self.turned)
        flat = project(seen)
        following = np.arange(1, len(flat) + 1)
        following[ends - 1] = starts = np.concatenate([[0], ends[:-1]])
        cross = flat[:, 0] * flat[following, 1] - flat[:, 1] * flat[following, 0]
        areas, depths = np.add.reduceat(cross, starts).tolist(), np.maximum.reduceat(seen[:, 2], starts).tolist()
        for k, (part, _, colour, above, facing) in enumerate(self._polygons):
            if areas[k] > 0.0 or not facing:  # clockwise in the picture: its front
                self.shapes.append(Shape(part, depths[k] + above, flat[starts[k] : ends[k]], colour))
        return sorted(self.shapes, key=lambda shape: shape.depth)

    def skin(self) -> None:
        """The shaded triangles: flat ones, each lit by its own slope and by that of the head as a whole."""
        look, seen = self.look, view(self.face, self.turned)
        corners, flat = seen[_SKIN], project(seen)[_SKIN]
        across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        middle = corners.mean(axis=1)
        round_ = middle - view(np.array(((0.0, 0.1, -0.7),)), self.turned)
        normal = across / (np.linalg.norm(across, axis=1, keepdims=True) + 1e-9)
        normal += round_ / np.linalg.norm(round_, axis=1, keepdims=True)
        lit = (normal @ look.light / (np.linalg.norm(normal, axis=1) + 1e-9)).clip(0.0, 1.0)
        shade = (_TONE * (look.ambient + (1.15 - look.ambient) * lit)).tolist()
        first, second = flat[:, 1] - flat[:, 0], flat[:, 2] - flat[:, 0]
        shown = np.flatnonzero(first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0] > 0.0).tolist()
        beard = _mix(look.skin, look.brows, 0.3 if look.beard == "stubble" else 0.85)
        hairy, depth = _HAIRY[look.beard].tolist(), middle[:, 2].tolist()
        for k in shown:
            self.shapes.append(Shape("skin", depth[k], flat[k], tone(beard if hairy[k] else look.skin, shade[k])))

    def eye(self, side: int) -> None:
        """White, iris and pupil within the lids, a dark upper lid, and the brow."""
        look, lids = self.look, self.face[_EYES[side]]
        self.polygon("eye", lids, tone((236, 230, 226), 0.95), 0.01)
        # From the outer to the inner corner on the right, from the inner to the outer on the left: x grows on both.
        upper, lower = lids[:4], lids[[0, 5, 4, 3]]
        width = float(lids[3, 0] - lids[0, 0])
        middle = lids.mean(axis=0) + np.array((*self.gaze, 0.0)) * width
        for part, radius, colour in (("iris", 0.20, look.iris), ("pupil", 0.09, (16, 14, 14))):
            disc = np.zeros((12, 3))
            disc[:, :2] = middle[:2] + radius * width * CIRCLE
            x = disc[:, 0] = disc[:, 0].clip(lids[0, 0], lids[3, 0])
            disc[:, 1] = disc[:, 1].clip(np.interp(x, *upper[:, :2].T), np.interp(x, *lower[:, :2].T))
            disc[:, 2] = np.interp(x, upper[:, 0], upper[:, 2])
            if np.ptp(disc[:, 1]) > 0.01:  # else the lids are shut
                self.polygon(part, disc, colour, 0.02 if part == "iris" else 0.03)
        lash = upper.copy()
        lash[1:3, 1] -= 0.035
        self.polygon("lash", np.concatenate([lash, upper[2:0:-1]]), tone(look.brows, 0.5), 0.04)

        brow = self.face[17:22] if side == 0 else self.face[22:27]
        half = 0.045 * look.thick * np.array((0.4, 0.8, 1.0, 1.1, 1.0))
        thick = np.zeros((5, 3))
        thick[:, 1] = half if side == 0 else half[::-1]
        self.polygon("brow", np.concatenate([brow - thick, (brow + thick)[::-1]]), look.brows, 0.01)

    def nose(self) -> None:
        """The nostrils; the nose itself is skin, lit by its slopes."""
        for outer, inner in self.face[np.array(_NOSTRILS)]:
            hole = np.zeros((12, 3))
            hole[:] = 0.5 * (outer + inner) - (0.0, 0.022, 0.0)
            hole[:, :2] += CIRCLE * (0.42 * abs(inner[0] - outer[0]), 0.022)
            self.polygon("nostril", hole, tone(self.look.skin, 0.35), 0.02)

    def mouth(self) -> None:
        """Both lips, and between them teeth and the dark."""
        look, face = self.look, self.face
        self.polygon("lips", face[_UPPER_LIP], tone(look.lips, 0.86), 0.01)
        self.polygon("lips", face[_LOWER_LIP], look.lips, 0.01)
        inner = face[_INNER]
        self.polygon("mouth", inner, (52, 22, 24), 0.02)
        gap = float(inner[6, 1] - inner[2, 1])
        if gap > 0.05:
            teeth = inner[:5].copy()
            edge = np.add(teeth[3:0:-1], (0.0, min(0.6 * gap, 0.10), 0.0))
            self.polygon("teeth", np.concatenate([teeth, edge]), (232, 226, 214), 0.03)

    def hair(self) -> None:
        """The head behind the face, ears, and what hangs from the hairline."""
        look = self.look
        centre, axes = _SKULL
        colour = look.skin if look.style == "bald" else look.hair
        for size, shade in ((1.0 if look.style == "bald" else 1.1, 0.72), (0.92, 0.9)):
            head = Ellipsoid(view(centre[None], self.turned)[0], 0.5 * size * self.turned * axes)
            self.shapes.append(Shape("head", -9.0 + shade, head.outline(), tone(colour, shade)))
        for mirror in (1.0, -1.0):
            if look.style != "long":
                self.polygon("ear", _EAR * (mirror, 1.0, 1.0), tone(look.skin, 0.8), facing=False)
            else:
                ends = view(np.array(((-0.72 * mirror, -0.3, -0.8), (-0.78 * mirror, 1.5, -0.85))), self.turned)
                (ax, ay), (bx, by) = project(ends)
                lock = capsules(np.array(((ax, ay, 0.2, bx, by, 0.17),)))[0]
                self.shapes.append(Shape("hair", -7.0, lock, tone(look.hair, 0.85)))
        if look.style != "bald":
            line = self.face[[TEMPLE[0], HAIRLINE[0], HAIR_MIDDLE, HAIRLINE[1], TEMPLE[1]]]
            down = self.face[[17, 19, 27, 24, 26]] - (0.0, 0.12, 0.0)
            low = line + look.fringe * (down - line)
            high = line * (1.03, 1.14, 1.0) - (0.0, 0.0, 0.16)
            for k in range(4):
                strip = np.stack([high[k], high[k + 1], low[k + 1], low[k]])
                self.polygon("fringe", strip, tone(look.hair, 0.92 + 0.1 * (k % 2)), 0.03)

    def glasses(self) -> None:
        """Two rims or dark lenses, the bridge between them and a bow to either ear."""
        look = self.look
        for eye, outward in zip(_EYES, (-1.0, 1.0), strict=True):
            middle = np.add(self.face[eye].mean(axis=0), (0.0, 0.03, 0.09))
            flat = (CIRCLE if look.glasses == "dark" else _RING) * (0.265, 0.22)
            lens = middle + np.column_stack([flat, -0.06 * np.abs(flat[:, 0])])
            self.polygon("glasses", lens, look.rims if look.glasses == "rims" else (26, 26, 30), 0.10, facing=False)
            bow = np.array((middle, (0.86 * outward, 0.02, -0.9), (0.86 * outward, 0.06, -0.9), middle))
            bow[[0, 3]] += ((0.27 * outward, -0.05, -0.05), (0.27 * outward, -0.01, -0.05))
            if outward * float(self.turned[2, 0]) > -0.3:
                self.polygon("glasses", bow, look.rims, 0.0, facing=False)
        bridge = np.array(((-0.09, 0.0, 0.20), (0.09, 0.0, 0.20), (0.09, 0.035, 0.20), (-0.09, 0.035, 0.20)))
        self.polygon("glasses", bridge, look.rims, 0.10, facing=False)

    def body(self) -> None:
        """Neck and shoulders, which do not turn with the head."""
        top = view(np.array(((0.0, 0.75, -0.80),)), self.turned)[0]
        rows = np.array(((-0.70, 1.26, 0.34, 0.70, 1.26, 0.34), (0.0, 1.0, 0.24, float(top[0]), float(top[1]), 0.21)))
        shoulders, neck = capsules(rows)
        self.shapes.append(Shape("shirt", -10.0, shoulders, self.look.shirt))
        self.shapes.append(Shape("neck", -8.0 - 1.5 * (self.look.style != "long"), neck, tone(self.look.skin, 0.62)))


def _mix(colour: Colour, other: Colour, share: float) -> Colour:
    red, green, blue = (round(a + share * (b - a)) for a, b in zip(colour, other, strict=True))
    return red, green, blue


def paint(face: Array, turned: Array, look: Look, gaze: tuple[float, float] = (0.0, 0.0)) -> list[Shape]:
    """The shapes of a face, farthest first, in the plane of the viewer.

    `face` (75, 3) are the points of `anatomy` with their expression, `turned` (3, 3) is the rotation of the head.
    """
    painter = _Painter(face, turned, look, gaze)
    painter.body()
    painter.hair()
    painter.skin()
    for side in (0, 1):
        painter.eye(side)
    painter.nose()
    painter.mouth()
    if look.glasses != "none":
        painter.glasses()
    return painter.finish()
