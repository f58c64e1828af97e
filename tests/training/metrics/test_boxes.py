"""How good found boxes are, by hand."""

import numpy as np
import pytest

from training.metrics.boxes import iou, squares, summarise_boxes

NONE = np.zeros((0, 4))


def found(*rows):
    """Answers of one picture, with rows of NaN behind them as a codec has."""
    return np.array([*rows, (np.nan, np.nan, np.nan, np.nan, 0.0)])


def test_squares_and_iou_by_hand():
    assert squares(np.array([[0.0, 0.0, 4.0, 10.0]])).tolist() == [[-3, 0, 7, 10]]
    first = np.array([[0.0, 0.0, 10.0, 10.0]])
    assert iou(first, np.array([[0.0, 5.0, 10.0, 15.0], [20.0, 0.0, 30.0, 10.0]])).tolist() == [[50 / 150, 0]]


def test_found_at_the_confidence_that_empty_pictures_allow():
    """Of 200 empty pictures two may have something: the third highest of theirs, 0.5, is what counts."""
    empty = [found((0, 0, 9, 9, peak)) for peak in (0.9, 0.7, 0.5, *[0.1] * 197)]
    faces = np.array([[0.0, 0, 10, 10], [50.0, 50, 60, 60], [80.0, 80, 90, 90]])
    answers = [found((0, 0, 10, 10, 0.6), (50, 50, 60, 60, 0.5), (80, 85, 90, 95, 0.99)), *empty]
    scores = summarise_boxes(answers, [faces, *[NONE] * 200])
    # The first is met above it; the second only just not; the third by an IoU of a third.
    assert scores == {"found@1%": pytest.approx(100 / 3), "confidence@1%": 50}


def test_without_empty_pictures_the_usual_confidence():
    box = np.array([[0.0, 0, 10, 10]])
    assert summarise_boxes([found((0, 0, 10, 10, 0.31))], [box]) == {"found@1%": 100, "confidence@1%": 30}
    assert summarise_boxes([found((0, 0, 10, 10, 0.29))], [box])["found@1%"] == 0
    assert summarise_boxes([found()], [box])["found@1%"] == 0


def test_nothing_to_score_is_refused():
    with pytest.raises(ValueError, match="no picture has a labelled box"):
        summarise_boxes([found()], [NONE])
