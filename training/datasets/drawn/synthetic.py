"""The built-in data set: dressed articulated figures, drawn on the fly, so that training needs no download.

A person is a pure function of (seed, split, index): the same pixels in every process, and on every machine with the
same versions of NumPy and Pillow. The labels are the projected joints of the very skeleton that is drawn, the hidden
ones too. The set serves to learn, to test and to compare; a network trained on it has not seen a photograph.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from PIL import Image, ImageDraw

from hbcore.landmarks.squares import CropRule
from training.datasets.drawn.drawn import Drawn
from training.datasets.drawn.figures.body import ANKLE, Array, assemble
from training.datasets.drawn.figures.camera import Placement, develop, draw_shapes
from training.datasets.drawn.figures.clothes import Rng, draw_look, tone
from training.datasets.drawn.figures.drawing import paint
from training.datasets.drawn.figures.poses import draw_body, draw_pose
from training.datasets.drawn.figures.props import carry, seat
from training.datasets.drawn.figures.scenery import SUPERSAMPLING, backdrop, foreground
from training.datasets.drawn.figures.shapes import DISTANCE, Shape, corners
from training.labels.sample import Sample
from training.labels.skeletons import MPII, Skeleton

_CUT = 0.045  # share of figures that the border of the picture may cut


@dataclass(frozen=True, eq=False)
class _Actor:
    """A figure ready to be placed; all lengths in statures, projected."""

    family: str
    shapes: list[Shape]  # farthest first
    points: Array  # (n, 2) the corners of all shapes, in their order
    joints: Array  # (16, 2)
    low: Array  # (2,) left and top of the body, without props
    high: Array  # (2,)
    head: Array  # (2,) width and height of the head with the hair close to it


def _cast(rng: Rng) -> _Actor:
    """Somebody at random: a body, a pose, clothes, perhaps a seat and a thing in the hand."""
    body, (family, pose), look = draw_body(rng), draw_pose(rng), draw_look(rng)
    figure = assemble(body, pose)
    shapes = paint(figure, body, look)
    points = corners(shapes)
    low, high = _box(points)
    left_top, right_bottom = _box(corners([shape for shape in shapes if shape.part == "head"]))
    props: list[Shape] = []
    if family == "sit" and rng.random() < 0.85:
        props += seat(rng, figure)
    if rng.random() < 0.12:
        props += carry(rng, figure)
    if props:
        shapes = sorted(props + shapes, key=lambda shape: shape.depth)
        points = corners(shapes)
    joints = figure.joints[:, :2] * (DISTANCE / (DISTANCE - figure.joints[:, 2:]))
    return _Actor(family, shapes, points, joints, low, high, right_bottom - left_top)


def _box(points: Array) -> tuple[Array, Array]:
    """Left top and right bottom of some points."""
    rows = points.T.copy()  # NumPy is slow on a last axis of 2
    return rows.min(axis=1), rows.max(axis=1)


def _draw(draw: ImageDraw.ImageDraw, actor: _Actor, place: Placement) -> None:
    draw_shapes(draw, actor.shapes, place, actor.points)


def _stage(rng: Rng, actor: _Actor, size: int) -> Placement:
    """A scale and a place at which the figure fits the picture, but for a few that the border cuts."""
    extent = actor.high - actor.low
    zoom = size * (0.55 + 0.22 * float(rng.random())) / float(extent.max())
    margin = 0.012 * size
    room = size - zoom * extent - 2.0 * margin
    # Towards the middle, as in a picture taken of somebody.
    corner = margin + room * (0.5 + 0.5 * rng.uniform(-1.0, 1.0, 2) * rng.random(2))
    if rng.random() < _CUT:
        side, part = int(rng.integers(4)), 0.05 + 0.15 * float(rng.random())
        axis, length = side % 2, zoom * float(extent[side % 2])
        corner[axis] = -part * length if side < 2 else size - (1.0 - part) * length
    x, y = (corner - zoom * actor.low - 0.5).tolist()  # from the picture's edge to the centre of its first pixel
    return Placement(zoom, x, y)


def _bystander(rng: Rng, draw: ImageDraw.ImageDraw, actor: _Actor, place: Placement) -> None:
    """Another figure beside the first and behind it, often cut by the border."""
    other = _cast(rng)
    zoom = place.zoom * (0.6 + 0.5 * float(rng.random()))
    left = rng.random() < 0.5
    gap = place.zoom * (0.02 + 0.2 * float(rng.random()))
    x0, x1 = place.x + place.zoom * float(actor.low[0]), place.x + place.zoom * float(actor.high[0])
    x = x0 - gap - zoom * float(other.high[0]) if left else x1 + gap - zoom * float(other.low[0])
    feet = place.y + place.zoom * (float(actor.high[1]) - 0.12 * float(rng.random()))
    _draw(draw, other, Placement(zoom, x, feet - zoom * float(other.high[1])))


def _shadow(image: Image.Image, draw: ImageDraw.ImageDraw, actor: _Actor, place: Placement) -> None:
    """A dark patch of ground under the feet."""
    feet = SUPERSAMPLING * place.to_picture(actor.joints[list(ANKLE)])
    reach, zoom = 0.5 * abs(float(feet[0, 0] - feet[1, 0])), SUPERSAMPLING * place.zoom
    x, y = float(feet[:, 0].mean()), float(feet[:, 1].max()) + 0.03 * zoom
    if 0 <= x < image.width and 0 <= y < image.height:
        ground = image.getpixel((int(x), int(y)))
        if isinstance(ground, tuple):
            wide, flat = reach + 0.10 * zoom, 0.03 * zoom
            draw.ellipse((x - wide, y - flat, x + wide, y + flat), fill=tone((ground[0], ground[1], ground[2]), 0.62))


class SyntheticFigures(Drawn):
    """Dressed figures with MPII's 16 joints, as many as asked for.

    Every joint inside the picture is labelled, hidden ones too; a joint outside is not (under 5 % of the figures are
    cut by the border). `head_size` follows MPII's protocol: 0.6 of the diagonal of the box of the head, which here is
    the box of the drawn skull with the hair close to it. The crop square is centred on the figure and 1.08 to 1.20
    times as wide as the longer side of the figure's box, both with a little fixed jitter: tight, as from a good
    detector, so that a small input still shows the joints.
    """

    skeleton: ClassVar[Skeleton] = MPII
    crop = CropRule("box", 1.14)

    @property
    def protocol(self) -> str:
        """One line on what numbers measured on this set rest on."""
        return (
            f"synthetic figures, split {self.split} of seed {self.seed}, {len(self)} persons: every joint in the "
            "picture counts; crop 1.08-1.20 x the figure's box; head size 0.6 x the diagonal of the drawn head's box"
        )

    def sample(self, index: int) -> Sample:
        """Person `index`, drawn. Raises IndexError outside 0..len - 1."""
        rng = self.rng(index)
        actor = _cast(rng)
        place = _stage(rng, actor, self.size)
        (left, top), (right, bottom) = place.to_picture(np.stack([actor.low, actor.high])).tolist()

        side = max(right - left, bottom - top) * (1.08 + 0.12 * float(rng.random()))
        shift = rng.uniform(-0.03, 0.03, 2) * side
        joints = place.to_picture(actor.joints)
        off_centre: Array = np.abs(joints - 0.5 * (self.size - 1)).max(axis=1)
        inside = off_centre <= 0.5 * self.size

        n = SUPERSAMPLING * self.size
        floor = top + (0.5 + 0.46 * float(rng.random())) * (bottom - top)  # in front of which the figure stands
        if actor.family == "lie":
            floor = 0.45 * self.size
        image = backdrop(rng, n, min(SUPERSAMPLING * floor, 0.97 * n))
        draw = ImageDraw.Draw(image)
        if rng.random() < 0.07:
            _bystander(rng, draw, actor, place)
        if actor.family not in ("jump", "lie", "run") and rng.random() < 0.7:
            _shadow(image, draw, actor, place)
        _draw(draw, actor, place)
        if rng.random() < 0.12:
            box = (SUPERSAMPLING * left, SUPERSAMPLING * top, SUPERSAMPLING * right, SUPERSAMPLING * bottom)
            foreground(rng, draw, n, box)

        return Sample(
            picture=develop(rng, image),
            keypoints=np.where(inside[:, None], joints, 0.0).astype(np.float32),
            labelled=inside,
            center=(0.5 * (left + right) + float(shift[0]), 0.5 * (top + bottom) + float(shift[1])),
            side=side,
            head_size=0.6 * place.zoom * math.hypot(float(actor.head[0]), float(actor.head[1])),
            name=self.name_of(index),
        )
