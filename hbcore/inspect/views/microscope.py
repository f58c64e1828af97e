"""The verb `microscope`: one number of a binary layer, and every bit that made it."""

from __future__ import annotations

import argparse
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from hbcore import bits
from hbcore.autograd.function import Array
from hbcore.deploy.folding import norm_line, threshold
from hbcore.inspect.footprint import Box, footprint
from hbcore.inspect.observe import run_once
from hbcore.inspect.subject import InspectError, Subject, binary_units, choose
from hbcore.inspect.view import View, table
from hbcore.nn.layers import BatchNorm2d, BinaryConv2d
from hbcore.nn.module import Module

HELP = "one number of a binary layer, with the words, the xor, the popcount and the pixels behind it"
PICTURES = 1
PACKED = "without signs: not known, as a packed file has no latent weights, and of a batch norm the threshold alone"
SHOWN = 16  # channels of the batch norm that are printed; JSON has them all


@dataclass(frozen=True)
class Tap:
    """One position of the window: a pixel (y, x) of the layer's input, and its words beside those of the filter.

    Outside the map there are no activations: the tap is left out, and K is smaller by its channels.
    """

    pixel: tuple[int, int]
    weights: tuple[int, ...]
    activations: tuple[int, ...] | None
    differing: tuple[int, ...] | None
    popcount: int


@dataclass(frozen=True)
class Normed:
    """One channel of the window's middle pixel: x, v = scale x + shift, and the bit of v, which is (x < t) xor flip."""

    x: float
    scale: float
    shift: float
    v: float
    threshold: float
    flip: bool
    bit: int


@dataclass(frozen=True)
class Sample:
    """How a binary layer comes to one number, by hand and by the kernel.

    factors: K of `bits.py`. dot: K - 2 popcount. value: alpha dot + bias, in float32. kernel: what the layer computed.
    simulated: the dot product of the signs as numbers. real: that of v and the latent weights, without any sign; None
    where these are not known, see `has_latents`. pixels: of the network's input that it depends on.
    """

    layer: str
    channel: int
    at: tuple[int, int]
    taps: tuple[Tap, ...]
    factors: int
    popcount: int
    dot: int
    alpha: float
    bias: float
    value: float
    kernel: float
    simulated: float
    real: float | None
    middle: tuple[Normed, ...]
    pixels: Box


@dataclass(frozen=True, eq=False)
class Slide:
    """A binary layer with what went through it: x (H, W, C), v of the same shape behind the batch norm, y (h, w, O)."""

    name: str
    norm: BatchNorm2d
    conv: BinaryConv2d
    x: Array
    v: Array
    y: Array
    result: Any

    @classmethod
    def of(cls, subject: Subject, layer: str) -> Slide:
        """The layer of that name, and what the first picture is there. InspectError where there is none."""
        name = choose(layer, list(binary_units(subject.network)))
        return next(slide for slide in slides(subject) if slide.name == name)

    def at(self, y: int, x: int, channel: int) -> Sample:
        """One number of the result. InspectError where there is none."""
        conv, (height, width, filters) = self.conv, self.y.shape
        if not (0 <= y < height and 0 <= x < width):
            raise InspectError(f"--at {y},{x}: the map of {self.name} has {height} rows and {width} columns")
        if not 0 <= channel < filters:
            raise InspectError(f"--channel {channel}: {self.name} has the filters 0 to {filters - 1}")
        w = conv.weight.data[..., channel]
        taps, simulated, real = [], 0.0, 0.0
        for i, j in np.ndindex(w.shape[:2]):
            row, column = y * conv.stride - conv.padding + i, x * conv.stride - conv.padding + j
            inside = 0 <= row < self.v.shape[0] and 0 <= column < self.v.shape[1]
            v = self.v[row, column] if inside else None
            taps.append(_tap((row, column), w[i, j], v))
            if v is not None:
                simulated += float(bits.sign(v) @ bits.sign(w[i, j]))
                real += float(v.astype(np.float64) @ w[i, j])
        factors = w.shape[2] * sum(tap.activations is not None for tap in taps)
        popcount = sum(tap.popcount for tap in taps)
        dot = factors - 2 * popcount
        alpha = conv.alpha[channel]
        bias = np.float32(0) if conv.bias is None else conv.bias.data[channel]
        value, kernel = float(alpha * np.float32(dot) + bias), float(self.y[y, x, channel])
        middle = self.normed(taps[len(taps) // 2].pixel)
        box = footprint(self.result, y, x)
        return Sample(
            self.name, channel, (y, x), tuple(taps), factors, popcount, dot, float(alpha), float(bias), value, kernel,
            simulated, real if has_latents(conv.weight.data) else None, middle, box,
        )  # fmt: skip

    def normed(self, pixel: tuple[int, int]) -> tuple[Normed, ...]:
        """The batch norm of every channel at one pixel of the input."""
        scale, shift = norm_line(self.norm)
        t, flip = threshold(scale, shift)
        v = self.v[pixel]
        columns = self.x[pixel], scale, shift, v, t, flip, (v < 0).astype(int)
        return tuple(Normed(*row) for row in zip(*(column.tolist() for column in columns), strict=True))


def slides(subject: Subject) -> list[Slide]:
    """Every binary layer with what the first picture is there, in the order of the network. InspectError where there
    is none."""
    units = binary_units(subject.network)
    seen: dict[int, tuple[Any, Any]] = {}
    watched = {id(part) for norm, conv, _ in units.values() for part in (norm, conv)}

    def note(_: str, module: Module, inputs: tuple[Any, ...], result: Any) -> None:
        if id(module) in watched:
            seen[id(module)] = inputs[0], result

    run_once(subject.network, subject.pictures[:1], note, graph=True)
    found = []
    for name, (norm, conv, _) in units.items():
        (x, v), (_, y) = seen[id(norm)], seen[id(conv)]
        found.append(Slide(name, norm, conv, x.data[0], v.data[0], y.data[0], y))
    return found


def has_latents(w: Array) -> bool:
    """Whether filters (kH, kW, C, O) have weights of any size. A packed file has one size for each: all of alpha."""
    sizes = np.abs(w.reshape(-1, w.shape[3]))
    return bool((sizes != sizes[0]).any())


def _tap(pixel: tuple[int, int], w: Array, v: Array | None) -> Tap:
    weights = _words(w)
    if v is None:
        return Tap(pixel, weights, None, None, 0)
    activations = _words(v)
    differing = tuple(a ^ b for a, b in zip(activations, weights, strict=True))
    return Tap(pixel, weights, activations, differing, sum(word.bit_count() for word in differing))


def _words(numbers: Array) -> tuple[int, ...]:
    """The signs of some channels in words, as Python's own integers."""
    return tuple(map(int, bits.pack_signs(numbers)))


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--layer", required=True, metavar="NAME", help="a binary layer, as `summary` names it")
    parser.add_argument("--channel", type=int, default=0, metavar="C", help="a filter of the layer, from 0")
    parser.add_argument("--at", type=_position, metavar="Y,X", help="a pixel of its map; else the middle")


def _position(text: str) -> tuple[int, int]:
    try:
        y, x = map(int, text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not Y,X, two whole numbers") from None
    return y, x


def view(subject: Subject, options: argparse.Namespace) -> View:
    slide = Slide.of(subject, options.layer)
    y, x = options.at or (slide.y.shape[0] // 2, slide.y.shape[1] // 2)
    sample = slide.at(y, x, options.channel)
    data = asdict(sample) | {"pixels": sample.pixels._asdict()}
    digits = -(-min(slide.v.shape[2], bits.WORD) // 4)
    for tap in data["taps"]:  # 64 bits are more than a number in JSON holds
        tap |= {key: _hex(tap[key], digits) for key in ("weights", "activations", "differing")}
    return View(_lines(subject, slide, sample, digits), data)


def _hex(words: tuple[int, ...] | None, digits: int) -> list[str] | None:
    return None if words is None else [f"0x{word:0{digits}x}" for word in words]


def _lines(subject: Subject, slide: Slide, sample: Sample, digits: int) -> list[str]:
    channels, box = slide.v.shape[2], sample.pixels
    inside = box.within(subject.size, subject.size)
    rows = [
        (
            f"{tap.pixel[0]},{tap.pixel[1]}",
            *(" ".join(_hex(words, digits) or ["outside"]) for words in (tap.activations, tap.weights, tap.differing)),
            "" if tap.activations is None else tap.popcount,
        )
        for tap in sample.taps
    ]
    outside = sum(tap.activations is None for tap in sample.taps)
    left_out = f", {outside} outside the map are left out" if outside else ""
    norms = [
        (c, *(f"{number:.6g}" for number in (n.x, n.scale, n.shift, n.v, n.threshold)), int(n.flip), n.bit)
        for c, n in enumerate(sample.middle[:SHOWN])
    ]
    more = f", the first {SHOWN} of {channels} (--json has all)" if channels > SHOWN else ""
    plus, bias = ("", "") if slide.conv.bias is None else (" + bias", f" + {sample.bias:.9g}")
    middle = sample.taps[len(sample.taps) // 2].pixel
    return [
        f"{sample.layer}, filter {sample.channel} at {sample.at[0]},{sample.at[1]}: {slide.conv.describe()}",
        f"sees rows {inside.top} to {inside.bottom} and columns {inside.left} to {inside.right} of the picture",
        "",
        f"a: signs of the input, w: of the filter, 1 for -1; channel 0 is the lowest bit{left_out}",
        *table(("pixel", "a", "w", "a xor w", "popcount"), rows),
        "",
        f"K = {sample.factors} factors, of which {sample.popcount} are -1",
        f"dot = K - 2 popcount = {sample.factors} - {2 * sample.popcount} = {sample.dot}",
        f"y = alpha dot{plus} = {sample.alpha:.9g} * {sample.dot}{bias} = {sample.value:.9g}",
        f"the layer computed {sample.kernel:.9g}",
        f"the same from numbers of +1 and -1: dot = {sample.simulated:g}",
        PACKED if sample.real is None else f"without signs, of v and the latent weights: {sample.real:.9g}",
        "",
        f"batch norm at pixel {middle[0]},{middle[1]}: v = scale x + shift, bit = v < 0 = (x < t) xor flip{more}",
        *table(("channel", "x", "scale", "shift", "v", "t", "flip", "bit"), norms),
    ]  # fmt: skip
