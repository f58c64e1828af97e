"""What maps stand for besides keypoints: parts into which a data set divides its pictures, and sizes of what is found.

A mask is uint8 (H, W): the class of each pixel, an index into `names`, or IGNORED, 255, where unknown.
"""

from __future__ import annotations

import colorsys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from hbcore.optim.losses import IGNORED
from training.errors import DataError
from training.labels.skeletons import Skeleton, flip_index, is_name, pairs, texts

Mask = NDArray[np.uint8]
_GOLDEN = 0.618034  # of a turn: hues this far apart never crowd


@dataclass(frozen=True)
class Parts:
    """The classes of one annotation scheme, and the pairs of them that change places in a mirror.

    Raises ValueError unless there are 2 to 255 names, all different, and every pair names two classes of its own.
    """

    flips: ClassVar[bool] = True  # as of a `Skeleton`
    name: str
    names: tuple[str, ...]
    flip_pairs: tuple[tuple[int, int], ...] = ()

    def __post_init__(self) -> None:
        if not 2 <= len(self.names) <= IGNORED:
            raise ValueError(f"parts {self.name}: 2 to {IGNORED} classes expected, not {len(self.names)}")
        if not self.name.isprintable():
            raise ValueError(f"parts {self.name!r}: its name is no text in one line")
        if not all(map(is_name, self.names)):
            raise ValueError(f"parts {self.name}: a class has no name")
        if len(set(self.names)) != len(self.names):
            raise ValueError(f"parts {self.name}: a class name occurs twice")
        paired = [index for pair in self.flip_pairs for index in pair]
        if any(not 0 <= index < len(self.names) for index in paired):
            raise ValueError(f"parts {self.name}: a pair names a class outside 0..{len(self.names) - 1}")
        if len(set(paired)) != len(paired):
            raise ValueError(f"parts {self.name}: a class stands in two flip pairs")

    def flip_index(self) -> NDArray[np.intp]:
        """The permutation p of a mirror: what is class k in the mirrored picture is class p[k] in the picture."""
        return flip_index(len(self.names), self.flip_pairs)

    def colours(self) -> NDArray[np.uint8]:
        """A colour for each class, (C, 3): black for the first, usually the background."""
        hues = [colorsys.hsv_to_rgb(k * _GOLDEN % 1, 0.75, 1.0) for k in range(len(self.names))]
        colours: NDArray[np.uint8] = np.rint(255 * np.array(hues)).astype(np.uint8)
        colours[0] = 0
        return colours

    def to_dict(self) -> dict[str, Any]:
        """The fields as model files have them."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`, also after a trip through JSON.

        Raises KeyError, TypeError or ValueError where `values`, which may come from any file, are no part scheme.
        """
        return cls(str(values["name"]), texts(values["names"]), pairs(values["flip_pairs"]))


@dataclass(frozen=True)
class Sizes:
    """The sizes that the maps of a finder are about, named in pixels; a mirror does nothing to them.

    Raises ValueError unless all names differ and are texts in one line.
    """

    flips: ClassVar[bool] = True
    name: str
    names: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.name.isprintable() or not all(map(is_name, self.names)) or len(set(self.names)) < len(self.names):
            raise ValueError(f"sizes {self.name!r}: a name is missing, occurs twice, or is no text in one line")

    def flip_index(self) -> NDArray[np.intp]:
        """The permutation of a mirror, which leaves all where it is."""
        return flip_index(len(self.names), ())

    def to_dict(self) -> dict[str, Any]:
        """The fields as model files have them."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`; KeyError, TypeError or ValueError where `values` are no sizes."""
        return cls(str(values["name"]), texts(values["names"]))


Scheme = Skeleton | Parts | Sizes
"""What the maps of a network stand for."""


def skeleton_of(scheme: Scheme) -> Skeleton:
    """`scheme` where only keypoints will do. Raises DataError if it names something else."""
    if not isinstance(scheme, Skeleton):
        raise DataError(
            f"{scheme.name} names {'parts of a picture' if isinstance(scheme, Parts) else 'sizes'}, not keypoints"
        )
    return scheme


def parts_of(scheme: Scheme) -> Parts:
    """`scheme` where only parts will do. Raises DataError if it names something else."""
    if not isinstance(scheme, Parts):
        raise DataError(
            f"{scheme.name} names {'keypoints' if isinstance(scheme, Skeleton) else 'sizes'}, not parts of a picture"
        )
    return scheme


def relabel(mask: Mask, index: NDArray[np.intp]) -> Mask:
    """The mask with class k in the place of class index[k]; other values stay."""
    table = np.arange(256, dtype=np.uint8)
    table[index] = np.arange(len(index))
    return table[mask]


FACE7 = Parts("face7", ("background", "skin", "lower_lip", "upper_lip", "inner_mouth", "eyes", "nose"))
"""What Bulat and Tzimiropoulos (2018) draw between ibug's 68 points."""

HELEN11 = Parts(
    "helen11",
    (
        "background",
        "face_skin",
        "left_eyebrow",
        "right_eyebrow",
        "left_eye",
        "right_eye",
        "nose",
        "upper_lip",
        "inner_mouth",
        "lower_lip",
        "hair",
    ),
    flip_pairs=((2, 3), (4, 5)),
)
"""Helen's part masks (Smith et al., "Exemplar-based face parsing", 2013), named as there: left may be the viewer's."""
