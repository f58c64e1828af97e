"""Who looks how: skin, hair, beard, glasses and light of a face, drawn at random."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.datasets.drawn.figures.clothes import HAIR, Colour, fabric, nudge, pick, skin, tone, vivid

Rng = np.random.Generator
_HAIRS = {"short": 0.42, "long": 0.32, "bald": 0.08, "cap": 0.10, "receding": 0.08}
_BEARDS = {"none": 0.72, "full": 0.12, "stubble": 0.09, "moustache": 0.07}
_GLASSES = {"none": 0.78, "rims": 0.17, "dark": 0.05}


@dataclass(frozen=True, eq=False)
class Look:
    """Colours and ornaments of one face. `light` (3,) is the unit vector to where the light comes from."""

    skin: Colour
    lips: Colour
    hair: Colour
    brows: Colour
    iris: Colour
    style: str  # of the hair; "cap" hides it
    fringe: float  # how far the hair hangs down from the hairline: 0 not at all, 1 to the brows
    beard: str
    glasses: str
    rims: Colour
    shirt: Colour
    ambient: float  # share of the light that comes from everywhere
    light: np.ndarray[tuple[int, ...], np.dtype[np.float64]]
    thick: float  # of the brows


def draw_look(rng: Rng) -> Look:
    """A random appearance."""
    tan = skin(rng)
    hair = nudge(rng, HAIR[int(rng.integers(len(HAIR)))], 8)
    style, beard = pick(rng, _HAIRS), pick(rng, _BEARDS)
    if style == "long" and rng.random() < 0.8:
        beard = "none"
    red = 0.75 + 0.35 * float(rng.random())
    lips = min(255, int(tan[0] * red)), int(tan[1] * red * 0.68), int(tan[2] * red * 0.72)
    light = rng.normal(size=3) * (0.9, 0.5, 0.3) + (0.0, -0.5, 0.9)
    return Look(
        skin=tan,
        lips=nudge(rng, lips, 14),
        hair=fabric(rng) if style == "cap" else hair,
        brows=tone(hair, 0.75) if sum(hair) < 400 else (110, 84, 62),
        iris=((70, 44, 30), (52, 34, 26), (92, 116, 140), (88, 104, 78))[int(rng.integers(4))],
        style=style,
        fringe=max(0.0, 1.3 * float(rng.random()) - 0.4) if style in ("short", "long") else 0.25 * float(rng.random()),
        beard=beard,
        glasses=pick(rng, _GLASSES),
        rims=(30, 28, 30) if rng.random() < 0.6 else vivid(rng),
        shirt=fabric(rng),
        ambient=0.55 + 0.35 * float(rng.random()),
        light=light / float(np.linalg.norm(light)),
        thick=0.5 + 0.8 * float(rng.random()),
    )
