"""What every command line of `training` does alike: options in any spelling, mistakes in one line, exit codes.

Exit codes: 0 done, 2 usage, 3 bad data, 4 diverged, 5 disk, 130 interrupted (state saved), 141 broken pipe.
"""

from __future__ import annotations

import argparse
import difflib
import io
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

from training.errors import Interrupted, UserError


class Parser(argparse.ArgumentParser):
    """Errors in one line, without the usage text above it."""

    def error(self, message: str) -> Any:
        self.exit(2, f"{self.prog}: {message} (see --help)\n")


def parse(parser: Parser, words: Sequence[str]) -> argparse.Namespace:
    """The options. Leaves with exit code 2, and the nearest option there is, if they are wrong."""
    options, unknown = parser.parse_known_args([hyphens(word) for word in words])
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
    for stream in (sys.stdout, sys.stderr):  # a file name that cannot be printed is no reason to stop
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        action()
        sys.stdout.flush()  # while a broken pipe can still be caught
    except (UserError, Interrupted) as error:
        print(f"{verb}: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print(f"{verb}: interrupted", file=sys.stderr)
        return 130
    except MemoryError as error:
        print(f"{verb}: not enough memory ({error})", file=sys.stderr)
        return UserError.exit_code
    except BrokenPipeError:  # the reader of our output has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141  # as of a program that died of SIGPIPE
    return 0
