"""From a table of real numbers to one of whole ones, and the proof that none of them overflows.

A stored number q, an int32, stands for q / 2^e, with one e for every buffer: as large as it can be while nothing that
the network computes, whatever the picture, goes beyond LARGEST. For that, the least and the greatest value of every
channel are followed from step to step, through the very arithmetic of whole numbers that the device runs. Where a
buffer would overflow, its e is made smaller, and all is followed again.

For one channel that holds -0.5 ... 0.5 and gets the sum of 9 signs with alpha 0.5, -4.5 ... 4.5, too: with e = 28 that
would reach 5 * 2^28, beyond 2^30; with e = 27 it stays below.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hbcore.autograd.function import Array
from hbcore.deploy.table import Area, Step, Table
from hbcore.export.c.numbers import LEVELS, comparison, in_bytes
from hbcore.export.integers.ending import Ending, Whole, moved
from hbcore.kernels.plan import Epilogue

LARGEST = 2**30  # of a stored number: two of them can be added
WIDE = 2**30  # of a value between a sum and what is stored
SUM = 2**31 - 1
FINE = 22  # bits that a factor has at least, unless it meets sums of signs
TOO_LARGE = "its real-valued layers may, one after the other, reach numbers too large for 32 bits"
COARSEST = 4  # exponent: numbers are then told apart by a sixteenth
PICTURE = 255  # a picture's number for one


@dataclass(frozen=True, eq=False)
class Integers:
    """A table of whole numbers. exponent: a map's number q is q / 2^exponent.

    largest_number, largest_sum: what no stored number and no sum of products exceeds, for any picture.
    """

    table: Table
    exponent: int
    largest_number: int
    largest_sum: int


def in_integers(table: Table) -> Integers:
    """The same network in whole numbers. ValueError for one whose numbers may grow until 32 bits are too coarse."""
    if any(step.kind == "add" for step in table.steps):  # of activations that are real numbers
        raise ValueError(TOO_LARGE)
    exponents = [30] * len(table.buffers)
    while True:
        found = _Pass(table, exponents)
        if min(found.exponents) < COARSEST:
            raise ValueError(TOO_LARGE)
        if found.exponents == exponents:
            assert found.largest_sum <= SUM
            assert found.largest_number <= SUM - LARGEST // 2  # so much may be added to round
            whole = Table(found.steps, found.buffers, found.typed(table.picture), found.typed(table.maps))
            return Integers(whole, exponents[table.maps.buffer], found.largest_number, found.largest_sum)
        exponents = found.exponents


class _Pass:
    """Once through all steps: in whole numbers, with the exponents given, and with those that would be needed."""

    def __init__(self, table: Table, given: list[int]) -> None:
        self.picture, self.given, self.exponents = table.picture.buffer, given, list(given)
        self.steps: list[Step] = []
        self.largest_number, self.largest_sum = 0, 0
        self.buffers = [self.typed(buffer) for buffer in table.buffers]
        self.least = [np.zeros(buffer.width, dtype=np.int64) for buffer in table.buffers]
        self.most = [np.zeros(buffer.width, dtype=np.int64) for buffer in table.buffers]
        self.most[self.picture][:] = 255
        for step in table.steps:
            self.steps.append(Step(step.kind, getattr(self, f"_{step.kind}")(**step.arguments)))

    def typed(self, area: Area) -> Area:
        """The area, of int32 if it was of numbers."""
        return replace(area, dtype=np.dtype(np.int32)) if area.dtype == np.float32 else area

    def unit(self, area: Area) -> float:
        """What a one in it stands for."""
        return 1 / PICTURE if area.buffer == self.picture else 2.0 ** -self.given[area.buffer]

    def bounds(self, area: Area) -> Whole:
        """The least and the greatest number of every channel: (2, C)."""
        channels = slice(area.first, area.first + area.shape[3])
        return np.stack([self.least[area.buffer][channels], self.most[area.buffer][channels]])

    def write(self, area: Area, bounds: Whole, *parts: Whole) -> None:
        """Note what an area holds from here on, and whether that, or one of the parts that are added, is too much."""
        channels = slice(area.first, area.first + area.shape[3])
        self.least[area.buffer][channels], self.most[area.buffer][channels] = bounds.min(axis=0), bounds.max(axis=0)
        largest = max(int(np.abs(each).max()) for each in (bounds, *parts))
        self.largest_number = max(self.largest_number, largest)
        self.lower(area, self.given[area.buffer] - max(0, math.ceil(math.log2(max(largest, 1) / LARGEST))))

    def lower(self, area: Area, exponent: int) -> None:
        """Ask for an exponent of at most so much."""
        self.exponents[area.buffer] = min(self.exponents[area.buffer], exponent)

    def down(self, x: Area, y: Area) -> int:
        """The power of two by which numbers of x are divided on their way to y."""
        if x.buffer == self.picture:
            raise ValueError("a picture cannot be added to other numbers")
        return self.given[x.buffer] - self.given[y.buffer]

    # ---------------------------------------------------------------------------------------------- convolutions

    def _conv2d(self, x: Area, w: Array, stride: int, padding: int, epilogue: Epilogue) -> dict[str, Any]:
        levels, step = levels_of(w.reshape(-1, w.shape[3]))
        taps = levels.reshape(w.shape).astype(np.int64)
        least, most = self.bounds(x)
        if padding:
            least, most = np.minimum(least, 0), np.maximum(most, 0)
        up, down = taps.clip(0, None).sum(axis=(0, 1)), taps.clip(None, 0).sum(axis=(0, 1))  # (C, O)
        sums = np.stack([least @ up + most @ down, most @ up + least @ down])
        largest = int(
            (np.maximum(np.abs(least), np.abs(most)) @ np.abs(taps).sum(axis=(0, 1))).max()
        )  # on the way, too
        self.largest_sum = max(self.largest_sum, largest)
        self.lower(x, self.given[x.buffer] - max(0, math.ceil(math.log2(max(largest, 1) / SUM))))
        ending = self._ending(epilogue, step.astype(np.float64) * self.unit(x), sums, FINE)
        whole = levels.reshape(w.shape)
        return {"x": self.typed(x), "w": whole, "stride": stride, "padding": padding, "epilogue": ending}

    def _binary_conv2d(
        self, x: Area, w: Array, channels: int, stride: int, padding: int, epilogue: Epilogue
    ) -> dict[str, Any]:
        most = w.shape[0] * w.shape[1] * channels
        self.largest_sum = max(self.largest_sum, most)
        sums = np.repeat([[-most], [most]], w.shape[3], axis=1)
        ending = self._ending(epilogue, np.ones(w.shape[3]), sums, 0)
        size = {"channels": channels, "stride": stride, "padding": padding}
        return {"x": x, "w": w, **size, "epilogue": ending}

    def _ending(self, end: Epilogue, unit: Array, sums: Whole, fine: int) -> Ending:
        """The epilogue for sums of so many `unit` (O,) within (2, O), and what it writes noted."""
        alpha = unit if end.alpha is None else unit * end.alpha.astype(np.float64)
        bias = np.zeros(len(unit)) if end.bias is None else end.bias.astype(np.float64)
        exponent = self._room(np.abs(alpha) * np.maximum(np.abs(sums).max(axis=0), 1) + np.abs(bias), end.slope, end)
        down = max(0, fine - _bits(np.abs(alpha).max() * 2.0**exponent))
        fields: dict[str, Any] = {"factor": _rounded(alpha * 2.0 ** (exponent + down)), "down": down}
        fields |= {"relu": end.relu, "relu_last": end.relu_last}
        if end.bias is not None:
            fields |= {"term": _rounded(bias * 2.0**exponent)}
        if end.slope is not None:
            slope_down = max(0, FINE - _bits(float(np.abs(end.slope).max())))
            fields |= {"slope": _rounded(end.slope * 2.0**slope_down), "slope_down": slope_down}
        if end.scale is not None:
            reached = np.maximum(np.abs(self._reached(Ending(**fields), sums)).max(axis=0), 1) * 2.0**-exponent
            scale, shift = end.scale.astype(np.float64), end.shift.astype(np.float64)  # type: ignore[union-attr]
            last = self._room(np.abs(scale) * reached + np.abs(shift), None, end)
            scale_down = max(0, FINE - _bits(np.abs(scale).max() * 2.0 ** (last - exponent)))
            fields |= {"scale": _rounded(scale * 2.0 ** (last - exponent + scale_down)), "scale_down": scale_down}
            fields |= {"offset": _rounded(shift * 2.0**last)}
            exponent = last
        if end.bits is not None:
            finite, flip = comparison(end.threshold, end.flip)  # type: ignore[arg-type]
            fields |= {"bits": end.bits, "flip": end.flip, "threshold": limits(finite, 2.0**exponent)}
            fields["flip"] = _words64(flip)
        return self._stored(fields, end, exponent, sums)

    def _room(self, most: Array, slope: Array | None, end: Epilogue) -> int:
        """The exponent of values of 32 bits that reach so much (O,)."""
        grown = most if slope is None else most * np.maximum(1, np.abs(slope))
        exponent = math.floor(math.log2(WIDE / max(float(grown.max()), 2.0**-20)))
        return exponent if end.y is None else min(exponent, self.given[end.y.buffer] + 30)  # type: ignore[attr-defined]

    def _stored(self, fields: dict[str, Any], end: Epilogue, exponent: int, sums: Whole) -> Ending:
        """The ending with what it stores as numbers."""
        reached = self._reached(Ending(**fields), sums)
        if end.y is None:
            return Ending(**fields)
        y: Any = self.typed(end.y)  # type: ignore[arg-type]
        self.lower(y, exponent)
        fields |= {"y": y, "y_down": max(0, exponent - self.given[y.buffer])}
        found = moved(reached, fields["y_down"])
        added = np.zeros_like(found)
        if end.skip is not None:
            skip: Any = self.typed(end.skip)  # type: ignore[arg-type]
            fields |= {"skip": skip, "skip_down": self.down(skip, y)}
            added = moved(self.bounds(skip), fields["skip_down"])
        self.write(y, found + added, added)
        return Ending(**fields)

    def _reached(self, ending: Ending, sums: Whole) -> Whole:
        """The least and the greatest value (2, O) of sums between two."""
        found, largest = ending.bounds(sums)
        self.largest_number = max(self.largest_number, largest)
        return found

    # ------------------------------------------------------------------------------------------- other steps

    def _threshold(self, x: Area, threshold: Array, flip: Array, out: Area) -> dict[str, Any]:
        finite, turned = comparison(threshold, flip)
        limit = limits(finite, 1 / self.unit(x))
        return {"x": self.typed(x), "threshold": limit, "flip": _words64(turned), "out": out}

    def _line(self, x: Area, scale: Array, shift: Array, sign: bool, y: Area) -> dict[str, Any]:
        end = Epilogue(alpha=scale, bias=shift, relu=not sign, y=y)  # type: ignore[arg-type]
        bounds = self.bounds(x)
        ending = self._ending(end, np.full(len(scale), self.unit(x)), bounds, FINE)
        if sign:
            self.lower(y, 0)
            self.write(y, np.repeat([[-1], [1]], len(scale), axis=1))
        return {"x": self.typed(x), "epilogue": replace(ending, y=None), "sign": sign, "y": self.typed(y)}

    def _copy(self, x: Area, y: Area) -> dict[str, Any]:
        return self._through(x, y, self.bounds(x), 0)

    def _upsample(self, x: Area, y: Area) -> dict[str, Any]:
        return self._through(x, y, self.bounds(x), 0)

    def _avg_pool(self, x: Area, y: Area) -> dict[str, Any]:
        return self._through(x, y, 4 * self.bounds(x), 2)

    def _max_pool(self, x: Area, y: Area) -> dict[str, Any]:
        for area, other in ((x, y), (y, x)):
            self.lower(area, self.given[other.buffer])
        self.write(y, self.bounds(x))
        return {"x": self.typed(x), "y": self.typed(y)}

    def _upsample_add(self, x: Area, y: Area) -> dict[str, Any]:
        down = self.down(x, y)
        added = moved(self.bounds(x), down)
        self.write(y, self.bounds(y) + added, added)
        return {"x": self.typed(x), "x_down": down, "y": self.typed(y)}

    def _through(self, x: Area, y: Area, bounds: Whole, more: int) -> dict[str, Any]:
        down = self.down(x, y) + more
        self.write(y, moved(bounds, down))
        return {"x": self.typed(x), "x_down": down, "y": self.typed(y)}


def levels_of(w: Array) -> tuple[Array, Array]:
    """Weights (terms, O) as whole numbers of steps (O,): exactly, if they are that, else rounded, as packing does."""
    exact = in_bytes(w)
    if exact is not None:
        return exact
    step = np.abs(w).max(axis=0) / LEVELS
    levels = np.rint(w / np.where(step == 0, 1, step)).clip(-LEVELS, LEVELS)
    return levels.astype(np.int8), step.astype(np.float32)


def limits(threshold: Array, per_unit: float) -> Array:
    """Whole numbers t, so that q < t says of all that can be stored what q / per_unit < threshold says."""
    return np.ceil(threshold.astype(np.float64) * per_unit).clip(-SUM, SUM).astype(np.int32)


def _bits(value: float) -> int:
    """Of the whole part of a number."""
    return math.floor(math.log2(max(value, 2.0**-20))) + 1


def _rounded(values: Array) -> Array:
    return np.rint(values).astype(np.int32)


def _words64(flip: Array) -> Array:
    """Words of 64 bits of words of 32, the lower half first."""
    padded = np.zeros(-(-len(flip) // 2) * 2, dtype=np.uint64)
    padded[: len(flip)] = flip
    return padded[::2] | padded[1::2] << np.uint64(32)
