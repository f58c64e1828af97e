"""Batch norm, sign and binary convolution in one."""

from __future__ import annotations

from hbcore import kernels
from hbcore.autograd.conv import require_fit
from hbcore.autograd.function import Array, Function
from hbcore.autograd.norm import BatchNorm
from hbcore.autograd.tensor import Tensor, apply
from hbcore.binary.convolution import scale


class BinaryUnit(Function):
    """Y = alpha (sign(BN(X)) * sign(W)): BatchNorm, Sign and BinaryConv2d in one, with the same result.

    Between forward and backward it keeps X (alive anyway), and of V = BN(X) two bits per number: sign(V) and the window
    [-1 < V < 1]. The gradient of the signs goes through the window and straight on into that of the normalisation.
    Wide kernels only, stride 1.
    """

    fresh = True

    def __init__(self, eps: float, padding: int) -> None:
        self.statistics, self.padding = BatchNorm(eps), padding

    def forward(self, x: Array, gamma: Array, beta: Array, w: Array) -> Array:
        require_fit(x, w)
        self.x, self.w, self.alpha = x, w, scale(w)
        self.signs, self.window = kernels.norm_sign(x, *self.statistics.measure(x, gamma, beta))
        return kernels.sign_conv2d(self.signs, w, self.alpha, self.padding)

    def backward(self, g: Array) -> tuple[Array, Array, Array, Array]:
        dw = kernels.filter_gradient(self.signs, g, self.w.shape, self.padding)
        ds = kernels.sign_gradient(g, self.w, self.alpha, self.padding)
        dx, dgamma, dbeta = self.statistics.propagate(self.x, ds, self.window)
        return dx, dgamma, dbeta, kernels.latent_gradient(dw, self.w, self.alpha)


def binary_unit(
    x: Tensor, gamma: Tensor, beta: Tensor, w: Tensor, eps: float, padding: int
) -> tuple[Tensor, Array, Array]:
    """Batch norm, sign and binary convolution in one: (y, mean (C,), unbiased variance (C,)) as `batch_norm` does."""
    function = BinaryUnit(eps, padding)
    y = apply(function, x, gamma, beta, w)
    return y, function.statistics.mean, function.statistics.unbiased
