"""Words on pictures: a legend below a grid of overlays, and a line across a single one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from training.pictures.drawing import GAP, Colour, Pixels

_SIZE = 18  # pixels of a letter of a legend, which stands below many pictures
_SMALL = 14  # of one on a single picture, which may be narrow
_LINE = 28  # of a line
_SPACE = 20  # between two entries
_TEXT = (235, 235, 235)


def with_legend(picture: Pixels, entries: Sequence[tuple[Colour | None, str]]) -> Pixels:
    """A picture (H, W, 3) with lines below it that say what its colours mean: (H + lines, W, 3).

    An entry is a colour, for a small square before it, or None, and words. As many stand in a line as there is room.
    """
    font = ImageFont.load_default(size=_SIZE)
    places: list[tuple[int, int]] = []
    x, y = _SPACE // 2, 0
    for colour, text in entries:
        width = round(font.getlength(_plain(text))) + (0 if colour is None else _SIZE + 4)
        if places and x + width > picture.shape[1]:
            x, y = _SPACE // 2, y + _LINE
        places.append((x, y))
        x += width + _SPACE
    strip = Image.new("RGB", (picture.shape[1], y + _LINE), GAP)
    draw = ImageDraw.Draw(strip)
    for (colour, text), (left, top) in zip(entries, places, strict=True):
        if colour is not None:
            draw.rectangle((left, top + 4, left + _SIZE - 1, top + 3 + _SIZE), fill=colour)
            left += _SIZE + 4
        draw.text((left, top + 2), _plain(text), fill=_TEXT, font=font)
    return np.concatenate([picture, np.asarray(strip)])


def captioned(picture: Pixels, text: str) -> Pixels:
    """A picture (H, W, 3) with a dark line of words across its top; its size stays as it is."""
    image = Image.fromarray(picture)
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, image.width, _SMALL + 8), fill=GAP)
    draw.text((_SPACE // 2, 2), _plain(text), fill=_TEXT, font=ImageFont.load_default(size=_SMALL))
    return np.asarray(image)


def _plain(text: str) -> str:
    """The font has no other letters, and a name that is all question marks still shows its length."""
    return text.encode("ascii", "replace").decode()
