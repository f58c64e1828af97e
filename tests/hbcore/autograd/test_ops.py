"""Arithmetic and activations: values by hand, derivatives of every Function by differences."""

import math

import numpy as np
import pytest

from hbcore import Tensor, concatenate
from hbcore.autograd.ops import (
    Add,
    Concatenate,
    Join,
    MatMul,
    Multiply,
    ParametricRectifier,
    Rectifier,
    Reshape,
    Sigmoid,
    Sum,
    sigmoid,
)
from hbcore.autograd.tensor import apply, join
from tests.strategies import REAL_TYPES, check_derivatives


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def away_from_zero(*shape, seed=0):
    """Numbers that no small step carries over the kink of Rectifier."""
    x = normal(*shape, seed=seed)
    return x + np.copysign(0.1, x)


BROADCASTS = [
    ((3,), (3,)),
    ((2, 3), (3,)),
    ((3,), (2, 3)),
    ((2, 1, 4), (3, 1)),
    ((2, 3), ()),
    ((), ()),
    ((1, 1), (2, 3)),
    ((0, 3), (3,)),
]

# name: (function of tensors, float64 inputs)
CASES = {f"Add {a} {b}": (lambda x, y: apply(Add(), x, y), [normal(*a), normal(*b, seed=1)]) for a, b in BROADCASTS}
CASES |= {
    f"Multiply {a} {b}": (lambda x, y: apply(Multiply(), x, y), [normal(*a), normal(*b, seed=1)]) for a, b in BROADCASTS
}
CASES |= {
    "Multiply with itself": (lambda x: apply(Multiply(), x, x), [normal(2, 3)]),
    "MatMul": (lambda a, b: apply(MatMul(), a, b), [normal(3, 4), normal(4, 2, seed=1)]),
    "MatMul vectors": (lambda a, b: apply(MatMul(), a, b), [normal(1, 4), normal(4, 1, seed=1)]),
    "Sum": (lambda x: apply(Sum(), x), [normal(2, 3, 2)]),
    "Sum of a scalar": (lambda x: apply(Sum(), x), [normal()]),
    "Reshape": (lambda x: apply(Reshape((3, -1)), x), [normal(2, 3, 2)]),
    "Concatenate": (
        lambda *x: apply(Concatenate(), *x),
        [normal(2, 2, 3), normal(2, 2, 1, seed=1), normal(2, 2, 4, seed=2)],
    ),
    "Concatenate one": (lambda *x: apply(Concatenate(), *x), [normal(2, 3)]),
    "Join": (
        lambda *x: apply(Join(), *x),
        [normal(2, 2, 5), normal(2, 2, 3, seed=1), normal(2, 2, 2, seed=2)],
    ),
    "Rectifier": (lambda x: apply(Rectifier(), x), [away_from_zero(3, 4)]),
    "ParametricRectifier": (
        lambda x, a: apply(ParametricRectifier(), x, a),
        [away_from_zero(2, 3, 3, 4), normal(4, seed=1)],
    ),
    "Sigmoid": (lambda x: apply(Sigmoid(), x), [3 * normal(3, 4)]),
    "composition": (lambda x, w: ((x @ w).sigmoid() * 2.0 - 1.0).mean(), [normal(3, 4), normal(4, 2, seed=1)]),
}


@pytest.mark.parametrize("name", CASES)
def test_derivatives(name):
    f, inputs = CASES[name]
    check_derivatives(f, *inputs)


@pytest.mark.parametrize("dtype", REAL_TYPES)
@pytest.mark.parametrize("name", CASES)
def test_precision_and_shape(name, dtype):
    """Results and gradients have the precision of the inputs, gradients their shape, and inputs stay as they were."""
    f, inputs = CASES[name]
    leaves = [Tensor(x.astype(dtype), requires_grad=True) for x in inputs]
    before = [leaf.data.copy() for leaf in leaves]
    y = f(*leaves)
    assert y.data.dtype == dtype
    y.backward(np.ones(y.shape))
    for leaf, copy in zip(leaves, before, strict=True):
        assert leaf.grad.shape == leaf.shape
        assert leaf.grad.dtype == dtype
        assert np.array_equal(leaf.data, copy)


@pytest.mark.parametrize("name", [name for name, (_, inputs) in CASES.items() if len(inputs) > 1])
def test_each_input_alone(name):
    """With one leaf among constants its gradient is what it is with all of them."""
    f, inputs = CASES[name]
    leaves = [Tensor(x, requires_grad=True) for x in inputs]
    y = f(*leaves)
    y.backward(np.ones(y.shape))
    for position, leaf in enumerate(leaves):
        alone = [Tensor(x, requires_grad=i == position) for i, x in enumerate(inputs)]
        f(*alone).backward(np.ones(y.shape))
        assert np.array_equal(alone[position].grad, leaf.grad)
        assert all(tensor.grad is None for i, tensor in enumerate(alone) if i != position)


def test_values_by_hand():
    x, y = Tensor(np.array([[1.0, -2], [0, 4]])), Tensor(np.array([10.0, 100]))
    assert (x + y).data.tolist() == [[11, 98], [10, 104]]
    assert (x * y).data.tolist() == [[10, -200], [0, 400]]
    assert (x @ x).data.tolist() == [[1, -10], [0, 16]]
    assert x.sum().item() == 3
    assert x.mean().item() == 0.75
    assert x.relu().data.tolist() == [[1, 0], [0, 4]]
    assert x.reshape(4).data.tolist() == [1, -2, 0, 4]
    assert x.reshape(1, -1).shape == (1, 4)
    assert concatenate([x, x]).data.tolist() == [[1, -2, 1, -2], [0, 4, 0, 4]]
    assert apply(ParametricRectifier(), x, Tensor(np.array([0.5, 0.25]))).data.tolist() == [[1, -0.5], [0, 4]]


def test_join_adds_what_lies_side_by_side():
    left, right, skip = Tensor(np.array([[1.0], [2.0]])), Tensor(np.array([[3.0], [4.0]])), Tensor(10 * np.ones((2, 2)))
    assert join([left, right], skip).data.tolist() == [[11, 13], [12, 14]]
    with pytest.raises(ValueError, match="do not add up"):
        join([left], skip)


def test_gradient_of_a_sum_is_memory_of_its_own():
    """Not one number that stands for all: who clips or scales gradients in place must be able to."""
    x = Tensor(normal(2, 3), requires_grad=True)
    x.sum().backward()
    x.grad[0] *= 5
    assert x.grad.tolist() == [[5, 5, 5], [1, 1, 1]]


def test_kinks():
    """At exactly 0 Rectifier's derivative is 0 and ParametricRectifier's is its slope."""
    x = Tensor(np.array([[-1.0, 0, 2]]), requires_grad=True)
    x.relu().backward([[5, 5, 5]])
    assert x.grad.tolist() == [[0, 0, 5]]
    x = Tensor(np.array([[-3.0], [0], [2]]), requires_grad=True)
    slope = Tensor(np.array([0.5]), requires_grad=True)
    apply(ParametricRectifier(), x, slope).backward([[5], [6], [7]])
    assert x.grad.tolist() == [[2.5], [3], [7]]
    assert slope.grad.tolist() == [-15]


@pytest.mark.parametrize("dtype", REAL_TYPES)
def test_sigmoid_at_the_ends(dtype):
    x = np.array([-np.inf, -1e4, -30, -1, 0, 1, 30, 1e4, np.inf], dtype=dtype)
    y = sigmoid(x)  # an overflow would warn, and warnings are errors
    assert y.dtype == dtype
    expected = [0, 0, math.exp(-30) / (1 + math.exp(-30)), 1 / (1 + math.e), 0.5, math.e / (1 + math.e)]
    expected += [1 / (1 + math.exp(-30)), 1, 1]
    assert np.all(np.abs(y - expected) <= 4 * np.finfo(dtype).eps * np.array(expected))
    assert np.isnan(sigmoid(np.array([np.nan])))


def test_activations_pass_nan_on():
    x = Tensor(np.array([[np.nan]]))
    assert np.isnan(x.relu().data).all()
    assert np.isnan(apply(ParametricRectifier(), x, Tensor(np.array([0.5]))).data).all()


def test_matrix_product_takes_matrices():
    with pytest.raises(ValueError, match=r"two matrices, got shapes \(2, 3, 4\) and \(4,\)"):
        Tensor(normal(2, 3, 4)) @ Tensor(normal(4))


def test_slopes_of_prelu_are_one_per_channel_and_their_gradient_is_exact():
    x = Tensor(np.full((1, 1024, 1024, 2), -1.0, np.float32))
    with pytest.raises(ValueError, match=r"slope of shape \(1,\) does not fit 2 channels"):
        apply(ParametricRectifier(), x, Tensor([0.25]))
    slope = Tensor(np.full(2, 0.25, np.float32), requires_grad=True)
    apply(ParametricRectifier(), x, slope).backward(np.full(x.shape, 0.1, np.float32))
    assert slope.grad.tolist() == [-(1 << 20) * float(np.float32(0.1))] * 2


@pytest.mark.parametrize("shape", [(), (2,), (1, 1, 2)])
def test_the_gradient_of_what_was_broadcast_is_exact(shape):
    a, b = Tensor(np.zeros((1024, 1024, 2), np.float32)), Tensor(np.zeros(shape, np.float32), requires_grad=True)
    (a + b).backward(np.full(a.shape, 0.1, np.float32))
    exact = (1 << 20) * float(np.float32(0.1)) * (1 if shape else 2)
    assert b.grad.shape == shape
    assert (b.grad == exact).all()
