"""The pictures that a command line names, read one after the other: a subject keeps only its crops of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hbcore.inspect.subject import InspectError, Subject

if TYPE_CHECKING:
    from hbcore.photos.boxes import Boxes


def looking(subject: Subject, paths: Sequence[str], words: Sequence[str] | None, verb: str, most: float) -> Subject:
    """The subject with these files, or folders of them, at the boxes that `--boxes` has.

    most: squares that the verb looks at. InspectError where there are more, before anything is decoded if that is
    known, for a picture or box that cannot be used, and without Pillow.
    """
    try:
        from hbcore.photos.boxes import BoxesError, read_boxes
        from hbcore.photos.reading import PictureError
    except ModuleNotFoundError as error:
        raise without_pillow(error) from None
    found = list(files(paths))
    if len(found) > most:
        raise InspectError(f"{verb} looks at {'one picture' if most else 'no picture'}, not at {len(found)}")
    try:
        seen = subject.looking_at(photos(found, read_boxes(words) if words else None))
    except (BoxesError, PictureError) as error:
        raise InspectError(str(error)) from None
    if len(seen.pictures) > most:
        raise InspectError(f"{verb} looks at one place, and --boxes has {len(seen.pictures)} in {found[0]}: name one")
    return seen


def photos(paths: Sequence[Path], boxes: Boxes | None) -> Iterator[tuple[str, NDArray[np.uint8], Any]]:
    """Name, pixels and boxes of each photo, decoded when it is its turn. PictureError, BoxesError."""
    from hbcore.photos.reading import read_picture

    for path in paths:
        yield str(path), read_picture(path), boxes.of(path) if boxes else None


def files(paths: Sequence[str]) -> Iterator[Path]:
    """Picture files, and those in folders, in the order of their names. InspectError for a folder without one."""
    from hbcore.photos.reading import ENDINGS

    for path in map(Path, paths):
        if not path.is_dir():
            yield path
            continue
        within = sorted(file for file in path.iterdir() if file.suffix.lower() in ENDINGS)
        if not within:
            raise InspectError(f"{path}: holds no picture")
        yield from within


def without_pillow(error: ModuleNotFoundError) -> Exception:
    """What to say of a module that is missing; if that is not Pillow, the error itself."""
    if error.name != "PIL":
        return error
    return InspectError('picture files need Pillow, which is missing: pip install "hbcore[pictures]"')
