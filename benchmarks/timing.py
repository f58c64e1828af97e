"""Times of candidates that take turns, so that a busy moment of the machine hits all of them alike.

One round gives every candidate one turn. A turn lasts some milliseconds, in as many calls as fit: a fast candidate
then starts with cold caches once a turn, as rarely as a slow one, not at every call. What is compared is
candidate against candidate within a round; medians and quartiles are taken over rounds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

TURN = 0.01  # seconds that a turn should last at least, if nothing else is said
MAX_CALLS = 1000  # of one turn
MIN_ROUNDS = 3  # that even the slowest candidate plays
SETTLE = 0.002  # seconds in which another library's threads stop spinning after a turn


def nothing() -> None:
    """What most candidates have to prepare."""


@dataclass(frozen=True)
class Candidate:
    """Something to be timed.

    prepare: called before each turn and not timed (numbers of threads are global in some libraries). kind: "ours",
    "fp32", "bf16", "int8" or "binary", what it computes with. against: the name of the candidate that its time is
    divided by; "" for none.
    """

    name: str
    run: Callable[[], object]
    threads: int = 1
    kind: str = "ours"
    against: str = ""
    prepare: Callable[[], object] = nothing


@dataclass(frozen=True)
class Absent:
    """A candidate that could not be built here, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Spread:
    """A median between its quartiles."""

    low: float
    median: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        low, median, high = np.percentile(values, [25, 50, 75])
        return cls(float(low), float(median), float(high))

    def times(self, factor: float) -> Spread:
        """The same in another unit."""
        return Spread(factor * self.low, factor * self.median, factor * self.high)


@dataclass(frozen=True)
class Timing:
    """Seconds a call of one candidate, one number a round."""

    candidate: Candidate
    rounds: list[float] = field(default_factory=list)

    @property
    def seconds(self) -> Spread:
        return Spread.of(self.rounds)

    def over(self, other: Timing) -> Spread:
        """This time / the other, round by round (a candidate that ran out of time has fewer rounds)."""
        return Spread.of([a / b for a, b in zip(self.rounds, other.rounds, strict=False)])


def interleave(
    candidates: Sequence[Candidate],
    repeats: int,
    seconds: float,
    clock: Callable[[], float] = time.perf_counter,
    sleep: Callable[[float], object] = time.sleep,
    turn: float = TURN,
) -> list[Timing]:
    """Let all candidates take turns of at least `turn` seconds for `repeats` rounds, or until `seconds` are over.

    Each candidate may use its equal share of the seconds; one that has used it up sits out, after MIN_ROUNDS rounds.
    The first calls warm up, say how many calls make a turn, and do not count.
    """
    timings = [Timing(candidate) for candidate in candidates]
    calls = [_calls(candidate, clock, turn) for candidate in candidates]
    used = [0.0] * len(timings)
    for played in range(repeats):
        for i, timing in enumerate(timings):
            if played >= MIN_ROUNDS and used[i] > seconds / len(timings):
                continue
            timing.candidate.prepare()
            start = clock()
            for _ in range(calls[i]):
                timing.candidate.run()
            spent = clock() - start
            timing.rounds.append(spent / calls[i])
            used[i] += spent
            if timing.candidate.threads > 1:
                sleep(SETTLE)
    return timings


def _calls(candidate: Candidate, clock: Callable[[], float], turn: float) -> int:
    """How many calls make a turn: from a second call if the first, which may have more to do, was short of one."""
    candidate.prepare()
    spent = turn
    for _ in range(2):
        start = clock()
        candidate.run()
        spent = clock() - start
        if spent >= turn:
            return 1
    return min(MAX_CALLS, int(np.ceil(turn / max(spent, 1e-9))))
