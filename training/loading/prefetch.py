"""Batches prefetched by other processes while the network trains.

A batch is a function of its number, see `training/loading/batch.py`: how many workers make them changes nothing. Each
worker makes the examples of its own samples, so that it keeps those alone, and puts the pictures where the trainer
finds them, in memory that all share. Down the pipe between the two go numbers of batches, and up it comes the rest.
"""

from __future__ import annotations

import math
import multiprocessing
import signal
import sys
import threading
import traceback
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager, suppress
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection

from hbcore.kernels import keep_memory
from training.errors import UserError
from training.loading.batch import Batch, BatchPlan, Labels
from training.loading.shared import SharedMemory

SLOTS = 4  # batches in shared memory: one is the trainer's, the others are under way


class WorkerDied(UserError):
    """A process that prepared batches was killed."""


def batches(plan: BatchPlan, start: int, stop: int, workers: int) -> Generator[Batch, None, None]:
    """Batches number start .. stop - 1, in order. workers 0: made here, else prefetched by so many processes.

    The pictures of a batch stay what they are until the next one is asked for. Raises WorkerDied if a worker is killed,
    UserError if there is no memory to share, and what BatchPlan.batch raises. Closing the generator stops the workers.
    """
    plan = plan.keeping(stop, max(1, workers))
    if workers == 0 or start >= stop:
        for step in range(start, stop):
            yield plan.batch(step)
        return
    # Spawned, not forked: a fork would copy the training threads' locks in whatever state they are.
    context = multiprocessing.get_context("spawn")
    links: list[Connection] = []
    processes = []
    try:
        with closing(SharedMemory(SLOTS * math.prod(plan.shape))) as memory, no_interrupt():
            slots = memory.array((SLOTS, *plan.shape))
            for share in range(workers):
                ours, theirs = context.Pipe()
                links.append(ours)
                arguments = plan, memory, theirs, share, workers
                processes.append(context.Process(target=_work, args=arguments, daemon=True))
                processes[-1].start()
                theirs.close()  # so that its end is noticed
        for step in range(start, min(stop, start + SLOTS)):
            _ask(links, step)
        for step in range(start, stop):
            yield plan.gather(slots[step % SLOTS], _answers(links))
            if step + SLOTS < stop:
                _ask(links, step + SLOTS)
    except (EOFError, ConnectionError):
        raise WorkerDied("a data worker died (out of memory?): go on with --resume, perhaps with --workers 0") from None
    finally:
        for process in processes:
            if process.pid is not None:
                process.terminate()
                process.join()
        for link in links:
            link.close()


def _ask(links: list[Connection], step: int) -> None:
    for link in links:
        link.send(step)


def _answers(links: list[Connection]) -> dict[int, Labels]:
    """What belongs to the pictures of the next batch, by their places."""
    labels: dict[int, Labels] = {}
    for link in links:
        answer = link.recv()
        if isinstance(answer, Exception):
            raise answer
        labels |= answer
    return labels


def _work(plan: BatchPlan, memory: SharedMemory, link: Connection, share: int, workers: int) -> None:
    """A worker's life. The end of the trainer, whatever it was, is the end of the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # see no_interrupt, which cannot help on Windows
    with closing(memory):
        slots = memory.array((SLOTS, *plan.shape))
    with suppress(EOFError, ConnectionError), keep_memory():
        while True:
            step = link.recv()
            try:
                mine = plan.places(step, share, workers)
                answer: object = {place: plan.example(step, place, slots[step % SLOTS]) for place in mine}
            except Exception as error:
                if not isinstance(error, UserError):  # a defect: a pickled exception forgets where it was raised
                    error.add_note(f"in a data worker:\n{traceback.format_exc()}")
                answer = error
            link.send(answer)


@contextmanager
def no_interrupt() -> Iterator[None]:
    """Ctrl-C goes to all processes of a terminal, but is for the trainer, which then stops its workers.

    A blocked signal is blocked in a child process from its first moment on. In the trainer that does not hold it back:
    threads of other libraries take it, and Python's handler still runs in the main thread, where an exception amid the
    start of a process leaves a child without its task. So what handlers are called for comes after this context.
    """
    came: list[int] = []
    handlers = {}
    if threading.current_thread() is threading.main_thread():
        found = {number: signal.getsignal(number) for number in signal.valid_signals()}
        handlers = {number: handler for number, handler in found.items() if callable(handler)}
    for number in handlers:
        signal.signal(number, lambda received, _: came.append(received))
    before = None
    if sys.platform != "win32":
        resource_tracker.ensure_running()  # whose first start, amid that of the first worker, would unblock it
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        if before is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for received in came:
            signal.raise_signal(received)
