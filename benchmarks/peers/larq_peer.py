"""larq-compute-engine: the other binary convolution. Its wheel holds an interpreter of TensorFlow Lite models.

Its converter wants TensorFlow, its interpreter does not: the model of one layer is written here with the schema that
the wheel brings, and interpreter and schema are loaded as files, past a package that would import TensorFlow first.
The packed signs are a constant of the model, not an input: the interpreter was built for NumPy 1 and misreads the
arrays of NumPy 2 (so nobody can look at its results here; under NumPy 1 they are ours, but for the border). Padding is
with ones, the quicker of its two kinds. On x86 its kernels are portable C++; of the two that it has, the indirect one
is much the quicker and is the one timed.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType

import numpy as np

from benchmarks.peers import Case, Missing, Peer
from benchmarks.tflite import Graph
from benchmarks.timing import Absent, Candidate
from hbcore import kernels
from hbcore.autograd.function import Array
from hbcore.nn.layers import BinaryConv2d


class Larq(Peer):
    """One binary layer, packed input to float output: the very work of our kernel."""

    name = "larq-compute-engine"
    package = "larq-compute-engine"

    def inference(self, case: Case) -> Sequence[Candidate | Absent]:
        layer = case.binary
        if layer is None:
            return [
                Absent(
                    f"{self.name} binary{case.suffix}", "timed on single layers only: its converter wants TensorFlow"
                )
            ]
        return [case.candidate(f"{self.name} binary, packed input", "binary", lambda: interpreter(case, layer))]


def interpreter(case: Case, layer: BinaryConv2d) -> Callable[[], object]:
    """A call that convolves the picture of the case, in bits, with the layer."""
    wrapper = _part("tflite/python/interpreter_wrapper_lite.so")
    model = layer_model(layer, case.picture)
    engine = wrapper.LiteInterpreter(
        model, case.threads, False, True, False
    )  # reference: no, indirect: yes, XNNPACK: no
    return lambda: engine.predict([])


def half_words(x: Array) -> Array:
    """Signs packed in words of 32 bits: halves of ours, as a set bit is -1 in both."""
    packed = kernels.backend.pack_signs(x).view(np.int32)
    return np.ascontiguousarray(packed[..., : -(-x.shape[-1] // 32)])


def _part(path: str) -> ModuleType:
    """A module of the wheel, loaded from its file."""
    package = importlib.util.find_spec("larq_compute_engine")
    if package is None or not package.submodule_search_locations:
        raise Missing("not installed")
    file = Path(package.submodule_search_locations[0], path)
    if not file.exists():
        raise Missing(f"this build of it has no {file.name}")
    name = file.stem
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, file)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        sys.modules[name] = module
    return sys.modules[name]


def layer_model(layer: BinaryConv2d, x: Array) -> bytes:
    """A TensorFlow Lite model without inputs: this layer on the signs of x (N, H, W, C)."""
    from flatbuffers import flexbuffers

    graph = Graph(_part("mlir/python/tflite_schema.py"))
    w = np.ascontiguousarray(layer.weight.data.transpose(3, 0, 1, 2))
    alpha = np.abs(w).mean(axis=(1, 2, 3)).astype(np.float32)
    constants = {"x": half_words(x), "w": half_words(w), "alpha": alpha, "bias": np.zeros_like(alpha)}
    options = {
        "channels_in": x.shape[-1],
        "dilation_height_factor": 1,
        "dilation_width_factor": 1,
        "fused_activation_function": 0,
        "pad_values": 1,
        "padding": 0,
        "stride_height": 1,
        "stride_width": 1,
    }
    inputs = [graph.constant(name, value) for name, value in constants.items()]
    output = graph.tensor("y", [*x.shape[:3], len(w)])
    operator = graph.put("LceBconv2d", [*inputs, -1], output)  # -1: no thresholds, the result stays in floats
    operator.customOptions = np.frombuffer(flexbuffers.Dumps(options), dtype=np.uint8)
    return graph.finish([], [output])
