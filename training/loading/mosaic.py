"""Batches of scenes: what a finder learns from, put together of labelled instances and of pictures without any.

A scene is a picture without an instance, blown up to fill it, with tiles on top: instances of all sizes with what is
around them, and pieces of further pictures without any, which look the same at their edges. Small tiles lie on large
ones, but on no instance. Edges are soft, corners round, to a degree that is drawn: they shall not say where faces are.

As in `training/loading/batch.py` a scene is a function of the seed and of its number.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from hbcore.landmarks.crop import Crop
from hbcore.landmarks.finding.sizes import MOST
from training.datasets.scenes.instances import padded
from training.errors import BadPicture
from training.labels.sample import Sample
from training.labels.skeletons import Skeleton
from training.loading.batch import AUGMENTATION, BatchPlan, Labels

TILES = 6, 24  # of a scene; those that find no room are left out
SMALLEST = 11.0  # pixels of an instance
LARGEST = 0.8  # that share of a scene
LEAST_TOP = 24.0  # the largest instance of a scene has at least so many pixels
MARGIN = 1.25, 3.0  # side of a tile over the longer side of its instance; no more than the picture has, or little
FACELESS = 0.5  # share of tiles
TRIES = 8  # places that a tile is tried at
SOFT = 0.35  # share of tiles that are blurred
GREY = 0.1  # share of scenes without colour

Picture = NDArray[np.uint8]


class MosaicPlan(BatchPlan):
    """A plan whose examples are scenes; the keypoints of a batch are the corners of boxes, see `Photos`."""

    def places(self, step: int, share: int, workers: int) -> list[int]:
        """See BatchPlan. Samples meet in scenes, so that none belongs to a worker."""
        return list(range(share, self.batch_size, workers))

    def example(self, step: int, place: int, pictures: Picture) -> Labels:
        """See BatchPlan."""
        k = step * self.batch_size + place
        rng = np.random.default_rng(np.random.SeedSequence([self.seed, AUGMENTATION, k]))
        bad: list[tuple[str, str]] = []
        scene = pictures[place]
        cover, _ = self._tile(rng, self._drawn(rng, True, bad), self.size, MARGIN[0])
        scene[:] = cover
        top = LEAST_TOP * (LARGEST * self.size / LEAST_TOP) ** rng.random()
        sizes = SMALLEST * (top / SMALLEST) ** np.sort(rng.random(rng.integers(*TILES)))[::-1]
        boxes: list[NDArray[np.float64]] = []
        for size in sizes.tolist():
            sample = self._drawn(rng, rng.random() < FACELESS, bad)
            margin = _margin(rng, sample)
            tile, box = self._tile(rng, sample, max(8, round(size * margin)), margin)
            found = self._room(rng, tile, box, boxes)
            if found is None:
                continue
            paste(scene, tile, found, rng)
            if box is not None:
                boxes.append(box + np.tile(found, 2))
        if rng.random() < GREY:
            scene[:] = scene.mean(axis=2, keepdims=True)
        keypoints, labelled = padded(np.array(boxes).reshape(-1, 2))
        return Labels(keypoints, labelled, None, f"scene {k}", tuple(bad))

    def _drawn(self, rng: np.random.Generator, faceless: bool, bad: list[tuple[str, str]]) -> Sample:
        """A sample with an instance, or of a set that has none; of any, where there is no such set."""
        data = self.data
        spans = list(zip(data.datasets, pairwise((0, *data.ends)), strict=True))
        fitting = [span for dataset, span in spans if getattr(dataset, "faceless", False) == faceless]
        # Of sets without faces each is as likely, whatever its length: one may be thousands of times the same lawn.
        choices = fitting or [span for _, span in spans]
        start, end = choices[int(rng.integers(len(choices)))] if faceless else choices[_weighed(rng, choices)]
        for further in range(end - start):
            index = start + (int(rng.integers(end - start)) + further) % (end - start)
            try:
                return data.sample(index)
            except BadPicture as error:
                if not self.skip_bad:
                    raise
                bad.append((str(index), str(error)))
        raise BadPicture(f"none of {end - start} pictures can be read; the last one: {bad[-1][1]}")

    def _tile(
        self, rng: np.random.Generator, sample: Sample, side: int, margin: float
    ) -> tuple[Picture, NDArray[np.float64] | None]:
        """A tile (side, side, 3), and the box (4,) in it, None where there is no instance."""
        points = sample.keypoints[sample.labelled]
        if len(points) > 1:
            low, high = points.min(axis=0).astype(np.float64), points.max(axis=0).astype(np.float64)
            sample = replace(
                sample, center=tuple(((low + high) / 2).tolist()), side=margin * max(float((high - low).max()), 4.0)
            )
        else:
            height, width = sample.picture.shape[:2]
            part = min(height, width) * rng.uniform(0.4, 1.0)
            center = [(extent - 1) / 2 + (extent - part) * (rng.random() - 0.5) for extent in (width, height)]
            sample = replace(sample, center=tuple(center), side=part)
        shown = max(6, round(side * rng.uniform(0.4, 1.0))) if rng.random() < SOFT else side
        made = self.augmentation.apply(sample, shown, _points(len(sample.labelled)), rng)
        picture = made.picture
        if shown != side:
            picture = Crop(((shown - 1) / 2,) * 2, shown, side).extract(picture)
        if len(points) < 2:
            return picture, None
        found = (made.keypoints[made.labelled].astype(np.float64) + 0.5) * (side / shown) - 0.5
        return picture, np.concatenate([found.min(axis=0), found.max(axis=0)])

    def _room(
        self, rng: np.random.Generator, tile: Picture, box: NDArray[np.float64] | None, boxes: list[NDArray[np.float64]]
    ) -> NDArray[np.float64] | None:
        """Where a tile's upper left corner (2,) can lie: its box in the scene, and the tile on no other box."""
        if len(boxes) >= MOST:
            return None
        side = len(tile)
        x0, y0, x1, y1 = (0.0, 0.0, side - 1.0, side - 1.0) if box is None else box.tolist()
        for _ in range(TRIES):
            x, y = rng.random(2)
            left = round(-x0 + x * (self.size - 1 - (x1 - x0)))
            top = round(-y0 + y * (self.size - 1 - (y1 - y0)))
            if x1 - x0 >= self.size or y1 - y0 >= self.size:
                return None
            if not any(
                a < left + side and c > left and b < top + side and d > top
                for a, b, c, d in map(np.ndarray.tolist, boxes)
            ):
                return np.array([left, top], np.float64)
        return None


def _margin(rng: np.random.Generator, sample: Sample) -> float:
    """How much of its surroundings an instance has in its tile."""
    least, most = MARGIN
    points = sample.keypoints[sample.labelled]
    if len(points) > 1:
        there = min(sample.picture.shape[:2]) / max(float(np.ptp(points, axis=0).max()), 1.0)
        most = min(most, max(1.5, 0.95 * there))
    # As likely to double as to halve: what is wide takes the room of many others.
    return float(least * (most / least) ** rng.random())


def paste(scene: Picture, tile: Picture, corner: NDArray[np.float64], rng: np.random.Generator) -> None:
    """Lay a tile on a scene, in place, its upper left pixel at `corner`; what leaves the scene is cut off."""
    side = len(tile)
    power, soft = rng.uniform(3, 12), rng.uniform(0.02, 0.3)
    away = np.abs(np.linspace(-1, 1, side)) ** power
    share = np.clip((1 - (away[:, None] + away) ** (1 / power)) / soft, 0, 1)[..., None].astype(np.float32)
    left, top = map(int, corner)
    height, width = scene.shape[:2]
    rows, columns = slice(max(0, top), min(height, top + side)), slice(max(0, left), min(width, left + side))
    of_tile = slice(rows.start - top, rows.stop - top), slice(columns.start - left, columns.stop - left)
    below, share = scene[rows, columns], share[of_tile]
    scene[rows, columns] = np.rint(below + share * (tile[of_tile].astype(np.float32) - below))


def _weighed(rng: np.random.Generator, spans: list[tuple[int, int]]) -> int:
    """One of the spans, as likely as the root of its length: of a small set more than its share, if not as much."""
    ends = np.cumsum([(end - start) ** 0.5 for start, end in spans])
    return int(np.searchsorted(ends, rng.random() * ends[-1], side="right"))


@cache
def _points(count: int) -> Skeleton:
    """So many points that a mirror leaves their names: of a box it does not matter which is which."""
    return Skeleton("points", tuple(map(str, range(count))), (), ())
