"""How good predicted keypoints are: pure functions on arrays, in percent, that change none of their arguments.

Every function takes predictions and truths of N samples with K keypoints, `pred` and `truth` (N, K, 2) in the
same pixels, `labelled` (N, K), and `norm` (N,), the length each sample's errors are measured in, in those
pixels too. A keypoint is correct when its distance to the truth is at most `threshold` times the norm: "at most"
and not "less than", as in the evaluation of MPII. Only labelled keypoints count.

PCKh, of MPII Human Pose (Andriluka et al., 2014): the norm is the head size, 0.6 of the diagonal of the head
box, and the threshold 0.5. The row "Head" is the head top alone; the other rows are the plain mean of left
and right. The total is the share of correct keypoints among all labelled ones, every keypoint counting once,
without pelvis and thorax. Upper neck has no row but counts. AUC is the mean of that total over the thresholds
0, 0.01, ..., 0.5. Published totals are often the plain mean of the joints' percentages instead, which is the score
`mean_of_joints`: ankles are labelled less often than heads, and here they count as much. See `docs/data.md`.

PCK, usual on Leeds Sports Pose (Yang and Ramanan, 2013): the norm is the distance from left shoulder to right
hip and the threshold 0.2. One row per keypoint, same total.

PCKbox, for points that are no body with a torso: the norm is the longer side of the box around the person or object,
and the threshold 0.05, about what 0.2 of a torso is; the total at 0.2 beside it is the one of AnimalPose and others.
PCKcrop is the same for single points without a box: the norm is the side of the crop.

A sample without a norm (nan, since not every data set knows the head) is the caller's to leave out
beforehand. Here a norm that is not positive and finite is an error, and so is a prediction that is NaN or
infinite: a network that yields one is broken, and no number shall hide it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.labels.skeletons import Skeleton

Floats = NDArray[np.floating[Any]]
GROUPS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "Head": ("head_top",),
        "Shoulder": ("right_shoulder", "left_shoulder"),
        "Elbow": ("right_elbow", "left_elbow"),
        "Wrist": ("right_wrist", "left_wrist"),
        "Hip": ("right_hip", "left_hip"),
        "Knee": ("right_knee", "left_knee"),
        "Ankle": ("right_ankle", "left_ankle"),
    }
)
"""The rows of a PCKh table and the keypoints each one averages."""

NOT_SCORED = frozenset({"pelvis", "thorax"})
"""Keypoints left out of totals, as MPII does: their position follows from hips and shoulders."""

PROTOCOLS: Mapping[str, str] = MappingProxyType(
    {
        "PCKh": "share of joints within 0.5 head size; total over all labelled joints but pelvis and thorax, "
        "mean_of_joints the plain mean over these joints; "
        "Head is the head top; AUC is the mean over thresholds 0, 0.01, ..., 0.5",
        "PCK": "share of joints within 0.2 of the distance left shoulder to right hip; "
        "total over all labelled joints but pelvis and thorax, mean_of_joints the plain mean over these joints",
        "PCKbox": "share of points within 0.05 of the longer side of the box; total over all labelled points, "
        "mean_of_joints the plain mean over the points",
        "PCKcrop": "share of points within 0.05 of the side of the crop, since neither head, torso nor box is known; "
        "total over all labelled points, mean_of_joints the plain mean over the points",
    }
)
"""One line per metric, to print beside its numbers."""

HEADLINES: Mapping[str, tuple[str, float]] = MappingProxyType(
    {
        "PCKh": ("PCKh@0.5", 0.5),
        "PCK": ("PCK@0.2", 0.2),
        "PCKbox": ("PCKbox@0.05", 0.05),
        "PCKcrop": ("PCKcrop@0.05", 0.05),
    }
)
"""The name of the total that a metric is known by, and its threshold."""

EVERY_POINT = "PCKbox", "PCKcrop"
"""The metrics of points that are no body: pelvis and thorax count as well."""

PLAIN_MEAN = "mean_of_joints"
"""The row of a headline metric that is the mean over keypoints, each of them counting the same."""

AUC_STEP = 0.01


def pck(
    pred: Floats, truth: Floats, labelled: NDArray[np.bool_], norm: Floats, threshold: float = 0.2
) -> NDArray[np.float64]:
    """Percentage (K,) of correct predictions of each keypoint; nan for a keypoint that is labelled nowhere.

    Raises ValueError for shapes that do not fit together, a prediction or labelled truth that is not finite,
    a norm that is not positive and finite, naming its index, and a threshold that is not.
    """
    if not 0 < threshold < np.inf:
        raise ValueError(f"metrics: threshold must be positive and finite, not {threshold}")
    distance, labelled, norm = _errors(pred, truth, labelled, norm)
    hits = ((distance <= threshold * norm[:, None]) & labelled).sum(axis=0)
    return _percent(hits, labelled.sum(axis=0))


def total(percent: Floats, labelled: NDArray[np.bool_], keypoints: Sequence[int] | None = None) -> float:
    """Mean of the per-keypoint percentages (K,) of `pck`, each weighted by how often its keypoint is labelled.

    `keypoints` are the indices that count, all by default. nan where none of them is labelled anywhere. Raises
    ValueError for shapes that do not fit together.
    """
    percent = np.asarray(percent, dtype=np.float64)
    labelled = np.asarray(labelled, dtype=bool)
    if percent.ndim != 1 or labelled.ndim != 2 or labelled.shape[1:] != percent.shape:
        raise ValueError(f"metrics: percent (K,) and labelled (N, K) expected, got {percent.shape}, {labelled.shape}")
    chosen = _chosen(keypoints, len(percent))
    count = labelled.sum(axis=0)[chosen]
    seen = count > 0
    if not seen.any():
        return float("nan")
    return float(np.average(percent[chosen][seen], weights=count[seen]))


def plain_mean(percent: Floats, keypoints: Sequence[int] | None = None) -> float:
    """Mean of the per-keypoint percentages (K,) of `pck`, whatever is labelled how often: published tables have it.

    `keypoints` are the indices that count, all by default. nan where none of them is labelled anywhere.
    """
    percent = np.asarray(percent, dtype=np.float64)
    chosen = percent[_chosen(keypoints, len(percent))]
    seen = chosen[~np.isnan(chosen)]
    return float(seen.mean()) if len(seen) else float("nan")


def auc(
    pred: Floats,
    truth: Floats,
    labelled: NDArray[np.bool_],
    norm: Floats,
    max_threshold: float = 0.5,
    keypoints: Sequence[int] | None = None,
) -> float:
    """Mean total percentage over the thresholds 0, 0.01, ..., `max_threshold`, both ends included.

    `keypoints` are the indices that count, all by default. nan where none of them is labelled anywhere. Raises
    ValueError as `pck` does, and for a `max_threshold` that is not a positive multiple of 0.01.
    """
    steps = round(max_threshold / AUC_STEP) if 0 < max_threshold < np.inf else 0
    if steps < 1 or abs(max_threshold - steps * AUC_STEP) > 1e-9:
        raise ValueError(f"metrics: max_threshold must be a positive multiple of {AUC_STEP}, not {max_threshold}")
    distance, labelled, norm = _errors(pred, truth, labelled, norm)
    chosen = _chosen(keypoints, distance.shape[1])
    sample, keypoint = np.nonzero(labelled[:, chosen])
    if not len(sample):
        return float("nan")
    thresholds = np.arange(steps + 1) * AUC_STEP
    correct = distance[:, chosen][sample, keypoint, None] <= thresholds * norm[sample, None]
    return float(100.0 * correct.mean())


def grouped(percent: Floats, skeleton: Skeleton) -> dict[str, float]:
    """The rows of a PCKh table from the per-keypoint percentages (K,) of `pck`.

    The plain mean of left and right, of one side alone if the other is labelled nowhere. A row whose keypoints
    the skeleton lacks or is labelled nowhere is left out.
    """
    rows = {}
    for row, names in GROUPS.items():
        values = [float(percent[skeleton.keypoints.index(name)]) for name in names if name in skeleton.keypoints]
        values = [value for value in values if not np.isnan(value)]
        if values:
            rows[row] = sum(values) / len(values)
    return rows


def scored_keypoints(skeleton: Skeleton) -> list[int]:
    """Indices of the keypoints that count in a total: all but pelvis and thorax."""
    return [index for index, name in enumerate(skeleton.keypoints) if name not in NOT_SCORED]


def torso_size(truth: Floats, skeleton: Skeleton, labelled: NDArray[np.bool_] | None = None) -> NDArray[np.float64]:
    """Distance (N,) from left shoulder to right hip, the norm of PCK; nan where one of the two is not
    labelled.

    Raises ValueError for shapes that do not fit together.
    """
    truth = np.asarray(truth, dtype=np.float64)
    count = len(skeleton.keypoints)
    if truth.ndim != 3 or truth.shape[1:] != (count, 2):
        raise ValueError(f"metrics: truth (N, {count}, 2) expected, got {truth.shape}")
    if skeleton.torso is None:
        return np.full(len(truth), np.nan)
    ends = truth[:, list(skeleton.torso)]
    if labelled is not None:
        labelled = np.asarray(labelled, dtype=bool)
        if labelled.shape != truth.shape[:2]:
            raise ValueError(f"metrics: labelled {truth.shape[:2]} expected, got {labelled.shape}")
        ends = np.where(labelled[:, list(skeleton.torso), None], ends, np.nan)
    return lengths(ends[:, 0] - ends[:, 1])


def summarise(
    metric: str, pred: Floats, truth: Floats, labelled: NDArray[np.bool_], norm: Floats, skeleton: Skeleton
) -> dict[str, float]:
    """The numbers of a table under the names they are searched by.

    "PCKh" gives 'PCKh@0.5', one 'PCKh@0.5/Ankle' per row, 'PCKh@0.1' and 'AUC'; `norm` is then the head size. These
    totals weigh joints by their labels; 'PCKh@0.5/mean_of_joints' does not, and the other two metrics have its like.
    "PCK" gives 'PCK@0.2' and one 'PCK@0.2/right_ankle' per keypoint; `norm` is then `torso_size`. "PCKbox" gives the
    same at 0.05, and 'PCKbox@0.2'; `norm` is then the longer side of the box. "PCKcrop" is its like. Rows that are
    labelled nowhere are left out, so every value is finite.

    Raises ValueError for another metric, as `pck` does, and if no scored keypoint is labelled.
    """
    if metric not in PROTOCOLS:
        raise ValueError(f"metrics: unknown metric {metric!r}, choose from {', '.join(PROTOCOLS)}")
    count, shape = len(skeleton.keypoints), np.shape(labelled)
    if len(shape) != 2 or shape[1] != count:
        raise ValueError(f"metrics: labelled (N, {count}) expected for {skeleton.name}, got {shape}")
    scored = list(range(count)) if metric in EVERY_POINT else scored_keypoints(skeleton)
    if not np.asarray(labelled, dtype=bool)[:, scored].any():
        raise ValueError("metrics: no keypoint is labelled, there is nothing to score")

    headline, threshold = HEADLINES[metric]
    percent = pck(pred, truth, labelled, norm, threshold)
    if metric == "PCKh":
        rows = grouped(percent, skeleton)
    else:
        rows = {name: float(p) for name, p in zip(skeleton.keypoints, percent, strict=True) if not np.isnan(p)}
    result = {headline: total(percent, labelled, scored), f"{headline}/{PLAIN_MEAN}": plain_mean(percent, scored)}
    result |= {f"{headline}/{row}": value for row, value in rows.items()}
    if metric == "PCKh":
        result["PCKh@0.1"] = total(pck(pred, truth, labelled, norm, 0.1), labelled, scored)
        result["AUC"] = auc(pred, truth, labelled, norm, keypoints=scored)
    if metric in EVERY_POINT:
        result[f"{metric}@0.2"] = total(pck(pred, truth, labelled, norm, 0.2), labelled, scored)
    return result


def mean_pose(keypoints: Floats, labelled: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Mean position (K, 2) of each keypoint over samples `keypoints` (N, K, 2), in the input pixels of their crops.

    Predicting it for every sample is what a network that ignores the picture can reach: the line to beat. A
    keypoint that is labelled nowhere gets the mean of all labelled keypoints.

    Raises ValueError for shapes that do not fit together and if no keypoint is labelled.
    """
    points = np.asarray(keypoints, dtype=np.float64)
    known = np.asarray(labelled, dtype=bool)
    if points.ndim != 3 or points.shape[2] != 2 or known.shape != points.shape[:2]:
        raise ValueError(
            f"metrics: keypoints (N, K, 2) and labelled (N, K) expected, got {points.shape}, {known.shape}"
        )
    if not known.any():
        raise ValueError("metrics: no keypoint is labelled, there is no mean pose")
    count = known.sum(axis=0)[:, None]
    own = np.where(known[:, :, None], points, 0.0).sum(axis=0) / np.maximum(count, 1)
    overall: NDArray[np.float64] = points[known].mean(axis=0)
    return np.where(count > 0, own, overall)


def distances(
    pred: Floats, truth: Floats, labelled: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Distances (N, K) of predictions from truths, 0 where not `labelled`, and `labelled` as an array.

    Raises ValueError for shapes that do not fit together and for a prediction or labelled truth that is not finite.
    """
    found = np.asarray(pred, dtype=np.float64)
    wanted = np.asarray(truth, dtype=np.float64)
    known = np.asarray(labelled, dtype=bool)
    if found.ndim != 3 or found.shape[2] != 2 or wanted.shape != found.shape or known.shape != found.shape[:2]:
        raise ValueError(
            "metrics: pred and truth (N, K, 2) and labelled (N, K) expected, "
            f"got {found.shape}, {wanted.shape} and {known.shape}"
        )
    for name, bad in (
        ("prediction", ~np.isfinite(found).all(axis=2)),
        ("truth", known & ~np.isfinite(wanted).all(axis=2)),
    ):
        if bad.any():
            sample, keypoint = (int(index) for index in np.argwhere(bad)[0])
            raise ValueError(f"metrics: {name} of keypoint {keypoint} of sample {sample} is not finite")
    return lengths(found - np.where(known[:, :, None], wanted, found)), known


def _errors(
    pred: Floats, truth: Floats, labelled: NDArray[np.bool_], norm: Floats
) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.float64]]:
    """Distances (N, K), 0 where not labelled, and the other two arguments, all checked."""
    distance, known = distances(pred, truth, labelled)
    length = np.asarray(norm, dtype=np.float64)
    if length.shape != known.shape[:1]:
        raise ValueError(f"metrics: norm {known.shape[:1]} expected, got {length.shape}")
    unfit = ~(np.isfinite(length) & (length > 0))
    if unfit.any():
        sample = int(unfit.argmax())
        raise ValueError(f"metrics: norm of sample {sample} is {length[sample]}, not positive and finite")
    return distance, known, length


def lengths(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Euclidean lengths (...) of vectors (..., 2)."""
    return np.hypot(vectors[..., 0], vectors[..., 1])


def _percent(hits: NDArray[np.intp], count: NDArray[np.intp]) -> NDArray[np.float64]:
    return np.where(count > 0, 100.0 * hits / np.maximum(count, 1), np.nan)


def _chosen(keypoints: Sequence[int] | None, count: int) -> NDArray[np.intp]:
    return np.arange(count) if keypoints is None else np.asarray(keypoints, dtype=np.intp)
