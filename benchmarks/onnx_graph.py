"""The same networks as ONNX graphs, node by node: in float32, and in 8-bit integers.

The integer graph is in the form that ONNX Runtime and OpenVINO both fuse: what enters and what leaves a convolution
goes through QuantizeLinear and DequantizeLinear (activations in unsigned bytes with one scale a value, from the range
seen on a picture; weights in signed bytes with one scale a filter). Normalisations, sums and the like stay in floats:
with them in bytes too, neither peer was quicker.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from onnx import ModelProto, TensorProto, checker, helper, numpy_helper

from benchmarks.topology import Program, Step, run
from hbcore.autograd.function import Array
from hbcore.nn.layers import BatchNorm2d, Conv2d

OPSET, IR_VERSION = 17, 8  # old enough for every peer
Ranges = Mapping[int, tuple[float, float]]


def float_model(program: Program, shape: tuple[int, ...]) -> bytes:
    """Graph for input "x" of shape (N, H, W, C), given as (N, C, H, W); the last result is called "y"."""
    return _Builder(program).finish(shape)


def int8_model(program: Program, shape: tuple[int, ...], ranges: Ranges, bytes_outside: bool = False) -> bytes:
    """The same in integers; with bytes_outside, input and output are bytes too and nobody has to convert them."""
    return _Int8Builder(program, ranges, bytes_outside).finish(shape)


class _Builder:
    outside = TensorProto.FLOAT

    def __init__(self, program: Program) -> None:
        self.program = program
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def finish(self, shape: tuple[int, ...]) -> bytes:
        n, height, width, channels = shape
        result = run(self.program, self.enter("x"), self.apply)[-1]
        # Intermediate predictions of a stack are computed on the way; only the last is asked for, as from hbcore.
        self.leave(result)
        picture = helper.make_tensor_value_info("x", self.outside, [n, channels, height, width])
        output = helper.make_tensor_value_info("y", self.outside, ["n", "filters", "rows", "columns"])
        graph = helper.make_graph(self.nodes, "twin", [picture], [output], self.constants)
        opsets = [helper.make_opsetid("", OPSET)]
        model: ModelProto = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
        checker.check_model(model)
        return model.SerializeToString()

    def enter(self, name: str) -> str:
        return name

    def leave(self, value: str) -> None:
        self.nodes.append(helper.make_node("Identity", [value], ["y"]))

    def constant(self, name: str, value: Array) -> str:
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def node(self, op: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(op, inputs, [output], name=f"{op}_{output}", **attributes))
        return output

    def apply(self, step: Step, inputs: list[str]) -> str:
        out = f"v{step.output}"
        match step.op:
            case "conv":
                return self.conv(step, inputs[0], out)
            case "norm":
                return self.norm(step, inputs[0], out)
            case "relu":
                return self.node("Relu", inputs, out)
            case "pool":
                return self.node("MaxPool", inputs, out, kernel_shape=[2, 2], strides=[2, 2])
            case "upsample":
                scales = self.constant(f"{out}.scales", np.array([1, 1, 2, 2], dtype=np.float32))
                mode = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
                return self.node("Resize", [inputs[0], "", scales], out, **mode)
            case "add":
                return self.node("Add", inputs, out)
            case "concat":
                return self.node("Concat", inputs, out, axis=1)
        raise ValueError(f"a real-valued network has no step {step.op!r}")

    def conv(self, step: Step, x: str, out: str) -> str:
        conv = self.program.layers[step.layer]
        assert isinstance(conv, Conv2d)
        inputs = [x, *self.weights(step, conv)]
        geometry = {"kernel_shape": conv.weight.shape[:2], "strides": [conv.stride] * 2, "pads": [conv.padding] * 4}
        return self.node("Conv", inputs, out, **geometry)

    def weights(self, step: Step, conv: Conv2d) -> list[str]:
        names = [self.constant(f"{step.layer}.weight", conv.weight.data.transpose(3, 2, 0, 1))]
        if conv.bias is not None:
            names.append(self.constant(f"{step.layer}.bias", conv.bias.data))
        return names

    def norm(self, step: Step, x: str, out: str) -> str:
        norm = self.program.layers[step.layer]
        assert isinstance(norm, BatchNorm2d)
        values = {
            "gamma": norm.gamma.data,
            "beta": norm.beta.data,
            "mean": norm.running_mean,
            "variance": norm.running_variance,
        }
        names = [self.constant(f"{step.layer}.{name}", value) for name, value in values.items()]
        return self.node("BatchNormalization", [x, *names], out, epsilon=norm.eps)


class _Int8Builder(_Builder):
    def __init__(self, program: Program, ranges: Ranges, bytes_outside: bool) -> None:
        super().__init__(program)
        self.ranges = ranges
        self.bytes_outside = bytes_outside
        self.outside = TensorProto.UINT8 if bytes_outside else TensorProto.FLOAT

    def enter(self, name: str) -> str:
        if self.bytes_outside:
            return self.node("DequantizeLinear", [name, *self.scale(0)], "v0.float")
        return self.pair(0, name)

    def leave(self, value: str) -> None:
        if self.bytes_outside:
            last = self.program.results[-1]
            self.nodes = [node for node in self.nodes if value not in node.output]
            self.node("Identity", [f"v{last}.bytes"], "y")
        else:
            super().leave(value)

    def apply(self, step: Step, inputs: list[str]) -> str:
        out = super().apply(step, inputs)
        return self.pair(step.output, out) if step.op in ("conv", "relu") else out

    def pair(self, number: int, name: str) -> str:
        """To bytes and back."""
        scale = self.scale(number)
        stored = self.node("QuantizeLinear", [name, *scale], f"v{number}.bytes")
        return self.node("DequantizeLinear", [stored, *scale], f"v{number}.float")

    def scale(self, number: int) -> list[str]:
        low, high = min(self.ranges[number][0], 0.0), max(self.ranges[number][1], 0.0)
        scale = max(high - low, 1e-6) / 255
        return [
            self.constant(f"v{number}.scale", np.array(scale, dtype=np.float32)),
            self.constant(f"v{number}.zero", np.array(round(-low / scale), dtype=np.uint8)),
        ]

    def weights(self, step: Step, conv: Conv2d) -> list[str]:
        names = super().weights(step, conv)
        w = conv.weight.data.transpose(3, 2, 0, 1)
        scale = np.abs(w).max(axis=(1, 2, 3)) / 127
        stored = np.clip(np.rint(w / scale[:, None, None, None]), -127, 127).astype(np.int8)
        self.constants = [constant for constant in self.constants if constant.name not in names]
        names[0] = self.dequantised(names[0], stored, scale)
        if conv.bias is not None:
            low, high = min(self.ranges[step.inputs[0]][0], 0.0), max(self.ranges[step.inputs[0]][1], 0.0)
            scale = scale * (max(high - low, 1e-6) / 255)
            names[1] = self.dequantised(names[1], np.rint(conv.bias.data / scale).astype(np.int32), scale)
        return names

    def dequantised(self, name: str, stored: Array, scale: Array) -> str:
        constants = [
            self.constant(f"{name}.stored", stored),
            self.constant(f"{name}.scale", scale.astype(np.float32)),
            self.constant(f"{name}.zero", np.zeros(len(scale), dtype=stored.dtype)),
        ]
        return self.node("DequantizeLinear", constants, f"{name}.float", axis=0)
