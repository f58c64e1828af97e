"""A contact sheet: the worst findings as pictures with their labels drawn in."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from hbcore.landmarks.crop import Crop
from hbcore.optim.losses import IGNORED
from training.checks.faults import Finding
from training.checks.findings import Scan
from training.errors import BadPicture
from training.labels.parts import Parts, Scheme, skeleton_of
from training.labels.sample import Sample
from training.pictures.drawing import grid, overlay, tint

CELLS = 48
_SIZE = 220  # pixels of a picture in the sheet
_CAPTION = 40  # pixels below it
_LETTERS = 36  # of a line of the caption
_WEIGHT = 2.5  # of dots and lines, see `overlay`: five pixels wide, to be seen on a sheet of many pictures
_ROOM = 1.15  # side of what is shown over what is needed


def worst(findings: Sequence[Finding], most: int = CELLS) -> list[Finding]:
    """The findings to show: all errors first, then the worst of each kind of warning in turns, so that none hides
    another. Those that are about no sample are left out. `findings` come worst first."""
    shown = [finding for finding in findings if finding.sample is not None or finding.kind == "unreadable"]
    errors = [finding for finding in shown if finding.error]
    kinds: dict[str, list[Finding]] = {}
    for finding in shown:
        if not finding.error:
            kinds.setdefault(finding.kind, []).append(finding)
    turns = sorted(
        ((rank, place, finding) for place, group in enumerate(kinds.values()) for rank, finding in enumerate(group)),
        key=lambda item: item[:2],
    )
    return (errors + [finding for _, _, finding in turns])[:most]


def contact_sheet(scans: Sequence[Scan], findings: Sequence[Finding]) -> NDArray[np.uint8]:
    """The pictures of `findings`, each with its kind and name below, in rows of eight. Twins stand side by side."""
    return grid(list(_cells(scans, findings)), columns=8)


def _cells(scans: Sequence[Scan], findings: Sequence[Finding]) -> Iterator[NDArray[np.uint8]]:
    for finding in findings:
        yield _cell(scans[finding.data], finding.sample, f"{finding.kind}: {finding.name}")
        if finding.twin is not None:
            other, index = finding.twin
            yield _cell(scans[other], index, f"{finding.kind}: its twin ({scans[other].split})")


def _cell(scan: Scan, index: int | None, caption: str) -> NDArray[np.uint8]:
    cell = Image.new("RGB", (_SIZE, _SIZE + _CAPTION), (32, 32, 32))
    if index is not None:
        with contextlib.suppress(BadPicture):  # gone since it was checked: the caption alone says what was found
            cell.paste(Image.fromarray(_view(scan.dataset.sample(index), scan.dataset.skeleton)))
    font = ImageFont.load_default(size=11)
    # The font has no other letters, and a name that is all question marks still shows its length and ending.
    text = caption.encode("ascii", "replace").decode()
    lines = [text[start : start + _LETTERS] for start in range(0, 2 * _LETTERS, _LETTERS)]
    ImageDraw.Draw(cell).text((4, _SIZE + 4), "\n".join(lines), fill=(230, 230, 230), font=font)
    return np.asarray(cell)


def _view(sample: Sample, scheme: Scheme) -> NDArray[np.uint8]:
    """The crop, or as much more as all labelled points need, unless these are lost; and the labels in it."""
    reach = sample.side / 2
    if sample.labelled.any():
        off = np.abs(sample.keypoints[sample.labelled].astype(np.float64) - sample.center).max()
        reach = max(reach, min(float(off), 2 * max(sample.picture.shape)))
    crop = Crop(sample.center, 2 * _ROOM * reach, _SIZE)
    picture = crop.extract(sample.picture)
    if isinstance(scheme, Parts):
        assert sample.mask is not None
        return tint(picture, crop.extract_mask(sample.mask, IGNORED), scheme.colours(), zoom=1)
    points = np.where(sample.labelled[:, None], crop.to_input(sample.keypoints), np.nan)
    return overlay(picture, points, skeleton_of(scheme), zoom=1, weight=_WEIGHT)
