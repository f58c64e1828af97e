"""Our metrics on predictions of others, beside the tables that were published for them."""

import numpy as np
import pytest
import scipy.io
from numpy.typing import NDArray

from tests.data_sets import DATA, needs_data
from training.labels.skeletons import MPII
from training.metrics.points import summarise

ROWS = ("Head", "Shoulder", "Elbow", "Wrist", "Hip", "Knee", "Ankle")
PUBLISHED = {
    "bearpaw-hg_s2_b1": (95.80, 94.57, 88.12, 83.31, 86.24, 80.88, 77.44, 86.76),
    "bearpaw-hg_s8_b1": (96.79, 95.19, 90.08, 85.32, 87.48, 84.26, 80.73, 88.64),
}
"""PCKh@0.5 of MPII's 2,958 validation people: the rows, and the total."""

ONE = 100 / 2932  # what one person's head is worth in its row
WEIGHTED = {"bearpaw-hg_s2_b1": 87.30, "bearpaw-hg_s8_b1": 89.09}


@needs_data("mpii_val")
@pytest.mark.parametrize("name", PUBLISHED)
def test_pckh_of_public_hourglasses(name: str) -> None:
    h5py = pytest.importorskip("h5py", reason="h5py is not installed: pip install h5py")
    with h5py.File(DATA / "mpii_val" / "valid.h5") as file:
        truth: NDArray[np.float64] = file["part"][()]
        heads: NDArray[np.float64] = file["normalize"][()]
    labelled = (truth != 0).any(axis=2)
    predicted = scipy.io.loadmat(DATA / "mpii_val" / f"{name}.mat")["preds"]
    scores = summarise("PCKh", predicted, truth, labelled, heads, MPII)
    *rows, total = PUBLISHED[name]
    found = [scores[f"PCKh@0.5/{row}"] for row in ROWS]
    # Which labels were used differs by a few people: head and ankle by up to three, the others by less than one.
    assert found == pytest.approx(rows, abs=3 * ONE)
    assert found[1:-1] == pytest.approx(rows[1:-1], abs=0.02)
    assert scores["PCKh@0.5/mean_of_joints"] == pytest.approx(total, abs=0.005)
    assert scores["PCKh@0.5"] == pytest.approx(WEIGHTED[name], abs=0.005)  # half a point more, for the same predictions
