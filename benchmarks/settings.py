"""What somebody chose on the command line, as every table takes it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Settings:
    """repeats, seconds: of each table, see timing.interleave. full: large training steps, and peers on 2 threads too.
    tiny: the smallest sizes that run, to see whether everything works. compile: PyTorch compiled, besides eager.
    data: names of data sets to train on, besides drawn figures. against: another checkout of hbcore.
    """

    repeats: int = 15
    seconds: float = 60.0
    full: bool = False
    tiny: bool = False
    compile: bool = False
    data: tuple[str, ...] = ()
    against: Path | None = None
