"""The arithmetic of whole numbers in NumPy, which the exported C is equal to."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hbcore import bits
from hbcore.autograd.function import Array
from hbcore.bits import Words
from hbcore.export.integers.ending import Ending, Whole, moved
from hbcore.kernels.convolutions import Convolutions
from hbcore.kernels.reference import Reference


class IntegerPlan:
    """Steps as of :class:`hbcore.kernels.plan.Plan`, of numbers int32; computed in int64, in which nothing overflows.

    `..._down`: the power of two by which numbers are divided on their way.
    """

    def __init__(self) -> None:
        self.convolutions: Convolutions = Reference()
        self.steps: list[Callable[[], None]] = []

    def conv2d(self, x: Array, w: Array, stride: int, padding: int, epilogue: Ending) -> None:
        """x * w of whole numbers, then the ending."""
        terms = w.reshape(-1, w.shape[3]).astype(np.float64)

        def step() -> None:  # sums are below 2^31, which float64 holds exactly
            rows = self.convolutions.im2col(x.astype(np.float64), w.shape[:2], stride, (padding, padding))
            epilogue((rows @ terms).astype(np.int64))

        self.steps.append(step)

    def binary_conv2d(self, x: Words, w: Words, channels: int, stride: int, padding: int, epilogue: Ending) -> None:
        """x * w of packed signs, then the ending."""
        filters = w.transpose(3, 0, 1, 2)
        self.steps.append(lambda: epilogue(bits.binary_conv2d(x, filters, channels, stride, padding).astype(np.int64)))

    def threshold(self, x: Array, threshold: Array, flip: Words, out: Words) -> None:
        """out = (x < threshold) xor flip, packed."""
        self.steps.append(lambda: np.copyto(out, bits.pack_bits(x < threshold) ^ flip))

    def line(self, x: Array, epilogue: Ending, sign: bool, y: Array) -> None:
        """y = what the ending says of x or, with `sign`, -1 where that is below 0, else 1."""

        def step() -> None:
            v = epilogue.value(whole(x))
            y[...] = np.where(v < 0, -1, 1) if sign else moved(v, epilogue.y_down)

        self.steps.append(step)

    def copy(self, x: Array, x_down: int, y: Array) -> None:
        """y = x."""
        self.steps.append(lambda: _store(y, moved(whole(x), x_down)))

    def max_pool(self, x: Array, y: Array) -> None:
        """y = largest of each 2 x 2 pixels of x."""
        self.steps.append(lambda: _store(y, _tiles(x).max(axis=(2, 4))))

    def avg_pool(self, x: Array, x_down: int, y: Array) -> None:
        """y = sum of each 2 x 2 pixels of x, divided."""
        self.steps.append(lambda: _store(y, moved(_tiles(x).sum(axis=(2, 4)), x_down)))

    def upsample(self, x: Array, x_down: int, y: Array) -> None:
        """y = each pixel of x four times."""
        self.steps.append(lambda: _store(y, moved(_spread(x), x_down)))

    def upsample_add(self, x: Array, x_down: int, y: Array) -> None:
        """y += x, each pixel of x four times."""
        self.steps.append(lambda: _store(y, whole(y) + moved(_spread(x), x_down)))

    def run(self) -> None:
        """All steps in order."""
        for step in self.steps:
            step()


def whole(x: Array) -> Whole:
    """The numbers as int64."""
    return x.astype(np.int64)


def _store(y: Array, v: Whole) -> None:
    y[...] = v


def _tiles(x: Array) -> Whole:
    n, height, width, channels = x.shape
    return whole(x).reshape(n, height // 2, 2, width // 2, 2, channels)


def _spread(x: Array) -> Whole:
    return whole(x).repeat(2, axis=1).repeat(2, axis=2)
