"""The scaled binary convolution."""

from __future__ import annotations

import numpy as np

from hbcore import kernels
from hbcore.autograd.conv import convolve, convolve_backward, require_fit
from hbcore.autograd.function import Array, Function
from hbcore.autograd.tensor import Tensor, apply
from hbcore.bits import Words
from hbcore.values import whole


class BinaryConvolution(Function):
    """Y = alpha (S * sign(W)) for S of +1 and -1 (or any numbers, where only the weights are binary).

    With h = alpha g:   dL/dS = (h convolved back through sign(W)),   dL/dW~ = (g with S),   dL/dW as at the
    head of the package. `packed` chooses how the integer convolution is computed; the result is the same. Not `scaled`:
    alpha = 1, whatever W is, so that dL/dW_i = dL/dW~_i [-1 < W_i < 1].
    """

    fresh = True

    def __init__(self, stride: int, padding: int, packed: bool, scaled: bool) -> None:
        self.stride, self.padding = whole("stride", stride), whole("padding", padding, least=0)
        self.packed, self.scaled = packed, scaled

    def check(self, *inputs: Array) -> None:
        require_fit(*inputs)

    def forward(self, s: Array, w: Array) -> Array:
        self.s, self.w = s, w
        self.signs, self.alpha = kernels.backend.sign(w), scale(w, self.scaled)
        if self.packed:
            return packed_conv2d(kernels.backend.pack_signs(s), w, self.alpha, self.stride, self.padding)
        y = convolve(s, self.signs, self.stride, self.padding)
        y *= self.alpha
        return y

    def backward(self, g: Array) -> tuple[Array | None, Array | None]:
        # Y = S * W~ with W~ = alpha sign(W), so one routine gives both gradients.
        approximation = self.signs * self.alpha
        ds, dw = convolve_backward(self.s, approximation, g, self.stride, self.padding, *self.needs_grad)
        if dw is not None:
            if self.scaled:
                return ds, kernels.backend.latent_gradient(dw, self.w, self.alpha)
            dw = np.where(np.abs(self.w) < 1, dw, 0)
        return ds, dw


def scale(w: Array, scaled: bool = True) -> Array:
    """alpha = mean |W| of each filter, or 1 if not `scaled`: (kH, kW, C, O) -> (O,)."""
    return kernels.backend.mean_magnitude(w) if scaled else np.ones(w.shape[-1], dtype=w.dtype)


def packed_conv2d(s: Words, w: Array, alpha: Array, stride: int = 1, padding: int = 0) -> Array:
    """alpha (S * sign(W)) from packed signs: (N, H, W, words), (kH, kW, C, O) -> (N, Ho, Wo, O) in alpha's dtype."""
    filters = kernels.backend.pack_filters(w)
    return kernels.backend.scaled_binary_conv2d(s, filters, alpha, w.shape[2], stride, padding)


def binary_conv2d(
    s: Tensor, w: Tensor, stride: int = 1, padding: int = 0, packed: bool = False, scaled: bool = True
) -> Tensor:
    """alpha (S * sign(W)): s (N, H, W, C) of +1 and -1 (any numbers unless packed), w (kH, kW, C, O) latent weights."""
    return apply(BinaryConvolution(stride, padding, packed, scaled), s, w)
