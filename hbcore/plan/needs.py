"""What a network takes, from the planner that the C export and the engine use; and smaller networks beside it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import groupby, product
from typing import Any

from hbcore.deploy.lowering import lower
from hbcore.deploy.table import Area, Step, Table
from hbcore.export.c.files import c_network
from hbcore.landmarks.codec import Codec
from hbcore.nn.architecture import input_multiple
from hbcore.nn.hourglass import StackedHourglass
from hbcore.nn.layers import BinaryConv2d, Conv2d
from hbcore.plan.work import Work, work_of

PARTS = (1, 0.75, 0.5, 0.25)  # of the size of pictures, and of the features
STEMS = (None, 32, 16, 8)


@dataclass(frozen=True)
class Needs:
    """Bytes of the C file's arena and of its constants; products of bits and of numbers, and work, for one picture."""

    ram: int
    flash: int
    binary_macs: int
    real_macs: int
    work: Work


def needs(model: StackedHourglass, codec: Codec) -> Needs:
    """Of a network for the square pictures of a codec. ValueError where the sizes do not fit."""
    return needs_of(lower(model, codec.input_size, codec.input_size), codec)


def needs_of(table: Table, codec: Codec) -> Needs:
    """Of the steps for one picture."""
    network = c_network(table, codec)
    return Needs(
        network.ram, network.constants.bytes, macs(table, "binary_conv2d"), macs(table, "conv2d"), work_of(table)
    )


def macs(table: Table, kind: str) -> int:
    """Products of all convolutions of a kind, as if there were signs or numbers outside of the picture, too."""
    total = 0
    for step in table.steps:
        if step.kind == kind:
            end, w = step.arguments["epilogue"], step.arguments["w"]
            out = end.y if end.y is not None else end.bits
            taps = w.shape[0] * w.shape[1]
            channels = step.arguments.get("channels", w.shape[2])
            total += out.shape[1] * out.shape[2] * taps * channels * w.shape[3]
    return total


def untrained(architecture: dict[str, Any], codec: Codec) -> Needs:
    """Of a network that is not there yet, as its packed file will have it: real-valued weights in bytes."""
    return needs(blank(architecture), codec)


def blank(architecture: dict[str, Any]) -> StackedHourglass:
    """A network whose weights are all 0, which bytes hold as they hold those of a packed file."""
    model = StackedHourglass(**architecture)
    model.eval()
    for _, module in model.named_modules():
        if isinstance(module, Conv2d | BinaryConv2d):
            module.weight.data[...] = 0
    return model


def smaller(architecture: dict[str, Any], size: int) -> Iterator[tuple[dict[str, Any], int, str]]:
    """Architectures and sizes of pictures that take less, each with what is changed."""
    step = input_multiple(architecture["depth"], architecture["block"])
    sizes = dict.fromkeys(int(size * part) // step * step for part in PARTS)
    begun = architecture["stem"] or architecture["features"] // 4
    for part, stem in product(PARTS, STEMS):
        features = int(architecture["features"] * part)
        changed = {"features": features} | ({} if stem is None else {"stem": stem})
        for pixels in sizes:
            said = [f"size {pixels}"] if pixels != size else []
            said += [f"features {features}"] if part != 1 else []
            said += [f"stem {stem}"] if stem is not None else []
            if said and pixels >= step and (stem is None or stem < begun):
                yield architecture | changed, pixels, ", ".join(said)


def smaller_needs(architecture: dict[str, Any], codec: Codec) -> Iterator[tuple[str, Needs]]:
    """What these take, one after the other, as far as somebody asks; those that cannot be are left out.

    The first keeps most of the products. Networks are made for the smallest picture there is: larger ones take the same
    steps on more pixels.
    """
    least = input_multiple(architecture["depth"], architecture["block"])
    found = []
    for changed, group in groupby(smaller(architecture, codec.input_size), lambda each: each[0]):
        with suppress(ValueError):
            table = lower(blank(changed), least, least)
            each = macs(table, "binary_conv2d") + macs(table, "conv2d")
            found += [(each * (pixels // least) ** 2, said, table, pixels) for _, pixels, said in group]
    for _, said, table, pixels in sorted(found, key=lambda each: -each[0]):
        with suppress(ValueError):
            yield said, needs_of(enlarged(table, pixels // least), replace(codec, input_size=pixels))


def enlarged(table: Table, times: int) -> Table:
    """The same steps for a picture with so many times the height and width."""

    def larger(area: Area) -> Area:
        count, height, width, channels = area.shape
        return replace(area, shape=(count, height * times, width * times, channels))

    steps = [Step(step.kind, dict(zip(step.arguments, step.on(larger), strict=True))) for step in table.steps]
    return Table(steps, [larger(area) for area in table.buffers], larger(table.picture), larger(table.maps))
