"""Reverse-mode differentiation: an operation, the graph that operations form, and one walk back through it.

A :class:`Function` is one operation of the graph and the memory of its own forward pass. It knows arrays, never
tensors. The graph points from results to operands only (a result's Function holds its parents; nothing holds the
result), so there are no reference cycles and every intermediate dies with its last user, without the cyclic garbage
collector.

The walk (:func:`backward`) visits each Function once, children before parents, without recursion. A gradient lives from
the first contribution to the moment its Function has used it up.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hbcore import kernels
from hbcore.kernels.reference import as_rows

Array = NDArray[Any]

_recording: ContextVar[bool] = ContextVar("recording", default=True)


@contextmanager
def no_grad() -> Iterator[None]:
    """Within this context operations leave no graph behind (evaluation)."""
    token = _recording.set(False)
    try:
        yield
    finally:
        _recording.reset(token)


def grad_enabled() -> bool:
    """Whether operations are being recorded."""
    return _recording.get()


class Leaf(Protocol):
    """An end of the graph that collects a gradient: a tensor with requires_grad."""

    grad: Array | None

    @property
    def shape(self) -> tuple[int, ...]: ...


class Changes:
    """How often the data of a tensor was changed since it was made. Graphs compare it: see :meth:`Function.watch`."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0


class Function:
    """One differentiable operation.

    A subclass takes its constants (stride, axis, ...) in its constructor, computes in :meth:`forward` and keeps on
    `self` what :meth:`backward` needs. For y = f(x1, ..., xn) and a scalar loss L, backward receives dL/dy and returns
    (dL/dx1, ..., dL/dxn); where `needs_grad[i]` is false it may return None.
    """

    parents: tuple[Function | Leaf | None, ...] = ()
    needs_grad: tuple[bool, ...] = ()
    watched: Sequence[tuple[Changes, int]] = ()

    # Whether backward returns arrays that nobody else holds: sums of gradients may then be taken in them.
    fresh = False

    # Whether backward adds `so_far` to the gradient of its first operand: what others gave that before, or None.
    adds = False
    so_far: Array | None = None

    def check(self, *inputs: Array) -> None:
        """TypeError or ValueError where the operation cannot take these, asked before :meth:`forward`."""
        require_one_type(type(self).__name__, *inputs)

    # *Any, **Any: a subclass names its own operands.
    def forward(self, *inputs: Any, **options: Any) -> Array:
        raise NotImplementedError

    def backward(self, g: Array) -> tuple[Array | None, ...]:
        raise NotImplementedError

    def watch(self, *changes: Changes) -> None:
        """Note how often operands and result were changed so far: backward counts on their being what they are now."""
        self.watched = [(each, each.count) for each in changes]

    def require_unchanged(self) -> None:
        """RuntimeError if one was changed since."""
        for each, count in self.watched:
            if each.count != count:
                raise RuntimeError(
                    f"data that {type(self).__name__} took or made was changed since the forward pass, which would "
                    "make its gradient wrong: call backward before any optimizer step or change of .data"
                )

    def release(self) -> None:
        """Forget the forward pass."""
        self.__dict__.clear()
        self.__dict__["parents"] = None


def backward(root: Function | Leaf, grad: Array) -> None:
    """Add d(root)/d(leaf), contracted with `grad`, to the `grad` of every leaf below root. Uses the graph up.

    RuntimeError, with nothing done, if data of the graph was changed since the forward pass.
    """
    order = children_first(root)
    for node in order:
        if isinstance(node, Function):
            node.require_unchanged()
    gradients = _Gradients()
    gradients.add(root, grad, fresh=False)
    while order:
        node = order.pop()
        if not isinstance(node, Function):
            g = gradients.take_own(node)
            if g.shape != node.shape:
                raise ValueError(f"a gradient of shape {g.shape} came back to a tensor of shape {node.shape}")
            node.grad = g if node.grad is None else node.grad + g
            continue
        g = gradients.take(node)
        parents = node.parents
        if node.adds:
            node.so_far = gradients.take_any(parents[0])
        inputs = node.backward(g)
        node.release()
        for parent, parent_grad in zip(parents, inputs, strict=True):
            if parent is None:
                continue
            if parent_grad is None:
                raise TypeError(f"{type(node).__name__}.backward returned None for an input that needs a gradient")
            gradients.add(parent, parent_grad, node.fresh)


class _Gradients:
    """Gradients on their way to nodes that were not visited yet, each the sum of what came so far.

    A sum is taken in place, to save memory, where nobody else holds the array: it is a sum itself, or `fresh`.
    """

    def __init__(self) -> None:
        self.sums: dict[int, Array] = {}
        self.own: set[int] = set()

    def add(self, node: Function | Leaf, grad: Array, fresh: bool) -> None:
        """Add what one of a node's users gives it."""
        key = id(node)
        if key not in self.sums:
            self.sums[key] = grad
            if fresh:
                self.own.add(key)
            return
        so_far = self.sums[key]
        place = so_far if key in self.own else grad if fresh else None
        self.sums[key] = kernels.backend.add(so_far, grad, out=place)
        self.own.add(key)

    def take(self, node: Function | Leaf) -> Array:
        """The sum for a node, all of whose users have been visited."""
        self.own.discard(id(node))
        return self.sums.pop(id(node))

    def take_any(self, node: Function | Leaf | None) -> Array | None:
        """What came so far for a node that is not yet to be visited, if anything."""
        return None if id(node) not in self.sums else self.take(node)  # type: ignore[arg-type]

    def take_own(self, node: Leaf) -> Array:
        """The same, in an array that nobody else holds: a leaf keeps it, and its owner may change it."""
        own = id(node) in self.own
        g = self.take(node)
        return g if own else g.copy()


def children_first(root: Function | Leaf) -> list[Function | Leaf]:
    """Depth-first post-order: popping from the end yields each node after all nodes that use it."""
    order: list[Function | Leaf] = []
    seen: set[int] = {id(root)}
    stack: list[tuple[Function | Leaf, Iterator[Any]]] = [(root, _parents(root))]
    while stack:
        node, parents = stack[-1]
        for parent in parents:
            if parent is None or id(parent) in seen:
                continue
            seen.add(id(parent))
            if isinstance(parent, Function):
                stack.append((parent, _parents(parent)))
                break
            order.append(parent)
        else:
            order.append(node)
            stack.pop()
    return order


def _parents(node: Function | Leaf) -> Iterator[Any]:
    if not isinstance(node, Function):
        return iter(())
    if node.parents is None:
        raise RuntimeError(
            f"backward went through {type(node).__name__} before and freed it: run the forward pass again first"
        )
    return iter(node.parents)


def unbroadcast(grad: Array, shape: tuple[int, ...]) -> Array:
    """Sum a gradient over the axes along which an operand of `shape` was broadcast."""
    if grad.shape == shape:
        return grad
    added = grad.ndim - len(shape)
    stretched = tuple(axis for axis in range(grad.ndim) if axis < added or shape[axis - added] == 1 != grad.shape[axis])
    return exact_sum(grad, stretched).reshape(shape)


def exact_sum(x: Array, axes: tuple[int, ...]) -> Array:
    """Sum over some axes, rounded once: in float32, row by row, a million pixels lose what is small beside them."""
    return np.asarray(x.sum(axis=axes, dtype=np.float64).astype(x.dtype))


def channel_sums(x: Array) -> Array:
    """Sum over all pixels, (..., C) -> (C,), rounded once. By the kernel of batch statistics: NumPy takes longer."""
    if x.size == 0:
        return np.zeros(x.shape[-1:], dtype=x.dtype)
    sums, _ = kernels.backend.centred_sums(as_rows(x), np.zeros(x.shape[-1:], dtype=x.dtype))
    return np.asarray(sums.astype(x.dtype))


def require_one_type(name: str, *arrays: Array) -> None:
    """TypeError unless all hold numbers of one type; `name` is who needs that."""
    first = arrays[0].dtype
    for array in arrays:  # no any(...): this is asked some hundred times in a step
        if array.dtype != first:
            kinds = " and ".join(dict.fromkeys(str(array.dtype) for array in arrays))
            raise TypeError(f"{name} takes numbers of one type, got {kinds}: convert with astype")


def require_per_channel(x: Array, **numbers: Array) -> None:
    """ValueError unless each holds one number per channel of x (..., C): broadcasting would hide another length."""
    for name, array in numbers.items():
        if array.shape != x.shape[-1:]:
            raise ValueError(f"{name} of shape {array.shape} does not fit {x.shape[-1]} channels: it must be one each")
