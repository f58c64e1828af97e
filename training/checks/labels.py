"""The cheap part of a check: what labels alone and the headers of pictures show, for a user's own label files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from training.checks.faults import ERRORS, WARNINGS, Finding, faults, in_shares
from training.datasets.own.fitting import EXIF
from training.datasets.own.labels import OwnSamples, own_labels
from training.errors import BadPicture, Misfit
from training.labels.sample import Dataset
from training.pictures.reading import Header

MOST_IN_SHARES = 0.5
"""The share of samples from which coordinates from 0 to 1 are those of the whole file, and no accident."""


def quick_check(datasets: Sequence[tuple[str, Dataset]]) -> list[Finding]:
    """What is wrong with those of the data sets that are a user's own labels, by kind. No picture is decoded.

    Takes a second or two for 10,000 samples.
    """
    findings = []
    for number, (spec, dataset) in enumerate(datasets):
        own = own_labels(dataset)
        if own is None:
            continue
        counts = dict(zip(own.skeleton.names, own.labels.labelled.sum(axis=0).tolist(), strict=True))
        headers = _headers(own)
        findings += label_findings(number, spec, dataset, headers) + scheme_findings(number, spec, own, counts)
        failed: set[str] = set()  # each is told once, however many samples it has
        for index, (file, name) in enumerate(zip(own.labels.files, own.labels.names, strict=True)):
            try:
                header = headers[file]
                if isinstance(header, BadPicture):
                    raise header
                outline = own.outline(index, header)
            except BadPicture as error:
                if file not in failed:
                    kind = error.kind if isinstance(error, Misfit) else "unreadable"
                    findings.append(Finding(kind, number, file, str(error)))
                failed.add(file)
                continue
            found = faults(outline, own.skeleton.names)
            findings += [Finding(kind, number, name, message, weight, index) for kind, message, weight in found]
        findings += [Finding("unlabelled", number, name, "has no labelled point") for name in own.unlabelled]
    kinds = [*ERRORS, *WARNINGS]
    findings.sort(key=lambda finding: (kinds.index(finding.kind), -finding.weight))
    return findings


def label_findings(
    number: int, spec: str, dataset: Dataset, headers: Mapping[str, Header | BadPicture] | None = None
) -> list[Finding]:
    """What is wrong with a user's own labels apart from single samples: records, coordinates, EXIF tags."""
    own = own_labels(dataset)
    if own is None:
        return []
    found = [Finding("bad record", number, bad.name, bad.reason) for bad in own.bad_records]
    found += [Finding(note.kind, number, note.name, note.message) for note in own.remarks]
    labels = own.labels
    points = np.where(labels.labelled[..., None], labels.keypoints, np.nan)
    shares = in_shares(points)
    if shares.mean() >= MOST_IN_SHARES:
        first = own.labels.names[int(shares.argmax())]
        text = f"all points of {shares.sum()} of {len(shares)} samples lie from 0 to 1, the first {first}"
        found.append(Finding("fractions", number, spec, f"{text}: multiply x by the width and y by the height"))
    for index, point in np.argwhere((points == 0).all(axis=2)).tolist():
        text = f"{own.skeleton.names[point]} is at exactly 0, 0"
        found.append(Finding("origin", number, labels.names[index], text, 0.0, index))
    if own.fitting.exif is None:
        found += _tags(number, own, _headers(own) if headers is None else headers)
    return found


def scheme_findings(number: int, spec: str, dataset: Dataset, counts: Mapping[str, int]) -> list[Finding]:
    """Points and classes that nobody has, by the numbers of their labels, and pairs that nobody knows."""
    found = [Finding("never", number, spec, f"no sample has a {name}") for name, count in counts.items() if not count]
    if not dataset.skeleton.flips:
        text = "no flip pairs are known: name them in a TOML file beside the labels, flip_pairs = [] if there are none"
        found.append(Finding("no pairs", number, spec, text))
    return found


def _headers(own: OwnSamples) -> dict[str, Header | BadPicture]:
    """Of every picture, by its name; what is wrong with it where there is none."""
    headers: dict[str, Header | BadPicture] = {}
    for file in dict.fromkeys(own.labels.files):
        try:
            headers[file] = own.header(file)
        except BadPicture as error:
            headers[file] = error
    return headers


def _tags(number: int, own: OwnSamples, headers: Mapping[str, Header | BadPicture]) -> list[Finding]:
    """Pictures that an EXIF tag turns where no size in the label file says whether their labels know of it."""
    found = []
    samples: dict[str, list[int]] = {}
    for index, file in enumerate(own.labels.files):
        samples.setdefault(file, []).append(index)
    for file, chosen in samples.items():
        header = headers[file]
        if isinstance(header, BadPicture) or header.orientation == 1:
            continue
        if header.stored != header.upright and own.sizes.get(file) is not None:
            continue  # judged by its size, see Fitting
        points = own.labels.keypoints[chosen][own.labels.labelled[chosen]]
        if _outside(points, header.upright) and not _outside(points, header.stored):
            (w, h), (width, height) = header.stored, header.upright
            text = f"{file}: its points fit {w} x {h}, and its EXIF tag turns it to {width} x {height}: {EXIF}"
            found.append(Finding("turned", number, file, text))
        else:
            text = f"its EXIF tag {header.orientation} turns it; it is read upright: {EXIF}"
            found.append(Finding("tag", number, file, text))
    return found


def _outside(points: NDArray[np.float64], size: tuple[int, int]) -> bool:
    return bool((points > np.array(size) - 0.5 + 1).any())
