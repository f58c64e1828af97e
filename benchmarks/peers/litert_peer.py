"""LiteRT, once TensorFlow Lite: float32, and bytes throughout. On CPUs its delegate XNNPACK does the work.

It joins in by itself for every operator that it has; up-sampling to the nearest pixel it leaves to LiteRT's own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from benchmarks.numpy_twin import NumpyTwin
from benchmarks.peers import Case, Peer
from benchmarks.timing import Absent, Candidate
from hbcore.autograd.function import Array


class LiteRt(Peer):
    """Options as by default, but for the number of threads."""

    name = "LiteRT"
    package = "ai-edge-litert"

    def inference(self, case: Case) -> Sequence[Candidate | Absent]:
        return [
            case.candidate("LiteRT fp32", "fp32", lambda: float32(case)),
            case.candidate("LiteRT int8", "int8", lambda: int8(case)),
        ]


def float32(case: Case) -> Callable[[], Array]:
    """A call for the result, (N, H, W, C)."""
    from ai_edge_litert import schema_py_generated as schema

    from benchmarks import tflite_graph

    return _interpreter(tflite_graph.float_model(schema, case.program, case.picture.shape), case.picture, case.threads)


def int8(case: Case) -> Callable[[], Array]:
    """The same in integers; bytes go in and come out where the case says so."""
    from ai_edge_litert import schema_py_generated as schema

    from benchmarks import tflite_graph

    ranges, shape = NumpyTwin(case.program).ranges(case.picture), case.picture.shape
    model = tflite_graph.int8_model(schema, case.program, shape, ranges, case.bytes_outside)
    picture = case.picture
    if case.bytes_outside:
        picture = np.random.default_rng(0).integers(-128, 127, shape, dtype=np.int8)
    return _interpreter(model, picture, case.threads)


def _interpreter(model: bytes, picture: Array, threads: int) -> Callable[[], Array]:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=model, num_threads=threads)
    interpreter.allocate_tensors()
    (given,), (found,) = interpreter.get_input_details(), interpreter.get_output_details()

    def run() -> Array:
        interpreter.set_tensor(given["index"], picture)  # at each call: its memory is used for other values as well
        interpreter.invoke()
        return np.asarray(interpreter.get_tensor(found["index"]))

    return run
