"""A network as a table: its steps in order, with folded numbers, and the buffers between them.

Nothing here computes. `memory.py` says where the buffers lie, the engine runs the steps, and an export writes them
down: all from one table, so that they cannot drift apart.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, Self, TypeGuard

import numpy as np


@dataclass(frozen=True)
class Area:
    """Some channels of all pixels of a buffer: channels first ... first + C - 1 of the `width` that a pixel has.

    shape (N, H, W, C); dtype: float32, or uint64 for words of 64 bits.
    """

    buffer: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    first: int
    width: int

    @property
    def bytes(self) -> int:
        """Of the area, without what lies between its pixels."""
        return math.prod(self.shape) * self.dtype.itemsize

    def part(self, channels: slice) -> Self:
        """Some of its channels, start to stop."""
        count = channels.stop - channels.start
        return replace(self, shape=(*self.shape[:3], count), first=self.first + channels.start)


def is_ending(value: object) -> TypeGuard[Any]:
    """Whether it says what follows the sums of a convolution, as an Epilogue: fields, of which some are areas."""
    return is_dataclass(value) and not isinstance(value, Area)


@dataclass(frozen=True, eq=False)
class Step:
    """A method of :class:`hbcore.kernels.plan.Plan` and its arguments in order, areas where that has arrays to write.

    Folded numbers are arrays as they are. What is read and what is written: the areas of the arguments and of their
    epilogue; y, out and bits are written.
    """

    kind: str
    arguments: dict[str, Any]

    def areas(self) -> Iterator[Area]:
        """All that the step reads and writes."""
        for value in self.arguments.values():
            parts = [getattr(value, field.name) for field in fields(value)] if is_ending(value) else [value]
            yield from (part for part in parts if isinstance(part, Area))

    def bits(self) -> Area | None:
        """The area of packed signs that the step writes, if it does."""
        ending = self.arguments.get("epilogue")
        found: Area | None = self.arguments.get("out") if ending is None else ending.bits
        return found

    def on(self, array_of: Callable[[Area], Any]) -> list[Any]:
        """The arguments with arrays for areas."""

        def resolved(value: Any) -> Any:
            if is_ending(value):
                found = {field.name: getattr(value, field.name) for field in fields(value)}
                return replace(value, **{name: array_of(v) for name, v in found.items() if isinstance(v, Area)})
            return array_of(value) if isinstance(value, Area) else value

        return [resolved(value) for value in self.arguments.values()]


@dataclass(frozen=True, eq=False)
class Table:
    """Steps in order; buffers, each as the area that is all of it; picture (N, H, W, 3) and maps (N, h, w, K)."""

    steps: Sequence[Step]
    buffers: Sequence[Area]
    picture: Area
    maps: Area

    def lifetimes(self) -> list[tuple[int, int]]:
        """Of every buffer, the first and the last step that needs it. The picture is there before, the maps after."""
        found: dict[int, tuple[int, int]] = {self.picture.buffer: (-1, -1)}
        for at, step in enumerate(self.steps):
            for area in step.areas():
                found[area.buffer] = (found.get(area.buffer, (at, at))[0], at)
        found[self.maps.buffer] = (found[self.maps.buffer][0], len(self.steps))
        return [found[number] for number in range(len(self.buffers))]
