"""Batch normalisation: statistics and values by hand, derivatives by differences."""

import numpy as np
import pytest

from hbcore import BatchNorm2d, Tensor, set_threads
from hbcore.autograd.norm import batch_norm, fixed_norm
from hbcore.binary.unit import binary_unit
from tests.strategies import REAL_TYPES, check_derivatives

TOLERANCE = 1e-12  # float64, a dozen operations


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def test_by_hand(backend):
    """Pixels 1, 3, 1, 3: mean 2, variance 1, unbiased 4/3."""
    x = np.array([1.0, 3, 1, 3]).reshape(1, 2, 2, 1)
    gamma, beta = Tensor(np.array([10.0])), Tensor(np.array([5.0]))
    y, mean, variance = batch_norm(Tensor(x), gamma, beta, eps=0.0)
    assert y.data.ravel().tolist() == [-5, 15, -5, 15]
    assert mean.tolist() == [2]
    assert abs(variance[0] - 4 / 3) < TOLERANCE
    y, _, _ = batch_norm(Tensor(x), gamma, beta, eps=3.0)
    assert np.abs(y.data.ravel() - [0, 10, 0, 10]).max() < TOLERANCE
    fixed = fixed_norm(Tensor(x), gamma, beta, np.array([1.0]), np.array([4.0]), eps=0.0)
    assert fixed.data.ravel().tolist() == [5, 15, 5, 15]


def test_derivatives(backend):
    x, gamma, beta = 3 + normal(2, 3, 2, 4), normal(4, seed=1), normal(4, seed=2)
    check_derivatives(lambda x, gamma, beta: batch_norm(x, gamma, beta)[0], x, gamma, beta)
    check_derivatives(lambda x: batch_norm(x, Tensor(gamma), Tensor(beta), eps=0.5)[0], x)
    mean, variance = normal(4, seed=3), normal(4, seed=4) ** 2
    check_derivatives(lambda x, gamma, beta: fixed_norm(x, gamma, beta, mean, variance), x, gamma, beta)


@pytest.mark.parametrize("dtype", REAL_TYPES)
def test_precision_and_shape(dtype, backend):
    x, gamma, beta = (
        Tensor(a.astype(dtype), requires_grad=True) for a in (normal(2, 3, 2, 4), normal(4, seed=1), normal(4, seed=2))
    )
    y, mean, variance = batch_norm(x, gamma, beta)
    assert y.data.dtype == mean.dtype == variance.dtype == dtype
    y.backward(normal(*y.shape, seed=3))
    fixed = fixed_norm(x, gamma, beta, mean, variance)
    assert fixed.data.dtype == dtype
    fixed.backward(normal(*y.shape, seed=3))
    for leaf in (x, gamma, beta):
        assert leaf.grad.dtype == dtype
        assert leaf.grad.shape == leaf.shape


def test_result_is_normal(backend):
    x = Tensor(100 + 7 * normal(4, 8, 8, 3))
    y, _, _ = batch_norm(x, Tensor(np.ones(3)), Tensor(np.zeros(3)))
    assert np.abs(y.data.mean(axis=(0, 1, 2))).max() < TOLERANCE
    assert np.abs(y.data.var(axis=(0, 1, 2)) - 1).max() < 1e-5  # eps


def test_a_constant_channel(backend):
    """Variance 0: eps keeps the result finite, and it is beta."""
    x = Tensor(np.full((2, 3, 3, 2), 1e6, dtype=np.float32), requires_grad=True)
    y, _, variance = batch_norm(x, Tensor(np.ones(2, dtype=np.float32)), Tensor(np.zeros(2, dtype=np.float32)))
    assert variance.tolist() == [0, 0]
    # scale x + shift: two numbers of size 1e6 / sqrt(eps) = 3e8 cancel, each rounded to 24 bits.
    assert np.abs(y.data).max() <= 3.2e8 * 2**-23
    y.backward(np.ones(y.shape))
    assert np.isfinite(x.grad).all()


def test_one_pixel(backend):
    y, mean, variance = batch_norm(Tensor([[[[3.0]]]]), Tensor([2.0]), Tensor([1.0]))
    assert y.item() == 1
    assert mean.tolist() == [3]
    assert variance.tolist() == [0]


def test_running_statistics():
    """Training follows with the momentum, unbiased; evaluation uses them and leaves them alone."""
    layer = BatchNorm2d(1, eps=0.0, momentum=0.25).astype(np.float64)
    x = Tensor(np.array([1.0, 3, 1, 3]).reshape(1, 2, 2, 1))
    layer(x)
    assert layer.running_mean.tolist() == [0.5]  # 0 + 0.25 (2 - 0)
    assert abs(layer.running_variance[0] - (1 + 0.25 * (4 / 3 - 1))) < TOLERANCE
    layer(x)
    assert layer.running_mean.tolist() == [0.875]  # 0.5 + 0.25 (2 - 0.5)
    mean, variance = layer.running_mean.copy(), layer.running_variance.copy()
    layer.eval()
    y = layer(x).data.ravel()
    assert np.abs(y - (np.array([1, 3, 1, 3]) - mean) / np.sqrt(variance)).max() < TOLERANCE
    assert np.array_equal(layer.running_mean, mean)
    assert np.array_equal(layer.running_variance, variance)
    layer.train()(x)
    assert layer.running_mean[0] > mean[0]


def test_same_bytes_on_any_number_of_threads(backend, one_thread_after):
    results = []
    for threads in (1, 2, 3, 7):
        set_threads(threads)
        x = Tensor(normal(5, 32, 32, 64).astype(np.float32), requires_grad=True)
        gamma, beta = (Tensor(normal(64, seed=s).astype(np.float32), requires_grad=True) for s in (1, 2))
        y, mean, variance = batch_norm(x, gamma, beta)
        y.backward(normal(*y.shape, seed=3))
        results.append([a.tobytes() for a in (y.data, mean, variance, x.grad, gamma.grad, beta.grad)])
    assert all(result == results[0] for result in results)


ONES = np.ones(3)


@pytest.mark.parametrize("length", [1, 2])
@pytest.mark.parametrize("name", ["gamma", "beta", "mean", "variance"])
def test_numbers_are_one_per_channel(name, length):
    """One of length 1 would broadcast, and get a gradient of another shape."""
    numbers = dict.fromkeys(("gamma", "beta", "mean", "variance"), ONES) | {name: np.ones(length)}
    gamma, beta, mean, variance = numbers.values()
    x = Tensor(normal(2, 2, 2, 3))
    message = rf"{name} of shape \({length},\) does not fit 3 channels"
    with pytest.raises(ValueError, match=message):
        fixed_norm(x, Tensor(gamma), Tensor(beta), mean, variance)
    if name in ("gamma", "beta"):
        with pytest.raises(ValueError, match=message):
            batch_norm(x, Tensor(gamma), Tensor(beta))
        with pytest.raises(ValueError, match=message):
            binary_unit(x, Tensor(gamma), Tensor(beta), Tensor(normal(1, 1, 3, 2)), 1e-5, 0)


def test_sums_of_fixed_norm_are_exact():
    x = Tensor(np.full((1, 1024, 1024, 1), 1.0, np.float32))
    gamma, beta = (Tensor(np.ones(1, np.float32), requires_grad=True) for _ in range(2))
    mean, variance = np.zeros(1, np.float32), np.ones(1, np.float32)
    fixed_norm(x, gamma, beta, mean, variance, eps=0.0).backward(np.full(x.shape, 0.1, np.float32))
    exact = (1 << 20) * float(np.float32(0.1))
    assert [gamma.grad[0], beta.grad[0]] == [exact, exact]
