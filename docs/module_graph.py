"""The map of the code, drawn from its imports, so that nobody has to remember it.

    python docs/module_graph.py            writes it into docs/architecture.md and README.md
    python docs/module_graph.py --check    exit code 1, and one line, where these no longer say what the imports say
    python docs/module_graph.py --lines    prints how many lines each room and file has, in the order of reading

A room is a folder or a module at the top of a package; its modules are all files in it. The order of the rooms is
declared by the committed docs/architecture.md itself: rooms stay in the order of its tables, a new one comes just
before the first that imports it, and an import of a later room is an error. Whoever means to change the order moves
the row of the table and runs this again. A new arrow between two rooms that keeps to the order is a difference, so
that it is seen in review.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("hbcore", "training")  # each may import itself and those before it
PAGE, README = "docs/architecture.md", "README.md"
BEGIN, END = "<!-- module graph: written by docs/module_graph.py -->", "<!-- module graph ends -->"
CYTHON_IMPORT = re.compile(r"^[ \t]*(?:from[ \t]+([\w.]+)[ \t]+c?import[ \t]+([\w, \t]*)|c?import[ \t]+([\w.]+))", re.M)

Graph = Mapping[str, set[str]]
"""Who imports whom, by name."""


class GraphError(Exception):
    """An import that must not be, or a page that is out of date: one line."""


@dataclass(frozen=True)
class Module:
    """One file: its name in imports, its place, how its docstring begins, and what it imports of the packages."""

    name: str
    path: str  # from the checkout, with slashes
    summary: str
    imports: frozenset[str]

    @property
    def room(self) -> str:
        """`hbcore.nn` for hbcore/nn/blocks.py; the package itself for its __init__.py."""
        return ".".join(self.name.split(".")[:2])


# ------------------------------------------------------------------------------------------------- reading


def read(root: Path = ROOT) -> dict[str, Module]:
    """All modules of the packages by name. GraphError for an import of what is not there."""
    paths = [path for package in PACKAGES for kind in ("py", "pyx") for path in (root / package).rglob(f"*.{kind}")]
    files = {_name(path.relative_to(root)): path for path in sorted(paths)}
    modules = {}
    for name, path in files.items():
        summary, stated = _parse(path)
        imports = {_resolve(name, base, item, files) for base, item in stated} - {name}
        modules[name] = Module(name, path.relative_to(root).as_posix(), summary, frozenset(imports))
    return {name: _with_parent(module, modules) for name, module in modules.items()}


def _name(path: Path) -> str:
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


def _parse(path: Path) -> tuple[str, list[tuple[str, str]]]:
    """What the docstring begins with, and imports of the packages as (module, name in it or nothing)."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".pyx":  # no Python: a docstring after comments, and imports on lines of their own
        found = re.match(r'(?:\s*#.*\n|\s*\n)*"""(.*)', text)
        doc = found[1].partition('"""')[0] if found else ""
        stated = [
            (base or plain, item.split()[0] if item.split() else "")
            for base, items, plain in CYTHON_IMPORT.findall(text)
            for item in items.split(",")
        ]
    else:
        tree = ast.parse(text)
        doc = ast.get_docstring(tree) or ""
        stated = list(_stated(tree, path))
    ours = [pair for pair in stated if pair[0].partition(".")[0] in PACKAGES]
    return _first_line(doc), ours


def _first_line(doc: str) -> str:
    """The first line of a docstring, with the next ones where the sentence goes on there; fit for a table."""
    first, *others = doc.partition("\n\n")[0].splitlines() or [""]
    while others and not first.endswith((".", ":")):
        first += " " + others.pop(0)
    return first.strip().replace("|", r"\|")


def _stated(tree: ast.Module, path: Path) -> Iterator[tuple[str, str]]:
    """Imports wherever in the file: one within a function is an arrow as well."""
    for node in _statements(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                raise GraphError(f"{path.name} has a relative import in line {node.lineno}: write the full name")
            yield from ((node.module or "", alias.name) for alias in node.names)


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    """All that are within a node, however deep; not their expressions, of which there are ten times as many."""
    for field in ("body", "orelse", "handlers", "finalbody", "cases"):
        for inner in getattr(node, field, ()):
            yield inner
            yield from _statements(inner)


def _resolve(name: str, base: str, item: str, known: Mapping[str, Path]) -> str:
    for target in (f"{base}.{item}", base):
        if target in known:
            return target
    raise GraphError(f"{name} imports {base}, which is not there")


def _with_parent(module: Module, modules: Mapping[str, Module]) -> Module:
    """Python imports a folder before what is in it. That counts where the folder is a docstring, which imports nothing;
    where it gathers the names of its modules, the arrows point from it to them."""
    parent = module.name.rpartition(".")[0]
    if "." not in parent or modules[parent].imports:
        return module
    return Module(module.name, module.path, module.summary, module.imports | {parent})


# ---------------------------------------------------------------------------------------------------- order


def ordered(graph: Graph, wished: Iterable[str]) -> list[str]:
    """Names as wished, but each after all that it imports. GraphError names the modules of a circle."""
    done: dict[str, None] = {}
    way: list[str] = []

    def visit(name: str) -> None:
        if name in way:
            raise GraphError("circle of imports: " + " -> ".join([*way[way.index(name) :], name]))
        if name not in done:
            way.append(name)
            for other in sorted(graph[name]):
                visit(other)
            done[way.pop()] = None

    for name in wished:
        visit(name)
    return list(done)


def module_graph(modules: Mapping[str, Module]) -> Graph:
    return {name: set(module.imports) for name, module in modules.items()}


def room_graph(modules: Mapping[str, Module]) -> dict[str, set[str]]:
    """Arrows between rooms. A package itself is none: `import hbcore` stands on all of its rooms."""
    rooms: dict[str, set[str]] = {module.room: set() for module in modules.values()}
    for module in modules.values():
        rooms[module.room] |= {modules[other].room for other in module.imports} - {module.room}
    return rooms


def check_arrows(modules: Mapping[str, Module], declared: Iterable[str] = ()) -> list[str]:
    """The rooms in their order. GraphError for a circle, an import of a later package, or of a later room."""
    for module in modules.values():
        for other in sorted(module.imports):
            ours, theirs = (PACKAGES.index(name.partition(".")[0]) for name in (module.name, other))
            if theirs > ours:
                raise GraphError(f"{module.name} imports {other}: {PACKAGES[ours]} must not know {PACKAGES[theirs]}")
    ordered(module_graph(modules), modules)
    rooms = room_graph(modules)
    declared = [room for room in declared if room in rooms]
    places = {room: place for place, room in enumerate(declared)}
    try:
        order = ordered(rooms, [*declared, *sorted(rooms)])
        upward = None
    except GraphError as circle:
        order, upward = [], circle
    for module in modules.values():
        for other in sorted(module.imports):
            here, there = module.room, modules[other].room
            if places.get(there, -1) > places.get(here, len(places)):
                raise GraphError(f"{module.name} imports {other}, but {PAGE} has {there} after {here}")
    if upward:
        raise upward
    return sorted(order, key=lambda room: PACKAGES.index(room.partition(".")[0]))


def reduced(graph: Graph) -> dict[str, list[str]]:
    """Arrows that no longer way says as well. The graph has no circle."""

    def reach(name: str) -> set[str]:
        return graph[name].union(*(reach(other) for other in graph[name]))

    return {name: sorted(graph[name] - set().union(*(reach(other) for other in graph[name]))) for name in graph}


# -------------------------------------------------------------------------------------------------- writing


def shown(page: str) -> dict[str, set[str]]:
    """Rooms in the order of a page's tables, with the arrows that it shows."""
    rooms, package = {}, ""
    for line in _between(page).splitlines():
        if found := re.fullmatch(r"### `(\w+)/`", line):
            package = found[1]
        elif found := re.fullmatch(r"\| `(\w+)` \|.*\|([^|]*)\|", line):
            names = re.findall(r"`([\w.]+)`", found[2])
            rooms[f"{package}.{found[1]}"] = {
                name if name.partition(".")[0] in PACKAGES else f"{package}.{name}" for name in names
            }
    return rooms


def map_of_modules(modules: Mapping[str, Module], order: list[str]) -> str:
    """The generated part of docs/architecture.md."""
    rooms, lines = room_graph(modules), []
    for package in PACKAGES:
        mine = [room for room in order if room.startswith(f"{package}.")]
        lines += [f"### `{package}/`", "", "| room | what it holds | imports |", "|---|---|---|"]
        for room in mine:
            arrows = ", ".join(f"`{_short(other, package)}`" for other in order if other in rooms[room])
            lines.append(f"| `{_short(room, package)}` | {modules[room].summary} | {arrows} |".replace("|  |", "| |"))
        lines += ["", "```mermaid", "graph BT"]
        inside = {room: {other for other in rooms[room] if other in mine} for room in mine}
        arrows_left = reduced(inside)
        for room in mine:
            lines.append(f"    {_node(room)}[{_short(room, package)}]")
            lines += [f"    {_node(room)} --> {_node(other)}" for other in arrows_left[room]]
        lines += ["```", ""]
        for room in mine:
            lines += _modules_of(room, modules)
    return "\n".join(lines).rstrip() + "\n"


def lines_of(modules: Mapping[str, Module], order: Iterable[str], root: Path) -> Iterator[str]:
    """A row for each room, with the lines of all its modules, and below it one for each of them."""
    for room in order:
        lengths = {
            modules[name].path: len((root / modules[name].path).read_text(encoding="utf-8").splitlines())
            for name in _inside(room, modules)
        }
        yield f"{sum(lengths.values()):6}  {room}"
        if len(lengths) > 1:
            yield from (f"{length:12}  {path}" for path, length in lengths.items())


def _inside(room: str, modules: Mapping[str, Module]) -> list[str]:
    """A room's modules, each after those that it imports."""
    graph = module_graph(modules)
    inside = {name: {other for other in graph[name] if modules[other].room == room} for name in graph}
    return ordered(inside, sorted((name for name in modules if modules[name].room == room), key=_place(modules)))


def _modules_of(room: str, modules: Mapping[str, Module]) -> list[str]:
    """The table of a room's modules; none for a room that is one file."""
    graph = module_graph(modules)
    names = _inside(room, modules)
    folder = room.replace(".", "/") + "/"
    if not modules[room].path.startswith(folder):
        return []
    lines = [f"#### `{folder}`", "", "| module | what it holds |", "|---|---|"]
    for name in names:
        if name == room and not graph[name]:
            continue  # a docstring: it stands in the table of rooms
        path = modules[name].path.removeprefix(folder)
        if not graph[name] - {name.rpartition(".")[0]}:
            path = path.removesuffix("__init__.py") or path
        lines.append(f"| `{path}` | {modules[name].summary} |")
    return [*lines, ""] if len(lines) > 4 else []


def _place(modules: Mapping[str, Module]) -> Callable[[str], tuple[bool, int, str]]:
    """What is at the top of a room before its folders, and what gathers the names of others last."""

    def place(name: str) -> tuple[bool, int, str]:
        path = modules[name].path
        gathers = path.endswith("__init__.py") and len(modules[name].imports) > 1
        return gathers, path.count("/"), path

    return place


def reading_order(modules: Mapping[str, Module], order: list[str]) -> str:
    """The generated part of README.md: a table of rooms for each package."""
    lines = []
    for package in PACKAGES:
        lines += [f"| room of `{package}/` | what it holds |", "|---|---|"]
        for room in order:
            if room.startswith(f"{package}."):
                path = modules[room].path.removeprefix(f"{package}/").removesuffix("__init__.py")
                lines.append(f"| `{path}` | {modules[room].summary} |")
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def _short(room: str, package: str) -> str:
    return room.removeprefix(f"{package}.")


def _node(room: str) -> str:
    return room.replace(".", "_")


def _between(page: str) -> str:
    """What lies between the marks. GraphError where they are missing."""
    _, begin, rest = page.partition(BEGIN + "\n")
    inside, end, _ = rest.partition(END)
    if not begin or not end:
        raise GraphError(f"no place for the map: a page needs the lines {BEGIN} and {END}")
    return inside


def pages(root: Path = ROOT) -> dict[str, tuple[str, str]]:
    """Each page by its path: its text as it is, and as the imports want it."""
    texts = {path: (root / path).read_text(encoding="utf-8") for path in (PAGE, README)}
    modules = read(root)
    order = check_arrows(modules, shown(texts[PAGE]))
    parts = {PAGE: map_of_modules(modules, order), README: reading_order(modules, order)}
    return {
        path: (text, text.replace(BEGIN + "\n" + _between(text) + END, f"{BEGIN}\n\n{parts[path]}\n{END}"))
        for path, text in texts.items()
    }


def difference(path: str, old: str, new: str) -> str:
    """One line that names what a page has wrong: an arrow between rooms, else the first line that differs."""
    if path == PAGE:
        before, after = shown(old), shown(new)
        for room in after:
            for other in sorted(after[room] - before.get(room, after[room])):
                return f"{path}: {room} imports {other}, an arrow that the page does not show"
            for other in sorted(before.get(room, after[room]) - after[room]):
                return f"{path}: {room} no longer imports {other}"
    lines = zip([*old.splitlines(), ""], [*new.splitlines(), ""], strict=False)
    number, (mine, theirs) = next((at, pair) for at, pair in enumerate(lines, 1) if pair[0] != pair[1])
    return f"{path}:{number}: {mine!r} should be {theirs!r}"


def main(arguments: list[str]) -> int:
    if arguments not in ([], ["--check"], ["--lines"]):
        print("usage: python docs/module_graph.py [--check | --lines]", file=sys.stderr)
        return 2
    try:
        if arguments == ["--lines"]:
            modules = read()
            order = check_arrows(modules, shown((ROOT / PAGE).read_text(encoding="utf-8")))
            print("\n".join(lines_of(modules, order, ROOT)))
            return 0
        for path, (old, new) in pages().items():
            if old != new and arguments:
                raise GraphError(f"{difference(path, old, new)}; run python docs/module_graph.py")
            if old != new:
                (ROOT / path).write_text(new, encoding="utf-8", newline="\n")
                print(f"wrote {path}")
    except GraphError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
