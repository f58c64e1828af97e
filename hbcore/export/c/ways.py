"""One model computed in several ways: from a picture to the bits of every binary layer, and the maps.

simulation   layer by layer, signs as +1.0 and -1.0, convolved as numbers
packed       layer by layer, signs as bits
engine       folded, in one plan (its bits in a second one, whose buffers do not share places)
integers     the same plan in whole numbers, where the C file computes these: NumPy
C            the exported file, by the compiler of this machine
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import numpy as np

from hbcore import kernels
from hbcore.autograd.function import Array, no_grad
from hbcore.autograd.tensor import Tensor
from hbcore.deploy.engine import UNIT, Engine
from hbcore.deploy.memory import run_apart
from hbcore.deploy.model_file import ModelFileError
from hbcore.deploy.table import Area
from hbcore.export.c.files import CModel, filled
from hbcore.export.c.numbers import words32
from hbcore.export.integers.plan import IntegerPlan
from hbcore.inspect.observe import observe
from hbcore.nn.layers import BinaryConv2d

Seen = tuple[list[Array], Array]
"""Bits of every binary layer, uint32 (1, H, W, words), in the order of the table; maps (h, w, K), float32 or int32."""


def bit_areas(made: CModel) -> list[tuple[Area, int]]:
    """Areas of packed signs in the order in which they are written, and their channels."""
    channels = {
        step.arguments["x"].buffer: step.arguments["channels"]
        for step in made.table.steps
        if step.kind == "binary_conv2d"
    }
    areas = [area for area in (step.bits() for step in made.table.steps) if area is not None]
    return [(area, channels[area.buffer]) for area in areas]


class NoComparison(ModelFileError):
    """What this machine lacks for a comparison: one line."""


class Simulation:
    """A network layer by layer; packed: with bits, not with numbers."""

    def __init__(self, made: CModel, packed: bool) -> None:
        self.network, self.packed = made.network, packed
        self.buffers = [area.buffer for area, _ in bit_areas(made)]
        readers = [step.arguments for step in made.table.steps if step.kind == "binary_conv2d"]
        self.reads: dict[int, tuple[int, int]] = {}  # by the id of a convolution: the buffer of its signs, and channels
        for _, module in self.network.named_modules():
            if isinstance(module, BinaryConv2d) and module.all_bits:
                w = kernels.backend.pack_filters(module.weight.data)
                at = next(at for at, reader in enumerate(readers) if np.array_equal(reader["w"], w))
                reader = readers.pop(at)
                self.reads[id(module)] = reader["x"].buffer, reader["channels"]

    def __call__(self, picture: Array) -> Seen:
        found: dict[int, Array] = {}

        def look(_: str, module: Any, inputs: tuple[Any, ...], __: Any) -> None:
            if id(module) in self.reads:
                buffer, channels = self.reads[id(module)]
                found[buffer] = words32(kernels.backend.pack_signs(inputs[0].data), channels)

        for _, module in self.network.named_modules():
            if isinstance(module, BinaryConv2d):
                module.packed = self.packed
        with no_grad(), observe(self.network, look):
            maps = self.network(Tensor(picture[None] * UNIT))[-1].data[0]
        return [found[buffer] for buffer in self.buffers], maps


class InPlan:
    """The engine."""

    def __init__(self, made: CModel) -> None:
        size = made.description.codec.input_size
        self.engine, self.plan = Engine(made.network, size, size), kernels.backend.new_plan()
        array_of = run_apart(self.plan, made.table)
        self.picture = array_of(made.table.picture)
        self.bits = [(array_of(area), channels) for area, channels in bit_areas(made)]

    def __call__(self, picture: Array) -> Seen:
        self.picture[...] = picture * UNIT
        self.plan.run()
        return [words32(words, channels) for words, channels in self.bits], self.engine(picture[None])[0]


class InIntegers:
    """The arithmetic that a file of whole numbers is equal to."""

    def __init__(self, made: CModel) -> None:
        assert made.whole is not None
        self.plan = IntegerPlan()
        array_of = run_apart(self.plan, made.whole.table)
        self.picture, self.maps = array_of(made.whole.table.picture), array_of(made.whole.table.maps)
        self.bits = [(array_of(area), channels) for area, channels in bit_areas(made)]

    def __call__(self, picture: Array) -> Seen:
        self.picture[...] = picture
        self.plan.run()
        return [words32(words, channels) for words, channels in self.bits], self.maps[0].copy()


class InC:
    """The exported file as a program, that takes pictures. A context, which ends it.

    ModelFileError, in one line, where it does not compile, or ends too early.
    """

    def __init__(self, made: CModel, compiler: str, flags: Sequence[str]) -> None:
        height, width, joints = made.table.maps.shape[1:]
        size = made.description.codec.input_size
        parts = made.description.parts
        words = [(*area.shape[:3], -(-channels // 32)) for area, channels in bit_areas(made)]
        answer = (np.uint8, (size, size)) if parts else (np.float32, (joints, 3))
        number = np.float32 if made.whole is None else np.int32
        self.told = [*((np.uint32, shape) for shape in words), (number, (height, width, joints)), answer]
        self.folder = tempfile.TemporaryDirectory()
        try:
            self.program = self._compiled(made, [compiler, *flags])
        except BaseException:
            self.folder.cleanup()
            raise

    def _compiled(self, made: CModel, command: list[str]) -> subprocess.Popen[bytes]:
        folder = Path(self.folder.name)
        texts = {file: made.files[file] for file in (f"{made.name}.c", f"{made.name}.h")}
        for file, text in {**texts, "parity.c": filled("parity/parity.c", made.facts)}.items():
            (folder / file).write_text(text, encoding="ascii")
        command = [*command, "-o", "parity", "parity.c", "-lm"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode:
            said = next((line for line in done.stderr.splitlines() if "error" in line), f"code {done.returncode}")
            raise NoComparison(f"{command[0]} does not compile the file: {said.strip()}")
        return subprocess.Popen([folder / "parity"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.program.kill()
        self.program.communicate()
        self.folder.cleanup()

    def __call__(self, picture: Array) -> tuple[list[Array], Array, Array]:
        """Bits, maps, and the answer: points and scores (K, 3), or classes (S, S)."""
        assert self.program.stdin is not None
        assert self.program.stdout is not None
        with suppress(BrokenPipeError):  # what it then does not answer says it all
            self.program.stdin.write(picture.tobytes())
            self.program.stdin.flush()
        found = []
        for kind, shape in self.told:
            size = int(np.prod(shape)) * np.dtype(kind).itemsize
            content = self.program.stdout.read(size)
            if len(content) < size:
                raise ModelFileError(f"the compiled file ended with code {self.program.wait()} before it had answered")
            found.append(np.frombuffer(content, dtype=kind).reshape(shape))
        return found[:-2], found[-2], found[-1]
