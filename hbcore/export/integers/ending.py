"""What a convolution of whole numbers does with each sum: an epilogue in whole numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hbcore import bits
from hbcore.autograd.function import Array
from hbcore.bits import Words

Whole = NDArray[np.int64]


def moved(v: Whole, shift: int) -> Whole:
    """v / 2^shift, rounded to the nearest, halves up; with a negative shift, v times as much."""
    return (v + (1 << shift >> 1)) >> shift if shift > 0 else v << -shift


@dataclass(frozen=True, eq=False, kw_only=True)
class Ending:
    """What becomes of a sum v, in this order, left out where it is None or False; moved(v, n) is v / 2^n, rounded:

        v = moved(factor v, down),   v = v + term,   v = max(v, 0),   v = v > 0 ? v : moved(slope v, slope_down),
        v = moved(scale v, scale_down) + offset,   v = max(v, 0),
        bits = (v < threshold) xor flip,   y = moved(v, y_down) + moved(skip, skip_down)

    Arrays of one number per filter (O,), int32; flip, bits, y and skip as in :class:`hbcore.kernels.plan.Epilogue`, y
    and skip int32. v has 32 bits after every step, products up to 64.
    """

    factor: Array
    down: int
    term: Array | None = None
    relu: bool = False
    slope: Array | None = None
    slope_down: int = 0
    scale: Array | None = None
    scale_down: int = 0
    offset: Array | None = None
    relu_last: bool = False
    bits: Words | None = None
    threshold: Array | None = None
    flip: Words | None = None
    y: Array | None = None
    y_down: int = 0
    skip: Array | None = None
    skip_down: int = 0

    def value(self, v: Whole) -> Whole:
        """What is compared and stored, of sums (..., O)."""
        return self._last(self._bent(self._first(v)))

    def bounds(self, v: Whole) -> tuple[Whole, int]:
        """The least and the greatest value (2, O) of sums between two, and the largest on the way.

        The first and the last step rise or fall all along; what is between may turn at 0.
        """
        first = np.sort(self._first(v), axis=0)
        bent = np.stack([self._bent(each) for each in (*first, np.clip(0, *first))])
        last = np.sort(self._last(np.stack([bent.min(axis=0), bent.max(axis=0)])), axis=0)
        return last, max(int(np.abs(each).max()) for each in (first, bent, last))

    def _first(self, v: Whole) -> Whole:
        v = moved(v * self.factor, self.down)
        return v if self.term is None else v + self.term

    def _bent(self, v: Whole) -> Whole:
        v = np.maximum(v, 0) if self.relu else v
        return v if self.slope is None else np.where(v > 0, v, moved(v * self.slope, self.slope_down))

    def _last(self, v: Whole) -> Whole:
        if self.scale is not None:
            assert self.offset is not None
            v = moved(v * self.scale, self.scale_down) + self.offset
        return np.maximum(v, 0) if self.relu_last else v

    def __call__(self, v: Whole) -> None:
        """Store what becomes of sums v (N, Ho, Wo, O)."""
        v = self.value(v)
        if self.bits is not None:
            assert self.threshold is not None
            assert self.flip is not None
            self.bits[...] = bits.pack_bits(v < self.threshold) ^ self.flip
        if self.y is not None:
            added = 0 if self.skip is None else moved(self.skip.astype(np.int64), self.skip_down)
            self.y[...] = moved(v, self.y_down) + added
