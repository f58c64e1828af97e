"""How good predicted points of faces are: normalised mean errors under every usual norm, and what follows from them.

Arguments are those of `metrics.points`: `pred` and `truth` (N, K, 2) in the same pixels, `labelled` (N, K). The
error of a face is the mean distance of its labelled points from the truth, divided by a length of the true face; NME
is the mean of that over the faces, in percent. Papers divide by four different lengths, and a number without its norm
says nothing, so all of them are given side by side:

    NME_ioc     between the outer corners of the eyes (300-W, WFLW)
    NME_pupil   between the pupils, or the means of the points around the eyes
    NME_box     square root of the area of the box around the labelled true points (AFLW2000-3D)
    NME_diag    diagonal of that box

AUC@t is the area under the curve of cumulative errors from 0 to t, as a share of t (100 if every error is 0), FR@t the
share of faces with an error above t, both in percent and of the first norm that the points allow.

A face without a labelled point, or whose norm is unknown or zero, is left out. A prediction that is NaN or infinite
is an error: no number shall hide it.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from training.labels.skeletons import Skeleton
from training.metrics.points import Floats, distances, lengths

_NME = "mean over the faces of the mean distance of their labelled points, in percent of the "
PROTOCOLS: Mapping[str, str] = MappingProxyType(
    {
        "NME_ioc": _NME + "distance between the outer eye corners",
        "NME_pupil": _NME + "distance between the pupils, or the means of the points around the eyes",
        "NME_box": _NME + "square root of the area of the box around the true points; by yaw: faces with |yaw| up to "
        "30, up to 60 and above 60 degrees, and the mean of these three",
        "NME_diag": _NME + "diagonal of the box around the true points",
        "AUC": "area under the curve of cumulative errors up to @, in percent of it, of the first NME above",
        "FR": "percentage of faces with an error above @, of the first NME above",
    }
)
"""One line per metric, to print beside its numbers."""

NORMS = ("NME_ioc", "NME_pupil", "NME_box", "NME_diag")
"""From the one that is preferred as headline to the one that every face has."""

LIMITS = (0.08, 0.1)
"""Errors, as shares of the norm, at which AUC and failure rate are usually given."""

YAW_BINS = {"yaw_0_30": (-np.inf, 30.0), "yaw_30_60": (30.0, 60.0), "yaw_60_90": (60.0, np.inf)}
"""Above which |yaw| in degrees, and up to which; the few beyond 90 belong to the last."""


def norms(truth: Floats, labelled: NDArray[np.bool_], skeleton: Skeleton) -> dict[str, NDArray[np.float64]]:
    """The lengths (N,) of each face by name, nan where its points do not tell; norms that the scheme lacks are absent.

    Raises ValueError for shapes that do not fit together.
    """
    points = np.asarray(truth, np.float64)
    known = np.asarray(labelled, bool)
    count = len(skeleton.keypoints)
    if points.ndim != 3 or points.shape[1:] != (count, 2) or known.shape != points.shape[:2]:
        raise ValueError(
            f"metrics: truth (N, {count}, 2) and labelled (N, {count}) expected, got {points.shape}, {known.shape}"
        )
    points = np.where(known[:, :, None], points, np.nan)
    result: dict[str, NDArray[np.float64]] = {}
    if skeleton.outer_eyes is not None:
        right, left = skeleton.outer_eyes
        result["NME_ioc"] = lengths(points[:, right] - points[:, left])
    if skeleton.pupils is not None:
        right_eye, left_eye = (points[:, list(eye)].mean(axis=1) for eye in skeleton.pupils)
        result["NME_pupil"] = lengths(right_eye - left_eye)
    # fmin and fmax pass over nan, without the warning of nanmin for a face without labels.
    extent: NDArray[np.float64] = np.fmax.reduce(points, axis=1) - np.fmin.reduce(points, axis=1)
    result["NME_box"] = np.sqrt(extent[:, 0] * extent[:, 1])
    result["NME_diag"] = lengths(extent)
    return {name: np.where(norm > 0, norm, np.nan) for name, norm in result.items()}


def face_errors(pred: Floats, truth: Floats, labelled: NDArray[np.bool_], norm: Floats) -> NDArray[np.float64]:
    """Mean distance (N,) of the labelled points of each face, as a share of `norm` (N,); nan where that is nan.

    Raises ValueError for shapes that do not fit together and, naming its place, for a prediction or a labelled truth
    that is not finite.
    """
    distance, known = distances(pred, truth, labelled)
    length = np.asarray(norm, np.float64)
    if length.shape != known.shape[:1]:
        raise ValueError(f"metrics: norm {known.shape[:1]} expected, got {length.shape}")
    count = known.sum(axis=1)
    mean = distance.sum(axis=1) / np.maximum(count, 1)
    return np.where(count > 0, mean / length, np.nan)


def area_under_curve(errors: Floats, limit: float) -> float:
    """Area under the curve of cumulative errors between 0 and `limit`, in percent of `limit`; exact, without bins.

    The share of faces with an error of at most e, integrated over e, is the mean of what each face leaves of `limit`.
    """
    return float(100.0 * np.clip(1.0 - _finite(errors) / limit, 0.0, None).mean())


def failure_rate(errors: Floats, limit: float) -> float:
    """Percentage of faces with an error above `limit`."""
    return float(100.0 * (_finite(errors) > limit).mean())


def by_yaw(errors: Floats, yaw: Floats) -> dict[str, float]:
    """NME in percent by how far the faces (N,) look to the side; empty bins are left out.

    `yaw_mean` is the mean of the three bins, not of the faces, as usual on AFLW2000-3D; only if none is empty.
    """
    aside = np.abs(np.asarray(yaw, np.float64))
    result = {}
    for name, (above, up_to) in YAW_BINS.items():
        chosen = (aside > above) & (aside <= up_to) & np.isfinite(errors)
        if chosen.any():
            result[name] = float(100.0 * np.asarray(errors)[chosen].mean())
    if len(result) == len(YAW_BINS):
        result["yaw_mean"] = sum(result.values()) / len(result)
    return result


def summarise_faces(
    pred: Floats, truth: Floats, labelled: NDArray[np.bool_], skeleton: Skeleton, yaw: Floats | None = None
) -> dict[str, float]:
    """The numbers of a table: all norms, AUC and FR of the first of NORMS, NME_box by yaw where known.

    Raises ValueError as `face_errors` does and if no face can be scored.
    """
    errors = all_errors(pred, truth, labelled, skeleton)
    result = {name: float(100.0 * error[np.isfinite(error)].mean()) for name, error in errors.items()}
    headline = next(name for name in NORMS if name in errors)
    for name, function in (("AUC", area_under_curve), ("FR", failure_rate)):
        known = errors[headline][np.isfinite(errors[headline])]
        result |= {f"{name}@{limit:g}": function(known, limit) for limit in LIMITS}
    if yaw is not None and "NME_box" in errors:
        result |= {f"NME_box/{name}": value for name, value in by_yaw(errors["NME_box"], yaw).items()}
    return result


def all_errors(
    pred: Floats, truth: Floats, labelled: NDArray[np.bool_], skeleton: Skeleton
) -> dict[str, NDArray[np.float64]]:
    """The errors (N,) of the faces under each norm that at least one of them has, as shares; see `face_errors`.

    Raises ValueError as `face_errors` does and if no face can be scored.
    """
    errors = {name: face_errors(pred, truth, labelled, norm) for name, norm in norms(truth, labelled, skeleton).items()}
    errors = {name: error for name, error in errors.items() if np.isfinite(error).any()}
    if not errors:
        raise ValueError("metrics: no face has labelled points and a norm, there is nothing to score")
    return errors


def _finite(errors: Floats) -> NDArray[np.float64]:
    """Raises ValueError for no errors at all and for one that is not finite: a comparison would let NaN pass."""
    values = np.asarray(errors, np.float64)
    if not values.size or not np.isfinite(values).all():
        raise ValueError("metrics: errors should be finite, and at least one")
    return values
