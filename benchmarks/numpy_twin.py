"""The steps of a real-valued network in NumPy: neighbourhoods as rows, then one matrix product by BLAS.

What somebody has without any kernel of ours. It also tells the range of every value, which int8 networks need.
"""

from __future__ import annotations

import math

import numpy as np

from benchmarks.topology import Program, Step, run
from hbcore.autograd.function import Array
from hbcore.kernels import Reference
from hbcore.nn.layers import BatchNorm2d, Conv2d


class NumpyTwin:
    """Inference with running statistics: (N, H, W, 3) -> heatmap logits of every stack."""

    def __init__(self, program: Program) -> None:
        self.program = program

    def __call__(self, picture: Array) -> list[Array]:
        return run(self.program, picture, self.apply)

    def apply(self, step: Step, inputs: list[Array]) -> Array:
        x = inputs[0]
        match step.op:
            case "conv":
                return convolve(x, self.program.layers[step.layer])
            case "norm":
                scale, shift = norm_line(self.program.layers[step.layer])
                return x * scale + shift
            case "relu":
                return np.maximum(x, 0)
            case "pool":
                n, h, w, c = x.shape
                return x.reshape(n, h // 2, 2, w // 2, 2, c).max(axis=(2, 4))
            case "upsample":
                return x.repeat(2, axis=1).repeat(2, axis=2)
            case "add":
                return x + inputs[1]
            case "concat":
                return np.concatenate(inputs, axis=-1)
        raise ValueError(f"a real-valued network has no step {step.op!r}")

    def ranges(self, picture: Array) -> dict[int, tuple[float, float]]:
        """Smallest and largest number of every value on the way, the picture's under 0."""
        found = {0: (float(picture.min()), float(picture.max()))}

        def watch(step: Step, inputs: list[Array]) -> Array:
            y = self.apply(step, inputs)
            found[step.output] = (float(y.min()), float(y.max()))
            return y

        run(self.program, picture, watch)
        return found


def convolve(x: Array, conv: object) -> Array:
    """One convolution by im2col and BLAS."""
    assert isinstance(conv, Conv2d)
    w = conv.weight.data
    rows = Reference().im2col(x, (w.shape[0], w.shape[1]), conv.stride, (conv.padding, conv.padding))
    y = rows.reshape(-1, math.prod(w.shape[:3])) @ w.reshape(-1, w.shape[3])
    if conv.bias is not None:
        y += conv.bias.data
    return y.reshape(*rows.shape[:3], w.shape[3])


def norm_line(norm: object) -> tuple[Array, Array]:
    """(scale, shift) per channel of a batch norm with running statistics."""
    assert isinstance(norm, BatchNorm2d)
    scale = norm.gamma.data / np.sqrt(norm.running_variance + norm.eps)
    return scale, norm.beta.data - scale * norm.running_mean
