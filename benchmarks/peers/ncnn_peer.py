"""ncnn: float32, its 3x3 convolutions by Winograd's method. pnnx turns the float graph into its format."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.peers import Case, Missing, Peer, scratch_folder
from benchmarks.timing import Absent, Candidate


class Ncnn(Peer):
    """Options as by default, but for the number of threads."""

    name = "ncnn"
    package = "ncnn"

    def inference(self, case: Case) -> Sequence[Candidate | Absent]:
        return [case.candidate("ncnn fp32", "fp32", lambda: _extractor(case))]


def _extractor(case: Case) -> Callable[[], object]:
    import ncnn
    import pnnx

    if len(case.picture) > 1:
        raise Missing("takes one picture at a time")
    net = ncnn.Net()
    net.opt.num_threads = case.threads
    with scratch_folder() as folder:
        graph = Path(folder, "twin.onnx")
        graph.write_bytes(case.float_graph())
        shape = ",".join(map(str, case.channels_first.shape))
        subprocess.run(
            [pnnx.EXEC_PATH, graph.name, f"inputshape=[{shape}]", "fp16=0"],
            cwd=folder,
            check=True,
            capture_output=True,
            timeout=300,
        )
        net.load_param(str(graph.with_suffix(".ncnn.param")))
        net.load_model(str(graph.with_suffix(".ncnn.bin")))
    picture = ncnn.Mat(case.channels_first[0]).clone()

    def run() -> object:
        with net.create_extractor() as extractor:
            extractor.input("in0", picture)
            status, result = extractor.extract("out0")
        if status:
            raise RuntimeError(f"ncnn gave up with status {status}")
        return result

    return run
