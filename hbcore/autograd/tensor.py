"""Tensor: an array that remembers how it was computed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from hbcore.autograd import function as autograd
from hbcore.autograd import ops
from hbcore.autograd.function import Array, Changes, Function, Leaf

_FLOAT32 = np.dtype(np.float32)


class Tensor:
    """An array, the :class:`Function` that made it (if recorded), and for leaves a gradient.

    data: real numbers; float32 unless an array of float64 is given (for checks), which is not copied.
    requires_grad: a leaf of the graph; :meth:`backward` of a result adds to its `grad`.

    To change the numbers of a recorded tensor before backward is an error there, as far as it can be seen: assignment
    to `data` (also `t.data += 1`), optimizers, whatever calls :meth:`changed`; not `t.data[...] = 1`.
    """

    __slots__ = ("__weakref__", "_data", "changes", "function", "grad", "requires_grad")
    __array_ufunc__ = None  # array * tensor is for __rmul__ here, not for NumPy, which would make an array of tensors

    def __init__(self, data: ArrayLike, requires_grad: bool = False) -> None:
        if isinstance(data, Tensor):
            raise TypeError("a Tensor of a Tensor: take its numbers, Tensor(tensor.data), or the tensor itself")
        array = np.asarray(data)
        if array.dtype != _FLOAT32:
            if array.dtype.kind not in "fiub":
                raise TypeError(f"a Tensor holds real numbers, got {array.dtype}: convert with astype")
            if not (isinstance(data, np.ndarray | np.float64) and array.dtype == np.float64):
                array = array.astype(np.float32)
        self._data: Array = array
        self.changes = Changes()
        self.requires_grad = requires_grad
        self.grad: Array | None = None
        self.function: Function | None = None

    @property
    def data(self) -> Array:
        return self._data

    @data.setter
    def data(self, array: Array) -> None:
        self._data = array
        self.changed()

    def changed(self) -> None:
        """Tell graphs that hold this tensor that its numbers were changed in place."""
        self.changes.count += 1

    @property
    def shape(self) -> tuple[int, ...]:
        return self.data.shape

    def __repr__(self) -> str:
        made_by = f", made by {type(self.function).__name__}" if self.function is not None else ""
        return f"Tensor({self.data}{made_by})"

    def item(self) -> float:
        """The value of a one-element tensor."""
        return float(self.data.item())

    def backward(self, grad: Tensor | ArrayLike | None = None) -> None:
        """Add the derivatives of this tensor to the `grad` of every leaf it depends on.

        grad: dL/d(self), the shape of self; may be left out for a one-element tensor (then 1). The graph is used up.
        RuntimeError if there is no graph, or data in it was changed since the forward pass.
        """
        if grad is None:
            if self.data.size != 1:
                raise ValueError(f"a tensor of shape {self.shape} needs the gradient of the loss with respect to it")
            grad = np.ones_like(self.data)
        grad = np.asarray(grad.data if isinstance(grad, Tensor) else grad, dtype=self.data.dtype)
        if grad.shape != self.shape:
            raise ValueError(f"a gradient of shape {grad.shape} does not fit a tensor of shape {self.shape}")
        root = _node(self)
        if root is None:
            raise RuntimeError(
                "nothing to differentiate: this tensor was computed under no_grad, or from none that has requires_grad"
            )
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

    def reshape(self, *shape: int | Sequence[int]) -> Tensor:
        """The same elements in another shape, given as numbers or as a tuple."""
        sizes = np.ravel(shape[0] if len(shape) == 1 else shape).tolist()
        return apply(ops.Reshape(tuple(sizes)), self)


def apply(function: Function, *inputs: Tensor) -> Tensor:
    """Run one operation; link its result to its inputs if any of them leads to a leaf that requires a gradient.

    TypeError or ValueError if the operation does not take these.
    """
    arrays = arrays_of(type(function).__name__, *inputs)
    function.check(*arrays)
    nodes: tuple[Any, ...] = tuple(map(_node, inputs)) if autograd.grad_enabled() else ()
    function.needs_grad = tuple([node is not None for node in nodes]) if nodes else (False,) * len(inputs)
    result = Tensor(function.forward(*arrays))
    if any(function.needs_grad):
        function.parents = nodes
        function.watch(result.changes, *[tensor.changes for tensor in inputs])
        result.function = function
    return result


def arrays_of(taker: str, *tensors: Tensor) -> list[Array]:
    """The numbers of tensors; TypeError, naming who takes them, for anything else."""
    for tensor in tensors:
        if not isinstance(tensor, Tensor):
            raise TypeError(f"{taker} takes tensors, got {type(tensor).__name__}: wrap numbers in Tensor(...)")
    return [tensor._data for tensor in tensors]


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
