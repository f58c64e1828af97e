"""What was found in a photo, drawn on it."""

from __future__ import annotations

import colorsys
import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from hbcore.landmarks.landmarker import Instance

LONGEST = 1600
"""Pixels of the longer side of what is drawn: to be looked at, not to be measured in."""

POINT, LINE, SURE, DOUBTFUL, SHADOW = (255, 240, 130), (60, 170, 255), (255, 255, 255), (255, 90, 60), (0, 0, 0)


def drawn(
    picture: NDArray[np.uint8],
    instances: Sequence[Instance],
    edges: Sequence[tuple[int, int]],
    numbers: Sequence[int] = (),
) -> NDArray[np.uint8]:
    """A photo (H, W, 3), shrunk to LONGEST, with boxes, points and lines, or classes in colours: uint8 (h, w, 3).

    Of an answer that is not sure there is the box alone, in red. numbers: what to write beside the boxes.
    """
    zoom = min(1.0, LONGEST / max(picture.shape[:2]))
    size = max(1, round(zoom * picture.shape[1])), max(1, round(zoom * picture.shape[0]))
    image = Image.fromarray(picture).resize(size, Image.Resampling.BILINEAR)
    for instance in instances:
        if instance.classes is not None and instance.sure is not False:
            image = _tinted(image, instance.classes, len(instance.names))
    draw, weight = ImageDraw.Draw(image), max(1, round(max(size) / 500))
    scale = np.divide(size, picture.shape[1::-1])
    for place, instance in enumerate(instances):
        (x0, y0), (x1, y1) = ((instance.box.reshape(2, 2) + 0.5) * scale - 0.5).tolist()
        draw.rectangle((x0, y0, x1, y1), outline=DOUBTFUL if instance.sure is False else SURE, width=weight)
        if numbers:
            draw.text(
                (x0 + 3, y0 + 2), str(numbers[place]), fill=SURE, font=ImageFont.load_default(size=10 + 4 * weight)
            )
        if instance.points is None or instance.sure is False:
            continue
        places = [(x, y) for x, y in ((instance.points + 0.5) * scale - 0.5).tolist()]
        for first, second in edges:
            draw.line((places[first], places[second]), fill=LINE, width=weight)
        for point in places:
            draw.circle(point, 1.5 * weight + 1, fill=SHADOW)
            draw.circle(point, 1.5 * weight, fill=POINT)
    return np.asarray(image)


def png(picture: NDArray[np.uint8]) -> bytes:
    """A picture (H, W, 3), or numbers (H, W), as the content of a PNG."""
    content = io.BytesIO()
    Image.fromarray(picture).save(content, format="PNG")
    return content.getvalue()


def _tinted(image: Image.Image, classes: NDArray[np.uint8], count: int) -> Image.Image:
    """Half of a photo's colour and half of a class's, but for the first, the background, and where none looked."""
    shown = np.asarray(Image.fromarray(classes).resize(image.size, Image.Resampling.NEAREST))
    hues = [colorsys.hsv_to_rgb(index / max(1, count - 1), 0.8, 1.0) for index in range(count)]
    table = np.zeros((256, 3), dtype=np.float32)
    table[1:count] = 255 * np.array(hues, dtype=np.float32)[:-1]
    part = ((shown > 0) & (shown < count))[..., None]
    pixels = np.asarray(image)
    mixed = np.where(part, 0.5 * pixels + 0.5 * table[shown], pixels)
    return Image.fromarray(np.rint(mixed).astype(np.uint8))
