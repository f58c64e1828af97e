"""Faces, or whatever a model and its finder know, through the pictures of a film: each keeps its number.

From picture to picture the box follows from the last points, which takes no more than a look or two of the model. The
finder looks at every so manieth picture, where nothing is followed, and where somebody was lost.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import count

import numpy as np
from numpy.typing import NDArray

from hbcore.landmarks.finding.sizes import separate
from hbcore.landmarks.finding.smoothing import OneEuro
from hbcore.landmarks.landmarker import Instance, Landmarker, extent

OFF = 0.2  # of the longer side: where the box of the points found is that far from the one looked at, look again
MOST_LOOKS = 3
SMALL = 60.0  # pixels: of faces below, a pixel is much, and points are the mean of two looks
BESIDE = 1 / 64  # of the longer side: how far to the right and down the second one is
MEET = 0.4  # share of the smaller box from which on what is found anew is who was lost


@dataclass(frozen=True, eq=False)
class Tracked:
    """One face in one picture: its number, from 1, and what was found, with the points smoothed."""

    number: int
    instance: Instance


@dataclass(eq=False)
class Track:
    """What is known of one face: the box of its last points, as they were found, and since when it has been lost."""

    number: int
    box: NDArray[np.float64]
    filter: OneEuro = field(default_factory=OneEuro)
    lost: float = 0.0  # seconds
    dt: float = 0.0  # seconds since its points were last found


class Tracker:
    """track(picture, dt) -> the faces in the next picture of a film, dt seconds after the one before.

    landmarker: of points, with a finder; ValueError otherwise. every: seconds between two looks of the finder.
    patience: how long somebody who is lost keeps the number. smooth: whether points go through a OneEuro filter each.
    """

    def __init__(self, landmarker: Landmarker, every: float = 0.5, patience: float = 1.0, smooth: bool = True) -> None:
        if landmarker.description.parts or landmarker.finder is None:
            raise ValueError("only a model of points that a finder goes with can be followed: name one with finder=")
        self.landmarker, self.every, self.patience, self.smooth = landmarker, every, patience, smooth
        self.tracks: list[Track] = []
        self.numbers = count(1)
        self.since = float("inf")  # seconds since the finder looked

    def __call__(self, picture: NDArray[np.uint8], dt: float = 0.04) -> list[Tracked]:
        """See above. ValueError where dt is not above 0, and as a Landmarker raises."""
        if not dt > 0:
            raise ValueError(f"pictures of a film follow one another: dt must be above 0, not {dt}")
        self.since += dt
        found = {track.number: self._followed(picture, track) for track in self.tracks if not track.lost}
        if self.since >= self.every or not any(found.values()) or not all(found.values()):
            self.since = 0.0
            self._meet(self.landmarker(picture), found)
        return self._kept(found, dt)

    def _followed(self, picture: NDArray[np.uint8], track: Track) -> Instance | None:
        """Who was at the track's box in the picture before, None where the model is not sure of anybody there."""
        box = track.box
        for _ in range(MOST_LOOKS):
            try:
                (instance,) = self.landmarker(picture, box)
            except ValueError:  # out of the picture
                return None
            looked, box = box, extent(instance)
            if np.abs(box - looked).max() <= OFF * (looked[2:] - looked[:2]).max():
                break
        return self._twice(picture, instance) if instance.sure is not False else None

    def _twice(self, picture: NDArray[np.uint8], instance: Instance) -> Instance:
        """The same with the mean of its points and of those of a look a little beside them, where the face is small."""
        box = extent(instance)
        side = (box[2:] - box[:2]).max()
        if instance.points is None or side >= SMALL:
            return instance
        try:
            (other,) = self.landmarker(picture, box + BESIDE * side)
        except ValueError:  # at the picture's edge
            return instance
        return instance if other.points is None else replace(instance, points=(instance.points + other.points) / 2)

    def _meet(self, seen: list[Instance], found: dict[int, Instance | None]) -> None:
        """Tell who was found anew, by where they were last, and give numbers to the others."""
        boxes = [extent(instance) for instance in found.values() if instance]
        for instance in seen:
            box = extent(instance)
            if any(overlap(box, other) > MEET for other in boxes):
                continue
            boxes.append(box)
            missing = [track for track in self.tracks if not found.get(track.number)]
            track = max(missing, key=lambda track: overlap(box, track.box), default=None)
            if track is None or overlap(box, track.box) <= MEET:
                track = Track(next(self.numbers), box)
                self.tracks.append(track)
            found[track.number] = instance

    def _kept(self, found: dict[int, Instance | None], dt: float) -> list[Tracked]:
        """Bring all tracks up to date; who has been lost too long is forgotten, and of two on one face the newer."""
        shown = []
        for track in self.tracks:
            instance = found.get(track.number)
            track.dt += dt
            if instance is None or instance.points is None:
                track.lost += dt
                continue
            if track.lost:
                track.filter = OneEuro()
            track.box = extent(instance)
            size = max(float((track.box[2:] - track.box[:2]).max()), 1.0)
            if self.smooth:
                points = track.filter(instance.points.astype(np.float64), track.dt, size).astype(np.float32)
                instance = replace(instance, points=points)
            track.lost, track.dt = 0.0, 0.0
            shown.append((track, instance))
        apart = separate(np.array([track.box for track, _ in shown]).reshape(-1, 4))
        twice = {id(track) for index, (track, _) in enumerate(shown) if index not in apart}
        self.tracks = [track for track in self.tracks if track.lost <= self.patience and id(track) not in twice]
        return [Tracked(track.number, instance) for track, instance in shown if id(track) not in twice]


def overlap(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """The area that two boxes share over that of the smaller one."""
    shared = np.maximum(0, np.minimum(first[2:], second[2:]) - np.maximum(first[:2], second[:2])).prod()
    smaller = min((box[2:] - box[:2]).prod() for box in (first, second))
    return float(shared / max(smaller, 1e-9))
