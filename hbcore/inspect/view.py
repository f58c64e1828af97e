"""What a look into a network comes to: lines to read, the same as values, and pictures where bits are to be seen."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class View:
    """lines: for the terminal. data: for JSON. pictures: levels (H, W) or colours (H, W, 3), uint8, by name. document:
    the text of a file, where there is one to be written.
    """

    lines: list[str]
    data: Any
    pictures: dict[str, NDArray[np.uint8]] = field(default_factory=dict)
    document: str = ""


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """Lines of columns as wide as they need to be: the first to the left, the others to the right."""
    cells = [list(head), *([str(cell) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    return ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip() for row in cells]


def counted(number: int, what: str) -> str:
    """A number of things, in words: 1 picture, 2 pictures."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def as_json(value: Any) -> str:
    """Values as JSON, which has no infinity: numbers that are not finite stand there as "inf", "-inf" or "nan"."""
    return json.dumps(_finite(value), indent=1, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
