"""Optimizers: two steps by hand, in plain Python numbers."""

import math

import numpy as np
import pytest

from hbcore import BatchNorm2d, kernels
from hbcore.nn.module import Parameter, Sequential
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


def expected(rule, decay, lr=0.0):
    """The same by a rule(t, g) -> step that keeps its own state. Decay goes into g, or with lr apart from it."""
    w, weights = 1.0, []
    for t, g in enumerate(GRADIENTS, start=1):
        w -= lr * decay * w + rule(t, g if lr else g + decay * w)
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
    rmsprop = RMSprop({"w": w}, 0.01, weight_decay=decay, decay=0.9, eps=0.001)
    assert close(run(rmsprop, w), expected(rule, decay, lr=0.01))


@pytest.mark.parametrize("decay", DECAY)
def test_adam(decay):
    state = {"m": 0.0, "v": 0.0}

    def rule(t, g):
        state["m"] = 0.9 * state["m"] + 0.1 * g
        state["v"] = 0.99 * state["v"] + 0.01 * g * g
        return 0.01 * (state["m"] / (1 - 0.9**t)) / (math.sqrt(state["v"] / (1 - 0.99**t)) + 0.001)

    w = one()
    adam = Adam({"w": w}, 0.01, weight_decay=decay, betas=(0.9, 0.99), eps=0.001)
    assert close(run(adam, w), expected(rule, decay, lr=0.01))


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


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_together_is_one_by_one_to_the_bit(name):
    """Of small and large parameters of both types, one without a gradient at the third step, gone on with elsewhere."""
    shapes = {"a": (3,), "b": (2, 3, 5), "c": (1,), "large": (90, 91), "d": (64,), "e": (7, 9)}
    types = {"d": np.float64, "e": np.float64}
    joined, alone = ({k: Parameter(np.ones(s, types.get(k, np.float32))) for k, s in shapes.items()} for _ in range(2))

    def make():
        return OPTIMIZERS[name](joined, 0.01, 0.1)

    optimizer, single = make(), {key: OPTIMIZERS[name]({key: alone[key]}, 0.01, 0.1) for key in shapes}
    rng = np.random.default_rng(0)
    for step in range(6):
        for key, shape in shapes.items():
            g = rng.standard_normal(shape).astype(types.get(key, np.float32))
            for parameters in (joined, alone):
                parameters[key].grad = None if (step, key) == (2, "b") else g.copy()
        counts = {key: parameter.changes.count for key, parameter in joined.items()}
        optimizer.step()
        for each in single.values():
            each.step()
        for key in shapes:
            assert joined[key].data.tobytes() == alone[key].data.tobytes(), (step, key)
            assert joined[key].changes.count > counts[key] or (step, key) == (2, "b")
            for slot in optimizer.slots:
                place = f"{slot}.{key}"
                assert optimizer.state[place].tobytes() == single[key].state[place].tobytes(), (step, place)
        if step == 3:
            state, optimizer = {key: array.copy() for key, array in optimizer.state.items()}, make()
            optimizer.load_state(state, 4)


# ----------------------------------------------------------------------------------------- what went wrong in silence


def test_what_is_used_twice_is_stepped_once():
    """w - 0.1 * 1, whatever the number of names."""
    w = one()
    w.grad = np.ones(1)
    optimizer = SGD({"a": w, "b": w}, 0.1)
    assert list(optimizer.parameters) == ["a"]
    assert optimizer.gradient_norm() == 1
    optimizer.step()
    assert w.data.tolist() == [0.9]
    layer = BatchNorm2d(1)
    module = Sequential(layer, layer)
    layer.gamma.grad = np.ones(1, np.float32)
    SGD(dict(module.named_parameters()), 0.5).step()
    assert layer.gamma.data.tolist() == [0.5]
    average = ExponentialMovingAverage(module, decay=0.0)
    layer.gamma.data += 1
    average.update(module)
    assert average.state["modules.0.gamma"].tolist() == [1.5]


def test_adam_counts_the_gradients_of_each_parameter():
    """The first step of Adam is lr long, also of a parameter that was out of use for nine steps before; so goes the
    state on in another optimizer."""
    early, late = one(), one()
    adam = Adam({"early": early, "late": late}, 0.01, eps=0.0)
    for _ in range(9):
        early.grad = np.ones(1)
        adam.step()
    twin = Adam({"early": early, "late": late}, 0.01, eps=0.0)
    twin.load_state({name: array.copy() for name, array in adam.state.items()}, adam.steps)
    for optimizer in (adam, twin):
        late.data[...] = 1
        late.grad = np.ones(1)
        optimizer.step()
        assert abs(late.data[0] - 0.99) < TOLERANCE


@pytest.mark.parametrize("name", ["rmsprop", "adam"])
def test_decoupled_decay_does_not_depend_on_the_gradient(name):
    """The same share of the weight, and a step that does not know of it."""
    steps = []
    for decay in (0.0, 0.5):
        w = one(4.0)
        w.grad = np.array([100.0])
        OPTIMIZERS[name]({"w": w}, 0.1, weight_decay=decay).step()
        steps.append(w.data[0])
    assert abs(steps[0] - steps[1] - 0.1 * 0.5 * 4) < 1e-14


@pytest.mark.parametrize("size", [1e20, 1e-30, 3e38])
def test_squares_beyond_float32_leave_the_norm_and_clipping_alone(size):
    w = Parameter(np.zeros(2, np.float32))
    w.grad = np.array([3, 4], np.float32) * np.float32(size / 4)
    optimizer = SGD({"w": w}, 0.1)
    norm = optimizer.gradient_norm()
    assert abs(norm / (1.25 * float(np.float32(size))) - 1) < 1e-6
    optimizer.clip_gradients(norm, norm / 100)
    assert np.abs(w.grad / (norm / 100) - [0.6, 0.8]).max() < 1e-6


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_cannot_be_clipped(bad):
    w = one()
    w.grad = np.array([bad])
    optimizer = SGD({"w": w}, 0.1)
    with pytest.raises(FloatingPointError, match="norm is"):
        optimizer.clip_gradients(optimizer.gradient_norm(), 1.0)


@pytest.mark.parametrize("name", ["rmsprop", "adam"])
@pytest.mark.parametrize("bad", [1e20, np.inf, np.nan])
@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning")
def test_a_gradient_whose_square_is_not_finite_changes_nothing(name, bad):
    """It would leave an infinite mean of squares, and the weight where it is for good."""
    good, w = (Parameter(np.ones(2, np.float32)) for _ in range(2))
    good.grad, w.grad = np.ones(2, np.float32), np.array([1, bad], np.float32)
    optimizer = OPTIMIZERS[name]({"good": good, "w": w}, 0.1)
    with pytest.raises(FloatingPointError, match="square of the gradient of w is not finite"):
        optimizer.step()
    assert good.data.tolist() == w.data.tolist() == [1, 1]
    assert optimizer.steps == 0
    assert all((array == 0).all() for array in optimizer.state.values())
    w.grad = np.full(2, 1.3e19, np.float32)  # the squares together leave float32, each by itself does not
    optimizer.step()
    assert np.isfinite(w.data).all()


@pytest.mark.parametrize("parameters", [[one()], {"w": np.ones(1)}, 3])
def test_parameters_go_by_name(parameters):
    with pytest.raises(TypeError, match=r"by name: dict\(model\.named_parameters\(\)\)"):
        SGD(parameters, 0.1)


@pytest.mark.parametrize("bad", [-0.1, math.nan, math.inf])
def test_rates_are_numbers_from_zero_on(bad):
    with pytest.raises(ValueError, match="lr must be a number of at least 0"):
        SGD({"w": one()}, bad)
    with pytest.raises(ValueError, match="weight_decay must be a number of at least 0"):
        SGD({"w": one()}, 0.1, weight_decay=bad)


@pytest.mark.parametrize("changes", [{"x": np.zeros(1)}, {"mean.w": np.zeros(2)}, {"missed.x": np.zeros(())}])
def test_state_of_another_optimizer_is_refused(changes):
    adam = Adam({"w": one()}, 0.1)
    with pytest.raises(ValueError, match="that of another network or optimizer"):
        adam.load_state({name: array + 1 for name, array in adam.state.items()} | changes, 7)
    assert adam.steps == 0
    assert all((array == 0).all() for array in adam.state.values())
