"""Channels last or channels first? The work around one convolution, timed both ways: `python -m benchmarks.layout`.

Interleaved, medians, one BLAS thread if threadpoolctl is there. docs/layout.md has the decision it supports.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from hbcore import bits, set_threads

Array = NDArray[np.float32]
REPEATS = 9


def gather_last(x: Array) -> Array:
    """3x3 neighbourhoods of (N, H, W, C) as rows."""
    n, h, w, c = x.shape
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    rows = np.empty((n, h, w, 9, c), dtype=x.dtype)
    for tap in range(9):
        i, j = divmod(tap, 3)
        rows[:, :, :, tap] = padded[:, i : i + h, j : j + w]
    return rows.reshape(-1, 9 * c)


def gather_first(x: Array) -> Array:
    """3x3 neighbourhoods of (N, C, H, W) as columns."""
    n, c, h, w = x.shape
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    columns = np.empty((n, c, 9, h, w), dtype=x.dtype)
    for tap in range(9):
        i, j = divmod(tap, 3)
        columns[:, :, tap] = padded[:, :, i : i + h, j : j + w]
    return columns.reshape(n, 9 * c, h * w)


def pack_first(x: Array) -> object:
    """Packing wants a pixel's channels side by side: channels first has to be turned round."""
    return bits.pack_signs(np.ascontiguousarray(x.transpose(0, 2, 3, 1)))


def medians(tasks: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Median milliseconds of each task, the tasks taking turns."""
    times: dict[str, list[float]] = {name: [] for name in tasks}
    for repeat in range(REPEATS + 1):
        for name, task in tasks.items():
            start = time.perf_counter()
            task()
            if repeat:  # the first round warms up
                times[name].append(1e3 * (time.perf_counter() - start))
    return {name: float(np.median(values)) for name, values in times.items()}


def main() -> None:
    """Print one table row per shape and kind of work."""
    set_threads(1)
    rng = np.random.default_rng(0)
    print(f"{'shape':<26}{'work':<20}{'last ms':>10}{'first ms':>10}{'first / last':>14}")
    for n, size, channels, filters in ((8, 32, 64, 32), (8, 32, 32, 16), (2, 64, 256, 128), (8, 8, 256, 128)):
        last = rng.standard_normal((n, size, size, channels), dtype=np.float32)
        first = np.ascontiguousarray(last.transpose(0, 3, 1, 2))
        w = rng.standard_normal((9 * channels, filters), dtype=np.float32)
        w_first = np.ascontiguousarray(w.T)
        rows, columns = gather_last(last), gather_first(first)
        scale = rng.standard_normal(channels, dtype=np.float32)
        pixels = last.reshape(-1, channels)
        work: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
            "gather": (lambda x=last: gather_last(x), lambda x=first: gather_first(x)),
            "matrix product": (lambda r=rows, m=w: r @ m, lambda r=columns, m=w_first: m @ r),
            "channel means": (lambda x=pixels: np.ones(len(x), x.dtype) @ x, lambda x=first: x.mean(axis=(0, 2, 3))),
            "scale": (lambda x=last, s=scale: x * s, lambda x=first, s=scale: x * s[:, None, None]),
            "pack signs": (lambda x=last: bits.pack_signs(x), lambda x=first: pack_first(x)),
        }
        tasks = {f"{name}/{way}": pair[way] for name, pair in work.items() for way in (0, 1)}
        found = medians(tasks)
        shape = f"{n} x {size}x{size}, {channels} -> {filters}"
        for name in work:
            a, b = found[f"{name}/0"], found[f"{name}/1"]
            print(f"{shape:<26}{name:<20}{a:>10.2f}{b:>10.2f}{b / a:>14.2f}")


if __name__ == "__main__":
    main()
