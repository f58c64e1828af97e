"""Training pictures: what a batch of them takes, and how much of the speed of a training step a run keeps.

A run here is its loop, with the loader that it has: a data worker in a process of its own, on the same cores.
Evaluations and checkpoints, which come every some hundred steps, are not in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from itertools import count

from benchmarks.material import BATCH, Material, materials
from benchmarks.peers import Peer, ours
from benchmarks.report import Fact, Table, timed_table
from benchmarks.settings import Settings
from benchmarks.timing import Candidate, Spread, Timing
from hbcore import kernels
from training.loading.batch import Batch
from training.loading.prefetch import batches
from training.runs.trainer import Trainer

STEPS = 40  # of one turn: the worker has a few batches ready when its turn begins
KEPT = 10  # batches that are made again from samples that are kept
ENDLESS = 10**9
THREADS = 2


def batch_tables(settings: Settings, peers: list[Peer]) -> Iterator[Table]:
    """Batches made here, by one thread: of samples never seen before, and of such as are kept."""
    built = [candidate for material in materials(settings) for candidate in _batches(material)]
    title = f"a batch of {BATCH} training pictures"
    table, timings = timed_table("loading", title, built, settings.repeats, settings.seconds)
    for timing in timings.values():
        table.facts |= _rate(timing, BATCH)
    yield table


def run_tables(settings: Settings, peers: list[Peer]) -> Iterator[Table]:
    """A step again and again on the same batch, and the same steps with a data worker that makes their batches."""
    length = 2 if settings.tiny else STEPS
    found = materials(settings)
    title = f"{length} steps of {BATCH} pictures, {found[0].config.model.features} features"
    with ExitStack() as stack:
        stack.enter_context(kernels.keep_memory())
        pairs = [_pair(material, length, 1 if settings.tiny else THREADS, stack) for material in found]
        built = [candidate for pair in pairs for candidate in pair]
        table, timings = timed_table("run", title, built, settings.repeats, settings.seconds)
    for material, (alone, run) in zip(found, pairs, strict=True):
        table.facts |= _rate(timings[run.name], length * BATCH) | _rate(timings[alone.name], length * BATCH)
        share = timings[alone.name].over(timings[run.name])
        table.facts[f"share of what the steps alone allow, {material.name}"] = Fact(share)
    yield table


def _rate(timing: Timing, pictures: int) -> dict[str, Fact]:
    """Pictures a second, where one call takes so many."""
    return {f"pictures a second, {timing.candidate.name}": Fact(Spread.of([pictures / s for s in timing.rounds]))}


def _batches(material: Material) -> list[Candidate]:
    anew, plan, again = count(), material.plan.keeping(ENDLESS, 1), count()
    name = f"hbcore, {material.name}, anew"
    for step in range(KEPT):
        plan.batch(step)
    return [
        Candidate(name, lambda: material.plan.batch(next(anew))),
        Candidate(f"hbcore, {material.name}, kept", lambda: plan.batch(next(again) % KEPT), against=name),
    ]


def _pair(material: Material, length: int, threads: int, stack: ExitStack) -> tuple[Candidate, Candidate]:
    """Steps alone, and the run; its worker ends with the stack."""
    plan, config = material.plan, material.config
    trainer, first = Trainer(material.task, config, len(plan.data.scheme.names)), plan.batch(0)
    stream = stack.enter_context(closing(batches(plan, 0, ENDLESS, config.data.workers)))
    alone = f"hbcore, steps alone, {material.name}"
    prepare = ours.threads(threads)
    return (
        Candidate(alone, _steps(trainer, lambda: first, length), threads, prepare=prepare),
        Candidate(
            f"hbcore, run, {material.name}",
            _steps(trainer, lambda: next(stream), length),
            threads,
            against=alone,
            prepare=prepare,
        ),
    )


def _steps(trainer: Trainer, batch: Callable[[], Batch], length: int) -> Callable[[], None]:
    def run() -> None:
        for step in range(length):
            trainer.step(batch(), step)

    return run
