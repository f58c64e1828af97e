"""What stands around a figure: backdrop, clutter behind it and things in front of it.

Everything is drawn on a canvas of twice the picture's size, in canvas pixels; `camera.develop` makes the picture of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from training.datasets.drawn.figures.clothes import Colour, fabric, nudge, skin, tone, vivid
from training.datasets.drawn.figures.shapes import Point, capsules

Rng = np.random.Generator
Box = tuple[float, float, float, float]  # left, top, right, bottom
Draw = ImageDraw.ImageDraw
SUPERSAMPLING = 2
BLOCK = 40  # rows
_TEXELS = 80  # resolution of a backdrop's texture
_ALONG = np.linspace(-0.5, 0.5, _TEXELS, dtype=np.float32)
_WALLS: tuple[Colour, ...] = (
    (226, 220, 208), (206, 200, 190), (180, 186, 190), (190, 172, 150), (150, 160, 150), (120, 124, 132), (90, 84, 80),
)  # fmt: skip

_GROUNDS: tuple[Colour, ...] = (
    (150, 120, 90), (120, 90, 64), (166, 160, 150), (110, 108, 106), (84, 80, 78), (190, 176, 150), (130, 60, 54),
)  # fmt: skip

_SKIES: tuple[Colour, ...] = (
    (160, 196, 228), (120, 164, 212), (206, 216, 224), (180, 186, 196), (236, 206, 176), (70, 84, 120),
)  # fmt: skip

_GREENS: tuple[Colour, ...] = ((96, 122, 62), (74, 100, 50), (124, 140, 80), (150, 146, 90), (58, 80, 54))


def _one_of(rng: Rng, colours: tuple[Colour, ...]) -> Colour:
    return nudge(rng, colours[int(rng.integers(len(colours)))], 16)


def uniform(rng: Rng, low: float, high: float) -> float:
    return low + (high - low) * float(rng.random())


def _enlarge(noise: NDArray[np.uint8]) -> NDArray[np.float32]:
    """A few random cells blown up to the size of a texture, about zero."""
    smooth = Image.fromarray(noise).resize((_TEXELS, _TEXELS), Image.Resampling.BICUBIC)
    return np.asarray(smooth).astype(np.float32) - np.float32(128.0)


def _noise(rng: Rng) -> NDArray[np.float32]:
    """Differences of brightness at two scales, (80, 80)."""
    cells, strength = (int(rng.integers(2, 9)), int(rng.integers(12, 51))), rng.random(2, np.float32)
    coarse, fine = (_enlarge(rng.integers(0, 256, (count, count), dtype=np.uint8)) for count in cells)
    coarse *= 0.3 * strength[0]
    fine *= 0.2 * strength[1]
    return coarse + fine


def _texture(rng: Rng, colour: Colour, light: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows of a coloured surface, (rows, 240), from differences of brightness (rows, 80): a slope and some hue."""
    slopes = 90.0 * rng.random(2, np.float32) - 45.0
    sloped = light + slopes[0] * _ALONG + slopes[1] * _ALONG[: len(light), None]
    # Pixels of three numbers lie side by side in a row: NumPy is slow on a last axis of 3.
    field = np.repeat(sloped, 3, axis=1) + np.tile(np.array(colour, np.float32), _TEXELS)
    if rng.random() < 0.5:
        hue = _enlarge(rng.integers(0, 256, (*((int(rng.integers(2, 7)),) * 2), 3), dtype=np.uint8))
        field += np.float32(0.35 * float(rng.random())) * hue.reshape(_TEXELS, -1)[: len(light)]
    return field


def _canvas(field: NDArray[np.float32], n: int) -> Image.Image:
    small = Image.fromarray(field.clip(0.0, 255.0).astype(np.uint8).reshape(_TEXELS, _TEXELS, 3))
    half = small.resize((n // SUPERSAMPLING,) * 2, Image.Resampling.BILINEAR)
    return half.resize((n, n), Image.Resampling.NEAREST)


def _surface(rng: Rng, colour: Colour, rough: float, n: int) -> Image.Image:
    """A canvas of one texture."""
    return _canvas(_texture(rng, colour, rough * _noise(rng)), n)


def _split(rng: Rng, above: Colour, below: Colour, at: float, rough: tuple[float, float], n: int) -> Image.Image:
    """Wall and floor, or sky and ground: two textures that meet at the height `at`."""
    row = min(_TEXELS, max(0, round(_TEXELS * at / n)))
    light = _noise(rng)
    upper, lower = _texture(rng, above, rough[0] * light[:row]), _texture(rng, below, rough[1] * light[row:])
    return _canvas(np.concatenate([upper, lower]), n)


def _block(rng: Rng, draw: Draw, box: Box, colour: Colour) -> None:
    """A box seen a little from the side and from above: furniture, a crate, a car's body."""
    left, top, right, bottom = box
    depth = 0.25 * (right - left) * (float(rng.random()) - 0.5)
    rise = 0.12 * (bottom - top) * float(rng.random())
    draw.rectangle(box, fill=colour)
    lid = [(left, top), (left + depth, top - rise), (right + depth, top - rise), (right, top)]
    draw.polygon(lid, fill=tone(colour, 1.15))
    edge = right if depth > 0 else left
    side = [(edge, top), (edge + depth, top - rise), (edge + depth, bottom - rise), (edge, bottom)]
    draw.polygon(side, fill=tone(colour, 0.75))
    for k in range(1, int(rng.integers(1, 5))):  # shelves, drawers
        y = top + (bottom - top) * k / 4
        draw.line((left, y, right, y), fill=tone(colour, 0.7), width=2)


def _panes(rng: Rng, draw: Draw, box: Box, colour: Colour, columns: int, rows: int) -> None:
    """A grid of rectangles: windows, tiles, a shelf of books."""
    left, top, right, bottom = box
    wide, high = (right - left) / columns, (bottom - top) / rows
    fill, gap = uniform(rng, 0.5, 0.92), tone(colour, 0.8)
    other = nudge(rng, colour, 50)
    odd = rng.random((columns, rows)) < 0.3
    for column in range(columns):
        for row in range(rows):
            x, y = left + wide * column, top + high * row
            pane = (x, y, x + fill * wide, y + fill * high)
            draw.rectangle(pane, fill=other if odd[column, row] else gap)


def _bars(rng: Rng, draw: Draw, box: Box, colour: Colour, count: int) -> None:
    """Parallel upright bars or folds: a fence, a curtain, planks."""
    left, top, right, bottom = box
    step = (right - left) / count
    width, shade = step * uniform(rng, 0.25, 0.7), uniform(rng, 0.7, 1.2)
    for k in range(count):
        x = left + step * k
        draw.rectangle((x, top, x + width, bottom), fill=tone(colour, shade if k % 2 else 1.0))


def _leaves(rng: Rng, draw: Draw, x: float, y: float, radius: float, colour: Colour, count: int) -> None:
    """A bunch of round blots: a crown of leaves, a bush."""
    at = rng.normal(0.0, 0.5, (count, 2)).clip(-1.2, 1.2) * radius
    size = rng.uniform(0.15, 0.5, count) * radius
    shade = rng.uniform(0.65, 1.25, count)
    for (dx, dy), r, s in zip(at.tolist(), size.tolist(), shade.tolist(), strict=True):
        draw.ellipse((x + dx - r, y + dy - r, x + dx + r, y + dy + r), fill=tone(colour, s))


def _bar(draw: Draw, a: Point, b: Point, ra: float, rb: float, colour: Colour) -> None:
    """A rounded bar: a trunk, a stick."""
    draw.polygon(capsules(np.array(((*a, ra, *b, rb),))).ravel().tolist(), fill=colour)


def _stick(rng: Rng, draw: Draw, n: int, colour: Colour, thick: float) -> None:
    """A rounded bar somewhere, as long and thick as a limb: a distractor."""
    x, y, angle = uniform(rng, 0, n), uniform(rng, 0, n), uniform(rng, 0, math.pi)
    length = uniform(rng, 0.08, 0.3) * n
    end = (x + length * math.cos(angle), y + length * math.sin(angle))
    _bar(draw, (x, y), end, thick, 0.8 * thick, tone(colour, 0.74))
    shift = 0.15 * thick
    _bar(draw, (x - shift, y), (end[0] - shift, end[1]), 0.75 * thick, 0.6 * thick, colour)


def _room(rng: Rng, n: int, floor: float) -> Image.Image:
    wall = _one_of(rng, _WALLS) if rng.random() < 0.7 else vivid(rng)
    image = _split(rng, wall, _one_of(rng, _GROUNDS), floor, (0.6, 0.9), n)
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, floor - 0.015 * n, n, floor), fill=tone(wall, uniform(rng, 0.6, 1.2)))
    if rng.random() < 0.3:  # floor boards that run away from the viewer
        for x in np.linspace(-1.0, 2.0, 13).tolist():
            draw.line((n * (0.5 + 0.4 * (x - 0.5)), floor, n * x, n), fill=(60, 50, 44), width=1)
    for _ in range(int(rng.integers(0, 4))):  # on the wall
        x, y, w, h = (rng.random(4) * (n, 0.7 * floor, 0.3 * n, 0.3 * n) + (0, 0, 0.06 * n, 0.06 * n)).tolist()
        kind = rng.random()
        if kind < 0.4:
            draw.rectangle((x - 3, y - 3, x + w + 3, y + h + 3), fill=tone(wall, 0.5))
            draw.rectangle((x, y, x + w, y + h), fill=vivid(rng))
        elif kind < 0.7:
            columns, rows = rng.integers(1, 6, 2).tolist()
            _panes(rng, draw, (x, y, x + w, y + h), vivid(rng), columns, rows)
        else:
            _bars(rng, draw, (x, 0, x + w, floor), fabric(rng), int(rng.integers(3, 8)))
    for _ in range(int(rng.integers(0, 4))):  # on the floor
        x, w, h = uniform(rng, -0.1 * n, n), uniform(rng, 0.1, 0.4) * n, uniform(rng, 0.1, 0.5) * n
        foot = min(n, floor + uniform(rng, 0.0, 0.08) * n)
        _block(rng, draw, (x, foot - h, x + w, foot), nudge(rng, _one_of(rng, _GROUNDS), 40))
    return image


def _street(rng: Rng, n: int, floor: float) -> Image.Image:
    image = _split(rng, _one_of(rng, _SKIES), _one_of(rng, _GROUNDS[2:5]), floor, (0.5, 0.8), n)
    draw = ImageDraw.Draw(image)
    x = -uniform(rng, 0.0, 0.2) * n
    while x < n:  # a row of houses
        w = uniform(rng, 0.2, 0.6) * n
        top, colour = floor - uniform(rng, 0.25, 1.1) * n, nudge(rng, _one_of(rng, _WALLS + _GROUNDS), 24)
        draw.rectangle((x, top, x + w, floor), fill=colour)
        columns, rows = rng.integers(2, 7, 2).tolist()
        _panes(rng, draw, (x + 0.06 * w, top + 8, x + w, floor), colour, columns, rows)
        x += w
    if rng.random() < 0.5:
        _bars(rng, draw, (0, floor - uniform(rng, 0.06, 0.2) * n, n, floor), fabric(rng), int(rng.integers(8, 24)))
    for _ in range(int(rng.integers(0, 3))):  # posts
        x, w = uniform(rng, 0, n), uniform(rng, 0.008, 0.03) * n
        draw.rectangle((x, -1, x + w, floor + 0.05 * n), fill=fabric(rng))
    for _ in range(int(rng.integers(0, 3))):
        x, w = uniform(rng, -0.2, 1.0) * n, uniform(rng, 0.2, 0.5) * n
        _block(rng, draw, (x, floor - 0.3 * w, x + w, floor + 0.06 * n), vivid(rng))
    return image


def _country(rng: Rng, n: int, floor: float) -> Image.Image:
    ground = _one_of(rng, _GREENS + _GROUNDS[5:6])
    image = _split(rng, _one_of(rng, _SKIES), ground, floor, (0.7, 1.3), n)
    draw = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(0, 3))):  # hills
        heights = floor - rng.random(6) * uniform(rng, 0.05, 0.35) * n
        line = [(n * k / 5, y) for k, y in enumerate(heights.tolist())]
        draw.polygon([*line, (n, floor + 1), (0, floor + 1)], fill=tone(_one_of(rng, _GREENS), uniform(rng, 0.6, 1.2)))
    for _ in range(int(rng.integers(0, 5))):  # trees and bushes
        x, radius = uniform(rng, 0, n), uniform(rng, 0.06, 0.2) * n
        high = uniform(rng, 0.0, 0.5) * n
        thick, bark = 0.12 * radius, nudge(rng, (92, 72, 54), 20)
        _bar(draw, (x, floor), (x + 0.1 * high, floor - high), 1.4 * thick, thick, bark)
        _leaves(rng, draw, x + 0.1 * high, floor - high, radius, _one_of(rng, _GREENS), int(rng.integers(8, 22)))
    return image


def _abstract(rng: Rng, n: int, floor: float) -> Image.Image:
    image = _surface(rng, vivid(rng), 1.5, n)
    draw = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(2, 14))):
        x, y = (rng.random(2) * n).tolist()
        reach = uniform(rng, 0.04, 0.4) * n
        kind = rng.random()
        if kind < 0.5:
            angles = np.sort(rng.random(int(rng.integers(3, 7)))) * 2 * math.pi
            draw.polygon([(x + reach * math.cos(a), y + reach * math.sin(a)) for a in angles.tolist()], fill=vivid(rng))
        elif kind < 0.7:
            draw.ellipse((x - reach, y - 0.7 * reach, x + reach, y + 0.7 * reach), fill=vivid(rng))
        elif kind < 0.85:
            box = (x - reach, y - reach, x + reach, y + reach)
            _bars(rng, draw, box, vivid(rng), int(rng.integers(4, 12)))
        else:
            columns, rows = rng.integers(2, 6, 2).tolist()
            _panes(rng, draw, (x, y, x + reach, y + reach), vivid(rng), columns, rows)
    return image


def _plain(rng: Rng, n: int, floor: float) -> Image.Image:
    return _split(rng, _one_of(rng, _WALLS), _one_of(rng, _WALLS), floor, (1.0, 1.0), n)


_SCENES: tuple[Callable[[Rng, int, float], Image.Image], ...] = (
    _room, _room, _room, _street, _street, _country, _country, _abstract, _abstract, _plain,
)  # fmt: skip


def backdrop(rng: Rng, n: int, floor: float) -> Image.Image:
    """A scene with clutter, n x n; `floor` is the height, in canvas pixels, where its ground begins."""
    image = _SCENES[int(rng.integers(len(_SCENES)))](rng, n, floor)
    if rng.random() < 0.15:
        draw = ImageDraw.Draw(image)
        for _ in range(int(rng.integers(1, 5))):
            _stick(rng, draw, n, skin(rng) if rng.random() < 0.5 else fabric(rng), uniform(rng, 0.008, 0.03) * n)
    return image


def foreground(rng: Rng, draw: Draw, n: int, box: Box) -> None:
    """Something in front of a figure that spans `box`: it hides a part of it, seldom more than a quarter."""
    left, top, right, bottom = box
    wide, high = right - left, bottom - top
    kind = rng.random()
    if kind < 0.3:  # furniture, a wall: from below
        x, w = uniform(rng, left - 0.4 * wide, right - 0.2 * wide), uniform(rng, 0.3, 1.2) * wide
        y = bottom - uniform(rng, 0.05, 0.33) * high
        _block(rng, draw, (x, y, x + w, max(y + 4.0, uniform(rng, bottom, n + 4.0))), fabric(rng))
    elif kind < 0.5:  # a post
        x, w = uniform(rng, left, right), uniform(rng, 0.012, 0.05) * n
        draw.rectangle((x, -1, x + w, n), fill=fabric(rng))
        draw.rectangle((x, -1, x + 0.3 * w, n), fill=fabric(rng))
    elif kind < 0.65:  # a rail
        y, w, colour = uniform(rng, top + 0.3 * high, bottom), uniform(rng, 0.01, 0.035) * n, fabric(rng)
        lean = uniform(rng, -0.15, 0.15) * n
        draw.line((-1, y - lean, n, y + lean), fill=colour, width=max(2, round(w)))
    elif kind < 0.85:  # a bush, a branch
        x, y = uniform(rng, left, right), uniform(rng, top + 0.4 * high, bottom)
        _leaves(rng, draw, x, y, uniform(rng, 0.05, 0.11) * n, _one_of(rng, _GREENS), int(rng.integers(6, 16)))
    else:  # a ball, a bag, a sign
        x, y, r = uniform(rng, left, right), uniform(rng, top + 0.3 * high, bottom), uniform(rng, 0.03, 0.08) * n
        colour = vivid(rng)
        if rng.random() < 0.5:
            draw.ellipse((x - r, y - r, x + r, y + r), fill=tone(colour, 0.75))
            draw.ellipse((x - 0.8 * r, y - 0.9 * r, x + 0.7 * r, y + 0.7 * r), fill=colour)
        else:
            draw.rectangle((x - r, y - 0.7 * r, x + r, y + 0.7 * r), fill=colour)
