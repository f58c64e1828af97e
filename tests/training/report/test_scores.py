"""Errors, intervals and exchanged sides of a report, computed by hand."""

import numpy as np
import pytest

from training.labels.parts import Parts
from training.labels.skeletons import Skeleton
from training.loading.test_set import TestSet
from training.report.scores import answered, bootstrap, cumulative, exchanged, norm_of, some
from training.tasks.face import FACE
from training.tasks.parts import PARTS
from training.tasks.pose import POSE

PAIR = Skeleton("pair", ("right_hand", "left_hand", "nose"), edges=((0, 1),), flip_pairs=((0, 1),))


def made(keypoints, labelled=None, scheme=PAIR, **more):
    count = len(keypoints)
    nothing = {name: np.full(count, np.nan) for name in ("head_size", "box_size", "area", "yaw")}
    return TestSet(
        pictures=np.zeros((count, 100, 100, 3), np.uint8),
        keypoints=np.asarray(keypoints, np.float32),
        labelled=np.ones((count, 3), bool) if labelled is None else labelled,
        scheme=scheme,
        protocol="by hand",
        bad=(),
        **nothing | more,
    )


RIGHT = [[[10, 50], [90, 50], [50, 50]]] * 2


def test_errors_of_points_and_samples():
    """Two samples in crops of 100 pixels: one is 3, 4 away in one point of two that are labelled, one is right."""
    labelled = np.array([[True, True, False], [True] * 3])
    found = np.array(RIGHT, float)
    found[0, 0] += 3, 4
    found[0, 2] += 50
    test = made(RIGHT, labelled)
    answers = answered(POSE, test, found, POSE.score(test, found), resamples=20)
    assert answers.unit == "of the side of the crop"
    assert answers.by_point[0].tolist() == pytest.approx([5, 0, np.nan], nan_ok=True)
    assert answers.errors.tolist() == pytest.approx([2.5, 0])
    assert answers.worst == [0, 1]
    low, high = answers.intervals["PCKcrop@0.05"]
    assert low <= answers.scores["PCKcrop@0.05"] <= high


def test_a_sample_without_a_norm_has_no_error():
    test = made(RIGHT, box_size=np.array([50.0, np.nan]))
    found = np.array(RIGHT, float) + np.array([5, 0])
    answers = answered(POSE, test, found, POSE.score(test, found), resamples=5)
    assert answers.unit == "of the longer side of the box"
    assert answers.errors.tolist() == pytest.approx([10, np.nan], nan_ok=True)
    assert answers.worst == [0]


def test_norms_by_the_name_of_the_score():
    test = made(RIGHT, head_size=np.array([7.0, 8]), box_size=np.array([9.0, 10]))
    assert norm_of(test, "PCKh@0.5")[0].tolist() == [7, 8]
    assert norm_of(test, "PCKbox@0.05")[0].tolist() == [9, 10]
    assert norm_of(test, "PCKcrop@0.05")[0].tolist() == [100, 100]
    assert norm_of(made([[[0, 0], [30, 40], [0, 0]]]), "NME_diag")[0].tolist() == [50]


def test_the_errors_of_faces_are_their_nme():
    test = made([[[0, 0], [30, 40], [0, 0]]] * 2)
    found = test.keypoints + np.array([[[3, 0]], [[1, 0]]], np.float32)
    answers = answered(FACE, test, found, FACE.score(test, found), resamples=5)
    assert FACE.headline(answers.scores) == "NME_box"
    assert answers.errors.mean() == pytest.approx(answers.scores["NME_box"])


def test_errors_of_masks_are_wrong_pixels():
    masks = np.zeros((2, 4, 4), np.uint8)
    masks[0, 0, 0], masks[1, 0] = 255, 1  # a pixel that is not labelled; four of the second class
    found = np.zeros_like(masks)
    found[0, 0, :3] = 1
    test = made(np.zeros((2, 0, 2)), np.ones((2, 0), bool), Parts("two", ("none", "some"), ()), masks=masks)
    answers = answered(PARTS, test, found, PARTS.score(test, found), resamples=50)
    assert answers.errors.tolist() == pytest.approx([100 * 2 / 15, 100 * 4 / 16])
    assert answers.counts.tolist() == [[15 - 2 + 12, 2], [4, 0]]
    low, high = answers.intervals["pixel_accuracy"]
    assert (low, high) == pytest.approx((75, 100 * 13 / 15))  # of either sample alone, as often as that is drawn twice


def test_sides_that_are_exchanged():
    """Both hands at each other's place; only one of them; both, but one is not labelled."""
    right = np.array([[[10, 50], [90, 50], [50, 50]]] * 4, float)
    found = right.copy()
    found[0, :2], found[1, 0], found[2, :2] = right[0, [1, 0]], right[1, 1], right[2, [1, 0]]
    labelled = np.ones((4, 3), bool)
    labelled[2, 1] = False
    test = made(right, labelled)
    answers = answered(POSE, test, found, POSE.score(test, found), resamples=1)
    assert exchanged(answers) == [("right_hand", "left_hand", 1, 3)]


def test_the_bootstrap_knows_the_spread_of_a_mean():
    """The mean of 400 numbers of standard deviation 10 has one of 0.5: 95 % within 1.96 times that."""
    values = np.random.default_rng(3).normal(50, 10, 400)
    found = bootstrap(lambda chosen: {"mean": float(values[chosen].mean())}, 400, 2000)
    low, high = found["mean"]
    assert high - low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.08)
    assert low < values.mean() < high
    assert found == bootstrap(lambda chosen: {"mean": float(values[chosen].mean())}, 400, 2000)


def test_resamples_in_which_nothing_can_be_scored_are_left_out():
    def score(chosen):
        if 0 not in chosen:
            raise ValueError("nothing to score")
        return {"one": 1.0}

    assert bootstrap(score, 3, 50) == {"one": (1, 1)}


def test_some_samples_each_as_often_as_it_is_named():
    test = made(np.arange(12).reshape(2, 3, 2), head_size=np.array([1.0, 2]))
    chosen = some(test, np.array([1, 1, 0]))
    assert chosen.head_size.tolist() == [2, 2, 1]
    assert chosen.keypoints[:, 0, 0].tolist() == [6, 6, 0]


def test_cumulative_shares():
    at, share = cumulative(np.array([1.0, 3, np.nan, 3, 9]), 4, points=5)
    assert at.tolist() == [0, 1, 2, 3, 4]
    assert share.tolist() == [0, 25, 25, 75, 75]
    assert cumulative(np.array([np.nan]), 1, points=2)[1].tolist() == [0, 0]
