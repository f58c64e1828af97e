"""What stands around drawn figures: where it is, and that it stays as it was when numbers were measured on it."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from training.datasets.drawn import synthetic
from training.datasets.drawn.figures.camera import Placement
from training.datasets.drawn.figures.scenery import backdrop, foreground

BOX = (50.0, 40.0, 150.0, 180.0)  # of the figure, on a canvas of 200 x 200
CANVAS = (1, 254, 3)


def in_front(seed: int, empty: tuple[int, int, int]) -> NDArray[np.uint8]:
    image = Image.new("RGB", (200, 200), empty)
    foreground(np.random.default_rng(seed), ImageDraw.Draw(image), 200, BOX)
    return np.asarray(image)


# Mean grey levels, by seeds from 0 on. Whoever changes them changes every number measured on the drawn sets: say so in
# the change log. A square of two pixels in a colour of its own is noticed; the rounding of another library is not.
FOREGROUNDS = (
    1.03, 1.50, 7.02, 8.54, 0.57, 0.53, 0.50, 6.28, 5.08, 1.71, 0.78, 5.65,
    2.77, 0.61, 2.93, 0.71, 1.49, 1.42, 3.69, 1.49, 9.91, 0.64, 3.21, 0.93,
    6.20, 3.84, 2.17, 2.13, 0.54, 1.14, 5.22, 0.44, 7.85, 3.65, 7.02, 7.24,
    8.47, 1.37, 5.79, 1.85, 0.53, 1.97, 1.23, 2.05, 14.73, 3.84, 1.66, 1.06,
    2.57, 5.44, 1.41, 0.89, 1.46, 13.93, 6.51, 1.66, 2.49, 0.73, 2.44, 0.76,
)  # fmt: skip
BACKDROPS = (
    57.56, 142.63, 48.73, 116.75, 65.49, 71.40, 94.06, 180.45, 129.57, 119.09, 81.98, 185.69,
    130.56, 76.57, 115.04, 155.43, 136.37, 110.92, 78.59, 160.27, 109.86, 146.43, 126.68, 87.87,
    102.07, 135.10, 159.73, 107.46, 167.91, 184.53, 150.53, 154.13, 97.46, 81.14, 111.65, 152.41,
    100.22, 146.84, 133.35, 143.95, 128.53, 137.81, 110.00, 143.96, 122.03, 173.93, 167.62, 187.76,
    137.30, 141.66, 144.54, 123.36, 162.92, 147.49, 146.44, 138.70, 117.12, 118.53, 119.62, 112.98,
)  # fmt: skip
TOLERANCE = 0.02


def test_foregrounds_stay() -> None:
    found = [float(in_front(seed, (0, 0, 0)).mean()) for seed in range(len(FOREGROUNDS))]
    assert found == pytest.approx(FOREGROUNDS, abs=TOLERANCE)


def test_backdrops_stay() -> None:
    found = [
        float(np.asarray(backdrop(np.random.default_rng(seed), 200, 120.0)).mean()) for seed in range(len(BACKDROPS))
    ]
    assert found == pytest.approx(BACKDROPS, abs=TOLERANCE)


def test_what_stands_in_front_hides_a_part_of_the_figure() -> None:
    left, top, right, bottom = map(int, BOX)
    shares = [(in_front(seed, CANVAS)[top:bottom, left:right] != CANVAS).any(axis=2).mean() for seed in range(200)]
    assert np.mean(np.array(shares) == 0) < 0.05  # furniture may stand just beside it
    assert np.mean(np.array(shares) > 0.25) < 0.05


@pytest.mark.parametrize(
    ("x", "y", "dark"),
    [
        (10.0, 20.0, True),
        (0.0, 20.0, True),
        (31.5, 20.0, True),
        (-0.5, 20.0, False),
        (32.0, 20.0, False),
        (10.0, 31.0, True),
        (10.0, -0.5, True),
        (10.0, -1.0, False),
        (10.0, 31.75, False),
    ],
)
def test_a_shadow_lies_under_feet_that_are_in_the_picture(x: float, y: float, dark: bool) -> None:
    """64 canvas pixels a side, two to a pixel; the middle of the shadow is 0.03 of the figure's 20 pixels below."""
    image = Image.new("RGB", (64, 64), (200, 100, 50))
    point = np.zeros((1, 2))
    actor = synthetic._Actor("stand", [], point, np.zeros((16, 2)), point[0], point[0], point[0])
    synthetic._shadow(image, ImageDraw.Draw(image), actor, Placement(20.0, x, y))
    pixels = np.asarray(image)
    assert (pixels != (200, 100, 50)).any() == dark
    if dark:
        rows, columns = np.nonzero(pixels[..., 0] < 200)
        assert abs(rows.mean() - (2 * y + 1.2)) < 1 or y < 0
        assert pixels[rows[0], columns[0]].tolist() == [124, 62, 31]  # 0.62 of the ground
