"""What an argument may be: a whole number, a number, a switch, a name. NumPy's come back as Python's own.

Whatever an architecture consists of ends in a model file, whose JSON does not know NumPy.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np


def is_whole(value: Any) -> bool:
    """Whether it is a whole number by type; True and False are none, 3.0 is none."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def whole(name: str, value: Any, least: int = 1) -> int:
    """A whole number, such as a size; ValueError names the argument if it is none, or below `least`."""
    if not is_whole(value):
        raise ValueError(f"{name} must be a whole number of at least {least}, got {value!r}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {value}")
    return int(value)


def is_real(value: Any) -> bool:
    """Whether it is a real number by type; True and False are none."""
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)


def number(name: str, value: Any, least: float = 0.0, most: float = np.inf) -> float:
    """A finite real number within bounds; ValueError names the argument if it is none."""
    if not (is_real(value) and least <= value <= most and value < np.inf):
        bounds = f"of at least {least:g}" if most == np.inf else f"from {least:g} to {most:g}"
        raise ValueError(f"{name} must be a number {bounds}, got {value!r}")
    return float(value)


def switch(name: str, value: Any) -> bool:
    """True or False; ValueError names the argument if it is neither, such as 0, or "false" from a file."""
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"{name} must be True or False, got {value!r}")
    return bool(value)


def choice(name: str, value: Any, known: Iterable[str]) -> str:
    """One of the known names; ValueError names the argument and all of them if it is none."""
    if not isinstance(value, str) or value not in known:
        raise ValueError(f"unknown {name} {value!r}: choose from {', '.join(known)}")
    return str(value)
