"""A whole network, one picture to heatmaps: ours with bits against the real-valued twin in everybody else's hands.

The twin has the same convolutions, normalisations and sums, with ReLU for the sign. Ours is what a user deploys; ours
on two threads is divided by ours on one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

import hbcore
from benchmarks.peers import Case, Peer, ours
from benchmarks.report import Fact, Table, timed_table
from benchmarks.settings import Settings
from benchmarks.timing import Absent, Candidate
from benchmarks.topology import record
from hbcore.autograd.function import Array

# Side of the picture and architecture: the authors' topology, and one for a laptop.
CASES: tuple[tuple[int, dict[str, Any]], ...] = ((256, {"features": 256}), (128, {"features": 64}))
TINY: tuple[tuple[int, dict[str, Any]], ...] = ((16, {"features": 16, "depth": 1, "joints": 3}),)


def cases(settings: Settings) -> tuple[tuple[int, dict[str, Any]], ...]:
    """Side of the picture and architecture of each network to be measured."""
    return TINY if settings.tiny else CASES


def tables(settings: Settings, peers: list[Peer]) -> Iterator[Table]:
    """One table per network."""
    for size, architecture in cases(settings):
        yield table(settings, peers, size, architecture)


def table(settings: Settings, peers: list[Peer], size: int, architecture: dict[str, Any]) -> Table:
    """All candidates on one network."""
    picture: Array = np.random.default_rng(0).random((1, size, size, 3), dtype=np.float32)
    run, remark = ours.network(hbcore.StackedHourglass(**architecture), picture)
    name = f"hbcore binary{remark}"
    alone, pair = name + ", 1 thread", name + ", 2 threads"
    twin = hbcore.StackedHourglass(**architecture, binary=False)
    twin.eval()
    built: list[Candidate | Absent] = [
        Candidate(alone, run, 1, prepare=ours.threads(1)),
        Candidate(pair, run, 2, against=alone, prepare=ours.threads(2)),
        Candidate("hbcore fp32 twin", lambda: ours.evaluate(twin, picture), 1, "ours", alone, ours.threads(1)),
    ]
    program = record(twin)
    for threads, against in ((1, alone), (2, pair)) if settings.full else ((1, alone),):
        suffix = "" if threads == 1 else f", {threads} threads"
        case = Case(program, picture, threads, suffix, against, compile=settings.compile)
        for peer in peers:
            built += peer.inference(case)
    title = f"whole network, {architecture['features']} features, {size} x {size}, batch 1, HPM blocks"
    found, timings = timed_table("network", title, built, settings.repeats, settings.seconds)
    found.facts["hbcore, 1 thread / 2 threads"] = Fact(timings[alone].over(timings[pair]))
    return found
