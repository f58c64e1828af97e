"""The size at which rows are trained: what a scale file says, a row's own settings on top, then the data."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from training.configuration.schema import literal
from training.configuration.toml import read_toml
from training.configuration.values import from_dict
from training.errors import UserError
from training.ledger.plan import TASKS, Row, Settings

SCALES = Path(__file__).parent / "scales"


@dataclass(frozen=True)
class Data:
    """Data sets by task; a task that is not here uses the data that the scale or the task itself names."""

    train: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    test: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def parse(cls, train: Sequence[str], test: Sequence[str]) -> Data:
        """From options such as `pose=lsp:PATH`, repeatable. Raises UserError for another form or task."""
        return cls(_by_task("--data", train), _by_task("--test", test))


def _by_task(option: str, texts: Sequence[str]) -> dict[str, tuple[str, ...]]:
    sets: dict[str, tuple[str, ...]] = {}
    for text in texts:
        task, equals, spec = text.partition("=")
        if task not in TASKS or not equals or not spec:
            raise UserError(f"{option} {text}: write TASK=NAME:PATH with TASK one of {', '.join(TASKS)}")
        sets[task] = (*sets.get(task, ()), spec)
    return sets


@dataclass(frozen=True)
class Scale:
    """Settings for all rows (`base`) and for those of one task; `needs`: data that has no built-in default."""

    name: str
    about: str
    base: Settings
    tasks: Mapping[str, Settings]
    needs: Mapping[str, Mapping[str, Sequence[str]]]

    @classmethod
    def load(cls, name: str) -> Scale:
        """A scale of ours by its name, or any TOML file of that form. Raises UserError if there is none."""
        path = SCALES / f"{name}.toml"
        if not os.path.isfile(path):  # unlike path.is_file() without an exception, whatever the name
            path = Path(name)
            if path.suffix != ".toml":
                known = ", ".join(sorted(scale.stem for scale in SCALES.glob("*.toml")))
                raise UserError(f"there is no scale {name}: choose from {known}, or name a TOML file")
        content = read_toml(path)
        about, needs, base = content.pop("about", ""), content.pop("needs", {}), content.pop("base", {})
        if unknown := content.keys() - set(TASKS):
            raise UserError(f"{path}: [{min(unknown)}] is none of base, needs, {', '.join(TASKS)}")
        tables = [base, *content.values(), needs]
        if not all(isinstance(t, dict) and all(isinstance(part, dict) for part in t.values()) for t in tables):
            raise UserError(f"{path}: base, needs and each task hold tables, such as [base.optim]")
        if not all(isinstance(specs, list) for need in needs.values() for specs in need.values()):
            raise UserError(f'{path}: needs are lists of data sets, such as train = ["mpii:PATH"]')
        scale = cls(path.stem, str(about), base, content, needs)
        for task in TASKS:
            try:
                from_dict(merged(base, scale.tasks.get(task, {})))
            except UserError as error:
                raise UserError(f"{path}, {task}: {error}") from None
        return scale

    def demand(self, rows: Sequence[Row], data: Data) -> None:
        """Raise UserError, naming every data set that these rows need and that were not given."""
        missing = [
            f"{option} {task}={spec}"
            for task in dict.fromkeys(row.task for row in rows)
            for option, key, given in (("--data", "train", data.train), ("--test", "test", data.test))
            for spec in self.needs.get(task, {}).get(key, ())
            if task not in given
        ]
        if missing:
            raise UserError(f"scale {self.name} has no data of its own; missing: {', '.join(missing)}")

    def settings(self, row: Row, data: Data, more: Settings) -> Settings:
        """The settings of `row`: base, task, row, data, `more`, each over the ones before. Raises UserError."""
        sets = {
            key: list(given[row.task])
            for key, given in (("train", data.train), ("test", data.test))
            if row.task in given
        }
        settings = merged(self.base, self.tasks.get(row.task, {}), row.settings, {"data": sets} if sets else {}, more)
        try:
            from_dict(settings)
        except UserError as error:
            raise UserError(f"row {row.name}: {error}") from None
        return settings


def merged(*parts: Settings) -> Settings:
    """Settings on top of settings; the later ones win."""
    result: Settings = {}
    for part in parts:
        for section, values in part.items():
            result[section] = {**result.get(section, {}), **values}
    return result


def to_toml(settings: Mapping[str, Mapping[str, Any]]) -> str:
    """Some settings as the text of a configuration file."""
    lines: list[str] = []
    for section, values in settings.items():
        lines += [f"[{section}]", *(f"{key} = {literal(value)}" for key, value in values.items()), ""]
    return "\n".join(lines)


def as_assignments(settings: Mapping[str, Mapping[str, Any]]) -> str:
    """Some settings in one line, as `--set` takes them."""
    return " ".join(
        f"{section}.{key}={literal(value)}" for section, values in settings.items() for key, value in values.items()
    )
