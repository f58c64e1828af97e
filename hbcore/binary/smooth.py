"""A sign that is not there yet: a smooth curve from -1 to 1 that comes as near to the sign as its sharpness is large.

    s(x) = 2 e^(lx) / (1 + e^(lx)) - 1 = tanh(l x / 2),     ds/dx = 2 l e^(lx) / (e^(lx) + 1)^2 = l/2 (1 - s^2)

with the sharpness l > 0: the slope at 0 is l/2. Training that raises l little by little ("progressive" quantisation,
Bulat et al., "Improved training of binary networks for human pose estimation and image recognition", 2019, of whose
three curves this is the first) meets a true gradient first and the hard sign only at the end.
"""

from __future__ import annotations

import numpy as np

from hbcore.autograd.function import Array, Function
from hbcore.autograd.tensor import Tensor, apply


class SmoothSign(Function):
    """s = tanh(l x / 2);  dL/dx = g l/2 (1 - s^2). As written with e^(lx) it would overflow."""

    def __init__(self, sharpness: float) -> None:
        self.half = half_of(sharpness)

    def forward(self, x: Array) -> Array:
        self.s = np.asarray(np.tanh(x * x.dtype.type(self.half)))
        return self.s

    def backward(self, g: Array) -> tuple[Array]:
        return (g * (1 - self.s * self.s) * g.dtype.type(self.half),)


def half_of(sharpness: float) -> float:
    """l/2. ValueError unless that is a number above 0."""
    if not (np.isfinite(sharpness) and sharpness > 0):
        raise ValueError(f"the sharpness of a smooth sign must be a number above 0, got {sharpness}")
    return sharpness / 2


def smooth_sign(x: Tensor, sharpness: float) -> Tensor:
    """The smooth sign of every element."""
    return apply(SmoothSign(sharpness), x)
