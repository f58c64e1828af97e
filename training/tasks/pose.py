"""Human pose, and the keypoints of whatever a user has labelled."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from training.datasets import POSE_KINDS
from training.errors import DataError
from training.loading.test_set import TestSet
from training.metrics import oks
from training.metrics.points import EVERY_POINT, PROTOCOLS, scored_keypoints, summarise, torso_size
from training.tasks.points import PointTask


def score(test: TestSet, predicted: NDArray[np.float32]) -> dict[str, float]:
    """PCKh where heads are known, and PCK; without both, PCKbox, and PCKcrop without any box."""
    result: dict[str, float] = {}
    torso = torso_size(test.keypoints, test.skeleton, test.labelled)
    crop = np.full(len(torso), float(test.pictures.shape[1]))  # as for a single point
    body, every = scored_keypoints(test.skeleton), slice(None)
    norms = (
        ("PCKh", test.head_size, body),
        ("PCK", torso, body),
        ("PCKbox", test.box_size, every),
        ("PCKcrop", crop, every),
    )
    for metric, norm, scored in norms:
        known = np.isfinite(norm) & (norm > 0)
        labelled = test.labelled[known]
        if labelled[:, scored].any() and not (metric in EVERY_POINT and result):
            result |= summarise(metric, predicted[known], test.keypoints[known], labelled, norm[known], test.skeleton)
    if not result:
        raise DataError("nothing in the test set can be scored: no sample has a labelled keypoint")
    return result


def rank(test: TestSet, predicted: NDArray[np.float32], scores: NDArray[np.float32]) -> dict[str, float]:
    """AP and OKS, where areas and sigmas are known; how sure an answer is: the mean over its keypoints."""
    known = np.isfinite(test.area) & (test.area > 0)
    if test.skeleton.sigmas is None or not known.any():
        return {}
    alike = oks.similarity(
        predicted[known], test.keypoints[known], test.labelled[known], test.area[known], test.skeleton.sigmas
    )
    return oks.summarise(alike, scores[known].mean(axis=1))


POSE = PointTask(
    name="pose",
    about="Binary networks for human pose, on a CPU.",
    kinds=POSE_KINDS,
    headlines=("PCKh@0.5", "PCK@0.2", "PCKbox@0.05", "PCKcrop@0.05"),
    scorer=score,
    ranker=rank,
    protocols={**PROTOCOLS, "AP": oks.PROTOCOL, "OKS": oks.MEAN},
)
