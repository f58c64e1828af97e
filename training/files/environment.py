"""What a result depends on besides configuration and data."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np


def sha256(path: str | Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fingerprint(value: Any) -> str:
    """A digest of what a data set, or anything else, is made of: numbers, texts and arrays, not where files lie."""
    digest = hashlib.sha256()
    for part in _parts(value):
        digest.update(len(part).to_bytes(8, "little") + part)
    return digest.hexdigest()[:16]


def _parts(value: Any) -> Iterator[bytes]:
    """What is to be told apart, depth first."""
    match value:
        case np.ndarray():
            yield f"{value.dtype} {value.shape}".encode()
            yield np.ascontiguousarray(value).tobytes()
        case None | bool() | int() | float() | str() | np.generic():
            yield repr(value).encode(errors="backslashreplace")
        case bytes():
            yield value
        case Mapping():
            yield from _parts([list(item) for item in value.items()])
        case list() | tuple():
            yield f"{len(value)}".encode()
            for item in value:
                yield from _parts(item)
        case set() | frozenset():
            yield from _parts(sorted(value, key=repr))
        case Path():
            yield b"path"
        case _ if callable(value):
            yield b"function"
        case _:
            yield type(value).__name__.encode()
            yield from _parts(value.__getstate__())  # what a worker would be sent


def environment() -> dict[str, str | int | None]:
    """What a result depends on besides configuration and data, for `env.json`; None: unknown."""
    return {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "hbcore": _version("hbcore"),
        "git": _git_revision(),
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _git_revision() -> str | None:
    """The commit of this checkout, with `-dirty` if files differ from it; None outside git, or without it."""
    command = ["git", "describe", "--always", "--dirty", "--exclude=*", "--abbrev=40"]
    try:
        done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None
