"""Who hbcore is compared with: one class per peer, all optional, all with the same few methods.

A peer is handed a :class:`Case` and answers with candidates for timing; what it cannot build becomes an Absent with the
reason, never an error of the whole run.
"""

from __future__ import annotations

import contextlib
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from typing import Any

import numpy as np

from benchmarks.numpy_twin import NumpyTwin
from benchmarks.timing import Absent, Candidate, nothing
from benchmarks.topology import Program
from hbcore.autograd.function import Array
from hbcore.nn.layers import BinaryConv2d


class Missing(Exception):
    """A peer, or a part of it, is not there; the message says why."""


@dataclass(eq=False)
class Case:
    """What is to be computed: the real-valued program on `picture` (N, H, W, C), float32, with `threads` threads.

    suffix: appended to the names of candidates. against: the row that they are compared with. binary: the binary layer
    in the program's place, if it is a single layer. bytes_outside: integer peers get and give bytes, not floats.
    compile: whether PyTorch may spend minutes on compiling.
    """

    program: Program
    picture: Array
    threads: int = 1
    suffix: str = ""
    against: str = ""
    binary: BinaryConv2d | None = None
    bytes_outside: bool = False
    compile: bool = False
    made: dict[str, Any] = field(default_factory=dict)

    @property
    def channels_first(self) -> Array:
        """The picture as (N, C, H, W)."""
        return np.ascontiguousarray(self.picture.transpose(0, 3, 1, 2))

    def float_graph(self) -> bytes:
        """The program as an ONNX model; made once for all peers."""
        if "float" not in self.made:
            from benchmarks import onnx_graph

            self.made["float"] = onnx_graph.float_model(self.program, self.picture.shape)
        return bytes(self.made["float"])

    def int8_graph(self) -> bytes:
        """The same in integers."""
        if "int8" not in self.made:
            from benchmarks import onnx_graph

            ranges = NumpyTwin(self.program).ranges(self.picture)
            shape = self.picture.shape
            self.made["int8"] = onnx_graph.int8_model(self.program, shape, ranges, self.bytes_outside)
        return bytes(self.made["int8"])

    def int8_input(self) -> Array:
        """What :meth:`int8_graph` takes."""
        if not self.bytes_outside:
            return self.channels_first
        return np.random.default_rng(0).integers(0, 255, self.channels_first.shape, dtype=np.uint8)

    def candidate(
        self,
        name: str,
        kind: str,
        build: Callable[[], Callable[[], object]],
        prepare: Callable[[], object] = nothing,
    ) -> Candidate | Absent:
        """Build and try out one candidate. Whatever goes wrong in somebody else's library makes it absent."""
        name += self.suffix
        try:
            with quietly():
                prepare()
                run = build()
                run()
        except Exception as error:  # anything at all may come out of a foreign library
            return Absent(name, reason(error))
        return Candidate(name, run, self.threads, kind, self.against, prepare)


class Peer:
    """Base of all peers. name: as rows begin. package: its distribution, whose version the head of the report names."""

    name = ""
    package = ""

    def version(self) -> str:
        """The installed version; raises Missing with the reason where there is none."""
        try:
            return metadata.version(self.package)
        except metadata.PackageNotFoundError:
            raise Missing("not installed") from None

    def inference(self, case: Case) -> Sequence[Candidate | Absent]:
        """Candidates that run the case forward."""
        raise NotImplementedError


def reason(error: BaseException) -> str:
    """One line that says what went wrong."""
    if isinstance(error, ImportError) and error.name:
        return f"{error.name} is not installed"
    lines = str(error).strip().splitlines() or [""]
    return lines[0][:160] if isinstance(error, Missing) else f"{type(error).__name__}: {lines[0][:160]}"


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Without the warnings of other people's libraries."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def scratch_folder() -> tempfile.TemporaryDirectory[str]:
    """A folder for the files that a converter insists on."""
    return tempfile.TemporaryDirectory(prefix="hbcore-benchmark-")


def all_peers() -> list[Peer]:
    """Every peer, installed or not."""
    from benchmarks.peers.larq_peer import Larq
    from benchmarks.peers.litert_peer import LiteRt
    from benchmarks.peers.mnn_peer import Mnn
    from benchmarks.peers.ncnn_peer import Ncnn
    from benchmarks.peers.numpy_peer import NumPy
    from benchmarks.peers.onnxruntime_peer import OnnxRuntime
    from benchmarks.peers.openvino_peer import OpenVino
    from benchmarks.peers.torch_peer import PyTorch

    return [NumPy(), PyTorch(), OnnxRuntime(), OpenVino(), Ncnn(), Mnn(), LiteRt(), Larq()]
