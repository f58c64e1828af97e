"""Packed model files: what a deployed network needs, and nothing else; `docs/packed_file.md` is for strangers.

Of a binary unit the signs of its weights stay, the scale of each filter, and one threshold per channel in place of the
batch norm (`folding.py`). Scales and thresholds are rounded to 16 bits, the weights of real-valued convolutions to
bytes, 127 steps up and down per filter: that is all that is lost. What is read is an ordinary network again, of which
packed bits, simulation and the engine compute the same: its latent weights are plus and minus alpha, and the batch
norms before its signs are x - t, or p - x with p the number before t, which is below 0 where x >= t.

A file is safetensors with one array per kind of number, in the order of the header's table of layers:

    kind        of                                     arrays
    bits        weights of a binary convolution        bits: signs, 1 for -1, filter by filter, each (kH, kW, C), padded
                                                       to whole bytes per layer; alpha: float16 (O,), unless it is 1
    threshold   batch norm before a sign               threshold: float16 (C,); flip: bits, padded likewise.
                                                       The sign is -1 where (x < threshold) xor flip
    line        any other batch norm                   line: float32, scale (C,) then shift (C,): scale x + shift
    bytes       weights of a real-valued convolution   bytes: int8 (kH, kW, C, O); step: float32 (O,), of 1
    numbers     biases, slopes of PReLU                numbers: float32 (O,)
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from safetensors.numpy import save

from hbcore.autograd.function import Array
from hbcore.deploy.folding import norm_line, threshold
from hbcore.nn.blocks import Unit
from hbcore.nn.hourglass import StackedHourglass
from hbcore.nn.layers import BatchNorm2d, BinaryConv2d, Conv2d, PReLU

FORMAT = "hbcore-packed/1"
STREAMS = {
    "bits": np.uint8, "alpha": np.float16, "threshold": np.float16, "flip": np.uint8, "line": np.float32,
    "bytes": np.int8, "step": np.float32, "numbers": np.float32,
}  # fmt: skip
LEVELS = 127  # of a byte, up and down
LEAST, MOST = np.float32(2**-24), np.float32(65504)  # of float16: what is scaled by nothing still has its signs


class Layer(NamedTuple):
    """A row of the table: what it is called, its kinds of numbers, and the shape of the last kind."""

    name: str
    kinds: str
    shape: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.name} {self.kinds} {'x'.join(map(str, self.shape))}"


def layers(model: StackedHourglass) -> Iterator[tuple[Layer, list[tuple[str, Any]]]]:
    """The table of a network's layers, each with its kinds and the modules that have them, in the order of the file.

    A batch norm before a sign is in the row of the convolution that takes the sign; "unit" is "threshold+bits".
    """
    norms = {id(u.modules[1]): u.modules[0] for u in model.walk() if isinstance(u, Unit) and _takes_signs(u)}
    hidden = set(map(id, norms.values()))
    for name, module in model.named_modules():
        name = name.replace("modules.", "")
        kinds: list[tuple[str, Any]] = []
        if isinstance(module, BatchNorm2d) and id(module) not in hidden:
            kinds, shape = [("line", module)], module.gamma.data.shape
        elif isinstance(module, Conv2d | BinaryConv2d):
            signs = isinstance(module, BinaryConv2d) and module.binarize != "activations"
            kinds, shape = [("bits" if signs else "bytes", module)], module.weight.data.shape
            if id(module) in norms:
                kinds.insert(0, ("threshold", norms[id(module)]))
            if module.bias is not None:
                kinds.insert(0, ("numbers", module))
        elif isinstance(module, PReLU):
            kinds, shape = [("numbers", module)], module.slope.data.shape
        if kinds:
            named = "+".join(kind for kind, _ in kinds).replace("threshold+bits", "unit")
            yield Layer(name, named, shape), kinds


def packed(model: StackedHourglass, metadata: dict[str, Any]) -> tuple[dict[str, Array], dict[str, Any]]:
    """The arrays and the header of a packed file of a float32 network; metadata: further JSON values for the header.

    Raises ValueError for a network whose signs are smooth, and naming the layer whose numbers 16 bits do not hold.
    """
    if model.architecture["sharpness"] is not None:
        raise ValueError(
            "a network whose signs are smooth is in the middle of its training: packed files know hard signs"
        )
    parts: dict[str, list[Array]] = {stream: [] for stream in STREAMS}
    table = []
    for layer, kinds in layers(model):
        table.append(str(layer))
        for kind, module in kinds:
            try:
                written = _written(kind, module)
            except ValueError as error:
                raise ValueError(f"{layer.name}: {error}") from None
            for stream, values in written.items():
                parts[stream].append(np.ravel(values).astype(STREAMS[stream]))
    arrays = {stream: np.concatenate(found) for stream, found in parts.items() if found}
    header = {"format": FORMAT, "architecture": model.architecture, "layers": table, **metadata}
    return arrays, header


def packed_bytes(arrays: dict[str, Array], header: dict[str, Any]) -> bytes:
    """The content of the file that has them."""
    return bytes(save(arrays, {"hbcore": json.dumps(header, sort_keys=True, separators=(",", ":"))}))


def weights_in(arrays: dict[str, Array]) -> int:
    """How many weights a packed file holds, at most."""
    return sum(arrays[stream].size * each for stream, each in (("bits", 8), ("bytes", 1)) if stream in arrays)


@np.errstate(over="ignore", invalid="ignore")  # what is not finite is refused, here or by whoever asks
def read_packed(model: StackedHourglass, arrays: dict[str, Array], table: Any) -> None:
    """Give a network of the file's architecture the file's numbers. ValueError where they do not fit it."""
    rows = list(layers(model))
    if table != [str(layer) for layer, _ in rows]:
        raise ValueError("its table of layers is not that of its architecture")
    source = _Source(arrays)
    for layer, kinds in rows:
        for kind, module in kinds:
            try:
                _read(kind, module, source)
            except ValueError as error:
                raise ValueError(f"{layer.name}: {error}") from None
    source.require_empty()


def _takes_signs(unit: Unit) -> bool:
    """Whether the convolution of a unit takes the signs of what its batch norm gives."""
    conv = unit.modules[1]
    return isinstance(conv, BinaryConv2d) and conv.binarize != "weights"


# -------------------------------------------------------------------------------------------- one layer, to and fro


def _written(kind: str, module: Any) -> dict[str, Array]:
    """The numbers of a layer by the arrays that take them."""
    if kind == "numbers":
        return {"numbers": _numbers(module)}
    if kind == "bits":
        signs = {"bits": np.packbits(module.weight.data.transpose(3, 0, 1, 2).ravel() < 0, bitorder="little")}
        if not module.scaled:
            return signs
        alpha = np.maximum(module.alpha, LEAST)
        if alpha.max() > MOST:
            raise ValueError(f"the scale of a filter is {alpha.max():g}, and 16 bits end at {MOST:g}")
        return signs | {"alpha": alpha}
    if kind == "bytes":
        w = module.weight.data
        step = np.abs(w).max(axis=(0, 1, 2)) / np.float32(LEVELS)
        return {"bytes": np.rint(w / np.where(step == 0, 1, step)), "step": step}
    scale, shift = norm_line(module)
    if kind == "line":
        return {"line": np.concatenate([scale, shift])}
    t, flip = threshold(scale, shift)
    always = np.isnan(t)  # with flip: every x is at or above minus infinity
    with np.errstate(over="ignore"):
        t = np.where(always, np.float32(-np.inf), t).astype(np.float16)
    return {"threshold": t, "flip": np.packbits(flip, bitorder="little")}


def _read(kind: str, module: Any, source: _Source) -> None:
    """The inverse of `_written`."""
    if kind == "numbers":
        _numbers(module)[...] = source.take("numbers", _numbers(module).size)
    elif kind == "bits":
        w = module.weight.data
        kernel_h, kernel_w, channels, filters = w.shape
        bits = np.unpackbits(source.take("bits", -(-w.size // 8)), count=w.size, bitorder="little")
        signs = np.where(bits.reshape(filters, kernel_h, kernel_w, channels).transpose(1, 2, 3, 0), -1, 1)
        alpha = source.take("alpha", filters).astype(np.float32) if module.scaled else np.ones(filters, np.float32)
        if not (alpha > 0).all() or np.isinf(alpha).any():
            raise ValueError("the scale of a filter is no positive number")
        # The mean of plus and minus alpha is alpha again: sums of numbers so short are exact.
        w[...] = signs * alpha
    elif kind == "bytes":
        w = module.weight.data
        w[...] = source.take("bytes", w.size).reshape(w.shape) * source.take("step", w.shape[3])
    elif kind == "line":
        size = module.gamma.data.size
        _set_line(module, *source.take("line", 2 * size).reshape(2, size))
    else:
        size = module.gamma.data.size
        t = source.take("threshold", size).astype(np.float32)
        flip = np.unpackbits(source.take("flip", -(-size // 8)), count=size, bitorder="little") == 1
        if np.isnan(t).any():
            raise ValueError("a threshold is no number")
        constant = np.isinf(t)  # one sign for every x
        shift = np.where(flip, np.nextafter(t, np.float32(-np.inf)), -t)
        shift = np.where(constant, np.where((t > 0) ^ flip, -1, 1), shift)
        _set_line(module, np.where(constant, 0, np.where(flip, -1, 1)), shift)


def _numbers(module: Any) -> Array:
    found: Array = module.slope.data if isinstance(module, PReLU) else module.bias.data
    return found


def _set_line(norm: BatchNorm2d, scale: Array, shift: Array) -> None:
    """Let a batch norm be scale x + shift to the last bit: of mean 0 and of a variance whose r is 1."""
    norm.gamma.data[...], norm.beta.data[...] = scale, shift
    norm.running_mean[...], norm.running_variance[...] = 0, _unit_variance(norm.eps)


def _unit_variance(eps: float) -> np.float32:
    v = np.float32(1 - eps)
    while v + np.float32(eps) < 1:
        v = np.nextafter(v, np.float32(2))
    return v


class _Source:
    """Arrays of a file, taken from the front."""

    def __init__(self, arrays: dict[str, Array]) -> None:
        unknown = arrays.keys() - STREAMS.keys()
        if unknown:
            raise ValueError(f"it holds {min(unknown)!r}, which no packed file has")
        for stream, values in arrays.items():
            if values.dtype != STREAMS[stream] or values.ndim != 1:
                raise ValueError(f"{stream} should be one row of {np.dtype(STREAMS[stream])}")
            if values.dtype == np.float32 and not np.isfinite(values).all():
                raise ValueError(f"{stream} is not finite")
        self.left = dict(arrays)

    def take(self, stream: str, count: int) -> Array:
        values = self.left.get(stream, np.empty(0, dtype=STREAMS[stream]))
        if len(values) < count:
            raise ValueError(f"{stream} ends too early")
        self.left[stream] = values[count:]
        return values[:count]

    def require_empty(self) -> None:
        for stream, values in self.left.items():
            if len(values):
                raise ValueError(f"{stream} holds {len(values)} numbers more than its layers have")
