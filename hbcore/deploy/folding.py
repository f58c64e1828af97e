"""Folding: in evaluation, batch norm and sign are a comparison, and batch norm alone is a line.

Batch norm and sign of a number x ask whether  v = scale x + shift  is negative. Rounded or not, v never falls
(scale > 0) or never rises (scale < 0) with x, so there is one number t with

    v < 0  <=>  (x < t) xor flip

and :func:`threshold` finds it by bisection over all float32, with the very arithmetic of the layer it replaces: no tie,
no negative gamma and no rounding comes out differently. Three small lines, of one channel each:

    scale, shift     v < 0 for            t                                       flip
      2,   -1        x < 0.5              0.5                                     0
     -2,    1        x > 0.5              the float after 0.5, as x < t is x <= 0.5   1
      0,   -1        every x              NaN, as x < NaN never holds                 1
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hbcore import bits, kernels
from hbcore.autograd.function import Array
from hbcore.bits import Words
from hbcore.nn.blocks import Unit
from hbcore.nn.layers import BatchNorm2d, BinaryConv2d, PReLU, ReLU
from hbcore.nn.module import Module


def norm_line(norm: BatchNorm2d) -> tuple[Array, Array]:
    """(scale, shift) of a batch norm in evaluation, rounded as :class:`hbcore.autograd.norm.FixedNorm` rounds them."""
    r = 1 / np.sqrt(norm.running_variance + norm.running_variance.dtype.type(norm.eps))
    gamma, beta = norm.gamma.data, norm.beta.data
    return gamma * r, beta - gamma * r * norm.running_mean


def threshold(scale: Array, shift: Array) -> tuple[Array, Array]:
    """(t, flip) such that scale x + shift < 0, in float32, exactly where (x < t) xor flip; one per channel.

    Bisection over the float32 in their order: as integers, sign and magnitude turned into one rising sequence.
    """
    rising = np.where(scale < 0, np.float32(-1), np.float32(1))
    # The smallest x (largest for a falling line) at which the line is not negative; infinity if there is none.
    low = np.full(scale.shape, _rank(np.float32(-np.inf)))
    high = np.full(scale.shape, _rank(np.float32(np.inf)) + 1)
    while (low < high).any():
        middle = (low + high) // 2
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            x = rising * _unrank(middle)
            reached = ~(scale * x + shift < 0)
        high = np.where((low < high) & reached, middle, high)
        low = np.where((low < high) & ~reached, middle + 1, low)
    edge = _unrank(np.minimum(low, _rank(np.float32(np.inf))))
    never = low > _rank(np.float32(np.inf))  # negative even at infinity
    flip = rising < 0
    # Falling: negative where -x < edge, that is where x > -edge: not where x < next(-edge).
    t = np.where(flip, np.nextafter(-edge, np.float32(np.inf)), edge)
    # Always negative: x < NaN never holds, and flip makes it always.
    return np.where(never, np.float32(np.nan), t).astype(np.float32), np.where(never, True, flip)


def _rank(x: Array | np.float32) -> Array:
    """The place of float32 numbers in their order, -0 and +0 being the same place."""
    raw = np.asarray(x, dtype=np.float32).view(np.int32).astype(np.int64)
    return np.where(raw < 0, -(raw & 0x7FFFFFFF), raw)


def _unrank(rank: Array) -> Array:
    raw = np.where(rank < 0, -rank | 0x80000000, rank)
    return raw.astype(np.uint32).view(np.float32)


@dataclass(frozen=True, eq=False)
class FoldedUnit:
    """A binary unit in evaluation: (x < threshold) xor flip, convolved with filters, times alpha, then its activation.

    threshold (C,), flip packed (words,), filters packed (kH, kW, words, O), alpha (O,); relu, or slope (O,) of a PReLU.
    """

    threshold: Array
    flip: Words
    filters: Words
    channels: int
    padding: int
    alpha: Array
    relu: bool
    slope: Array | None

    @classmethod
    def of(cls, unit: Module) -> FoldedUnit:
        assert isinstance(unit, Unit)
        norm, conv, *rest = unit.modules
        assert isinstance(norm, BatchNorm2d)
        assert isinstance(conv, BinaryConv2d)
        t, flip = threshold(*norm_line(norm))
        slope = next((module.slope.data.copy() for module in rest if isinstance(module, PReLU)), None)
        filters = kernels.backend.pack_filters(conv.weight.data)
        relu = any(isinstance(module, ReLU) for module in rest)
        channels = conv.weight.shape[2]
        return cls(t, bits.pack_bits(flip), filters, channels, conv.padding, conv.alpha, relu, slope)

    @property
    def width(self) -> int:
        """Filters."""
        return int(self.filters.shape[3])
