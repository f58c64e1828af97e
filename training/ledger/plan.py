"""Rows, claims and tables of the paper, read from the TOML files in `tables/`."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from training.configuration.toml import read_toml
from training.errors import UserError

TABLES = Path(__file__).parent / "tables"
TASKS = ("pose", "face", "parts")
MARKS = ("", "R", "C-hi", "C-med", "C-lo", "I")  # how certain a figure is; "": there is none
Settings = dict[str, dict[str, Any]]  # {section: {key: value}}, a part of a Config
Entry = TypeVar("Entry", "Row", "Claim")


@dataclass(frozen=True)
class Row:
    """One row of a table: the paper's figures and the settings by which the row differs from its scale.

    figure, mark: the result in the table's metric and how certain it is; None: not in the paper, or not recalled.
    params: parameters as the paper prints them. details: further columns. settings: written `set.section.key = value`.
    teacher: the row whose model of the same seed this one learns from. not_here: why this row cannot be trained here.
    """

    name: str
    label: str
    table: str
    task: str
    metric: str
    figure: float | None = None
    mark: str = ""
    note: str = ""
    params: str = ""
    params_mark: str = ""
    details: dict[str, float] = field(default_factory=dict)
    settings: Settings = field(default_factory=dict)
    teacher: str = ""
    not_here: str = ""

    @property
    def keys(self) -> frozenset[str]:
        """The settings, such as `model.block`, by which this row may differ from others."""
        named = {f"{section}.{key}" for section, values in self.settings.items() for key in values}
        return frozenset(named | ({"technique.teacher"} if self.teacher else set()))


@dataclass(frozen=True)
class Claim:
    """The paper says that the row `better` scores better than the row `than`, by `paper` points if that is recalled."""

    name: str
    says: str
    better: str
    than: str
    table: str
    paper: float | None = None
    mark: str = ""


@dataclass(frozen=True)
class Table:
    """One table of the paper. rows: names in the order shown, those of other tables (`also`) first.

    columns: metrics of ours to show besides those of the paper.
    """

    name: str
    title: str
    section: str
    task: str
    metric: str
    rows: tuple[str, ...]
    details_mark: str = ""
    columns: tuple[str, ...] = ()


@dataclass(frozen=True)
class Ledger:
    """All tables in the paper's order, rows and claims by name."""

    tables: tuple[Table, ...]
    rows: Mapping[str, Row]
    claims: Mapping[str, Claim]

    def select(self, patterns: Sequence[str]) -> list[Row]:
        """The rows that can be trained and are meant by names or globs of rows, tables or claims; all without patterns.

        A claim means its two rows. The teacher of a row comes before it, asked for or not. Raises UserError for a
        pattern that means nothing, and for a row named in full that cannot be trained here.
        """
        chosen: dict[str, Row] = {}
        for pattern in patterns or ["*"]:
            exact = self.rows.get(pattern)
            if exact and exact.not_here:
                raise UserError(f"{pattern} cannot be trained here: {exact.not_here}")
            names = self._meant(pattern)
            if not names:
                known = [*self.rows, *self.claims, *(table.name for table in self.tables)]
                near = difflib.get_close_matches(pattern, known, n=1)
                hint = f"did you mean {near[0]}?" if near else "see `list` for the names"
                raise UserError(f"no row, table or claim is called {pattern}: {hint}")
            for name in names:
                row = self.rows[name]
                if row.not_here:
                    continue
                if row.teacher:
                    chosen.setdefault(row.teacher, self.rows[row.teacher])
                chosen.setdefault(name, row)
        if not chosen:
            reasons = dict.fromkeys(self.rows[name].not_here for pattern in patterns for name in self._meant(pattern))
            raise UserError(f"nothing of {', '.join(patterns)} can be trained here: {'; '.join(reasons)}")
        return list(chosen.values())

    def _meant(self, pattern: str) -> list[str]:
        names = [name for name in self.rows if fnmatchcase(name, pattern)]
        names += [name for table in self.tables if fnmatchcase(table.name, pattern) for name in table.rows]
        for claim in self.claims.values():
            if fnmatchcase(claim.name, pattern):
                names += [claim.better, claim.than]
        return names


def load_ledger(folder: Path = TABLES) -> Ledger:
    """Every table there is. Raises UserError, naming file and entry, for anything that is not as it should be."""
    tables: list[Table] = []
    rows: dict[str, Row] = {}
    claims: dict[str, Claim] = {}
    contents = {path: read_toml(path) for path in folder.glob("*.toml")}
    for path, content in sorted(contents.items(), key=lambda item: (str(item[1].get("section")), item[0].stem)):
        entries, claimed = content.pop("row", []), content.pop("claim", [])
        also = content.pop("also", [])
        shared = {"table": path.stem, "task": content.get("task"), "metric": content.get("metric")}
        own = [_entry(Row, path, {**_renamed(entry), **shared}) for entry in entries]
        for row in own:
            rows[_new(row.name, path, rows, claims)] = row
        for entry in claimed:
            claim = _entry(Claim, path, {**entry, "table": path.stem})
            claims[_new(claim.name, path, rows, claims)] = claim
        named: dict[str, Any] = {"name": path.stem, "rows": (*also, *(row.name for row in own))}
        try:
            tables.append(Table(**content, **named))
        except TypeError as error:
            raise UserError(f"{path}: {str(error).partition(') ')[2] or error}") from None
        if tables[-1].task not in TASKS:
            raise UserError(f"{path}: task = {tables[-1].task!r} is none of {', '.join(TASKS)}")
    ledger = Ledger(tuple(tables), rows, claims)
    _check(ledger, folder)
    return ledger


def _new(name: str, path: Path, *known: Mapping[str, object]) -> str:
    """`name`, unless it is taken: rows and claims are asked for alike."""
    if any(name in names for names in known):
        raise UserError(f"{path}: the name {name} is taken")
    return name


def _renamed(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {"settings" if key == "set" else key: value for key, value in entry.items()}


def _entry(kind: type[Entry], path: Path, values: Mapping[str, Any]) -> Entry:
    """A row or claim from its TOML table. Raises UserError for a missing, unknown or unfit key."""
    what = f"{path}: {kind.__name__.lower()} {values.get('name', 'without a name')}"
    known = {field.name: field for field in fields(kind)}
    hints = get_type_hints(kind)
    if unknown := values.keys() - known.keys():
        raise UserError(f"{what}: unknown key {min(unknown)}")
    for name, each in known.items():
        needed = each.default is MISSING and each.default_factory is MISSING
        if name not in values:
            if needed:
                raise UserError(f"{what}: {name} is missing")
            continue
        value = values[name]
        if hints[name] is str:
            fits = isinstance(value, str) and (bool(value) or not needed)
        elif hints[name] == float | None:
            fits = type(value) in (int, float) and math.isfinite(value)
        elif hints[name] == Settings:
            fits = isinstance(value, dict) and all(isinstance(section, dict) for section in value.values())
        else:
            fits = isinstance(value, dict) and all(type(item) in (int, float) for item in value.values())
        if not fits:
            raise UserError(f"{what}: {name} = {value!r} is not allowed")
    if values.get("mark", "") not in MARKS:
        raise UserError(f"{what}: mark = {values['mark']!r} is none of {', '.join(MARKS[1:])}")
    return kind(**values)


def _check(ledger: Ledger, folder: Path) -> None:
    """Raise UserError where a table, claim or teacher names a row that there is not, or of another task."""

    def demand(names: Iterable[str], task: str, who: str) -> None:
        for name in names:
            if name not in ledger.rows or ledger.rows[name].task != task:
                raise UserError(f"{folder}: {who} names {name}, which is no row of {task}")

    for table in ledger.tables:
        demand(table.rows, table.task, f"table {table.name}")
    for claim in ledger.claims.values():
        task = next(table.task for table in ledger.tables if table.name == claim.table)
        demand((claim.better, claim.than), task, f"claim {claim.name}")
    for row in ledger.rows.values():
        demand(filter(None, [row.teacher]), row.task, f"row {row.name}")
        if row.teacher and ledger.rows[row.teacher].teacher:
            raise UserError(f"{folder}: the teacher of row {row.name} has a teacher itself")
