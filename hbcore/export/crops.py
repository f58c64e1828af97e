"""Pictures to try a model on: squares of real ones, or made up. The same for the same arguments."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hbcore.deploy.model_file import ModelFileError
from hbcore.landmarks.crop import Crop
from hbcore.landmarks.squares import around_picture

Levels = NDArray[np.uint8]
SEED = 0
COARSEST = 4  # pixels of the coarsest noise


def synthetic(count: int, side: int) -> Iterator[Levels]:
    """Pictures (side, side, 3) of noise, coarse below fine, that fills more or less of the range of bytes."""
    rng = np.random.default_rng(SEED)
    for _ in range(count):
        picture = np.zeros((side, side, 3))
        pixels = COARSEST
        while pixels <= side:
            noise = rng.normal(size=(pixels, pixels, 3)) / pixels
            at = np.arange(side) * pixels // side
            picture += noise[at[:, None], at]
            pixels *= 2
        spread = rng.uniform(0.1, 2) * 128 / np.abs(picture).max()
        yield (rng.uniform(64, 192) + spread * picture).clip(0, 255).astype(np.uint8)


def squares_in(folder: Path, count: int, side: int) -> Iterator[Levels]:
    """Squares (side, side, 3) of the pictures of a folder and the folders in it, in the order of their names.

    First around each whole picture; then, until there are enough, smaller ones somewhere in it. ModelFileError, in one
    line, where there is no picture, or one that cannot be read.
    """
    try:
        from hbcore.photos.reading import ENDINGS, PictureError, read_picture
    except ModuleNotFoundError as error:
        if error.name != "PIL":
            raise
        raise ModelFileError(
            'pictures are read with Pillow, which is missing: pip install "hbcore[pictures]"'
        ) from None
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in ENDINGS)
    if not files:
        raise ModelFileError(f"{folder}: holds no pictures; these end in {', '.join(sorted(ENDINGS))}")
    rng = np.random.default_rng(SEED)
    for number, file in enumerate(islice(cycle(files), count)):
        try:
            picture = read_picture(file)
        except PictureError as error:
            raise ModelFileError(str(error)) from None
        (x, y), length = around_picture(picture)
        if number >= len(files):
            part = rng.uniform(0.5, 1)
            x, y = (at + length * (1 - part) * rng.uniform(-0.5, 0.5) for at in (x, y))
            length *= part
        yield Crop((x, y), length, side).extract(picture)
