"""How well a model does on a labelled test set."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from training.errors import DataError
from training.loading.concatenated import ConcatenatedDataset
from training.loading.test_set import Follow, TestSet
from training.prediction.model import Model
from training.tasks.task import Task

Answers = tuple[dict[str, float], NDArray[Any]]
"""Scores by metric key, and the predictions, in input pixels."""


def evaluate(task: Task, model: Model, test: TestSet, flip: bool = False, follow: Follow = iter) -> Answers:
    """How good the answers of `model` are; `follow` sees the batches go by."""
    if model.scheme.names != test.scheme.names:
        raise DataError(
            f"the model finds the {task.things} of {model.scheme.name} ({len(model.scheme.names)}), the test set "
            f"has those of {test.scheme.name} ({len(test.scheme.names)})"
        )
    predicted, *more = model.predict(test.pictures, flip, follow=follow)
    return task.score(test, predicted) | task.ranking(test, predicted, *more), predicted


def baseline_scores(task: Task, train: ConcatenatedDataset, test: TestSet) -> dict[str, float]:
    """What one and the same answer for every picture reaches, the mean of a training set: the line to beat.

    Raises DataError if the training set labels other things than the test set, or nothing.
    """
    if train.scheme.names != test.scheme.names:
        raise DataError(
            f"the {task.baseline} of {train.scheme.name} has other {task.things} than {test.scheme.name}, the test set"
        )
    return task.score(test, task.constant(train, test))
