"""What data sets that are drawn on the fly share: which persons there are, and the random numbers behind each."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from training.errors import UserError

_STREAMS = {"train": 0, "test": 1}  # part of the random seed: the two splits share no person
MOST = 100_000_000  # the order of a pass through them is kept in memory
_LENGTHS = {"train": 20_000, "test": 500}


class Drawn:
    """As many persons as asked for, each a pure function of (seed, split, index)."""

    name: ClassVar[str] = "synthetic"

    def __init__(self, split: str, length: int | None = None, seed: int = 0, size: int = 160) -> None:
        """`size` is the width and height of the pictures. Raises UserError for an argument out of range."""
        if split not in _STREAMS:
            raise UserError(f"synthetic data has no split {split!r}: use one of {', '.join(_STREAMS)}")
        if length is not None and length < 1:
            raise UserError(f"synthetic data: length must be at least 1, not {length}")
        if length is not None and length > MOST:
            raise UserError(f"synthetic data: length must be at most {MOST:,}, not {length}")
        if not 0 <= seed < 2**32:
            raise UserError(f"synthetic data: seed must lie in 0..2**32 - 1, not {seed}")
        if not 32 <= size <= 2048:
            raise UserError(f"synthetic data: size must lie in 32..2048 pixels, not {size}")
        self.split, self.seed, self.size = split, seed, size
        self._length = _LENGTHS[split] if length is None else length

    def __len__(self) -> int:
        return self._length

    def rng(self, index: int) -> np.random.Generator:
        """The random numbers of person `index`. Raises IndexError outside 0..len - 1."""
        if not 0 <= index < len(self):
            raise IndexError(f"synthetic data has persons 0..{len(self) - 1}, not {index}")
        return np.random.default_rng(np.random.SeedSequence([self.seed, _STREAMS[self.split], index]))

    def name_of(self, index: int) -> str:
        """The name of person `index`, for messages and reports."""
        return f"{self.name}/{self.split}/{index:06d}"
