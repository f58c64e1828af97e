"""What the documents say can be done: programs run, options of commands exist, names are where they are said to be."""

import ast
import os
import re
import shlex
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from hbcore import load_model, save_model
from hbcore.landmarks.landmarker import find_model

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
GIVEN = """
import numpy as np
picture = np.random.default_rng(0).integers(0, 256, ({shape}), dtype=np.uint8)
"""
"""What a program on a page may take for granted: a picture."""


DEFAULT = {f"training.{task}": ("train",) for task in ("pose", "face", "parts", "finder")}
"""Verbs of commands that may do without."""


def name(document):
    return document.relative_to(ROOT).as_posix()


def blocks(language):
    """(document, place, text) of every block of code in that language."""
    for document in DOCUMENTS:
        found = re.findall(rf"```{language}\n(.*?)```", document.read_text(encoding="utf-8"), re.DOTALL)
        for place, text in enumerate(found):
            yield pytest.param(text, id=f"{name(document)}-{place}")


def programs():
    """(texts) of all programs of a document, of every one that has some."""
    found = {}
    for block in blocks("python"):
        found.setdefault(block.id.rpartition("-")[0], []).append(block.values[0])
    return [pytest.param(texts, id=document) for document, texts in found.items()]


@pytest.mark.parametrize("texts", programs())
def test_programs_run(texts, tmp_path):
    """One after the other in one folder, with a run, two labelled faces of LFPW, a person of LSP, and a picture."""
    (tmp_path / "runs" / "pose").mkdir(parents=True)
    network, header = load_model(find_model("face68-tiny"))
    kept = {key: header[key] for key in ("task", "skeleton", "codec", "output", "crops")}
    save_model(network, tmp_path / "runs" / "pose" / "last.safetensors", kept)
    faces = tmp_path / "PATH" / "lfpw" / "testset"
    faces.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name in "ab":
        Image.fromarray(rng.integers(0, 256, (90, 120, 3), dtype=np.uint8)).save(faces / f"{name}.jpg")
        points = "".join(f"{x:.2f} {y:.2f}\n" for x, y in rng.uniform(20, 80, (68, 2)))
        (faces / f"{name}.pts").write_text(f"version: 1\nn_points: 68\n{{\n{points}}}\n")
    savemat(tmp_path / "PATH" / "joints.mat", {"joints": np.tile([[[9.0]], [[9.0]], [[0.0]]], (1, 14, 1001))})
    (tmp_path / "PATH" / "images").mkdir()
    shutil.copy(faces / "a.jpg", tmp_path / "PATH" / "images" / "im1001.jpg")
    for program in texts:
        shape = "1, 128, 128, 3" if "engine(picture)" in program else "300, 300, 3"
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", GIVEN.format(shape=shape) + program],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr


def commands():
    """The words of every `python -m` of ours in a block of bash, once each."""
    found = {}
    for block in blocks("bash"):
        text = block.values[0].replace("\\\n", " ")
        for line in text.splitlines():
            for part in re.split(r"&&|\|", line):
                words = shlex.split(part, comments=True)
                if "-m" in words and words[words.index("-m") + 1].split(".")[0] in ("hbcore", "training", "benchmarks"):
                    found[" ".join(words[words.index("-m") + 1 :])] = None
    return list(found)


@cache
def options(module, verb):
    """The long options that its help names."""
    words = [sys.executable, "-m", module, *verb, "--help"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return set(re.findall(r"--[\w-]+", done.stdout))


@pytest.mark.parametrize("command", list(commands()))
def test_commands_have_the_options_that_are_shown(command):
    module, *words = command.split(" ")
    verb = [word for word in words[:1] if re.fullmatch(r"[a-z]+", word)]
    used = {word.partition("=")[0] for word in words if word.startswith("--")}
    if not used:
        assert (ROOT / module.replace(".", "/")).exists() or (ROOT / f"{module.replace('.', '/')}.py").exists()
        return
    assert used <= options(module, tuple(verb or DEFAULT.get(module, ())))


@cache
def defined(path):
    """Names of functions, classes, methods and constants of a file."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    names = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    for node in tree.body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        names |= {target.id for target in targets if isinstance(target, ast.Name)}
    return names


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_names_are_where_they_are_said_to_be(document):
    text = document.read_text(encoding="utf-8")
    said = re.findall(r"`(\w+)` in `((?:hbcore|training)/[\w/]+\.py)`", text)
    assert not [(symbol, path) for symbol, path in said if symbol not in defined(path)]
    assert document.name != "paper.md" or len(said) > 30
