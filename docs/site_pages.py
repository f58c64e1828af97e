"""What the site has that is no file of docs/: the pages at the top of the checkout, and the API from docstrings.

mkdocs calls these functions (`hooks` in mkdocs.yml). The API has a page for each room of hbcore, in reading order, with
all public names of its modules. Links to files that are no pages become words.
"""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import sys
from collections.abc import Iterator
from html import escape
from itertools import pairwise
from pathlib import Path, PurePosixPath
from textwrap import dedent
from typing import Any

from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parents[1]
TOP = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
}
"""Pages at the top of the checkout, and where they are on the site."""
MARGIN = 100
"""Of docstrings: a line that ends before it ends for a reason."""


def on_config(config: Any) -> Any:
    """The API into the menu."""
    for entry in config["nav"]:
        if "Reference" in entry:
            entry["Reference"] = [{"API": [{room: f"api/{room}.md"} for room in rooms()]}, *entry["Reference"]]
    return config


def on_files(files: Any, config: Any) -> Any:
    for source, page in TOP.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=_linked(text, PurePosixPath(source), page)))
    for room, modules in rooms().items():
        parts = "\n\n".join(map(described, modules))
        files.append(File.generated(config, f"api/{room}.md", content=f"# {room}\n\n{parts}\n"))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    if page.file.src_uri in TOP.values() or page.file.src_uri.startswith("api/"):
        return markdown
    return _linked(markdown, PurePosixPath("docs", page.file.src_uri), page.file.src_uri)


def rooms() -> dict[str, list[str]]:
    """The rooms of hbcore in reading order, with their Python modules."""
    spec = importlib.util.spec_from_file_location("module_graph", ROOT / "docs" / "module_graph.py")
    assert spec is not None
    assert spec.loader is not None
    graph = sys.modules["module_graph"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(graph)
    modules = graph.read(ROOT)
    page = (ROOT / graph.PAGE).read_text(encoding="utf-8")
    found: dict[str, list[str]] = {}
    for room in graph.check_arrows(modules, graph.shown(page)):
        own = [m.name for m in modules.values() if m.room == room and m.path.endswith(".py")]
        if room.startswith("hbcore.") and own and "__main__" not in room:
            found[room.removeprefix("hbcore.")] = [name for name in own if not name.endswith("__main__")]
    return found


def described(name: str) -> str:
    """A module as Markdown: its docstring, and its public functions and classes with signatures and docstrings."""
    path = ROOT / name.replace(".", "/")
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return "\n\n".join([f"## {name}", _doc(tree), *_members(tree, "", 3)])


def _members(owner: ast.Module | ast.ClassDef, prefix: str, level: int) -> Iterator[str]:
    for node in owner.body:
        if not isinstance(node, ast.FunctionDef | ast.ClassDef):
            continue
        if node.name.startswith("_") and not (
            prefix and node.name in ("__init__", "__call__") and ast.get_docstring(node)
        ):
            continue
        yield f"{'#' * level} {prefix}{node.name}"
        yield f'<pre class="signature"><code>{escape(_signature(node))}</code></pre>'
        yield _doc(node)
        if isinstance(node, ast.ClassDef):
            yield from _members(node, f"{node.name}.", level + 1)


def _signature(node: ast.FunctionDef | ast.ClassDef) -> str:
    """As in the source; of a class with its fields, which are what it is made from."""
    decorators = "".join(f"@{ast.unparse(each)}\n" for each in node.decorator_list)
    if isinstance(node, ast.FunctionDef):
        result = f" -> {ast.unparse(node.returns)}" if node.returns else ""
        return f"{decorators}def {node.name}({ast.unparse(node.args)}){result}"
    bases = ", ".join(map(ast.unparse, node.bases))
    fields = [f"\n    {ast.unparse(each)}" for each in node.body if isinstance(each, ast.AnnAssign)]
    return f"{decorators}class {node.name}{f'({bases})' if bases else ''}{''.join(fields)}"


def _doc(node: ast.Module | ast.FunctionDef | ast.ClassDef) -> str:
    """A docstring as paragraphs, which fit any width; tables and what is indented stay. Roles of Sphinx are words."""
    text = re.sub(r":\w+:`~?([^`]*)`", r"`\1`", ast.get_docstring(node) or "")
    blocks = [
        f"<pre>{escape(dedent(block))}</pre>" if re.search(r"^( |==)", block, re.M) else f"<p>{_flowing(block)}</p>"
        for block in filter(None, re.split(r"\n{2,}", text))
    ]
    return f'<div class="doc">{"".join(blocks)}</div>' if blocks else ""


def _flowing(block: str) -> str:
    """As HTML, without the line breaks that are only there since the next word had no room in the source."""
    lines = block.split("\n")
    ends = [" " if len(f"{line} {after.split(maxsplit=1)[0]}") > MARGIN else "\n" for line, after in pairwise(lines)]
    text = "".join(map("".join, zip(lines, [*ends, ""], strict=True)))
    return re.sub(r"`+([^`]+)`+", r"<code>\1</code>", escape(text))


def _linked(text: str, source: PurePosixPath, page: str) -> str:
    """A page whose links lead to pages of the site, as seen from `page`; what is none becomes its words."""

    def change(found: re.Match[str]) -> str:
        words, target = found[1], found[2]
        path, hash_, anchor = target.partition("#")
        if "://" in target or not path:
            return found[0]
        place = os.path.normpath(source.parent / path).replace(os.sep, "/")
        there = TOP.get(place) or (place.removeprefix("docs/") if place.startswith("docs/") else None)
        if there is None or not (there in TOP.values() or (ROOT / "docs" / there).is_file()) or there.endswith(".py"):
            return words
        return f"[{words}]({os.path.relpath(there, PurePosixPath(page).parent).replace(os.sep, '/')}{hash_}{anchor})"

    return re.sub(r"(?<!!)\[([^\]]*)\]\(([^)\s]+)\)", change, text)
