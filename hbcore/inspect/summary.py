"""What every layer of a network computes, stores and costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from hbcore.inspect.observe import run_once
from hbcore.nn.layers import BinaryConv2d, Conv2d
from hbcore.nn.module import Module


@dataclass(frozen=True)
class LayerCost:
    """One convolution: output (height, width, channels), weights, multiply-accumulates for one picture.

    bits: of its (weights, activations), 1 or 32 each.
    """

    name: str
    bits: tuple[int, int]
    output: tuple[int, ...]
    weights: int
    macs: int

    @property
    def binary(self) -> bool:
        """Whether xor and popcount can compute it: weights and activations are bits."""
        return self.bits == (1, 1)


@dataclass(frozen=True)
class Summary:
    """Size and cost of a network for one picture of a given size.

    A convolution of which only weights or only activations are bits counts as real, by its multiply-accumulates; but
    one-bit weights count as binary weights wherever they are, since that is what they take in a file.
    """

    layers: tuple[LayerCost, ...]
    parameters: int

    @property
    def binary_convolutions(self) -> int:
        return sum(layer.binary for layer in self.layers)

    @property
    def binary_weights(self) -> int:
        return sum(layer.weights for layer in self.layers if layer.bits[0] == 1)

    @property
    def binary_macs(self) -> int:
        return sum(layer.macs for layer in self.layers if layer.binary)

    @property
    def real_macs(self) -> int:
        return sum(layer.macs for layer in self.layers if not layer.binary)

    def to_dict(self) -> dict[str, int]:
        """The totals by name."""
        return {
            "binary_convolutions": self.binary_convolutions,
            "binary_weights": self.binary_weights,
            "binary_weight_bytes": -(-self.binary_weights // 8),
            "real_convolutions": len(self.layers) - self.binary_convolutions,
            "parameters": self.parameters,
            "binary_macs": self.binary_macs,
            "real_macs": self.real_macs,
        }

    def __str__(self) -> str:
        width = max([43, *(len(layer.name) for layer in self.layers)]) + 1
        lines = [f"{'layer':<{width}}{'bits':>5}{'output':>16}{'weights':>12}{'MACs':>15}"]
        for layer in self.layers:
            output = " x ".join(map(str, layer.output))
            w, a = layer.bits
            bits = str(w) if w == a else f"{w}/{a}"
            lines.append(f"{layer.name:<{width}}{bits:>5}{output:>16}{layer.weights:>12,}{layer.macs:>15,}")
        lines += [f"{name.replace('_', ' '):<{width}}{value:>48,}" for name, value in self.to_dict().items()]
        return "\n".join(lines)


def summary(model: Module, height: int, width: int) -> Summary:
    """Pass one grey picture through the network and write down every convolution on the way.

    A convolution that is passed twice is two layers, of which the second has no weights of its own.
    """
    layers: list[LayerCost] = []
    seen: set[str] = set()

    def note(name: str, module: Module, inputs: tuple[Any, ...], result: Any) -> None:
        if isinstance(module, Conv2d | BinaryConv2d):
            output = result.shape[1:]
            weights = module.weight.data.size
            macs = output[0] * output[1] * weights
            layers.append(LayerCost(name, _bits(module), output, 0 if name in seen else weights, macs))
            seen.add(name)

    run_once(model, np.full((1, height, width, 3), 0.5, dtype=np.float32), note)
    return Summary(tuple(layers), sum(parameter.data.size for parameter in model.parameters()))


def _bits(module: Conv2d | BinaryConv2d) -> tuple[int, int]:
    """Bits of a convolution's (weights, activations)."""
    if isinstance(module, Conv2d):
        return 32, 32
    smooth = module.sharpness is not None
    return 32 if module.binarize == "activations" else 1, 32 if smooth or module.binarize == "weights" else 1
