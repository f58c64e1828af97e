"""Work on slices of a batch, side by side, with the same result for any number of threads.

NumPy's matrix products and the compiled kernels release the interpreter lock, so plain threads suffice: no OpenMP,
nothing to break under fork. How work is cut depends on its size alone, never on the thread count, and partial results
come back in order: a sum over them is the same sum on one thread and on eight.
"""

from __future__ import annotations

import contextlib
import math
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray

from hbcore.values import is_whole

T = TypeVar("T")

MAX_THREADS = 1024  # that may be asked for; the kernels in C use at most 64 of them

# Handing work to another thread costs some 20 microseconds, so a slice should be worth several times that ...
SLICE_BYTES = 1 << 18
# ... and more slices than this balance no better.
MAX_SLICES = 4


class _Threads:
    """The process's pool: `count - 1` helpers beside the calling thread, and who else must know the count.

    lock: held to hand work to the pool, and to exchange it, so that nobody hands work to a pool that is closed.
    blas: the limit that BLAS was put under, which knows how many threads it had before.
    """

    count = 1
    pool: ThreadPoolExecutor | None = None
    lock = threading.Lock()
    blas: Any = None
    listeners: ClassVar[list[Callable[[int], None]]] = []


def set_threads(count: int) -> None:
    """Use `count` threads, 1 to MAX_THREADS, in hbcore's loops, from the next piece of work on. ValueError otherwise.

    BLAS is held to one thread, in the whole process, so that the two never multiply: all NumPy code of this process
    feels it, until `release_blas`. This goes through threadpoolctl (in the `training` extra). Where that is missing set
    OPENBLAS_NUM_THREADS=1 (or what your BLAS reads) before Python starts.
    """
    if not is_whole(count) or not 1 <= count <= MAX_THREADS:
        raise ValueError(
            f"the number of threads must be a whole number, at least 1 and at most {MAX_THREADS}, got {count!r}"
        )
    with _Threads.lock:
        before, _Threads.count = _Threads.pool, int(count)
        _start_pool()
        for listener in _Threads.listeners:
            listener(_Threads.count)
        with contextlib.suppress(ImportError):
            import threadpoolctl

            limits = threadpoolctl.threadpool_limits(1, user_api="blas")
            _Threads.blas = _Threads.blas or limits
    if before is not None:
        before.shutdown(wait=False)  # it still does what it was handed


def release_blas() -> None:
    """Give BLAS the number of threads back that it had before `set_threads` was first called."""
    with _Threads.lock:
        if _Threads.blas is not None:
            _Threads.blas.restore_original_limits()
        _Threads.blas = None


def get_threads() -> int:
    """Threads that hbcore's loops use."""
    return _Threads.count


def usable_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def on_thread_count(listener: Callable[[int], None]) -> None:
    """Call listener(count) whenever the number of threads is set."""
    _Threads.listeners.append(listener)


def _start_pool() -> None:
    count = _Threads.count
    _Threads.pool = ThreadPoolExecutor(count - 1, thread_name_prefix="hbcore") if count > 1 else None


def _start_anew() -> None:
    """A forked child inherits the pool but none of its threads, and perhaps the lock from somebody who is not there."""
    _Threads.lock = threading.Lock()
    _start_pool()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_anew)


def for_slices(work: Callable[[slice], T], length: int, item_bytes: int) -> list[T]:
    """Call work(slice) on up to MAX_SLICES consecutive slices that cover range(length); results in order.

    item_bytes: memory that work touches per item; small work stays in one slice.
    """
    return for_parts(work, length, min(MAX_SLICES, length * item_bytes // SLICE_BYTES))


def for_parts(work: Callable[[slice], T], length: int, parts: int) -> list[T]:
    """Call work(slice) on `parts` consecutive slices of about equal length; results in order.

    `work` must not come back here: it may be running on one of the helpers already.
    """
    parts = max(1, min(parts, length))
    slices = [slice(length * i // parts, length * (i + 1) // parts) for i in range(parts)]
    if _Threads.pool is None or parts == 1:
        return [work(part) for part in slices]

    def share(first: int) -> list[T]:
        return [work(part) for part in slices[first::stride]]

    with _Threads.lock:
        pool, stride = _Threads.pool, min(_Threads.count, parts)
        helpers = [pool.submit(share, first) for first in range(1, stride)] if pool is not None else []
    shares = [share(0), *(helper.result() for helper in helpers)]
    return [shares[i % stride][i // stride] for i in range(parts)]


_local = threading.local()


def scratch(shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
    """Memory of this thread that is used again and again: valid until its next call. Fresh memory costs page faults."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    buffer: NDArray[np.uint8] | None = getattr(_local, "buffer", None)
    if buffer is None or buffer.size < size:
        buffer = _local.buffer = np.empty(size, dtype=np.uint8)
    memory: NDArray[Any] = buffer[:size].view(dtype)
    return memory.reshape(shape)
