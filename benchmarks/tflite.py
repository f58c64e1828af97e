"""TensorFlow Lite models, written operator by operator with the schema that a wheel of somebody else brings.

Tensors are known by number. Neither TensorFlow nor its converter is asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hbcore.autograd.function import Array

RELU, SAME, VALID = 1, 0, 1  # the schema's numbers for this activation, and for padding: half a kernel, or none


class Graph:
    """A model as it grows. schema: the module that was generated from TensorFlow Lite's."""

    def __init__(self, schema: Any) -> None:
        self.schema = schema
        self.tensors: list[Any] = []
        self.buffers = [schema.BufferT()]  # by custom, what has no constant value has buffer 0
        self.operators: list[Any] = []
        self.codes: dict[str, Any] = {}  # of the operators by name, in order

    def tensor(self, name: str, shape: Sequence[int], dtype: Any = np.float32) -> int:
        """A value that is computed, or an input."""
        made = self.schema.TensorT()
        made.name, made.shape = name, list(shape)
        made.type = getattr(self.schema.TensorType, np.dtype(dtype).name.upper())
        self.tensors.append(made)
        return len(self.tensors) - 1

    def constant(self, name: str, value: Array) -> int:
        """A value that is known."""
        number = self.tensor(name, value.shape, value.dtype)
        self.tensors[number].buffer = len(self.buffers)
        self.buffers.append(self.schema.BufferT())
        self.fill(number, value)
        return number

    def value(self, number: int) -> Array:
        """What a constant in float32 holds."""
        made = self.tensors[number]
        return np.frombuffer(self.buffers[made.buffer].data.tobytes(), dtype=np.float32).reshape(made.shape)

    def fill(self, number: int, value: Array) -> None:
        """Another value for a constant of the same shape and type."""
        self.buffers[self.tensors[number].buffer].data = np.frombuffer(value.tobytes(), dtype=np.uint8)

    def quantise(self, number: int, scale: Array | float, zero: int = 0, axis: int = 0) -> None:
        """Say what the integers of a tensor mean: scale * (integer - zero), with a scale for all or along the axis."""
        made = self.schema.QuantizationParametersT()
        made.scale, made.zeroPoint = np.atleast_1d(scale).tolist(), [zero] * np.size(scale)
        made.quantizedDimension = axis
        self.tensors[number].quantization = made

    def put(self, op: str, inputs: Sequence[int], output: int, options: str = "", **values: object) -> Any:
        """One operator, by its name in the schema, or a custom one. options: name of a table, and what it holds."""
        if op not in self.codes:
            self.codes[op] = self._code(op)
        made = self.schema.OperatorT()
        made.inputs, made.outputs, made.opcodeIndex = list(inputs), [output], list(self.codes).index(op)
        if options:
            made.builtinOptionsType = getattr(self.schema.BuiltinOptions, options)
            made.builtinOptions = getattr(self.schema, f"{options}T")()
            for name, value in values.items():
                setattr(made.builtinOptions, name, value)
        self.operators.append(made)
        return made

    def name(self, operator: Any) -> str:
        """What :meth:`put` was told that it is."""
        return list(self.codes)[operator.opcodeIndex]

    def _code(self, op: str) -> Any:
        known, made = getattr(self.schema.BuiltinOperator, op, None), self.schema.OperatorCodeT()
        made.builtinCode = self.schema.BuiltinOperator.CUSTOM if known is None else known
        made.deprecatedBuiltinCode = min(made.builtinCode, 127)  # a byte, for readers of long ago
        made.customCode = op if known is None else None
        made.version = 1 if known is None else 3 if "CONV" in op else 2  # since when they take signed bytes
        return made

    def finish(self, inputs: Sequence[int], outputs: Sequence[int]) -> bytes:
        """The model as a file."""
        import flatbuffers

        graph, model = self.schema.SubGraphT(), self.schema.ModelT()
        graph.tensors, graph.operators = self.tensors, self.operators
        graph.inputs, graph.outputs = list(inputs), list(outputs)
        model.version, model.operatorCodes, model.subgraphs = 3, list(self.codes.values()), [graph]
        model.buffers = self.buffers
        builder = flatbuffers.Builder(1 << 20)
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output())
