"""Losses on heatmaps, and on maps of classes.

z: logits (N, h, w, K). On heatmaps: t: targets in [0, 1], same shape; joint weights (N, K), 0 for joints without a
label. Both losses sum over the pixels of a map and average over the maps that count, so their size depends neither on
the number of joints nor on how many of them are labelled. On maps of classes: t: the class of each pixel, (N, h, w).
"""

from __future__ import annotations

import numpy as np

from hbcore.autograd.function import Array, Function
from hbcore.autograd.ops import sigmoid
from hbcore.autograd.tensor import Tensor, apply


class SigmoidCrossEntropy(Function):
    """L = mean over maps of sum over pixels of  max(z, 0) - z t + log(1 + exp(-|z|)).

    dL/dz = w (sigmoid(z) - t) / sum w.

    That is -t log p - (1 - t) log(1 - p) with p = sigmoid(z), written so that nothing overflows.
    """

    def __init__(self, target: Array, weight: Array) -> None:
        self.target, self.weight = target, weight

    def forward(self, z: Array) -> Array:
        self.target, self.weight = _fit(z, self.target, self.weight)
        e = np.exp(-np.abs(z))
        self.p = sigmoid(z, e)
        # Of float32, NumPy's log1p takes most of the loss's time for digits that the sum over pixels loses again.
        tail = np.log1p(e) if e.dtype == np.float64 else np.log(1 + e)
        loss = np.maximum(z, 0) - z * self.target + tail
        return np.asarray((loss * self.weight).sum(dtype=np.float64).astype(z.dtype))

    def backward(self, g: Array) -> tuple[Array]:
        return ((self.p - self.target) * (self.weight * g),)


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


IGNORED = 255
"""In place of a class: a pixel that nobody labelled."""


class SoftmaxCrossEntropy(Function):
    """L = mean over labelled pixels of  log sum_k exp(z_k) - z_t;  dL/dz_k = (p_k - [k = t]) / number of them.

    That is -log p_t with p = softmax(z) over the K classes of a pixel. The largest z is taken off before exp, which
    changes nothing but that nothing overflows. 0 where no pixel is labelled.
    """

    def __init__(self, target: Array) -> None:
        self.target = target

    def forward(self, z: Array) -> Array:
        target, classes = self.target, z.shape[-1]
        if target.dtype.kind not in "iu":
            raise TypeError(f"classes of pixels are whole numbers, got {target.dtype}: convert with astype(int)")
        if target.shape != z.shape[:-1]:
            raise ValueError(f"maps of shape {z.shape} cannot be compared with classes of shape {target.shape}")
        labelled = target != IGNORED
        if not ((target >= 0) & (target < classes))[labelled].all():
            raise ValueError(f"a pixel is of none of the {classes} classes and not {IGNORED} either")
        self.count = max(1, int(labelled.sum()))
        self.labelled, self.of = labelled[..., None], np.where(labelled, target, 0)[..., None]
        lowered = z - z.max(axis=-1, keepdims=True)
        raised = np.exp(lowered)
        total = raised.sum(axis=-1, keepdims=True)
        self.p = raised / total
        loss = (np.log(total) - np.take_along_axis(lowered, self.of, axis=-1)) * self.labelled
        return np.asarray((loss.sum(dtype=np.float64) / self.count).astype(z.dtype))

    def backward(self, g: Array) -> tuple[Array]:
        gradient = self.p.copy()
        np.put_along_axis(gradient, self.of, np.take_along_axis(gradient, self.of, axis=-1) - 1, axis=-1)
        return (gradient * (self.labelled * (g / self.count)).astype(g.dtype),)


def _fit(z: Array, target: Array, weight: Array) -> tuple[Array, Array]:
    """Targets and map weights (N, 1, 1, K), which sum to 1 unless all are 0, in the precision of z."""
    if z.shape != target.shape:
        raise ValueError(f"heatmaps of shape {z.shape} cannot be compared with targets of shape {target.shape}")
    if weight.shape != (z.shape[0], z.shape[-1]):
        raise ValueError(f"heatmaps of shape {z.shape} need weights (N, K), got an array of shape {weight.shape}")
    maps = weight / (weight.sum() or 1)
    return target.astype(z.dtype, copy=False), maps.astype(z.dtype, copy=False)[:, None, None, :]


def _numbers(value: Tensor | Array) -> Array:
    """Targets and weights as an array, also where somebody made a tensor of them. Nothing flows back to them."""
    return value.data if isinstance(value, Tensor) else np.asarray(value)


def heatmap_cross_entropy(z: Tensor, target: Tensor | Array, weight: Tensor | Array) -> Tensor:
    """Pixel-wise sigmoid cross-entropy, the paper's loss."""
    return apply(SigmoidCrossEntropy(_numbers(target), _numbers(weight)), z)


def heatmap_mse(z: Tensor, target: Tensor | Array, weight: Tensor | Array) -> Tensor:
    """Squared error on heatmaps; here the network's output is the map itself, without a sigmoid."""
    return apply(MeanSquaredError(_numbers(target), _numbers(weight)), z)


def softmax_cross_entropy(z: Tensor, target: Array) -> Tensor:
    """Cross-entropy between classes (N, h, w), integers with IGNORED among them, and maps (N, h, w, classes)."""
    return apply(SoftmaxCrossEntropy(_numbers(target)), z)
