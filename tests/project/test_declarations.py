"""What is declared alike everywhere: records that do not change, arrays that are not compared, pairs without a rest."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
TREES = {
    path.relative_to(ROOT).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
    for package in ("hbcore", "training")
    for path in sorted((ROOT / package).rglob("*.py"))
}

CHANGING = {
    "hbcore/landmarks/finding/tracker.py Track": "is moved on by every picture of a film",
    "training/checks/findings.py Scan": "grows by a sample at a time, and hears last what was not looked at",
    "training/datasets/own/content.py Instance": "a table or a box drawn later tells its box after its points",
    "training/datasets/poses/mpii_labels.py _Instance": "a file of its own tells the size of its head",
    "training/runs/checkpoint.py Progress": "counts the steps of a run",
    "training/runs/run.py Run": "goes back to the progress of a checkpoint",
}
"""Dataclasses that are not frozen, and why."""

UNEVEN = {"training/prediction/boxes.py": "rows of a table may be short of cells, or have some too many"}
"""Files with a zip that ends with the shorter one, and why."""

ARRAYS = {"NDArray", "ndarray", "Array", "Words", "Mask"}


def dataclasses() -> Iterator[tuple[str, dict[str, bool], set[str]]]:
    """File and name of every dataclass, the switches of its decorator, and the names in its fields' types."""
    for path, tree in TREES.items():
        for node in ast.walk(tree):
            for decorator in node.decorator_list if isinstance(node, ast.ClassDef) else ():
                call = decorator.func if isinstance(decorator, ast.Call) else decorator
                if ast.unparse(call) not in ("dataclass", "dataclasses.dataclass"):
                    continue
                keywords = decorator.keywords if isinstance(decorator, ast.Call) else []
                switches = {keyword.arg: ast.literal_eval(keyword.value) for keyword in keywords}
                types = [field.annotation for field in node.body if isinstance(field, ast.AnnAssign)]
                words = {word for kind in types for part in ast.walk(kind) if (word := name_in(part))}
                yield f"{path} {node.name}", switches, words


def name_in(node: ast.AST) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def test_dataclasses_are_frozen() -> None:
    """What is handed from room to room is not changed behind the back of whoever else holds it."""
    found = {name: switches.get("frozen", False) for name, switches, _ in dataclasses()}
    assert len(found) > 80
    assert {name for name, frozen in found.items() if not frozen} == CHANGING.keys()


def test_dataclasses_with_arrays_are_not_compared() -> None:
    """== of two with arrays raises in the depth of NumPy, or hashes what has no hash; eq=False compares by identity."""
    holding = {name: switches.get("eq", True) for name, switches, words in dataclasses() if words & ARRAYS}
    assert len(holding) > 15
    assert {name for name, compared in holding.items() if compared} == set()


def test_pairs_have_no_rest() -> None:
    """zip drops what is over without a word: where lengths differ, something before it went wrong."""
    calls = [
        (path, {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}.get("strict"))
        for path, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and name_in(node.func) == "zip"
    ]
    assert len(calls) > 40
    assert {path for path, strict in calls if strict != "True"} == UNEVEN.keys()
