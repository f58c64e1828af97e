"""Errors a user can cause and mend. Each message is one line that names the thing and the remedy.

The command line prints the message and leaves with `exit_code`; any other exception is a defect of ours and keeps its
traceback.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """A wrong option, configuration key or argument."""

    exit_code = 2


class DataError(UserError):
    """A data set, annotation file or model file that cannot be used."""

    exit_code = 3


class BadPicture(DataError):
    """One picture that cannot be read; a training run names it, counts it and goes on."""


class Misfit(BadPicture):
    """One picture that its labels do not fit, by its size or, where `kind` is "turned", its EXIF tag."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind

    def __reduce__(self) -> tuple[type[Misfit], tuple[str, str]]:  # for workers: the default forgets the kind
        return type(self), (self.kind, str(self))


class Diverged(UserError):
    """The loss or a gradient is not finite any more."""

    exit_code = 4


class DiskError(UserError):
    """Nothing could be written where the run folder lies."""

    exit_code = 5


class Interrupted(Exception):
    """The run was asked to stop; its state is saved."""

    exit_code = 130


def too_many(bad: int, total: int, most: float) -> bool:
    """Whether `bad` of `total` pictures or records are more than the share `most`, which is data.max_bad.

    A single one is never too many, however few there are, unless none is allowed.
    """
    return bad > (max(1, most * total) if most else 0)


def unknown(what: str, given: str, known: Iterable[str]) -> str:
    """A message about a name that is none of the known ones, with the nearest of them."""
    names = list(known)
    nearest = difflib.get_close_matches(given, names, n=1)
    if nearest:
        return f"unknown {what} {given!r}; did you mean {nearest[0]!r}?"
    return f"unknown {what} {given!r}; {'there is ' + ', '.join(names) if names else 'there is none'}"
