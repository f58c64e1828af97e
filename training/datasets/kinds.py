"""Kinds of data sets that describe themselves: how one is opened, what its PATH is, and what its options mean."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from training.datasets.splits import Fold
from training.labels.sample import Dataset

Options = dict[str, str]
Values = tuple[str, ...] | type[str] | type[float]
"""What an option takes: one of these words, where none are given a whole number; any text; or a share from 0 to 1."""


@dataclass(frozen=True)
class Option:
    """What an option of a data set does, in a few words, and what it takes; `shown` stands for a text in help."""

    about: str
    values: Values = ()
    shown: str = "NAME"

    @property
    def value(self) -> str:
        """What follows the equals sign, for a reader."""
        if isinstance(self.values, tuple):
            return "|".join(self.values) or "N"
        return "SHARE" if self.values is float else self.shown


VAL = Option("the share of the pictures for training held out to choose the best model by; without it, none", float)
FOLD = Option("test on part N of K of the pictures for training, and train on the others", str, "N/K")
"""Both of all kinds that hold a user's own pictures."""


def fold_of(options: Options) -> Fold | None:
    """What FOLD says among the options of a data set, if anything. Raises UserError for no fold."""
    return Fold.read(options["fold"]) if "fold" in options else None


@dataclass(frozen=True)
class Kind:
    """How to open one kind of data set, what it is, what its folder holds, if it has one, and its options.

    `file`: it is named by a file, which is what `folder` then says, or perhaps by a file; `path` stands for it in help.
    """

    open: Callable[[Path, str, Options], Dataset]
    about: str
    folder: str | None = None
    options: Mapping[str, Option] = field(default_factory=dict)
    file: bool = False
    path: str = "FOLDER"


def describe_kinds(kinds: Mapping[str, Kind]) -> str:
    """What every kind is, its PATH and its options, in lines for --help; options that several share come once."""
    lines = ["data sets, as NAME:PATH or, with options, 'NAME:PATH?OPTION=VALUE&OPTION=VALUE':"]
    for name, kind in kinds.items():
        place = name if kind.folder is None else f"{name}:{kind.path}"
        about = _about(kind)
        lines.append(_columns(2, place, about))
        lines += [_columns(6, f"?{key}={option.value}", option.about) for key, option in _own(kind, kinds)]
    for users, options in _shared(kinds).items():
        lines.append(f"options of {users}:")
        lines += [_columns(6, f"?{key}={option.value}", option.about) for key, option in options]
    return "\n".join(lines)


def kinds_table(kinds: Mapping[str, Kind]) -> str:
    """The same as tables of Markdown: one of kinds, one of options that several share."""
    rows = ["| data set | what it is, and holds | options |", "|---|---|---|"]
    for name, kind in kinds.items():
        place = name if kind.folder is None else f"{name}:{kind.path}"
        about = _about(kind)
        own = "; ".join(f"`?{key}={_cell(option.value)}` {option.about}" for key, option in _own(kind, kinds))
        rows.append(f"| `{place}` | {about} | {own} |")
    rows += ["", "| option | meaning | of |", "|---|---|---|"]
    for users, options in _shared(kinds).items():
        rows += [f"| `?{key}={_cell(option.value)}` | {option.about} | {users} |" for key, option in options]
    return "\n".join(rows)


def _about(kind: Kind) -> str:
    return kind.about if kind.folder in (None, kind.about) else f"{kind.about}: {kind.folder}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _columns(indent: int, left: str, right: str) -> str:
    return f"{' ' * indent}{left:<{30 - indent}} {right}"


def _users(option: Option, kinds: Mapping[str, Kind]) -> list[str]:
    return [name for name, kind in kinds.items() if any(option is other for other in kind.options.values())]


def _own(kind: Kind, kinds: Mapping[str, Kind]) -> Iterator[tuple[str, Option]]:
    """The options that no other kind has."""
    return ((key, option) for key, option in kind.options.items() if len(_users(option, kinds)) == 1)


def _shared(kinds: Mapping[str, Kind]) -> dict[str, list[tuple[str, Option]]]:
    """The options that several kinds have, by the names of these."""
    found: dict[str, list[tuple[str, Option]]] = {}
    for kind in kinds.values():
        for key, option in kind.options.items():
            users = _users(option, kinds)
            group = found.setdefault(", ".join(users), []) if len(users) > 1 else []
            if not any(option is other for _, other in group):
                group.append((key, option))
    return found
