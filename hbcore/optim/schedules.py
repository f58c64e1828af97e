"""Learning rate over a run: pure functions of the step, so a resumed run needs no schedule state."""

from __future__ import annotations

import math
from collections.abc import Sequence


def constant(step: int, steps: int) -> float:
    """Factor 1 throughout."""
    return 1.0


def cosine(step: int, steps: int) -> float:
    """Half a cosine from 1 to 0 (Loshchilov & Hutter 2017)."""
    return 0.5 * (1 + math.cos(math.pi * min(step, steps) / steps))


def stepwise(step: int, steps: int, milestones: Sequence[float] = (0.5, 0.7, 0.9), decay: float = 0.4) -> float:
    """Multiply by `decay` at each milestone, given as a fraction of the run."""
    return float(decay ** sum(step >= fraction * steps for fraction in milestones))


def warmup(step: int, length: int) -> float:
    """Linear rise to 1 over the first `length` steps (never 0: the first step already moves)."""
    return min(1.0, (step + 1) / length) if length > 0 else 1.0
