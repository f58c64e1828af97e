"""The loops that take the time: one table of operations, three backends, one of them chosen when the process starts.

    reference    plain NumPy, what every operation is (with convolutions, byte_gradients, pictures, plan, units)
    compiled     plain compiled loops, `hbcore/_kernels.pyx` and `hbcore/_pictures.pyx`
    wide         wide registers and threads in C, `hbcore/_wide.pyx` and `hbcore/csrc/`

`backend` is the one at work: "amx" (AVX-512 and tiles), "avx512", "avx2", "sse2" or "neon" where the CPU has them,
else "cython", or "numpy" where hbcore was installed without a compiler (one warning says so, unless NumPy is asked
for). The environment variable HBCORE_KERNELS forces one.
"""

from __future__ import annotations

import os
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from hbcore.kernels.reference import GRADIENTS, Reference
from hbcore.threads import on_thread_count

__all__ = [
    "FUSED",
    "GRADIENTS",
    "Reference",
    "available",
    "backend",
    "keep_memory",
    "kernel_report",
    "popcount_ceiling",
]

try:
    import hbcore._wide as _wide  # not "from hbcore": its error would name a circle of imports
    from hbcore.kernels.compiled import Compiled
    from hbcore.kernels.wide import Wide
except ImportError as error:
    if os.environ.get("HBCORE_REQUIRE_KERNELS"):
        raise
    _wide = None  # type: ignore[assignment]
    if os.environ.get("HBCORE_KERNELS") != "numpy":
        warnings.warn(
            f"hbcore runs without its compiled kernels ({error}): same results, several times slower. "
            "Install a C compiler and reinstall hbcore (pip install --force-reinstall --no-cache-dir); "
            "HBCORE_KERNELS=numpy says that NumPy is meant.",
            RuntimeWarning,
            stacklevel=2,
        )

if _wide is not None:
    on_thread_count(_wide.set_threads)

NAMES = "amx", "avx512", "avx2", "sse2", "neon", "cython", "numpy"  # of the backends, the fastest first
FUSED = {"amx": True, "avx512": True, "avx2": True, "sse2": False, "neon": True}
"""Of the backends whose sums have an order: whether a product and its sum are rounded once, together."""


class _Kept:
    """How many are within `keep_memory` now."""

    count = 0
    lock = threading.Lock()


def choose(wanted: str | None) -> Reference:
    """The backend of that name, or the fastest for None. ImportError if this build or this CPU has none such."""
    if wanted == "numpy" or (_wide is None and wanted is None):
        return Reference()
    if _wide is not None:
        found: str | None = None if wanted == "cython" else _wide.choose(wanted)
        if found is not None or wanted in (None, "cython"):
            return Wide(found) if found else Compiled()
    raise ImportError(f"HBCORE_KERNELS={wanted}: this build or this CPU has no such kernels; unset it for the best")


def available() -> list[str]:
    """The names that HBCORE_KERNELS may have with this build on this CPU, the fastest first. Changes nothing."""
    if _wide is None:
        return ["numpy"]
    return [name for name in NAMES if name in ("cython", "numpy") or _wide.has(name)]


backend: Reference = choose(os.environ.get("HBCORE_KERNELS") or None)


def kernel_report() -> dict[str, str]:
    """Which implementation of the kernels is in use, for logs and bug reports."""
    return {"kernels": backend.name}


@contextmanager
def keep_memory() -> Iterator[None]:
    """Within this context the process keeps the memory that it frees, up to 1 GiB, and uses it again.

    For training loops: every step makes the same large arrays; by default each is asked from the system anew, page by
    page. This sets mallopt's thresholds for the whole process, where the C library is glibc; the last one to leave sets
    them to the defaults of its manual, whatever they were before, and returns what is free to the system.
    """
    with _Kept.lock:
        _Kept.count += 1
        if _Kept.count == 1 and _wide is not None:
            _wide.keep_memory(True)
    try:
        yield
    finally:
        with _Kept.lock:
            _Kept.count -= 1
            if _Kept.count == 0 and _wide is not None:
                _wide.keep_memory(False)


def popcount_ceiling(repeats: int = 9) -> float:
    """Binary multiply-accumulates per second of one core that only counts bits, in registers: for benchmarks."""
    if backend.name in ("numpy", "cython"):
        raise RuntimeError(f"the ceiling is that of wide kernels, but hbcore runs with {backend.name}")
    rates = []
    for _ in range(repeats):
        start = time.perf_counter()
        done = _wide.count(200_000)
        rates.append(done / (time.perf_counter() - start))
    return sorted(rates)[repeats // 2]
