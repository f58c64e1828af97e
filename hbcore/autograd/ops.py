"""Operations on whole arrays: arithmetic, activations, joining. Each with its equation, forward above backward.

Notation: y is the result, g = dL/dy the gradient that comes back.
"""

from __future__ import annotations

import numpy as np

from hbcore import kernels
from hbcore.autograd.function import Array, Function, require_per_channel, unbroadcast


class Add(Function):
    """y = a + b;  dL/da = g, dL/db = g (summed over broadcast axes)."""

    def forward(self, a: Array, b: Array) -> Array:
        self.shapes = a.shape, b.shape
        return kernels.backend.add(a, b)

    def backward(self, g: Array) -> tuple[Array, Array]:
        return unbroadcast(g, self.shapes[0]), unbroadcast(g, self.shapes[1])


class Multiply(Function):
    """y = a b;  dL/da = g b, dL/db = g a."""

    def forward(self, a: Array, b: Array) -> Array:
        self.a, self.b = a, b
        return np.asarray(a * b)

    def backward(self, g: Array) -> tuple[Array | None, Array | None]:
        return (
            unbroadcast(g * self.b, self.a.shape) if self.needs_grad[0] else None,
            unbroadcast(g * self.a, self.b.shape) if self.needs_grad[1] else None,
        )


class MatMul(Function):
    """Y = A B for matrices (m, k) and (k, n);  dL/dA = G B^T, dL/dB = A^T G."""

    def check(self, *inputs: Array) -> None:
        super().check(*inputs)
        a, b = inputs
        if a.ndim != 2 or b.ndim != 2:
            raise ValueError(f"a matrix product takes two matrices, got shapes {a.shape} and {b.shape}")

    def forward(self, a: Array, b: Array) -> Array:
        self.a, self.b = a, b
        return np.asarray(a @ b)

    def backward(self, g: Array) -> tuple[Array | None, Array | None]:
        return (
            g @ self.b.T if self.needs_grad[0] else None,
            self.a.T @ g if self.needs_grad[1] else None,
        )


class Sum(Function):
    """y = sum of x;  dL/dx = g everywhere."""

    def forward(self, x: Array) -> Array:
        self.shape = x.shape
        return np.asarray(x.sum())

    def backward(self, g: Array) -> tuple[Array]:
        return (np.broadcast_to(g, self.shape).copy(),)


class Reshape(Function):
    """Same elements, other shape."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape

    def forward(self, x: Array) -> Array:
        self.original = x.shape
        return x.reshape(self.shape)

    def backward(self, g: Array) -> tuple[Array]:
        return (g.reshape(self.original),)


class Concatenate(Function):
    """y = x1, x2, ... side by side along the last axis;  each input gets its own part of g."""

    def forward(self, *inputs: Array) -> Array:
        self.ends = np.cumsum([x.shape[-1] for x in inputs])
        return np.concatenate(inputs, axis=-1)

    def backward(self, g: Array) -> tuple[Array, ...]:
        return tuple(np.split(g, self.ends[:-1], axis=-1))


class Join(Function):
    """y = (x1, x2, ... side by side along the last axis) + s: Concatenate and Add in one pass over memory."""

    def forward(self, skip: Array, *inputs: Array) -> Array:
        self.ends = np.cumsum([x.shape[-1] for x in inputs])
        return kernels.backend.join(skip, inputs)

    def backward(self, g: Array) -> tuple[Array, ...]:
        return g, *np.split(g, self.ends[:-1], axis=-1)


class Rectifier(Function):
    """y = max(x, 0);  dL/dx = g [x > 0]."""

    def forward(self, x: Array) -> Array:
        self.y = kernels.backend.rectify(x)
        return self.y

    def backward(self, g: Array) -> tuple[Array]:
        return (kernels.backend.where_above(g, self.y),)


class ParametricRectifier(Function):
    """y = max(x, 0) + a min(x, 0), one slope a per channel (He et al. 2015).

    dL/dx = g where x > 0 else a g;  dL/da = sum of g x over x <= 0.
    """

    fresh = True

    def check(self, *inputs: Array) -> None:
        super().check(*inputs)
        require_per_channel(inputs[0], slope=inputs[1])

    def forward(self, x: Array, slope: Array) -> Array:
        self.x, self.slope = x, slope
        return kernels.backend.prelu(x, slope)

    def backward(self, g: Array) -> tuple[Array, Array]:
        dx, sums = kernels.backend.prelu_backward(self.x, self.slope, g)
        return dx, sums.astype(g.dtype)


class Sigmoid(Function):
    """y = 1 / (1 + exp(-x));  dL/dx = g y (1 - y)."""

    def forward(self, x: Array) -> Array:
        self.y = sigmoid(x)
        return self.y

    def backward(self, g: Array) -> tuple[Array]:
        return (g * self.y * (1 - self.y),)


def sigmoid(x: Array, e: Array | None = None) -> Array:
    """The logistic function, perhaps from e = exp(-|x|). exp only ever sees arguments <= 0, so nothing overflows."""
    if e is None:
        e = np.exp(-np.abs(x))
    # 1 where x >= 0, else e, which is never more than 1: faster than asking for each number where it comes from.
    top = np.maximum(x >= 0, e)
    return np.asarray(np.divide(top, 1 + e, out=top))
