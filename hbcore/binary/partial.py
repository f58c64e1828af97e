"""Batch norm, sign and convolution in one where not all is bits: with a smooth sign, with real weights, or both.

What training techniques begin with (`training/runs/techniques.py`). The two products of the way back may be in bytes
where one of their factors is +1 or -1 (hbcore/kernels/byte_gradients.py); the others are in float32:

                          S = sign(V)                     S = smooth sign of V
    W~ = alpha sign(W)    see unit.py                     dL/dS may be in bytes, as in unit.py
    W~ = W                dL/dW may be in bytes           neither
"""

from __future__ import annotations

import numpy as np

from hbcore import kernels
from hbcore.autograd.function import Array
from hbcore.autograd.norm import unbiased
from hbcore.autograd.tensor import Tensor, apply
from hbcore.binary.smooth import half_of
from hbcore.binary.unit import BinaryUnit
from hbcore.bits import Words


class PartialUnit(BinaryUnit):
    """Y = S * W~ with V = BN(X), stride 1: BatchNorm, Sign or SmoothSign, BinaryConvolution or Convolution in one.

    sharpness: of the smooth sign, or None for the sign, which then meets `real` weights. Between forward and backward
    it keeps X, and of V the smooth sign, or the two bits that :class:`BinaryUnit` keeps.
    """

    def __init__(self, eps: float, padding: int, gradients: str, sharpness: float | None, real: bool) -> None:
        super().__init__(eps, padding, gradients)
        self.half, self.real = None if sharpness is None else half_of(sharpness), real

    def forward(self, x: Array, gamma: Array, beta: Array, w: Array) -> Array:
        backend, pads = kernels.backend, (self.padding, self.padding)
        self.x, self.gamma, self.w = x, gamma, w
        self.inside: Words | None = None
        self.norm, scale, shift = backend.normalise(x, gamma, beta, self.eps)
        if self.half is None:
            self.s, self.inside = backend.norm_sign(x, scale, shift)
            return backend.sign_conv2d(self.s, w, self.padding)
        self.s = backend.norm_smooth(x, scale, shift, self.half)
        if self.real:
            return backend.conv2d(self.s, w, 1, pads)
        self.alpha = backend.mean_magnitude(w)
        y = backend.conv2d(self.s, backend.sign(w), 1, pads)
        y *= self.alpha
        return y

    def backward(self, g: Array) -> tuple[Array, Array, Array, Array]:
        backend, pads, w = kernels.backend, (self.padding, self.padding), self.w
        g = np.ascontiguousarray(g)  # once for both products
        if self.half is None:
            dw = backend.filter_gradient(self.s, g, w.shape, self.padding, self.gradients)
        else:
            dw = backend.conv2d_weight_gradient(self.s, g, w.shape, 1, pads)
        if self.real:
            ds = backend.conv2d_input_gradient(g, w, self.x.shape, 1, pads)
        else:
            ds = backend.sign_gradient(g, w, self.alpha, self.padding, self.gradients)
            dw = backend.latent_gradient(dw, w, self.alpha)
        if self.half is not None:
            ds = backend.smooth_backward(self.s, ds, self.half)
        dx, dgamma, dbeta = backend.normalise_back(self.norm, self.x, self.gamma, ds, self.inside, self.so_far)
        return dx, dgamma, dbeta, dw


def partial_unit(
    x: Tensor, gamma: Tensor, beta: Tensor, w: Tensor, eps: float, padding: int, gradients: str = "float32",
    sharpness: float | None = None, real: bool = False,
) -> tuple[Tensor, Array, Array]:  # fmt: skip
    """As `binary_unit`, with a smooth sign unless sharpness is None, with real weights, or both. Not with neither."""
    function = PartialUnit(eps, padding, gradients, sharpness, real)
    y = apply(function, x, gamma, beta, w)
    return y, function.norm.mean, unbiased(function.norm)
