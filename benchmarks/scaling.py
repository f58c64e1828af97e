"""How our inference time grows: picture twice as high and wide (4 times the work), twice the features (at most 4
times), twice the batch (at most 2 times). Ratios against the smallest, on one thread.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

import hbcore
from benchmarks.peers import Peer, ours
from benchmarks.report import Table, timed_table
from benchmarks.settings import Settings
from benchmarks.timing import Candidate
from hbcore.autograd.function import Array

BASES = ((64, 128, 1), (128, 128, 1))  # features, side, batch
TINY = ((16, 64, 1),)


def tables(settings: Settings, peers: list[Peer]) -> Iterator[Table]:
    """One table per size to start from."""
    for features, size, batch in TINY if settings.tiny else BASES:
        yield table(settings, features, size, batch)


def table(settings: Settings, features: int, size: int, batch: int) -> Table:
    """The base and its three doublings."""
    base = f"hbcore binary, {features} features, {size} x {size}, batch {batch}"
    doublings = {
        base: (features, size, batch),
        "side x 2": (features, 2 * size, batch),
        "features x 2": (2 * features, size, batch),
        "batch x 2": (features, size, 2 * batch),
    }
    built: list[Candidate] = []
    for name, (f, s, n) in doublings.items():
        picture: Array = np.random.default_rng(0).random((n, s, s, 3), dtype=np.float32)
        run, remark = ours.network(hbcore.StackedHourglass(features=f), picture)
        built.append(
            Candidate(name + remark, run, against="" if name == base else built[0].name, prepare=ours.threads(1))
        )
    title = f"inference time from {features} features, {size} x {size}, batch {batch}"
    return timed_table("scaling", title, built, settings.repeats, settings.seconds)[0]
