"""The verb `dead`: bits that say nothing, since a channel's sign never changes or a filter is there twice."""

from __future__ import annotations

import argparse
import math
from collections import defaultdict
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hbcore import bits
from hbcore.autograd.function import Array
from hbcore.inspect.observe import run_once
from hbcore.inspect.subject import Subject, binary_units
from hbcore.inspect.view import View, counted, table
from hbcore.nn.module import Module

HELP = "channels whose sign never changes, filters that are copies of each other"
PICTURES = math.inf
BATCH = 16


@dataclass(frozen=True)
class Dead:
    """What is idle in one binary layer.

    still: channels of its input whose sign is the same at all pixels of all pictures. copies, negatives: pairs (filter,
    earlier filter) of the same signs, or of all the opposite. weights: of the layer; idle: those that still channels
    meet, or that belong to a filter which repeats an earlier one.
    """

    name: str
    channels: int
    still: tuple[int, ...]
    filters: int
    copies: tuple[tuple[int, int], ...]
    negatives: tuple[tuple[int, int], ...]
    weights: int
    idle: int


def dead(subject: Subject) -> list[Dead]:
    """All binary layers of a network, over the pictures of a subject."""
    found = []
    negative, pixels = counts(subject)
    for name, (_, conv, _) in binary_units(subject.network).items():
        w = conv.weight.data
        still = np.isin(negative[name], (0, pixels[name]))
        copies, negatives = repeated(w)
        own = len(w[0, 0, 0]) - len(copies) - len(negatives)
        idle = w.size - own * w.shape[0] * w.shape[1] * int((~still).sum())
        places = tuple(np.flatnonzero(still).tolist())
        found.append(Dead(name, still.size, places, w.shape[3], copies, negatives, w.size, idle))
    return found


def counts(subject: Subject) -> tuple[dict[str, NDArray[np.int64]], dict[str, int]]:
    """How often each channel that goes into a binary layer is -1, (C,), and at how many pixels, over all pictures."""
    names = {id(conv): name for name, (_, conv, _) in binary_units(subject.network).items()}
    negative: dict[str, Any] = defaultdict(int)
    pixels: dict[str, int] = defaultdict(int)

    def note(_: str, module: Module, inputs: tuple[Any, ...], result: Any) -> None:
        if id(module) in names:
            v = inputs[0].data
            negative[names[id(module)]] += np.count_nonzero(v < 0, axis=(0, 1, 2))
            pixels[names[id(module)]] += v[..., 0].size

    for start in range(0, len(subject.pictures), BATCH):
        run_once(subject.network, subject.pictures[start : start + BATCH], note)
    return dict(negative), dict(pixels)


def repeated(w: Array) -> tuple[tuple[tuple[int, int], ...], tuple[tuple[int, int], ...]]:
    """Filters of w (kH, kW, C, O) with the signs of an earlier one, and with all the opposite: pairs (filter, earlier).

    A copy gives the same integers as the earlier filter, a negative the opposite ones: only alpha is its own.
    """
    rows = np.moveaxis(w, -1, 0).reshape(w.shape[3], -1) < 0
    first: dict[bytes, int] = {}
    copies, negatives = [], []
    for place, row in enumerate(rows):
        same, opposite = bits.pack_bits(row).tobytes(), bits.pack_bits(~row).tobytes()
        if same in first:
            copies.append((place, first[same]))
        elif opposite in first:
            negatives.append((place, first[opposite]))
        else:
            first[same] = place
    return tuple(copies), tuple(negatives)


def options(parser: argparse.ArgumentParser) -> None:
    """None of its own."""


def view(subject: Subject, options: argparse.Namespace) -> View:
    subject.require_photos("dead")
    found = dead(subject)
    rows = [
        (d.name, f"{len(d.still)} of {d.channels}", f"{len(d.copies)} of {d.filters}", len(d.negatives), f"{d.idle:,}")
        for d in found
        if d.idle
    ]
    channels, still = sum(d.channels for d in found), sum(len(d.still) for d in found)
    weights, idle = sum(d.weights for d in found), sum(d.idle for d in found)
    lines = [
        *(table(("layer", "still channels", "copies", "negatives", "idle bits"), rows) if rows else []),
        f"{still} of {channels} channels never change their sign over {counted(len(subject.pictures), 'picture')}",
        f"{idle:,} of {weights:,} weight bits are idle, {100 * idle / weights:.2f} %",
    ]
    data = {"model": subject.name, "pictures": len(subject.pictures), "layers": [asdict(d) for d in found]}
    return View(lines, data | {"channels": channels, "still": still, "weights": weights, "idle": idle})
