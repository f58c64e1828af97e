"""The One-Euro filter (Casiez, Roussel & Vogel, 2012): steady where things rest, prompt where they move.

Most of the movement of a face in a film is the camera's or the head's, the same for all points: d_t, the mean over the
points of x_t - x_(t-1), in which their errors cancel out. What all do is followed at once. What a point does besides
goes through a low-pass filter of first order whose cut-off rises with its speed v, itself low-passed:

    y_t = p_t + a(f) (x_t - p_t),    p_t = y_(t-1) + d_t,    a(f) = 1 / (1 + 1 / (2 pi f dt)),    f = REST + SLOPE |v|

Speeds are in sizes of the face per second, so that what the filter does to a face does not depend on its pixels.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

REST = 1.2  # Hz, of points that go with the others
SLOPE = 1.5  # Hz more for every size of the face per second
OF_SPEED = 1.5  # Hz, of the speed's own filter

Points = NDArray[np.float64]


class OneEuro:
    """smooth(points, dt, size) -> points (K, 2), dt seconds after the last ones, of a face of so many pixels.

    The first points come back as they are.
    """

    def __init__(self) -> None:
        self.last: Points | None = None
        self.smooth: Points | None = None
        self.speed: Points | None = None

    def __call__(self, points: Points, dt: float, size: float) -> Points:
        """ValueError where dt or size is not above 0."""
        if not (dt > 0 and size > 0):
            raise ValueError(f"smoothing needs a time and a size above 0, got {dt} and {size}")
        points = np.asarray(points, np.float64)
        if self.last is None or self.smooth is None or self.speed is None:
            self.speed, self.smooth = np.zeros_like(points), points
        else:
            moved = points - self.last
            common = moved.mean(axis=0)
            self.speed = self.speed + _share(OF_SPEED, dt) * ((moved - common) / (dt * size) - self.speed)
            cut = REST + SLOPE * np.linalg.norm(self.speed, axis=-1, keepdims=True)
            expected = self.smooth + common
            self.smooth = expected + _share(cut, dt) * (points - expected)
        self.last = points
        return self.smooth.copy()


def _share(frequency: Points | float, dt: float) -> Points:
    """What of a new value is taken over, (K, 1) or a number."""
    return np.asarray(1 / (1 + 1 / (2 * math.pi * np.asarray(frequency) * dt)))
