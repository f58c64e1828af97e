"""What the README and the examples show is what they do."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


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


DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_paths_in_documents_exist(document: Path) -> None:
    """Links, and what looks like a path of the checkout. The changelog may name what was."""
    text = document.read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link]
    assert not [link for link in links if not (document.parent / link).exists()]
    if document.name != "CHANGELOG.md":
        paths = re.findall(r"`((?:hbcore|training|tests|docs|examples|\.ci)/[\w./-]*)", text)
        paths += [f"hbcore/{path}" for path in re.findall(r"`(csrc/[\w./-]+)", text)]
        assert not [path for path in paths if not (ROOT / path).exists()]


def test_the_changelog_says_where_modules_have_gone() -> None:
    rows = re.findall(r"^\| `[\w.]+` \| (.*) \|$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    names = [name for row in rows for name in re.findall(r"`((?:hbcore|training)\.[\w.]+)`", row)]
    places = [ROOT / name.replace(".", "/") for name in names if name != "hbcore.kernels.backend"]
    assert places
    assert not [place for place in places if not (place.is_dir() or place.with_suffix(".py").exists())]


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.py")), ids=lambda path: path.name)
def test_examples_run(path: Path) -> None:
    assert run([str(path)])
