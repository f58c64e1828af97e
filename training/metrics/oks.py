"""Object keypoint similarity and its average precision, as COCO defines them (cocodataset.org, keypoint evaluation).

Every function takes predictions and truths of N samples, as `metrics.points` does. Each sample has one prediction, made
in a crop around it: precision and recall are those of COCO for pictures that hold one instance each and get one answer
each.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
THRESHOLDS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
"""The similarities from which COCO counts a person as found; its AP is the mean over them."""

RECALLS = 101  # where COCO reads the precision: at 0, 0.01, ..., 1
PROTOCOL = (
    "precision averaged over recall 0, 0.01, ..., 1, at object keypoint similarity 0.50 (:0.05:0.95, the mean of ten); "
    "one answer per person, in a crop around it, ranked by mean heatmap score"
)
"""One line to print beside AP."""

MEAN = "mean object keypoint similarity, in percent"


def similarity(
    pred: Floats, truth: Floats, labelled: NDArray[np.bool_], area: Floats, sigmas: Sequence[float]
) -> NDArray[np.float64]:
    """OKS (N,), from 0 to 1: the mean over labelled keypoints of exp(-d^2 / (2 area (2 sigma)^2)).

    `pred` and `truth` are (N, K, 2) in the same pixels, `labelled` (N, K), `area` (N,) in those pixels squared,
    `sigmas` (K,). nan for a sample without a labelled keypoint. Raises ValueError for shapes that do not fit together,
    a prediction that is not finite, and an area or sigma that is not positive and finite.
    """
    found, wanted = np.asarray(pred, dtype=np.float64), np.asarray(truth, dtype=np.float64)
    known, size, spread = np.asarray(labelled, dtype=bool), np.asarray(area, np.float64), np.asarray(sigmas, np.float64)
    fits = found.ndim == 3 and found.shape[2] == 2 and wanted.shape == found.shape
    if not fits or known.shape != found.shape[:2] or (*size.shape, *spread.shape) != known.shape:
        raise ValueError(
            "OKS: pred and truth (N, K, 2), labelled (N, K), area (N,) and sigmas (K,) expected, got "
            f"{found.shape}, {wanted.shape}, {known.shape}, {size.shape} and {spread.shape}"
        )
    if not np.isfinite(found).all():
        raise ValueError("OKS: a prediction is not finite")
    for name, values in (("area", size), ("sigma", spread)):
        if not ((values > 0) & (values < np.inf)).all():
            raise ValueError(
                f"OKS: {name} {int(np.argmin((values > 0) & (values < np.inf)))} is not positive and finite"
            )
    squares = ((found - np.where(known[:, :, None], wanted, found)) ** 2).sum(axis=2)
    each = np.exp(-squares / (2 * size[:, None] * (2 * spread) ** 2))
    count = known.sum(axis=1)
    return np.where(count > 0, (each * known).sum(axis=1) / np.maximum(count, 1), np.nan)


def average_precision(similarities: Floats, scores: Floats, threshold: float) -> float:
    """AP in percent of N samples: how high right answers rank, by their scores (N,), among all answers.

    An answer is right if its similarity (N,) is at least `threshold`. The precision at a recall is the highest one at
    that recall or a larger one; the result is its mean over the recalls 0, 0.01, ..., 1. Answers of the same score
    are taken together: their order in the arrays does not count. Samples with similarity nan are left out; nan if
    that leaves none. Raises ValueError for shapes that do not fit together and a score that is NaN.
    """
    values, ranks = np.asarray(similarities, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    if values.ndim != 1 or ranks.shape != values.shape or np.isnan(ranks).any():
        raise ValueError(f"AP: similarities and scores (N,), no score NaN, expected, got {values.shape}, {ranks.shape}")
    known = ~np.isnan(values)
    values, ranks = values[known], ranks[known]
    if not len(values):
        return float("nan")
    order = np.argsort(-ranks, kind="stable")
    right = np.cumsum(values[order] >= threshold)
    ends = np.flatnonzero(np.append(np.diff(ranks[order]) != 0, True))  # the last answer of each score
    recall, precision = right[ends] / len(values), right[ends] / (ends + 1)
    highest = np.maximum.accumulate(precision[::-1])[::-1]
    place = np.searchsorted(recall, np.linspace(0, 1, RECALLS), side="left")
    return float(100 * np.append(highest, 0.0)[place].mean())


def summarise(similarities: Floats, scores: Floats) -> dict[str, float]:
    """AP at OKS 0.50:0.05:0.95, 0.50 and 0.75, and the mean OKS, all in percent; nothing if no keypoint is labelled."""
    if np.isnan(similarities).all():
        return {}
    each = {threshold: average_precision(similarities, scores, threshold) for threshold in THRESHOLDS}
    return {
        "AP@0.50:0.95": sum(each.values()) / len(each),
        "AP@0.50": each[0.5],
        "AP@0.75": each[0.75],
        "OKS": float(100 * np.nanmean(similarities)),
    }
