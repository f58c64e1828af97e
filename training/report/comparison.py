"""Two runs in one page: what differs in their settings, their scores, their errors, and on which pictures."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.command_line.common import duration
from training.configuration.values import to_dict
from training.errors import DataError
from training.report import figures, markup
from training.report.record import Record
from training.report.scores import LEVEL, Answers, Intervals, bootstrap, cumulative, rescorer
from training.report.sections import ROOM, Section, portraits
from training.report.writing import Look, answers_of

SHOWN = 12  # pictures of each run


def compare(first: Path, second: Path, look: Look) -> str:
    """The page of two runs. DataError where they are of different tasks, or find other things on other test sets."""
    records = [Record.read(folder) for folder in (first, second)]
    names = _names(records)
    one, other = records
    if one.task.name != other.task.name:
        raise DataError(f"{first} is a run of {one.task.module}, {second} of {other.task.module}: nothing to compare")
    answers = [answers_of(record, look) for record in records]
    same = _same_samples(*answers)
    sections: list[Section] = [
        ("Settings that differ", settings(records, names)),
        ("Scores", scores(records, answers, names, look.resamples if same else 0)),
    ]
    sections.append(("Curves", curves(records, answers, names)))
    if same:
        sections.append(("Sample by sample", samples(records, answers, names, look.pictures)))
    lead = " | ".join(
        f"{escape(name)}: {record.progress.step:,} steps in {duration(record.progress.seconds)}"
        for name, record in zip(names, records, strict=True)
    )
    return markup.page(f"{names[0]} and {names[1]}", lead, sections)


def settings(records: Sequence[Record], names: Sequence[str]) -> str:
    """What differs, but for the folder."""
    one, other = (
        {
            f"{section}.{key}": value
            for section, values in to_dict(record.config).items()
            for key, value in values.items()
        }
        for record in records
    )
    rows = [(key, str(one[key]), str(other[key])) for key in one if one[key] != other[key] and key != "run.out"]
    return markup.table(("setting", *names), rows, text=(1, 2)) if rows else markup.paragraph("None but the folder.")


def scores(records: Sequence[Record], answers: Sequence[Answers], names: Sequence[str], resamples: int) -> str:
    """Both runs' scores with their intervals, and the difference; with resamples, of the same samples, how sure that
    is."""
    one, other = answers
    between = differences(records, answers, resamples)
    rows = []
    for key in one.scores:
        if key in other.scores:
            cells = [
                f"{a.scores[key]:.2f} ({a.intervals[key][0]:.2f} to {a.intervals[key][1]:.2f})" if key in a.intervals
                else f"{a.scores[key]:.2f}" for a in answers
            ]  # fmt: skip
            low, high = between.get(key, (np.nan, np.nan))
            sure = "" if np.isnan(low) else f"{low:+.2f} to {high:+.2f}"
            rows.append((key, *cells, f"{other.scores[key] - one.scores[key]:+.2f}", sure))
    how = (
        "Both see the same samples: the interval of the difference draws the same ones for both, so that what is hard "
        "for both cancels. Where it does not hold 0, the difference is more than a choice of test pictures; another "
        "seed of training may still turn it over."
        if resamples
        else "The runs were tested on different samples: intervals can be laid side by side, no more."
    )
    better = "lower" if records[0].task.lower_is_better else "higher"
    head = ("metric, %", *names, "difference", f"{LEVEL} % of it")
    key = records[0].task.headline(one.scores)
    return markup.table(head, rows) + markup.paragraph(f"{key}: {better} is better. {how}")


def differences(records: Sequence[Record], answers: Sequence[Answers], resamples: int) -> Intervals:
    """Intervals of the second's scores less the first's, over resamples that are the same for both."""
    one, other = (rescorer(r.task, a.test, a.predicted) for r, a in zip(records, answers, strict=True))

    def gain(chosen: NDArray[np.intp]) -> dict[str, float]:
        first, second = one(chosen), other(chosen)
        return {key: second[key] - first[key] for key in first if key in second}

    return bootstrap(gain, len(answers[0].predicted), resamples)


def curves(records: Sequence[Record], answers: Sequence[Answers], names: Sequence[str]) -> str:
    """Loss and score while training, and cumulative errors, of both in one frame."""
    metrics = [next(reversed(record.log)) for record in records]
    loss = {name: (r.log["step"], r.log["train_loss"]) for name, r in zip(names, records, strict=True)}
    score = {
        name: (r.log["step"], r.log[metric]) for name, r, metric in zip(names, records, metrics, strict=True)
    }  # fmt: skip
    known = [a.errors[np.isfinite(a.errors)] for a in answers]
    limit = 1.5 * max(float(np.quantile(errors, 0.9)) if len(errors) else 1.0 for errors in known)
    spread = {name: cumulative(a.errors, limit) for name, a in zip(names, answers, strict=True)}
    return markup.figures(
        [
            (figures.lines(loss, "step", "training loss", log=True), "training loss"),
            (figures.lines(score, "step", f"{' / '.join(dict.fromkeys(metrics))} in %"), "score while training"),
            (
                figures.lines(spread, f"error in % {answers[0].unit}", "% of samples"),
                "cumulative errors of the samples",
            ),
        ]
    )


def samples(records: Sequence[Record], answers: Sequence[Answers], names: Sequence[str], pictures: bool) -> str:
    """On how many samples which run is nearer to the labels, and those where it is so most."""
    gap = answers[1].errors - answers[0].errors
    known = np.isfinite(gap)
    first, second = int((gap > 0).sum()), int((gap < 0).sum())
    text = markup.paragraph(
        f"{names[0]} has the smaller error on {first:,} samples, {names[1]} on {second:,}, of {int(known.sum()):,}."
    )
    if not pictures:
        return text
    order = [int(index) for index in np.argsort(np.where(known, gap, 0), kind="stable")]
    better = (
        [index for index in order if gap[index] < 0][:SHOWN],
        [index for index in order[::-1] if gap[index] > 0][:SHOWN],
    )
    for name, chosen in ((names[1], better[0]), (names[0], better[1])):
        if chosen:
            text += markup.paragraph(f"Where {name} is better by most, first {names[0]}, then {names[1]}:")
            shown = [portraits(r.task, a, chosen, ROOM // 4) for r, a in zip(records, answers, strict=True)]
            count = min(map(len, shown))  # as far as there was room for both
            pairs = zip(*(cells[:count] for cells in shown), strict=True)
            text += markup.pairs(pairs)
    return text


def _same_samples(one: Answers, other: Answers) -> bool:
    a, b = one.test, other.test
    same = a.names == b.names and a.pictures.shape == b.pictures.shape
    return same and np.array_equal(a.labelled, b.labelled) and np.array_equal(a.keypoints, b.keypoints)


def _names(records: Sequence[Record]) -> list[str]:
    """The folders' names, or their paths where these are the same."""
    names = [record.name for record in records]
    return names if len(set(names)) == len(names) else [str(record.folder) for record in records]
