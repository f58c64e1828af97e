"""Batch normalisation (Ioffe & Szegedy 2015) over all pixels of a batch, per channel.

Training:    m = mean(x),  v = mean((x - m)^2),  y = gamma (x - m) r + beta   with r = 1 / sqrt(v + eps)
Evaluation:  the same with the running m and v, which training updates as  running += momentum (batch - running);
             the running v takes the unbiased batch variance, as PyTorch does.

Nothing but x, m and r is kept for the backward pass: x is alive anyway as the result of the operation before.
"""

from __future__ import annotations

import numpy as np

from hbcore import kernels
from hbcore.autograd.function import Array, Function, channel_sums, require_per_channel
from hbcore.autograd.tensor import Tensor, apply
from hbcore.kernels.units import Normalised


class BatchNorm(Function):
    """Normalisation by the batch's own statistics, which stay readable in `norm`.

    With x^ = (x - m) r and M pixels:   dL/dbeta = sum g,   dL/dgamma = sum g x^,
    dL/dx = gamma r (g - dL/dbeta / M - x^ dL/dgamma / M).
    """

    fresh = True

    def __init__(self, eps: float) -> None:
        self.eps = eps

    def check(self, *inputs: Array) -> None:
        super().check(*inputs)
        x, gamma, beta = inputs
        require_per_channel(x, gamma=gamma, beta=beta)

    def forward(self, x: Array, gamma: Array, beta: Array) -> Array:
        self.x, self.gamma = x, gamma
        self.norm, scale, shift = kernels.backend.normalise(x, gamma, beta, self.eps)
        return kernels.backend.affine(x, scale, shift)

    def backward(self, g: Array) -> tuple[Array, Array, Array]:
        return kernels.backend.normalise_back(self.norm, self.x, self.gamma, g)


def unbiased(norm: Normalised) -> Array:
    """The variance that evaluation is to expect."""
    return np.asarray(norm.variance * norm.variance.dtype.type(norm.pixels / max(1, norm.pixels - 1)))


class FixedNorm(Function):
    """y = gamma (x - m) r + beta with given m and v;  dL/dx = gamma r g."""

    def __init__(self, mean: Array, variance: Array, eps: float) -> None:
        self.mean, self.variance = mean, variance
        self.r = 1 / np.sqrt(variance + variance.dtype.type(eps))

    def check(self, *inputs: Array) -> None:
        x, gamma, beta = inputs
        super().check(*inputs, self.mean, self.variance)
        require_per_channel(x, gamma=gamma, beta=beta, mean=self.mean, variance=self.variance)

    def forward(self, x: Array, gamma: Array, beta: Array) -> Array:
        self.x, self.gamma = x, gamma
        return kernels.backend.affine(x, gamma * self.r, beta - gamma * self.r * self.mean)

    def backward(self, g: Array) -> tuple[Array, Array, Array]:
        dgamma = channel_sums(g * (self.x - self.mean)) * self.r
        return g * (self.gamma * self.r), dgamma, channel_sums(g)


def batch_norm(x: Tensor, gamma: Tensor, beta: Tensor, eps: float = 1e-5) -> tuple[Tensor, Array, Array]:
    """Normalise by the batch's own statistics: (y, mean (C,), unbiased variance (C,))."""
    function = BatchNorm(eps)
    y = apply(function, x, gamma, beta)
    return y, function.norm.mean, unbiased(function.norm)


def fixed_norm(x: Tensor, gamma: Tensor, beta: Tensor, mean: Array, variance: Array, eps: float = 1e-5) -> Tensor:
    """Normalise by given statistics (evaluation)."""
    return apply(FixedNorm(mean, variance, eps), x, gamma, beta)
