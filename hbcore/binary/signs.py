"""The sign with the straight-through estimator."""

from __future__ import annotations

from hbcore import kernels
from hbcore.autograd.function import Array, Function
from hbcore.autograd.tensor import Tensor, apply


class Sign(Function):
    """s = -1 if x < 0 else +1;  dL/dx = g [-1 < x < 1]."""

    def forward(self, x: Array) -> Array:
        self.x = x
        return kernels.backend.sign(x)

    def backward(self, g: Array) -> tuple[Array]:
        return (kernels.backend.sign_backward(self.x, g),)


def sign(x: Tensor) -> Tensor:
    """Binary sign with the clipped straight-through estimator; NaN raises FloatingPointError."""
    return apply(Sign(), x)
