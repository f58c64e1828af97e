"""The exported C file on other machines, emulated, and by other compilers: the same bits everywhere."""

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from hbcore.deploy.lowering import lower
from hbcore.export.c.files import c_files
from hbcore.export.integers.lowering import in_integers
from hbcore.landmarks.heatmaps import HeatmapCodec
from tests.architectures import network
from tests.hbcore.export.programs import COMPILER, SANITIZED, STRICT, Machine, links, program

BARE = Path(__file__).with_name("bare_metal.c"), Path(__file__).with_name("bare_metal.ld")
GNU = "-std=gnu11", "-ffp-contract=fast"
USER = {
    "aarch64": (Machine("aarch64-linux-gnu-gcc", "qemu-aarch64"), [("-O3", *GNU), ("-DHB_PATH=3", "-DHB_FUSED=0")]),
    "armv7": (Machine("arm-linux-gnueabihf-gcc", "qemu-arm"), [("-O2",), ("-O2", "-mfpu=neon", "-DHB_PATH=5")]),
    "riscv64": (Machine("riscv64-linux-gnu-gcc", "qemu-riscv64"), [("-O2", *GNU)]),
    "s390x": (Machine("s390x-linux-gnu-gcc", "qemu-s390x"), [("-O2", *GNU), ("-O3", "-march=z13", "-DHB_PATH=1")]),
    "clang": (Machine("clang"), [("-O3", "-march=native")]),
    "clang, sanitized": (Machine("clang"), [SANITIZED]),
}
"""s390x: bytes in the other order, and floats in registers of float64. GNU: what GCC does without flags."""
BOARDS = {
    "Cortex-M3": ("mps2-an385", "-mcpu=cortex-m3"),
    "Cortex-M4": ("mps2-an386", "-mcpu=cortex-m4 -mfloat-abi=hard -mfpu=fpv4-sp-d16"),
    "Cortex-M7": ("mps2-an500", "-mcpu=cortex-m7 -mfloat-abi=hard -mfpu=fpv5-d16"),
}
FLASH, RAM = 512, 192
"""KiB that a linker script leaves to the program: those of an STM32F401 with more RAM, an STM32F407's."""


def picture():
    return np.random.default_rng(3).integers(0, 256, (32, 32, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def model():
    return network(features=48, joints=17, stem=40, activation="prelu", real_lin=True).eval()


@pytest.fixture(scope="module")
def points(model, tmp_path_factory):
    """What this machine answers, (K, 3), with sums rounded once and twice."""
    if COMPILER is None:
        pytest.skip("there is no gcc to compare with")
    return [
        program(tmp_path_factory.mktemp("here"), model, 32, "-O1", f"-DHB_FUSED={fused}").answer("rgb", picture(), 96)
        for fused in (0, 1)
    ]


@pytest.mark.parametrize("name", USER)
def test_linux(name, model, points, tmp_path):
    machine, ways = USER[name]
    if machine.missing:
        pytest.skip(f"{machine.missing} is not installed")
    if SANITIZED in ways and not links(tmp_path, machine.compiler, *SANITIZED):
        pytest.skip(f"{machine.compiler} came without the library of its sanitizers")
    whole = in_integers(lower(model, 32, 32))
    assert (
        program(tmp_path / "whole", model, 32, *ways[0], machine=machine, whole=whole).run("selftest", picture(), 0)
        == b"y"
    )
    for number, flags in enumerate(ways):
        made = program(tmp_path / str(number), model, 32, *flags, machine=machine)
        assert made.run("selftest", picture(), 0) == b"y"
        found = made.answer("rgb", picture(), 96)
        found = found.byteswap() if name == "s390x" else found
        assert min(np.abs(found - expected).max() for expected in points) < 1e-4


def written(model, folder, whole=False, side=32):
    table, codec = lower(model, side, side), HeatmapCodec(side)
    files, facts = c_files(table, codec, "sigmoid", "net", "0" * 64, in_integers(table) if whole else None)
    for file in ("net.c", "net.h"):
        (folder / file).write_text(files[file])
    return facts


@pytest.mark.skipif(not shutil.which("tcc"), reason="tcc is not installed")
def test_tcc(model, tmp_path):
    """A compiler that knows C99 and nothing more."""
    written(model, tmp_path)
    (tmp_path / "main.c").write_text(
        '#include "net.h"\nstatic net_arena arena;\nint main(void) { return net_selftest(&arena); }\n'
    )
    command = ["tcc", "-std=c99", "-Wall", "-Werror", "-o", "main", "main.c", "net.c"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    assert subprocess.run([tmp_path / "main"], check=False, timeout=120).returncode == 0


@pytest.mark.parametrize(("name", "whole"), [*((name, False) for name in BOARDS), ("Cortex-M3", True)])
def test_microcontrollers(name, whole, model, tmp_path):
    """Without an operating system, in the flash and RAM of a real board; a broken file is told from a good one.

    whole: in whole numbers, for which no floats are asked.
    """
    for tool in ("arm-none-eabi-gcc", "qemu-system-arm"):
        if not shutil.which(tool):
            pytest.skip(f"{tool} is not installed")
    facts = written(model, tmp_path, whole)
    board, flags = BOARDS[name]
    said = on_board(tmp_path, board, flags)
    assert said.startswith("same ")
    assert int(said.split()[1]) > 0
    size = subprocess.run(
        ["arm-none-eabi-size", "-A", "program"], cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout
    sections = {line.split()[0]: int(line.split()[1]) for line in size.splitlines()[2:] if len(line.split()) == 3}
    assert 0 <= sections[".bss"] + sections.get(".data", 0) - int(facts["ram"]) < 64
    listed = subprocess.run(
        ["arm-none-eabi-nm", "-S", "program"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    constants = re.findall(r"^\w+ (\w+) [rt] (?:\w+_\d+|gaussian)$", listed.stdout, re.M)
    assert sum(int(size, 16) for size in constants) == int(facts["flash"])
    if name == "Cortex-M3":
        source = (tmp_path / "net.c").read_text()
        (tmp_path / "net.c").write_text(re.sub("factors - 2 [*]", "factors + 2 *", source))
        assert on_board(tmp_path, board, flags).startswith("other ")


def on_board(folder, board, flags):
    """What bare_metal.c says there: whether the self-test passed, and instructions for one picture."""
    start, script = BARE
    command = ["arm-none-eabi-gcc", "-mthumb", *flags.split(), *STRICT, "-O2", "-ffreestanding", "-nostartfiles"]
    memory = [f"-Wl,--defsym=FLASH_KIB={FLASH},--defsym=RAM_KIB={RAM}", "-T", script]
    sources = ['-DHEADER="net.h"', "-DNAME=net", f"-I{folder}", start, "net.c"]
    libraries = ["-Wl,--start-group", "-lc", "-lgcc", "-Wl,--end-group"]
    done = subprocess.run(
        [*command, *memory, *sources, *libraries, "-o", "program"],
        cwd=folder, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    silent = ["-nographic", "-monitor", "none", "-serial", "none"]
    emulator = ["qemu-system-arm", "-M", board, *silent, "-icount", "shift=0"]
    semihosting = ["-semihosting-config", "enable=on,target=native", "-kernel", "program"]
    run = subprocess.run(
        [*emulator, *semihosting], cwd=folder, capture_output=True, text=True, check=False, timeout=300
    )
    assert run.returncode == 0, run.stderr
    return run.stdout + run.stderr
