"""The skeletons of faces: ibug's 68 points, WFLW's 98, COFW's 29, and any other number.

Left and right are the person's own, so the points called `right_...` are on the left of a picture. A mirror follows
from the names: every `right_X` changes places with its `left_X`.
"""

from __future__ import annotations

from collections.abc import Sequence

from training.labels.skeletons import Skeleton

Edges = tuple[tuple[int, int], ...]


def _pairs(names: Sequence[str]) -> Edges:
    """The flip pairs that the names tell."""
    index = {name: k for k, name in enumerate(names)}
    return tuple((k, index[f"left_{name[6:]}"]) for name, k in index.items() if name.startswith("right_"))


def _line(first: int, last: int, closed: bool = False) -> Edges:
    """Edges from point to point, and from the last back to the first."""
    return (*((k, k + 1) for k in range(first, last)), *(((last, first),) if closed else ()))


def _side(name: str, parts: Sequence[str]) -> list[str]:
    return [f"{name}_{part}" for part in parts]


def _across(part: str, middle: Sequence[str], count: int) -> list[str]:
    """A row from the right over the middle to the left: `right_jaw_1`, ..., `chin`, ..., `left_jaw_1`."""
    sides = [[f"{side}_{part}_{k}" for k in range(1, count + 1)] for side in ("right", "left")]
    return [*sides[0], *middle, *sides[1][::-1]]


_LIDS = ("eye_outer", "eye_upper_outer", "eye_upper_inner", "eye_inner", "eye_lower_inner", "eye_lower_outer")
_IBUG = (
    *_across("jaw", ("chin",), 8),  # 0-16
    *_across("brow", (), 5),  # 17-26
    *(f"nose_bridge_{k}" for k in range(1, 5)),  # 27-30
    *_across("nostril", ("nose_base",), 2),  # 31-35
    *_side("right", _LIDS),  # 36-41
    *_side("left", (*_LIDS[3::-1], *_LIDS[:3:-1])),  # 42-47, clockwise in the picture as on the other side
    *_across("upper_lip_outer", ("upper_lip_top",), 3),  # 48-54, from corner to corner
    *_across("lower_lip_outer", ("lower_lip_bottom",), 2)[::-1],  # 55-59, the way back
    *_across("upper_lip_inner", ("upper_lip_bottom",), 2),  # 60-64
    *_across("lower_lip_inner", ("lower_lip_top",), 1)[::-1],  # 65-67
)

IBUG68 = Skeleton(
    name="ibug68",
    keypoints=_IBUG,
    edges=(
        *_line(0, 16),
        *_line(17, 21),
        *_line(22, 26),
        *_line(27, 30),
        *_line(31, 35),
        *((30, 33),),
        *_line(36, 41, closed=True),
        *_line(42, 47, closed=True),
        *_line(48, 59, closed=True),
        *_line(60, 67, closed=True),
    ),
    flip_pairs=_pairs(_IBUG),
    outer_eyes=(36, 45),
    pupils=(tuple(range(36, 42)), tuple(range(42, 48))),
)
"""The mark-up of Multi-PIE and 300-W (Sagonas et al., 2013): 68 points."""

_LIDS_WFLW = (
    *("eye_outer", "eye_upper_outer", "eye_upper", "eye_upper_inner"),
    *("eye_inner", "eye_lower_inner", "eye_lower", "eye_lower_outer"),
)
_WFLW = (
    *_across("jaw", ("chin",), 16),  # 0-32
    *_side("right", [f"brow_upper_{k}" for k in (1, 2, 3, 4, 5)]),  # 33-37, outside to inside
    *_side("right", [f"brow_lower_{k}" for k in (4, 3, 2, 1)]),  # 38-41, the way back
    *_side("left", [f"brow_upper_{k}" for k in (5, 4, 3, 2, 1)]),  # 42-46, inside to outside
    *_side("left", [f"brow_lower_{k}" for k in (1, 2, 3, 4)]),  # 47-50
    *(f"nose_bridge_{k}" for k in range(1, 5)),  # 51-54
    *_across("nostril", ("nose_base",), 2),  # 55-59
    *_side("right", _LIDS_WFLW),  # 60-67
    *_side("left", (*_LIDS_WFLW[4::-1], *_LIDS_WFLW[:4:-1])),  # 68-75
    *_across("upper_lip_outer", ("upper_lip_top",), 3),  # 76-82
    *_across("lower_lip_outer", ("lower_lip_bottom",), 2)[::-1],  # 83-87
    *_across("upper_lip_inner", ("upper_lip_bottom",), 2),  # 88-92
    *_across("lower_lip_inner", ("lower_lip_top",), 1)[::-1],  # 93-95
    *("right_pupil", "left_pupil"),
)

WFLW98 = Skeleton(
    name="wflw98",
    keypoints=_WFLW,
    edges=(
        *_line(0, 32),
        *_line(33, 41, closed=True),
        *_line(42, 50, closed=True),
        *_line(51, 54),
        *_line(55, 59),
        *((54, 57),),
        *_line(60, 67, closed=True),
        *_line(68, 75, closed=True),
        *_line(76, 87, closed=True),
        *_line(88, 95, closed=True),
    ),
    flip_pairs=_pairs(_WFLW),
    outer_eyes=(60, 72),
    pupils=((96,), (97,)),
)
"""Wider Facial Landmarks in the Wild (Wu et al., 2018): 98 points."""

_COFW = (
    *("right_brow_outer", "left_brow_outer", "right_brow_inner", "left_brow_inner"),
    *("right_brow_top", "right_brow_bottom", "left_brow_top", "left_brow_bottom"),
    *("right_eye_outer", "left_eye_outer", "right_eye_inner", "left_eye_inner"),
    *("right_eye_top", "right_eye_bottom", "left_eye_top", "left_eye_bottom"),
    *("right_pupil", "left_pupil", "right_nostril", "left_nostril", "nose_tip", "nose_base"),
    *("right_mouth_corner", "left_mouth_corner", "upper_lip_top", "upper_lip_bottom"),
    *("lower_lip_top", "lower_lip_bottom", "chin"),
)

COFW29 = Skeleton(
    name="cofw29",
    keypoints=_COFW,
    edges=(
        *((0, 4), (4, 2), (2, 5), (5, 0)),  # brows
        *((1, 6), (6, 3), (3, 7), (7, 1)),
        *((8, 12), (12, 10), (10, 13), (13, 8)),  # eyes
        *((9, 14), (14, 11), (11, 15), (15, 9)),
        *((18, 20), (20, 19), (19, 21), (21, 18)),  # nose
        *((22, 24), (24, 23), (22, 25), (25, 23)),  # lips
        *((22, 26), (26, 23), (22, 27), (27, 23)),
    ),
    flip_pairs=_pairs(_COFW),
    outer_eyes=(8, 9),
    pupils=((16,), (17,)),
)
"""Caltech Occluded Faces in the Wild (Burgos-Artizzu et al., 2013): 29 points."""

SCHEMES = {skeleton.name: skeleton for skeleton in (IBUG68, WFLW98, COFW29)}


def generic(count: int) -> Skeleton:
    """Points of which only the number is known: no lines, and no mirror, since the flip pairs are not known."""
    names = tuple(f"point_{k + 1}" for k in range(count))
    return Skeleton(name=f"points{count}", keypoints=names, edges=(), flip_pairs=(), flips=False)
