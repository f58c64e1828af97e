"""Skeletons: which keypoints a data set labels, in which order, and what a mirror does to them.

Left and right are the subject's own. Nothing else in the project knows a keypoint index by heart.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Skeleton:
    """The keypoints of one annotation scheme.

    `edges` are the lines to draw and `flip_pairs` the keypoints that change places in a mirror. The rest is what
    metrics measure in, None where a scheme has no such thing: `head` the two ends of the head, `torso` left
    shoulder and right hip, whose distance is the norm of PCK on LSP (Yang and Ramanan, 2013), `outer_eyes` the
    outer corners of right and left eye, `pupils` the points around each eye whose mean stands for its pupil.
    All of them are indices into `keypoints`. `flips` is False where it is unknown what a mirror does to the keypoints.
    `sigmas`, one per keypoint, are what OKS measures in: the standard deviation of the annotators over the square root
    of the instance's area, where it has been measured.

    Raises ValueError if a name is no text in one line or occurs twice, an index is out of range, a keypoint stands in
    two flip pairs or a sigma is not positive.
    """

    name: str
    keypoints: tuple[str, ...]
    edges: tuple[tuple[int, int], ...]
    flip_pairs: tuple[tuple[int, int], ...]
    head: tuple[int, int] | None = None
    torso: tuple[int, int] | None = None
    outer_eyes: tuple[int, int] | None = None
    pupils: tuple[tuple[int, ...], tuple[int, ...]] | None = None
    flips: bool = True
    sigmas: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if not self.name.isprintable() or not all(map(is_name, self.keypoints)):
            raise ValueError(f"skeleton {self.name!r}: a name is missing, or no text in one line")
        groups = (*self.edges, *self.flip_pairs, self.head, self.torso, self.outer_eyes, *(self.pupils or ()))
        if any(not 0 <= keypoint < len(self.keypoints) for group in groups if group for keypoint in group):
            raise ValueError(f"skeleton {self.name}: a pair names a keypoint outside 0..{len(self.keypoints) - 1}")
        if len(set(self.keypoints)) != len(self.keypoints):
            raise ValueError(f"skeleton {self.name}: a keypoint name occurs twice")
        flipped = [keypoint for pair in self.flip_pairs for keypoint in pair]
        if len(set(flipped)) != len(flipped):
            raise ValueError(f"skeleton {self.name}: a keypoint stands in two flip pairs")
        if self.sigmas is not None and len(self.sigmas) != len(self.keypoints):
            raise ValueError(f"skeleton {self.name}: {len(self.sigmas)} sigmas for {len(self.keypoints)} keypoints")
        if any(not 0 < sigma < math.inf for sigma in self.sigmas or ()):
            raise ValueError(f"skeleton {self.name}: a sigma is not positive")

    @property
    def names(self) -> tuple[str, ...]:
        """What the maps of a network stand for, in order."""
        return self.keypoints

    def flip_index(self) -> NDArray[np.intp]:
        """The (K,) permutation p of a mirror: keypoint k of the mirrored sample is keypoint p[k] of the sample."""
        return flip_index(len(self.keypoints), self.flip_pairs)

    def to_dict(self) -> dict[str, Any]:
        """The fields as model files have them, which call the keypoints joints."""
        return {"joints" if name == "keypoints" else name: value for name, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`, also after a trip through JSON.

        Raises KeyError, TypeError or ValueError where `values`, which may come from any file, are no skeleton.
        """
        pupils, sigmas = values.get("pupils"), values.get("sigmas")
        eyes = None if pupils is None else _two(tuple(map(_indices, _list(pupils))))
        return cls(
            name=str(values["name"]),
            keypoints=texts(values["joints"]),
            edges=pairs(values["edges"]),
            flip_pairs=pairs(values["flip_pairs"]),
            head=_pair(values["head"]),
            torso=_pair(values["torso"]),
            outer_eyes=_pair(values.get("outer_eyes")),
            pupils=eyes,
            flips=bool(values.get("flips", True)),
            sigmas=None if sigmas is None else tuple(map(_number, _list(sigmas))),
        )


def is_name(value: object) -> bool:
    """Whether a value is a text that can stand in a message, a table or a file: not empty, all of it printable."""
    return isinstance(value, str) and bool(value) and value.isprintable()


def flip_index(count: int, flip_pairs: Sequence[tuple[int, int]]) -> NDArray[np.intp]:
    """The permutation (count,) that exchanges the two of every pair."""
    index = np.arange(count, dtype=np.intp)
    for a, b in flip_pairs:
        index[[a, b]] = b, a
    return index


# What follows reads values as they come out of JSON, and raises ValueError for any other than those it is meant for:
# int() would take infinity for an OverflowError, 0.5 for 0, and a text for a list of its letters.


def texts(values: Any) -> tuple[str, ...]:
    """Names, as a list of texts."""
    return tuple(_checked(value, str) for value in _list(values))


def pairs(values: Any) -> tuple[tuple[int, int], ...]:
    """Pairs of indices."""
    return tuple(_two(_indices(pair)) for pair in _list(values))


def _pair(values: Any) -> tuple[int, int] | None:
    return None if values is None else _two(_indices(values))


def _indices(values: Any) -> tuple[int, ...]:
    return tuple(_checked(value, int) for value in _list(values))


def _number(value: Any) -> float:
    try:
        return float(_checked(value, float, int))
    except OverflowError:  # a whole number of more than 308 digits
        return math.inf


def _two(values: tuple[Any, ...]) -> tuple[Any, Any]:
    if len(values) != 2:
        raise ValueError(f"{len(values)} values where two are expected")
    return values[0], values[1]


def _list(values: Any) -> list[Any]:
    return list(_checked(values, list, tuple))


def _checked(value: Any, *types: type) -> Any:
    """The value, which is of one of these types; True is no number."""
    if type(value) not in types:
        raise ValueError(f"{type(value).__name__} where {types[0].__name__} is expected")
    return value


MPII = Skeleton(
    name="mpii",
    keypoints=(
        "right_ankle",
        "right_knee",
        "right_hip",
        "left_hip",
        "left_knee",
        "left_ankle",
        "pelvis",
        "thorax",
        "upper_neck",
        "head_top",
        "right_wrist",
        "right_elbow",
        "right_shoulder",
        "left_shoulder",
        "left_elbow",
        "left_wrist",
    ),
    edges=(
        *((0, 1), (1, 2), (2, 6)),  # right leg
        *((5, 4), (4, 3), (3, 6)),  # left leg
        *((6, 7), (7, 8), (8, 9)),  # spine and head
        *((10, 11), (11, 12), (12, 7)),  # right arm
        *((15, 14), (14, 13), (13, 7)),  # left arm
    ),
    flip_pairs=((0, 5), (1, 4), (2, 3), (10, 15), (11, 14), (12, 13)),
    head=(8, 9),
    torso=(13, 2),
)
"""MPII Human Pose (Andriluka et al., 2014): 16 joints, in the order of the ids of its annotation points."""

LSP = Skeleton(
    name="lsp",
    keypoints=(
        "right_ankle",
        "right_knee",
        "right_hip",
        "left_hip",
        "left_knee",
        "left_ankle",
        "right_wrist",
        "right_elbow",
        "right_shoulder",
        "left_shoulder",
        "left_elbow",
        "left_wrist",
        "neck",
        "head_top",
    ),
    edges=(
        *((0, 1), (1, 2), (2, 8)),  # right leg and side
        *((5, 4), (4, 3), (3, 9)),  # left leg and side
        (2, 3),
        (12, 13),
        *((6, 7), (7, 8), (8, 12)),  # right arm
        *((11, 10), (10, 9), (9, 12)),  # left arm
    ),
    flip_pairs=((0, 5), (1, 4), (2, 3), (6, 11), (7, 10), (8, 9)),
    head=(12, 13),
    torso=(9, 2),
)
"""Leeds Sports Pose and its extension (Johnson and Everingham, 2010 and 2011): 14 joints."""
