"""From a picture of bytes to its keypoints, as `predict` computes them: engine, sigmoid, and reading out the maps.

Reading and cropping of the photo come before, and are not in it. The engine alone stands beside it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

import hbcore
from benchmarks import network
from benchmarks.peers import Peer, ours
from benchmarks.report import Fact, Table, timed_table
from benchmarks.settings import Settings
from benchmarks.timing import Candidate, Spread
from hbcore.landmarks.heatmaps import HeatmapCodec
from training.labels.skeletons import MPII
from training.prediction.model import Model


def tables(settings: Settings, peers: list[Peer]) -> Iterator[Table]:
    """One table per network."""
    for size, architecture in network.cases(settings):
        yield table(settings, size, architecture | {"joints": len(MPII.names)})


def table(settings: Settings, size: int, architecture: dict[str, Any]) -> Table:
    """One picture at a time, on one thread and on two."""
    made = hbcore.StackedHourglass(**architecture)
    model = Model(made, MPII, HeatmapCodec(size))
    picture = np.random.default_rng(0).integers(0, 256, (1, size, size, 3), dtype=np.uint8)
    heatmaps, remark = ours.network(made, picture.astype(np.float32) / 255)
    alone = f"hbcore, bytes to keypoints{remark}, 1 thread"
    built = [
        Candidate(alone, lambda: model.predict(picture), prepare=ours.threads(1)),
        Candidate(
            f"hbcore, bytes to keypoints{remark}, 2 threads",
            lambda: model.predict(picture),
            2,
            against=alone,
            prepare=ours.threads(2),
        ),
        Candidate(f"hbcore, the engine alone{remark}, 1 thread", heatmaps, against=alone, prepare=ours.threads(1)),
    ]
    title = f"a picture of bytes to {len(MPII.names)} keypoints, {architecture['features']} features, {size} x {size}"
    found, timings = timed_table("points", title, built, settings.repeats, settings.seconds)
    rate = Spread.of([1 / seconds for seconds in timings[alone].rounds])
    found.facts["pictures a second, 1 thread"] = Fact(rate)
    return found
