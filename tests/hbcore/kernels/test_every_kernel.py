"""every_kernel.c under sanitizers, and on CPUs that are only emulated: all variants give the same bits."""

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hbcore import kernels

ROOT = Path(__file__).parents[3]
SOURCES = [ROOT / "tests" / "every_kernel.c", *sorted((ROOT / "hbcore" / "csrc").rglob("*.c"))]
FLAGS = ["-std=c11", "-ffp-contract=off", "-Wall", "-Wextra", "-Werror", f"-I{ROOT / 'hbcore' / 'csrc'}"]
NATIVE = shutil.which("gcc") or shutil.which("clang")

Hashes = dict[str, tuple[str, str]]


def build(program: Path, compiler: str, *flags: str, sources: Sequence[Path] = SOURCES) -> None:
    """The variants are large: one compiler for each, so that all cores work."""

    def call(*arguments: str | Path) -> None:
        done = subprocess.run([compiler, *FLAGS, *flags, *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-3000:]

    objects = [program.with_name(f"{source.stem}.o") for source in sources]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(lambda source, to: call("-c", source, "-o", to), sources, objects))
    call(*objects, "-o", program, "-lpthread", "-lm")


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
    # Optimised, the checks in the widest variant alone take 25 s to compile, and -O0 hides nothing from them.
    sanitize = ["-O0", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    probe = [NATIVE, *sanitize, folder / "probe.c", "-o", folder / "probe"]
    if subprocess.run(probe, capture_output=True, check=False).returncode:
        sanitize = ["-O0"]
    build(folder / "every_kernel", NATIVE, *sanitize)
    return run(folder / "every_kernel")


def same(hashes: Hashes) -> bool:
    exact = {each for each, _ in hashes.values()}
    fused = {real for name, (_, real) in hashes.items() if kernels.FUSED[name]}
    return len(exact) == 1 and len(fused) <= 1


def test_all_variants_give_the_same_bits(hashes: Hashes) -> None:
    assert hashes
    assert same(hashes), hashes


def test_clang_understands_the_kernels() -> None:
    """It lacks some of GCC's built-in functions, and drops all of a target that it knows a part of."""
    clang = shutil.which("clang")
    if clang is None:
        pytest.skip("clang is not installed")
    done = subprocess.run(
        [clang, "-fsyntax-only", *FLAGS, *map(str, SOURCES)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]


def test_neon_gives_the_same_bits_under_emulation(hashes: Hashes, tmp_path: Path) -> None:
    compiler, emulator = shutil.which("aarch64-linux-gnu-gcc"), shutil.which("qemu-aarch64")
    if compiler is None or emulator is None:
        pytest.skip("aarch64-linux-gnu-gcc or qemu-aarch64 (user mode) is not installed")
    build(tmp_path / "every_kernel", compiler, "-O1", "-static")
    neon = run(emulator, tmp_path / "every_kernel")
    assert set(neon) == {"neon"}
    assert same(hashes | neon), hashes | neon


def test_a_cpu_without_popcnt_takes_the_baseline(hashes: Hashes, tmp_path: Path) -> None:
    emulator = shutil.which("qemu-x86_64")
    if emulator is None or NATIVE is None or platform.machine() != "x86_64":
        pytest.skip("qemu-x86_64 (user mode) is not installed")
    # The wide variants take four times as long to compile as the one that runs: their tables stay empty.
    empty = tmp_path / "empty.c"
    empty.write_text('#include "kernels.h"\nconst hb_kernels hb_amx, hb_avx512, hb_avx2;\n')
    sources = [source for source in SOURCES if source.stem not in {"amx", "avx512", "avx2"}]
    build(tmp_path / "every_kernel", NATIVE, "-O1", "-static", sources=[*sources, empty])
    old = run(
        emulator, "-cpu", "qemu64,-popcnt,-sse4.1,-sse4.2,-ssse3,-sse3,-avx,-avx2,-fma", tmp_path / "every_kernel"
    )
    assert set(old) == {"sse2"}
    assert old["sse2"] == hashes["sse2"]


WHOLE = """
import numpy as np
import hbcore
from hbcore.deploy import Engine
from hbcore.nn.layers import use_gradients
from hbcore.optim.losses import heatmap_cross_entropy
from hbcore.optim.optimizers import Adam

network = hbcore.StackedHourglass(features=16, joints=4, depth=2)
optimizer = Adam(dict(network.named_parameters()), 1e-2)
rng = np.random.default_rng(0)
picture = rng.random((2, 32, 32, 3), dtype=np.float32)
target, weight = rng.random((2, 8, 8, 4), dtype=np.float32), np.ones((2, 4), dtype=np.float32)
for gradients in ("float32", "int8", "float32", "int8"):
    use_gradients(network, gradients)
    loss = heatmap_cross_entropy(network(hbcore.Tensor(picture))[-1], target, weight)
    loss.backward()
    optimizer.step()
    network.zero_grad()
network.eval()
with hbcore.no_grad():
    maps = network(hbcore.Tensor(picture))[-1].data
same = np.array_equal(Engine(network, 32, 32, 2)(picture), maps)
print(hbcore.kernel_report()["kernels"], f"{loss.item():.3f}", same)
"""


def test_the_whole_package_runs_on_an_old_cpu() -> None:
    """Training and deployment, without popcnt where NumPy can: the wheels of 2.0 do, those of 2.4 do not."""
    emulator = shutil.which("qemu-x86_64")
    if emulator is None or platform.machine() != "x86_64":
        pytest.skip("qemu-x86_64 (user mode) is not installed")
    native = subprocess.run(
        [sys.executable, "-c", WHOLE], cwd=ROOT, env=os.environ | {"HBCORE_KERNELS": "sse2"}, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    if native.returncode:
        pytest.skip(f"no sse2 kernels here: {native.stderr.strip().splitlines()[-1]}")
    for cpu in ("core2duo", "Nehalem"):  # without and with popcnt, neither with AVX
        command = [emulator, "-cpu", cpu, sys.executable, "-c"]
        if subprocess.run([*command, "import numpy"], capture_output=True, check=False).returncode == 0:
            free = {name: value for name, value in os.environ.items() if name != "HBCORE_KERNELS"}
            old = subprocess.run(
                [*command, WHOLE], cwd=ROOT, env=free, capture_output=True, text=True, check=False, timeout=200
            )
            assert old.returncode == 0, old.stderr[-2000:]
            assert old.stdout == native.stdout
            assert old.stdout.startswith("sse2 ")
            assert old.stdout.endswith(" True\n")
            return
    pytest.skip("NumPy itself does not run on the old CPUs that can be emulated here")
