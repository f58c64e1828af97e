"""A model as an ONNX graph of standard operators: from a picture in [0, 1] to the network's maps.

Signs are +1.0 and -1.0 and padding is 0, so that a tap outside of the picture counts nothing, as in the engine; sums of
signs are whole numbers, which every runtime adds exactly. Only real-valued sums may be rounded otherwise.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from hbcore import bits
from hbcore.autograd.function import Array
from hbcore.deploy.model_file import ModelFileError, reason, write_whole
from hbcore.deploy.table import Area, Table
from hbcore.export.c.files import c_model
from hbcore.kernels.plan import Epilogue

OPSET, IR = 13, 8
"""What runtimes of 2021 read."""


def write_onnx(model: str, target: Path) -> str:
    """Write a model file as ONNX; what there is to say. ModelFileError, in one line, if that cannot be done."""
    try:
        import onnx
    except ModuleNotFoundError:
        raise ModelFileError('ONNX files are written by onnx, which is missing: pip install "hbcore[onnx]"') from None
    made = c_model(model)
    graph = OnnxGraph(made.table)
    written = onnx.helper.make_model(
        onnx.helper.make_graph(
            [onnx.helper.make_node(kind, taken, [name], **fields) for kind, taken, name, fields in graph.nodes],
            made.name,
            [onnx.helper.make_tensor_value_info("picture", onnx.TensorProto.FLOAT, list(made.table.picture.shape))],
            [onnx.helper.make_tensor_value_info("maps", onnx.TensorProto.FLOAT, list(made.table.maps.shape))],
            [onnx.numpy_helper.from_array(values, name) for name, values in graph.constants.items()],
        ),
        opset_imports=[onnx.helper.make_opsetid("", OPSET)],
        ir_version=IR,
        producer_name="hbcore",
    )
    onnx.helper.set_model_props(written, {"model_sha256": made.digest})
    try:
        onnx.checker.check_model(written, full_check=True)
    except onnx.checker.ValidationError as error:
        raise ModelFileError(f"{model}: the checker of ONNX refuses the graph: {reason(error)}") from None
    content = written.SerializeToString(deterministic=True)
    write_whole(target, content)
    return f"{target}: {len(content):,} bytes, {len(graph.nodes)} nodes"


class OnnxGraph:
    """A table of steps as nodes (operator, names that it takes, name that it gives, attributes) and constants by name.

    Within, pictures are (N, C, H, W), as convolutions of ONNX have them.
    """

    def __init__(self, table: Table) -> None:
        self.nodes: list[tuple[str, list[str], str, dict[str, Any]]] = []
        self.constants: dict[str, Array] = {}
        self.held: dict[int, list[tuple[int, int, str]]] = {}  # by buffer: channels first to stop, and what is there
        self.signs: dict[int, str] = {}
        self._write(table.picture, self._node("Transpose", "picture", perm=[0, 3, 1, 2]))
        for step in table.steps:
            getattr(self, f"_{step.kind}")(**step.arguments)
        self.nodes.append(("Transpose", [self._read(table.maps)], "maps", {"perm": [0, 2, 3, 1]}))

    def _node(self, kind: str, *taken: str, **fields: Any) -> str:
        name = f"n{len(self.nodes)}"
        self.nodes.append((kind, list(taken), name, fields))
        return name

    def _constant(self, values: Any, shape: tuple[int, ...] | None = None) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = np.ascontiguousarray(values if shape is None else np.reshape(values, shape))
        return name

    def _channels(self, values: Array) -> str:
        """One number for each channel."""
        return self._constant(np.asarray(values, dtype=np.float32), (1, -1, 1, 1))

    # ------------------------------------------------------------------------------------------- channels of buffers

    def _read(self, area: Area) -> str:
        """What an area holds, put together of what was written there."""
        start, stop = area.first, area.first + area.shape[3]
        parts = [
            self._slice(name, first, end, max(start, first), min(stop, end))
            for first, end, name in sorted(self.held[area.buffer])
            if first < stop and start < end
        ]
        return parts[0] if len(parts) == 1 else self._node("Concat", *parts, axis=1)

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
        places = (self._constant(np.array([n], dtype=np.int64)) for n in (start - first, stop - first, 1))
        return self._node("Slice", name, *places)

    # ----------------------------------------------------------------------------------------------------- steps

    def _sign(self, x: str, threshold: Array, flip: Any) -> str:
        """-1 where (x < threshold) xor flip, else +1."""
        below = self._node("Less", x, self._channels(threshold))
        turned = bits.unpack_bits(flip, len(threshold))
        if turned.any():
            below = self._node("Xor", below, self._constant(turned, (1, -1, 1, 1)))
        return self._node(
            "Where",
            below,
            self._constant(np.array([-1], dtype=np.float32)),
            self._constant(np.array([1], dtype=np.float32)),
        )

    def _convolution(self, x: str, w: Array, stride: int, padding: int, epilogue: Epilogue) -> None:
        weights = self._constant(np.asarray(w.transpose(3, 2, 0, 1), dtype=np.float32))
        v = self._node("Conv", x, weights, strides=[stride] * 2, pads=[padding] * 4)
        e = epilogue
        if e.alpha is not None and not (e.alpha == 1).all():
            v = self._node("Mul", v, self._channels(e.alpha))
        if e.bias is not None:
            v = self._node("Add", v, self._channels(e.bias))
        if e.relu:
            v = self._node("Relu", v)
        if e.slope is not None:
            v = self._node("PRelu", v, self._constant(np.asarray(e.slope, dtype=np.float32), (-1, 1, 1)))
        if e.scale is not None:
            assert e.shift is not None
            v = self._node("Add", self._node("Mul", v, self._channels(e.scale)), self._channels(e.shift))
        if e.relu_last:
            v = self._node("Relu", v)
        self._store(v, e)

    def _store(self, v: str, e: Any) -> None:
        if e.bits is not None:
            self.signs[e.bits.buffer] = self._sign(v, e.threshold, e.flip)
        if e.y is not None:
            self._write(e.y, v if e.skip is None else self._node("Add", v, self._read(e.skip)))

    def _conv2d(self, x: Area, w: Array, stride: int, padding: int, epilogue: Epilogue) -> None:
        self._convolution(self._read(x), w, stride, padding, epilogue)

    def _binary_conv2d(self, x: Area, w: Any, channels: int, stride: int, padding: int, epilogue: Epilogue) -> None:
        set_bits = bits.unpack_bits(np.ascontiguousarray(w.transpose(0, 1, 3, 2)), channels)  # (kH, kW, O, C)
        signs = np.where(set_bits, np.float32(-1), np.float32(1)).transpose(0, 1, 3, 2)
        self._convolution(self.signs[x.buffer], signs, stride, padding, epilogue)

    def _threshold(self, x: Area, threshold: Array, flip: Any, out: Area) -> None:
        self.signs[out.buffer] = self._sign(self._read(x), threshold, flip)

    def _line(self, x: Area, scale: Array, shift: Array, sign: bool, y: Area) -> None:
        v = self._node("Add", self._node("Mul", self._read(x), self._channels(scale)), self._channels(shift))
        if sign:
            zero, minus, plus = (self._constant(np.array([n], dtype=np.float32)) for n in (0, -1, 1))
            v = self._node("Where", self._node("Less", v, zero), minus, plus)
        else:
            v = self._node("Relu", v)
        self._write(y, v)

    def _add(self, x: Area, other: Area, y: Area) -> None:
        self._write(y, self._node("Add", self._read(x), self._read(other)))

    def _copy(self, x: Area, y: Area) -> None:
        self._write(y, self._read(x))

    def _max_pool(self, x: Area, y: Area) -> None:
        self._write(y, self._node("MaxPool", self._read(x), kernel_shape=[2, 2], strides=[2, 2]))

    def _avg_pool(self, x: Area, y: Area) -> None:
        self._write(y, self._node("AveragePool", self._read(x), kernel_shape=[2, 2], strides=[2, 2]))

    def _larger(self, x: Area) -> str:
        """Each pixel four times."""
        sizes = self._constant(np.array([1, 1, 2, 2], dtype=np.float32))
        how = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        return self._node("Resize", self._read(x), "", sizes, **how)

    def _upsample_add(self, x: Area, y: Area) -> None:
        self._write(y, self._node("Add", self._read(y), self._larger(x)))

    def _upsample(self, x: Area, y: Area) -> None:
        self._write(y, self._larger(x))
