"""Finding in whole pictures: `python -m training.finder [train|eval|predict] ...`, see `training/command_line`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

if not __package__:  # run as a file, from whatever folder: its own is not the one that holds `training`
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from training.command_line import main as command_line
from training.tasks.finder import FINDER


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code of one command line, which is run."""
    return command_line.main(FINDER, arguments)


if __name__ == "__main__":
    sys.exit(main())
