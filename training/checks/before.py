"""What a run or an evaluation looks at first: labels that make nonsense are refused, all else is one line per kind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from training.checks.faults import ERRORS, WARNINGS, Finding
from training.checks.labels import quick_check
from training.datasets.own.content import BadRecord
from training.datasets.own.labels import own_labels
from training.errors import DataError, too_many
from training.labels.sample import Dataset

REFUSED = ("fractions", "size", "turned")
"""Kinds of errors after which a network would learn from wrong numbers."""


def check_before_training(
    datasets: Sequence[tuple[str, Dataset]], most: float, say: Callable[[str], None]
) -> list[BadRecord]:
    """The records that were left out of data sets, given with their names on the command line.

    Says one line for each kind of finding. Raises DataError, with the remedy, for labels that do not fit their
    pictures, and where there are `too_many` bad records in one data set for `most`, which is data.max_bad.
    """
    findings = quick_check(datasets)
    for line in lines(findings):
        say(line)
    for kind in REFUSED:
        found = [finding for finding in findings if finding.kind == kind]
        if found:
            raise DataError(f"{len(found)} {ERRORS[kind]}, the first: {_example(found[0])}")
    bad: list[BadRecord] = []
    for spec, dataset in datasets:
        own = own_labels(dataset)
        if own is None or not own.bad_records:
            continue
        bad += own.bad_records
        total = len(own) + len(own.bad_records) + len(own.unlabelled)
        if too_many(len(own.bad_records), total, most):
            raise DataError(
                f"{spec} ({own.split}): {len(own.bad_records)} of {total} records cannot be read, more than "
                f"data.max_bad = {most:g} allows; the first one: {own.bad_records[0].text}"
            )
    return bad


def lines(findings: Sequence[Finding]) -> Iterator[str]:
    """One line for each kind: how many there are, and the worst."""
    counted = Counter(finding.kind for finding in findings)
    for kind, meaning in (ERRORS | WARNINGS).items():
        if counted[kind]:
            worst = next(finding for finding in findings if finding.kind == kind)
            yield f"{'error' if worst.error else 'warning'}: {counted[kind]} {meaning}, e.g. {_example(worst)}"


def _example(finding: Finding) -> str:
    return finding.message if finding.message.startswith(finding.name) else f"{finding.name}: {finding.message}"
