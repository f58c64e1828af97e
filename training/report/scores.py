"""What a model reaches on its test set, sample by sample and point by point, and how sure that is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hbcore.optim.losses import IGNORED
from training.errors import DataError
from training.labels.parts import parts_of
from training.loading.test_set import TestSet
from training.metrics.faces import norms
from training.metrics.parts import confusion, summarise_parts
from training.metrics.points import distances, torso_size
from training.tasks.task import Task

RESAMPLES = 1000
LEVEL = 95  # percent of the resamples that an interval holds

Scores = dict[str, float]
Rescore = Callable[[NDArray[np.intp]], Scores]
Intervals = dict[str, tuple[float, float]]


@dataclass(frozen=True, eq=False)
class Answers:
    """Predictions for a test set, with scores and their intervals, both in percent.

    errors: of each sample (N,), in percent of `unit`, NaN where nothing is labelled or the unit is not known. by_point:
    the same of each point (N, K); None where parts are found. counts: pixels (C, C) of class i taken for class j.
    """

    test: TestSet
    predicted: NDArray[Any]
    scores: Scores
    intervals: Intervals
    errors: NDArray[np.float64]
    unit: str
    by_point: NDArray[np.float64] | None = None
    counts: NDArray[np.int64] | None = None

    @property
    def worst(self) -> list[int]:
        """The samples by their errors, largest first, those without one left out."""
        order = np.argsort(-self.errors, kind="stable")
        return [int(index) for index in order if np.isfinite(self.errors[index])]


def answered(task: Task, test: TestSet, predicted: NDArray[Any], scores: Scores, resamples: int = RESAMPLES) -> Answers:
    """All of it, from the predictions and the scores of all samples together."""
    intervals = bootstrap(rescorer(task, test, predicted), len(predicted), resamples)
    if test.masks is not None:
        counts = np.stack([confusion(p, m, len(test.scheme.names)) for p, m in zip(predicted, test.masks, strict=True)])
        labelled = (test.masks != IGNORED).sum(axis=(1, 2))
        right = np.trace(counts, axis1=1, axis2=2)
        errors = np.where(labelled > 0, 100 * (1 - right / np.maximum(labelled, 1)), np.nan)
        unit = "of the labelled pixels"
        return Answers(test, predicted, scores, intervals, errors, unit, counts=counts.sum(axis=0))
    norm, unit = norm_of(test, task.headline(scores))
    distance, known = distances(predicted, test.keypoints, test.labelled)
    with np.errstate(invalid="ignore", divide="ignore"):
        by_point = np.where(known & (norm > 0)[:, None], 100 * distance / norm[:, None], np.nan)
    there = np.isfinite(by_point)
    mean = np.where(there, by_point, 0).sum(axis=1) / np.maximum(there.sum(axis=1), 1)
    errors = np.where(there.any(axis=1), mean, np.nan)
    return Answers(test, predicted, scores, intervals, errors, unit, by_point)


def norm_of(test: TestSet, headline: str) -> tuple[NDArray[np.float64], str]:
    """The lengths (N,) that a headline score divides distances by, NaN where not known, and what they are."""
    name = headline.partition("@")[0]
    if name.startswith("NME"):
        words = {
            "NME_ioc": "interocular distance",
            "NME_pupil": "interpupillary distance",
            "NME_box": "root of the box's area",
        }
        return norms(test.keypoints, test.labelled, test.skeleton)[name], f"of the {words.get(name, 'box diagonal')}"
    lengths = {
        "PCKh": (test.head_size, "of the head size"),
        "PCK": (torso_size(test.keypoints, test.skeleton, test.labelled), "of the torso"),
        "PCKbox": (test.box_size, "of the longer side of the box"),
    }
    return lengths.get(name, (np.full(len(test.pictures), float(test.pictures.shape[1])), "of the side of the crop"))


def rescorer(task: Task, test: TestSet, predicted: NDArray[Any]) -> Rescore:
    """The scores of some samples, by index, each as often as it is named."""
    if test.masks is None:
        return lambda chosen: task.score(some(test, chosen), predicted[chosen])
    names = parts_of(test.scheme).names
    counts = np.stack([confusion(p, m, len(names)) for p, m in zip(predicted, test.masks, strict=True)])
    return lambda chosen: summarise_parts(counts[chosen].sum(axis=0), names)


def some(test: TestSet, chosen: NDArray[np.intp]) -> TestSet:
    """The labels of some samples. Pictures stay as they are: scores ask only for their size."""
    rows = ("keypoints", "labelled", "head_size", "box_size", "area", "yaw")
    return replace(test, **{name: getattr(test, name)[chosen] for name in rows})


def bootstrap(score: Rescore, samples: int, resamples: int, seed: int = 0) -> Intervals:
    """The interval of every score that holds LEVEL percent of those of random resamples, as large and with replacement.

    One sample stands for itself alone: several of one photo or person make intervals look smaller than they are. A
    resample in which nothing can be scored is left out.
    """
    rng = np.random.default_rng(seed)
    found: dict[str, list[float]] = {}
    for _ in range(resamples):
        try:
            scores = score(rng.integers(samples, size=samples))
        except (DataError, ValueError):  # nothing labelled among these
            continue
        for name, value in scores.items():
            found.setdefault(name, []).append(value)
    edges = (50 - LEVEL / 2, 50 + LEVEL / 2)
    return {name: (float(low), float(high)) for name, (low, high) in
            ((name, np.percentile(values, edges)) for name, values in found.items())}  # fmt: skip


def exchanged(answers: Answers) -> list[tuple[str, str, int, int]]:
    """Of each pair that a mirror exchanges: names, samples in which both answers are nearer to the other's place than
    to their own, and samples in which both are labelled."""
    test = answers.test
    apart = np.linalg.norm(answers.predicted[:, :, None] - test.keypoints[:, None].astype(np.float64), axis=-1)
    found = []
    for a, b in test.skeleton.flip_pairs:
        both = test.labelled[:, a] & test.labelled[:, b]
        wrong = both & (apart[:, a, b] < apart[:, a, a]) & (apart[:, b, a] < apart[:, b, b])
        names = test.skeleton.keypoints[a], test.skeleton.keypoints[b]
        found.append((*names, int(wrong.sum()), int(both.sum())))
    return found


def cumulative(values: NDArray[np.float64], limit: float, points: int = 101) -> tuple[NDArray[Any], NDArray[Any]]:
    """Thresholds from 0 to `limit` and the share of the values, in percent, that are at most so large. NaN is none."""
    known = np.sort(values[np.isfinite(values)])
    at = np.linspace(0, limit, points)
    return at, 100 * np.searchsorted(known, at, side="right") / max(1, len(known))
