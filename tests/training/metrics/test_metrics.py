"""Metrics against numbers worked out by hand."""

import copy
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.labels.skeletons import LSP, MPII, Skeleton
from training.metrics import points as metrics

EXACT = 1e-9  # percent: sums of a few float64


def people(count: int, joints: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Perfect predictions of random people, all labelled, each with norm 10."""
    truth = np.random.default_rng(0).uniform(0, 100, (count, joints, 2)).astype(np.float32).round()
    return truth.copy(), truth, np.ones((count, joints), bool), np.full(count, 10.0)


def test_pck_counts_each_joint_by_its_own_labels_and_each_sample_by_its_own_norm() -> None:
    truth = np.zeros((3, 3, 2))
    pred = np.zeros((3, 3, 2))
    pred[:, 0] = [[3, 4], [3, 4], [3, 4]]  # 5 pixels off
    pred[:, 1] = [[0, 2.01], [-2, 0], [0, 1.99]]
    pred[:, 2] = [[99, 99], [99, 99], [99, 99]]
    labelled = np.array([[True, True, False], [True, True, False], [True, False, False]])
    norm = np.array([10.0, 10.0, 25.0])  # 0.2 of them: 2, 2 and 5
    result = metrics.pck(pred, truth, labelled, norm, 0.2)
    # Joint 0: only the third sample's 5 <= 5. Joint 1: 2.01 > 2, 2 <= 2. Joint 2: never labelled.
    assert result[:2] == pytest.approx([100 / 3, 50], abs=EXACT)
    assert math.isnan(result[2])


def test_the_threshold_is_used() -> None:
    pred, truth, labelled, norm = people(1, 2)
    pred[0, 1, 0] += 3
    for threshold, expected in ((0.1, [100, 0]), (0.29, [100, 0]), (0.31, [100, 100])):
        assert metrics.pck(pred, truth, labelled, norm, threshold).tolist() == expected


def test_total_weights_joints_by_their_labels() -> None:
    labelled = np.array([[True, True, False]] * 3 + [[True, False, False]])
    percent = np.array([75.0, 100.0, np.nan])
    assert metrics.total(percent, labelled) == pytest.approx((4 * 75 + 3 * 100) / 7, abs=EXACT)
    assert metrics.total(percent, labelled, [1]) == 100
    assert metrics.total(percent, labelled, [0, 2]) == 75
    assert math.isnan(metrics.total(percent, labelled, [2]))


def test_the_plain_mean_weighs_joints_alike() -> None:
    percent = np.array([75.0, 100.0, np.nan])
    assert metrics.plain_mean(percent) == 87.5
    assert metrics.plain_mean(percent, [0, 2]) == 75
    assert math.isnan(metrics.plain_mean(percent, [2]))


def test_auc_is_the_mean_over_51_thresholds() -> None:
    pred, truth, labelled, norm = people(1, 1)
    assert metrics.auc(pred, truth, labelled, norm) == 100  # an exact hit counts at threshold 0 as well
    pred[0, 0, 0] += 1.05  # 0.105 of the norm: correct at 0.11, ..., 0.50
    assert metrics.auc(pred, truth, labelled, norm) == pytest.approx(100 * 40 / 51, abs=EXACT)
    assert metrics.auc(pred, truth, labelled, norm, max_threshold=0.2) == pytest.approx(100 * 10 / 21, abs=EXACT)
    pred[0, 0, 0] += 100
    assert metrics.auc(pred, truth, labelled, norm) == 0


def test_auc_equals_the_mean_of_totals() -> None:
    rng = np.random.default_rng(1)
    _, truth, labelled, norm = people(20, 16)
    pred = truth + rng.normal(0, 3, truth.shape)
    labelled &= rng.random(labelled.shape) < 0.7
    chosen = [0, 3, 9]
    totals = [
        metrics.total(metrics.pck(pred, truth, labelled, norm, t), labelled, chosen) for t in np.arange(1, 51) / 100
    ]
    assert metrics.auc(pred, truth, labelled, norm, keypoints=chosen) == pytest.approx(sum(totals) / 51, abs=EXACT)


def test_auc_of_no_labels_is_nan_and_bad_ends_are_refused() -> None:
    pred, truth, labelled, norm = people(2, 3)
    assert math.isnan(metrics.auc(pred, truth, np.zeros_like(labelled), norm))
    for end in (0, -0.5, 0.505, math.nan, math.inf):
        with pytest.raises(ValueError, match="max_threshold"):
            metrics.auc(pred, truth, labelled, norm, max_threshold=end)


def test_pckh_follows_the_protocol_of_mpii() -> None:
    pred, truth, labelled, norm = people(4, 16)
    off = [6.0, 0.0]  # 0.6 of the head: wrong at 0.5
    joint = {name: index for index, name in enumerate(MPII.keypoints)}
    pred[:, joint["pelvis"]] += off  # never scored
    pred[:, joint["thorax"]] += off
    pred[:2, joint["upper_neck"]] += off  # in the total, in no row
    pred[0, joint["head_top"]] += off  # Head 75
    pred[:3, joint["left_wrist"]] += off  # Wrist (100 + 25) / 2
    labelled[1:, joint["right_ankle"]] = False
    pred[0, joint["right_ankle"]] += off  # Ankle (0 + 100) / 2: left and right weigh the same
    pred[:, joint["left_knee"]] += [1.05, 0]  # wrong at 0.1, right at 0.11

    result = metrics.summarise("PCKh", pred, truth, labelled, norm, MPII)

    assert list(result) == [
        "PCKh@0.5",
        "PCKh@0.5/mean_of_joints",
        *(f"PCKh@0.5/{row}" for row in ("Head", "Shoulder", "Elbow", "Wrist", "Hip", "Knee", "Ankle")),
        "PCKh@0.1",
        "AUC",
    ]
    assert [result[f"PCKh@0.5/{row}"] for row in ("Head", "Wrist", "Ankle", "Shoulder", "Elbow", "Hip", "Knee")] == (
        pytest.approx([75, 62.5, 50, 100, 100, 100, 100], abs=EXACT)
    )
    scored = 14 * 4 - 3
    wrong = 2 + 1 + 3 + 1
    assert result["PCKh@0.5"] == pytest.approx(100 * (scored - wrong) / scored, abs=EXACT)
    # Of 14 joints: neck 50, head 75, left wrist 25, right ankle 0 (one label, and it counts as much), ten others 100.
    assert result["PCKh@0.5/mean_of_joints"] == pytest.approx((50 + 75 + 25 + 0 + 1000) / 14, abs=EXACT)
    assert result["PCKh@0.1"] == pytest.approx(100 * (scored - wrong - 4) / scored, abs=EXACT)
    # 42 joints are exact (51 thresholds), 4 are right from 0.11 on (40), 7 never.
    assert result["AUC"] == pytest.approx(100 * ((scored - wrong - 4) * 51 + 4 * 40) / (51 * scored), abs=EXACT)


def test_a_skeleton_without_pelvis_and_thorax_works_too() -> None:
    pred, truth, labelled, norm = people(2, 14)
    pred[0, LSP.keypoints.index("neck")] += [20, 0]
    result = metrics.summarise("PCKh", pred, truth, labelled, norm, LSP)
    assert result["PCKh@0.5"] == pytest.approx(100 * 27 / 28, abs=EXACT)
    assert result["PCKh@0.5/Head"] == 100


def test_pck_is_listed_per_joint() -> None:
    truth = np.zeros((2, 14, 2))
    truth[:, LSP.keypoints.index("left_shoulder")] = [[3, 4], [0, 10]]
    norm = metrics.torso_size(truth, LSP)
    assert norm.tolist() == [5, 10]  # right hip at (0, 0)
    pred = truth.copy()
    pred[:, LSP.keypoints.index("right_ankle")] += [1.5, 0]  # allowed: 1 and 2
    labelled = np.ones((2, 14), bool)
    labelled[:, LSP.keypoints.index("head_top")] = False
    result = metrics.summarise("PCK", pred, truth, labelled, norm, LSP)
    rows = ("mean_of_joints", *(name for name in LSP.keypoints if name != "head_top"))
    assert list(result) == ["PCK@0.2", *(f"PCK@0.2/{row}" for row in rows)]
    assert result["PCK@0.2/mean_of_joints"] == pytest.approx((50 + 12 * 100) / 13, abs=EXACT)
    assert result["PCK@0.2/right_ankle"] == 50
    assert result["PCK@0.2/left_ankle"] == 100
    assert result["PCK@0.2"] == pytest.approx(100 * 25 / 26, abs=EXACT)


def test_the_torso_runs_from_left_shoulder_to_right_hip() -> None:
    truth = np.random.default_rng(2).uniform(0, 100, (3, 16, 2))
    shoulder, hip = MPII.keypoints.index("left_shoulder"), MPII.keypoints.index("right_hip")
    truth[:, shoulder] = [10, 20]
    truth[:, hip] = [13, 24]
    assert metrics.torso_size(truth, MPII).tolist() == [5, 5, 5]
    labelled = np.ones((3, 16), bool)
    labelled[1, hip] = labelled[2, shoulder] = False
    truth[2, shoulder] = np.nan
    assert metrics.torso_size(truth, MPII, labelled).tolist()[0] == 5
    assert np.isnan(metrics.torso_size(truth, MPII, labelled)).tolist() == [False, True, True]


def test_groups_take_the_one_side_that_is_known_and_leave_out_the_rest() -> None:
    percent = np.full(16, np.nan)
    percent[MPII.keypoints.index("left_hip")] = 40
    percent[MPII.keypoints.index("right_knee")] = 60
    percent[MPII.keypoints.index("left_knee")] = 80
    assert metrics.grouped(percent, MPII) == {"Hip": 40, "Knee": 70}


def test_the_mean_pose_averages_what_is_labelled() -> None:
    joints = np.array([[[0, 0], [10, 20], [99, 99]], [[2, 4], [50, 60], [99, 99]]], dtype=np.float32)
    labelled = np.array([[True, True, False], [True, False, False]])
    mean = metrics.mean_pose(joints, labelled)
    assert mean[:2].tolist() == [[1, 2], [10, 20]]
    assert mean[2] == pytest.approx([4, 8], abs=EXACT)  # of (0, 0), (2, 4) and (10, 20)
    with pytest.raises(ValueError, match="no keypoint is labelled"):
        metrics.mean_pose(joints, np.zeros_like(labelled))


@settings(deadline=None, derandomize=True, max_examples=50)
@given(st.integers(0, 10_000), st.floats(0.01, 3), st.floats(0.01, 3))
def test_more_is_correct_at_a_larger_threshold(seed: int, a: float, b: float) -> None:
    rng = np.random.default_rng(seed)
    truth = rng.uniform(0, 100, (5, 4, 2))
    pred = truth + rng.normal(0, 10, truth.shape)
    labelled = rng.random((5, 4)) < 0.8
    norm = rng.uniform(5, 20, 5)
    low, high = (np.nan_to_num(metrics.pck(pred, truth, labelled, norm, t)) for t in sorted((a, b)))
    assert (low <= high).all()
    # The same picture, twice as large
    assert np.array_equal(np.nan_to_num(metrics.pck(2 * pred, 2 * truth, labelled, 2 * norm, max(a, b))), high)


def test_joints_without_label_change_nothing_whatever_they_hold() -> None:
    pred, truth, labelled, norm = people(3, 16)
    labelled[0, 4] = labelled[2, 0] = False
    expected = metrics.summarise("PCKh", pred, truth, labelled, norm, MPII)
    for value in (np.nan, np.inf, -1e30):
        truth[0, 4] = truth[2, 0] = value
        assert metrics.summarise("PCKh", pred, truth, labelled, norm, MPII) == expected


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("seen", [True, False])
def test_a_prediction_that_is_not_finite_always_fails(value: float, seen: bool) -> None:
    pred, truth, labelled, norm = people(3, 16)
    pred[1, 5, 1] = value
    labelled[1, 5] = seen
    for call in (metrics.pck, metrics.auc):
        with pytest.raises(ValueError, match="prediction of keypoint 5 of sample 1 is not finite"):
            call(pred, truth, labelled, norm)
    with pytest.raises(ValueError, match="prediction of keypoint 5 of sample 1"):
        metrics.summarise("PCKh", pred, truth, labelled, norm, MPII)


def test_a_labelled_truth_that_is_not_finite_fails() -> None:
    pred, truth, labelled, norm = people(3, 16)
    truth[2, 0, 0] = np.nan
    with pytest.raises(ValueError, match="truth of keypoint 0 of sample 2"):
        metrics.pck(pred, truth, labelled, norm)


@pytest.mark.parametrize("value", [0.0, -3.0, np.nan, np.inf])
def test_a_norm_that_is_not_positive_and_finite_is_named(value: float) -> None:
    pred, truth, labelled, norm = people(3, 16)
    norm[1] = value
    for call in (metrics.pck, metrics.auc):
        with pytest.raises(ValueError, match="norm of sample 1 is"):
            call(pred, truth, labelled, norm)


@pytest.mark.parametrize("threshold", [0, -1, math.nan, math.inf])
def test_a_threshold_that_is_not_positive_and_finite_is_refused(threshold: float) -> None:
    with pytest.raises(ValueError, match="threshold"):
        metrics.pck(*people(1, 2), threshold)


def test_shapes_that_do_not_fit_are_refused() -> None:
    pred, truth, labelled, norm = people(3, 16)
    for wrong in (
        (pred[:2], truth, labelled, norm),
        (pred, truth, labelled[:, :3], norm),
        (pred, truth, labelled, norm[:, None]),
        (pred[..., :1], truth[..., :1], labelled, norm),
        (pred[0], truth[0], labelled[0], norm[0]),
    ):
        with pytest.raises(ValueError, match="expected"):
            metrics.pck(*wrong)
    with pytest.raises(ValueError, match="expected"):
        metrics.total(np.zeros(3), labelled)
    with pytest.raises(ValueError, match="expected"):
        metrics.torso_size(truth[:, :14], MPII)
    with pytest.raises(ValueError, match="expected"):
        metrics.torso_size(truth, MPII, labelled[:2])
    with pytest.raises(ValueError, match="expected"):
        metrics.mean_pose(truth, labelled[:2])
    with pytest.raises(ValueError, match="expected for lsp"):
        metrics.summarise("PCKh", pred, truth, labelled, norm, LSP)


def test_an_unknown_metric_and_an_empty_set_are_refused() -> None:
    pred, truth, labelled, norm = people(3, 16)
    with pytest.raises(ValueError, match="unknown metric 'NME', choose from PCKh, PCK"):
        metrics.summarise("NME", pred, truth, labelled, norm, MPII)
    with pytest.raises(ValueError, match="nothing to score"):
        metrics.summarise("PCKh", pred[:0], truth[:0], labelled[:0], norm[:0], MPII)
    assert np.isnan(metrics.pck(pred[:0], truth[:0], labelled[:0], norm[:0])).all()


def test_nothing_is_changed() -> None:
    arguments = people(3, 16)
    before = copy.deepcopy(arguments)
    for array in arguments:
        array.flags.writeable = False
    for metric in metrics.PROTOCOLS:
        metrics.summarise(metric, *arguments, MPII)
    metrics.torso_size(arguments[1], MPII, arguments[2])
    metrics.mean_pose(arguments[1], arguments[2])
    assert all(np.array_equal(a, b) for a, b in zip(arguments, before, strict=True))


def test_every_metric_names_its_protocol() -> None:
    assert set(metrics.PROTOCOLS) == set(metrics.HEADLINES) == {"PCKh", "PCK", "PCKbox", "PCKcrop"}
    assert "left shoulder to right hip" in metrics.PROTOCOLS["PCK"]


def test_pckbox_is_a_share_of_the_box_and_counts_every_point() -> None:
    skeleton = Skeleton("bee", ("thorax", "sting"), (), ())
    truth = np.full((2, 2, 2), 50.0)
    pred = truth + np.array([[[5.0, 0], [0, 5.1]], [[0, 0], [3, -4]]])  # 5, 5.1; 0, 5 pixels off
    scores = metrics.summarise("PCKbox", pred, truth, np.ones((2, 2), bool), np.array([100.0, 20.0]), skeleton)
    assert scores == {
        "PCKbox@0.05": 50.0,  # 5 <= 5, 5.1 > 5; 0 <= 1, 5 > 1
        "PCKbox@0.05/mean_of_joints": 50.0,
        "PCKbox@0.05/thorax": 100.0,
        "PCKbox@0.05/sting": 0.0,
        "PCKbox@0.2": 75.0,  # within 20; 5 > 4
    }
