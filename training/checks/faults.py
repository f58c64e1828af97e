"""What can be wrong with one sample, and how it is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hbcore.optim.losses import IGNORED
from training.labels.sample import Sample

OUTSIDE = 1.0
"""Pixels beyond the border from which a point is reported: rounding stays below."""

TINY = 32.0
"""Pixels of a crop's side: a network's smallest useful input; all beyond is guessed."""

THIN = 10.0
"""Longer over shorter side of a box or picture."""

ERRORS = {
    "fractions": "data sets whose coordinates are shares of the picture, from 0 to 1, and not pixels",
    "size": "pictures of another size than they were labelled at",
    "turned": "pictures that their EXIF tag turns, unlike their labels",
    "bad record": "records that cannot be read, and are left out",
    "unreadable": "pictures that cannot be read",
    "leak": "pictures that are in train and in test, pixel by pixel",
    "lost": "points farther outside than the picture is large",
}
WARNINGS = {
    "tag": "pictures that their EXIF tag turns, and labels that do not say of which way up they are",
    "origin": "points at exactly 0, 0, where tools put what is missing",
    "unnamed": "categories that do not name their points",
    "ignored": "shapes that are not read",
    "near copy": "pictures in train and in test that look the same",
    "swap": "samples whose left and right are likely to be exchanged",
    "outside": "points outside the picture",
    "uncropped": "points outside the crop, which the network never sees",
    "collapsed": "samples whose points lie all in one place",
    "unlabelled": "samples without a point or a known pixel, pictures without a sample",
    "tiny": f"samples in a crop of fewer than {TINY:g} pixels",
    "thin": f"boxes and pictures more than {THIN:g} times as long as wide",
    "copy": "pictures that occur twice in a split",
    "never": "points and classes that are labelled nowhere",
    "no pairs": "schemes of points without flip pairs: no picture will be mirrored",
}


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong. `kind` is a key of ERRORS or WARNINGS; of one kind, a larger `weight` is worse.

    `sample` is the index of the sample in data set number `data`, None where it is about no sample; `twin` data set
    and index of another one with the same picture.
    """

    kind: str
    data: int
    name: str
    message: str
    weight: float = 0.0
    sample: int | None = None
    twin: tuple[int, int] | None = None

    @property
    def error(self) -> bool:
        return self.kind in ERRORS


def faults(sample: Sample, names: Sequence[str]) -> list[tuple[str, str, float]]:
    """What is wrong with one sample, looked at alone: kind, message and weight."""
    height, width = sample.picture.shape[:2]
    found: list[tuple[str, str, float]] = []
    if max(height, width) > THIN * min(height, width):
        found.append(("thin", f"the picture has {width} x {height} pixels", max(height, width) / min(height, width)))
    if sample.side < TINY:
        found.append(("tiny", f"its crop is {sample.side:.0f} pixels wide", 1 / sample.side))
    if sample.mask is not None:
        return found if (sample.mask != IGNORED).any() else [*found, ("unlabelled", "has no labelled pixel", 0.0)]
    points = sample.keypoints[sample.labelled].astype(np.float64)
    if not len(points):
        return [*found, ("unlabelled", "has no labelled point", 0.0)]

    there = np.flatnonzero(sample.labelled)
    beyond = np.maximum(-0.5 - points, points - (width - 0.5, height - 0.5)).max(axis=1)
    if beyond.max() > OUTSIDE:
        worst = int(beyond.argmax())
        kind = "lost" if beyond[worst] > max(height, width) else "outside"
        x, y = points[worst]
        text = (
            f"{names[there[worst]]} at {x:.0f}, {y:.0f} is {beyond[worst]:.0f} pixels outside the picture of "
            f"{width} x {height}{_others((beyond > OUTSIDE).sum() - 1)}"
        )
        found.append((kind, text, float(beyond[worst])))
    cut = np.abs(points - sample.center).max(axis=1) - sample.side / 2
    if cut.max() > OUTSIDE:
        worst = int(cut.argmax())
        text = f"{names[there[worst]]} is {cut[worst]:.0f} pixels outside the crop{_others((cut > OUTSIDE).sum() - 1)}"
        found.append(("uncropped", text, float(cut[worst] / sample.side)))
    extent = np.ptp(points, axis=0)
    if len(points) > 1 and extent.max() < 1:
        shares = " of the picture's corner: are these shares, 0 to 1?" if in_shares(points[None])[0] else ""
        found.append(("collapsed", f"all {len(points)} points lie within a pixel{shares}", float(len(points))))
    elif len(points) > 3 and extent.max() > THIN * extent.min():
        found.append(("thin", f"its points lie in {extent[0]:.0f} x {extent[1]:.0f} pixels", extent.max()))
    return found


def in_shares(points: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Of points (N, K, 2), nan where not labelled: which (N,) lie all from 0 to 1, and not at whole numbers."""
    known = np.isfinite(points)
    inside = ~known | ((points >= 0) & (points <= 1))
    broken = known & (np.mod(points, 1) != 0)
    return np.asarray(np.all(inside, axis=(1, 2)) & np.any(broken, axis=(1, 2)), np.bool_)


def _others(count: int) -> str:
    return f", and {count} more" if count else ""
