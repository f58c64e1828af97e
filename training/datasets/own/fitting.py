"""Whether labels fit their pictures: sizes before and after, and pictures that their EXIF tag turns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from training.datasets.own.content import Size
from training.errors import Misfit
from training.pictures.reading import Header


@dataclass(frozen=True)
class Fitting:
    """How labels are brought onto pictures, see LabelFile."""

    rescale: Literal["yes", "no"] | None = None
    exif: Literal["ignore", "apply"] | None = None

    def size(self, header: Header) -> Size:
        """The size at which a picture is read."""
        return header.stored if self.exif == "ignore" else header.upright

    def zoom(self, file: str, told: Size | None, header: Header) -> tuple[float, float]:
        """The factors of x and y, of labels made on `told` pixels. Raises Misfit where they fit by nothing said."""
        size = self.size(header)
        if told is None or told == size:
            return 1.0, 1.0
        turned = header.stored != header.upright
        if turned and self.exif is None and _alike(told, header.stored):
            raise Misfit("turned", f"{file}: {_labelled(told)}, and its EXIF tag turns it to {_text(size)}: {EXIF}")
        if turned and self.exif == "apply" and told == header.stored:
            return 1.0, 1.0  # the size in the file is that of the stored picture, the labels are not
        if self.rescale is None:
            raise Misfit("size", f"{file}: {_labelled(told)}, the picture has {_text(size)}: {RESCALE}")
        return (size[0] / told[0], size[1] / told[1]) if self.rescale == "yes" else (1.0, 1.0)


EXIF = "?exif=ignore takes pictures as stored, ?exif=apply says that the labels are of upright ones"
RESCALE = "?rescale=yes scales the labels, ?rescale=no says that the size in the label file is wrong"


def scaled(points: NDArray[np.float64], zoom: tuple[float, float]) -> NDArray[np.float64]:
    """Points (..., 2) of a picture that was made larger; its corner, (-0.5, -0.5), stays where it is."""
    return points if zoom == (1.0, 1.0) else (points + 0.5) * zoom - 0.5


def scaled_box(box: NDArray[np.float64], zoom: tuple[float, float]) -> NDArray[np.float64]:
    """Left, top, width and height; left and top are the centre of the first pixel, as in `around_box`.

    So the box begins half a pixel before, and left and top count from the picture's corner like a width.
    """
    return box if zoom == (1.0, 1.0) else box * (*zoom, *zoom)


def told_size(width: object, height: object) -> Size | None:
    """Width and height that a label file tells, None where it tells none, as 0 or a text."""
    given = []
    for value in (width, height):
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 1 <= value < 1e6 or value % 1:
            return None
        given.append(int(value))
    return given[0], given[1]


def _alike(a: Size, b: Size) -> bool:
    """Whether two sizes have the same shape, up to the rounding of a picture that was made smaller."""
    return abs(a[0] * b[1] - a[1] * b[0]) <= max(*a, *b)


def _labelled(size: Size) -> str:
    return f"labelled at {_text(size)}"


def _text(size: Size) -> str:
    return f"{size[0]} x {size[1]}"
