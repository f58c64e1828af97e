"""Configurations as TOML, read and written."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from training.configuration.schema import literal
from training.configuration.settings import Config, schema, sections
from training.configuration.values import from_dict, to_dict
from training.errors import UserError


def load(path: str | Path, defaults: Config | None = None) -> Config:
    """The configuration in a TOML file; what the file leaves out is as in `defaults`, by default `Config()`.

    Raises UserError, naming the file, if it cannot be read, is not TOML, has an unknown key or a bad value.
    """
    return from_toml(_read_text(path), str(path), defaults)


def from_toml(text: str, source: str = "configuration", defaults: Config | None = None) -> Config:
    """Like `load`, from the text itself; `source` is its name in messages."""
    tables = _parse(text, source)
    try:
        return from_dict(tables, defaults)
    except UserError as error:
        raise UserError(f"{source}: {error}") from None


def read_toml(path: str | Path) -> dict[str, Any]:
    """The tables of a TOML file. Raises UserError, naming the file, if it cannot be read or is not TOML."""
    return _parse(_read_text(path), str(path))


def _read_text(path: str | Path) -> str:
    try:
        # utf-8-sig: Windows editors begin a file with a byte order mark, which TOML does not know.
        return Path(path).read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise UserError(f"cannot read the configuration {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UserError(f"{path} is not TOML: not UTF-8 text") from None


def _parse(text: str, source: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # ValueError: TOMLDecodeError, or a number of 5000 digits
        raise UserError(f"{source} is not TOML: {error}") from None


def to_toml(config: Config) -> str:
    """Every setting as TOML. Exact: `from_toml(to_toml(config)) == config`."""
    return _to_toml(config, explain=False)


def describe(defaults: Config | None = None) -> str:
    """Every setting with help, allowed values and default, in the form of a TOML file."""
    return _to_toml(defaults or Config(), explain=True)


def _to_toml(config: Config, explain: bool) -> str:
    lines: list[str] = []
    for name, table in to_dict(config).items():
        lines += [f"# {sections()[name].__doc__}"] if explain else []
        lines += [f"[{name}]"]
        for key, setting in schema()[name].items():
            lines += [f"# {setting.help} ({setting})"] if explain else []
            lines += [f"{key} = {literal(table[key])}"]
        lines += [""]
    return "\n".join(lines)
