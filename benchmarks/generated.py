"""Our C beside float C of the same network, by a generator of others: `python -m benchmarks.generated`.

emx-onnx-cgen reads the graph of `python -m hbcore.export onnx`, where signs are floats; nobody is told which CPU it is.
Milliseconds are the CPU's, for the maps of one picture, in turns; bytes are those of code and constants.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.peers import Missing, scratch_folder
from benchmarks.timing import Candidate, interleave
from hbcore.autograd.function import Array
from hbcore.deploy.model_file import ModelFileError
from hbcore.export.c.files import CModel, c_model
from hbcore.export.onnx_file import write_onnx

FLAGS = "-O2", "-O3"
GENERATOR = "emx-onnx-cgen"
IN_FILE = "--large-weight-threshold=0"  # weights in the C file, not in one to be loaded


@dataclass(frozen=True)
class Compiled:
    """bytes: of code and constants; run: the maps of the picture (h, w, K) anew."""

    bytes: int
    run: Callable[[], Array]


def compiled(source: Path, flag: str) -> tuple[int, ctypes.CDLL]:
    """Bytes of the object file, and what can be called. Missing, in one line, if it does not compile."""
    made = source.with_name(f"{source.stem}{flag}.o")
    _tool("gcc", "-std=c99", flag, "-fPIC", "-c", source, "-o", made)
    _tool("gcc", "-shared", made, "-o", made.with_suffix(".so"), "-lm")
    text, data, *_ = _tool("size", made).splitlines()[1].split()
    return int(text) + int(data), ctypes.CDLL(os.fspath(made.with_suffix(".so")))


def ours(made: CModel, picture: Array, source: Path, flag: str) -> Compiled:
    """The exported file, on bytes (S, S, 3)."""
    size, library = compiled(source, flag)
    shape = made.table.maps.shape[1:]
    arena = np.zeros(int(made.facts["ram"]), dtype=np.uint8)
    maps = library[f"{made.name}_maps"]
    maps.restype = ctypes.POINTER(ctypes.c_float)
    maps.argtypes = ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t

    def run() -> Array:
        found = maps(arena.ctypes.data, picture.ctypes.data, picture.strides[0])
        return np.ctypeslib.as_array(found, shape)

    return Compiled(size, run)


def theirs(made: CModel, picture: Array, source: Path, flag: str) -> Compiled:
    """The generated file, on the same picture in floats."""
    size, library = compiled(source, flag)
    shown = picture * np.float32(1 / 255)
    found = np.zeros(made.table.maps.shape[1:], dtype=np.float32)
    network = library["model"]
    network.argtypes = ctypes.c_void_p, ctypes.c_void_p

    def run() -> Array:
        network(shown.ctypes.data, found.ctypes.data)
        return found

    return Compiled(size, run)


def table(model: str, generator: str, rounds: int) -> Iterator[str]:
    """The table, line by line. Missing or ModelFileError, in one line, for what cannot be had."""
    for tool in ("gcc", "size", generator):
        if shutil.which(tool) is None:
            raise Missing(f"there is no {tool} here: install it, or name the generator by --generator PATH")
    made = c_model(model)
    picture = np.random.default_rng(0).integers(0, 256, made.table.picture.shape[1:], dtype=np.uint8)
    with scratch_folder() as name:
        folder = Path(name)
        for file in (f"{made.name}.c", f"{made.name}.h"):
            (folder / file).write_text(made.files[file], encoding="ascii")
        write_onnx(model, folder / "graph.onnx")
        float_c = folder / "float_c.c"
        _tool(generator, "compile", IN_FILE, "--model-name", "model", folder / "graph.onnx", float_c)
        yield "| network | flags | bytes, ours | float C | times | ms, ours | float C | times | maps differ by |"
        yield "|---|---|---|---|---|---|---|---|---|"
        for flag in FLAGS:
            pair = [ours(made, picture, folder / f"{made.name}.c", flag), theirs(made, picture, float_c, flag)]
            off = float(np.abs(pair[0].run() - pair[1].run()).max())
            timings = interleave([Candidate("", one.run) for one in pair], rounds, 60, clock=time.process_time)
            mine, other = (timing.seconds.times(1e3).median for timing in timings)
            size, larger = (one.bytes for one in pair)
            yield (
                f"| {made.name} | {flag} | {size:,} | {larger:,} | {larger / size:.1f} "
                f"| {mine:.2f} | {other:.1f} | {timings[1].over(timings[0]).median:.1f} | {off:.1g} |"
            )


def _tool(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip() or f"code {done.returncode}").splitlines()[-1]
        raise Missing(f"{Path(command[0]).name}: {last[:160]}")
    return done.stdout


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; its exit code."""
    made = argparse.ArgumentParser(prog="python -m benchmarks.generated", description=(__doc__ or "").split("\n")[0])
    made.add_argument("model", help="a model's name or file")
    made.add_argument("--generator", default=GENERATOR, metavar="PATH", help=f"where {GENERATOR} is")
    made.add_argument("--rounds", type=int, default=9, help="in which the two take turns (9)")
    chosen = made.parse_args(arguments)
    try:
        for line in table(chosen.model, chosen.generator, max(1, chosen.rounds)):
            print(line, flush=True)
    except (Missing, ModelFileError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
