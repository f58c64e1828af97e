"""Exported models, compiled into programs that answer pictures."""

import shutil
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from hbcore.deploy.lowering import lower
from hbcore.export.c.files import CModel, c_files
from hbcore.export.integers.lowering import in_integers
from hbcore.landmarks.description import Description
from hbcore.landmarks.heatmaps import HeatmapCodec
from hbcore.landmarks.masks import MaskCodec
from tests.architectures import network

HARNESS = Path(__file__).with_name("harness.c")
COMPILER = shutil.which("gcc")
STRICT = "-std=c99", "-Wall", "-Wextra", "-Wconversion", "-Werror", "-pedantic", "-ffp-contract=off"
SANITIZED = "-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"


@dataclass(frozen=True)
class Machine:
    """What compiles for a machine, and what runs it, if it is not this one."""

    compiler: str
    emulator: str = ""

    @property
    def missing(self) -> str:
        """The tool that is not there; empty if all are."""
        return next((tool for tool in (self.compiler, self.emulator) if tool and not shutil.which(tool)), "")


HERE = Machine("gcc")


def links(folder: Path, compiler: str, *flags: str) -> bool:
    """Whether the flags give a program: sanitizers are libraries of their own, which a compiler may come without."""
    (folder / "nothing.c").write_text("int main(void) { return 0; }\n")
    command = [compiler, *flags, "-o", folder / "nothing", folder / "nothing.c"]
    return not subprocess.run(command, capture_output=True, check=False, timeout=120).returncode


@dataclass
class Program:
    """One model's program; side: of its square picture."""

    command: tuple[Path | str, ...]
    shape: tuple[int, ...]
    parts: bool
    side: int
    number: type = np.float32  # of the maps

    def run(self, mode: str, pixels: np.ndarray, stride: int) -> bytes:
        done = subprocess.run(
            [*self.command, mode, str(stride)], input=pixels.tobytes(), capture_output=True, check=False, timeout=60
        )
        assert (done.returncode, done.stderr) == (0, b""), done.stderr.decode()
        return done.stdout

    def maps(self, picture: np.ndarray) -> np.ndarray:
        return np.frombuffer(self.run("maps", picture, 3 * self.side), dtype=self.number).reshape(self.shape)

    def answer(self, mode: str, pixels: np.ndarray, stride: int) -> np.ndarray:
        """(K, 3) x, y, score; or classes (side, side)."""
        found = self.run(mode, pixels, stride)
        if self.parts:
            return np.frombuffer(found, dtype=np.uint8).reshape(self.side, self.side)
        return np.frombuffer(found, dtype=np.float32).reshape(-1, 3)


def model_of(codec, output, whole=False, **architecture):
    """A small network in C, as a file would give it; whole: in whole numbers."""
    net = network(**architecture).eval()
    maps = net.architecture["joints"]
    description = Description("face", tuple(map(str, range(maps))), (), codec, output, None, ())
    table = lower(net, codec.input_size, codec.input_size)
    integers = in_integers(table) if whole else None
    files = c_files(table, codec, output, "net", "0" * 64, integers)
    return CModel(net, description, table, "net", "0" * 64, *files, integers)


def program(
    folder: Path,
    model,
    side: int,
    *flags: str,
    parts=False,
    output="sigmoid",
    sigma=1.0,
    damage=("", ""),
    machine=HERE,
    whole=None,
):
    """Export, compile with the flags, with every warning an error. damage: a text, and what is written behind it.

    whole: the network in whole numbers, if these are to be computed.
    """
    table = lower(model, side, side)
    codec = MaskCodec(side) if parts else HeatmapCodec(side, sigma=sigma)
    files, _ = c_files(table, codec, "softmax" if parts else output, "net", "0" * 64, whole)
    folder.mkdir(exist_ok=True)
    at, more = damage
    assert at in files["net.c"]
    (folder / "net.c").write_text(files["net.c"].replace(at, at + more, 1) if at else files["net.c"])
    (folder / "net.h").write_text(files["net.h"])
    made = compiled(folder, "net", table.maps.shape, side, parts, *flags, machine=machine)
    return made if whole is None else replace(made, number=np.int32)


def compiled(
    folder: Path, name: str, shape: tuple[int, ...], side: int, parts: bool, *flags: str, machine: Machine = HERE
) -> Program:
    """The program of a folder of exported files."""
    count = side * side if parts else shape[3]
    defined = {
        "HEADER": f'"{name}.h"',
        "NAME": name,
        "ANSWER": "uint8_t" if parts else f"{name}_point",
        "COUNT": str(count),
        "MAPS": str(shape[1] * shape[2] * shape[3]),
    }
    given = [f"-D{key}={value}" for key, value in defined.items()]
    path = folder / "program"
    sources = [HARNESS, folder / f"{name}.c"]
    static = ["-static"] if machine.emulator else []
    command = [machine.compiler, *static, *STRICT, *flags, f"-I{folder}", *given, "-o", path, *sources, "-lm"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return Program((machine.emulator, path) if machine.emulator else (path,), shape, parts, side)
