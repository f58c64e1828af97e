"""PyTorch: float32 in both orders of axes, bfloat16, and compiled where that is asked for."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence

from benchmarks.peers import Case, Missing, Peer
from benchmarks.timing import Absent, Candidate


class PyTorch(Peer):
    """Eager by default: no step is fused into another."""

    name = "PyTorch"
    package = "torch"

    def inference(self, case: Case) -> Sequence[Candidate | Absent]:
        def prepare() -> None:
            import torch

            torch.set_num_threads(case.threads)

        found = [
            case.candidate("PyTorch fp32", "fp32", lambda: _forward(case), prepare),
            case.candidate("PyTorch fp32 channels-last", "fp32", lambda: _forward(case, last=True), prepare),
            case.candidate("PyTorch bf16 channels-last", "bf16", lambda: _forward(case, last=True, bf16=True), prepare),
        ]
        if case.compile:
            name = "PyTorch fp32 channels-last, compiled"
            found.append(case.candidate(name, "fp32", lambda: _forward(case, last=True, compiled=True), prepare))
        return found


def _forward(case: Case, last: bool = False, bf16: bool = False, compiled: bool = False) -> Callable[[], object]:
    import torch

    from benchmarks.torch_twin import Twin, channels_first

    if compiled and not any(shutil.which(name) for name in ("g++", "clang++", "c++")):
        raise Missing("no C++ compiler")
    dtype = torch.bfloat16 if bf16 else torch.float32
    order = torch.channels_last if last else torch.contiguous_format
    twin = Twin(case.program).eval().arranged(dtype, order)
    picture = channels_first(case.picture).to(dtype=dtype, memory_format=order)
    call = torch.compile(twin) if compiled else twin

    def run() -> object:
        with torch.inference_mode():
            return call(picture)

    return run
