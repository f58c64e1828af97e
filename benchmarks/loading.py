"""Training pictures: what a batch of them takes, and how much of the speed of a training step a run keeps.

Of drawn figures; of LSP with its extension too where the environment variable HBCORE_DATA names the folder that holds
`lsp/` and `lspet/`. Batches are those of the recipe of LSP: turned, scaled, shifted, mirrored and coloured.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from itertools import count
from pathlib import Path

from benchmarks.peers import Peer, ours
from benchmarks.report import Fact, Table, timed_table
from benchmarks.settings import Settings
from benchmarks.timing import Absent, Candidate
from hbcore import kernels
from training.configuration.settings import Config
from training.configuration.toml import load
from training.datasets import open_dataset
from training.errors import DataError
from training.loading.batch import Batch, BatchPlan
from training.loading.concatenated import ConcatenatedDataset
from training.loading.prefetch import batches
from training.runs.run import augmentation
from training.runs.trainer import Trainer
from training.tasks.pose import POSE

RECIPE = Path(__file__).parents[1] / "training" / "recipes" / "lsp.toml"
STEPS = 40  # of one turn: the worker has a few batches ready when its turn begins
KEPT = 10  # batches that are made again from samples that are kept
ENDLESS = 10**9
THREADS = 2
FIGURES, PHOTOS = "drawn figures", "LSP and its extension"


def batch_tables(settings: Settings, peers: list[Peer]) -> Iterator[Table]:
    """Batches made here, by one thread: of samples never seen before, and of such as are kept."""
    yield _batches(settings, *_plans(_config(settings.tiny)))


def run_tables(settings: Settings, peers: list[Peer]) -> Iterator[Table]:
    """A step again and again on the same batch, and the same steps with a data worker that makes their batches."""
    config = _config(settings.tiny)
    yield _runs(settings, config, *_plans(config))


def _plans(config: Config) -> tuple[dict[str, BatchPlan], list[Absent]]:
    plans: dict[str, BatchPlan] = {}
    absent = []
    for name, specs in ((FIGURES, ["synthetic"]), (PHOTOS, _photos())):
        try:
            plans[name] = _plan(config, specs)
        except DataError as error:
            absent.append(Absent(f"hbcore, {name}", f"{error} (HBCORE_DATA)"))
    return plans, absent


def _photos() -> list[str]:
    folder = os.environ.get("HBCORE_DATA", "data")
    return [f"lsp:{folder}/lsp", f"lspet:{folder}/lspet"]


def _config(tiny: bool) -> Config:
    """The recipe's with batches of 8, of the smallest network that there is if tiny."""
    config = load(RECIPE)
    config = replace(config, optim=replace(config.optim, batch_size=8))
    if not tiny:
        return config
    return replace(config, model=replace(config.model, features=16, depth=1), data=replace(config.data, size=32))


def _plan(config: Config, specs: list[str]) -> BatchPlan:
    data = ConcatenatedDataset([open_dataset(spec, "train") for spec in specs])
    return BatchPlan(
        data, augmentation(config), config.data.size, config.optim.batch_size, 0, keep=config.data.keep * 10**6
    )


def _batches(settings: Settings, plans: dict[str, BatchPlan], absent: list[Absent]) -> Table:
    built: list[Candidate | Absent] = [*absent]
    for name, plan in plans.items():
        steps, again, kept = count(KEPT), count(), plan.keeping(ENDLESS, 1)
        anew = f"hbcore, {name}, anew"
        built.append(Candidate(anew, lambda plan=plan, steps=steps: plan.batch(next(steps))))
        for step in range(KEPT):
            kept.batch(step)
        built.append(
            Candidate(
                f"hbcore, {name}, kept", lambda kept=kept, again=again: kept.batch(next(again) % KEPT), against=anew
            )
        )
    size = next(iter(plans.values())).shape
    title = f"a batch of {size[0]} training pictures, {size[1]} x {size[1]}"
    table, timings = timed_table("loading", title, built, settings.repeats, settings.seconds)
    for name, timing in timings.items():
        table.facts[f"pictures a second, {name}"] = Fact(size[0] / timing.seconds.median)
    return table


def _runs(settings: Settings, config: Config, plans: dict[str, BatchPlan], absent: list[Absent]) -> Table:
    length, threads = (2, 1) if settings.tiny else (STEPS, THREADS)
    built: list[Candidate | Absent] = [*absent]
    with ExitStack() as stack:
        stack.enter_context(kernels.keep_memory())
        for name, plan in plans.items():
            alone, stream = f"hbcore, steps alone, {name}", stack.enter_context(closing(batches(plan, 0, ENDLESS, 1)))
            first = plan.batch(0)
            trainer = Trainer(POSE, config, len(plan.data.scheme.names))
            built.append(Candidate(alone, _steps(trainer, lambda first=first: first, length), threads))
            run = _steps(trainer, lambda stream=stream: next(stream), length)
            built.append(Candidate(f"hbcore, run, {name}", run, threads, against=alone))
        built = [replace(one, prepare=ours.threads(threads)) if isinstance(one, Candidate) else one for one in built]
        title = f"{length} steps of {config.optim.batch_size} pictures, {config.model.features} features"
        table, timings = timed_table("run", title, built, settings.repeats, settings.seconds)
    for name, timing in timings.items():
        table.facts[f"pictures a second, {name}"] = Fact(length * config.optim.batch_size / timing.seconds.median)
    return table


def _steps(trainer: Trainer, batch: Callable[[], Batch], length: int) -> Callable[[], None]:
    def run() -> None:
        for step in range(length):
            trainer.step(batch(), step)

    return run
