"""Ctrl-C and its like, as a wish to stop that costs no work."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

STOPPING = [signal.SIGINT, signal.SIGTERM]
if sys.platform != "win32":
    STOPPING.append(signal.SIGHUP)  # the terminal has gone
"""The signals that ask a program to leave."""


class Stop:
    """The signals that came so far: false as long as there is none."""

    def __init__(self) -> None:
        self.received: list[int] = []
        self._waiting = False

    def __bool__(self) -> bool:
        return bool(self.received)

    @contextmanager
    def interrupts(self) -> Iterator[None]:
        """Within this context a signal raises KeyboardInterrupt at once: for what changes nothing, and can be repeated.

        Elsewhere it is only noted, however often it comes: a step or a file is finished first.
        """
        self._waiting = True
        try:
            if self:
                raise KeyboardInterrupt
            yield
        finally:
            self._waiting = False

    def note(self, number: int, frame: object) -> None:
        """The handler."""
        self.received.append(number)
        if self._waiting:
            self._waiting = False  # once: a second one does not interrupt what the first one leads to
            raise KeyboardInterrupt


@contextmanager
def stop_signals() -> Iterator[Stop]:
    """Collects `STOPPING` instead of dying of them. SIGHUP stays ignored where it is, as under nohup."""
    stop = Stop()
    old = {number: signal.getsignal(number) for number in STOPPING}
    for number, handler in old.items():
        if handler is not signal.SIG_IGN or number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, stop.note)
    try:
        yield stop
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
