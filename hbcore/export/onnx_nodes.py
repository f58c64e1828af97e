"""Nodes and constants, gathered into an ONNX model that the checker has read."""

from __future__ import annotations

from typing import Any

import numpy as np

from hbcore.autograd.function import Array
from hbcore.deploy.model_file import ModelFileError, reason

OPSET, IR = 13, 8
"""What runtimes of 2021 read."""


class Nodes:
    """Nodes (operator, names that it takes, name that it gives, attributes), constants by name, inputs and outputs."""

    def __init__(self) -> None:
        self.nodes: list[tuple[str, list[str], str, dict[str, Any]]] = []
        self.constants: dict[str, Array] = {}
        self.inputs: dict[str, tuple[int, ...]] = {}
        self.outputs: dict[str, tuple[type, tuple[int, ...]]] = {}

    def node(self, kind: str, *taken: str, **fields: Any) -> str:
        """Add one; the name of what it gives."""
        name = f"n{len(self.nodes)}"
        self.nodes.append((kind, list(taken), name, fields))
        return name

    def constant(self, values: Any, shape: tuple[int, ...] | None = None) -> str:
        """Add one, in another shape if one is named; its name."""
        name = f"c{len(self.constants)}"
        self.constants[name] = np.ascontiguousarray(values if shape is None else np.reshape(values, shape))
        return name

    def takes(self, name: str, shape: tuple[int, ...]) -> None:
        """Name an input, of float32."""
        self.inputs[name] = shape

    def gives(self, name: str, value: str, shape: tuple[int, ...], kind: type = np.float32) -> None:
        """Name an output: what a node gives."""
        self.nodes.append(("Identity", [value], name, {}))
        self.outputs[name] = kind, shape

    def model(self, name: str, properties: dict[str, str]) -> bytes:
        """The file. ModelFileError, in one line, if onnx is missing or its checker objects."""
        try:
            import onnx
        except ModuleNotFoundError:
            remedy = 'pip install "hbcore[onnx]"'
            raise ModelFileError(f"ONNX files are written by onnx, which is missing: {remedy}") from None
        helper, float32 = onnx.helper, onnx.TensorProto.FLOAT
        made = helper.make_model(
            helper.make_graph(
                [helper.make_node(kind, taken, [given], **fields) for kind, taken, given, fields in self.nodes],
                name,
                [helper.make_tensor_value_info(given, float32, list(shape)) for given, shape in self.inputs.items()],
                [
                    helper.make_tensor_value_info(given, helper.np_dtype_to_tensor_dtype(np.dtype(kind)), list(shape))
                    for given, (kind, shape) in self.outputs.items()
                ],
                [onnx.numpy_helper.from_array(values, given) for given, values in self.constants.items()],
            ),
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR,
            producer_name="hbcore",
        )
        helper.set_model_props(made, properties)
        try:
            onnx.checker.check_model(made, full_check=True)
        except onnx.checker.ValidationError as error:
            raise ModelFileError(f"the checker of ONNX refuses the graph: {reason(error)}") from None
        return bytes(made.SerializeToString(deterministic=True))
