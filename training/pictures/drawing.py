"""Skeletons, heatmaps and masks drawn over pictures, for the eye."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from training.files.writing import atomic_write
from training.labels.skeletons import Skeleton

Pixels = NDArray[np.uint8]
Points = NDArray[np.floating]
Colour = tuple[int, ...]


# Told apart with every common kind of colour blindness: orange, sky blue, and a light yellow between them.
RIGHT, LEFT, MIDDLE = (255, 120, 0), (60, 170, 255), (255, 240, 130)
TRUTH, SHADOW, GAP = (255, 255, 255), (0, 0, 0, 150), (32, 32, 32)
SMOOTH = 3  # lines are drawn this much larger, then shrunk: Pillow draws without anti-aliasing


def overlay(
    image: Pixels,
    keypoints: Points,
    skeleton: Skeleton,
    truth: Points | None = None,
    scores: NDArray[np.floating] | None = None,
    threshold: float = 0.0,
    zoom: int = 3,
    weight: float = 1.0,
) -> Pixels:
    """A picture, enlarged, with a skeleton drawn on it: right limbs orange, left ones blue, the middle yellow.

    `image` is (H, W, 3) uint8, `keypoints` (K, 2) in its pixels (centres at integers), `scores` (K,). A keypoint is
    not drawn, nor an edge to it, if it is not finite or its score lies below `threshold`. `truth` (K, 2), NaN
    for keypoints without a label, is drawn as thin white rings and lines. `weight` multiplies the size of dots and
    lines, which at 1 suits pictures of some 160 pixels. Returns (H zoom, W zoom, 3) uint8.
    Raises ValueError for other shapes.
    """
    count = len(skeleton.keypoints)
    if keypoints.shape != (count, 2) or (truth is not None and truth.shape != (count, 2)):
        raise ValueError(f"skeleton {skeleton.name} needs ({count}, 2) keypoints")
    shown = _drawable(keypoints) - {k for k in range(count) if scores is not None and scores[k] < threshold}
    picture = _enlarge(image, zoom)
    scale = zoom * SMOOTH
    layer = Image.new("RGBA", (picture.width * SMOOTH, picture.height * SMOOTH))
    draw = ImageDraw.Draw(layer)
    # Sizes are in pixels of `image`. The truth lies lowest: it shows where the network is wrong.
    if truth is not None:
        labelled = _drawable(truth)
        for a, b in skeleton.edges:
            if {a, b} <= labelled:
                _line(draw, truth[[a, b]], scale, 0.35 * weight, TRUTH)
        for k in labelled:
            _dot(draw, truth[k], scale, 3.2 * weight, TRUTH, hollow=True)
    # Shadows lie under all lines, so that these stand out on any picture.
    for spread, shadow in ((0.5, SHADOW), (0.0, None)):
        for a, b in skeleton.edges:
            if {a, b} <= shown:
                _line(draw, keypoints[[a, b]], scale, weight * (0.8 + spread), shadow or _side(skeleton, a, b))
        for k in shown:
            _dot(draw, keypoints[k], scale, weight * (2.0 + spread), shadow or _side(skeleton, k, k))
    return np.asarray(Image.alpha_composite(picture.convert("RGBA"), layer.reduce(SMOOTH)).convert("RGB"))


def heat(image: Pixels, heatmaps: NDArray[np.floating], zoom: int = 3) -> Pixels:
    """A picture, enlarged and darkened, glowing where the sum of its heatmaps is high.

    `heatmaps` is (h, w, K), from 0 to 1 (logits want a sigmoid first), spanning the same area as `image`
    (H, W, 3) uint8. A sum of 1, one sure keypoint, glows in full whatever the others do: pictures and networks
    compare. Returns (H zoom, W zoom, 3) uint8.
    """
    picture = _enlarge(image, zoom)
    total = np.clip(np.sum(heatmaps, axis=-1, dtype=np.float32), 0, 1)
    glow = np.asarray(Image.fromarray(total).resize(picture.size, Image.Resampling.BILINEAR))[..., None]
    # From red to yellow; the square root lets faint hints be seen.
    colour = np.concatenate([np.full_like(glow, 255), 230 * glow, 40 * glow], axis=-1)
    alpha = 0.85 * np.sqrt(glow)
    mixed: Pixels = np.rint((1 - alpha) * 0.6 * np.asarray(picture) + alpha * colour).astype(np.uint8)
    return mixed


def tint(
    image: Pixels, mask: Pixels, colours: Pixels, truth: Pixels | None = None, zoom: int = 3, weight: float = 0.5
) -> Pixels:
    """A picture, enlarged, with its parts in colours.

    `mask` (H, W) holds classes, indices into `colours` (C, 3); pixels of the first class, the background, and of none
    stay as they are in `image` (H, W, 3) uint8. `weight` is the share of the colour. `truth` (H, W) is drawn as thin
    white borders between its classes. Returns (H zoom, W zoom, 3) uint8.
    """
    table = np.zeros((256, 3), dtype=np.float32)
    table[: len(colours)] = colours
    large = np.repeat(np.repeat(mask, zoom, axis=0), zoom, axis=1)
    share = np.where((large > 0) & (large < len(colours)), np.float32(weight), np.float32(0))[..., None]
    mixed: Pixels = np.rint((1 - share) * np.asarray(_enlarge(image, zoom)) + share * table[large]).astype(np.uint8)
    if truth is not None:
        borders = np.repeat(np.repeat(truth, zoom, axis=0), zoom, axis=1)
        mixed[:, 1:][borders[:, 1:] != borders[:, :-1]] = TRUTH
        mixed[1:][borders[1:] != borders[:-1]] = TRUTH
    return mixed


def frames(image: Pixels, found: Points, truth: Points | None = None, zoom: int = 2) -> Pixels:
    """A picture (H, W, 3), enlarged, with boxes (n, 4) of corners in its pixels: found ones, and labels in white."""
    picture = _enlarge(image, zoom)
    draw = ImageDraw.Draw(picture)
    weight = max(2, max(picture.size) // 300)
    for boxes, colour in ((() if truth is None else truth, TRUTH), (found, RIGHT)):
        for box in boxes:
            draw.rectangle(((np.asarray(box) + 0.5) * zoom - 0.5).tolist(), outline=colour, width=weight)
    return np.asarray(picture)


def grid(images: Sequence[Pixels], columns: int | None = None, gap: int = 4) -> Pixels:
    """Pictures in rows of `columns`, by default about as many as there are rows, on dark grey.

    Every cell is as large as the largest picture; smaller ones sit in its middle. Raises ValueError if there
    are no pictures.
    """
    if not images:
        raise ValueError("no pictures for the grid")
    columns = columns or math.ceil(math.sqrt(len(images)))
    rows = math.ceil(len(images) / columns)
    height, width = (max(image.shape[axis] for image in images) for axis in (0, 1))
    sheet = np.empty((rows * (height + gap) + gap, columns * (width + gap) + gap, 3), dtype=np.uint8)
    sheet[:] = GAP
    for index, image in enumerate(images):
        row, column = divmod(index, columns)
        y = gap + row * (height + gap) + (height - image.shape[0]) // 2
        x = gap + column * (width + gap) + (width - image.shape[1]) // 2
        sheet[y : y + image.shape[0], x : x + image.shape[1]] = image
    return sheet


def save_png(path: str | Path, image: Pixels, palette: Pixels | None = None) -> None:
    """Write (H, W, 3) uint8 as a PNG, whole or not at all: or (H, W), indices into `palette` (256, 3). DiskError."""
    picture = Image.fromarray(image)
    if palette is not None:
        picture.putpalette(palette.tobytes())
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG")
    atomic_write(path, buffer.getvalue())


def _enlarge(image: Pixels, zoom: int) -> Image.Image:
    height, width = image.shape[:2]
    return Image.fromarray(image).resize((width * zoom, height * zoom), Image.Resampling.BICUBIC)


def _drawable(points: Points) -> set[int]:
    return {k for k, point in enumerate(points) if np.isfinite(point).all()}


def _side(skeleton: Skeleton, a: int, b: int) -> Colour:
    """The colour of the edge between two keypoints: that of the side on which one or both of them lie."""
    sides = {skeleton.keypoints[k].partition("_")[0] for k in (a, b)}
    if "right" in sides and "left" not in sides:
        return RIGHT
    return LEFT if "left" in sides and "right" not in sides else MIDDLE


def _line(draw: ImageDraw.ImageDraw, ends: Points, scale: float, width: float, colour: Colour) -> None:
    """A line between two points, (2, 2). Points and widths are in pixels of the picture."""
    points = [_place(end, scale) for end in ends]
    draw.line(points, fill=colour, width=round(width * scale))


def _dot(
    draw: ImageDraw.ImageDraw, center: Points, scale: float, size: float, colour: Colour, hollow: bool = False
) -> None:
    """A disc of diameter `size`, or a thin ring."""
    fill, outline = (None, colour) if hollow else (colour, None)
    draw.circle(_place(center, scale), size * scale / 2, fill=fill, outline=outline, width=round(0.3 * scale))


def _place(point: Points, scale: float) -> tuple[float, float]:
    """A point of the picture on a layer `scale` times as large; pixel centres are at integers on both."""
    x, y = (point + 0.5) * scale - 0.5
    return float(x), float(y)
