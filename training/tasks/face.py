"""Face alignment: the points of faces, scored by their distance under every usual norm."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.datasets.faces import FACE_KINDS
from training.errors import DataError
from training.loading.test_set import TestSet
from training.metrics.faces import NORMS, PROTOCOLS, all_errors, norms, summarise_faces
from training.pictures.charts import ced
from training.tasks.points import PointTask


def score(test: TestSet, predicted: NDArray[np.float32]) -> dict[str, float]:
    """NME under every norm, AUC and failure rate, see `summarise_faces`. DataError if no face can be scored."""
    lengths = norms(test.keypoints, test.labelled, test.skeleton).values()
    if not any(np.isfinite(length).any() for length in lengths):
        raise DataError("nothing in the test set can be scored: no face has labelled points that span a box")
    return summarise_faces(predicted, test.keypoints, test.labelled, test.skeleton, test.yaw)


@dataclass(frozen=True, kw_only=True)
class FaceTask(PointTask):
    """Points of faces, with the curve of cumulative errors among the pictures of a run."""

    def draw(self, test: TestSet, predicted: NDArray[Any], folder: Path) -> None:
        """Overlays, and ced.png."""
        super().draw(test, predicted, folder)
        ced(all_errors(predicted, test.keypoints, test.labelled, test.skeleton), folder / "ced.png")


FACE = FaceTask(
    name="face",
    about="Binary networks for face alignment, on a CPU.",
    kinds=FACE_KINDS,
    headlines=NORMS,
    scorer=score,
    protocols=PROTOCOLS,
    lower_is_better=True,
    things="points",
    baseline="mean face",
)
