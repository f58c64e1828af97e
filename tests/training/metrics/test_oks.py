"""Object keypoint similarity and AP: by hand, and beside COCO's own code where it is installed."""

import contextlib
import io
import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from training.datasets import open_dataset
from training.datasets.own.scheme import COCO_SIGMAS
from training.loading.test_set import TestSet
from training.metrics import oks
from training.tasks.pose import POSE

EXACT = 1e-12


def test_similarity_by_hand() -> None:
    truth = np.zeros((3, 2, 2))
    pred = np.array([[[3.0, 4.0], [0.0, 0.0]], [[3.0, 4.0], [99.0, 99.0]], [[1.0, 1.0], [1.0, 1.0]]])
    labelled = np.array([[True, True], [True, False], [False, False]])
    # d = 5: 25 / (2 * 100 * (2 * 0.125)^2) = 2; with area 400 a quarter of it.
    result = oks.similarity(pred, truth, labelled, np.array([100.0, 400.0, 1.0]), (0.125, 0.5))
    assert result[:2] == pytest.approx([(math.exp(-2) + 1) / 2, math.exp(-0.5)], abs=EXACT)
    assert math.isnan(result[2])


def test_a_truth_that_is_not_labelled_is_not_looked_at() -> None:
    truth = np.array([[[1.0, 1.0], [np.nan, np.inf]]])
    assert oks.similarity(np.ones((1, 2, 2)), truth, np.array([[True, False]]), np.ones(1), (1.0, 1.0)) == 1


def test_average_precision_by_hand() -> None:
    """Ranked: right, wrong, right, wrong: precision 1, 1/2, 2/3, 1/2 at recall 1/4, 1/4, 1/2, 1/2."""
    values, scores = np.array([0.7, 0.1, 0.9, 0.2]), np.array([0.3, 0.2, 0.9, 0.8])
    # Highest precision from each recall on: 1 up to 0.25 (26 recalls), 2/3 up to 0.50 (25), then nothing.
    expected = 100 * (26 * 1 + 25 * 2 / 3) / 101
    assert oks.average_precision(values, scores, 0.5) == pytest.approx(expected, abs=EXACT)
    # At 0.7 the answer of 0.7 is still right, at 0.71 only the first: 26 recalls of 101.
    assert oks.average_precision(values, scores, 0.7) == pytest.approx(expected, abs=EXACT)
    assert oks.average_precision(values, scores, 0.71) == pytest.approx(100 * 26 / 101, abs=EXACT)


def test_extremes() -> None:
    scores = np.arange(5.0)
    assert oks.average_precision(np.ones(5), scores, 0.95) == 100
    assert oks.average_precision(np.zeros(5), scores, 0.5) == 0
    assert math.isnan(oks.average_precision(np.full(5, np.nan), scores, 0.5))
    assert oks.summarise(np.full(5, np.nan), scores) == {}
    # A sample without labels is neither right nor wrong.
    assert oks.average_precision(np.array([1, np.nan, 1]), np.array([1, 5, 2]), 0.5) == 100


@given(st.lists(st.tuples(st.integers(0, 10), st.integers(0, 3)), min_size=1, max_size=12), st.randoms())
def test_the_order_of_the_samples_does_not_count_even_among_equals(people: list[tuple[int, int]], random) -> None:
    def ap(rows: list[tuple[int, int]]) -> float:
        values, scores = np.array(rows, float).T
        return oks.average_precision(values / 10, scores, 0.5)

    shuffled = people.copy()
    random.shuffle(shuffled)
    assert ap(shuffled) == pytest.approx(ap(people), abs=1e-9)


def test_the_summary_is_the_mean_over_ten_thresholds() -> None:
    # One sample alone: 100 up to its similarity, 0 beyond. 0.72 passes 0.50, 0.55, ..., 0.70: 5 of 10.
    assert oks.summarise(np.array([0.72]), np.array([1.0])) == pytest.approx(
        {"AP@0.50:0.95": 50.0, "AP@0.50": 100.0, "AP@0.75": 0.0, "OKS": 72.0}
    )


def test_misfits_are_refused() -> None:
    good = [np.zeros((2, 3, 2)), np.zeros((2, 3, 2)), np.ones((2, 3), bool), np.ones(2), (0.1, 0.1, 0.1)]
    oks.similarity(*good)
    for place, other, message in (
        (0, np.zeros((2, 4, 2)), "expected"),
        (0, np.full((2, 3, 2), np.nan), "prediction is not finite"),
        (2, np.ones((3, 2), bool), "expected"),
        (3, np.array([1.0, 0.0]), "area 1 is not positive"),
        (3, np.array([np.inf, 1.0]), "area 0 is not positive"),
        (4, (0.1, 0.1), "expected"),
        (4, (0.1, 0.1, -0.1), "sigma 2 is not positive"),
    ):
        with pytest.raises(ValueError, match=message):
            oks.similarity(*good[:place], other, *good[place + 1 :])
    for scores in (np.ones(3), np.array([1.0, np.nan])):
        with pytest.raises(ValueError, match="AP: "):
            oks.average_precision(np.ones(2), scores, 0.5)


def test_the_same_as_cocos_own_code() -> None:
    """200 samples, some joints unlabelled, some samples without any, errors from tiny to hopeless."""
    coco = pytest.importorskip("pycocotools.coco", reason="COCO's own code is not installed: pip install pycocotools")
    cocoeval = pytest.importorskip("pycocotools.cocoeval", reason="pip install pycocotools")
    rng = np.random.default_rng(7)
    people, joints = 200, len(COCO_SIGMAS)
    truth = rng.uniform(50, 250, (people, joints, 2)).round(1)
    labelled = rng.random((people, joints)) < 0.8
    labelled[::23] = False
    area = rng.uniform(500, 40_000, people).round()
    pred = truth + rng.normal(0, 1, truth.shape) * rng.choice([0.2, 4, 12, 60], (people, 1, 1))
    scores = rng.permutation(people) / people

    flags = np.where(labelled, rng.integers(1, 3, labelled.shape), 0)
    annotations, answers = [], []
    for i in range(people):
        common = {"image_id": i + 1, "category_id": 1}
        points = np.column_stack([np.where(labelled[i, :, None], truth[i], 0), flags[i]])
        annotations.append(
            common
            | {"id": i + 1, "iscrowd": 0, "area": float(area[i]), "bbox": [0, 0, 300, 300]}
            | {"num_keypoints": int(labelled[i].sum()), "keypoints": points.ravel().tolist()}
        )
        found = np.column_stack([pred[i], np.ones(joints)])
        answers.append(common | {"keypoints": found.ravel().tolist(), "score": float(scores[i])})
    with contextlib.redirect_stdout(io.StringIO()):
        data = coco.COCO()
        data.dataset = {
            "info": {},
            "images": [{"id": i + 1} for i in range(people)],
            "annotations": annotations,
            "categories": [{"id": 1, "name": "person"}],
        }
        data.createIndex()
        judge = cocoeval.COCOeval(data, data.loadRes(answers), "keypoints")
        # Ours by name, theirs in the order of their names.
        np.testing.assert_allclose(sorted(judge.params.kpt_oks_sigmas), sorted(COCO_SIGMAS.values()), atol=EXACT)
        judge.evaluate()
        judge.accumulate()
        judge.summarize()

    alike = oks.similarity(pred, truth, labelled, area, judge.params.kpt_oks_sigmas)
    theirs = [judge.ious[i + 1, 1][0, 0] for i in np.flatnonzero(labelled.any(axis=1))]
    np.testing.assert_allclose(alike[labelled.any(axis=1)], theirs, atol=1e-9)
    ours = oks.summarise(alike, scores)
    assert [ours["AP@0.50:0.95"], ours["AP@0.50"], ours["AP@0.75"]] == pytest.approx(100 * judge.stats[:3], abs=1e-9)
    assert 20 < ours["AP@0.50:0.95"] < 80  # neither of the trivial results


def test_a_test_set_without_a_body_is_scored_by_box_and_area(tmp_path: Path) -> None:
    """Two samples in crops of half their size: boxes of 32 pixels and 16, areas of 400 and 100 square pixels."""
    Image.fromarray(np.zeros((80, 80, 3), np.uint8)).save(tmp_path / "a.png")
    points = [{"keypoints": [20, 20, 2, 30, 30, 2], "bbox": [10, 10, 32, 20]}]
    points += [{"keypoints": [50, 50, 2, 0, 0, 0], "bbox": [40, 40, 16, 16]}]
    value = {
        "images": [{"id": 1, "file_name": "a.png"}],
        "annotations": [
            {"id": n, "image_id": 1, "category_id": 1, "area": area} | record
            for n, area, record in zip((1, 2), (400, 100), points, strict=True)
        ],
        "categories": [{"id": 1, "name": "toy", "keypoints": ["a", "b"], "sigmas": [0.1, 0.1]}],
    }
    (tmp_path / "toys.json").write_text(json.dumps(value))
    test = TestSet.read([open_dataset(f"coco:{tmp_path}/toys.json?test=1", "test")], 20)
    zooms = 20 / (1.25 * np.array([32, 16]))
    np.testing.assert_allclose(test.box_size, [16, 16])  # both crops are a quarter larger than the box
    np.testing.assert_allclose(test.area, [400, 100] * zooms**2)
    off = test.keypoints.copy()
    off[0, 0] += [0, 0.79]  # 0.05 of 16 pixels is 0.8
    off[1, 0] += [0, 0.81]
    scores = POSE.score(test, off) | POSE.ranking(test, off, np.ones((2, 2)))
    assert list(scores) == [
        *("PCKbox@0.05", "PCKbox@0.05/mean_of_joints", "PCKbox@0.05/a", "PCKbox@0.05/b", "PCKbox@0.2"),
        *("AP@0.50:0.95", "AP@0.50", "AP@0.75", "OKS"),
    ]
    assert scores["PCKbox@0.05"] == pytest.approx(100 * 2 / 3)
    # In pixels of the picture, at zoom 0.5 and 1: 1.58 and 0.81, over 2 * area * (2 * 0.1)^2 = 32 and 8.
    alike = [(math.exp(-(1.58**2) / 32) + 1) / 2, math.exp(-(0.81**2) / 8)]
    assert scores["OKS"] == pytest.approx(50 * sum(alike), rel=1e-5)
    assert set(POSE.used_protocols(test, scores)) == {"data", "PCKbox", "AP", "OKS"}
