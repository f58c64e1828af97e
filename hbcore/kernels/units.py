"""Batch norm in training, and binary units of stride 1, which begin with it; see hbcore/autograd/norm.py.

Both directions are written out as the operations of which they consist. wide.py goes each way of a unit in one call,
with the same bits (csrc/unit.c): in small networks a dozen calls would take as long as the work.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from hbcore.bits import Words
from hbcore.kernels.convolutions import Array


class Normalised(NamedTuple):
    """Per channel: mean, biased variance and r = 1 / sqrt(variance + eps) of a batch of so many pixels."""

    mean: Array
    variance: Array
    r: Array
    pixels: int


class Unit(NamedTuple):
    """What the way back needs: packed bits (N, H, W, words) of signs and of -1 < v < 1, alpha (O,), perhaps padded.

    rows: mean, variance and r of norm as one array (3, C), where the way forward was one call.
    """

    signs: Words
    inside: Words
    alpha: Array
    norm: Normalised
    rows: Array | None = None


class Units:
    """The operations of :class:`hbcore.kernels.reference.Reference` are at hand as self."""

    def normalise(self: Any, x: Array, gamma: Array, beta: Array, eps: float) -> tuple[Normalised, Array, Array]:
        """The statistics of x, and scale and shift such that batch norm gives scale x + shift."""
        mean, variance, count = self.batch_statistics(x)
        mean, variance = mean.astype(x.dtype), variance.astype(x.dtype)
        r = 1 / np.sqrt(variance + x.dtype.type(eps))
        return Normalised(mean, variance, r, count), gamma * r, beta - gamma * r * mean

    def normalise_back(
        self: Any, norm: Normalised, x: Array, gamma: Array, g: Array, inside: Words | None = None,
        so_far: Array | None = None,
    ) -> tuple[Array, Array, Array]:  # fmt: skip
        """(dL/dx, dL/dgamma, dL/dbeta) from g; so_far is added to dL/dx.

        With packed bits `inside`, g counts as 0 where not, and may become dL/dx.
        """
        sums, products = self.norm_sums(x, g, norm.mean, inside)
        dbeta, dgamma = sums.astype(g.dtype), products.astype(g.dtype) * norm.r
        # dL/dx = a g + b x + c
        count = g.dtype.type(norm.pixels)
        a = gamma * norm.r
        b = -a * norm.r * dgamma / count
        c = -a * dbeta / count - b * norm.mean
        dx = self.norm_backward(x, g, a, b, c, inside)
        return dx if so_far is None else self.add(so_far, dx, out=dx), dgamma, dbeta

    def unit_forward(
        self: Any, x: Array, gamma: Array, beta: Array, w: Array, eps: float, padding: int
    ) -> tuple[Array, Unit]:
        """y = alpha (sign(BN(x)) * sign(w)), alpha the mean magnitude of each filter. FloatingPointError for NaN."""
        alpha = self.mean_magnitude(w)
        norm, scale, shift = self.normalise(x, gamma, beta, eps)
        signs, inside = self.norm_sign(x, scale, shift)
        y = self.scaled_binary_conv2d(signs, self.pack_filters(w), alpha, w.shape[2], 1, padding)
        return y, Unit(signs, inside, alpha, norm)

    def unit_backward(
        self: Any, unit: Unit, x: Array, gamma: Array, w: Array, padding: int, g: Array, gradients: str,
        so_far: Array | None = None,
    ) -> tuple[Array, Array, Array, Array]:  # fmt: skip
        """(dL/dx, dL/dgamma, dL/dbeta, dL/dw) from g = dL/dy; gradients: one of GRADIENTS. so_far is added to dL/dx."""
        alpha = unit.alpha[: w.shape[3]]
        dw = self.filter_gradient(unit.signs, g, w.shape, padding, gradients)
        ds = self.sign_gradient(g, w, alpha, padding, gradients)
        dx, dgamma, dbeta = self.normalise_back(unit.norm, x, gamma, ds, unit.inside, so_far)
        return dx, dgamma, dbeta, self.latent_gradient(dw, w, alpha)
