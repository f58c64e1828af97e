"""The graph and the walk back through it: every Function once, no recursion, no cycles, nothing changed in place."""

import gc
import sys
import weakref

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hbcore import Tensor, concatenate, no_grad
from hbcore.autograd.function import Function, grad_enabled, unbroadcast
from hbcore.autograd.ops import Add, Multiply, Rectifier
from hbcore.autograd.tensor import apply, join
from hbcore.nn.module import Module, Parameter
from hbcore.optim.optimizers import SGD


def leaf(*values):
    return Tensor(np.array(values, dtype=np.float64), requires_grad=True)


@pytest.fixture
def visits(monkeypatch):
    """Counts the calls of backward, by class name."""
    counted = {}
    for cls in (Add, Multiply, Rectifier):

        def backward(self, g, original=cls.backward):
            counted[type(self).__name__] = counted.get(type(self).__name__, 0) + 1
            return original(self, g)

        monkeypatch.setattr(cls, "backward", backward)
    return counted


@pytest.fixture
def no_collector():
    """Without the cyclic garbage collector only reference counts free memory."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


# ----------------------------------------------------------------------------------------------------- walking


def test_diamond(visits):
    """y = a a + a with a = 2 x: dy/dx = (2 a + 1) 2 = 8 x + 2."""
    x = leaf(1, -3)
    a = x * 2.0
    (a * a + a).backward(np.ones(2))
    assert x.grad.tolist() == [10, -22]
    assert visits == {"Add": 1, "Multiply": 2}


def test_one_leaf_as_both_operands():
    x = leaf(3)
    (x + x).backward()
    assert x.grad.tolist() == [2]
    x.grad = None
    (x * x).backward()
    assert x.grad.tolist() == [6]


def test_ladder_of_residual_joins(visits):
    """64 times x = relu(x) + x: there are 2^64 paths, and each Function is visited once all the same."""
    x = y = leaf(1)
    for _ in range(64):
        y = y.relu() + y
    y.backward()
    assert x.grad.tolist() == [2.0**64]
    assert visits == {"Add": 64, "Rectifier": 64}


def test_children_come_before_parents_over_paths_of_different_length():
    x = leaf(2)
    short = x * 3.0
    long = ((short * 1.0) * 1.0) * 5.0
    (short + long + x).backward()
    assert x.grad.tolist() == [3 + 15 + 1]


def stack_depth():
    depth, frame = 0, sys._getframe()
    while frame is not None:
        depth, frame = depth + 1, frame.f_back
    return depth


def test_chain_of_5000_without_recursion():
    limit = sys.getrecursionlimit()
    x = y = leaf(1)
    for _ in range(5000):
        y = y + 1.0
    unused = y + 1.0  # a second graph end, freed without a walk
    sys.setrecursionlimit(stack_depth() + 40)
    try:
        y.backward()
        del unused, y
    finally:
        sys.setrecursionlimit(limit)
    assert x.grad.tolist() == [1]


def test_long_graph_dies_without_a_walk():
    y = leaf(1)
    for _ in range(50_000):
        y = y + 1.0
    reference = weakref.ref(y.function)
    del y
    assert reference() is None


# ------------------------------------------------------------------------------------------------------ memory


@pytest.mark.usefixtures("no_collector")
def test_intermediates_die_with_their_last_user():
    x = leaf(1, 2)
    middle = x * 2.0
    result = middle + 1.0
    tensor, array, function = weakref.ref(middle), weakref.ref(middle.data), weakref.ref(middle.function)
    del middle
    assert tensor() is None, "nothing but its users' Functions may hold an intermediate's graph"
    assert array() is None, "Add needs no operand for its backward pass and must not keep one"
    assert function() is not None
    del result
    assert function() is None


@pytest.mark.usefixtures("no_collector")
def test_backward_frees_what_forward_kept():
    x = leaf(1, 2)
    middle = x * 2.0
    result = (middle * middle).sum()
    array, function = weakref.ref(middle.data), weakref.ref(middle.function)
    del middle
    assert array() is not None, "Multiply needs its operands"
    result.backward()
    assert array() is None
    assert function() is None
    assert x.grad.tolist() == [8, 16]


@pytest.mark.usefixtures("no_collector")
def test_gradients_of_intermediates_die_during_the_walk():
    alive = []

    class Watch(Function):
        def forward(self, x):
            return x + 0

        def backward(self, g):
            g = g + 0
            alive.append(sum(reference() is not None for reference in references))
            references.append(weakref.ref(g))
            return (g,)

    references = []
    y = leaf(1)
    for _ in range(10):
        y = apply(Watch(), y)
    y.backward()
    assert max(alive) <= 2  # the gradient that came in, and at most one more


@pytest.mark.usefixtures("no_collector")
def test_a_failing_backward_leaves_no_cycles():
    class Broken(Function):
        def forward(self, x):
            return x + 0

        def backward(self, g):
            raise ArithmeticError("broken")

    x = leaf(1)
    y = apply(Broken(), x * 2.0)
    reference = weakref.ref(y.data)
    with pytest.raises(ArithmeticError):
        y.backward()
    del y
    assert reference() is None


def test_backward_twice():
    x = leaf(1)
    y = x * 2.0 + 1.0
    y.backward()
    with pytest.raises(RuntimeError, match=r"Add.*before.*forward pass again"):
        y.backward()
    assert x.grad.tolist() == [2]


def test_backward_into_a_graph_that_is_used_up():
    x = leaf(3)
    shared = x * x
    (shared + 1.0).backward()
    with pytest.raises(RuntimeError, match=r"Multiply.*before"):
        (shared * 2.0).backward()
    assert x.grad.tolist() == [6], "a walk that cannot finish must not begin"


# --------------------------------------------------------------------------------------------------- gradients


def test_leaves_accumulate():
    x = leaf(1, 2)
    (x * 3.0).sum().backward()
    first = x.grad
    (x * 4.0).sum().backward()
    assert x.grad.tolist() == [7, 7]
    assert first.tolist() == [3, 3], "an array handed out before must not change"


def test_leaf_is_its_own_graph():
    x = leaf(1, 2)
    x.backward([5, 6])
    assert x.grad.tolist() == [5, 6]


class Probe(Function):
    """y = x; remembers the gradient array that it received and what was in it."""

    def __init__(self, received):
        self.received = received

    def forward(self, x):
        return x + 0

    def backward(self, g):
        self.received.append((g, g.copy()))
        return (g,)


@pytest.mark.parametrize("order", [0, 1, 2])
def test_a_shared_gradient_is_never_changed_in_place(order):
    """Add hands one array to both operands. p gets two more contributions; q must not see them."""
    received = []
    x, z = leaf(1, 2), leaf(3, 4)
    p, q = apply(Probe(received), x), apply(Probe(received), z)
    terms = [p + q, p * 2.0, p * 4.0]
    first, second, third = terms[order:] + terms[:order]
    root_gradient = np.ones(2)
    (first + second + third).backward(root_gradient)
    assert x.grad.tolist() == [7, 7]
    assert z.grad.tolist() == [1, 1]
    assert root_gradient.tolist() == [1, 1]
    for array, copy in received:
        assert np.array_equal(array, copy)


def test_contributions_add_up_in_place_only_in_arrays_of_the_walk():
    """Five users of one node: the sum is right, and no user's own gradient was the array it was collected in."""
    received = []
    x = leaf(1.5)
    node = x * 1.0
    total = apply(Probe(received), node)
    for _ in range(4):
        total = total + apply(Probe(received), node)
    total.backward()
    assert x.grad.tolist() == [5]
    assert [copy.tolist() for _, copy in received] == [[1]] * 5
    assert [array.tolist() for array, _ in received] == [[1]] * 5


def test_only_what_needs_a_gradient_gets_one():
    x, constant = leaf(2), Tensor(np.array([5.0]))
    y = x * constant
    assert y.function.needs_grad == (True, False)
    y.backward()
    assert x.grad.tolist() == [5]
    assert constant.grad is None


def test_none_for_a_needed_gradient():
    class Forgetful(Function):
        def forward(self, x):
            return x + 0

        def backward(self, g):
            return (None,)

    with pytest.raises(TypeError, match=r"Forgetful\.backward returned None"):
        apply(Forgetful(), leaf(1)).backward()


def test_wrong_number_of_gradients():
    class Generous(Function):
        def forward(self, x):
            return x + 0

        def backward(self, g):
            return g, g

    with pytest.raises(ValueError, match="zip"):
        apply(Generous(), leaf(1)).backward()


def test_base_function_computes_nothing():
    with pytest.raises(NotImplementedError):
        apply(Function(), leaf(1))
    with pytest.raises(NotImplementedError):
        Function().backward(np.ones(1))


# -------------------------------------------------------------------------------------------------- recording


def test_no_grad_leaves_no_graph():
    x = leaf(1)
    with no_grad():
        assert not grad_enabled()
        y = x * 2.0
        assert y.function is None
        with pytest.raises(RuntimeError, match="nothing to differentiate"):
            y.backward()
        with no_grad():
            pass
        assert not grad_enabled(), "leaving an inner context must not end the outer one"
    assert grad_enabled()
    (x * 2.0).backward()
    assert x.grad.tolist() == [2]


def test_no_grad_ends_with_an_exception():
    with pytest.raises(KeyError), no_grad():
        raise KeyError
    assert grad_enabled()


def test_constants_leave_no_graph():
    y = Tensor([1.0]) + Tensor([2.0])
    assert y.function is None
    with pytest.raises(RuntimeError, match="requires_grad"):
        y.backward()


# ------------------------------------------------------------------------------------------------- unbroadcast


@st.composite
def broadcast_pairs(draw):
    full = draw(st.lists(st.integers(1, 3), max_size=4))
    kept = full[draw(st.integers(0, len(full))) :]
    return tuple(full), tuple(1 if draw(st.booleans()) else size for size in kept)


@given(broadcast_pairs())
def test_unbroadcast_is_the_transpose_of_broadcasting(shapes):
    full, shape = shapes
    g = np.random.default_rng(0).standard_normal(full)
    result = unbroadcast(g, shape)
    assert result.shape == shape
    for index in np.ndindex(shape):
        basis = np.zeros(shape)
        basis[index] = 1
        assert abs(result[index] - (g * np.broadcast_to(basis, full)).sum()) < 1e-12  # sums of at most 81 numbers


# ------------------------------------------------------------------------------------------------------ Tensor


def test_precision():
    assert Tensor(np.zeros(2, dtype=np.float64)).data.dtype == np.float64
    for dtype in (np.float32, np.float16, np.int64, np.uint8, np.bool_):
        assert Tensor(np.zeros(2, dtype=dtype)).data.dtype == np.float32
    x = Tensor(np.ones(2, dtype=np.float32), requires_grad=True)
    y = ((1.0 - x) * 3 + 2 - x).mean()
    y.backward()
    assert y.data.dtype == x.grad.dtype == np.float32


def test_arithmetic_by_hand():
    x = leaf(1, 2)
    y = 10.0 - (2.0 * x - 1.0) + (-x)
    assert y.data.tolist() == [8, 5]
    y.backward(np.ones(2))
    assert x.grad.tolist() == [-3, -3]
    assert leaf(1, 2, 3, 4).mean().item() == 2.5
    assert (leaf(1, 2) - leaf(3, 5)).data.tolist() == [-2, -3]


def test_arrays_on_either_side():
    x = leaf(1, 2)
    array = np.array([3.0, 4])
    for y in (x * array, array * x, x + array, array + x):
        assert isinstance(y, Tensor), "NumPy must not make an array of tensors"
    (array * x).backward(np.ones(2))
    assert x.grad.tolist() == [3, 4]


def test_backward_needs_a_fitting_gradient():
    y = leaf(1, 2) * 1.0
    with pytest.raises(ValueError, match=r"shape \(2,\) needs the gradient"):
        y.backward()
    with pytest.raises(ValueError, match=r"gradient of shape \(3,\) does not fit a tensor of shape \(2,\)"):
        y.backward(np.ones(3))


def test_repr_names_the_operation():
    assert repr(leaf(1)) == "Tensor([1.])"
    assert "made by Multiply" in repr(leaf(1) * 2.0)


def test_joining():
    x, y = leaf(1, 2), leaf(3)
    joined = concatenate([x, y, x])
    assert joined.data.tolist() == [1, 2, 3, 1, 2]
    joined.backward([1, 2, 3, 4, 5])
    assert x.grad.tolist() == [5, 7]
    assert y.grad.tolist() == [3]


def test_lists_and_numbers_are_float32():
    """Only who hands in float64 gets float64: weights are float32."""
    for data in ([1.0, 2.0], 1.5, (1, 2)):
        assert Tensor(data).data.dtype == np.float32
    assert Tensor(np.float64(1.5)).data.dtype == np.float64


def test_reshape_takes_numbers_or_a_tuple():
    x = leaf(*range(6))
    for y in (x.reshape(2, 3), x.reshape((2, 3)), x.reshape([2, -1])):
        assert y.data.tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda x: Tensor(x), TypeError, r"Tensor of a Tensor: take its numbers, Tensor\(tensor.data\)"),
        (lambda x: Tensor([1j]), TypeError, "holds real numbers, got complex128"),
        (lambda x: Tensor([x, x]), TypeError, "holds real numbers, got object"),
        (lambda x: x + Tensor([1.0]), TypeError, "Add takes numbers of one type, got float64 and float32.*astype"),
        (lambda x: x * Tensor([1.0]), TypeError, "Multiply takes numbers of one type"),
        (lambda x: concatenate([x, Tensor([1.0])]), TypeError, "Concatenate takes numbers of one type"),
        (
            lambda x: concatenate([x, np.ones(1)]),
            TypeError,
            r"Concatenate takes tensors, got ndarray.*Tensor\(\.\.\.\)",
        ),
        (lambda x: x @ np.ones((1, 1)), TypeError, "MatMul takes tensors, got ndarray"),
    ],
)
def test_what_no_operation_takes(make, error, message):
    with pytest.raises(error, match=message):
        make(leaf(1))


def test_backward_under_no_grad_says_so():
    x = leaf(1)
    with no_grad():
        y = x * 2.0
    with pytest.raises(RuntimeError, match="computed under no_grad, or from none that has requires_grad"):
        y.backward()


# ------------------------------------------------------------------------------------------ what leaves are given


def add(a, b):
    return a + b


def side_by_side(a, b):
    return concatenate([a, b])


@pytest.mark.parametrize("operation", [add, side_by_side, lambda a, b: join([a, b], concatenate([b, a]))])
def test_every_leaf_has_a_gradient_of_its_own(operation):
    """What its owner does to it in place must reach neither another leaf nor the caller's array."""
    a, b = leaf(1, 2), leaf(3, 4)
    y = operation(a, b)
    g = np.ones(y.shape)
    y.backward(g)
    before = b.grad.copy()
    a.grad += 100
    assert np.array_equal(b.grad, before)
    assert np.array_equal(g, np.ones(y.shape))
    assert a.grad.base is None, "a view would keep all of the larger array alive"


def test_the_gradient_of_a_leaf_itself_is_a_copy():
    x, g = leaf(1, 2), np.ones(2)
    x.backward(g)
    x.reshape(2, 1).backward(g.reshape(2, 1))
    x.grad += 1
    assert g.tolist() == [1, 1]
    x.grad = None
    x.reshape(2, 1).backward(g.reshape(2, 1))
    assert not np.shares_memory(x.grad, g)


def test_a_gradient_of_another_shape_is_refused():
    class Wide(Function):
        def forward(self, x):
            return x + np.zeros(3)

        def backward(self, g):
            return (g,)

    x = leaf(1)
    with pytest.raises(ValueError, match=r"gradient of shape \(3,\) came back to a tensor of shape \(1,\)"):
        apply(Wide(), x).sum().backward()
    assert x.grad is None


# ------------------------------------------------------------------------------------------ changes before backward


def by_hand(w):
    w.data *= 2


def anew(w):
    w.data = np.zeros(2)


def by_a_step(w):
    parameter = w
    parameter.grad = np.ones(2)
    SGD({"w": parameter}, 0.1).step()
    parameter.grad = None


def by_loading(w):
    module = Module()
    module.w = w
    module.load_state_dict({"w": np.zeros(2)})


@pytest.mark.parametrize("change", [by_hand, anew, by_a_step, by_loading])
def test_data_that_changed_since_the_forward_pass_is_refused(change):
    w, x = Parameter(np.array([1.0, 2.0])), leaf(3, 4)
    y = (x * w).sum()
    change(w)
    with pytest.raises(RuntimeError, match="Multiply took or made was changed since the forward pass"):
        y.backward()
    assert x.grad is None
    assert w.grad is None
    (x * w).sum().backward()
    assert x.grad.tolist() == w.data.tolist(), "the next forward pass sees the new numbers"


@pytest.mark.parametrize("changed", ["constant", "middle", "result"])
def test_changes_of_what_is_no_leaf_are_refused(changed):
    x, constant = leaf(1, 2), Tensor(np.array([3.0, 4.0]))
    middle = x * constant
    result = middle.relu()
    tensor = {"constant": constant, "middle": middle, "result": result}[changed]
    tensor.data -= 10
    with pytest.raises(RuntimeError, match="changed since the forward pass"):
        result.backward(np.ones(2))


def test_changes_after_backward_are_welcome():
    w = leaf(1, 2)
    for _ in range(2):
        (w * w).sum().backward()
        w.data -= 0.25 * w.grad
        w.grad = None
    assert w.data.tolist() == [0.25, 0.5]
