"""Pictures in files, as hbcore.photos reads them: one that cannot be read is a BadPicture, which a run counts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hbcore.photos import reading
from hbcore.photos.reading import ENDINGS, MAX_PIXELS, Header, PictureError
from training.errors import BadPicture

__all__ = ["ENDINGS", "MAX_PIXELS", "Header", "read_header", "read_levels", "read_picture"]


def read_picture(path: Path, max_pixels: int = MAX_PIXELS, upright: bool = True) -> NDArray[np.uint8]:
    """A picture file as uint8 RGB (H, W, 3). Raises BadPicture."""
    with _told():
        return reading.read_picture(path, max_pixels, upright)


def read_levels(path: Path, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
    """The numbers, uint8 (H, W), of a picture of up to 8 bits per pixel. Raises BadPicture."""
    with _told():
        return reading.read_levels(path, max_pixels)


def read_header(path: Path) -> Header:
    """The header of a picture file, without decoding it. Raises BadPicture."""
    with _told():
        return reading.read_header(path)


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except PictureError as error:
        raise BadPicture(str(error)) from error
