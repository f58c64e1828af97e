"""What a user's own labels mean: names, lines, mirror pairs, and the picture lists of the splits.

Names and lines may stand in the label file itself. The rest comes from a small TOML file beside it, all of it optional,
points by their names:

    joints = ["nose", "left_eye", "right_eye"]   # their order; else that of the label file
    edges = [["nose", "left_eye"]]               # lines to draw
    flip_pairs = [["left_eye", "right_eye"]]     # else: names that differ only by left and right
    torso = ["left_shoulder", "right_hip"]       # norm of PCK; else: these two, if there are such names
    head = ["neck", "head_top"]
    outer_eyes = ["right_eye", "left_eye"]       # norms of NME
    pupils = [["right_eye"], ["left_eye"]]
    sigmas = [0.026, 0.025, 0.025]               # of OKS, in the order of the joints; else: COCO's, for its persons
    train = ["a.jpg"]                            # picture lists; one of the two says enough
    test = ["b.jpg"]

With no pair in names and none given, it is unknown what a mirror does to the points, and training does not mirror
pictures; `flip_pairs = []` says that every point stays what it is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from training.datasets.annotations import file_name, load_toml, numbers
from training.errors import DataError, unknown
from training.labels.skeletons import Skeleton

MOST_POINTS = 1000
"""One heatmap each: more is an accident."""

COCO_SIGMAS: Mapping[str, float] = MappingProxyType(
    {"nose": 0.026}
    | {
        f"{side}_{part}": sigma
        for part, sigma in {
            "eye": 0.025, "ear": 0.035, "shoulder": 0.079, "elbow": 0.072, "wrist": 0.062, "hip": 0.107,
            "knee": 0.087, "ankle": 0.089,
        }.items()
        for side in ("left", "right")
    }
)  # fmt: skip
"""By the names of the 17 points of a person in COCO (cocodataset.org, keypoint evaluation)."""

_KEYS = (
    "joints", "edges", "flip_pairs", "torso", "head", "outer_eyes", "pupils", "sigmas", "train", "test",
)  # fmt: skip
_TORSO = ("left_shoulder", "right_hip")
_SIDES = {"left": "right", "right": "left", "l": "r", "r": "l"}


@dataclass(frozen=True)
class OwnScheme:
    """What was said about labels.

    `source` holds, for each keypoint of the skeleton, its place in the label file. `lists` gives the split of each
    picture in the lists, `rest` that of all others, None if they belong to none.
    """

    skeleton: Skeleton
    source: tuple[int, ...]
    lists: Mapping[str, str] = field(default_factory=dict)
    rest: str | None = None


def make_scheme(
    name: str,
    keypoints: Sequence[str],
    where: str,
    toml: Path | None,
    edges: Sequence[tuple[int, int]] = (),
    flip_pairs: Sequence[tuple[int, int]] | None = None,
    sigmas: Sequence[float] | None = None,
) -> OwnScheme:
    """The scheme of points with these names, as the label file has them and the TOML file, if any, has the last word.

    `where` begins the messages about the label file; pairs are indices into `keypoints`. Raises DataError for names
    that are no names or occur twice, and for a TOML file that is none or contradicts the names.
    """
    check_names(keypoints, where)
    said = _Said(toml, load_toml(toml)) if toml else _Said(Path(), {})
    order = said.names("joints", keypoints) or list(keypoints)
    if len(order) != len(keypoints):
        raise DataError(f"{toml}: joints names {len(order)} of {len(keypoints)} points: name them all, in their order")
    moved = [order.index(keypoint) for keypoint in keypoints]  # place in the label file -> place in the skeleton
    pairs = said.pairs("flip_pairs", order)
    if pairs is None and flip_pairs is not None:
        pairs = [(moved[a], moved[b]) for a, b in flip_pairs]
    told = pairs is not None
    if pairs is None:
        pairs = mirror_pairs(order)
    drawn = said.pairs("edges", order)
    measured = said.sigmas(len(order)) or (
        sigmas and [float(sigmas[list(keypoints).index(keypoint)]) for keypoint in order]
    )
    if not measured and set(order) == COCO_SIGMAS.keys():
        measured = [COCO_SIGMAS[keypoint] for keypoint in order]
    torso = said.pair("torso", order)
    if torso is None and set(_TORSO) <= set(order):
        torso = (order.index(_TORSO[0]), order.index(_TORSO[1]))
    lists, rest = said.lists()
    try:
        skeleton = Skeleton(
            name=name,
            keypoints=tuple(order),
            edges=tuple([(moved[a], moved[b]) for a, b in edges] if drawn is None else drawn),
            flip_pairs=tuple(pairs),
            head=said.pair("head", order),
            torso=torso,
            outer_eyes=said.pair("outer_eyes", order),
            pupils=said.groups("pupils", order),
            sigmas=tuple(measured) if measured else None,
            flips=told or bool(pairs) or len(order) == 1,
        )
    except ValueError as error:
        raise DataError(f"{toml or where}: {error}") from None
    return OwnScheme(skeleton, tuple(keypoints.index(keypoint) for keypoint in order), lists, rest)


def check_names(names: Any, where: str) -> None:
    """Raise DataError, which starts with `where`, unless `names` are 1..1000 different names that can be printed."""
    if not isinstance(names, (list, tuple)) or not 1 <= len(names) <= MOST_POINTS:
        raise DataError(f"{where} should be a list of 1 to {MOST_POINTS} names of points")
    for index, name in enumerate(names):
        if not isinstance(name, str) or not name.strip() or not name.isprintable() or len(name) > 100:
            raise DataError(f"{where}: name {index} is not a text of 1 to 100 printable signs")
    for name in names:
        if names.count(name) > 1:
            raise DataError(f"{where}: the name {name!r} occurs twice")


def mirror_pairs(names: Sequence[str]) -> list[tuple[int, int]]:
    """The points whose names differ only by left and right (or l and r, as a word of its own), by their indices.

    Words end at spaces, signs, and before capitals: left_eye, EyeRight, "L Eye" and upperleft all have a side.
    """
    words = [_words(name) for name in names]
    places = {word: index for index, word in enumerate(words)}
    mirrored = [places.get(tuple(map(_mirror, word))) for word in words]
    # Both ways, so that two spellings of one name do not make three points a pair.
    return [
        (index, other)
        for index, other in enumerate(mirrored)
        if other is not None and index < other and mirrored[other] == index
    ]


def _words(name: str) -> tuple[str, ...]:
    return tuple(word.lower() for word in re.findall(r"[A-Z]?[^\W\d_A-Z]+|[A-Z]+(?![^\W\d_A-Z])|\d+", name))


def _mirror(word: str) -> str:
    if word in _SIDES:
        return _SIDES[word]
    return re.sub("left|right", lambda found: _SIDES[found.group()], word)


class _Said:
    """The content of a TOML file, checked as it is asked for."""

    def __init__(self, path: Path, content: dict[str, Any]) -> None:
        self.path, self.content = path, content
        for key in content:
            if key not in _KEYS:
                raise DataError(f"{path}: {unknown('key', key, _KEYS)}")

    def names(self, key: str, known: Sequence[str]) -> list[str] | None:
        value = self.content.get(key)
        return None if value is None else self._names(key, value, known)

    def _names(self, key: str, value: Any, known: Sequence[str], count: int | None = None) -> list[str]:
        if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
            raise DataError(f"{self.path}: {key} should list names of points")
        for name in value:
            if name not in known:
                raise DataError(f"{self.path}: {key}: {unknown('point', name, known)}")
        if count not in (None, len(value)) or not value or len(set(value)) != len(value):
            raise DataError(f"{self.path}: {key} should name {count or 'different'} points, not {', '.join(value)}")
        return value

    def pair(self, key: str, known: Sequence[str]) -> tuple[int, int] | None:
        value = self.content.get(key)
        if value is None:
            return None
        a, b = self._names(key, value, known, count=2)
        return known.index(a), known.index(b)

    def pairs(self, key: str, known: Sequence[str]) -> list[tuple[int, int]] | None:
        value = self.content.get(key)
        if value is None:
            return None
        if not isinstance(value, list):
            raise DataError(f"{self.path}: {key} should be a list of pairs of names")
        names = [self._names(f"{key}[{index}]", pair, known, count=2) for index, pair in enumerate(value)]
        return [(known.index(a), known.index(b)) for a, b in names]

    def groups(self, key: str, known: Sequence[str]) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
        value = self.content.get(key)
        if value is None:
            return None
        if not isinstance(value, list) or len(value) != 2:
            raise DataError(f"{self.path}: {key} should be two lists of names, right and left")
        a, b = (tuple(known.index(name) for name in self._names(key, group, known)) for group in value)
        return a, b

    def sigmas(self, count: int) -> list[float] | None:
        value = self.content.get("sigmas")
        if value is None:
            return None
        sigmas: list[float] = numbers(value, (count,), f"{self.path}: sigmas").tolist()
        return sigmas

    def lists(self) -> tuple[dict[str, str], str | None]:
        """The split of each picture in a list, and that of the rest."""
        found: dict[str, str] = {}
        given = {split: self.content.get(split) for split in ("train", "test")}
        for split, files in given.items():
            if not isinstance(files, (list, type(None))):
                raise DataError(f"{self.path}: {split} should list file names")
            for file in files or ():
                if found.setdefault(file_name(file, f"{self.path}: {split}"), split) != split:
                    raise DataError(f"{self.path}: {file!r} is in train and in test")
        if not found or None not in given.values():
            return found, None
        return found, "test" if given["test"] is None else "train"
