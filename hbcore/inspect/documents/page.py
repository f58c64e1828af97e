"""The verb `page`: the microscope as one HTML file, in which any number of any layer can be picked and recomputed."""

from __future__ import annotations

import argparse
import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hbcore.inspect.footprint import footprint
from hbcore.inspect.subject import Subject, binary_units, choose
from hbcore.inspect.view import View
from hbcore.inspect.views.microscope import Slide, slides

HELP = "the microscope as an HTML page, which needs no network and no server"
PICTURES = 1
TEMPLATE = Path(__file__).with_suffix(".html")
ROOM = 12_000_000
"""Characters that the layers of a page may take; layers beyond are left out, unless they are named."""


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--layer", action="append", metavar="NAME", help="a binary layer, repeatable; else all that there is room for"
    )
    parser.add_argument("--out", type=Path, default=Path("microscope.html"), metavar="FILE", help="where to write it")


def view(subject: Subject, options: argparse.Namespace) -> View:
    names = list(binary_units(subject.network))
    wanted = [choose(name, names) for name in options.layer or ()]
    found, room = [], ROOM
    for slide in slides(subject):
        if not wanted or slide.name in wanted:
            layer = described(slide, subject.size)
            room -= len(json.dumps(layer))
            if wanted or room >= 0:
                found.append(layer)
    picture = np.rint(subject.pictures[0] * 255).astype(np.uint8)
    seen = " PICTURE, of the same picture" if subject.sources else ""
    data = {"model": subject.name, "seen": seen, "size": subject.size, "picture": encoded(picture), "layers": found}
    left = len(wanted or names) - len(found)
    lines = [f"{len(found)} layers" + (f", {left} left out: name them with --layer" if left else "")]
    kept = {"model": subject.name, "layers": [layer["name"] for layer in found], "left_out": left}
    return View(lines, kept, document=html(data))


def described(slide: Slide, size: int) -> dict[str, Any]:
    """What the page needs of a layer.

    signs: of the pixels (H, W, C), weights: of the filters and taps (O, kH, kW, C), both as bytes with the first
    channel lowest, 1 for -1. result: float32 (h, w, O), what the layer computed. rows: for every row of the result, the
    first and last row of the picture that it sees; as both are square, the same holds for columns.
    """
    conv = slide.conv
    taps = np.moveaxis(conv.weight.data < 0, -1, 0)
    bias = np.zeros(len(taps)) if conv.bias is None else conv.bias.data
    sees = [footprint(slide.result, y, y).within(size, size) for y in range(slide.y.shape[0])]
    return {
        "name": slide.name,
        "input": slide.v.shape,
        "output": slide.y.shape,
        "kernel": taps.shape[1:3],
        "stride": conv.stride,
        "padding": conv.padding,
        "alpha": np.broadcast_to(conv.alpha, len(taps)).tolist(),
        "bias": bias.tolist(),
        "signs": encoded(np.packbits(slide.v < 0, axis=-1, bitorder="little")),
        "weights": encoded(np.packbits(taps, axis=-1, bitorder="little")),
        "result": encoded(slide.y.astype("<f4")),
        "rows": [(box.top, box.bottom) for box in sees],
    }


def encoded(array: NDArray[Any]) -> str:
    """The bytes of an array, in base64."""
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()


def html(data: dict[str, Any]) -> str:
    """The page with this data in it. A `<` in a name would end the data for a browser: JSON writes it as \\u003c."""
    return TEMPLATE.read_text(encoding="utf-8").replace("{{data}}", json.dumps(data).replace("<", "\\u003c"))
