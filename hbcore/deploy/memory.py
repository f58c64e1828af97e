"""The memory plan: arrays that are used again once they are given back, as the steps of a plan run in order."""

from __future__ import annotations

import math

import numpy as np

from hbcore.autograd.function import Array
from hbcore.bits import Words


class Memory:
    """One array serves many layers. bytes: of all arrays that were made."""

    def __init__(self) -> None:
        self.free: dict[tuple[tuple[int, ...], str], list[Array]] = {}
        self.bytes = 0

    def numbers(self, shape: tuple[int, ...]) -> Array:
        return self._take(shape, np.float32)

    def words(self, shape: tuple[int, ...]) -> Words:
        return self._take(shape, np.uint64)

    def _take(self, shape: tuple[int, ...], dtype: type) -> Array:
        known = self.free.get((shape, np.dtype(dtype).str))
        if known:
            return known.pop()
        self.bytes += math.prod(shape) * np.dtype(dtype).itemsize
        return np.zeros(shape, dtype=dtype)

    def give_back(self, *arrays: Array) -> None:
        for array in arrays:
            self.free.setdefault((array.shape, array.dtype.str), []).append(array)
