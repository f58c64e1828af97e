"""MNN: float32. Its converter turns the float graph into its format; the graph of bytes it does not read."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers import Case, Peer, scratch_folder
from benchmarks.timing import Absent, Candidate
from hbcore.autograd.function import Array

# Its command mnnconvert would first install packages that report what is converted; what does the work is this module.
CONVERT = "import sys, _tools; _tools.mnnconvert(sys.argv)"


class Mnn(Peer):
    """Precision "high" is float32 on every CPU; by default it would take float16 where the CPU has it."""

    name = "MNN"
    package = "MNN"

    def inference(self, case: Case) -> Sequence[Candidate | Absent]:
        return [case.candidate("MNN fp32", "fp32", lambda: session(case))]


def session(case: Case) -> Callable[[], Array]:
    """A call for the result, (N, C, H, W)."""
    import MNN

    with scratch_folder() as folder:
        graph, model = Path(folder, "twin.onnx"), Path(folder, "twin.mnn")
        graph.write_bytes(case.float_graph())
        files = ["--modelFile", str(graph), "--MNNModel", str(model), "--bizCode", "hbcore"]
        command = [sys.executable, "-c", CONVERT, "-f", "ONNX", *files]
        subprocess.run(command, check=True, capture_output=True, timeout=300)
        network = MNN.Interpreter(str(model))
    made = network.createSession({"backend": "CPU", "numThread": case.threads, "precision": "high"})
    given, found = network.getSessionInput(made), network.getSessionOutput(made)
    picture, result = _host(case.channels_first), _host(np.zeros(found.getShape(), dtype=np.float32))

    def run() -> Array:
        given.copyFrom(picture)  # at each call: a session uses the memory of its input for other values as well
        if network.runSession(made):
            raise RuntimeError("MNN gave up")
        found.copyToHostTensor(result)
        return np.asarray(result.getNumpyData())  # of the memory of `result`

    return run


def _host(values: Array) -> Any:
    """A copy of values (N, C, H, W) as MNN's own."""
    import MNN

    return MNN.Tensor(values.shape, MNN.Halide_Type_Float, values, MNN.Tensor_DimensionType_Caffe)
