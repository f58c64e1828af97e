"""The folder of a run: never overwritten, and never written by two runs at once."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from training.errors import UserError
from training.files.writing import TEMPORARY, disk_error, make_folder, numbered

if sys.platform != "win32":
    import fcntl

LOCK = "run.lock"
RUN_FILES = ("config.toml", "log.csv", "state.safetensors", "last.safetensors", "best.safetensors")


def free_folder(path: str | Path) -> Path:
    """The first of `path`, `path`-2, `path`-3, ... that holds no run and in which none is beginning."""
    folders = map(Path, numbered(str(path)))
    return next(folder for folder in folders if not (_run_files(folder) or _at_work(folder)))


def newest_folder(path: str | Path) -> Path:
    """The one among `path`, `path`-2, `path`-3, ... whose run was at work last; `path` if none of them holds a run."""
    path = Path(path)
    name = re.compile(re.escape(path.name) + r"(-\d+)?")
    there = [
        folder for folder in path.parent.glob(f"{path.name}*") if name.fullmatch(folder.name) and _run_files(folder)
    ]
    return max(
        there, key=lambda folder: max((folder / file).stat().st_mtime for file in _run_files(folder)), default=path
    )


def _run_files(folder: Path) -> list[str]:
    return [name for name in RUN_FILES if os.path.exists(folder / name)]


def _at_work(folder: Path) -> bool:
    """Whether another process holds the lock of `folder`."""
    try:
        with open(folder / LOCK, "rb") as file:
            _lock(file)
    except BlockingIOError:
        return True
    except OSError:
        pass  # no lock, or a file system without them
    return False


def make_run_folder(path: str | Path, resume: bool) -> Path:
    """The folder of a run, created if need be.

    Raises UserError if it holds a run, finished or not, and `resume` is false: a run is never overwritten.
    With `resume` a folder without a run will do, so that one command line both starts a run and takes it up
    again. Raises DiskError if the folder cannot be made.
    """
    folder = Path(path)
    found = _run_files(folder)
    if found and not resume:
        remedy = "choose another --out, or --resume to go on with that run"
        raise UserError(f"{path} holds a run already ({', '.join(found)}): {remedy}")
    return make_folder(folder)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other runs out of `folder` during a `with`; on entry, clear what a killed run left unfinished.

    The lock (flock on `run.lock`) ends with the process, however that ends; Windows has none. Raises
    UserError if another process holds it, DiskError if the lock file cannot be made.
    """
    try:
        file = open(folder / LOCK, "ab")  # noqa: SIM115  (only the opening may become a DiskError)
    except OSError as error:
        raise disk_error(folder / LOCK, 0, error) from error
    with file:
        try:
            _lock(file)
        except BlockingIOError:
            raise UserError(f"another run is at work in {folder}: choose another --out") from None
        except OSError:
            pass  # a network file system without locks
        for leftover in folder.glob(f"{TEMPORARY}*"):
            with contextlib.suppress(OSError):
                leftover.unlink()
        yield


def _lock(file: IO[bytes]) -> None:
    if sys.platform != "win32":
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
