"""every_kernel.c under sanitizers, and on CPUs that are only emulated: all variants give the same bits."""

import os
import platform
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = [ROOT / "tests" / "every_kernel.c", *sorted((ROOT / "hbcore" / "csrc").glob("*.c"))]
FLAGS = ["-std=c11", "-ffp-contract=off", "-Wall", "-Wextra", "-Werror", f"-I{ROOT / 'hbcore' / 'csrc'}"]
NATIVE = shutil.which("gcc") or shutil.which("clang")
FUSED = {"avx512", "avx2", "neon"}  # variants whose multiply-add rounds once

Hashes = dict[str, tuple[str, str]]


def build(program: Path, compiler: str, *flags: str) -> None:
    done = subprocess.run(
        [compiler, *FLAGS, *flags, *SOURCES, "-o", program, "-lpthread"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]


def run(*command: str | Path) -> Hashes:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=400)
    assert done.returncode == 0, done.stderr[-3000:]
    lines = [line.split() for line in done.stdout.splitlines()]
    return {name: (exact, real) for name, exact, real in lines}


@pytest.fixture(scope="module")
def hashes(tmp_path_factory: pytest.TempPathFactory) -> Hashes:
    """What the variants of this CPU give, with sanitizers where the compiler has them."""
    if NATIVE is None or os.name == "nt":
        pytest.skip("no GCC or Clang")
    folder = tmp_path_factory.mktemp("native")
    (folder / "probe.c").write_text("int main(void) { return 0; }\n")
    sanitize = ["-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    probe = [NATIVE, *sanitize, folder / "probe.c", "-o", folder / "probe"]
    if subprocess.run(probe, capture_output=True, check=False).returncode:
        sanitize = ["-O1"]
    build(folder / "every_kernel", NATIVE, *sanitize)
    return run(folder / "every_kernel")


def same(hashes: Hashes) -> bool:
    exact = {each for each, _ in hashes.values()}
    fused = {real for name, (_, real) in hashes.items() if name in FUSED}
    return len(exact) == 1 and len(fused) <= 1


def test_all_variants_give_the_same_bits(hashes: Hashes) -> None:
    assert hashes
    assert same(hashes), hashes


def test_neon_gives_the_same_bits_under_emulation(hashes: Hashes, tmp_path: Path) -> None:
    compiler, emulator = shutil.which("aarch64-linux-gnu-gcc"), shutil.which("qemu-aarch64")
    if compiler is None or emulator is None:
        pytest.skip("aarch64-linux-gnu-gcc or qemu-aarch64 (user mode) is not installed")
    build(tmp_path / "every_kernel", compiler, "-O2", "-static")
    neon = run(emulator, tmp_path / "every_kernel")
    assert set(neon) == {"neon"}
    assert same(hashes | neon), hashes | neon


def test_a_cpu_without_popcnt_takes_the_baseline(hashes: Hashes, tmp_path: Path) -> None:
    emulator = shutil.which("qemu-x86_64")
    if emulator is None or NATIVE is None or platform.machine() != "x86_64":
        pytest.skip("qemu-x86_64 (user mode) is not installed")
    build(tmp_path / "every_kernel", NATIVE, "-O2", "-static")
    old = run(
        emulator, "-cpu", "qemu64,-popcnt,-sse4.1,-sse4.2,-ssse3,-sse3,-avx,-avx2,-fma", tmp_path / "every_kernel"
    )
    assert set(old) == {"sse2"}
    assert old["sse2"] == hashes["sse2"]
