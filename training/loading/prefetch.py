"""Batches prefetched by other processes while the network trains.

A batch is a function of its number, see `training/loading/batch.py`: how many workers make them changes nothing.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager

from training.errors import UserError
from training.loading.batch import Batch, BatchPlan

PREFETCH = 3  # batches under way per worker


class WorkerDied(UserError):
    """A process that prepared batches was killed."""


def batches(plan: BatchPlan, start: int, stop: int, workers: int) -> Generator[Batch, None, None]:
    """Batches number start .. stop - 1, in order. workers 0: made here, else prefetched by so many processes.

    Raises WorkerDied if one of these is killed, and what BatchPlan.batch raises. Closing the generator stops them.
    """
    if workers == 0:
        for step in range(start, stop):
            yield plan.batch(step)
        return
    # Spawned, not forked: a fork would copy the training threads' locks in whatever state they are.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, context, initializer=_start_worker, initargs=(plan,))
    waiting: deque[Future[Batch]] = deque()
    try:
        for step in range(start, stop):
            with _no_interrupt():
                while len(waiting) < PREFETCH * workers and step + len(waiting) < stop:
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


_plan: BatchPlan | None = None  # of a worker process, for life


def _start_worker(plan: BatchPlan) -> None:
    global _plan
    _plan = plan
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # see _no_interrupt, which cannot help on Windows
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_die_with, args=(parent,), daemon=True).start()


def _die_with(parent: multiprocessing.process.BaseProcess) -> None:
    """Leave no orphan behind if the trainer is killed."""
    parent.join()
    os._exit(1)


def _make_batch(step: int) -> Batch:
    assert _plan is not None
    return _plan.batch(step)
