"""The built-in set of faces, drawn on the fly, so that training needs no download.

A face is a pure function of (seed, split, index): the same pixels in every process, and on every machine with the same
versions of NumPy and Pillow. The labels are the projected points that the drawing goes through, the hidden ones too.
The set serves to learn, to test and to compare; a network trained on it has not seen a photograph.
"""

from __future__ import annotations

from typing import ClassVar

from PIL import ImageDraw

from training.datasets.drawn.drawn import Drawn
from training.datasets.drawn.figures.camera import Placement, develop, draw_shapes
from training.datasets.drawn.figures.scenery import SUPERSAMPLING, backdrop, foreground
from training.datasets.drawn.heads.anatomy import draw_expression, draw_identity, draw_turn, express, project, view
from training.datasets.drawn.heads.looks import draw_look
from training.datasets.drawn.heads.painting import paint
from training.datasets.faces.base import OF_POINTS, POINTS_RULE, FaceLabel, as_sample
from training.labels.face_skeletons import IBUG68
from training.labels.sample import Sample
from training.labels.skeletons import Skeleton


class SyntheticFaces(Drawn):
    """Faces with ibug's 68 points, as many as asked for, one in four turned far to the side.

    Every point is labelled, hidden ones too, where it is on the face in space: in a half profile the far outline is
    that of the far jaw, as in 300W-LP's projected points, and not the visible contour. `yaw` is known.
    """

    skeleton: ClassVar[Skeleton] = IBUG68
    crop = POINTS_RULE

    @property
    def protocol(self) -> str:
        """One line on what numbers measured on this set rest on."""
        return (
            f"synthetic faces, split {self.split} of seed {self.seed}, {len(self)} faces, 68 points, "
            f"hidden ones too; {OF_POINTS}"
        )

    def sample(self, index: int) -> Sample:
        """Face `index`, drawn. Raises IndexError outside 0..len - 1."""
        rng = self.rng(index)
        look, expression, turn = draw_look(rng), draw_expression(rng), draw_turn(rng)
        face, turned = express(draw_identity(rng), expression), turn.matrix()
        shapes = paint(face, turned, look, expression.gaze)
        points = project(view(face[: len(IBUG68.keypoints)], turned))

        low, high = points.min(axis=0), points.max(axis=0)
        zoom = self.size * (0.42 + 0.2 * float(rng.random())) / float((high - low).max())
        x, y = (0.5 * (self.size - 1) - 0.5 * zoom * (low + high) + 0.05 * self.size * rng.uniform(-1, 1, 2)).tolist()
        place = Placement(zoom, x, y)
        joints = place.to_picture(points)

        n = SUPERSAMPLING * self.size
        image = backdrop(rng, n, n * (0.3 + 0.6 * float(rng.random())))
        draw = ImageDraw.Draw(image)
        draw_shapes(draw, shapes, place)
        if rng.random() < 0.12:
            (left, top), (right, bottom) = joints.min(axis=0).tolist(), joints.max(axis=0).tolist()
            box = (SUPERSAMPLING * left, SUPERSAMPLING * top, SUPERSAMPLING * right, SUPERSAMPLING * bottom)
            foreground(rng, draw, n, box)
        return as_sample(develop(rng, image), FaceLabel.whole(joints, turn.yaw), self.name_of(index))
