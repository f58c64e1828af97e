"""The pictures of a film, one after the other: of a folder, an animated picture, a film file or a camera."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageSequence

from hbcore.photos import cinema
from hbcore.photos.reading import ENDINGS, MAX_PIXELS, PictureError, read_picture

CAMERA = "camera:"
"""What the name of a camera begins with, as a film."""

FORMATS = ("GIF", "WEBP", "PNG", "TIFF")
"""Animated pictures that Pillow reads."""

_ANIMATED = frozenset({".gif", ".webp", ".png", ".apng", ".tif", ".tiff"})

Frame = tuple[NDArray[np.uint8], float]
"""A picture, RGB (H, W, 3), and the seconds since the one before."""


@dataclass(frozen=True, eq=False)
class Film:
    """Pictures that follow each other, how many where that is known, and whether they come without an end."""

    pictures: Iterator[Frame]
    count: int | None
    live: bool = False


def open_film(name: str, usual: float) -> Film:
    """A film by its name; `usual` seconds lie between pictures where it does not say.

    PictureError, also while its pictures are read, where it cannot be.
    """
    path = Path(name)
    if name.startswith(CAMERA):
        return Film(cinema.camera(name.removeprefix(CAMERA) or "0", usual).pictures(), None, live=True)
    if path.is_dir():
        paths = _pictures_of(path)
        return Film(((read_picture(each), usual) for each in paths), len(paths))
    if path.suffix.lower() in _ANIMATED:
        with _opened(path) as image:
            return Film(_animated(path, usual), int(getattr(image, "n_frames", 1)))
    footage = cinema.film(path, usual)
    return Film(footage.pictures(), footage.count)


def _pictures_of(folder: Path) -> list[Path]:
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in ENDINGS)
    if not found:
        raise PictureError(f"{folder}: holds no picture")
    return found


def _animated(path: Path, usual: float) -> Iterator[Frame]:
    before = usual
    with _opened(path) as image:
        try:
            for frame in ImageSequence.Iterator(image):
                yield np.array(frame.convert("RGB"), np.uint8), before
                before = float(frame.info.get("duration", 0)) / 1000 or usual
        except (OSError, SyntaxError, EOFError) as error:
            raise PictureError(f"{path}: cannot be decoded ({error})") from error


def _opened(path: Path) -> Image.Image:
    try:
        image = Image.open(path, formats=FORMATS)
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        said = (
            error.strerror if isinstance(error, OSError) and error.strerror else f"not a {', '.join(FORMATS)} picture"
        )
        raise PictureError(f"{path}: {said}; give a folder of pictures or an animated one") from None
    if image.width * image.height > MAX_PIXELS:
        image.close()
        raise PictureError(f"{path}: more than {MAX_PIXELS} pixels")
    return image
