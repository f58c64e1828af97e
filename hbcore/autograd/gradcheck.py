"""Check a derivative against finite differences, along one random direction.

For y = f(x1, ..., xn), a random cotangent u and random directions d: the backward pass claims sum_i <dL/dxi, di> with
L = <u, y>, and the central difference (L(x + h d) - L(x - h d)) / 2h measures it. One direction costs two evaluations
whatever the size of the inputs; an error in any element shows with probability one.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hbcore.autograd.tensor import Tensor

STEP = 1e-6  # near the cube root of float64's precision, where truncation and rounding errors balance
TOLERANCE = 1e-6  # what such a difference can resolve, relative to the size of the derivative
ROUNDINGS = 32  # of L, as large as its terms: what they may add up to in a function of a few operations
TINY = float(np.finfo(np.float64).tiny)  # spares a function that is 0 throughout a division by 0


def gradcheck(f: Callable[..., Tensor], *inputs: np.ndarray, seed: int = 0, tolerance: float = TOLERANCE) -> float:
    """Relative error between backward and finite differences of f at `inputs` (float64 arrays).

    Relative to the derivative, however small that is, unless the rounding of L alone, a difference of numbers of its
    size, would exceed the tolerance. Raises AssertionError if it exceeds `tolerance` or is NaN, and TypeError for
    inputs that are not float64. Functions with jumps (sign) have no derivative to check: check their declared surrogate
    instead.
    """
    rng = np.random.default_rng(seed)
    for x in inputs:
        if x.dtype != np.float64:
            raise TypeError(f"finite differences need float64, got {x.dtype}")
    leaves = [Tensor(x, requires_grad=True) for x in inputs]
    y = f(*leaves)
    u = rng.standard_normal(y.shape)
    directions = [rng.standard_normal(x.shape) for x in inputs]
    size = float(np.vdot(np.abs(u), np.abs(y.data)))
    y.backward(u)
    claimed = sum(
        float(np.vdot(leaf.grad, d)) for leaf, d in zip(leaves, directions, strict=True) if leaf.grad is not None
    )

    def loss(h: float) -> float:
        moved = f(*(Tensor(x + h * d) for x, d in zip(inputs, directions, strict=True)))
        return float(np.vdot(u, moved.data))

    measured = (loss(STEP) - loss(-STEP)) / (2 * STEP)
    rounding = ROUNDINGS * np.finfo(np.float64).eps * size / STEP
    error = abs(claimed - measured) / max(abs(claimed), abs(measured), rounding / tolerance, TINY)
    if not error <= tolerance:
        raise AssertionError(f"backward claims {claimed:.9g}, finite differences measure {measured:.9g}")
    return error
