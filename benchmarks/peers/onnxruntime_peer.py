"""ONNX Runtime: the float graph, and the graph of bytes, on its CPU provider."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from benchmarks.peers import Case, Peer
from benchmarks.timing import Absent, Candidate
from hbcore.autograd.function import Array


class OnnxRuntime(Peer):
    """All of its graph optimisations are on, as by default."""

    name = "ONNX Runtime"
    package = "onnxruntime"

    def inference(self, case: Case) -> Sequence[Candidate | Absent]:
        return [
            case.candidate("ONNX Runtime fp32", "fp32", lambda: _session(case.float_graph, case.channels_first, case)),
            case.candidate("ONNX Runtime int8", "int8", lambda: _session(case.int8_graph, case.int8_input(), case)),
        ]


def _session(graph: Callable[[], bytes], picture: Array, case: Case) -> Callable[[], object]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = case.threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors only
    session = onnxruntime.InferenceSession(graph(), options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {"x": picture})
