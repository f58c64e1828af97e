"""A model as an ONNX graph of standard operators: from a picture in [0, 1] to the network's maps.

Signs are +1.0 and -1.0 and padding is 0, so that a tap outside of the picture counts nothing, as in the engine; sums of
signs are whole numbers, which every runtime adds exactly. Only real-valued sums may be rounded otherwise.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hbcore import bits
from hbcore.autograd.function import Array
from hbcore.deploy.table import Area, Table
from hbcore.export.onnx_nodes import Nodes
from hbcore.kernels.plan import Epilogue


class OnnxGraph(Nodes):
    """A table of steps as nodes, from "picture" to "maps".

    Within, pictures are (N, C, H, W), as convolutions of ONNX have them. planes: the maps in that order.
    """

    def __init__(self, table: Table) -> None:
        super().__init__()
        self.takes("picture", table.picture.shape)
        self.held: dict[int, list[tuple[int, int, str]]] = {}  # by buffer: channels first to stop, and what is there
        self.signs: dict[int, str] = {}
        self._write(table.picture, self.node("Transpose", "picture", perm=[0, 3, 1, 2]))
        for step in table.steps:
            getattr(self, f"_{step.kind}")(**step.arguments)
        self.planes = self._read(table.maps)
        self.gives("maps", self.node("Transpose", self.planes, perm=[0, 2, 3, 1]), table.maps.shape)

    def _channels(self, values: Array) -> str:
        """One number for each channel."""
        return self.constant(np.asarray(values, dtype=np.float32), (1, -1, 1, 1))

    # ------------------------------------------------------------------------------------------- channels of buffers

    def _read(self, area: Area) -> str:
        """What an area holds, put together of what was written there."""
        start, stop = area.first, area.first + area.shape[3]
        parts = [
            self._slice(name, first, end, max(start, first), min(stop, end))
            for first, end, name in sorted(self.held[area.buffer])
            if first < stop and start < end
        ]
        return parts[0] if len(parts) == 1 else self.node("Concat", *parts, axis=1)

    def _write(self, area: Area, name: str) -> None:
        """Let an area hold that; of what was there before, what lies beside it is left."""
        start, stop = area.first, area.first + area.shape[3]
        left = []
        for first, end, old in self.held.get(area.buffer, []):
            for begin, until in ((first, min(end, start)), (max(first, stop), end)):
                if begin < until:
                    left.append((begin, until, self._slice(old, first, end, begin, until)))
        self.held[area.buffer] = [*left, (start, stop, name)]

    def _slice(self, name: str, first: int, end: int, start: int, stop: int) -> str:
        """Channels start to stop of a tensor that has first to end."""
        if (first, end) == (start, stop):
            return name
        places = (self.constant(np.array([n], dtype=np.int64)) for n in (start - first, stop - first, 1))
        return self.node("Slice", name, *places)

    # ----------------------------------------------------------------------------------------------------- steps

    def _sign(self, x: str, threshold: Array, flip: Any) -> str:
        """-1 where (x < threshold) xor flip, else +1."""
        below = self.node("Less", x, self._channels(threshold))
        turned = bits.unpack_bits(flip, len(threshold))
        if turned.any():
            below = self.node("Xor", below, self.constant(turned, (1, -1, 1, 1)))
        return self.node(
            "Where",
            below,
            self.constant(np.array([-1], dtype=np.float32)),
            self.constant(np.array([1], dtype=np.float32)),
        )

    def _convolution(self, x: str, w: Array, stride: int, padding: int, epilogue: Epilogue) -> None:
        weights = self.constant(np.asarray(w.transpose(3, 2, 0, 1), dtype=np.float32))
        v = self.node("Conv", x, weights, strides=[stride] * 2, pads=[padding] * 4)
        e = epilogue
        if e.alpha is not None and not (e.alpha == 1).all():
            v = self.node("Mul", v, self._channels(e.alpha))
        if e.bias is not None:
            v = self.node("Add", v, self._channels(e.bias))
        if e.relu:
            v = self.node("Relu", v)
        if e.slope is not None:
            v = self.node("PRelu", v, self.constant(np.asarray(e.slope, dtype=np.float32), (-1, 1, 1)))
        if e.scale is not None:
            assert e.shift is not None
            v = self.node("Add", self.node("Mul", v, self._channels(e.scale)), self._channels(e.shift))
        if e.relu_last:
            v = self.node("Relu", v)
        self._store(v, e)

    def _store(self, v: str, e: Any) -> None:
        if e.bits is not None:
            self.signs[e.bits.buffer] = self._sign(v, e.threshold, e.flip)
        if e.y is not None:
            self._write(e.y, v if e.skip is None else self.node("Add", v, self._read(e.skip)))

    def _conv2d(self, x: Area, w: Array, stride: int, padding: int, epilogue: Epilogue) -> None:
        self._convolution(self._read(x), w, stride, padding, epilogue)

    def _binary_conv2d(self, x: Area, w: Any, channels: int, stride: int, padding: int, epilogue: Epilogue) -> None:
        set_bits = bits.unpack_bits(np.ascontiguousarray(w.transpose(0, 1, 3, 2)), channels)  # (kH, kW, O, C)
        signs = np.where(set_bits, np.float32(-1), np.float32(1)).transpose(0, 1, 3, 2)
        self._convolution(self.signs[x.buffer], signs, stride, padding, epilogue)

    def _threshold(self, x: Area, threshold: Array, flip: Any, out: Area) -> None:
        self.signs[out.buffer] = self._sign(self._read(x), threshold, flip)

    def _line(self, x: Area, scale: Array, shift: Array, sign: bool, y: Area) -> None:
        v = self.node("Add", self.node("Mul", self._read(x), self._channels(scale)), self._channels(shift))
        if sign:
            zero, minus, plus = (self.constant(np.array([n], dtype=np.float32)) for n in (0, -1, 1))
            v = self.node("Where", self.node("Less", v, zero), minus, plus)
        else:
            v = self.node("Relu", v)
        self._write(y, v)

    def _add(self, x: Area, other: Area, y: Area) -> None:
        self._write(y, self.node("Add", self._read(x), self._read(other)))

    def _copy(self, x: Area, y: Area) -> None:
        self._write(y, self._read(x))

    def _max_pool(self, x: Area, y: Area) -> None:
        self._write(y, self.node("MaxPool", self._read(x), kernel_shape=[2, 2], strides=[2, 2]))

    def _avg_pool(self, x: Area, y: Area) -> None:
        self._write(y, self.node("AveragePool", self._read(x), kernel_shape=[2, 2], strides=[2, 2]))

    def _larger(self, x: Area) -> str:
        """Each pixel four times."""
        sizes = self.constant(np.array([1, 1, 2, 2], dtype=np.float32))
        how = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        return self.node("Resize", self._read(x), "", sizes, **how)

    def _upsample_add(self, x: Area, y: Area) -> None:
        self._write(y, self.node("Add", self._read(y), self._larger(x)))

    def _upsample(self, x: Area, y: Area) -> None:
        self._write(y, self._larger(x))
