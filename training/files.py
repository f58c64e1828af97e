"""Files of a run: written whole or not at all, and never by two runs at once.

A checkpoint half written is a run lost. So a file is written under another name in the same folder, forced
to the disk, then renamed over the old one: a reader finds the old content or the new, whatever happens.
"""

import contextlib
import hashlib
import importlib.metadata
import json
import os
import platform
import secrets
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.errors import DataError, DiskError, UserError

if sys.platform != "win32":
    import fcntl

TEMPORARY = ".unfinished-"  # begins the name of every file not yet renamed
LOCK = "run.lock"
RUN_FILES = ("config.toml", "log.csv", "state.safetensors", "last.safetensors", "best.safetensors")


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
        raise _disk_error(path, len(data), error) from error
    _sync_folder(target.parent)


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


def _disk_error(path: str | Path, needed: int, error: OSError) -> DiskError:
    size = f" ({needed:,} bytes)" if needed else ""
    reason = error.strerror or str(error)
    return DiskError(f"cannot write {path}{size}: {reason}; make room or choose another --out")


def make_run_folder(path: str | Path, resume: bool) -> Path:
    """The folder of a run, created if need be.

    Raises UserError if it holds a run, finished or not, and `resume` is false: a run is never overwritten.
    With `resume` a folder without a run will do, so that one command line both starts a run and takes it up
    again. Raises DiskError if the folder cannot be made.
    """
    folder = Path(path)
    found = [name for name in RUN_FILES if os.path.exists(folder / name)]
    if found and not resume:
        remedy = "choose another --out, or --resume to go on with that run"
        raise UserError(f"{path} holds a run already ({', '.join(found)}): {remedy}")
    return make_folder(folder)


def make_folder(path: str | Path) -> Path:
    """The folder for results, created if need be. Raises UserError if it is a file, DiskError if it cannot be made."""
    if os.path.isfile(path):
        raise UserError(f"{path} is a file, not a folder: choose another --out")
    try:
        os.makedirs(path, exist_ok=True)
    except OSError as error:
        raise _disk_error(path, 0, error) from error
    return Path(path)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other runs out of `folder` during a `with`; on entry, clear what a killed run left unfinished.

    The lock (flock on `run.lock`) ends with the process, however that ends; Windows has none. Raises
    UserError if another process holds it, DiskError if the lock file cannot be made.
    """
    try:
        file = open(folder / LOCK, "ab")  # noqa: SIM115  (only the opening may become a DiskError)
    except OSError as error:
        raise _disk_error(folder / LOCK, 0, error) from error
    with file:
        if sys.platform != "win32":
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UserError(f"another run is at work in {folder}: choose another --out") from None
            except OSError:
                pass  # a network file system without locks
        for leftover in folder.glob(f"{TEMPORARY}*"):
            with contextlib.suppress(OSError):
                leftover.unlink()
        yield


class CsvLog:
    """A table of numbers on disk. The first column is `step`; a missing value is an empty cell."""

    def __init__(self, path: str | Path, columns: Sequence[str]) -> None:
        """Take up the log at `path`, or begin it with a header.

        Raises UserError if it has other columns, DataError if it is no log, DiskError if it cannot be made.
        """
        if columns[0] != "step":
            raise ValueError("the first column of a log is step")
        self.path = Path(path)
        self.columns = tuple(columns)
        if not self.path.exists():
            atomic_write(self.path, f"{','.join(columns)}\n".encode())
        there, _ = _read(self.path)
        if there != self.columns:
            raise UserError(f"{path} has the columns {there}, not {self.columns}: choose another --out")

    def append(self, row: Mapping[str, float | None]) -> None:
        """Write one row through to the system, so that a killed process loses none.

        Raises DiskError if it cannot be written, ValueError for an unknown column.
        """
        if unknown := row.keys() - set(self.columns):
            raise ValueError(f"the log has no columns {sorted(unknown)}")
        cells = ["" if row.get(name) is None else str(row[name]) for name in self.columns]
        line = f"{','.join(cells)}\n".encode()
        try:
            with open(self.path, "ab") as file:
                file.write(line)
        except OSError as error:
            raise _disk_error(self.path, len(line), error) from error

    def truncate_after(self, step: int) -> None:
        """Drop the rows of later steps, and a last line that a crash cut short; the others stay as they are.

        Raises DiskError, with the log untouched, if it cannot be rewritten.
        """
        _, rows = _read(self.path)
        kept = [line for line, cells in rows if cells[0] <= step]
        atomic_write(self.path, "\n".join([",".join(self.columns), *kept, ""]).encode())


def read_log(path: str | Path) -> dict[str, NDArray[np.float64]]:
    """The columns of a `CsvLog`, each (rows,), NaN where a cell is empty. A last line cut short is left out.

    Raises DataError, naming file and line, if it is not such a table.
    """
    names, rows = _read(path)
    table = np.array([cells for _, cells in rows], dtype=np.float64).reshape(-1, len(names))
    return {name: table[:, index] for index, name in enumerate(names)}


def _read(path: str | Path) -> tuple[tuple[str, ...], list[tuple[str, list[float]]]]:
    """Columns and rows of a log, each row as it stands and as numbers."""
    try:
        # What follows the last newline is nothing, or a torn row.
        lines = Path(path).read_text(encoding="utf-8").split("\n")[:-1]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read the log {path}: {error}") from None
    names = tuple(lines[0].split(",")) if lines else ()
    if names[:1] != ("step",):
        raise DataError(f"{path} is not a log of a run: its first line does not begin with step")
    rows = []
    for number, line in enumerate(lines[1:], start=2):
        try:
            cells = [float(cell or "nan") for cell in line.split(",")]
        except ValueError:
            cells = []
        if len(cells) != len(names):
            raise DataError(f"{path}, line {number}: expected {len(names)} numbers")
        rows.append((line, cells))
    return names, rows


def sha256(path: str | Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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
