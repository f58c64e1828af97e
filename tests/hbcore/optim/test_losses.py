"""Losses: values by hand, weights, derivatives by differences."""

import math

import numpy as np
import pytest

from hbcore import Tensor
from hbcore.optim.losses import IGNORED, heatmap_cross_entropy, heatmap_mse, softmax_cross_entropy
from tests.strategies import REAL_TYPES, check_derivatives

TOLERANCE = 1e-12  # float64, a few operations
LOSSES = [heatmap_cross_entropy, heatmap_mse]


def maps(*values):
    """One map of 1 x 1 pixel per value: (1, 1, 1, K)."""
    return np.array(values, dtype=np.float64).reshape(1, 1, 1, -1)


def test_cross_entropy_by_hand():
    """Two maps: p = 1/2 against t = 1 costs log 2; p = 3/4 against t = 0 costs log 4."""
    z = Tensor(maps(0, math.log(3)), requires_grad=True)
    loss = heatmap_cross_entropy(z, maps(1, 0), np.ones((1, 2)))
    assert abs(loss.item() - (math.log(2) + math.log(4)) / 2) < TOLERANCE
    loss.backward()
    assert np.abs(z.grad.ravel() - [-0.25, 0.375]).max() < TOLERANCE


def test_squared_error_by_hand():
    z = Tensor(maps(1, 5), requires_grad=True)
    loss = heatmap_mse(z, maps(3, 4), np.ones((1, 2)))
    assert loss.item() == (4 + 1) / 2
    loss.backward()
    assert z.grad.ravel().tolist() == [-2, 1]


def test_sum_over_pixels_mean_over_maps():
    z, target = np.zeros((2, 3, 4, 5)), np.ones((2, 3, 4, 5))
    assert heatmap_mse(Tensor(z), target, np.ones((2, 5))).item() == pytest.approx(12, rel=TOLERANCE)
    half = np.full((2, 3, 4, 5), 0.5)
    result = heatmap_cross_entropy(Tensor(z), half, np.ones((2, 5))).item()
    assert result == pytest.approx(12 * math.log(2), rel=TOLERANCE)


@pytest.mark.parametrize("loss", LOSSES)
def test_weights(loss):
    """Joints of weight 0 count neither above nor below; fractions weigh; scaling all weights changes nothing."""
    rng = np.random.default_rng(0)
    z, target = rng.standard_normal((2, 2, 3, 3)), rng.random((2, 2, 3, 3))
    single = np.array(
        [[loss(Tensor(z[n : n + 1, ..., k : k + 1]), target[n : n + 1, ..., k : k + 1], np.ones((1, 1))).item()
          for k in range(3)] for n in range(2)]
    )  # fmt: skip
    for weight in ([[1, 1, 1], [1, 1, 1]], [[1, 0, 0], [0, 1, 1]], [[0, 0, 0.25], [0.5, 0, 0]], [[3, 0, 1], [0, 2, 0]]):
        weight = np.array(weight)
        leaf = Tensor(z, requires_grad=True)
        result = loss(leaf, target, weight)
        assert result.item() == pytest.approx((single * weight).sum() / weight.sum(), rel=TOLERANCE)
        result.backward()
        assert np.all(leaf.grad.transpose(0, 3, 1, 2)[weight == 0] == 0)
        assert np.all(np.any(leaf.grad.transpose(0, 3, 1, 2)[weight != 0] != 0, axis=(1, 2)))


@pytest.mark.parametrize("loss", LOSSES)
def test_nothing_labelled(loss):
    z = Tensor(np.ones((1, 2, 2, 3)), requires_grad=True)
    result = loss(z, np.zeros((1, 2, 2, 3)), np.zeros((1, 3)))
    assert result.item() == 0
    result.backward()
    assert np.all(z.grad == 0)


@pytest.mark.parametrize("loss", LOSSES)
def test_derivatives(loss):
    rng = np.random.default_rng(1)
    target, weight = rng.random((2, 3, 2, 3)), np.array([[1, 0, 1], [0.5, 1, 0]])
    check_derivatives(lambda z: loss(z, target, weight), 2 * rng.standard_normal((2, 3, 2, 3)))


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("dtype", REAL_TYPES)
@pytest.mark.parametrize("others", [np.float32, np.float64, np.int64, np.bool_])
def test_precision_is_that_of_the_logits(loss, dtype, others):
    z = Tensor(np.ones((2, 3, 3, 4), dtype=dtype), requires_grad=True)
    result = loss(z, np.zeros((2, 3, 3, 4), dtype=others), np.ones((2, 4), dtype=others))
    result.backward()
    assert result.data.dtype == z.grad.dtype == dtype
    assert z.grad.shape == z.shape


@pytest.mark.parametrize("dtype", REAL_TYPES)
def test_cross_entropy_of_extreme_logits(dtype):
    """Nothing overflows: a sure and wrong answer costs its logit, a sure and right one nothing."""
    z = Tensor(np.array([1e4, -1e4, 1e4, -1e4], dtype=dtype).reshape(1, 1, 1, 4), requires_grad=True)
    loss = heatmap_cross_entropy(z, maps(0, 1, 1, 0), np.ones((1, 4)))
    assert loss.item() == 2e4 / 4
    loss.backward()
    assert z.grad.ravel().tolist() == [0.25, -0.25, 0, 0]


@pytest.mark.parametrize("loss", LOSSES)
def test_shapes_must_fit(loss):
    z = Tensor(np.zeros((2, 3, 3, 4)))
    with pytest.raises(ValueError, match=r"\(2, 3, 3, 4\) cannot be compared with targets of shape \(2, 3, 4, 4\)"):
        loss(z, np.zeros((2, 3, 4, 4)), np.ones((2, 4)))
    with pytest.raises(ValueError, match=r"need weights \(N, K\), got an array of shape \(2, 1\)"):
        loss(z, np.zeros((2, 3, 3, 4)), np.ones((2, 1)))


@pytest.mark.parametrize("loss", LOSSES)
def test_nan_is_not_hidden(loss):
    z = np.zeros((1, 2, 2, 1))
    z[0, 1, 1, 0] = np.nan
    assert np.isnan(loss(Tensor(z), np.zeros((1, 2, 2, 1)), np.ones((1, 1))).item())


# ------------------------------------------------------------------------------------------------- softmax


def test_softmax_cross_entropy_by_hand():
    """Pixels: p = (1/2, 1/4, 1/4) of class 0 costs log 2, (1/3, 1/3, 1/3) of class 2 costs log 3, one is ignored."""
    z = np.array([[math.log(2), 0, 0], [5, 5, 5], [9, -9, 3]], dtype=np.float64).reshape(1, 1, 3, 3)
    leaf = Tensor(z, requires_grad=True)
    loss = softmax_cross_entropy(leaf, np.array([[[0, 2, IGNORED]]], dtype=np.uint8))
    assert abs(loss.item() - (math.log(2) + math.log(3)) / 2) < TOLERANCE
    loss.backward()
    expected = np.array([[-1 / 2, 1 / 4, 1 / 4], [1 / 3, 1 / 3, -2 / 3], [0, 0, 0]]) / 2
    assert np.abs(leaf.grad[0, 0] - expected).max() < TOLERANCE


def test_derivatives_of_softmax_cross_entropy():
    rng = np.random.default_rng(1)
    target = rng.integers(0, 4, (2, 3, 2)).astype(np.uint8)
    target[0, 1, 1] = target[1, 2, 0] = IGNORED
    check_derivatives(lambda z: softmax_cross_entropy(z, target), 2 * rng.standard_normal((2, 3, 2, 4)))


@pytest.mark.parametrize("dtype", REAL_TYPES)
def test_softmax_of_extreme_logits(dtype):
    """Nothing overflows, and nothing changes when a constant is added to all classes of a pixel."""
    z = Tensor(np.array([[1e4, -1e4], [1e4, -1e4]], dtype=dtype).reshape(1, 1, 2, 2), requires_grad=True)
    loss = softmax_cross_entropy(z, np.array([[[0, 1]]]))
    assert loss.item() == 2e4 / 2
    assert loss.data.dtype == dtype
    loss.backward()
    assert z.grad.ravel().tolist() == [0, 0, 0.5, -0.5]
    assert z.grad.dtype == dtype
    z = np.random.default_rng(0).integers(-9, 9, (1, 4, 4, 3)).astype(dtype)
    target = np.random.default_rng(1).integers(0, 3, (1, 4, 4))
    raised = z + np.arange(16, dtype=dtype).reshape(1, 4, 4, 1)  # whole numbers: the same to the bit
    assert softmax_cross_entropy(Tensor(z), target).item() == softmax_cross_entropy(Tensor(raised), target).item()


def test_softmax_with_nothing_labelled():
    z = Tensor(np.ones((1, 2, 2, 3)), requires_grad=True)
    loss = softmax_cross_entropy(z, np.full((1, 2, 2), IGNORED))
    assert loss.item() == 0
    loss.backward()
    assert np.all(z.grad == 0)


def test_targets_of_softmax_must_fit():
    z = Tensor(np.zeros((2, 3, 3, 4)))
    with pytest.raises(ValueError, match=r"\(2, 3, 3, 4\) cannot be compared with classes of shape \(2, 3, 4\)"):
        softmax_cross_entropy(z, np.zeros((2, 3, 4), dtype=int))
    for strange in (4, 254, -1):
        with pytest.raises(ValueError, match="a pixel is of none of the 4 classes and not 255 either"):
            softmax_cross_entropy(z, np.full((2, 3, 3), strange))


def test_softmax_does_not_hide_nan():
    z = np.zeros((1, 2, 2, 3))
    z[0, 1, 1, 0] = np.nan
    assert np.isnan(softmax_cross_entropy(Tensor(z), np.zeros((1, 2, 2), dtype=int)).item())


def test_targets_may_be_tensors():
    """As somebody from PyTorch makes them; L = (3 - 1)^2 + (5 - 2)^2."""
    z = Tensor(np.array([3.0, 5.0]).reshape(1, 1, 2, 1), requires_grad=True)
    target, weight = Tensor(np.array([1.0, 2.0]).reshape(1, 1, 2, 1)), Tensor(np.ones((1, 1)))
    assert heatmap_mse(z, target, weight).item() == 13
    assert heatmap_cross_entropy(z, target, weight).item() == heatmap_cross_entropy(z, target.data, weight.data).item()
    with pytest.raises(TypeError, match="classes of pixels are whole numbers, got float64"):
        softmax_cross_entropy(z, np.zeros((1, 1, 2)))
