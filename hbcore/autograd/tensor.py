"""Tensor: an array that remembers how it was computed."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from hbcore.autograd import function as autograd
from hbcore.autograd import ops
from hbcore.autograd.function import Array, Function, Leaf


class Tensor:
    """An array, the :class:`Function` that made it (if recorded), and for leaves a gradient.

    data: any floating-point array; float32 unless the array given is float64 (for checks).
    requires_grad: a leaf of the graph; :meth:`backward` of a result adds to its `grad`.
    """

    __slots__ = ("__weakref__", "data", "function", "grad", "requires_grad")
    __array_ufunc__ = None  # array * tensor is for __rmul__ here, not for NumPy, which would make an array of tensors

    def __init__(self, data: ArrayLike, requires_grad: bool = False) -> None:
        array = np.asarray(data)
        self.data: Array = array if array.dtype == np.float64 else array.astype(np.float32, copy=False)
        self.requires_grad = requires_grad
        self.grad: Array | None = None
        self.function: Function | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        return self.data.shape

    def __repr__(self) -> str:
        made_by = f", made by {type(self.function).__name__}" if self.function is not None else ""
        return f"Tensor({self.data}{made_by})"

    def item(self) -> float:
        """The value of a one-element tensor."""
        return float(self.data.item())

    def backward(self, grad: ArrayLike | None = None) -> None:
        """Add the derivatives of this tensor to the `grad` of every leaf it depends on.

        grad: dL/d(self), the shape of self; may be left out for a one-element tensor (then 1). The graph is used up.
        """
        if grad is None:
            if self.data.size != 1:
                raise ValueError(f"a tensor of shape {self.shape} needs the gradient of the loss with respect to it")
            grad = np.ones_like(self.data)
        grad = np.asarray(grad, dtype=self.data.dtype)
        if grad.shape != self.shape:
            raise ValueError(f"a gradient of shape {grad.shape} does not fit a tensor of shape {self.shape}")
        root = _node(self)
        if root is None:
            raise RuntimeError("nothing to differentiate: no input of this tensor has requires_grad")
        autograd.backward(root, grad)

    def __add__(self, other: Tensor | float) -> Tensor:
        return apply(ops.Add(), self, _tensor(other, self))

    def __sub__(self, other: Tensor | float) -> Tensor:
        return self + -_tensor(other, self)

    def __mul__(self, other: Tensor | float) -> Tensor:
        return apply(ops.Multiply(), self, _tensor(other, self))

    def __matmul__(self, other: Tensor) -> Tensor:
        return apply(ops.MatMul(), self, other)

    def __neg__(self) -> Tensor:
        return self * -1.0

    def __rsub__(self, other: float) -> Tensor:
        return -self + other

    __radd__ = __add__
    __rmul__ = __mul__

    def relu(self) -> Tensor:
        return apply(ops.Rectifier(), self)

    def sigmoid(self) -> Tensor:
        return apply(ops.Sigmoid(), self)

    def sum(self) -> Tensor:
        """Sum of all elements, a tensor of shape ()."""
        return apply(ops.Sum(), self)

    def mean(self) -> Tensor:
        """Mean of all elements, a tensor of shape ()."""
        return self.sum() * (1.0 / self.data.size)

    def reshape(self, *shape: int) -> Tensor:
        return apply(ops.Reshape(shape), self)


def apply(function: Function, *inputs: Tensor) -> Tensor:
    """Run one operation; link its result to its inputs if any of them leads to a leaf that requires a gradient."""
    nodes: tuple[Any, ...] = tuple(map(_node, inputs)) if autograd.grad_enabled() else ()
    function.needs_grad = tuple(node is not None for node in nodes) if nodes else (False,) * len(inputs)
    result = Tensor(function.forward(*(tensor.data for tensor in inputs)))
    if any(function.needs_grad):
        function.parents = nodes
        result.function = function
    return result


def concatenate(tensors: list[Tensor]) -> Tensor:
    """Join tensors along the last axis (channels)."""
    return apply(ops.Concatenate(), *tensors)


def join(tensors: list[Tensor], skip: Tensor) -> Tensor:
    """concatenate(tensors) + skip, in one pass."""
    return apply(ops.Join(), skip, *tensors)


def _node(tensor: Tensor) -> Function | Leaf | None:
    """Where a tensor's gradient goes: the Function that made it, the tensor itself if it is a leaf, or nowhere."""
    if tensor.function is not None:
        return tensor.function
    return tensor if tensor.requires_grad else None


def _tensor(value: Tensor | float, like: Tensor) -> Tensor:
    return value if isinstance(value, Tensor) else Tensor(np.asarray(value, dtype=like.data.dtype))
