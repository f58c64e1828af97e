"""NumPy: what there is without any kernel, by im2col and BLAS."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.numpy_twin import NumpyTwin
from benchmarks.peers import Case, Peer
from benchmarks.peers.ours import threads
from benchmarks.timing import Absent, Candidate


class NumPy(Peer):
    """float32 on one thread: its element-wise operations know no other number."""

    name = "NumPy"
    package = "numpy"

    def inference(self, case: Case) -> Sequence[Candidate | Absent]:
        if case.threads > 1:
            return []
        twin = NumpyTwin(case.program)
        return [case.candidate("NumPy fp32 (im2col, BLAS)", "fp32", lambda: lambda: twin(case.picture), threads(1))]
