"""This hbcore against that of another checkout, say of an older commit: `python -m benchmarks --against CHECKOUT`.

Both work in processes of their own, which answer down a pipe, so that neither has the better place: what a pipe takes,
some 50 us, is in the times of both. Each is called as its own benchmarks call it. Memory is the peak of a process that
did nothing else.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Self

from benchmarks import network, step
from benchmarks.peers import Missing, Peer
from benchmarks.report import Fact, Table, timed_table
from benchmarks.settings import Settings
from benchmarks.timing import Absent, Candidate

HERE = Path(__file__).parents[1]
SERVER = Path(__file__).with_name("served.py")
SMALLEST = 16, 32, 1  # features, side, batch: to see whether a checkout works


class Served:
    """Work of a checkout's hbcore in a process of its own, a context; for the arguments see `served.py`.

    Raises Missing, with the last line that the process wrote, where it cannot be done.
    """

    def __init__(self, checkout: Path, work: str, threads: int, features: int, size: int, batch: int) -> None:
        arguments = [work, *map(str, (threads, features, size, batch))]
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-W", "ignore", str(SERVER), *arguments],
            env=os.environ | {"PYTHONPATH": str(checkout)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.head = self._answer()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.communicate()  # at the end of its input it ends

    def run(self) -> None:
        """Do the work once."""
        self._ask("run")

    def peak(self) -> float:
        """The most memory that the process has held so far, in MB."""
        return float(self._ask("peak"))

    def _ask(self, what: str) -> Any:
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):  # then there is no answer either
            print(what, file=self.process.stdin, flush=True)
        return self._answer()

    def _answer(self) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if line:
            return json.loads(line)
        _, errors = self.process.communicate()
        raise Missing((errors.strip().splitlines() or ["its process died"])[-1])


def describe(checkout: Path) -> dict[str, Any]:
    """Folder and kernels of another checkout, for the head of the report. Raises Missing if it cannot be measured."""
    for needed in ("hbcore/__init__.py", "benchmarks/step.py"):
        if not (checkout / needed).is_file():
            raise Missing(f"no checkout of hbcore with benchmarks: there is no {needed}")
    with Served(checkout, "network", 1, *SMALLEST) as served:
        return {"checkout": str(checkout), "kernels": served.head["kernels"]}


def tables(settings: Settings, peers: list[Peer]) -> Iterator[Table]:
    """Training steps, binary and real-valued, with their memory; whole networks on one thread and on two."""
    for features, size, batch in step.TINY if settings.tiny else step.FULL:
        works = {"binary step": ("binary", step.THREADS), "real-valued step": ("real", step.THREADS)}
        yield table(settings, "training step", works, features, size, batch)
    for size, architecture in network.cases(settings):
        works = {"network, 1 thread": ("network", 1), "network, 2 threads": ("network", 2)}
        yield table(settings, "whole network", works, architecture["features"], size, 1)


def table(
    settings: Settings, what: str, works: dict[str, tuple[str, int]], features: int, size: int, batch: int
) -> Table:
    """works: what is to be done and the number of threads, by name. Ratios are the other's over ours."""
    assert settings.against is not None
    built: list[Candidate | Absent] = []
    both: dict[str, tuple[Served, Served]] = {}
    with ExitStack() as stack:
        for name, (work, threads) in works.items():
            mine = stack.enter_context(Served(HERE, work, threads, features, size, batch))
            built.append(Candidate(f"hbcore, {name}", mine.run, threads))
            try:
                theirs = stack.enter_context(Served(settings.against, work, threads, features, size, batch))
                theirs.run()
            except Missing as error:
                built.append(Absent(f"the other, {name}", str(error)))
                continue
            built.append(Candidate(f"the other, {name}", theirs.run, threads, against=f"hbcore, {name}"))
            both[name] = mine, theirs
        title = f"{what}, {features} features, {size} x {size}, batch {batch}"
        found, _ = timed_table("against", title, built, settings.repeats, settings.seconds)
        for name, (mine, theirs) in both.items():
            found.facts[f"peak memory of hbcore, {name}, MB"] = Fact(mine.peak())
            found.facts[f"peak memory of the other, {name}, MB"] = Fact(theirs.peak())
            found.facts[f"peak memory of the other / of hbcore, {name}"] = Fact(theirs.peak() / mine.peak())
    return found
