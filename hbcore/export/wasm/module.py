"""The module and what is written beside it: a page that holds all it needs, and a script for Node.js."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import tempfile
from pathlib import Path

from hbcore.deploy.model_file import ModelFileError
from hbcore.export.c.files import CModel
from hbcore.export.c.files import filled as filled_c

TEXTS = Path(__file__).resolve().parent / "text"
TOOLS = "clang", "wasm-ld"
FLAGS = (
    "--target=wasm32",
    "-std=c99",
    "-O3",
    "-msimd128",
    "-mbulk-memory",  # copies memory without a library
    "-ffreestanding",
    "-nostdlib",
    "-Wl,--no-entry,--strip-all,-z,stack-size=65536",
)


def wasm_files(made: CModel) -> dict[str, bytes]:
    """The files by their names. ModelFileError, in one line, where there is nothing to compile them with."""
    module = compiled(made)
    facts = {
        "name": made.name,
        "size": int(made.facts["width"]),
        "map": int(made.facts["map_width"]),
        "maps": int(made.facts["maps"]),
        "kind": made.facts["what"],
    }
    texts = {"name": made.name, "facts": json.dumps(facts), "model": filled("model.js", {}).strip()}
    page = filled("page.html", texts | {"wasm": base64.b64encode(module).decode()})
    return {
        f"{made.name}.wasm": module,
        f"{made.name}.html": page.encode("ascii"),
        f"{made.name}.mjs": filled("node.mjs", texts).encode("ascii"),
    }


def compiled(made: CModel) -> bytes:
    """The module: its memory, and functions for what a picture shows. ModelFileError in one line."""
    for tool in TOOLS:
        if shutil.which(tool) is None:
            raise ModelFileError(f"there is no {tool} here: install clang and lld, which write WebAssembly")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file in (f"{made.name}.c", f"{made.name}.h"):
            (folder / file).write_text(made.files[file], encoding="ascii")
        shutil.copy(TEXTS / "string.h", folder)
        (folder / "module.c").write_text(filled_c(TEXTS / "module.c", made.facts), encoding="ascii")
        command = ["clang", *FLAGS, f"-I{folder}", "-o", "module.wasm", "module.c"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode:
            said = next((line for line in done.stderr.splitlines() if "error" in line), f"code {done.returncode}")
            raise ModelFileError(f"clang does not compile the file for wasm32: {said.strip()}")
        return (folder / "module.wasm").read_bytes()


def filled(file: str, texts: dict[str, str]) -> str:
    """A text of `text/` with others in the place of {{their names}}."""
    found = (TEXTS / file).read_text(encoding="ascii")
    for name, text in texts.items():
        found = found.replace(f"{{{{{name}}}}}", text)
    return found
