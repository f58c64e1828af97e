"""Pictures without a face: drawn scenery, and photographs of people below the neck."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np

from hbcore.landmarks.squares import CropRule, around_picture
from training.datasets.drawn.drawn import Drawn
from training.datasets.drawn.figures.camera import develop
from training.datasets.drawn.figures.scenery import SUPERSAMPLING, backdrop
from training.datasets.poses.lsp import Lspet
from training.datasets.scenes.instances import SIZES, scene
from training.labels.sample import Sample

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
        ends = person.keypoints[list(HEADS)]
        reach = ROOM * float(np.linalg.norm(ends[1] - ends[0]))
        (left, top), (right, bottom) = np.rint(ends.min(axis=0) - reach), np.rint(ends.max(axis=0) + reach)
        height, width = person.picture.shape[:2]
        left, right = (int(min(max(0, x), width)) for x in (left, right))
        top, bottom = (int(min(max(0, y), height)) for y in (top, bottom))
        whole = person.picture
        part = max((whole[:top], whole[bottom:], whole[:, :left], whole[:, right:]), key=np.size)
        if min(part.shape[:2]) < LEAST:  # a head that fills the picture: nothing else is left
            part = np.zeros((LEAST, LEAST, 3), np.uint8)
        center, side = around_picture(part)
        return Sample(
            np.ascontiguousarray(part),
            np.zeros((0, 2), np.float32),
            np.zeros(0, bool),
            center,
            side,
            math.nan,
            person.name,
        )
