"""What is in the source distribution and in the wheel, and that the one makes the other."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from hbcore import kernels

ROOT = Path(__file__).parents[2]
LEFT_OUT = shutil.ignore_patterns(
    ".git", "build", "dist", "runs", "*.so", "*.egg-info", "__pycache__", ".*_cache", ".venv", ".hypothesis"
)


def run(*words: object, **more: str) -> str:
    environment = os.environ | {"HBCORE_REQUIRE_KERNELS": "1"} | more
    done = subprocess.run([sys.executable, *map(str, words)], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution, made in a copy of the checkout that lies beside it, in `tree`."""
    folder = tmp_path_factory.mktemp("sdist")
    shutil.copytree(ROOT, folder / "tree", ignore=LEFT_OUT)
    build = "import os, sys; os.chdir(sys.argv[1]); from setuptools.build_meta import build_sdist; build_sdist('..')"
    run("-c", build, folder / "tree")
    (path,) = folder.glob("hbcore-*.tar.gz")
    return path


def test_the_source_distribution_has_what_its_tests_need(sdist: Path) -> None:
    """All of the checkout, but for what only the place where it is developed needs."""
    tree = sdist.parent / "tree"
    with tarfile.open(sdist) as file:
        inside = {name.partition("/")[2] for name in file.getnames()}
    made = re.compile(r"build/|hbcore\.egg-info/|hbcore/_(kernels|wide)\.c$")
    every = {path.relative_to(tree).as_posix() for path in tree.rglob("*") if path.is_file()}
    files = {name for name in every if not made.match(name)}
    assert len(files) > 300
    assert {name for name in files - inside if not name.startswith(".github/")} <= {".gitignore", ".git"}


@pytest.mark.skipif(kernels.backend.name == "numpy", reason="hbcore was installed without a compiler")
@pytest.mark.skipif(
    "HBCORE_DISTRIBUTIONS" not in os.environ, reason="compiles for a minute: set HBCORE_DISTRIBUTIONS=1"
)
def test_the_source_distribution_makes_a_wheel_with_every_kernel(tmp_path: Path, sdist: Path) -> None:
    tree, wheels, site = sdist.parent / "tree", tmp_path / "wheels", tmp_path / "site"
    run("-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", wheels, sdist)
    (wheel,) = wheels.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    modules = {path.relative_to(tree).as_posix() for path in (tree / "hbcore").rglob("*.py")}
    assert modules | {"hbcore/py.typed", "hbcore/_wide.pyi"} <= names
    assert {name.partition("/")[0] for name in names} == {"hbcore", wheel.name.rsplit("-", 3)[0] + ".dist-info"}
    assert not [name for name in names if name.endswith((".c", ".h", ".pyx"))]
    assert sum(name.endswith((".so", ".pyd")) for name in names) == 2

    run("-m", "pip", "install", "-q", "--no-deps", "--target", site, wheel)
    ask = (
        f"import sys; sys.path.insert(0, {str(site)!r}); import hbcore.kernels as k; print(k.__file__, *k.available())"
    )
    place, *variants = run("-c", ask, HBCORE_KERNELS="").split()
    assert place.startswith(str(site))
    assert variants == list(kernels.available())
