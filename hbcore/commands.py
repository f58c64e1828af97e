"""What the command lines of the library do alike: mistakes in one line, and output that may find nobody to read it."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, TextIO

from hbcore.deploy.model_file import ModelFileError, NotWritten

USAGE, DATA, DISK, INTERRUPTED, BROKEN_PIPE = 2, 3, 5, 130, 141
"""Exit codes, other than 0: wrong options, unusable files, nothing could be written, Ctrl-C, the reader has gone."""


class Parser(argparse.ArgumentParser):
    """Errors in one line, without the usage text above it."""

    def error(self, message: str) -> Any:
        self.exit(USAGE, f"{self.prog}: {message} (see --help)\n")


def say(program: str, lines: Iterable[str]) -> int:
    """Print lines. The exit code: 0, DISK with one line on stderr where they could not be written, or BROKEN_PIPE."""
    try:
        if isinstance(sys.stdout, io.TextIOWrapper):  # a file name that cannot be printed is no reason to stop
            sys.stdout.reconfigure(errors="backslashreplace")
        for line in lines:
            print(line)
        print(end="", flush=True)
    except OSError as error:
        _give_up(sys.stdout)
        if isinstance(error, BrokenPipeError):
            return BROKEN_PIPE
        tell(program, f"cannot write the output: {error.strerror}")
        return DISK
    return 0


def answer(program: str, work: Callable[[], Iterable[str]]) -> int:
    """Do the work and print the lines it gives.

    The exit code: also DATA for an unusable model, DISK for a file that could not be written, and INTERRUPTED.
    """
    try:
        return say(program, work())
    except ModelFileError as error:
        tell(program, str(error))
        return DISK if isinstance(error, NotWritten) else DATA
    except KeyboardInterrupt:
        tell(program, "interrupted")
        return INTERRUPTED


def tell(program: str, message: str) -> None:
    """One line on stderr, if somebody listens there."""
    if sys.stderr is None:  # `print` would take stdout
        return
    try:
        print(f"{program}: {message}", file=sys.stderr, flush=True)
    except OSError:
        _give_up(sys.stderr)


def _give_up(stream: TextIO) -> None:
    """Send what a stream still holds into nothing: Python's own last try, when it ends, would be a traceback."""
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
