"""NME, AUC, failure rate, yaw bins and the curve, against values computed by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from training.labels.face_skeletons import generic
from training.labels.skeletons import Skeleton
from training.metrics.faces import (
    LIMITS,
    PROTOCOLS,
    all_errors,
    area_under_curve,
    by_yaw,
    face_errors,
    failure_rate,
    norms,
    summarise_faces,
)
from training.pictures.charts import ced

FOUR = Skeleton(
    "four", ("right_eye", "left_eye", "right_lid", "left_lid"), (), ((0, 1), (2, 3)),
    outer_eyes=(0, 1), pupils=((0, 2), (1, 3)),
)  # fmt: skip
# Outer corners 8 apart; means of the eyes at (1, 1) and (7, 1), 6 apart; box 8 x 2, area 16, diagonal sqrt(68).
TRUTH = np.array([[[0, 0], [8, 0], [2, 2], [6, 2]]], np.float32)
ALL = np.ones((1, 4), np.bool_)


def test_the_four_norms_of_a_face_by_hand() -> None:
    found = norms(TRUTH, ALL, FOUR)
    assert {name: value.tolist() for name, value in found.items()} == {
        "NME_ioc": [8.0], "NME_pupil": [6.0], "NME_box": [4.0], "NME_diag": [np.sqrt(68.0)],
    }  # fmt: skip


def test_a_norm_needs_its_points() -> None:
    labelled = np.array([[True, False, True, True]])
    truth = np.where(labelled[..., None], TRUTH, 0)
    found = norms(truth, labelled, FOUR)
    assert np.isnan(found["NME_ioc"][0])
    assert np.isnan(found["NME_pupil"][0])  # one point around the left eye is not labelled
    assert found["NME_box"][0] == pytest.approx(np.sqrt(6 * 2))  # without the point that is not labelled
    nobody = norms(np.zeros((1, 4, 2)), np.zeros((1, 4), np.bool_), FOUR)
    assert all(np.isnan(value[0]) for value in nobody.values())
    assert list(norms(np.zeros((1, 3, 2)), np.ones((1, 3), np.bool_), generic(3))) == ["NME_box", "NME_diag"]


def test_nme_by_hand() -> None:
    """Points off by 5, 0, 1 and 2 pixels: 2 on average, a quarter of 8 and a third of 6."""
    pred = TRUTH + np.array([[[3, 4], [0, 0], [0, 1], [-2, 0]]], np.float32)
    scores = summarise_faces(pred, TRUTH, ALL, FOUR)
    assert next(iter(scores)) == "NME_ioc"
    assert scores["NME_ioc"] == pytest.approx(25)
    assert scores["NME_pupil"] == pytest.approx(100 / 3)
    assert scores["NME_box"] == pytest.approx(50)
    assert scores["NME_diag"] == pytest.approx(200 / np.sqrt(68))
    assert scores["AUC@0.08"] == 0
    assert scores["FR@0.08"] == scores["FR@0.1"] == 100
    assert {name.partition("@")[0] for name in scores} == set(PROTOCOLS)


def test_unlabelled_points_do_not_count() -> None:
    labelled = np.array([[True, True, True, False]])
    pred = TRUTH + np.array([[[0, 3], [0, 0], [0, 0], [500, 0]]], np.float32)
    truth = TRUTH.copy()
    truth[0, 3] = np.nan
    assert face_errors(pred, truth, labelled, np.array([2.0])) == pytest.approx([3 / 3 / 2])


def test_faces_count_alike_however_many_points_they_have() -> None:
    truth = np.repeat(TRUTH, 2, axis=0)
    labelled = np.array([[True] * 4, [True, True, False, False]])
    pred = truth + np.array([[[4, 0]] * 4, [[0, 0]] * 4], np.float32)
    assert summarise_faces(pred, truth, labelled, FOUR)["NME_ioc"] == pytest.approx((50 + 0) / 2)  # not 4/6 of 50


def test_a_face_that_cannot_be_scored_is_left_out() -> None:
    truth = np.concatenate([TRUTH, np.zeros_like(TRUTH)])  # the second one has no extent
    pred = truth + np.float32(1)
    scores = summarise_faces(pred, truth, np.ones((2, 4), np.bool_), FOUR)
    assert scores["NME_ioc"] == pytest.approx(100 * np.sqrt(2) / 8)
    with pytest.raises(ValueError, match="nothing to score"):
        all_errors(pred[1:], truth[1:], ALL, FOUR)
    only_box = np.array([[True, False, True, True]])
    scores = summarise_faces(TRUTH, TRUTH, only_box, FOUR)
    assert next(iter(scores)) == "NME_box"


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_prediction_that_is_not_finite_always_fails(bad: float) -> None:
    pred = TRUTH.copy()
    pred[0, 2, 1] = bad
    for labelled in (ALL, np.array([[True, True, False, True]])):  # also where nobody would have looked
        with pytest.raises(ValueError, match="keypoint 2 of sample 0 is not finite"):
            summarise_faces(pred, TRUTH, labelled, FOUR)
    for function in (area_under_curve, failure_rate):
        with pytest.raises(ValueError, match="finite"):
            function(np.array([0.01, bad]), 0.08)
        with pytest.raises(ValueError, match="at least one"):
            function(np.array([]), 0.08)


def test_area_and_failures_by_hand() -> None:
    """Errors 0, 0.04 and 0.2: the curve is 1/3 up to 0.04 and 2/3 from there to 0.08."""
    errors = np.array([0.2, 0.0, 0.04])
    assert area_under_curve(errors, 0.08) == pytest.approx(50)
    assert area_under_curve(errors, 0.1) == pytest.approx(100 * (0.04 / 3 + 0.06 * 2 / 3) / 0.1)
    assert failure_rate(errors, 0.08) == pytest.approx(100 / 3)
    assert failure_rate(np.array([0.08]), 0.08) == 0  # at the limit is no failure


@settings(deadline=None, derandomize=True, max_examples=50)
@given(st.lists(st.floats(0, 0.3), min_size=1, max_size=20), st.sampled_from(LIMITS))
def test_area_is_the_integral_of_the_curve(errors: list[float], limit: float) -> None:
    steps = (np.arange(20_000) + 0.5) / 20_000 * limit
    curve = (np.array(errors)[:, None] <= steps).mean(axis=0)
    assert area_under_curve(np.array(errors), limit) == pytest.approx(100 * curve.mean(), abs=0.02)


def test_yaw_bins_by_hand() -> None:
    errors = np.array([0.02, 0.04, 0.06, 0.05, 0.10, np.nan])
    yaw = np.array([0.0, -30.0, 30.5, -60.0, 95.0, 10.0])
    assert by_yaw(errors, yaw) == pytest.approx(
        {"yaw_0_30": 3.0, "yaw_30_60": 5.5, "yaw_60_90": 10.0, "yaw_mean": 18.5 / 3}
    )
    assert by_yaw(errors[:2], np.array([5.0, np.nan])) == pytest.approx({"yaw_0_30": 2.0})  # no mean of one bin
    assert by_yaw(errors[:1], np.array([np.nan])) == {}


def test_the_published_mean_is_that_of_the_bins() -> None:
    """2.47, 3.01 and 4.31 on AFLW2000-3D, given as 3.26, whatever the number of faces in each bin."""
    errors = np.array([0.0247, 0.0247, 0.0301, 0.0431])
    assert round(by_yaw(errors, np.array([1.0, 2.0, 40.0, 80.0]))["yaw_mean"], 2) == 3.26


def test_scores_by_yaw_where_it_is_known() -> None:
    truth = np.repeat(TRUTH, 2, axis=0)
    pred = truth + np.array([[[0, 2]], [[0, 4]]], np.float32)
    scores = summarise_faces(pred, truth, np.ones((2, 4), np.bool_), FOUR, np.array([np.nan, 45.0]))
    assert {name: value for name, value in scores.items() if "yaw" in name} == {"NME_box/yaw_30_60": pytest.approx(100)}


@pytest.mark.parametrize("shape", [(1, 4), (4, 2), (1, 3, 2)])
def test_shapes_must_fit(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="expected"):
        summarise_faces(np.zeros(shape), np.zeros(shape), ALL, FOUR)
    with pytest.raises(ValueError, match="norm"):
        face_errors(TRUTH, TRUTH, ALL, np.ones(2))


def _pixels(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def test_curve_as_a_picture(tmp_path: Path) -> None:
    ced({"NME_ioc": np.array([0.01, 0.02, np.nan]), "NME_box": np.array([0.5])}, tmp_path / "ced.png")
    first = _pixels(tmp_path / "ced.png")
    assert first.shape == (500, 700, 3)
    ced({"NME_ioc": np.array([0.01, 0.02]), "NME_box": np.array([0.5])}, tmp_path / "ced.png")
    assert (first != _pixels(tmp_path / "ced.png")).any()  # a face that is not finite lowers the curve
