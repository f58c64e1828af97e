"""The verb `graph`: the network drawn as boxes and arrows, as SVG."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from hbcore.autograd.function import Function, children_first
from hbcore.autograd.tensor import Tensor
from hbcore.inspect.documents.layered import Arrow, Box, drawn
from hbcore.inspect.observe import run_once
from hbcore.inspect.subject import Subject, short
from hbcore.inspect.view import View
from hbcore.nn.blocks import Bottleneck, Hierarchy, MultiScale
from hbcore.nn.hourglass import Head, Hourglass, StackedHourglass
from hbcore.nn.layers import BinaryConv2d, Conv2d
from hbcore.nn.module import Module, Sequential

HELP = "a drawing of the network, as SVG"
PICTURES = 0
OPENED = {
    "blocks": (StackedHourglass, Hourglass, Head),
    "layers": (StackedHourglass, Hourglass, Head, Bottleneck, Hierarchy, MultiScale),
}
"""Modules in whose place what they hold is drawn, and plain rows of others."""


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--detail", choices=tuple(OPENED), default="blocks", help="what a box is (default: blocks)")
    parser.add_argument("--out", type=Path, default=Path("network.svg"), metavar="FILE", help="where to write it")


def view(subject: Subject, options: argparse.Namespace) -> View:
    boxes, arrows = graph(subject, options.detail)
    title = f"{subject.name}, {subject.size} x {subject.size}: blue is computed with bits, orange with real numbers"
    lines = [f"{len(boxes)} boxes, {len(arrows)} arrows; blue is computed with bits, orange with real numbers"]
    data = {"model": subject.name, "boxes": {key: box.lines for key, box in boxes.items()}, "arrows": arrows}
    return View(lines, data, document=drawn(boxes, arrows, title))


def graph(subject: Subject, detail: str) -> tuple[dict[Any, Box], list[Arrow]]:
    """Boxes by number, in the order of computing, and arrows between them.

    Every recorded operation belongs to the outermost module that is not opened, or is a box of its own: sums and
    concatenations that join paths.
    """
    owners: dict[int, str] = {}
    boxes: dict[str, Box] = {"input": Box(("picture", f"{subject.size}x{subject.size}x3"), "real")}
    ends: list[Tensor] = []
    begins: set[int] = set()

    def note(name: str, module: Module, inputs: tuple[Any, ...], result: Any) -> None:
        if module is subject.network:
            ends.extend(result)
            begins.add(id(inputs[0]))
        if isinstance(module, OPENED[detail]) or type(module) is Sequential or result is inputs[0]:
            return
        for function in within(result, inputs):  # called for the outer after the inner, whose place it takes
            owners[id(function)] = name
        what = " ".join(filter(None, (type(module).__name__, module.describe())))
        boxes[name] = Box((short(name), what, size(result)), kind(module))

    run_once(subject.network, subject.pictures[:1], note, graph=True)
    order = dict.fromkeys(node for end in ends if end.function for node in children_first(end.function))
    for node in order:
        if isinstance(node, Function) and id(node) not in owners:
            owners[id(node)] = f"{len(owners)}"
            boxes[owners[id(node)]] = Box((type(node).__name__,))
    arrows: dict[tuple[str, str], None] = {}
    for node in order:
        if isinstance(node, Function):
            here = owners[id(node)]
            for parent in node.parents:
                there = "input" if id(parent) in begins else owners.get(id(parent))  # of a parameter: none
                if there is not None and there != here:
                    arrows[there, here] = None
    for number, end in enumerate(ends, start=1):
        boxes[f"maps {number}"] = Box((f"maps of stack {number}", size(end)))
        arrows[owners[id(end.function)], f"maps {number}"] = None
    used = dict.fromkeys(["input", *(name for arrow in arrows for name in arrow)])
    numbers = {name: place for place, name in enumerate(used)}
    return {numbers[name]: boxes[name] for name in used}, [(numbers[a], numbers[b]) for a, b in arrows]


def within(result: Tensor, inputs: tuple[Any, ...]) -> list[Function]:
    """The operations between a module's inputs and its result."""
    outside = {id(tensor.function) for tensor in inputs if isinstance(tensor, Tensor) and tensor.function is not None}
    found: dict[int, Function] = {}
    ahead = [result.function]
    while ahead:
        node = ahead.pop()
        if isinstance(node, Function) and id(node) not in found and id(node) not in outside:
            found[id(node)] = node
            ahead += [parent for parent in node.parents if isinstance(parent, Function)]
    return list(found.values())


def kind(module: Module) -> str:
    """The colour of a module: by its convolutions."""
    convolutions = [part for part in module.walk() if isinstance(part, Conv2d | BinaryConv2d)]
    if not convolutions:
        return "plain"
    return "bits" if all(isinstance(conv, BinaryConv2d) and conv.all_bits for conv in convolutions) else "real"


def size(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape[1:]))
