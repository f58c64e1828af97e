"""How a run shows that it is alive: a bar on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from types import MappingProxyType
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")

QUIET_SECONDS = 15.0  # between two lines where there is no terminal


class ProgressBar:
    """Shows steps done, loss if there is one, and speed; `say` prints a line without tearing the bar."""

    def __init__(self, start: int, steps: int, batch_size: int, quiet: bool = False, unit: str = "step") -> None:
        self.quiet, self.steps, self.batch_size, self.unit = quiet, steps, batch_size, unit
        self.terminal = sys.stderr.isatty()
        self.bar = tqdm(total=steps, initial=start, unit=unit, dynamic_ncols=True, disable=quiet or not self.terminal)
        self.started = self.shown = time.monotonic()
        self.first = start
        self.loss = 0.0
        self.loss_name = "loss"
        self.ends = True  # with a line that all is done, however soon

    def update(self, step: int, values: Mapping[str, float] = MappingProxyType({})) -> None:
        """One more step is done."""
        if "loss" in values:
            loss = values["loss"]
            self.loss = loss if self.loss == 0 else 0.95 * self.loss + 0.05 * loss  # a calm number to watch
        now = time.monotonic()
        speed = (step - self.first) * self.batch_size / max(now - self.started, 1e-9)
        if self.terminal:
            self.bar.set_postfix(self._shown() | {"pictures": f"{speed:.0f}/s"}, refresh=False)
            self.bar.update(1)
        elif not self.quiet and (now - self.shown >= QUIET_SECONDS or (step == self.steps and self.ends)):
            self.shown = now
            left = (self.steps - step) * self.batch_size / speed
            print(
                "  ".join(
                    [
                        f"{self.unit} {step}/{self.steps}",
                        *(f"{name} {value}" for name, value in self._shown().items()),
                        f"{speed:.0f} pictures/s",
                        f"{left:.0f} s left",
                    ]
                ),
                file=sys.stderr,
                flush=True,
            )

    def _shown(self) -> dict[str, str]:
        return {self.loss_name: f"{self.loss:.2f}"} if self.loss else {}

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        if not self.quiet:
            tqdm.write(text, file=sys.stderr)

    def close(self) -> None:
        self.bar.close()


def followed(items: Sequence[T], unit: str, quiet: bool = False, size: int = 1) -> Iterator[T]:
    """The items one by one, with a bar for those that are done; size: pictures in each."""
    with closing(ProgressBar(0, len(items), size, quiet, unit)) as bar:
        bar.ends = False
        for done, item in enumerate(items, start=1):
            yield item
            bar.update(done)
