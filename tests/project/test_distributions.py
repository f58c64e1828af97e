"""What is in the source distribution and in the wheel, and that the one makes the other."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

from hbcore import kernels

ROOT = Path(__file__).parents[2]
LEFT_OUT = shutil.ignore_patterns(
    ".git", "build", "dist", "runs", "*.so", "*.egg-info", "__pycache__", ".*_cache", ".venv", ".hypothesis"
)


def run(python: str | Path, *words: object, **more: str) -> str:
    environment = os.environ | {"HBCORE_REQUIRE_KERNELS": "1"} | more
    done = subprocess.run([str(python), *map(str, words)], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution, made in a copy of the checkout that lies beside it, in `tree`."""
    folder = tmp_path_factory.mktemp("sdist")
    shutil.copytree(ROOT, folder / "tree", ignore=LEFT_OUT)
    build = "import os, sys; os.chdir(sys.argv[1]); from setuptools.build_meta import build_sdist; build_sdist('..')"
    run(sys.executable, "-c", build, folder / "tree")
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
    tree, wheels, clean = sdist.parent / "tree", tmp_path / "wheels", tmp_path / "clean"
    run(sys.executable, "-m", "venv", clean)
    python = clean / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    warnings = {} if os.name == "nt" else {"CFLAGS": "-Wall -Wextra -Werror"}
    run(python, "-m", "pip", "wheel", "-q", "-w", wheels, sdist, **warnings)  # with what it needs, in isolation
    (wheel,) = wheels.glob("hbcore-*.whl")
    if not sysconfig.get_config_var("Py_GIL_DISABLED"):
        assert "-cp311-abi3-" in wheel.name
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    modules = {path.relative_to(tree).as_posix() for path in (tree / "hbcore").rglob("*.py")}
    models = {path.relative_to(tree).as_posix() for path in (tree / "hbcore" / "models").iterdir()}
    texts = {path.relative_to(tree).as_posix() for path in tree.glob("hbcore/export/*/text/**/*") if path.is_file()}
    assert modules | models | texts | {"hbcore/py.typed", "hbcore/_wide.pyi"} <= names
    assert {name.partition("/")[0] for name in names} == {"hbcore", wheel.name.rsplit("-", 3)[0] + ".dist-info"}
    assert not [name for name in names - texts if name.endswith((".c", ".h", ".pyx"))]
    compiled = {Path(name).name.partition(".")[0] for name in names if name.endswith((".so", ".pyd"))}
    assert compiled == {path.stem for path in (tree / "hbcore").glob("*.pyx")} > {"_kernels"}

    run(python, "-m", "pip", "install", "-q", "--no-index", "--find-links", wheels, "hbcore")
    place, *variants = run(
        python, "-c", "import hbcore.kernels as k; print(k.__file__, *k.available())", HBCORE_KERNELS=""
    ).split()
    assert place.startswith(str(clean))
    assert variants == list(kernels.available())
    look = "hbcore.Landmarker(%r)(numpy.zeros((9, 9, 3), 'u1'), [[1, 1, 7, 7]])"
    answer = f"import hbcore, numpy; print(len({look}[0].names))"
    assert run(python, "-c", answer % "face68-tiny") == "68\n"
    words = ("-m", "hbcore", "landmarks", "photo.jpg", "--model", "face68-tiny")
    without_pillow = subprocess.run([python, *words], capture_output=True, check=False)
    assert without_pillow.stderr.startswith(b"landmarks: photos are read with Pillow")
