"""Configurations as plain values: changed by `--set`, compared, and turned into dictionaries."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from typing import Any

from training.configuration.schema import literal
from training.configuration.settings import Config, schema
from training.errors import UserError


def override(config: Config, assignments: Iterable[str]) -> Config:
    """`config` changed by `section.key=value` strings (`--set`); checked when all of them are in place.

    The value is TOML (`1e-3`, `true`, `["a", "b"]`) or a bare word; hyphens in keys mean underscores.
    Raises UserError for a malformed assignment, an unknown key or a bad value.
    """
    values = to_dict(config)
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals:
            raise UserError(f"cannot read {assignment!r}: write section.key=value, such as optim.lr=1e-3")
        name = name.strip().replace("-", "_")
        section, _, key = name.partition(".")
        if key not in values.get(section, {}):
            raise unknown_setting(name)
        values[section][key] = schema()[section][key].parse(text.strip())
    return from_dict(values)


def from_dict(values: Mapping[str, Any], defaults: Config | None = None) -> Config:
    """The inverse of `to_dict`, also after a trip through JSON; what is left out is as in `defaults`, or `Config()`.

    Raises UserError for an unknown section or key and for a bad value.
    """
    base = defaults or Config()
    made: dict[str, Any] = {}
    for name, table in values.items():
        if name not in schema() or not isinstance(table, Mapping):
            raise unknown_setting(name)
        for key in table:
            if key not in schema()[name]:
                raise unknown_setting(f"{name}.{key}")
        made[name] = replace(getattr(base, name), **table)
    return replace(base, **made)


def to_dict(config: Config) -> dict[str, dict[str, Any]]:
    """`{section: {key: value}}`, ready for JSON."""
    return asdict(config)


def differences(a: Config, b: Config) -> list[str]:
    """What changed from `a` to `b`: lines such as `optim.lr: 0.001 -> 0.002`, in the settings' order."""
    after = to_dict(b)
    return [
        f"{section}.{key}: {literal(value)} -> {literal(after[section][key])}"
        for section, table in to_dict(a).items()
        for key, value in table.items()
        if value != after[section][key]
    ]


def unknown_setting(name: str) -> UserError:
    """The error for a name that is no setting. Suggests the nearest key of any section, its own first."""
    sections = schema()
    if name in sections:
        return UserError(f"{name} is a section, not a setting: its keys are {', '.join(sections[name])}")
    section, _, key = name.rpartition(".")
    known = {other: f"{home}.{other}" for home, settings in sections.items() for other in settings}
    known |= {other: f"{section}.{other}" for other in sections.get(section, ())}
    known |= {} if section else {home: home for home in sections}
    if near := difflib.get_close_matches(key, known, n=1):
        hint = f"did you mean {known[near[0]]}?"
    elif section in sections:
        hint = f"the keys of {section} are {', '.join(sections[section])}"
    else:
        hint = f"the sections are {', '.join(sections)}"
    return UserError(f"unknown setting {name}: {hint}")
