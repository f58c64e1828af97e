"""`python -m hbcore`: what a report of a defect needs to say."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import hbcore
from hbcore import __main__ as machine
from hbcore import bits, kernels

X86 = """\
processor\t: 0
model name\t: A CPU
flags\t\t: fpu sse2 ssse3 popcnt avx2 fma avx512_vnni sse4_2

processor\t: 1
model name\t: Another CPU
flags\t\t: fpu
"""
ARM = "processor\t: 0\nFeatures\t: fp asimd evtstrm asimddp bf16\n"


def test_the_command_prints_a_line_for_each(capsys: pytest.CaptureFixture[str]) -> None:
    done = subprocess.run([sys.executable, "-m", "hbcore"], capture_output=True, text=True, check=True)
    lines = dict(line.split(maxsplit=1) for line in done.stdout.splitlines())
    assert lines["hbcore"] == hbcore.__version__
    assert lines["kernels"].split()[0] in lines["available"].split(", ")
    assert {"threads", "Python", "NumPy", "BLAS", "safetensors", "platform", "cores"} <= lines.keys()
    assert machine.main([]) == 0
    assert np.__version__ in capsys.readouterr().out


def test_it_takes_no_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    assert machine.main(["--help"]) == 2
    assert capsys.readouterr().err.startswith("usage: python -m hbcore")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full device")
@pytest.mark.parametrize(
    ("redirection", "code", "errors"),
    [
        (">/dev/full", 5, "hbcore: cannot write the output: No space left on device\n"),
        (">/dev/full 2>/dev/full", 5, ""),
        (">&-", 0, ""),  # nobody wants it
        (">&- 2>&-", 0, ""),
    ],
)
@pytest.mark.parametrize("unbuffered", ["", "1"])  # the last flush fails, or the first line
def test_output_that_cannot_be_written_is_no_traceback(
    redirection: str, code: int, errors: str, unbuffered: str
) -> None:
    line, variables = f"{sys.executable} -m hbcore {redirection}", os.environ | {"PYTHONUNBUFFERED": unbuffered}
    done = subprocess.run(["sh", "-c", line], env=variables, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (code, "", errors)


@pytest.mark.skipif(sys.platform == "win32", reason="pipes of POSIX")
def test_a_reader_that_leaves_is_no_traceback() -> None:
    with subprocess.Popen([sys.executable, "-m", "hbcore"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        errors = process.stderr.read()
    assert (process.returncode, errors) == (141, b"")


@pytest.mark.parametrize(
    ("text", "name", "flags"),
    [
        (X86, "A CPU", ["sse2", "popcnt", "avx2", "fma", "avx512_vnni"]),
        (ARM, None, ["asimd", "asimddp", "bf16"]),
        ("", None, []),
        (None, None, []),
    ],
)
def test_cpus(tmp_path, text, name, flags) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "cpuinfo"
    if text is not None:
        path.write_text(text)
    found = machine.cpu(path)
    assert found[1] == flags
    assert found[0] == name or (name is None and found[0])


def test_blas_without_threadpoolctl(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "threadpoolctl", None)
    assert machine.blas().endswith("threads not known without threadpoolctl")


def test_a_forced_variant_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HBCORE_KERNELS", "numpy")
    assert machine.report()["kernels"] == f"{kernels.backend.name} (HBCORE_KERNELS=numpy)"


def test_asking_what_is_available_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even for a variant that is at work but is not the best: the next call must not meet another's table."""
    x = np.random.default_rng(0).standard_normal((3, 70), dtype=np.float32)
    expected = bits.pack_signs(x)
    names = kernels.available()
    assert names[-1] == "numpy"
    before = kernels.backend.name
    try:
        for name in names:
            monkeypatch.setattr(kernels, "backend", kernels.choose(name))
            assert kernels.available() == names
            assert np.array_equal(kernels.backend.pack_signs(x), expected)
    finally:
        kernels.choose(before)
