"""Memory that spawned processes share."""

from __future__ import annotations

import mmap
import os
import sys
import tempfile
import uuid
from contextlib import ExitStack
from multiprocessing.reduction import DupFd
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.errors import UserError

FOLDERS = "/dev/shm", None  # in memory where that may be, else among the temporary files


class SharedMemory:
    """So many bytes, to be handed to processes as they are spawned.

    It has no name that could outlive it: the last process with an array in it takes it along, however it ends. To be
    closed once it has been handed on and its array is made. Raises UserError where there is no room.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._key: Any = f"hbcore-{uuid.uuid4()}" if sys.platform == "win32" else _nameless_file(size)

    def __getstate__(self) -> tuple[int, Any]:
        return self.size, self._key if sys.platform == "win32" else DupFd(self._key.fileno())

    def __setstate__(self, state: tuple[int, Any]) -> None:
        self.size, key = state
        self._key = key if sys.platform == "win32" else os.fdopen(key.detach(), "r+b")

    def array(self, shape: tuple[int, ...]) -> NDArray[np.uint8]:
        """The bytes as uint8 of this shape."""
        if sys.platform == "win32":
            return np.frombuffer(mmap.mmap(-1, self.size, tagname=self._key), np.uint8).reshape(shape)
        return np.frombuffer(mmap.mmap(self._key.fileno(), self.size), np.uint8).reshape(shape)

    def close(self) -> None:
        """Arrays stay."""
        if sys.platform != "win32":
            self._key.close()


def _nameless_file(size: int) -> Any:
    for folder in FOLDERS:
        try:
            with ExitStack() as stack:
                file = stack.enter_context(tempfile.TemporaryFile(dir=folder))
                file.truncate(size)
                if hasattr(os, "posix_fallocate"):  # or room that is wanting is found out by a bus error
                    os.posix_fallocate(file.fileno(), 0, size)
                stack.pop_all()
                return file
        except OSError as error:
            reason = error
    raise UserError(f"no {size / 1e6:.0f} MB to share with data workers ({reason.strerror}): use --workers 0")
