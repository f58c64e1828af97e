"""A packed model made ready to be trained on: what packing left out of its batch norms, found again.

Packing folds a batch norm into a threshold or a line, see `hbcore/deploy/packed_file.py`; what it was the norm of, mean
m and variance v of each channel, is gone. In evaluation that changes nothing, but training goes by the mean and the
variance of its batches, and would lose the threshold. So m and v are measured on pictures of the new training, and

    gamma = a s,    beta = b + a m,    s = sqrt(v + eps)

make gamma (x - m) / s + beta the line a x + b again. Before a sign only the sign of the line counts, so there gamma is
made 1 or -1: then the straight-through gradient passes for as many inputs as in a network that is trained from scratch.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hbcore import StackedHourglass
from hbcore.deploy.folding import norm_line
from hbcore.inspect.observe import run_once
from hbcore.landmarks.description import to_input
from hbcore.nn.blocks import Unit
from hbcore.nn.layers import BatchNorm2d, BinaryConv2d


def give_statistics(network: StackedHourglass, batches: Iterable[NDArray[np.uint8]]) -> None:
    """Give the batch norms of a packed network mean and variance of what they see in pictures (N, S, S, 3).

    The network is changed in place; its answers stay, up to the rounding of its norms.
    """
    counts: dict[int, int] = defaultdict(int)
    sums: dict[int, Any] = defaultdict(float)
    squares: dict[int, Any] = defaultdict(float)

    def measure(_: str, module: Any, inputs: tuple[Any, ...], __: Any) -> None:
        if isinstance(module, BatchNorm2d):
            x = inputs[0].data.astype(np.float64).reshape(-1, module.gamma.data.size)
            counts[id(module)] += len(x)
            sums[id(module)] += x.sum(axis=0)
            squares[id(module)] += (x * x).sum(axis=0)

    for pictures in batches:
        run_once(network, to_input(pictures), measure)
    before_signs = {
        id(unit.modules[0])
        for unit in network.walk()
        if isinstance(unit, Unit) and isinstance(unit.modules[1], BinaryConv2d)
    }
    for norm in (module for module in network.walk() if isinstance(module, BatchNorm2d)):
        mean = sums[id(norm)] / counts[id(norm)]
        variance = np.maximum(squares[id(norm)] / counts[id(norm)] - mean**2, 0)
        scale, shift = (part.astype(np.float64) for part in norm_line(norm))
        gamma = scale * np.sqrt(variance + norm.eps)
        beta = shift + scale * mean
        if id(norm) in before_signs:
            size = np.where(gamma == 0, 1, np.abs(gamma))
            gamma, beta = gamma / size, beta / size
        norm.gamma.data[:], norm.beta.data[:] = gamma, beta
        norm.running_mean[:], norm.running_variance[:] = mean, variance
