"""The verb `summary`: what every convolution of a network computes, stores, sees and takes of the time."""

from __future__ import annotations

import argparse
import time
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from hbcore.inspect.footprint import footprint
from hbcore.inspect.observe import run_once
from hbcore.inspect.subject import Subject, convolutions, short
from hbcore.inspect.summary import summary
from hbcore.inspect.view import View, table
from hbcore.nn.blocks import Unit
from hbcore.nn.layers import BinaryConv2d, Conv2d
from hbcore.nn.module import Module

HELP = "size, cost, receptive field and share of the time of every layer"
PICTURES = 0
REST = "everything else"
REPEATS = 5


@dataclass(frozen=True)
class Row:
    """One convolution with its unit, or everything else.

    bits: of (weights, activations), 1 or 32. shape: (kH, kW, channels, filters). output: (height, width, filters).
    one_bit, real: parameters; alpha is none, as it follows from them. size: bytes, one-bit weights as bits and the
    others as float32. field: height and width of what a pixel in the middle of its map sees, in input pixels. share: of
    the time of a pass, layer by layer.
    """

    name: str
    bits: tuple[int, int] | None
    shape: tuple[int, ...]
    output: tuple[int, ...]
    one_bit: int
    real: int
    binary_macs: int
    real_macs: int
    field: tuple[int, int] | None
    share: float

    @property
    def size(self) -> int:
        return -(-self.one_bit // 8) + 4 * self.real


def rows(subject: Subject) -> list[Row]:
    """A row for every convolution in the order of computing, and one for what is left."""
    network, size = subject.network, subject.size
    units = convolutions(network)
    costs = {unit_name(units, layer.name): layer for layer in summary(network, size, size).layers}
    fields, shares = receptive_fields(subject), times(subject)
    found = []
    for name, layer in costs.items():
        conv, unit = units[name]
        whole = sum(parameter.data.size for parameter in (unit or conv).parameters())
        one_bit = conv.one_bit_weights
        macs = (layer.macs, 0) if layer.binary else (0, layer.macs)
        shape = tuple(conv.weight.shape)
        found.append(
            Row(name, layer.bits, shape, layer.output, one_bit, whole - one_bit, *macs, fields[name], shares[name])
        )
    left = sum(parameter.data.size for parameter in network.parameters()) - sum(row.one_bit + row.real for row in found)
    return [*found, Row(REST, None, (), (), 0, left, 0, 0, None, shares[REST])]


def unit_name(units: dict[str, tuple[Any, Unit | None]], layer: str) -> str:
    """The name under which a convolution stands among `convolutions`."""
    name = short(layer)
    return name if name in units else name.rpartition(".")[0]


def receptive_fields(subject: Subject) -> dict[str, tuple[int, int]]:
    """Height and width of what a pixel in the middle of each convolution's map sees, in input pixels.

    Borders do not count, so that a small picture says it as well, without the memory that a large graph takes. Its
    middle has to lie in the grid of all poolings as that of the large one does: sizes differ by twice the multiple.
    """
    units, fields = convolutions(subject.network), {}
    multiple = subject.network.multiple
    side = multiple + (subject.size - multiple) % (2 * multiple)

    def note(name: str, module: Module, inputs: tuple[Any, ...], result: Any) -> None:
        if isinstance(module, Conv2d | BinaryConv2d):
            box = footprint(result, result.shape[1] // 2, result.shape[2] // 2)
            fields[unit_name(units, name)] = box.height, box.width

    run_once(subject.network, np.zeros((1, side, side, 3), dtype=np.float32), note, graph=True)
    return fields


def times(subject: Subject) -> dict[str, float]:
    """Each unit's share of the time of one picture through the network, layer by layer in packed bits.

    The least of some passes. A deployed plan is faster: it joins what is done here one after the other.
    """
    units = convolutions(subject.network)
    spent = {name: np.zeros(REPEATS) for name in (*units, REST)}

    for repeat in range(REPEATS):
        before = time.perf_counter()

        def note(name: str, module: Module, inputs: tuple[Any, ...], result: Any, repeat: int = repeat) -> None:
            nonlocal before
            now = time.perf_counter()
            owner = unit_name(units, name)
            spent[owner if owner in units else REST][repeat] += now - before
            before = time.perf_counter()

        run_once(subject.network, subject.pictures[:1], note)
    least = {name: float(seconds.min()) for name, seconds in spent.items()}
    whole = sum(least.values())
    return {name: seconds / whole for name, seconds in least.items()}


def options(parser: argparse.ArgumentParser) -> None:
    """None of its own."""


HEAD = (
    *("layer", "bits", "filters", "output", "1-bit weights", "real parameters", "bytes"),
    *("1-bit MACs", "real MACs", "sees", "time"),
)
SUMS = "one_bit", "real", "size", "binary_macs", "real_macs"
LEGEND = (
    "sees: height x width, in input pixels, of what a pixel can depend on: in theory, as if there were no borders",
    "time: share of one pass layer by layer, with batch norm and activation; a deployed plan joins these",
)


def view(subject: Subject, options: argparse.Namespace) -> View:
    found = rows(subject)
    sums = {name: sum(getattr(row, name) for row in found) for name in SUMS}
    total = ("all", "", "", "", *(f"{count:,}" for count in sums.values()), "", "")
    title = f"{subject.name} at {subject.size} x {subject.size} pixels"
    layers = [asdict(row) | {"size": row.size} for row in found]
    return View(
        [title, *table(HEAD, [*map(_cells, found), total]), *LEGEND],
        {"model": subject.name, "pixels": subject.size, "layers": layers, "all": sums},
    )


def _cells(row: Row) -> tuple[str, ...]:
    bits = "" if row.bits is None else "/".join(map(str, dict.fromkeys(row.bits)))
    height, width, channels, filters = row.shape or ("",) * 4
    shape = f"{height}x{width} {channels}->{filters}" if row.shape else ""
    numbers = (f"{count:,}" for count in (row.one_bit, row.real, row.size, row.binary_macs, row.real_macs))
    field = "x".join(map(str, row.field)) if row.field else ""
    return row.name, bits, shape, "x".join(map(str, row.output)), *numbers, field, f"{100 * row.share:.1f} %"
