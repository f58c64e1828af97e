"""Pictures without a face: drawn scenery, people below the neck, and what is beside those who are labelled."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from hbcore.landmarks.squares import CropRule, around_picture
from training.datasets.drawn.drawn import Drawn
from training.datasets.drawn.figures.camera import develop
from training.datasets.drawn.figures.scenery import SUPERSAMPLING, backdrop
from training.datasets.own.labels import OwnSamples
from training.datasets.poses.lsp import Lspet
from training.datasets.scenes.instances import SIZES, scene
from training.labels.sample import Sample

LEAST_BESIDE = 64  # the same of a piece beside labelled faces
ROOM_BESIDE = 0.75  # how far a head reaches around the box of its points, in the longer side of that
NOTHING = np.zeros((0, 2))
LEAST = 24  # pixels of the shorter side of what is left of a photograph
HEADS, ROOM = (12, 13), 1.2  # neck and top of the head; how far a head reaches around each, in their distance


class Scenery(Drawn):
    """What drawn people stand before: rooms, streets, fields, plain surfaces and heaps of shapes."""

    name: ClassVar[str] = "scenery"
    skeleton = SIZES
    crop = CropRule("picture")
    faceless = True
    LENGTHS: ClassVar = {"train": 3_000, "test": 500}

    def __init__(self, split: str, length: int | None = None, seed: int = 0, size: int = 256) -> None:
        super().__init__(split, self.LENGTHS.get(split) if length is None else length, seed, size)

    @property
    def protocol(self) -> str:
        return f"scenery {self.split}: {len(self)} drawn pictures of seed {self.seed} without a face"

    def sample(self, index: int) -> Sample:
        """See Dataset."""
        rng = self.rng(index)
        n = SUPERSAMPLING * self.size
        picture = develop(rng, backdrop(rng, n, n * (0.2 + 0.7 * float(rng.random()))))
        return scene(picture, NOTHING, self.name_of(index))


class Bodies:
    """Of the pictures of LSP extended, the largest rectangle beside, above or below the head. Train only.

    Bodies, clothes, lawns and stands: what a finder would take for faces if it had never seen them. Spectators may
    have faces, small and blurred as a rule.
    """

    name = "lspet"
    skeleton = SIZES
    crop = CropRule("picture")
    faceless = True

    def __init__(self, people: Lspet) -> None:
        self.people, self.split = people, people.split
        # Without both ends of the head nobody knows where not to look.
        self.chosen = np.flatnonzero(people.labelled[:, HEADS].all(axis=1))
        self.protocol = f"lspet {self.split}: {len(self.chosen)} people without their heads"

    def __len__(self) -> int:
        return len(self.chosen)

    def sample(self, index: int) -> Sample:
        """See Dataset."""
        person = self.people.sample(int(self.chosen[index]))
        ends = person.keypoints[list(HEADS)].astype(np.float64)
        reach = ROOM * float(np.linalg.norm(ends[1] - ends[0]))
        height, width = person.picture.shape[:2]
        left, top, right, bottom = max(beside(ends, reach, width, height), key=_area)
        part = person.picture[top:bottom, left:right]
        if min(part.shape[:2]) < LEAST:  # a head that fills the picture: nothing else is left
            part = np.zeros((LEAST, LEAST, 3), np.uint8)
        return _piece(part, person.name)


class Beside:
    """What is left, right, above and below of the labelled in photographs: hands, clothes, letters, leaves. Train only.

    groups: for each photograph the samples in it. Whoever is not labelled is there all the same: crowds are better
    left out.
    """

    skeleton = SIZES
    crop = CropRule("picture")
    faceless = True

    def __init__(self, points: OwnSamples, groups: Sequence[Sequence[int]]) -> None:
        self.points, self.name, self.split = points, f"{points.name}-beside", points.split
        self.pieces: list[tuple[int, tuple[int, int, int, int]]] = []
        for group in groups:
            width, height = points.sizes[points.labels.files[group[0]]]
            shown = np.concatenate([points.labels.keypoints[one][points.labels.labelled[one]] for one in group])
            reach = ROOM_BESIDE * max(np.ptp(points.labels.keypoints[one], axis=0).max() for one in group)
            parts = beside(shown, reach, width, height)
            self.pieces += [(group[0], part) for part in parts if min(_sides(part)) >= LEAST_BESIDE]
        self.protocol = f"{self.name} {self.split}: {len(self.pieces)} pieces of photographs beside whoever is labelled"

    def __len__(self) -> int:
        return len(self.pieces)

    def sample(self, index: int) -> Sample:
        """See Dataset."""
        one, (left, top, right, bottom) = self.pieces[index]
        sample = self.points.sample(one)
        return _piece(sample.picture[top:bottom, left:right], sample.name)


Part = tuple[int, int, int, int]
"""Left, top, right and bottom of a rectangle in a picture, in whole pixels, the last two beyond it."""


def beside(points: NDArray[np.float64], reach: float, width: int, height: int) -> list[Part]:
    """The rectangles of a picture above, below, left and right of points (n, 2) and `reach` around them."""
    low, high = np.rint(points.min(axis=0) - reach), np.rint(points.max(axis=0) + reach)
    left, right = (int(min(max(0, x), width)) for x in (low[0], high[0]))
    top, bottom = (int(min(max(0, y), height)) for y in (low[1], high[1]))
    return [(0, 0, width, top), (0, bottom, width, height), (0, 0, left, height), (right, 0, width, height)]


def _sides(part: Part) -> tuple[int, int]:
    return part[2] - part[0], part[3] - part[1]


def _area(part: Part) -> int:
    width, height = _sides(part)
    return width * height


def _piece(part: NDArray[np.uint8], name: str) -> Sample:
    """A picture of its own, with nothing in it."""
    nothing = np.zeros((0, 2), np.float32), np.zeros(0, np.bool_)
    return Sample(np.ascontiguousarray(part), *nothing, *around_picture(part), math.nan, name)
