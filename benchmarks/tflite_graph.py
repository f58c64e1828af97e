"""The same networks as TensorFlow Lite graphs: in float32, and in 8-bit integers. Pictures are channels last, as ours.

As its converter would write them: normalisations are a product and a sum, a ReLU is part of the sum before it, and a
normalisation that alone follows a convolution is part of its weights. In integers everything is signed bytes with one
scale a value, weights with one a filter, sums and normalisations too: with those in floats, as in the ONNX graph, a
large network took half as long again.
"""

from __future__ import annotations

from collections.abc import Mapping
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
        given, found = self.outside(x, run(self.program, x, self.apply)[-1])
        return self.graph.finish([given], [found])

    def enter(self, shape: tuple[int, ...]) -> int:
        return self.graph.tensor("x", shape)

    def outside(self, x: int, y: int) -> tuple[int, int]:
        """What a caller gives, and gets."""
        return x, y

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

    def put(self, step: Step, op: str, inputs: list[int], shape: list[int], options: str = "", **values: object) -> int:
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
        before = self.made_last(step, x, "ADD", "CONV_2D", "DEPTHWISE_CONV_2D")
        if before:
            before.builtinOptions.fusedActivationFunction = RELU
            return x
        return self.put(step, "RELU", [x], self.shape(x))

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
        inputs = [x, *self.weights(step, x, w, bias)]
        return self.put(step, "CONV_2D", inputs, shape, "Conv2DOptions", **options)

    def padded(self, step: Step, x: int, padding: int) -> int:
        n, height, width, channels = self.shape(x)
        around = np.array([[0, 0], [padding, padding], [padding, padding], [0, 0]], dtype=np.int32)
        shape = [n, height + 2 * padding, width + 2 * padding, channels]
        return self.put(step, "PAD", [x, self.constant(step, "around", around)], shape, "PadOptions")

    def weights(self, step: Step, x: int, w: Array, bias: Array, axis: int = 0) -> list[int]:
        return [self.constant(step, "weight", w), self.constant(step, "bias", bias)]


class _Int8Builder(_Builder):
    def __init__(self, graph: Graph, program: Program, ranges: Ranges, bytes_outside: bool) -> None:
        super().__init__(graph, program)
        self.bytes_outside = bytes_outside
        self.ranges = dict(ranges)
        for step in program.steps:
            if step.op == "concat":  # bytes can be put side by side if they mean the same
                self.ranges |= dict.fromkeys(step.inputs, self.ranges[step.output])

    def enter(self, shape: tuple[int, ...]) -> int:
        x = self.means(self.graph.tensor("x.bytes", shape, np.int8), 0)
        if self.bytes_outside:
            return x
        self.floats = super().enter(shape)
        self.graph.put("QUANTIZE", [self.floats], x, "QuantizeOptions")
        return x

    def outside(self, x: int, y: int) -> tuple[int, int]:
        if self.bytes_outside:
            return x, y
        result = self.graph.tensor("y", self.shape(y))
        self.graph.put("DEQUANTIZE", [y], result, "DequantizeOptions")
        return self.floats, result

    def means(self, tensor: int, value: int) -> int:
        """The tensor, whose bytes are to stand for the program's value of this number."""
        low, high = min(self.ranges[value][0], 0.0), max(self.ranges[value][1], 0.0)
        scale = max(high - low, 1e-6) / 255
        self.graph.quantise(tensor, scale, round(-low / scale) - 128)
        return tensor

    def put(self, step: Step, op: str, inputs: list[int], shape: list[int], options: str = "", **values: object) -> int:
        output = self.graph.tensor(f"v{step.output}.{op}", shape, np.int8)
        self.graph.put(op, inputs, output, options, **values)
        if op in ("MAX_POOL_2D", "RESIZE_NEAREST_NEIGHBOR", "PAD"):  # these move bytes, and leave them what they are
            self.graph.tensors[output].quantization = self.graph.tensors[inputs[0]].quantization
            return output
        return self.means(output, step.output)

    def norm(self, step: Step, x: int) -> int:
        """As a convolution of each channel by itself, whose factors have a scale each: a product would have but one."""
        scale, shift = norm_line(self.program.layers[step.layer])
        options = {"padding": VALID, "strideW": 1, "strideH": 1, "depthMultiplier": 1}
        inputs = [x, *self.weights(step, x, scale.reshape(1, 1, 1, -1), shift, axis=3)]
        return self.put(step, "DEPTHWISE_CONV_2D", inputs, self.shape(x), "DepthwiseConv2DOptions", **options)

    def relu(self, step: Step, x: int) -> int:
        return self.means(super().relu(step, x), step.output)  # also where it became part of what was before

    def weights(self, step: Step, x: int, w: Array, bias: Array, axis: int = 0) -> list[int]:
        """axis: that of the filters."""
        scales = np.maximum(np.abs(w).max(axis=tuple({0, 1, 2, 3} - {axis})), 1e-12) / 127
        sums = scales * self.graph.tensors[x].quantization.scale[0]  # what a step of the integer sum stands for
        filters = np.rint(w / scales.reshape([-1 if i == axis else 1 for i in range(4)])).astype(np.int8)
        weight = self.constant(step, "weight", filters)
        term = self.constant(step, "bias", np.rint(bias / sums).astype(np.int32))
        self.graph.quantise(weight, scales, axis=axis)
        self.graph.quantise(term, sums)
        return [weight, term]
