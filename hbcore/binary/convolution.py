"""The scaled binary convolution."""

from __future__ import annotations

import numpy as np

from hbcore import kernels
from hbcore.autograd.conv import convolve, convolve_backward, require_fit
from hbcore.autograd.function import Array, Function
from hbcore.autograd.tensor import Tensor, apply
from hbcore.bits import Words


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


def scale(w: Array, scaled: bool = True) -> Array:
    """alpha = mean |W| of each filter, or 1 if not `scaled`: (kH, kW, C, O) -> (O,)."""
    return kernels.mean_magnitude(w) if scaled else np.ones(w.shape[-1], dtype=w.dtype)


def pack_filters(w: Array) -> Words:
    """Signs of filters (kH, kW, C, O), packed for the kernels: (O, kH, kW, words)."""
    return kernels.pack_signs(np.ascontiguousarray(w.transpose(3, 0, 1, 2)))


def packed_conv2d(s: Words, w: Words, alpha: Array, channels: int, stride: int = 1, padding: int = 0) -> Array:
    """alpha (S * W) from packed signs: (N, H, W, words), (O, kH, kW, words) -> (N, Ho, Wo, O) in alpha's dtype."""
    return kernels.scaled_binary_conv2d(s, w, alpha, channels, stride, padding)


def binary_conv2d(
    s: Tensor, w: Tensor, stride: int = 1, padding: int = 0, packed: bool = False, scaled: bool = True
) -> Tensor:
    """alpha (S * sign(W)): s (N, H, W, C) of +1 and -1 (any numbers unless packed), w (kH, kW, C, O) latent weights."""
    return apply(BinaryConv2d(stride, padding, packed, scaled), s, w)
