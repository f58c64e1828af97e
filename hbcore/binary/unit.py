"""Batch norm, sign and binary convolution in one: what a binary network's training spends its time in."""

from __future__ import annotations

from hbcore import kernels
from hbcore.autograd.conv import require_fit
from hbcore.autograd.function import Array, Function
from hbcore.autograd.norm import BatchNorm
from hbcore.autograd.tensor import Tensor, apply
from hbcore.binary.convolution import packed_conv2d, scale


class BinaryUnit(Function):
    """Y = alpha (sign(V) * sign(W)) with V = BN(X): BatchNorm, Sign and BinaryConvolution in one, stride 1.

    Between forward and backward it keeps X (alive anyway), and of V two bits per number: its sign, and whether it lies
    inside the straight-through estimator's [-1 < V < 1]. The gradient of the signs is masked by that and goes straight
    on into that of the normalisation. gradients: "float32" or "int8", see hbcore/kernels/byte_gradients.py.
    """

    fresh = True

    def __init__(self, eps: float, padding: int, gradients: str = "float32") -> None:
        self.statistics, self.padding, self.gradients = BatchNorm(eps), padding, gradients

    def check(self, *inputs: Array) -> None:
        x, gamma, beta, w = inputs
        require_fit(x, w)
        self.statistics.check(x, gamma, beta)

    def forward(self, x: Array, gamma: Array, beta: Array, w: Array) -> Array:
        self.x, self.w, self.alpha = x, w, scale(w)
        self.signs, self.inside = kernels.backend.norm_sign(x, *self.statistics.measure(x, gamma, beta))
        return packed_conv2d(self.signs, w, self.alpha, 1, self.padding)

    def backward(self, g: Array) -> tuple[Array, Array, Array, Array]:
        dw = kernels.backend.filter_gradient(self.signs, g, self.w.shape, self.padding, self.gradients)
        ds = kernels.backend.sign_gradient(g, self.w, self.alpha, self.padding, self.gradients)
        dx, dgamma, dbeta = self.statistics.propagate(self.x, ds, self.inside)
        return dx, dgamma, dbeta, kernels.backend.latent_gradient(dw, self.w, self.alpha)


def binary_unit(
    x: Tensor, gamma: Tensor, beta: Tensor, w: Tensor, eps: float, padding: int, gradients: str = "float32"
) -> tuple[Tensor, Array, Array]:
    """Batch norm, sign and binary convolution in one: (y, mean (C,), unbiased variance (C,)) as `batch_norm` does."""
    function = BinaryUnit(eps, padding, gradients)
    y = apply(function, x, gamma, beta, w)
    return y, function.statistics.mean, function.statistics.unbiased
