"""What a label file says, whatever its format: instances, pictures, splits, sizes, and what of it could not be used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.datasets.annotations import box, pixels
from training.datasets.own.scheme import MOST_POINTS, OwnScheme
from training.errors import DataError

Size = tuple[int, int]
"""Width and height of a picture in pixels."""

Point = tuple[float, float]


@dataclass(frozen=True, eq=False)
class Labels:
    """N labelled instances, 0-based, in picture pixels; nan where a box or an area is not given."""

    files: tuple[str, ...]
    names: tuple[str, ...]
    keypoints: NDArray[np.float64]  # (N, K, 2)
    labelled: NDArray[np.bool_]  # (N, K)
    boxes: NDArray[np.float64]  # (N, 4): left, top, width, height
    areas: NDArray[np.float64]  # (N,)

    def pick(self, samples: Sequence[int], points: Sequence[int]) -> Labels:
        """These samples and points, in this order."""
        chosen = list(samples)
        return Labels(
            tuple(self.files[index] for index in chosen),
            tuple(self.names[index] for index in chosen),
            self.keypoints[chosen][:, list(points)],
            self.labelled[chosen][:, list(points)],
            self.boxes[chosen],
            self.areas[chosen],
        )


@dataclass(frozen=True)
class BadRecord:
    """A record that is left out: where it stands, why, and its picture, None where that is unknown."""

    name: str
    reason: str
    picture: str | None = None

    @property
    def text(self) -> str:
        """One line of both."""
        return f"{self.name}{' ' if self.reason.startswith('has no') else ': '}{self.reason}"


@dataclass(frozen=True)
class Remark:
    """What was read in a way that the user should know of: a kind of warning in `training/checks`, and about what."""

    kind: str
    name: str
    message: str
    picture: str | None = None


class Contradiction(DataError):
    """A file that contradicts itself: one record cannot be left out, since nobody knows which of them is wrong."""


@dataclass(frozen=True)
class Trouble:
    """Bad records and remarks, as a reader meets them."""

    bad: list[BadRecord] = field(default_factory=list)
    remarks: list[Remark] = field(default_factory=list)

    def skip(self, error: DataError, where: str, picture: str | None = None) -> None:
        """Leave out the record that begins its message with `where`. Raises a Contradiction again."""
        if isinstance(error, Contradiction):
            raise error
        reason = str(error).removeprefix(where).lstrip(": ")
        self.bad.append(BadRecord(where, reason, picture))

    def all_bad(self, what: str) -> DataError:
        """What to raise where no record is left: `what`, and the first of the bad ones if there are any."""
        if not self.bad:
            return DataError(what)
        return DataError(f"{what}: {len(self.bad)} records are bad, the first one: {self.bad[0].text}")


@dataclass(frozen=True, eq=False)
class Content:
    """All of a label file: `labels` has every instance, with points in the order of the file.

    pictures: those that the file knows of, with or without an instance. listed: the splits that it tells itself.
    sizes: of the pictures as they were labelled, where it says. root: the folder of the pictures where it is not that
    of the label file.
    """

    scheme: OwnScheme
    labels: Labels
    pictures: tuple[str, ...] = ()
    listed: Mapping[str, str] = field(default_factory=dict)
    sizes: Mapping[str, Size] = field(default_factory=dict)
    trouble: Trouble = field(default_factory=Trouble)
    root: Path | None = None

    @property
    def files(self) -> dict[str, None]:
        """The names of all pictures, of bad records too, in the order in which they come."""
        bad = (record.picture for record in self.trouble.bad if record.picture)
        return dict.fromkeys((*self.labels.files, *self.pictures, *bad))


@dataclass
class Instance:
    """One instance as tools tell it: named points and perhaps a box, in pixels of our convention."""

    picture: str
    name: str
    points: dict[str, Point]
    box: tuple[float, ...] = (np.nan,) * 4
    category: str = ""


def checked(instance: Instance, where: str) -> Instance:
    """`instance` with numbers that a picture may have. Raises DataError, which starts with `where`."""
    for name, point in instance.points.items():
        pixels(point, (2,), f"{where}: {name}")
    if not np.isnan(instance.box).all():
        box(instance.box, f"{where}: box")
    return instance


def names_of(instances: Sequence[Instance], where: str) -> list[str]:
    """The names of all points, in the order in which they come. Raises DataError for too many."""
    names = dict.fromkeys(name for instance in instances for name in instance.points)
    if len(names) > MOST_POINTS:
        raise DataError(f"{where}: more than {MOST_POINTS} different names of points")
    return list(names)


def gathered(instances: Sequence[Instance], names: Sequence[str]) -> Labels:
    """Instances as arrays, with the points of these names."""
    return Labels(
        tuple(instance.picture for instance in instances),
        tuple(instance.name for instance in instances),
        np.array([[instance.points.get(name, (0.0, 0.0)) for name in names] for instance in instances], np.float64),
        np.array([[name in instance.points for name in names] for instance in instances], np.bool_),
        np.array([instance.box for instance in instances], np.float64),
        np.full(len(instances), np.nan),
    )
