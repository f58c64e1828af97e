"""From shapes to a photograph: where a figure stands, the light on it, the lens and the film."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from training.datasets.drawn.figures.scenery import BLOCK, SUPERSAMPLING, Draw, Rng, uniform
from training.datasets.drawn.figures.shapes import Shape, corners


@dataclass(frozen=True)
class Placement:
    """Where a figure stands: pixel = offset + zoom * point, in pixels of the picture."""

    zoom: float
    x: float
    y: float

    def to_picture(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        return points * self.zoom + (self.x, self.y)


def draw_shapes(
    draw: Draw, shapes: Sequence[Shape], place: Placement, points: NDArray[np.float64] | None = None
) -> None:
    """Shapes onto the canvas, in their order; `points` are their corners, if the caller has them already."""
    # The centre of pixel i of the picture is the point between canvas pixels 2i and 2i + 1. Pillow cuts coordinates
    # off at the decimal point, so they are rounded here.
    where = place.to_picture(corners(shapes) if points is None else points)
    canvas = SUPERSAMPLING * where + 0.5 * (SUPERSAMPLING - 1)
    flat: list[float] = np.floor(canvas + 0.5).ravel().tolist()
    at = 0
    for shape in shapes:
        end = at + 2 * len(shape.points)
        draw.polygon(flat[at:end], fill=shape.colour)
        at = end


def develop(rng: Rng, image: Image.Image) -> NDArray[np.uint8]:
    """The picture of a canvas, half as wide: a little blurred at times, unevenly lit, with noise and a tint."""
    size = image.width // SUPERSAMPLING
    image = image.reduce(SUPERSAMPLING)
    if rng.random() < 0.25:
        image = image.filter(ImageFilter.BoxBlur(uniform(rng, 0.2, 0.9)))
    exposure, contrast = uniform(rng, 0.78, 1.18), uniform(rng, 0.72, 1.15)
    slope_x, slope_y = rng.uniform(-0.3, 0.3, 2).tolist() if rng.random() < 0.6 else (0.0, 0.0)
    tint = rng.uniform(0.94, 1.06, 3)
    strength = 8.0 * float(rng.random()) ** 2
    # Pixels of three numbers lie side by side in a row: NumPy is slow on a last axis of 3.
    along = np.linspace(-0.5, 0.5, size)
    columns = np.outer(1.0 + slope_x * along, exposure * contrast * tint).ravel().astype(np.float32)
    rows = (1.0 + slope_y * along).astype(np.float32)[:, None]
    offset = np.float32(exposure * (1.0 - contrast) * 118.0)
    pixels = np.asarray(image).reshape(size, -1)
    picture = np.empty((size, 3 * size), np.uint8)
    # A few rows at a time: a large array would be handed back to the system and faulted in again for every picture.
    for top in range(0, size, BLOCK):
        part = slice(top, top + BLOCK)
        block = pixels[part] * columns
        block *= rows[part]
        block += offset
        if strength > 1.0:
            grain = np.frombuffer(rng.bytes(block.size), np.uint8).reshape(block.shape)
            block += grain * np.float32(strength / 74.0)  # a uniform byte has a standard deviation of 74
            block -= np.float32(127.5 * strength / 74.0)
        np.clip(block, 0.0, 255.0, out=block)
        picture[part] = block
    return picture.reshape(size, size, 3)
