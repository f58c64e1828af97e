"""What every command line of `training` does alike: options in any spelling, mistakes in one line, exit codes.

Exit codes: 0 done, 2 usage, 3 bad data, 4 diverged, 5 disk, 130 interrupted (state saved), 141 broken pipe.
"""

from __future__ import annotations

import argparse
import contextlib
import difflib
import errno
import io
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

from training.errors import DiskError, Interrupted, UserError

BROKEN_PIPE = 141  # as of a program that died of SIGPIPE: the reader of our output has gone


class Parser(argparse.ArgumentParser):
    """Errors in one line, without the usage text above it."""

    def error(self, message: str) -> Any:
        self.exit(2, f"{self.prog}: {message} (see --help)\n")


def parse(parser: Parser, words: Sequence[str]) -> argparse.Namespace:
    """The options. Leaves with exit code 2, and the nearest option there is, if they are wrong."""
    prepare_streams()
    try:
        options, unknown = parser.parse_known_args([hyphens(word) for word in words])
    except SystemExit as leaving:  # after --help, which may have been for nobody
        lost = lost_streams()
        raise SystemExit(leaving.code or (exit_code(lost) if lost else 0)) from None
    if unknown:
        flag = unknown[0].partition("=")[0]
        known = [hyphens(f"--{name}") for name in vars(options)]
        nearest = difflib.get_close_matches(flag, known, n=1)
        parser.error(f"unknown argument {unknown[0]}{f', did you mean {nearest[0]}?' if nearest else ''}")
    return options


def hyphens(word: str) -> str:
    """A flag as we spell it: --batch_size is --batch-size."""
    flag, equals, value = word.partition("=")
    return flag.replace("_", "-") + equals + value if word.startswith("--") else word


def carry_out(verb: str, action: Callable[[], None]) -> int:
    """The exit code of an action, with one line on stderr that begins with `verb` if it is not 0."""
    prepare_streams()
    code, message = 0, ""
    try:
        action()
    except (UserError, Interrupted) as error:
        code, message = error.exit_code, str(error)
    except KeyboardInterrupt:
        code, message = Interrupted.exit_code, "interrupted"
    except MemoryError as error:
        code, message = UserError.exit_code, f"not enough memory ({error})"
    except OSError as error:
        if not is_lost(error):
            raise
        code, message = exit_code(error), f"cannot write the output: {error.strerror}"
    lost = lost_streams()
    if lost and not code:
        code, message = exit_code(lost), f"cannot write the output: {lost.strerror}"
    if message and code != BROKEN_PIPE:
        with contextlib.suppress(OSError):
            print(f"{verb}: {message}", file=sys.stderr)
    lost_streams()
    return code


def prepare_streams() -> None:
    """Make stdout and stderr such as can be printed to: what goes to one that is closed is thrown away."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None or _closed(stream):
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115  (for the life of the process)
        elif isinstance(stream, io.TextIOWrapper):  # a file name that cannot be printed is no reason to stop
            stream.reconfigure(errors="backslashreplace")


def _closed(stream: Any) -> bool:
    """Whether it was closed by whoever started us; another file may have taken its number, open for reading."""
    try:
        os.write(stream.fileno(), b"")
    except io.UnsupportedOperation:  # a stream in memory
        return False
    except OSError as error:
        return error.errno == errno.EBADF
    return False


def is_lost(error: OSError) -> bool:
    """Whether what was printed could not be: errors of files name them, or are a DiskError."""
    return error.filename is None and error.errno in (errno.EPIPE, errno.ENOSPC, errno.EIO, errno.EBADF, errno.EFBIG)


def exit_code(error: OSError) -> int:
    """That of a program whose output is lost."""
    return BROKEN_PIPE if error.errno == errno.EPIPE else DiskError.exit_code


def lost_streams() -> OSError | None:
    """Why something that was printed cannot go out. It is given up: Python's own last try would be a traceback."""
    lost = None
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError as error:
            lost = error
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    return lost
