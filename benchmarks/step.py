"""One training step on two threads: forward, sigmoid cross-entropy on heatmaps, backward, RMSprop, clipping of weights.

Binary against the same network binarised in float simulation, which is how PyTorch trains one; and the real-valued
twins of both, to see what the bits are worth. Ours trains as its training loop does, with gradients in bytes, and once
more with gradients in float32, and on one thread. hbcore may keep the memory it frees (its training loop asks for
that); in one process that holds for PyTorch too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

import hbcore
from benchmarks.peers import Peer, ours, quietly, reason
from benchmarks.report import Table, timed_table
from benchmarks.settings import Settings
from benchmarks.timing import Absent, Candidate
from benchmarks.topology import record
from hbcore import kernels
from hbcore.autograd.function import Array
from hbcore.nn.layers import constrain, use_gradients
from hbcore.optim.losses import heatmap_cross_entropy
from hbcore.optim.optimizers import RMSprop

THREADS = 2
RATE = 1e-4
TURN = 0.2  # seconds: training makes one step after the other, and the first after another library's has cold caches
SIZES = ((64, 128, 8),)  # features, side, batch
FULL = ((64, 128, 8), (256, 256, 8))
TINY = ((16, 32, 2),)

FLOAT32 = "hbcore, float32 gradients"
OURS = ("hbcore", FLOAT32)
WAYS = (*OURS, "PyTorch fp32", "PyTorch fp32 channels-last")


def sizes(settings: Settings) -> tuple[tuple[int, int, int], ...]:
    """Features, side and batch of the steps to be measured."""
    return TINY if settings.tiny else FULL if settings.full else SIZES


def tables(settings: Settings, peers: list[Peer]) -> Iterator[Table]:
    """One table per size."""
    for features, size, batch in sizes(settings):
        yield table(settings, features, size, batch)


def table(settings: Settings, features: int, size: int, batch: int) -> Table:
    """Ours and PyTorch's, binary and real-valued."""
    threads = 1 if settings.tiny else THREADS  # in the tiniest, threads would do nothing but wait for each other
    built: list[Candidate | Absent] = []
    for binary in (True, False):
        against = row_name("hbcore", binary)
        for way in ways(binary):
            name = row_name(way, binary)
            prepare = set_threads(way, threads)
            try:
                with quietly():
                    prepare()
                    run = training_step(way, binary, features, size, batch)
                    run()
            except Exception as error:
                if way == "hbcore":
                    raise
                built.append(Absent(name, reason(error)))
                continue
            kind = "ours" if way in OURS else "fp32"
            built.append(Candidate(name, run, threads, kind, "" if name == against else against, prepare))
            if way == "hbcore":
                built.append(Candidate(f"{name}, 1 thread", run, 1, kind, name, set_threads(way, 1)))
    title = f"training step, {features} features, {size} x {size}, batch {batch}"
    with kernels.keep_memory():
        return timed_table("step", title, built, settings.repeats, settings.seconds, TURN)[0]


def ways(binary: bool) -> list[str]:
    """Real-valued networks have but one way to their gradients."""
    return [way for way in WAYS if binary or way != FLOAT32]


def row_name(way: str, binary: bool) -> str:
    """As the rows are called."""
    if way == "hbcore":
        return "hbcore binary" if binary else "hbcore fp32 twin"
    if way == FLOAT32:
        return "hbcore binary, float32 gradients"
    return f"{way}, binarised" if binary else f"{way}, real-valued"


def training_step(way: str, binary: bool, features: int, size: int, batch: int) -> Callable[[], float]:
    """A call that makes one step on the same batch and returns the loss. way: one of WAYS."""
    rng = np.random.default_rng(0)
    depth = min(4, int(np.log2(size // 4)))
    model = hbcore.StackedHourglass(features=features, depth=depth, binary=binary)
    picture: Array = rng.random((batch, size, size, 3), dtype=np.float32)
    target: Array = rng.random((batch, size // 4, size // 4, model.architecture["joints"]), dtype=np.float32)
    if way in OURS:
        return _our_step(model, picture, target, "int8" if way == "hbcore" else "float32")
    return _torch_step(model, picture, target, way.endswith("channels-last"))


def _our_step(model: hbcore.StackedHourglass, picture: Array, target: Array, gradients: str) -> Callable[[], float]:
    optimizer = RMSprop(dict(use_gradients(model, gradients).named_parameters()), RATE)
    weight = np.ones((len(picture), target.shape[-1]), dtype=np.float32)

    def run() -> float:
        loss = heatmap_cross_entropy(model(hbcore.Tensor(picture))[-1], target, weight)
        model.zero_grad()
        loss.backward()
        optimizer.step()
        constrain(model)
        return float(loss.item())

    return run


def _torch_step(model: hbcore.StackedHourglass, picture: Array, target: Array, last: bool) -> Callable[[], float]:
    import torch
    from torch.nn import functional

    from benchmarks.torch_twin import Twin, channels_first

    order = torch.channels_last if last else torch.contiguous_format
    twin = Twin(record(model)).train().arranged(torch.float32, order)
    optimizer = torch.optim.RMSprop(twin.parameters(), RATE, alpha=0.99, eps=1e-8)
    x = channels_first(picture).contiguous(memory_format=order)
    t = channels_first(target).contiguous(memory_format=order)
    maps = len(target) * target.shape[-1]

    def run() -> float:
        loss = functional.binary_cross_entropy_with_logits(twin(x)[-1], t, reduction="sum") / maps
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        twin.constrain()
        return float(loss.item())

    return run


def set_threads(way: str, threads: int) -> Callable[[], object]:
    """Something to prepare with."""
    if way in OURS:
        return ours.threads(threads)

    def prepare() -> None:
        import torch

        torch.set_num_threads(threads)

    return prepare
