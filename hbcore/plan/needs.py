"""What a network takes, from the planner that the C export and the engine use; and smaller networks beside it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

from hbcore.deploy.lowering import lower
from hbcore.deploy.model_file import rebuilt
from hbcore.deploy.packed_file import packed
from hbcore.deploy.table import Table
from hbcore.export.c.files import c_network
from hbcore.landmarks.codec import Codec
from hbcore.landmarks.heatmaps import HeatmapCodec
from hbcore.nn.architecture import input_multiple
from hbcore.nn.hourglass import StackedHourglass

PARTS = (1, 0.75, 0.5, 0.25)  # of the size of pictures, and of the features
STEMS = (None, 32, 16, 8)


@dataclass(frozen=True)
class Needs:
    """Bytes of the C file's arena and of its constants; products of bits and of numbers for one picture."""

    ram: int
    flash: int
    binary_macs: int
    real_macs: int


def needs(model: StackedHourglass, codec: Codec) -> Needs:
    """Of a network for the square pictures of a codec. ValueError where the sizes do not fit."""
    table = lower(model, codec.input_size, codec.input_size)
    network = c_network(table, codec)
    return Needs(network.ram, network.constants.bytes, macs(table, "binary_conv2d"), macs(table, "conv2d"))


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
    arrays, header = packed(StackedHourglass(**architecture), {})
    return needs(rebuilt(arrays, header), codec)


def smaller(architecture: dict[str, Any], size: int) -> Iterator[tuple[dict[str, Any], int, str]]:
    """Architectures and sizes of pictures that take less, each with what is changed."""
    step = input_multiple(architecture["depth"], architecture["block"])
    sizes = dict.fromkeys(int(size * part) // step * step for part in PARTS)
    begun = architecture["stem"] or architecture["features"] // 4
    for pixels, part, stem in product(sizes, PARTS, STEMS):
        features = int(architecture["features"] * part)
        changed = {"features": features} | ({} if stem is None else {"stem": stem})
        said = [f"size {pixels}"] if pixels != size else []
        said += [f"features {features}"] if part != 1 else []
        said += [f"stem {stem}"] if stem is not None else []
        if said and pixels >= step and (stem is None or stem < begun):
            yield architecture | changed, pixels, ", ".join(said)


def smaller_needs(architecture: dict[str, Any], size: int, sigma: float) -> list[tuple[str, Needs]]:
    """What these take; those that cannot be are left out. The first keeps most of the products."""
    found = []
    for changed, pixels, said in smaller(architecture, size):
        try:
            found.append((said, untrained(changed, HeatmapCodec(pixels, sigma=sigma))))
        except ValueError:
            continue
    return sorted(found, key=lambda each: -(each[1].binary_macs + each[1].real_macs))
