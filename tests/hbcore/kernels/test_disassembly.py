"""Instructions beyond the baseline appear only in functions that are named for them: old CPUs run the rest."""

import platform
import re
import shutil
import subprocess

import pytest

from hbcore import kernels

OBJDUMP = shutil.which("objdump")
pytestmark = [
    pytest.mark.skipif(kernels.backend.name == "numpy", reason="hbcore was installed without a compiler"),
    pytest.mark.skipif(OBJDUMP is None, reason="objdump is not installed"),
    pytest.mark.skipif(platform.machine() != "x86_64", reason="looks for x86-64 instructions"),
]

# Registers and instructions that x86-64 did not have in 2003.
TMM, ZMM, YMM = re.compile(r"%tmm|tilecfg|tilerelease"), re.compile(r"%zmm|%k[0-7]\b"), re.compile(r"%ymm")
LATER = re.compile(r"^(v[a-z]|popcnt|[tl]zcnt|pshufb|pext|pdep|andn[lq]? |bextr|blsr|crc32|movbe|round[sp]|pmaddubsw)")


@pytest.fixture(scope="module")
def functions() -> dict[str, list[str]]:
    """Instructions of the extension, by function."""
    from hbcore import _wide

    path = _wide.__file__
    listing = subprocess.run(
        [str(OBJDUMP), "-d", "--no-show-raw-insn", path], capture_output=True, text=True, check=True
    ).stdout
    found: dict[str, list[str]] = {}
    current: list[str] = []
    for line in listing.splitlines():
        if label := re.match(r"[0-9a-f]+ <([^>]+)>:", line):
            current = found.setdefault(label[1], [])
        elif instruction := re.match(r"\s+[0-9a-f]+:\s+(.*)", line):
            current.append(instruction[1])
    return found


def variant(name: str) -> str:
    """The instruction set in a function's name; GCC may have split parts of it off (.part.0, .cold)."""
    match = re.search(r"_(amx|avx512|avx2|sse2)(\.|$)", name)
    return match[1] if match else "baseline"


def test_every_variant_is_there(functions: dict[str, list[str]]) -> None:
    assert {variant(name) for name in functions} - {"amx"} == {"avx512", "avx2", "sse2", "baseline"}
    assert any(YMM.search(i) for name, code in functions.items() if variant(name) == "avx2" for i in code)
    assert any(ZMM.search(i) for name, code in functions.items() if variant(name) == "avx512" for i in code)
    if any(variant(name) == "amx" for name in functions):  # compilers may be too old
        assert any(TMM.search(i) for name, code in functions.items() if variant(name) == "amx" for i in code)


def test_tiles_are_only_where_they_were_asked_for(functions: dict[str, list[str]]) -> None:
    wrong = {
        f"{name}: {code}" for name, instructions in functions.items() if variant(name) != "amx"
        for code in instructions if TMM.search(code)
    }  # fmt: skip
    assert not wrong


def test_the_baseline_runs_on_the_first_x86_64(functions: dict[str, list[str]]) -> None:
    wrong = {
        f"{name}: {code}"
        for name, instructions in functions.items()
        if variant(name) in ("baseline", "sse2")
        for code in instructions
        if LATER.match(code) or YMM.search(code) or ZMM.search(code)
    }
    assert not wrong


def test_avx2_stays_within_avx2(functions: dict[str, list[str]]) -> None:
    wrong = {
        f"{name}: {code}" for name, instructions in functions.items() if variant(name) == "avx2"
        for code in instructions if ZMM.search(code)
    }  # fmt: skip
    assert not wrong
