"""From the folder of a run to its page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from training.command_line.common import LAST, open_tests
from training.command_line.evaluate import tested_on
from training.errors import DataError, UserError
from training.loading.test_set import TestSet
from training.prediction.model import BATCH
from training.report import markup
from training.report.bits import Inside
from training.report.record import Record
from training.report.scores import RESAMPLES, Answers, answered
from training.report.sections import lead, sections
from training.runs.progress import followed
from training.tasks.evaluation import evaluate


@dataclass(frozen=True)
class Look:
    """How to look at runs. specs: data sets to test on, None for those of each run's own. pictures: whether to draw
    predictions; what shows them is no longer for everybody. resamples: of the bootstrap.
    """

    specs: Sequence[str] | None = None
    pictures: bool = True
    resamples: int = RESAMPLES


def answers_of(record: Record, look: Look) -> Answers:
    """What the model of a run makes of its test set. DataError where that is not here."""
    specs = look.specs
    given = specs or tested_on(record.task, record.model, str(record.folder / LAST))
    try:
        datasets = open_tests(record.task, given, lenient=not specs)
    except UserError as error:
        if specs:
            raise
        remedy = "that is what the run was tested on: if it lies elsewhere, name it with --data"
        raise DataError(f"{error}; {remedy}") from None
    test = TestSet.read(
        [d for _, d in datasets], record.model.codec.input_size, follow=partial(followed, unit="reading")
    )
    scores, predicted = evaluate(
        record.task, record.model, test, follow=partial(followed, unit="computing", size=BATCH)
    )
    return answered(record.task, test, predicted, scores, look.resamples)


def report(folder: Path, look: Look) -> str:
    """The page of a run."""
    record = Record.read(folder)
    answers = answers_of(record, look)
    inside = Inside.of(record, answers.test.pictures)
    return markup.page(record.name, lead(record, answers), list(sections(record, answers, inside, look.pictures)))
