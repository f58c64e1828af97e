"""The verb `diff`: how many bits two models have apart, layer by layer."""

from __future__ import annotations

import argparse
from dataclasses import asdict, dataclass

import numpy as np

from hbcore.inspect.subject import InspectError, Subject, binary_units
from hbcore.inspect.view import View, counted, table
from hbcore.inspect.views.planes import signs
from hbcore.nn.blocks import Unit
from hbcore.nn.layers import BatchNorm2d, BinaryConv2d

HELP = "Hamming distance of two models, layer by layer"
PICTURES = 1


@dataclass(frozen=True)
class Distance:
    """Of one binary layer in two models: weights whose signs differ, of how many; scale: mean |log2| of the ratio of
    the filters' alphas; signs: the share of input signs that differ for the same picture, None where one of the models
    cannot look at it.
    """

    name: str
    flipped: int
    weights: int
    scale: float
    signs: float | None


def distances(one: Subject, other: Subject) -> list[Distance]:
    """Of all binary layers that both have, of the same shape. InspectError where there is none."""
    ours, theirs = binary_units(one.network), binary_units(other.network)
    both = [name for name in ours if name in theirs and _shape(ours[name]) == _shape(theirs[name])]
    if not both:
        raise InspectError(f"{one.name} and {other.name} have no binary layer of the same name and shape")
    comparable = one.size == other.size
    seen, seen_there = (signs(one), signs(other)) if comparable else ({}, {})
    found = []
    for name in both:
        (_, a, _), (_, b, _) = ours[name], theirs[name]
        flipped = int(np.count_nonzero((a.weight.data < 0) != (b.weight.data < 0)))
        ratio = np.abs(np.log2(np.maximum(a.alpha, _LEAST) / np.maximum(b.alpha, _LEAST)))
        apart = float(np.mean(seen[name] != seen_there[name])) if comparable else None
        found.append(Distance(name, flipped, a.weight.data.size, float(ratio.mean()), apart))
    return found


_LEAST = np.float32(1e-30)  # of an alpha: a filter of zeros has a logarithm as well


def _shape(unit: tuple[BatchNorm2d, BinaryConv2d, Unit]) -> tuple[int, ...]:
    return unit[1].weight.shape


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--with", dest="other", required=True, metavar="MODEL", help="the model to compare with")


def view(subject: Subject, options: argparse.Namespace) -> View:
    other = subject.also(options.other)
    found = distances(subject, other)
    comparable = found[0].signs is not None
    rows = [
        (d.name, f"{d.flipped:,}", f"{d.weights:,}", _percent(d.flipped / d.weights), f"{d.scale:.3f}",
         *([] if d.signs is None else [_percent(d.signs)]))
        for d in found
    ]  # fmt: skip
    flipped, weights = sum(d.flipped for d in found), sum(d.weights for d in found)
    left = len(binary_units(subject.network)) + len(binary_units(other.network)) - 2 * len(found)
    lines = [
        *table(("layer", "flipped", "of weights", "share", "scales, octaves", "input signs")[: len(rows[0])], rows),
        f"{flipped:,} of {weights:,} weight bits differ, {_percent(flipped / weights)}",
    ]
    if not comparable:
        lines.append(f"{other.name} cannot see {subject.size} pixels as {subject.name} does: signs are not compared")
    if left:
        lines.append(f"{counted(left, 'binary layer')} without counterpart of the same name and shape")
    data = {"models": [subject.name, other.name], "layers": [asdict(d) for d in found]}
    return View(lines, data | {"flipped": flipped, "weights": weights, "without_counterpart": left})


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"
