"""Files written whole or not at all.

A checkpoint half written is a run lost. So a file is written under another name in the same folder, forced
to the disk, then renamed over the old one: a reader finds the old content or the new, whatever happens.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

from training.errors import DiskError, UserError

TEMPORARY = ".unfinished-"  # begins the name of every file not yet renamed


def atomic_write(path: str | Path, data: bytes) -> None:
    """Replace the content of `path`, or create it. A symbolic link is followed.

    Raises DiskError, naming the path and the bytes needed, if that fails; the old content is then untouched
    and nothing else left behind. The order is write, fsync, rename, fsync of the folder: the rename must not
    reach the disk before the bytes do.
    """
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file():
        raise DiskError(f"cannot write {path}: it is there already and is not a file")
    temporary = target.with_name(f"{TEMPORARY}{secrets.token_hex(4)}")
    try:
        try:
            with open(temporary, "xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, target)
        except BaseException:  # KeyboardInterrupt as well
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
    except OSError as error:
        raise disk_error(path, len(data), error) from error
    _sync_folder(target.parent)


def numbered(name: str) -> Iterator[str]:
    """`name`, `name`-2, `name`-3, ...: where something of that name is taken, the next will do."""
    yield name
    for number in count(2):
        yield f"{name}-{number}"


def append(path: Path, data: bytes) -> None:
    """Add to the end of a file, all of it or nothing. Raises DiskError."""
    try:
        with open(path, "ab", buffering=0) as file:
            end, rest = file.tell(), memoryview(data)
            try:
                while rest:
                    rest = rest[file.write(rest) :]
            except BaseException:  # KeyboardInterrupt as well
                file.truncate(end)
                raise
    except OSError as error:
        raise disk_error(path, len(data), error) from error


def check_place(path: str | Path) -> None:
    """Raise now the DiskError that `atomic_write` would raise after hours of work, as where the folder is missing."""
    target = Path(os.path.realpath(path))
    if target.exists():
        atomic_write(path, target.read_bytes() if target.is_file() else b"")
    else:
        atomic_write(path, b"")
        target.unlink()


def write_json(path: str | Path, value: Any) -> None:
    """Write `value` as a JSON file, whole or not at all. Raises DiskError."""
    atomic_write(path, (json.dumps(value, indent=2) + "\n").encode())


def _sync_folder(folder: Path) -> None:
    """Make a rename outlast a power cut. Where that fails the old file may be back, but whole: no error."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def disk_error(path: str | Path, needed: int, error: OSError) -> DiskError:
    size = f" ({needed:,} bytes)" if needed else ""
    reason = error.strerror or str(error)
    return DiskError(f"cannot write {path}{size}: {reason}; make room or choose another --out")


def make_folder(path: str | Path) -> Path:
    """The folder for results, created if need be. Raises UserError if it is a file, DiskError if it cannot be made."""
    if os.path.isfile(path):
        raise UserError(f"{path} is a file, not a folder: choose another --out")
    try:
        os.makedirs(path, exist_ok=True)
    except OSError as error:
        raise disk_error(path, 0, error) from error
    return Path(path)
