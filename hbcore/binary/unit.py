"""Batch norm, sign and binary convolution in one: what a binary network's training spends its time in."""

from __future__ import annotations

from hbcore import kernels
from hbcore.autograd.conv import require_fit
from hbcore.autograd.function import Array, Function, require_one_type, require_per_channel
from hbcore.autograd.norm import unbiased
from hbcore.autograd.tensor import Tensor, apply


class BinaryUnit(Function):
    """Y = alpha (sign(V) * sign(W)) with V = BN(X): BatchNorm, Sign and BinaryConvolution in one, stride 1.

    Between forward and backward it keeps X (alive anyway), and of V two bits per number: its sign, and whether it lies
    inside the straight-through estimator's [-1 < V < 1]. The gradient of the signs is masked by that and goes straight
    on into that of the normalisation. gradients: "float32" or "int8", see hbcore/kernels/byte_gradients.py.
    """

    fresh = adds = True

    def __init__(self, eps: float, padding: int, gradients: str = "float32") -> None:
        self.eps, self.padding, self.gradients = eps, padding, gradients

    def check(self, *inputs: Array) -> None:
        x, gamma, beta, w = inputs
        require_fit(x, w)
        require_one_type(type(self).__name__, *inputs)
        require_per_channel(x, gamma=gamma, beta=beta)

    def forward(self, x: Array, gamma: Array, beta: Array, w: Array) -> Array:
        self.x, self.gamma, self.w = x, gamma, w
        y, self.unit = kernels.backend.unit_forward(x, gamma, beta, w, self.eps, self.padding)
        return y

    def backward(self, g: Array) -> tuple[Array, Array, Array, Array]:
        return kernels.backend.unit_backward(
            self.unit, self.x, self.gamma, self.w, self.padding, g, self.gradients, self.so_far
        )


def binary_unit(
    x: Tensor, gamma: Tensor, beta: Tensor, w: Tensor, eps: float, padding: int, gradients: str = "float32"
) -> tuple[Tensor, Array, Array]:
    """Batch norm, sign and binary convolution in one: (y, mean (C,), unbiased variance (C,)) as `batch_norm` does."""
    function = BinaryUnit(eps, padding, gradients)
    y = apply(function, x, gamma, beta, w)
    return y, function.unit.norm.mean, unbiased(function.unit.norm)
