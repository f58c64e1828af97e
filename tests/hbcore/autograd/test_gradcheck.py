"""The checker itself: it must pass what is right and, above all, fail what is wrong."""

import numpy as np
import pytest

from hbcore import Tensor
from hbcore.autograd.function import Function
from hbcore.autograd.gradcheck import gradcheck
from hbcore.autograd.tensor import apply

X = np.random.default_rng(0).standard_normal((3, 4))


class Cube(Function):
    """y = x^3, with a derivative that may be spoilt."""

    def __init__(self, spoil=lambda gradient: gradient):
        self.spoil = spoil

    def forward(self, x):
        self.x = x
        return x**3

    def backward(self, g):
        return (self.spoil(3 * self.x**2 * g),)


def one_element_wrong(gradient):
    gradient = gradient.copy()
    gradient[1, 2] += 1e-3
    return gradient


def test_passes_the_right_derivative():
    assert 0 <= gradcheck(lambda x: apply(Cube(), x), X) < 1e-7
    assert gradcheck(lambda x, y: x * y, X, X + 1) < 1e-7


@pytest.mark.parametrize(
    "spoil",
    [
        lambda g: g * 1.001,
        lambda g: -g,
        lambda g: g * 0,
        lambda g: g[::-1],
        one_element_wrong,
        lambda g: g * np.nan,
        lambda g: g * np.inf,
    ],
    ids=["factor", "sign", "zero", "order", "one element", "nan", "inf"],
)
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")  # 0 * inf
def test_fails_a_wrong_derivative(spoil, seed):
    with pytest.raises(AssertionError, match=r"backward claims .* finite differences measure"):
        gradcheck(lambda x: apply(Cube(spoil), x), X, seed=seed)


def test_fails_a_wrong_derivative_of_one_input_among_several():
    with pytest.raises(AssertionError):
        gradcheck(lambda x, y: apply(Cube(one_element_wrong), x) + y, X, X)
    with pytest.raises(AssertionError):
        gradcheck(lambda x, y: apply(Cube(one_element_wrong), y) + x, X, X)


def test_fails_an_input_that_the_graph_forgot():
    with pytest.raises(AssertionError):
        gradcheck(lambda x, y: x + Tensor(2 * y.data), X, X)


def test_fails_nan_in_the_function():
    class Nan(Cube):
        def forward(self, x):
            return super().forward(x) * np.nan

    with pytest.raises(AssertionError, match="nan"):
        gradcheck(lambda x: apply(Nan(), x), X)


def test_tolerance_is_used():
    def almost(x):
        return apply(Cube(lambda g: g * (1 + 1e-4)), x)

    gradcheck(almost, X, tolerance=1e-2)
    with pytest.raises(AssertionError):
        gradcheck(almost, X, tolerance=1e-5)


@pytest.mark.parametrize("size", [1e-7, 1e-12, 1e-100])
def test_fails_a_wrong_derivative_however_small_it_is(size):
    """A wrong derivative is wrong in any unit; a right one is right."""
    assert gradcheck(lambda x: apply(Cube(), x) * size, X) < 1e-7
    for spoil in (lambda g: g * 1.001, lambda g: g * 0):
        with pytest.raises(AssertionError):
            gradcheck(lambda x, spoil=spoil: apply(Cube(spoil), x) * size, X)


def test_passes_a_constant():
    assert gradcheck(lambda x: x * 0.0, X) == 0
    assert gradcheck(lambda x: x * 0.0 + 1e3, X) == 0


def test_takes_float64_only():
    with pytest.raises(TypeError, match="float64, got float32"):
        gradcheck(lambda x: x * 2.0, X.astype(np.float32))


def test_leaves_its_inputs_alone():
    x = X.copy()
    x.setflags(write=False)
    gradcheck(lambda x: x * x, x)
    assert np.array_equal(x, X)
