"""Who looks how: skin, hair and clothes of a figure, drawn at random."""

from __future__ import annotations

import colorsys
import math
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

Name = TypeVar("Name")
Rng = np.random.Generator
Colour = tuple[int, int, int]
_SKIN: tuple[Colour, ...] = (
    (250, 218, 196), (240, 200, 170), (228, 184, 148), (212, 162, 122),
    (186, 130, 92), (150, 100, 68), (112, 72, 48), (78, 50, 36),
)  # fmt: skip
# Several entries of one colour make it that much more frequent.
HAIR: tuple[Colour, ...] = (
    (24, 20, 20), (24, 20, 20), (30, 26, 28), (44, 30, 24), (44, 30, 24), (66, 44, 30), (66, 44, 30), (92, 60, 36),
    (92, 60, 36), (132, 88, 48), (206, 168, 100), (220, 190, 130), (150, 66, 34), (150, 148, 146), (222, 220, 214),
)  # fmt: skip
_FABRIC: tuple[Colour, ...] = (
    (236, 234, 230), (200, 198, 194), (128, 128, 130), (70, 70, 74), (30, 30, 34), (34, 44, 74), (66, 92, 134),
    (112, 140, 176), (190, 172, 136), (120, 96, 66), (92, 98, 66),
)  # fmt: skip

_PATTERNS = {"plain": 0.14, "stripes": 0.10, "print": 0.24, "jacket": 0.26, "two-tone": 0.06, "buttons": 0.20}
_BOTTOMS = {"trousers": 0.56, "shorts": 0.24, "skirt": 0.13, "dress": 0.07}
_STYLES = {"short": 0.46, "long": 0.17, "tail": 0.11, "bun": 0.06, "bob": 0.11, "round": 0.05, "bald": 0.04}
_HATS = {"none": 0.84, "cap": 0.09, "wool": 0.04, "brim": 0.03}
_SLEEVES = {0.0: 0.13, 0.45: 0.19, 0.65: 0.18, 1.0: 0.06, 1.5: 0.08, 2.0: 0.36}


@dataclass(frozen=True)
class Look:
    """Colours and garments of one figure. Lengths of sleeves and legs: 0 none, 1 to the elbow or knee, 2 full."""

    skin: Colour
    hair: Colour
    style: str  # of the hair
    beard: bool
    glasses: bool
    hat: str
    hat_colour: Colour
    shirt: Colour
    second: Colour  # the shirt's other colour: stripes, print, lining
    pattern: str
    sleeve: float
    hem: float  # where the shirt ends: 0 at the pelvis, 1 at the thorax
    neckline: float  # depth of its cut-out, on the same scale
    trousers: Colour  # or skirt
    leg: float
    skirt: float  # 0 none, 1 to the knee, 2 to the ankle
    loose: float  # factor of the clothes on the thickness of the limbs
    shoes: Colour
    socks: Colour
    rucksack: Colour | None
    light: tuple[float, float]  # unit vector to where the light comes from, in the plane of the picture (y down)


def tone(colour: Colour, factor: float) -> Colour:
    """The colour, darker or lighter by a factor."""
    red, green, blue = colour
    return min(255, int(red * factor)), min(255, int(green * factor)), min(255, int(blue * factor))


def nudge(rng: Rng, colour: Colour, by: int = 12) -> Colour:
    """A colour near the given one: at most `by` away in every channel."""
    red, green, blue = (
        min(255, max(0, channel + round(by * (2.0 * shift - 1.0))))
        for channel, shift in zip(colour, rng.random(3).tolist(), strict=True)
    )
    return red, green, blue


def vivid(rng: Rng) -> Colour:
    """Any colour that a thing made by people may have."""
    hue, saturation, value = rng.random(3).tolist()
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.2 + 0.65 * saturation, 0.2 + 0.75 * value)
    return int(255 * red), int(255 * green), int(255 * blue)


def fabric(rng: Rng) -> Colour:
    """A colour of clothing: nearly half of all are neutral, blue or brown."""
    if rng.random() < 0.45:
        return nudge(rng, _FABRIC[int(rng.integers(len(_FABRIC)))])
    return vivid(rng)


def against(colour: Colour, other: Colour) -> Colour:
    """The colour, made lighter or darker where it could hardly be told from the other."""
    if sum(abs(a - b) for a, b in zip(colour, other, strict=True)) > 150:
        return colour
    light = sum(other) > 3 * 110
    red, green, blue = (channel // 3 if light else 170 + channel // 3 for channel in colour)
    return red, green, blue


def skin(rng: Rng) -> Colour:
    """A colour of skin, light and dark ones equally likely."""
    return nudge(rng, _SKIN[int(rng.integers(len(_SKIN)))], 8)


def pick(rng: Rng, shares: dict[Name, float]) -> Name:
    """One of the names, as often as its share says."""
    at = float(rng.random())
    for name, share in shares.items():
        at -= share
        if at < 0.0:
            return name
    return next(iter(shares))


def draw_look(rng: Rng) -> Look:
    """A random appearance."""
    shirt, trousers = fabric(rng), fabric(rng)
    pattern, bottom, style = pick(rng, _PATTERNS), pick(rng, _BOTTOMS), pick(rng, _STYLES)
    sleeve, hem = pick(rng, _SLEEVES), -0.03 + 0.18 * float(rng.random())
    if pattern == "jacket":
        sleeve, hem = 2.0, -0.08
    leg, skirt = 2.0, 0.0
    if bottom == "shorts":
        leg = 0.45 + 0.6 * float(rng.random())
    elif bottom != "trousers":
        leg, skirt = (2.0 if rng.random() < 0.3 else 0.0), 0.6 + 0.8 * float(rng.random())
    if bottom == "dress" or rng.random() < 0.08:
        trousers = shirt  # a suit, an overall
    angle = math.radians(-90.0 + 70.0 * (2.0 * float(rng.random()) - 1.0))
    return Look(
        skin=skin(rng),
        hair=nudge(rng, HAIR[int(rng.integers(len(HAIR)))], 8),
        style=style,
        beard=style in ("short", "bald") and rng.random() < 0.2,
        glasses=rng.random() < 0.1,
        hat=pick(rng, _HATS),
        hat_colour=fabric(rng),
        shirt=shirt,
        second=against(fabric(rng), shirt),
        pattern=pattern,
        sleeve=sleeve,
        hem=hem,
        neckline=0.04 + 0.15 * float(rng.random()) ** 2,
        trousers=trousers,
        leg=leg,
        skirt=skirt,
        loose=1.06 + 0.28 * float(rng.random()) ** 2,
        shoes=fabric(rng),
        socks=fabric(rng),
        rucksack=fabric(rng) if rng.random() < 0.06 else None,
        light=(math.cos(angle), math.sin(angle)),
    )
