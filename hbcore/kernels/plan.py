"""A network as a list of steps between arrays, run in order: what `hbcore.deploy` folds a trained network into."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hbcore import bits
from hbcore.bits import Words
from hbcore.kernels.convolutions import Array, Convolutions


@dataclass(frozen=True, eq=False, kw_only=True)
class Epilogue:
    """What a convolution does with each sum v before it is stored, in this order, left out where it is None or False:

        v = alpha v,   v = v + bias,   v = max(v, 0),   v = v > 0 ? v : slope v,   v = scale v + shift,   v = max(v, 0),
        bits = (v < threshold) xor flip,   y = v + skip

    Arrays of one number per filter (O,), flip packed (words,), skip and y (N, Ho, Wo, O), bits (N, Ho, Wo, words).
    """

    y: Array | None = None
    alpha: Array | None = None
    bias: Array | None = None
    relu: bool = False
    slope: Array | None = None
    scale: Array | None = None
    shift: Array | None = None
    relu_last: bool = False
    bits: Words | None = None
    threshold: Array | None = None
    flip: Words | None = None
    skip: Array | None = None

    def __call__(self, v: Array) -> None:
        """Store what becomes of sums v (N, Ho, Wo, O)."""
        if self.alpha is not None:
            v = v * self.alpha
        if self.bias is not None:
            v = v + self.bias
        if self.relu:
            v = np.maximum(v, 0)
        if self.slope is not None:
            v = np.where(v > 0, v, v * self.slope)
        if self.scale is not None:
            v = v * self.scale + self.shift
        if self.relu_last:
            v = np.maximum(v, 0)
        if self.bits is not None:
            assert self.flip is not None
            self.bits[...] = bits.pack_bits(v < self.threshold) ^ self.flip
        if self.y is not None:
            self.y[...] = v if self.skip is None else v + self.skip


class Plan:
    """Steps in plain NumPy. The arrays that steps name are read and written when the plan runs, not before."""

    def __init__(self, convolutions: Convolutions) -> None:
        self.convolutions = convolutions
        self.steps: list[Callable[[], None]] = []

    def conv2d(self, x: Array, w: Array, stride: int, padding: int, epilogue: Epilogue) -> None:
        """x * w, then the epilogue."""
        self.steps.append(lambda: epilogue(self.convolutions.conv2d(x, w, stride, (padding, padding))))

    def binary_conv2d(self, x: Words, w: Words, channels: int, stride: int, padding: int, epilogue: Epilogue) -> None:
        """x * w of packed signs, filters (kH, kW, words, O); then the epilogue."""
        filters = w.transpose(3, 0, 1, 2)
        self.steps.append(
            lambda: epilogue(bits.binary_conv2d(x, filters, channels, stride, padding).astype(np.float32))
        )

    def threshold(self, x: Array, threshold: Array, flip: Words, out: Words) -> None:
        """out = (x < threshold) xor flip, packed."""
        epilogue = Epilogue(bits=out, threshold=threshold, flip=flip)
        self.steps.append(lambda: epilogue(x))

    def max_pool(self, x: Array, y: Array) -> None:
        """y = largest of each 2 x 2 pixels of x."""
        n, height, width, channels = y.shape
        tiles = x.reshape(n, height, 2, width, 2, channels)
        self.steps.append(lambda: np.copyto(y, tiles.max(axis=(2, 4))))

    def upsample_add(self, x: Array, y: Array) -> None:
        """y += x, each pixel of x four times."""
        n, height, width, channels = x.shape
        tiles = y.reshape(n, height, 2, width, 2, channels)
        self.steps.append(lambda: np.copyto(tiles, tiles + x[:, :, None, :, None]))

    def line(self, x: Array, scale: Array, shift: Array, sign: bool, y: Array) -> None:
        """y = max(scale x + shift, 0) or, with `sign`, the sign of scale x + shift as a number."""

        def step() -> None:
            v = x * scale + shift
            y[...] = bits.sign(v) if sign else np.maximum(v, 0)

        self.steps.append(step)

    def add(self, x: Array, other: Array, y: Array) -> None:
        """y = x + other."""
        self.steps.append(lambda: np.copyto(y, x + other))

    def copy(self, x: Array, y: Array) -> None:
        """y = x."""
        self.steps.append(lambda: np.copyto(y, x))

    def avg_pool(self, x: Array, y: Array) -> None:
        """y = mean of each 2 x 2 pixels of x."""
        a, b, c, d = (x[:, i::2, j::2] for i in (0, 1) for j in (0, 1))
        self.steps.append(lambda: np.copyto(y, (a + b + c + d) / np.float32(4)))

    def upsample(self, x: Array, y: Array) -> None:
        """y = each pixel of x four times."""
        self.steps.append(lambda: np.copyto(y, x.repeat(2, axis=1).repeat(2, axis=2)))

    def __len__(self) -> int:
        return len(self.steps)

    def run(self) -> None:
        """All steps in order."""
        for step in self.steps:
            step()
