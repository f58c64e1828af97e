"""What a setting may hold, declared once by its annotation: type, allowed values, help text.

Reading, checking, writing and documenting all work from these annotations, so a new setting is one new line. A section
checks itself when it is made: a `Config` that exists is valid.

Why not a library: msgspec is as strict and as light, and pydantic stricter still, but their messages name a type and a
path ("Expected `float` > 0.0 - at `$.optim.lr`"), ours the setting, its value and what it may be; and the help of
`--settings`, the bare words of `--set` and the TOML that is written back would need this table all the same.
"""

from __future__ import annotations

import json
import math
import tomllib
from dataclasses import dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, Self, get_args, get_origin, get_type_hints

from training.errors import UserError


@dataclass(frozen=True)
class Limits:
    """Where a number may lie: `least <= x <= most`, `x > above`, `x` a multiple of `multiple`."""

    least: float = -math.inf
    most: float = math.inf
    above: float = -math.inf
    multiple: int = 0

    def admit(self, value: float) -> bool:
        """Whether `value` lies inside. Infinities and NaN never do."""
        inside = math.isfinite(value) and self.least <= value <= self.most and value > self.above
        return inside and (not self.multiple or value % self.multiple == 0)

    def __str__(self) -> str:
        bounds = ((">=", self.least), (">", self.above), ("<=", self.most))
        parts = [f"{sign} {bound}" for sign, bound in bounds if math.isfinite(bound)]
        parts += [f"a multiple of {self.multiple}"] if self.multiple else []
        return ", ".join(parts)


@dataclass(frozen=True)
class Setting:
    """What one key may hold: a `base`, or a list of them if `many`; also nothing if `optional`."""

    base: type[Any]
    many: bool
    optional: bool
    choices: tuple[str, ...]
    limits: Limits
    help: str

    @classmethod
    def read(cls, annotation: Any) -> Self:
        """The setting declared by `Annotated[type, Limits(...), "help"]`; the limits may be left out."""
        kind, *notes = get_args(annotation)
        optional = get_origin(kind) is UnionType
        if optional:
            (kind,) = set(get_args(kind)) - {NoneType}
        many = get_origin(kind) is tuple
        if many:
            kind = get_args(kind)[0]
        choices = get_args(kind) if get_origin(kind) is Literal else ()
        limits = next((note for note in notes if isinstance(note, Limits)), Limits())
        return cls(str if choices else kind, many, optional, choices, limits, notes[-1])

    def accept(self, value: Any) -> Any:
        """`value` as the setting holds it: a list becomes a tuple, a whole number a float if need be.

        Raises ValueError (or OverflowError) if the setting cannot hold it.
        """
        if self.optional and (value is None or value == "none"):
            return None
        if not self.many:
            return self._accept_one(value)
        if not isinstance(value, (list, tuple)):
            raise ValueError
        return tuple(self._accept_one(item) for item in value)

    def _accept_one(self, value: Any) -> Any:
        if self.base is float and type(value) is int:
            value = float(value)
        # The exact type: to isinstance a bool is an int, but `steps = true` is a slip.
        if type(value) is not self.base or (self.choices and value not in self.choices):
            raise ValueError
        if self.base in (int, float) and not self.limits.admit(value):
            raise ValueError
        if self.base is str:
            value.encode()  # UnicodeEncodeError: half a surrogate pair could not be written back
        return value

    def parse(self, text: str) -> Any:
        """The value meant by `--set key=text`: TOML, else a bare word. A list of one needs no brackets."""
        try:
            table = tomllib.loads(f"value = {text}")
            value = table["value"] if len(table) == 1 else text
        except ValueError:
            value = text
        if self.base is str and not isinstance(value, (str, list)):
            value = text  # 7 or 2026-11-24, meant as a name
        return [value] if self.many and not isinstance(value, list) else value

    def __str__(self) -> str:
        names = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}
        text = f"one of {', '.join(map(literal, self.choices))}" if self.choices else names[self.base]
        text = f"{text} {self.limits}".rstrip()
        return (f"a list, each item {text}" if self.many else text) + (', or "none"' if self.optional else "")


class Section:
    """Base of the sections: converts and checks every value. Raises UserError naming the key."""

    def __post_init__(self) -> None:
        section = type(self).__name__.lower()
        for key, setting in settings_of(type(self)).items():  # type: ignore[arg-type]  # mypy: a class can be hashed
            value = getattr(self, key)
            try:
                object.__setattr__(self, key, setting.accept(value))
            except (ValueError, OverflowError):
                text = f"{section}.{key} = {literal(value)} is not allowed: it must be {setting}"
                raise UserError(text) from None


@cache
def settings_of(section: type[Any]) -> dict[str, Setting]:
    """The settings of a section by key."""
    return {key: Setting.read(hint) for key, hint in get_type_hints(section, include_extras=True).items()}


def literal(value: Any) -> str:
    """A value as TOML. None, which TOML lacks, is "none"; kinds no setting has occur in messages only."""
    if value is None:
        return '"none"'
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        # A JSON string is a TOML string, except that TOML wants DEL escaped.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(literal, value))}]"
    return repr(value)
