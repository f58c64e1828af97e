"""One 3x3 convolution of the HPM block on 64 x 64 pixels, one picture, one thread: where bits should pay most.

Ours takes signs that are packed already, as they are inside a network, or floats that it packs. Float peers get floats;
integer peers get bytes and give bytes, so that nothing but the convolution is on their bill. The ceiling is what the
popcount kernel would reach if it never had to load or store: measured in registers, in the same run.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from benchmarks.peers import Case, Peer, ours
from benchmarks.report import Fact, Table, timed_table
from benchmarks.settings import Settings
from benchmarks.timing import Absent, Candidate, Spread
from benchmarks.topology import single
from hbcore.nn.layers import BinaryConv2d, Conv2d

SHAPES = ((256, 128, 64), (128, 64, 64), (64, 64, 64))  # channels, filters, side
TINY = ((64, 32, 8),)
OURS = "hbcore binary, packed input"


def tables(settings: Settings, peers: list[Peer]) -> Iterator[Table]:
    """One table per shape."""
    for channels, filters, size in TINY if settings.tiny else SHAPES:
        yield table(settings, peers, channels, filters, size)


def table(settings: Settings, peers: list[Peer], channels: int, filters: int, size: int) -> Table:
    """All candidates on one shape."""
    rng = np.random.default_rng(0)
    binary = BinaryConv2d(channels, filters, 3, rng, padding=1)
    real = Conv2d(channels, filters, 3, rng, padding=1, bias=False)
    x = rng.standard_normal((1, size, size, channels), dtype=np.float32)
    packed, packing = ours.layer(binary, x)
    built: list[Candidate | Absent] = [
        Candidate(OURS, packed, prepare=ours.threads(1)),
        Candidate(f"{OURS}, 2 threads", packed, 2, against=OURS, prepare=ours.threads(2)),
        Candidate("hbcore binary, packing included", packing, against=OURS, prepare=ours.threads(1)),
    ]
    case = Case(single(real), x, against=OURS, binary=binary, bytes_outside=True, compile=settings.compile)
    for peer in peers:
        built += peer.inference(case)
    ceilings = [ours.popcount_ceiling()]
    title = f"3x3 convolution {channels} -> {filters} at {size} x {size}, batch 1"
    found, timings = timed_table("layer", title, built, settings.repeats, settings.seconds)
    ceilings.append(ours.popcount_ceiling())
    work = 9 * channels * filters * size * size
    rate = Spread.of([work / seconds for seconds in timings[OURS].rounds])
    found.facts["binary multiply-accumulates"] = Fact(float(work))
    found.facts["hbcore, G binary MAC/s"] = Fact(rate.times(1e-9))
    ceiling = None
    if ceilings[0] is not None and ceilings[1] is not None:
        ceiling = (ceilings[0] + ceilings[1]) / 2  # before and after: the machine may have slowed down in between
    found.facts["register-level ceiling, G binary MAC/s"] = Fact(None if ceiling is None else ceiling * 1e-9)
    found.facts["hbcore / ceiling"] = Fact(None if ceiling is None else rate.times(1 / ceiling))
    return found
