"""The memory plan: one arena, in which buffers share a place where no step needs both.

The largest buffer is placed first, each at the lowest place that no other has meanwhile: three numbers of bytes over
steps 0 to 3,

    buffer   bytes   steps     place
       a      100    0 to 1        0
       b       60    1 to 2      100    a is there until step 1
       c       40    2 to 3        0    a is gone

take 160 bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from hbcore.autograd.function import Array
from hbcore.deploy.table import Area, Table

LINE = 64  # bytes of a cache line, where the engine's buffers begin


def places(sizes: Sequence[int], lifetimes: Sequence[tuple[int, int]], align: int = 1) -> tuple[list[int], int]:
    """Where buffers begin, in bytes, multiples of `align`; and the size of the arena.

    sizes: of the buffers, in bytes, one of 0 taking no place. lifetimes: the first and the last step that needs each.
    """
    found: dict[int, int] = {}
    for number in sorted(range(len(sizes)), key=lambda n: (-sizes[n], n)):
        first, last = lifetimes[number]
        there = (n for n in found if lifetimes[n][0] <= last and first <= lifetimes[n][1])
        at = 0
        for begin, size in sorted((found[n], sizes[n]) for n in there):
            if at + sizes[number] <= begin:
                break
            at = max(at, -(-(begin + size) // align) * align)
        found[number] = at
    return [found[n] for n in range(len(sizes))], max((found[n] + sizes[n] for n in found), default=0)


def run_in(plan: Any, table: Table) -> tuple[Array, Array]:
    """Add the steps of a table to a plan, in an arena of their own; its picture and its maps, which are views of it."""
    array_of = laid_out(plan, table, *places([buffer.bytes for buffer in table.buffers], table.lifetimes(), LINE))
    return array_of(table.picture), array_of(table.maps)


def run_apart(plan: Any, table: Table) -> Callable[[Area], Array]:
    """The same, but no two buffers share a place, so that all are there to be seen afterwards; the array of an area."""
    whole = (-1, len(table.steps))
    sizes = [buffer.bytes for buffer in table.buffers]
    return laid_out(plan, table, *places(sizes, [whole] * len(sizes), LINE))


def laid_out(plan: Any, table: Table, begins: Sequence[int], total: int) -> Callable[[Area], Array]:
    """Add the steps of a table to a plan, its buffers where `begins` says; what gives the array of an area."""
    spare = np.zeros(total + LINE, dtype=np.uint8)
    arena = spare[-spare.ctypes.data % LINE :]
    arrays = [
        arena[begin : begin + buffer.bytes].view(buffer.dtype).reshape(buffer.shape)
        for begin, buffer in zip(begins, table.buffers, strict=True)
    ]

    def array_of(area: Area) -> Array:
        return arrays[area.buffer][..., area.first : area.first + area.shape[3]]

    for step in table.steps:
        getattr(plan, step.kind)(*step.on(array_of))
    return array_of
