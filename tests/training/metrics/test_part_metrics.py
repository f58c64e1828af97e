"""Scores of masks, by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hbcore.optim.losses import IGNORED
from training.metrics.parts import PROTOCOLS, confusion, summarise_parts

NAMES = ("background", "skin", "nose", "hair")


def mask(*rows: str) -> np.ndarray:
    """A digit per pixel; "-": nobody knows."""
    return np.array([[IGNORED if c == "-" else int(c) for c in row] for row in rows], np.uint8)


def test_scores_computed_by_hand() -> None:
    """Ten labelled pixels, five of background, three of skin, two of nose; hair is nowhere.

    Background: 4 of 5 right, 1 skin pixel taken for it: IoU 4 / (5 + 5 - 4). Skin: 2 of 3 right, one background and one
    nose pixel taken for it: 2 / (3 + 4 - 2). Nose: 1 of 2 right: 1 / (2 + 1 - 1).
    """
    truth = mask("000001", "1122--")
    found = mask("000011", "012133")
    counts = confusion(found, truth, 4)
    assert counts.tolist() == [[4, 1, 0, 0], [1, 2, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0]]
    scores = summarise_parts(counts, NAMES)
    iou = {"background": 4 / 6, "skin": 2 / 5, "nose": 1 / 2}
    expected = {
        "mIoU": 100 * (4 / 6 + 2 / 5 + 1 / 2) / 3,
        "mean_accuracy": 100 * (4 / 5 + 2 / 3 + 1 / 2) / 3,
        "pixel_accuracy": 70,
        **{f"mIoU/{name}": 100 * value for name, value in iou.items()},
    }
    assert list(scores) == list(expected)
    assert scores == pytest.approx(expected)


def test_a_class_that_is_found_but_nowhere_labelled_counts_for_iou_alone() -> None:
    """One of four background pixels is taken for hair: IoU of background 3/4, of hair 0; accuracy 3/4 of one class."""
    scores = summarise_parts(confusion(mask("0003"), mask("0000"), 4), NAMES)
    assert scores == pytest.approx(
        {
            "mIoU": 37.5,
            "mean_accuracy": 75,
            "pixel_accuracy": 75,
            "mIoU/background": 75,
            "mIoU/hair": 0,
        }
    )


def test_counts_add_up_over_pictures() -> None:
    """mIoU is that of all pixels together, not a mean over pictures."""
    rng = np.random.default_rng(0)
    found, truth = rng.integers(0, 4, (2, 5, 6, 7)).astype(np.uint8)
    single = sum(confusion(f, t, 4) for f, t in zip(found, truth, strict=True))
    assert np.array_equal(confusion(found, truth, 4), single)


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from([0, 1, 2, 3, IGNORED])), min_size=1, max_size=40))
def test_scores_against_sets_of_pixels(pixels: list[tuple[int, int]]) -> None:
    found, truth = np.array(pixels, np.uint8).T
    counts = confusion(found, truth, 4)
    known = [(f, t) for f, t in pixels if t != IGNORED]
    if not known:
        with pytest.raises(ValueError, match="no pixel is labelled"):
            summarise_parts(counts, NAMES)
        return
    scores = summarise_parts(counts, NAMES)
    ious, accuracies = {}, []
    for k, name in enumerate(NAMES):
        a = {i for i, (f, _) in enumerate(known) if f == k}
        b = {i for i, (_, t) in enumerate(known) if t == k}
        if a | b:
            ious[name] = 100 * len(a & b) / len(a | b)
        if b:
            accuracies.append(100 * len(a & b) / len(b))
    assert scores["mIoU"] == pytest.approx(np.mean(list(ious.values())))
    assert scores["mean_accuracy"] == pytest.approx(np.mean(accuracies))
    assert scores["pixel_accuracy"] == pytest.approx(100 * np.mean([f == t for f, t in known]))
    assert {key[5:]: value for key, value in scores.items() if key.startswith("mIoU/")} == pytest.approx(ious)


def test_masks_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match=r"shape \(1, 2\) cannot be compared with \(1, 3\)"):
        confusion(mask("00"), mask("000"), 4)
    with pytest.raises(ValueError, match="a prediction is 4, of 4 classes"):
        confusion(mask("04"), mask("00"), 4)
    with pytest.raises(ValueError, match="a truth is 5, of 4 classes"):
        confusion(mask("00"), mask("05"), 4)
    assert confusion(mask("09"), mask("0-"), 4).sum() == 1  # where nobody knows, anything goes


def test_every_metric_has_its_line() -> None:
    assert set(PROTOCOLS) == {"mIoU", "mean_accuracy", "pixel_accuracy"}
    assert "bilinear" in PROTOCOLS["mIoU"]
