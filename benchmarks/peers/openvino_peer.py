"""OpenVINO: the same two graphs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from benchmarks.peers import Case, Peer
from benchmarks.timing import Absent, Candidate
from hbcore.autograd.function import Array


class OpenVino(Peer):
    """Set for latency. "fp32" is held to float32: by itself it would take bfloat16 where the CPU has it."""

    name = "OpenVINO"
    package = "openvino"

    def inference(self, case: Case) -> Sequence[Candidate | Absent]:
        return [
            case.candidate("OpenVINO fp32", "fp32", lambda: _request(case.float_graph, case.channels_first, case)),
            case.candidate("OpenVINO int8", "int8", lambda: _request(case.int8_graph, case.int8_input(), case)),
        ]


def _request(graph: Callable[[], bytes], picture: Array, case: Case) -> Callable[[], object]:
    import openvino

    core = openvino.Core()
    settings = {
        "INFERENCE_NUM_THREADS": case.threads,
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",
    }
    request = core.compile_model(core.read_model(graph()), "CPU", settings).create_infer_request()
    request.set_input_tensor(openvino.Tensor(picture, shared_memory=True))
    return lambda: request.infer()
