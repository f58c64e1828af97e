"""The verb `bits`: the signs of weights and activations as pictures, white for +1 and black for -1."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hbcore.autograd.function import Array
from hbcore.inspect.observe import run_once
from hbcore.inspect.subject import Subject, binary_units, choose
from hbcore.inspect.view import View, table
from hbcore.nn.module import Module

HELP = "pictures of weight bits and of sign maps"
PICTURES = 1
WHITE, BLACK, GAP = 255, 0, 128


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--layer", metavar="NAME", help="a binary layer, as `summary` names it; else all")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="where to write the pictures, as PNG")


def view(subject: Subject, options: argparse.Namespace) -> View:
    units = binary_units(subject.network)
    chosen = list(units) if options.layer is None else [choose(options.layer, list(units))]
    inputs = signs(subject)
    rows, data = [], []
    pictures: dict[str, NDArray[np.uint8]] = {}
    for name in chosen:
        w, v = units[name][1].weight.data < 0, inputs[name]
        pictures |= {f"{name}-weights": weight_plane(w), f"{name}-signs": tiled(np.moveaxis(v, -1, 0))}
        of_weights, of_signs = float(w.mean()), float(v.mean())
        sizes = ("x".join(map(str, bits.shape)) for bits in (w, v))
        rows.append((name, *sizes, f"{100 * of_weights:.1f} %", f"{100 * of_signs:.1f} %"))
        negative = {"negative_weights": of_weights, "negative_signs": of_signs}
        data.append({"name": name, "weights": w.shape, "signs": v.shape} | negative)
    lines = table(("layer", "weights", "signs of the input", "weights -1", "signs -1"), rows)
    hint = [] if options.out else ["--out FOLDER writes the bits of each as pictures"]
    return View([*lines, *hint], {"model": subject.name, "layers": data}, pictures)


def signs(subject: Subject) -> dict[str, NDArray[np.bool_]]:
    """The bits (H, W, C) that go into every binary layer, of the first picture: true for -1."""
    names = {id(conv): name for name, (_, conv, _) in binary_units(subject.network).items()}
    found: dict[str, NDArray[np.bool_]] = {}

    def note(_: str, module: Module, inputs: tuple[Any, ...], result: Any) -> None:
        if id(module) in names:
            found[names[id(module)]] = inputs[0].data[0] < 0

    run_once(subject.network, subject.pictures[:1], note)
    return found


def weight_plane(bits: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Weights (kH, kW, C, O) as levels: a row for every filter, and in it the C bits of one tap after the other."""
    taps = np.moveaxis(bits, -1, 0).reshape(bits.shape[3], -1, bits.shape[2])  # (O, taps, C)
    between = np.full((*taps.shape[:2], 1), GAP, dtype=np.uint8)
    rows = np.concatenate([_levels(taps), between], axis=2)
    return np.ascontiguousarray(rows.reshape(len(rows), -1)[:, :-1])


def tiled(maps: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Maps (n, H, W) as levels, in rows from the top left, with a grey line between them; as square as it goes."""
    count, height, width = maps.shape
    across = math.ceil(math.sqrt(count * height / width))
    down = -(-count // across)
    sheet = np.full((down * (height + 1) - 1, across * (width + 1) - 1), GAP, dtype=np.uint8)
    for place, levels in enumerate(_levels(maps)):
        top, left = place // across * (height + 1), place % across * (width + 1)
        sheet[top : top + height, left : left + width] = levels
    return sheet


def _levels(bits: Array) -> NDArray[np.uint8]:
    return np.where(bits, np.uint8(BLACK), np.uint8(WHITE))
