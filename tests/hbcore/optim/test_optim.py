"""Optimizers: two steps by hand, in plain Python numbers."""

import math

import numpy as np
import pytest

from hbcore import BatchNorm2d, kernels
from hbcore.nn.module import Parameter
from hbcore.optim.optimizers import OPTIMIZERS, SGD, Adam, ExponentialMovingAverage, Optimizer, RMSprop
from tests.strategies import REAL_TYPES

TOLERANCE = 1e-15  # a rounding or two of numbers of size 1
DECAY = [0.0, 0.1]
GRADIENTS = (0.5, -2.0)


def one(value=1.0, dtype=np.float64):
    return Parameter(np.array([value], dtype=dtype))


def run(optimizer, parameter):
    """Weights after one and after two steps."""
    weights = []
    for g in GRADIENTS:
        parameter.grad = np.array([g])
        optimizer.step()
        weights.append(parameter.data[0])
    return weights


def expected(rule, decay):
    """The same by a rule(t, g) -> step that keeps its own state."""
    w, weights = 1.0, []
    for t, g in enumerate(GRADIENTS, start=1):
        w -= rule(t, g + decay * w)
        weights.append(w)
    return weights


def close(a, b):
    return all(abs(x - y) <= TOLERANCE for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("decay", DECAY)
def test_sgd(decay):
    state = {"v": 0.0}

    def rule(t, g):
        state["v"] = 0.9 * state["v"] + g
        return 0.1 * state["v"]

    w = one()
    assert close(run(SGD({"w": w}, 0.1, weight_decay=decay), w), expected(rule, decay))


def test_sgd_in_numbers():
    w = one()
    # v = 0.5, w = 1 - 0.05 = 0.95;  v = 0.45 - 2 = -1.55, w = 0.95 + 0.155
    assert close(run(SGD({"w": w}, 0.1), w), [0.95, 1.105])
    w = one()
    # g = 0.5 + 0.1 = 0.6, w = 0.94;  g = -2 + 0.094 = -1.906, w = 0.94 + 0.1906 (no momentum)
    assert close(run(SGD({"w": w}, 0.1, weight_decay=0.1, momentum=0.0), w), [0.94, 1.1306])


@pytest.mark.parametrize("decay", DECAY)
def test_rmsprop(decay):
    state = {"v": 0.0}

    def rule(t, g):
        state["v"] = 0.9 * state["v"] + 0.1 * g * g
        return 0.01 * g / (math.sqrt(state["v"]) + 0.001)

    w = one()
    assert close(run(RMSprop({"w": w}, 0.01, weight_decay=decay, decay=0.9, eps=0.001), w), expected(rule, decay))


@pytest.mark.parametrize("decay", DECAY)
def test_adam(decay):
    state = {"m": 0.0, "v": 0.0}

    def rule(t, g):
        state["m"] = 0.9 * state["m"] + 0.1 * g
        state["v"] = 0.99 * state["v"] + 0.01 * g * g
        return 0.01 * (state["m"] / (1 - 0.9**t)) / (math.sqrt(state["v"] / (1 - 0.99**t)) + 0.001)

    w = one()
    adam = Adam({"w": w}, 0.01, weight_decay=decay, betas=(0.9, 0.99), eps=0.001)
    assert close(run(adam, w), expected(rule, decay))


def test_first_step_of_adam_has_the_length_of_the_learning_rate():
    for g in (1e-3, 1.0, -1e3):
        w = one()
        w.grad = np.array([g])
        Adam({"w": w}, 0.01, eps=0.0).step()
        assert abs(abs(w.data[0] - 1) - 0.01) < TOLERANCE


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_state(name):
    """Named arrays in the precision of the weights; a copy of them continues to the same bytes."""

    def fresh():
        w = one(dtype=np.float32)
        return w, OPTIMIZERS[name]({"w": w}, 0.1, weight_decay=0.01)

    w, optimizer = fresh()
    twin_w, twin = fresh()
    for step in range(6):
        w.grad = np.array([step - 2.5], dtype=np.float32)
        optimizer.step()
        if step == 2:
            twin_w.data[...] = w.data
            twin.steps = optimizer.steps
            for key, array in optimizer.state.items():
                twin.state[key][...] = array
        elif step > 2:
            twin_w.grad = w.grad
            twin.step()
    assert w.data.tobytes() == twin_w.data.tobytes()
    assert w.data.dtype == np.float32
    assert all(array.dtype == np.float32 and key.endswith(".w") for key, array in optimizer.state.items())
    assert optimizer.steps == 6


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_weights_change_in_place_and_gradients_not_at_all(name):
    w = one()
    array, g = w.data, np.array([0.5])
    w.grad = g
    OPTIMIZERS[name]({"w": w}, 0.1, weight_decay=0.1).step()
    assert w.data is array
    assert array[0] != 1
    assert g.tolist() == [0.5]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_without_a_gradient_nothing_happens(name):
    w = one()
    OPTIMIZERS[name]({"w": w}, 0.1, weight_decay=0.1).step()
    assert w.data.tolist() == [1]


def test_gradient_norm_and_clipping():
    a, b, c = one(), Parameter(np.zeros((1, 2))), one()
    a.grad, b.grad = np.array([2.0]), np.array([[3.0, 6.0]])
    handed_out = a.grad
    optimizer = SGD({"a": a, "b": b, "c": c}, 0.1)
    assert optimizer.gradient_norm() == 7
    optimizer.clip_gradients(7.0, 7.0)
    assert a.grad.tolist() == [2]
    optimizer.clip_gradients(7.0, 3.5)
    assert a.grad.tolist() == [1]
    assert b.grad.tolist() == [[1.5, 3]]
    assert c.grad is None
    assert handed_out.tolist() == [2], "the array may belong to another leaf too"
    for bad in (np.nan, np.inf):
        a.grad = np.array([bad])
        assert not math.isfinite(optimizer.gradient_norm())


def test_base_class_has_no_rule():
    w = one()
    w.grad = np.ones(1)
    with pytest.raises(NotImplementedError):
        Optimizer({"w": w}, 0.1).step()


def test_moving_average():
    """Weights and running statistics; the decay of step t is (1 + t) / (10 + t) while that is smaller."""
    module = BatchNorm2d(1).astype(np.float64)
    average = ExponentialMovingAverage(module, decay=0.25)
    assert average.state["gamma"].tolist() == [1]
    module.gamma.data[...] = 3
    module.running_mean[...] = 1
    average.update(module)  # keep = min(0.25, 2/11) = 2/11
    assert abs(average.state["gamma"][0] - (1 * 2 / 11 + 3 * 9 / 11)) < TOLERANCE
    assert abs(average.state["running_mean"][0] - 9 / 11) < TOLERANCE
    before = average.state["gamma"][0]
    average.update(module)  # keep = min(0.25, 3/12) = 0.25
    assert abs(average.state["gamma"][0] - (before * 0.25 + 3 * 0.75)) < TOLERANCE
    average.update(module)
    assert average.steps == 3
    assert module.gamma.data.tolist() == [3]
    assert set(average.state) == set(module.state_dict())


def test_moving_average_is_a_copy():
    module = BatchNorm2d(2)
    average = ExponentialMovingAverage(module, decay=0.5)
    module.gamma.data += 1
    assert average.state["gamma"].tolist() == [1, 1]


@pytest.mark.parametrize("dtype", REAL_TYPES)
def test_adam_in_one_pass_is_adam_in_many_to_the_bit(dtype, monkeypatch):
    results = []
    for compiled in (True, False):
        if not compiled:
            monkeypatch.setattr(kernels, "backend", kernels.Reference())
        rng = np.random.default_rng(0)
        w, mean, square = rng.standard_normal((3, 5, 7, 11)).astype(dtype)
        square = np.abs(square)
        for step in range(1, 4):
            g = rng.standard_normal(w.shape).astype(dtype)
            kernels.backend.adam(w, g, mean, square, (0.9, 0.999), 0.01 / step, 1 - 0.999**step, 1e-8)
        results.append((w.tobytes(), mean.tobytes(), square.tobytes()))
    assert results[0] == results[1]
