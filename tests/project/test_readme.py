"""What the README and the examples show is what they do."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def run(arguments: list[str]) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_library_example_prints_what_the_readme_says() -> None:
    match = re.search(r"```python\n(.*?)```\n\nprints\n\n```text\n(.*?)```", README, re.DOTALL)
    assert match
    program, printed = match.groups()
    assert run(["-c", program]) == printed


def test_reading_order_lists_every_file() -> None:
    listed = set(re.findall(r"`([\w.]+\.pyx?)`", README.partition("## Reading order")[2]))
    files = {path.name for pattern in ("*.py", "*.pyx") for path in (ROOT / "hbcore").glob(pattern)}
    assert files - listed == {"__init__.py"}


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.py")), ids=lambda path: path.name)
def test_examples_run(path: Path) -> None:
    assert run([str(path)])
