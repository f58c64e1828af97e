"""The C sources under AddressSanitizer and UndefinedBehaviorSanitizer, see sanitized.c."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
COMPILER = shutil.which("gcc") or shutil.which("clang")
SANITIZE = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]


@pytest.mark.skipif(COMPILER is None or os.name == "nt", reason="no GCC or Clang")
def test_nothing_is_read_or_written_out_of_place(tmp_path: Path) -> None:
    probe = tmp_path / "probe.c"
    probe.write_text("int main(void) { return 0; }\n")
    command = [str(COMPILER), "-std=c11", "-O1", "-g", *SANITIZE]
    if subprocess.run([*command, probe, "-o", tmp_path / "probe"], capture_output=True, check=False).returncode:
        pytest.skip("the compiler comes without sanitizers")
    sources = [ROOT / "tests" / "sanitized.c", *sorted((ROOT / "hbcore" / "csrc").glob("*.c"))]
    program = tmp_path / "sanitized"
    include = f"-I{ROOT / 'hbcore' / 'csrc'}"
    flags = ["-ffp-contract=off", "-Wall", "-Wextra", "-Werror", include]
    built = subprocess.run(
        [*command, *flags, *sources, "-o", program, "-lpthread"], capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stderr
    done = subprocess.run([program], capture_output=True, text=True, check=False, timeout=400)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.split()  # at least one variant ran
