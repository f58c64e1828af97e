"""Human pose: `python -m training.pose [train|eval|predict] ...`, see `training/cli.py`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from training import cli
from training.datasets import POSE_KINDS
from training.errors import DataError
from training.metrics import PROTOCOLS, scored_joints, summarise, torso_size
from training.points import PointTask
from training.testset import TestSet


def score(test: TestSet, predicted: NDArray[np.float32]) -> dict[str, float]:
    """PCKh where heads are known, and PCK. DataError if neither can be."""
    result: dict[str, float] = {}
    torso = torso_size(test.joints, test.skeleton, test.labelled)
    scored = scored_joints(test.skeleton)
    for metric, norm in (("PCKh", test.head_size), ("PCK", torso)):
        known = np.isfinite(norm) & (norm > 0)
        labelled = test.labelled[known]
        if labelled[:, scored].any():
            result |= summarise(metric, predicted[known], test.joints[known], labelled, norm[known], test.skeleton)
    if not result:
        raise DataError("nothing in the test set can be scored: nobody has a labelled joint and a known head or torso")
    return result


POSE = PointTask(
    name="pose",
    about="Binary networks for human pose, on a CPU.",
    kinds=POSE_KINDS,
    scorer=score,
    protocols=PROTOCOLS,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line; returns the exit code."""
    return cli.main(POSE, arguments)


if __name__ == "__main__":
    sys.exit(main())
