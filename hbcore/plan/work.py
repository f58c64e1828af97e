"""What a network does on a picture, counted by kinds of work, and about how many instructions that is on a CPU."""

from __future__ import annotations

from dataclasses import astuple, dataclass

from hbcore.deploy.table import Table
from hbcore.export.c.numbers import GROUP


@dataclass(frozen=True)
class Work:
    """Of one picture in the C file.

    words: of 32 signs, that meet eight filters; products: of numbers, with filters filled up to a multiple of eight;
    sums: that convolutions finish; numbers: that other steps read or write.
    """

    words: float
    products: float
    sums: float
    numbers: float

    def instructions(self, cost: Work) -> float:
        """How many, if each of these takes so many."""
        return float(sum(count * each for count, each in zip(astuple(self), astuple(cost), strict=True)))


def work_of(table: Table) -> Work:
    """Counted from the steps."""
    words = products = sums = numbers = 0
    for step in table.steps:
        if step.kind not in ("conv2d", "binary_conv2d"):
            numbers += max(area.shape[1] * area.shape[2] * area.shape[3] for area in step.areas())
            continue
        end, w = step.arguments["epilogue"], step.arguments["w"]
        out = end.y if end.y is not None else end.bits
        pixels, taps, groups = out.shape[1] * out.shape[2], w.shape[0] * w.shape[1], -(-w.shape[3] // GROUP)
        sums += pixels * w.shape[3]
        if step.kind == "conv2d":
            products += pixels * taps * w.shape[2] * groups * GROUP
        else:
            words += pixels * taps * -(-step.arguments["channels"] // 32) * groups
    return Work(words, products, sums, numbers)
