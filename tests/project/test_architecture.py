"""How the code hangs together: imports point one way, and nothing comes along that was not asked for."""

import ast
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

import hbcore

ROOT = Path(__file__).parents[2]
HBCORE = sorted((ROOT / "hbcore").rglob("*.py"))
TRAINING = sorted((ROOT / "training").rglob("*.py"))
SOURCES = [
    path
    for package in ("hbcore", "training")
    for path in sorted((ROOT / package).rglob("*"))
    if path.suffix in (".py", ".pyx", ".pyi", ".pxd", ".c", ".h") and path.name != "_kernels.c"
]

# ----------------------------------------------------------------------------------------------------- the map


def script():
    """docs/module_graph.py as a module; it is no part of a package."""
    spec = importlib.util.spec_from_file_location("module_graph", ROOT / "docs" / "module_graph.py")
    module = sys.modules["module_graph"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


graph = script()


def test_imports_go_one_way():
    modules = graph.read()
    assert {path.relative_to(ROOT).as_posix() for path in HBCORE + TRAINING} <= {m.path for m in modules.values()}
    page = (ROOT / graph.PAGE).read_text(encoding="utf-8")
    assert graph.check_arrows(modules, graph.shown(page))


def test_the_map_is_up_to_date():
    for path, (old, new) in graph.pages().items():
        assert old == new, graph.difference(path, old, new) + "; run python docs/module_graph.py"


def test_the_docstring_of_hbcore_has_the_rooms_in_order():
    rooms = re.findall(r"^    (\w+)  +\S", hbcore.__doc__, flags=re.MULTILINE)
    shown = graph.shown((ROOT / graph.PAGE).read_text(encoding="utf-8"))
    assert [f"hbcore.{room}" for room in rooms] == [
        room for room in shown if room.startswith("hbcore.") and not room.startswith("hbcore._")
    ]


def orders():
    """Packages whose docstring has a reading order, with the names in it."""
    for path in sorted(path for package in graph.PACKAGES for path in (ROOT / package).rglob("__init__.py")):
        text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        if found := re.search(r"(?:Reading|in this) order: (.*?)\.(?: |\n|$)", text.replace("\n", " ")):
            words = re.sub(r"\([^)]*\)", "", found[1])
            yield pytest.param(path.parent, re.findall(r"\b(?!and\b)\w+", words), id=path.parent.name)


def test_there_are_reading_orders():
    assert len(list(orders())) >= 3


@pytest.mark.parametrize(("folder", "names"), list(orders()))
def test_a_reading_order_goes_along_the_imports(folder, names):
    """Of all modules of a folder, each after those that it imports."""
    package = ".".join(folder.relative_to(ROOT).parts)
    assert sorted(names) == sorted(path.stem for path in folder.glob("*.py") if path.stem != "__init__")
    modules = graph.read()
    for place, name in enumerate(names):
        later = {f"{package}.{other}" for other in names[place:]}
        assert not modules[f"{package}.{name}"].imports & later, name


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """A copy of the sources and pages that a test may spoil; graph.main looks at it."""
    for package in graph.PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    (tmp_path / "docs").mkdir()
    for page in (graph.PAGE, graph.README):
        shutil.copy(ROOT / page, tmp_path / page)
    monkeypatch.setattr(graph, "ROOT", tmp_path)
    monkeypatch.setattr(graph.read, "__defaults__", (tmp_path,))
    monkeypatch.setattr(graph.pages, "__defaults__", (tmp_path,))
    return tmp_path


def add(copy, path, line):
    with (copy / path).open("a", encoding="utf-8") as file:
        file.write(f"\n{line}\n")


SPOILED = {
    "circle of modules": (
        ("hbcore/bits.py", "from hbcore.autograd import tensor"),
        r"circle of imports: .*hbcore\.bits -> hbcore\.autograd\.tensor.*",
    ),
    "circle within a room": (
        ("hbcore/autograd/function.py", "import hbcore.autograd.tensor"),
        r"circle of imports: .*hbcore\.autograd\.function.*hbcore\.autograd\.tensor.*",
    ),
    "upward to the other package": (
        ("hbcore/threads.py", "def late():\n    import training.errors"),
        r"hbcore\.threads imports training\.errors: hbcore must not know training",
    ),
    "upward between rooms": (
        ("hbcore/nn/layers.py", "from hbcore.optim.losses import heatmap_mse"),
        r"hbcore\.nn\.layers imports hbcore\.optim\.losses, but docs/architecture\.md has hbcore\.optim after "
        r"hbcore\.nn",
    ),
    "new arrow": (
        ("hbcore/optim/schedules.py", "from hbcore import threads"),
        r"docs/architecture\.md: hbcore\.optim imports hbcore\.threads, an arrow that the page does not show; .*",
    ),
    "what is not there": (("hbcore/bits.py", "import hbcore.nowhere"), r"hbcore\.bits imports hbcore\.nowhere, .*"),
    "relative": (("hbcore/bits.py", "from . import threads"), r"bits\.py has a relative import in line \d+: .*"),
    "edited page": (("README.md", "<!-- module graph ends -->"), None),
}


@pytest.mark.parametrize("name", SPOILED)
def test_what_is_spoiled_is_named_in_one_line(name, copy, capsys):
    (path, line), message = SPOILED[name]
    assert graph.main(["--check"]) == 0
    add(copy, path, line)
    assert graph.main(["--check"]) == (0 if message is None else 1)  # what stands after the map is nobody's business
    printed = capsys.readouterr()
    assert printed.out == ""
    assert re.fullmatch(f"error: {message}\n" if message else "", printed.err)


def test_a_new_arrow_is_written_and_then_known(copy, capsys):
    add(copy, "hbcore/optim/schedules.py", "from hbcore import threads")
    (copy / "hbcore" / "extra.py").write_text('"""Something new, with a bar: a|b."""\n')
    add(copy, "hbcore/nn/module.py", "import hbcore.extra")
    assert graph.main([]) == 0
    assert capsys.readouterr().out == "wrote docs/architecture.md\nwrote README.md\n"
    assert graph.main(["--check"]) == 0
    rooms = list(graph.shown((copy / graph.PAGE).read_text(encoding="utf-8")))
    assert rooms.index("hbcore.extra") == rooms.index("hbcore.nn") - 1
    assert "| `extra.py` | Something new, with a bar: a\\|b. |" in (copy / "README.md").read_text(encoding="utf-8")


def test_a_page_edited_by_hand_is_named_and_mended(copy, capsys):
    page = copy / "README.md"
    page.write_text(page.read_text(encoding="utf-8").replace("| `bits.py` |", "| `bytes.py` |"), encoding="utf-8")
    assert graph.main(["--check"]) == 1
    assert re.match(r"error: README\.md:\d+: .*bytes\.py.* should be .*bits\.py", capsys.readouterr().err)
    assert graph.main([]) == graph.main(["--check"]) == 0


def test_lines_are_counted_in_the_order_of_reading(copy, capsys):
    (copy / "hbcore" / "extra.py").write_text('"""Three lines."""\n\nNOTHING = 0\n')
    assert graph.main(["--lines"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["3", "hbcore.extra"] in rows
    files = {path: int(number) for number, path in rows if path.startswith("hbcore/nn/")}
    assert files["hbcore/nn/blocks.py"] == (copy / "hbcore/nn/blocks.py").read_text(encoding="utf-8").count("\n")
    assert [str(sum(files.values())), "hbcore.nn"] in rows
    names = [name for _, name in rows]
    assert (
        names.index("hbcore.bits")
        < names.index("hbcore.nn")
        < names.index("hbcore.inspect")
        < names.index("training.runs")
    )


def test_an_arrow_that_a_longer_way_says_is_left_out():
    assert graph.reduced({"a": set(), "b": {"a"}, "c": {"a", "b"}}) == {"a": [], "b": ["a"], "c": ["b"]}


# ---------------------------------------------------------------------------------------------------- the size

MOST_MODULES, MOST_LINES, MOST_LINES_OF_C = 9, 350, 450


def test_a_folder_has_few_modules():
    """A pair such as pool.c and pool.h is one."""
    folders = defaultdict(set)
    for path in SOURCES:
        if path.name != "__init__.py":
            folders[path.parent.relative_to(ROOT).as_posix()].add(path.stem)
    many = {folder: len(stems) for folder, stems in folders.items() if len(stems) > MOST_MODULES}
    assert not many


def test_files_are_short():
    lines = {
        path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8").count("\n")
        for path in SOURCES
        if path.suffix != ".pyi"
    }
    most = {path: MOST_LINES_OF_C if path.endswith((".c", ".h")) else MOST_LINES for path in lines}
    assert not {path: count for path, count in lines.items() if count > most[path]}


# ------------------------------------------------------------------------------------------------- the imports


def imports(path):
    """Full names of the modules that a file imports, wherever in the file (names from hbcore with their module)."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.module == "hbcore":
                yield from (f"hbcore.{alias.name}" for alias in node.names)
            else:
                yield node.module


def test_only_kernels_touches_the_extensions():
    for path in HBCORE:
        if path.parent.name != "kernels":
            assert not {name for name in imports(path) if name.startswith("hbcore._")}, path.name


def test_array_side_knows_no_tensors():
    for path in HBCORE:
        if path.stem in ("bits", "threads", "function", "ops") or path.parent.name == "kernels":
            assert not {"hbcore.autograd.tensor", "hbcore.nn.module"} & set(imports(path)), path.name


def test_hbcore_imports_nothing_but_numpy_and_safetensors():
    """threadpoolctl is asked for, only when threads are set, and not needed.

    Photos need Pillow, films of cameras PyAV, and graphs onnx. Who reads photos: command
    lines, the pictures that an inspection is shown, and those that an export is tried on.
    """
    allowed = {"hbcore", "numpy", "safetensors", "threadpoolctl", *sys.stdlib_module_names}
    readers = ("__main__.py", "seen.py", "truth.py", "crops.py")
    for path in HBCORE:
        photos = path.parent.name == "photos"
        more = {"PIL"} if photos else {"onnx"} if path.name == "onnx_nodes.py" else set()
        more |= {"av"} if path.name == "cinema.py" else set()
        for name in imports(path):
            assert name.partition(".")[0] in allowed | more, f"{path.name} imports {name}"
            assert photos or path.name in readers or "photos" not in name, f"{path.name} imports {name}"


FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "shelve", "marshal", "joblib", "cloudpickle"}
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__"}


@pytest.mark.parametrize("path", HBCORE + TRAINING, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_pickle_no_eval(path):
    assert not FORBIDDEN_MODULES & {name.partition(".")[0] for name in imports(path)}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
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
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
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
