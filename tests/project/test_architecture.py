"""How the code hangs together: imports point one way, and nothing comes along that was not asked for."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import hbcore

ROOT = Path(__file__).parents[2]
HBCORE = sorted((ROOT / "hbcore").rglob("*.py"))
TRAINING = sorted((ROOT / "training").rglob("*.py"))


def imports(path):
    """Full names of the modules that a file imports, wherever in the file (names from hbcore with their module)."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} has a relative import"
            if node.module == "hbcore":
                yield from (f"hbcore.{alias.name}" for alias in node.names)
            else:
                yield node.module


def reading_order():
    """Module names in the order of the docstring of hbcore: words before the wide gap of each indented line."""
    lines = re.findall(r"^    ([a-z, ]+?)  +\S", hbcore.__doc__, flags=re.MULTILINE)
    return [name for line in lines for name in line.split(", ")]


def test_reading_order_names_every_module():
    order = reading_order()
    rooms = {path.relative_to(ROOT / "hbcore").parts[0].removesuffix(".py") for path in HBCORE}
    assert sorted(order) == sorted(rooms - {"__init__"})


def test_imports_point_back_in_the_reading_order():
    order = reading_order()
    for path in HBCORE:
        room = path.relative_to(ROOT / "hbcore").parts[0].removesuffix(".py")
        if room == "__init__":
            continue
        for name in imports(path):
            package, _, module = ".".join(name.split(".")[:2]).partition(".")
            if package != "hbcore" or name == "hbcore._kernels":
                continue
            assert module in order, f"{path.name} imports {name}, which is no module of hbcore"
            assert order.index(module) <= order.index(room), f"{path.name} imports {name}, which comes after it"


def test_only_kernels_touches_the_extension():
    users = [str(path.relative_to(ROOT)) for path in HBCORE if "hbcore._kernels" in set(imports(path))]
    assert users == ["hbcore/kernels/__init__.py"]


def test_array_side_knows_no_tensors():
    for path in HBCORE:
        if path.stem in ("bits", "threads", "function", "ops") or path.parent.name == "kernels":
            assert not {"hbcore.autograd.tensor", "hbcore.nn.module"} & set(imports(path)), path.name


def test_hbcore_imports_nothing_but_numpy_and_safetensors():
    """threadpoolctl is asked for, only when threads are set, and not needed."""
    allowed = {"hbcore", "numpy", "safetensors", "threadpoolctl", *sys.stdlib_module_names}
    for path in HBCORE:
        for name in imports(path):
            assert name.partition(".")[0] in allowed, f"{path.name} imports {name}"


FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "shelve", "marshal", "joblib", "cloudpickle"}
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__"}


@pytest.mark.parametrize("path", HBCORE + TRAINING, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_pickle_no_eval(path):
    assert not FORBIDDEN_MODULES & {name.partition(".")[0] for name in imports(path)}
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            name = node.func.id if isinstance(node.func, ast.Name) else None
            assert name not in FORBIDDEN_CALLS, f"{path.name}:{node.lineno} calls {name}"
            for keyword in node.keywords:
                allowed = keyword.arg != "allow_pickle" or (
                    isinstance(keyword.value, ast.Constant) and keyword.value.value is False
                )
                assert allowed, f"{path.name}:{node.lineno} allows pickle"


@pytest.mark.parametrize("path", HBCORE + TRAINING, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_hidden_randomness(path):
    """np.random's module-level functions share a hidden state; generators are passed along instead."""
    allowed = {"default_rng", "Generator", "SeedSequence", "BitGenerator", "PCG64"}
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Attribute) and node.value.attr == "random":
            owner = node.value.value
            if isinstance(owner, ast.Name) and owner.id in ("np", "numpy"):
                assert node.attr in allowed, f"{path.name}:{node.lineno} uses np.random.{node.attr}"
    assert "random" not in {name.partition(".")[0] for name in imports(path)}


IMPORT = """
import sys
sys.path.insert(0, ".")
before = set(sys.modules)
import hbcore
print(*sorted({name.partition(".")[0] for name in set(sys.modules) - before}))
"""


def test_import_loads_no_third_party_but_numpy_and_safetensors():
    done = subprocess.run(
        [sys.executable, "-c", IMPORT], cwd=ROOT, env=os.environ, capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.split())
    assert {"hbcore", "numpy", "safetensors"} <= loaded
    # Compiled modules bring Cython's runtime, which is no package of its own.
    others = loaded - set(sys.stdlib_module_names) - {"hbcore", "numpy", "safetensors", "cython_runtime"}
    assert not {name for name in others if not name.startswith("_")}
    for unwanted in ("scipy", "PIL", "tqdm", "torch", "matplotlib", "threadpoolctl", "training"):
        assert unwanted not in loaded


def test_exports():
    assert sorted(hbcore.__all__) == hbcore.__all__
    assert all(hasattr(hbcore, name) for name in hbcore.__all__)
    assert re.match(r"\d+\.\d+", hbcore.__version__)
