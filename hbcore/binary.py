"""Training through signs: the straight-through estimator and the scaled binary convolution.

Activations.  s = sign(x). Its derivative is 0 almost everywhere, so the backward pass uses that of the hard tanh
instead (clipped straight-through estimator, Hubara et al. 2016):   dL/dx = dL/ds where -1 < x < 1, else 0.

Weights.  A filter W with n = kH kW C latent real weights acts as alpha sign(W) with alpha = mean |W|, the best such
approximation of W in the least-squares sense (XNOR-Net, Rastegari et al. 2016, section 3.1). The gradient follows
their equation

    dL/dW_i = dL/dW~_i (1 / n + alpha [-1 < W_i < 1])        with W~ = alpha sign(W).

Forward.  Y = alpha (sign(X) * sign(W)). The bracket is a sum of +1 and -1, an integer, computed exactly both ways: by a
real matrix product of +1.0 and -1.0 (integers up to 2^24 are exact in float32) or by packed bits. Scaling follows once,
so the two ways agree to the last bit.
"""

from __future__ import annotations

import numpy as np

from hbcore import kernels
from hbcore.autograd import Array, Function
from hbcore.bits import Words
from hbcore.conv import convolve, convolve_backward, require_fit
from hbcore.norm import BatchNorm
from hbcore.tensor import Tensor, apply


class Sign(Function):
    """s = -1 if x < 0 else +1;  dL/dx = g [-1 < x < 1]."""

    def forward(self, x: Array) -> Array:
        self.x = x
        return kernels.sign(x)

    def backward(self, g: Array) -> tuple[Array]:
        return (kernels.sign_backward(self.x, g),)


class BinaryConv2d(Function):
    """Y = alpha (S * sign(W)) for S of +1 and -1 (or any numbers, where only the weights are binary).

    With h = alpha g:   dL/dS = (h convolved back through sign(W)),   dL/dW~ = (g with S),   dL/dW as in the module's
    head. `packed` chooses how the integer convolution is computed; the result is the same. Not `scaled`: alpha = 1,
    whatever W is, so that dL/dW_i = dL/dW~_i [-1 < W_i < 1].
    """

    def __init__(self, stride: int = 1, padding: int = 0, packed: bool = False, scaled: bool = True) -> None:
        self.stride, self.padding, self.packed, self.scaled = stride, padding, packed, scaled

    def forward(self, s: Array, w: Array) -> Array:
        require_fit(s, w)
        self.s, self.w = s, w
        self.signs, self.alpha = kernels.sign(w), scale(w, self.scaled)
        if self.packed:
            y = packed_conv2d(
                kernels.pack_signs(s), pack_filters(w), self.alpha, s.shape[-1], self.stride, self.padding
            )
        else:
            y = convolve(s, self.signs, self.stride, self.padding)
            y *= self.alpha
        return y

    def backward(self, g: Array) -> tuple[Array | None, Array | None]:
        # Y = S * W~ with W~ = alpha sign(W), so one routine gives both gradients.
        approximation = self.signs * self.alpha
        ds, dw = convolve_backward(self.s, approximation, g, self.stride, self.padding, *self.needs_grad)
        if dw is not None:
            dw = kernels.latent_gradient(dw, self.w, self.alpha) if self.scaled else np.where(np.abs(self.w) < 1, dw, 0)
        return ds, dw


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


def scale(w: Array, scaled: bool = True) -> Array:
    """alpha = mean |W| of each filter, or 1 if not `scaled`: (kH, kW, C, O) -> (O,)."""
    return kernels.mean_magnitude(w) if scaled else np.ones(w.shape[-1], dtype=w.dtype)


def pack_filters(w: Array) -> Words:
    """Signs of filters (kH, kW, C, O), packed for the kernels: (O, kH, kW, words)."""
    return kernels.pack_signs(np.ascontiguousarray(w.transpose(3, 0, 1, 2)))


def packed_conv2d(s: Words, w: Words, alpha: Array, channels: int, stride: int = 1, padding: int = 0) -> Array:
    """alpha (S * W) from packed signs: (N, H, W, words), (O, kH, kW, words) -> (N, Ho, Wo, O) in alpha's dtype."""
    return kernels.scaled_binary_conv2d(s, w, alpha, channels, stride, padding)


def sign(x: Tensor) -> Tensor:
    """Binary sign with the clipped straight-through estimator; NaN raises FloatingPointError."""
    return apply(Sign(), x)


def binary_conv2d(
    s: Tensor, w: Tensor, stride: int = 1, padding: int = 0, packed: bool = False, scaled: bool = True
) -> Tensor:
    """alpha (S * sign(W)): s (N, H, W, C) of +1 and -1 (any numbers unless packed), w (kH, kW, C, O) latent weights."""
    return apply(BinaryConv2d(stride, padding, packed, scaled), s, w)


def binary_unit(
    x: Tensor, gamma: Tensor, beta: Tensor, w: Tensor, eps: float, padding: int
) -> tuple[Tensor, Array, Array]:
    """Batch norm, sign and binary convolution in one: (y, mean (C,), unbiased variance (C,)) as `batch_norm` does."""
    function = BinaryUnit(eps, padding)
    y = apply(function, x, gamma, beta, w)
    return y, function.statistics.mean, function.statistics.unbiased
