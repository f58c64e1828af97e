"""Command lines run in this process, as a test sees them."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

Main = Callable[[Sequence[str]], int]


class Outcome:
    """What a command line did."""

    def __init__(self, main: Main, capsys: pytest.CaptureFixture[str], *arguments: object) -> None:
        capsys.readouterr()
        try:
            self.code: Any = main([str(argument) for argument in arguments])
        except SystemExit as stop:
            self.code = stop.code
        self.out, self.errors = capsys.readouterr()

    def fails(self, code: int, message: str) -> None:
        """One line of errors that holds `message`, nothing else printed."""
        assert (self.code, self.out) == (code, ""), self.errors
        assert message in self.errors
        assert self.errors.count("\n") == 1
        assert self.errors.endswith("\n")
