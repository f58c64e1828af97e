"""The same networks in PyTorch, as somebody would write them there: real-valued, or binarised in float simulation.

The binarised twin computes with +1.0 and -1.0 and the clipped straight-through estimator, which is how binary networks
are trained in float frameworks. Tests hold both against hbcore: same output, for the same weights.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from benchmarks.topology import Program, Step, run
from hbcore.autograd.function import Array
from hbcore.nn.layers import BatchNorm2d, BinaryConv2d, Conv2d
from hbcore.nn.module import Module


class _Sign(torch.autograd.Function):
    """+1 or -1, never 0; the gradient passes where -1 < x < 1."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(x)
        return torch.where(x < 0, -1.0, 1.0).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> torch.Tensor:
        (x,) = ctx.saved_tensors
        return grad * (x.abs() < 1)


class _Approximation(torch.autograd.Function):
    """alpha sign(W) with alpha = mean |W| of each filter; gradient: that of W times 1 / n + alpha [-1 < W < 1]."""

    @staticmethod
    def forward(ctx: Any, w: torch.Tensor) -> torch.Tensor:
        alpha = w.abs().mean(dim=(1, 2, 3), keepdim=True)
        ctx.save_for_backward(w, alpha)
        return torch.where(w < 0, -alpha, alpha)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> torch.Tensor:
        w, alpha = ctx.saved_tensors
        return grad * (1 / w[0].numel() + alpha * (w.abs() < 1))


class SimulatedBinaryConv2d(nn.Conv2d):
    """sign(x) convolved with alpha sign(W), all in floats."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        signs, weights = cast(Any, _Sign).apply(x), cast(Any, _Approximation).apply(self.weight)
        return self._conv_forward(signs, weights, None)


class Twin(nn.Module):
    """A program in PyTorch, with copies of its weights in their precision: (N, C, H, W) -> the results as a tuple."""

    def __init__(self, program: Program) -> None:
        super().__init__()
        self.program = program
        self.layers = nn.ModuleDict({_key(name): _twin(layer) for name, layer in program.layers.items()})

    def forward(self, picture: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(run(self.program, picture, self.apply_step))

    def apply_step(self, step: Step, inputs: list[torch.Tensor]) -> torch.Tensor:
        x = inputs[0]
        if step.layer:
            return cast(torch.Tensor, self.layers[_key(step.layer)](x))
        match step.op:
            case "relu":  # in place: it follows a normalisation, whose result nobody else reads
                return functional.relu_(x)
            case "pool":
                return functional.max_pool2d(x, 2)
            case "upsample":
                return functional.interpolate(x, scale_factor=2, mode="nearest")
            case "add":
                return x + inputs[1]
        return torch.cat(inputs, dim=1)

    def arranged(self, dtype: torch.dtype, order: torch.memory_format) -> Twin:
        """In this precision, and with weights in this order of axes. Returns self."""
        cast(Any, self).to(dtype=dtype, memory_format=order)
        return self

    def constrain(self) -> None:
        """Clip latent weights to [-1, 1], as hbcore does after each step of the optimizer."""
        with torch.no_grad():
            for layer in self.layers.values():
                if isinstance(layer, SimulatedBinaryConv2d):
                    layer.weight.clamp_(-1, 1)


def channels_first(x: Array) -> torch.Tensor:
    """(N, H, W, C) as NumPy -> (N, C, H, W) as PyTorch stores it by default."""
    return torch.from_numpy(np.ascontiguousarray(x.transpose(0, 3, 1, 2)))


def _key(name: str) -> str:
    return name.replace(".", "/")  # PyTorch's dictionaries of modules have no dots in their keys


def _twin(layer: Module) -> nn.Module:
    if isinstance(layer, BatchNorm2d):
        norm = nn.BatchNorm2d(len(layer.gamma.data), layer.eps, layer.momentum, dtype=_dtype(layer.gamma.data))
        values = layer.gamma.data, layer.beta.data, layer.running_mean, layer.running_variance
        return _filled(norm, (norm.weight, norm.bias, norm.running_mean, norm.running_var), values)
    assert isinstance(layer, Conv2d | BinaryConv2d)
    kernel, _, channels, filters = layer.weight.shape
    bias = layer.bias if isinstance(layer, Conv2d) else None
    make = SimulatedBinaryConv2d if isinstance(layer, BinaryConv2d) else nn.Conv2d
    w = layer.weight.data.transpose(3, 2, 0, 1)
    conv = make(channels, filters, kernel, layer.stride, layer.padding, bias=bias is not None, dtype=_dtype(w))
    if bias is None:
        return _filled(conv, (conv.weight,), (w,))
    return _filled(conv, (conv.weight, conv.bias), (w, bias.data))


def _filled(module: nn.Module, tensors: tuple[torch.Tensor | None, ...], values: tuple[Array, ...]) -> nn.Module:
    """The module, its tensors filled with copies of the values."""
    for tensor, value in zip(tensors, values, strict=True):
        assert tensor is not None
        tensor.data = torch.from_numpy(np.ascontiguousarray(value).copy())
    return module


def _dtype(values: Array) -> torch.dtype:
    return torch.from_numpy(np.empty(0, dtype=values.dtype)).dtype
