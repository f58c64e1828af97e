"""Batches of augmented examples, prepared by other processes while the network trains.

What a run sees is a function of its seed alone. Sample number k of the run (k = step * batch size + place in the batch)
is person `order[k % n]` of pass `k // n` through the data, each pass in an order of its own, and its augmentation draws
from a generator seeded with (seed, k). So nothing has to be remembered to resume at any step, and the number of workers
changes nothing.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from training.augment import Augmentation, stack
from training.datasets import Person, PersonDataset
from training.errors import BadPicture, DataError, UserError
from training.part_schemes import Mask, Scheme

ORDER, AUGMENTATION = 1, 2  # which stream of random numbers, beside the run's seed
AHEAD = 3  # batches in preparation per worker


class WorkerDied(UserError):
    """A process that prepared batches was killed."""


@dataclass(frozen=True, eq=False)
class Batch:
    """Pictures uint8 (N, S, S, 3), joints float32 (N, K, 2) in input pixels, labelled (N, K), and what went wrong.

    masks: uint8 (N, h, w) of the size of a network's maps, where the data sets have them.
    bad: (name of the person or file, reason) of pictures that were replaced by the next readable one.
    """

    pictures: NDArray[np.uint8]
    joints: NDArray[np.float32]
    labelled: NDArray[np.bool_]
    names: tuple[str, ...]
    bad: tuple[tuple[str, str], ...]
    masks: Mask | None = None


class Joined:
    """Several data sets with the same joints as one, or the first `limit` persons of them.

    Raises UserError if their joints differ, DataError if they hold nobody.
    """

    def __init__(self, datasets: Sequence[PersonDataset], limit: int | None = None) -> None:
        first = datasets[0].skeleton
        for dataset in datasets[1:]:
            if dataset.skeleton.names != first.names:
                raise UserError(
                    f"{datasets[0].name} and {dataset.name} label different joints "
                    f"({len(first.names)} and {len(dataset.skeleton.names)}): use them one at a time"
                )
        self.datasets = tuple(datasets)
        self.ends = list(accumulate(len(dataset) for dataset in datasets))
        if not self.ends[-1]:
            raise DataError(f"there is nobody in {', '.join(dataset.name for dataset in datasets)}")
        self.length = min(self.ends[-1], limit or self.ends[-1])

    @property
    def scheme(self) -> Scheme:
        return self.datasets[0].skeleton

    def __len__(self) -> int:
        return self.length

    def person(self, index: int) -> Person:
        """Person `index`, counted through all data sets. Raises BadPicture if the picture cannot be read."""
        which = int(np.searchsorted(self.ends, index, side="right"))
        start = self.ends[which - 1] if which else 0
        return self.datasets[which].person(index - start)


@dataclass(frozen=True)
class Recipe:
    """Everything that decides what batch number `step` holds."""

    data: Joined
    augmentation: Augmentation
    size: int
    batch_size: int
    seed: int
    skip_bad: bool = True

    def batch(self, step: int) -> Batch:
        """Make one batch. Raises BadPicture where pictures may not be skipped, or if none can be read."""
        examples, names, bad = [], [], []
        for k in range(step * self.batch_size, (step + 1) * self.batch_size):
            person, unreadable = self._person(k)
            rng = np.random.default_rng(np.random.SeedSequence([self.seed, AUGMENTATION, k]))
            examples.append(self.augmentation.sample(person, self.size, self.data.scheme, rng))
            names.append(person.name)
            bad += unreadable
        pictures, joints, labelled, masks = stack(examples)
        return Batch(pictures, joints, labelled, tuple(names), tuple(bad), masks)

    def _person(self, k: int) -> tuple[Person, list[tuple[str, str]]]:
        """Sample number k, or the next readable person after it, with the unreadable ones in between."""
        epoch, place = divmod(k, len(self.data))
        order = _order(self.seed, epoch, len(self.data))
        bad: list[tuple[str, str]] = []
        for step in range(len(self.data)):
            index = int(order[(place + step) % len(self.data)])
            try:
                return self.data.person(index), bad
            except BadPicture as error:
                if not self.skip_bad:
                    raise
                bad.append((str(index), str(error)))
        raise BadPicture(f"none of the {len(self.data)} pictures can be read; the last one: {bad[-1][1]}")


_orders: dict[tuple[int, int, int], NDArray[np.intp]] = {}


def _order(seed: int, epoch: int, length: int) -> NDArray[np.intp]:
    """The order of one pass through the data; the last two are kept."""
    key = seed, epoch, length
    if key not in _orders:
        while len(_orders) > 1:
            del _orders[next(iter(_orders))]
        rng = np.random.default_rng(np.random.SeedSequence([seed, ORDER, epoch]))
        _orders[key] = rng.permutation(length)
    return _orders[key]


def batches(recipe: Recipe, start: int, stop: int, workers: int) -> Generator[Batch, None, None]:
    """Batches number start .. stop - 1, in order. workers 0: made here, else ahead of time in that many processes.

    Raises WorkerDied if one of these is killed, and what Recipe.batch raises. Closing the generator stops them.
    """
    if workers == 0:
        for step in range(start, stop):
            yield recipe.batch(step)
        return
    # Spawned, not forked: a fork would copy the training threads' locks in whatever state they are.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, context, initializer=_start_worker, initargs=(recipe,))
    waiting: deque[Future[Batch]] = deque()
    try:
        for step in range(start, stop):
            with _no_interrupt():
                while len(waiting) < AHEAD * workers and step + len(waiting) < stop:
                    waiting.append(pool.submit(_make_batch, step + len(waiting)))
            yield waiting.popleft().result()
    except BrokenProcessPool:
        raise WorkerDied("a data worker died (out of memory?): go on with --resume, perhaps with --workers 0") from None
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


@contextmanager
def _no_interrupt() -> Iterator[None]:
    """Ctrl-C goes to all processes of a terminal, but is for the trainer, which then stops its workers.

    A blocked signal is blocked in a child process from its first moment on, and only delayed in the trainer.
    """
    if sys.platform == "win32":
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


_recipe: Recipe | None = None  # of a worker process, for life


def _start_worker(recipe: Recipe) -> None:
    global _recipe
    _recipe = recipe
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # see _no_interrupt, which cannot help on Windows
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_die_with, args=(parent,), daemon=True).start()


def _die_with(parent: multiprocessing.process.BaseProcess) -> None:
    """Leave no orphan behind if the trainer is killed."""
    parent.join()
    os._exit(1)


def _make_batch(step: int) -> Batch:
    assert _recipe is not None
    return _recipe.batch(step)
