"""What is found wrong with labelled pictures: each sample's own faults, then those that only the whole shows.

A picture is read once and not kept: of every sample only the labels and a fingerprint of the picture stay.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from training.checks.duplicates import NEAR, Fingerprint, fingerprint, nearest
from training.checks.faults import ERRORS, WARNINGS, Finding, faults
from training.checks.labels import label_findings, scheme_findings
from training.checks.swaps import likely_swaps
from training.datasets.splits import SPLITS
from training.errors import BadPicture, Misfit
from training.labels.sample import Dataset, Sample
from training.labels.skeletons import Skeleton


@dataclass(eq=False)
class Scan:
    """What stays of a data set that was looked at: indices, names, labels and fingerprints of readable samples.

    `labelled` says which points a sample has, or, where parts are labelled, which classes. `unseen` says why left and
    right were not looked at, or of whom; it is empty where all were.
    """

    spec: str
    dataset: Dataset
    index: list[int] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    keypoints: list[NDArray[np.float32]] = field(default_factory=list)
    labelled: list[NDArray[np.bool_]] = field(default_factory=list)
    prints: list[Fingerprint] = field(default_factory=list)
    unseen: str = ""

    @property
    def split(self) -> str:
        return self.dataset.split

    def counts(self) -> dict[str, int]:
        """How many samples have each point or class."""
        names = self.dataset.skeleton.names
        found = np.array(self.labelled, np.bool_).reshape(-1, len(names)).sum(axis=0)
        return dict(zip(names, found.tolist(), strict=True))


def check(
    datasets: Sequence[tuple[str, Dataset]], advance: Callable[[], None] = lambda: None
) -> tuple[list[Scan], list[Finding]]:
    """What stays of data sets, given with their names on the command line, and what is wrong with their samples.

    The findings come worst first: errors, then warnings, by their kinds and weights. `advance` is called after each
    sample.
    """
    scans, findings = [], []
    for number, (spec, dataset) in enumerate(datasets):
        scan, found = _scan(number, spec, dataset, advance)
        scans.append(scan)
        findings += found + scheme_findings(number, spec, dataset, scan.counts() if scan.index else {})
    for together in _together(scans):
        findings += _swaps(scans, together)
    findings += _copies(scans) + _near_copies(scans)
    kinds = [*ERRORS, *WARNINGS]
    findings.sort(key=lambda finding: (kinds.index(finding.kind), -finding.weight))
    return scans, findings


def picture_name(sample: str) -> str:
    """The picture's part of a sample's name."""
    return sample.rpartition("#")[0] or sample


def _scan(number: int, spec: str, dataset: Dataset, advance: Callable[[], None]) -> tuple[Scan, list[Finding]]:
    scan, findings = Scan(spec, dataset), []
    last: NDArray[np.uint8] | None = None
    for index in range(len(dataset)):
        try:
            sample = dataset.sample(index)
        except BadPicture as error:
            kind = error.kind if isinstance(error, Misfit) else "unreadable"
            findings.append(Finding(kind, number, f"{dataset.name}/{dataset.split}/{index}", str(error)))
            advance()
            continue
        found = scan.prints[-1] if sample.picture is last else fingerprint(sample.picture)
        last = sample.picture
        scan.index.append(index)
        scan.names.append(sample.name)
        scan.keypoints.append(sample.keypoints)
        scan.labelled.append(_present(sample, len(dataset.skeleton.names)))
        scan.prints.append(found)
        findings += [
            Finding(kind, number, sample.name, message, weight, index)
            for kind, message, weight in faults(sample, dataset.skeleton.names)
        ]
        advance()
    # Not every kind of data set leaves samples out.
    for name in getattr(dataset, "unlabelled", ()):
        findings.append(Finding("unlabelled", number, name, "has no labelled point"))
    return scan, findings + label_findings(number, spec, dataset)


def _present(sample: Sample, count: int) -> NDArray[np.bool_]:
    return sample.labelled if sample.mask is None else np.isin(np.arange(count), sample.mask)


def unchecked(scans: Sequence[Scan]) -> list[dict[str, str]]:
    """What was not looked at, with the data sets, splits and reasons, after a `check`: there, nothing can be found."""
    found = [
        {"spec": scan.spec, "split": scan.split, "reason": f"left and right: {scan.unseen}"}
        for scan in scans
        if scan.unseen
    ]
    for scan in scans:
        flat = len({name for name, mark in zip(scan.names, scan.prints, strict=True) if mark.signs is None})
        if flat:
            reason = f"near copies: {flat} of {len(scan.names)} pictures are too plain to be compared"
            found.append({"spec": scan.spec, "split": scan.split, "reason": reason})
    return found


def _together(scans: Sequence[Scan]) -> list[list[int]]:
    """The scans whose samples say together what is usual: the splits, and files, of one kind with the same points."""
    groups: dict[tuple[object, ...], list[int]] = {}
    for number, scan in enumerate(scans):
        skeleton = scan.dataset.skeleton
        pairs = skeleton.flip_pairs if isinstance(skeleton, Skeleton) else ()
        groups.setdefault((scan.dataset.name, skeleton.names, pairs), []).append(number)
    return list(groups.values())


def _swaps(scans: Sequence[Scan], together: Sequence[int]) -> list[Finding]:
    """What looks exchanged in the scans of these numbers, judged together; what could not be is left in the scans."""
    skeleton = scans[together[0]].dataset.skeleton
    chosen = [(number, place) for number in together for place in range(len(scans[number].index))]
    if not isinstance(skeleton, Skeleton):
        for number in together:
            scans[number].unseen = "parts are labelled, and no points"
        return []
    if not chosen:
        return []
    keypoints = np.stack([scans[number].keypoints[place] for number, place in chosen])
    labelled = np.stack([scans[number].labelled[place] for number, place in chosen])
    swaps = likely_swaps(keypoints, labelled, skeleton)
    for number in together:
        scans[number].unseen = swaps.unseen
    found = []
    for row in np.flatnonzero(swaps.gain > 0).tolist():
        number, place = chosen[row]
        known = [labelled[row][list(pair)].all() for pair in skeleton.flip_pairs]
        pairs = [pair for pair, turned in zip(skeleton.flip_pairs, swaps.pairs[row], strict=True) if turned]
        names = ", ".join(f"{skeleton.keypoints[a]} - {skeleton.keypoints[b]}" for a, b in pairs)
        text = "left and right look exchanged" + ("" if len(pairs) == sum(known) else f": {names}")
        scan, gain = scans[number], float(swaps.gain[row])
        found.append(Finding("swap", number, scan.names[place], text, gain, scan.index[place]))
    return found


def _copies(scans: Sequence[Scan]) -> list[Finding]:
    """Pictures that are the same to the pixel: one finding for each but the first, across splits where there is one."""
    found = []
    first: dict[tuple[bytes, str], tuple[int, int]] = {}
    for number, scan in enumerate(scans):
        for place, mark in enumerate(scan.prints):
            name = picture_name(scan.names[place])
            for split in sorted(SPLITS, key=lambda split: split == scan.split):
                if (twin := first.get((mark.exact, split))) is None:
                    continue
                other = scans[twin[0]]
                same = split == scan.split
                if same and (other.spec, picture_name(other.names[twin[1]])) == (scan.spec, name):
                    continue  # another sample in the same picture
                text = f"is the same picture as {other.names[twin[1]]} in {other.spec} ({split})"
                whose = twin[0], other.index[twin[1]]
                found.append(Finding("copy" if same else "leak", number, name, text, 0.0, scan.index[place], whose))
                break
            first.setdefault((mark.exact, scan.split), (number, place))
    return _one_per_picture(found)


def _near_copies(scans: Sequence[Scan]) -> list[Finding]:
    """Pictures of test that look like one of train or validation, or of validation and train, one finding each."""
    places: dict[str, list[tuple[int, int]]] = {
        split: [
            (number, place)
            for number, scan in enumerate(scans)
            if scan.split == split
            for place, mark in enumerate(scan.prints)
            if mark.signs is not None and (not place or mark is not scan.prints[place - 1])
        ]
        for split in SPLITS
    }

    def signs(chosen: Sequence[tuple[int, int]]) -> NDArray[np.uint64]:
        return np.stack([scans[number].prints[place].signs for number, place in chosen])  # type: ignore[misc]

    found = []
    for which, split in enumerate(SPLITS):
        mine, others = places[split], [place for other in SPLITS[:which] for place in places[other]]
        if not mine or not others:
            continue
        for (number, place), best, apart in zip(mine, *nearest(signs(mine), signs(others)), strict=True):
            other, twin = others[best]
            scan, source = scans[number], scans[other]
            if apart > NEAR or scan.prints[place].exact == source.prints[twin].exact:
                continue
            where = f"{source.spec} ({source.split})"
            text = f"looks like {source.names[twin]} in {where}: {apart} of 128 features differ"
            whose = other, source.index[twin]
            name = picture_name(scan.names[place])
            found.append(Finding("near copy", number, name, text, float(NEAR - apart), scan.index[place], whose))
    return _one_per_picture(found)


def _one_per_picture(findings: list[Finding]) -> list[Finding]:
    return list({(finding.kind, finding.data, finding.name): finding for finding in reversed(findings)}.values())[::-1]
