"""Losses on heatmaps.

z: logits (N, h, w, K); t: targets in [0, 1], same shape; joint weights (N, K), 0 for joints without a label. Both
losses sum over the pixels of a map and average over the maps that count, so their size depends neither on the number of
joints nor on how many of them are labelled.
"""

from __future__ import annotations

import numpy as np

from hbcore.autograd import Array, Function
from hbcore.ops import sigmoid
from hbcore.tensor import Tensor, apply


class SigmoidCrossEntropy(Function):
    """L = mean over maps of sum over pixels of  max(z, 0) - z t + log(1 + exp(-|z|)).

    dL/dz = w (sigmoid(z) - t) / sum w.

    That is -t log p - (1 - t) log(1 - p) with p = sigmoid(z), written so that nothing overflows.
    """

    def __init__(self, target: Array, weight: Array) -> None:
        self.target, self.weight = target, weight

    def forward(self, z: Array) -> Array:
        self.target, self.weight = _fit(z, self.target, self.weight)
        self.z = z
        loss = np.maximum(z, 0) - z * self.target + np.log1p(np.exp(-np.abs(z)))
        return np.asarray((loss * self.weight).sum(dtype=np.float64).astype(z.dtype))

    def backward(self, g: Array) -> tuple[Array]:
        return ((sigmoid(self.z) - self.target) * (self.weight * g),)


class MeanSquaredError(Function):
    """L = mean over maps of sum over pixels of (z - t)^2;  dL/dz = 2 w (z - t) / sum w."""

    def __init__(self, target: Array, weight: Array) -> None:
        self.target, self.weight = target, weight

    def forward(self, z: Array) -> Array:
        self.target, self.weight = _fit(z, self.target, self.weight)
        self.difference = z - self.target
        return np.asarray((self.difference**2 * self.weight).sum(dtype=np.float64).astype(z.dtype))

    def backward(self, g: Array) -> tuple[Array]:
        return (self.difference * (2 * self.weight * g),)


def _fit(z: Array, target: Array, weight: Array) -> tuple[Array, Array]:
    """Targets and map weights (N, 1, 1, K), which sum to 1 unless all are 0, in the precision of z."""
    if z.shape != target.shape:
        raise ValueError(f"heatmaps of shape {z.shape} cannot be compared with targets of shape {target.shape}")
    if weight.shape != (z.shape[0], z.shape[-1]):
        raise ValueError(f"heatmaps of shape {z.shape} need weights (N, K), got an array of shape {weight.shape}")
    maps = weight / (weight.sum() or 1)
    return target.astype(z.dtype, copy=False), maps.astype(z.dtype, copy=False)[:, None, None, :]


def heatmap_cross_entropy(z: Tensor, target: Array, weight: Array) -> Tensor:
    """Pixel-wise sigmoid cross-entropy, the paper's loss."""
    return apply(SigmoidCrossEntropy(target, weight), z)


def heatmap_mse(z: Tensor, target: Array, weight: Array) -> Tensor:
    """Squared error on heatmaps; here the network's output is the map itself, without a sigmoid."""
    return apply(MeanSquaredError(target, weight), z)
