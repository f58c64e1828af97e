"""The same networks as TensorFlow Lite graphs: in float32, and with convolutions in 8-bit integers.

As its converter would write them: normalisations are a product and a sum, a ReLU is part of the sum before it, and a
normalisation that alone follows a convolution is part of its weights. Pictures are channels last, as ours. The integer
graph has bytes where the ONNX graph has them, in the form that is usual here: activations are signed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.numpy_twin import norm_line
from benchmarks.tflite import RELU, SAME, VALID, Graph
from benchmarks.topology import Program, Step, run
from hbcore.autograd.function import Array
from hbcore.nn.layers import Conv2d

Ranges = Mapping[int, tuple[float, float]]


def float_model(schema: Any, program: Program, shape: tuple[int, ...]) -> bytes:
    """A model from (N, H, W, C) to the last result; schema: see `tflite.Graph`."""
    return _Builder(Graph(schema), program).finish(shape)


def int8_model(
    schema: Any, program: Program, shape: tuple[int, ...], ranges: Ranges, bytes_outside: bool = False
) -> bytes:
    """The same in integers; with bytes_outside, input and output are signed bytes and nobody has to convert them."""
    return _Int8Builder(Graph(schema), program, ranges, bytes_outside).finish(shape)


class _Builder:
    def __init__(self, graph: Graph, program: Program) -> None:
        self.graph = graph
        self.program = program

    def finish(self, shape: tuple[int, ...]) -> bytes:
        x = self.enter(shape)
        return self.graph.finish([x], [run(self.program, x, self.apply)[-1]])

    def enter(self, shape: tuple[int, ...]) -> int:
        return self.graph.tensor("x", shape)

    def shape(self, value: int) -> list[int]:
        return list(self.graph.tensors[value].shape)

    def apply(self, step: Step, inputs: list[int]) -> int:
        x = inputs[0]
        n, height, width, channels = self.shape(x)
        match step.op:
            case "conv":
                return self.conv(step, x)
            case "norm":
                return self.norm(step, x)
            case "relu":
                return self.relu(step, x)
            case "pool":
                window = dict.fromkeys(("strideW", "strideH", "filterWidth", "filterHeight"), 2)
                shape = [n, height // 2, width // 2, channels]
                return self.put(step, "MAX_POOL_2D", inputs, shape, "Pool2DOptions", padding=VALID, **window)
            case "upsample":
                size = self.constant(step, "size", np.array([2 * height, 2 * width], dtype=np.int32))
                shape, options = [n, 2 * height, 2 * width, channels], "ResizeNearestNeighborOptions"
                return self.put(step, "RESIZE_NEAREST_NEIGHBOR", [x, size], shape, options)
            case "add":
                return self.put(step, "ADD", inputs, self.shape(x), "AddOptions")
            case "concat":
                shape = [n, height, width, sum(self.shape(i)[3] for i in inputs)]
                return self.put(step, "CONCATENATION", inputs, shape, "ConcatenationOptions", axis=3)
        raise ValueError(f"a real-valued network has no step {step.op!r}")

    def put(self, step: Step, op: str, inputs: list[int], shape: list[int], options: str, **values: object) -> int:
        output = self.graph.tensor(f"v{step.output}.{op}", shape)
        self.graph.put(op, inputs, output, options, **values)
        return output

    def constant(self, step: Step, name: str, value: Array) -> int:
        return self.graph.constant(f"v{step.output}.{name}", np.ascontiguousarray(value))

    def made_last(self, step: Step, x: int, *ops: str) -> Any:
        """The operator that made x, if it was the last, one of these without a ReLU, and nobody else reads x."""
        last = self.graph.operators[-1]
        if last.outputs != [x] or step.inputs[0] not in step.drop or self.graph.name(last) not in ops:
            return None
        return None if last.builtinOptions.fusedActivationFunction else last

    def norm(self, step: Step, x: int) -> int:
        scale, shift = norm_line(self.program.layers[step.layer])
        conv = self.made_last(step, x, "CONV_2D")
        if conv:
            w, bias = (self.graph.value(number) for number in conv.inputs[1:])
            self.graph.fill(conv.inputs[1], w * scale[:, None, None, None])
            self.graph.fill(conv.inputs[2], bias * scale + shift)
            return x
        factor, term = self.constant(step, "scale", scale), self.constant(step, "shift", shift)
        product = self.put(step, "MUL", [x, factor], self.shape(x), "MulOptions")
        return self.put(step, "ADD", [product, term], self.shape(x), "AddOptions")

    def relu(self, step: Step, x: int) -> int:
        before = self.made_last(step, x, "ADD", "CONV_2D")
        if before:
            before.builtinOptions.fusedActivationFunction = RELU
            return x
        output = self.graph.tensor(f"v{step.output}", self.shape(x))
        self.graph.put("RELU", [x], output)
        return output

    def conv(self, step: Step, x: int) -> int:
        conv = self.program.layers[step.layer]
        assert isinstance(conv, Conv2d)
        w = conv.weight.data.transpose(3, 0, 1, 2)
        assert conv.padding == w.shape[1] // 2
        bias = np.zeros(len(w), dtype=np.float32) if conv.bias is None else conv.bias.data
        n, height, width, _ = self.shape(x)
        shape = [n, height // conv.stride, width // conv.stride, len(w)]
        options = {"strideW": conv.stride, "strideH": conv.stride, "padding": SAME}
        if conv.stride > 1:  # TensorFlow's own zeros would be one fewer before the picture than behind it
            x, options["padding"] = self.padded(step, x, conv.padding), VALID
        return self.convolved(step, x, w, bias, shape, options)

    def padded(self, step: Step, x: int, padding: int) -> int:
        n, height, width, channels = self.shape(x)
        around = np.array([[0, 0], [padding, padding], [padding, padding], [0, 0]], dtype=np.int32)
        shape = [n, height + 2 * padding, width + 2 * padding, channels]
        return self.put(step, "PAD", [x, self.constant(step, "around", around)], shape, "PadOptions")

    def convolved(self, step: Step, x: int, w: Array, bias: Array, shape: list[int], options: dict[str, int]) -> int:
        inputs = [x, self.constant(step, "weight", w), self.constant(step, "bias", bias)]
        return self.put(step, "CONV_2D", inputs, shape, "Conv2DOptions", **options)


class _Int8Builder(_Builder):
    def __init__(self, graph: Graph, program: Program, ranges: Ranges, bytes_outside: bool) -> None:
        super().__init__(graph, program)
        self.ranges = ranges
        self.bytes_outside = bytes_outside

    def enter(self, shape: tuple[int, ...]) -> int:
        return self.bytes(0, "x", shape) if self.bytes_outside else super().enter(shape)

    def bytes(self, number: int, name: str, shape: Sequence[int]) -> int:
        """A tensor of bytes for the program's value of this number."""
        made = self.graph.tensor(name, shape, np.int8)
        scale, low = self.scale(number)
        self.graph.quantise(made, scale, round(-low / scale) - 128)
        return made

    def scale(self, number: int) -> tuple[float, float]:
        """What a step of a byte stands for, and the lowest number."""
        low, high = min(self.ranges[number][0], 0.0), max(self.ranges[number][1], 0.0)
        return max(high - low, 1e-6) / 255, low

    def convolved(self, step: Step, x: int, w: Array, bias: Array, shape: list[int], options: dict[str, int]) -> int:
        result = self.bytes(step.output, f"v{step.output}.bytes", shape)
        if not self.bytes_outside:
            stored = self.bytes(step.inputs[0], f"v{step.output}.from", self.shape(x))
            self.graph.put("QUANTIZE", [x], stored, "QuantizeOptions")
            x = stored
        scales = np.abs(w).max(axis=(1, 2, 3)) / 127
        filters = np.clip(np.rint(w / scales[:, None, None, None]), -127, 127).astype(np.int8)
        bias_scales = scales * self.scale(step.inputs[0])[0]
        inputs = [x, self.constant(step, "weight", filters)]
        inputs.append(self.constant(step, "bias", np.rint(bias / bias_scales).astype(np.int32)))
        self.graph.quantise(inputs[1], scales)
        self.graph.quantise(inputs[2], bias_scales)
        self.graph.put("CONV_2D", inputs, result, "Conv2DOptions", version=3, **options)
        if self.bytes_outside:
            return result
        floats = self.graph.tensor(f"v{step.output}", shape)
        self.graph.put("DEQUANTIZE", [result], floats, "DequantizeOptions", version=2)
        return floats
