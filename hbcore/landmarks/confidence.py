"""How sure an answer must be to be worth something: what a model file keeps of its calibration.

The confidence of an answer is one number, see `Codec.confidence`. Where a network looks at the wrong place, it is low,
but how low differs from model to model: so each brings a threshold of its own, measured at the end of its training
(`training/tasks/calibration.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

WORTHLESS = 0.25
"""Where more than this share of right and of wrong crops falls on the wrong side, confidence tells nothing."""


MOST = 1e9
"""Numbers beyond are no confidence, nor a number of crops."""


@dataclass(frozen=True)
class Calibration:
    """threshold: the least confidence of an answer that is worth something, None where confidence does not tell.

    right: the share of `crops` right crops, of the training set, at or above the threshold; wrong: the share of wrong
    crops of the same pictures below it. Raises ValueError for what cannot be.
    """

    threshold: float | None
    right: float
    wrong: float
    crops: int

    def __post_init__(self) -> None:
        numbers = (self.right, self.wrong, self.crops, *(() if self.threshold is None else (self.threshold,)))
        # Compared, not tested for being finite: that fails for a whole number of a thousand digits.
        if not all(isinstance(number, int | float) and abs(number) <= MOST for number in numbers):
            raise ValueError("confidence: its threshold, shares and number of crops are no numbers of a usual size")
        if not (0 <= self.right <= 1 and 0 <= self.wrong <= 1):
            raise ValueError("confidence: right and wrong are shares from 0 to 1")

    @classmethod
    def between(cls, right: NDArray[np.floating[Any]], wrong: NDArray[np.floating[Any]]) -> Self:
        """The threshold between the confidences of right crops (N,) and of wrong ones (M,), none of them empty.

        It is where as large a share of the right ones lies below as of the wrong ones above. Where a whole interval
        will do, as between two sets that do not overlap, its middle is taken.
        """
        steps = np.unique(np.concatenate([right, wrong]).astype(np.float64))
        lost = np.searchsorted(np.sort(right), steps, side="left") / len(right)  # with the threshold at each step
        passed = 1 - np.searchsorted(np.sort(wrong), steps, side="left") / len(wrong)
        # lost rises and passed falls: the best steps are neighbours. A threshold at a step also stands for all
        # values down to the step before.
        gap = np.abs(lost - passed)
        best = np.flatnonzero(gap == gap.min())
        low, high = steps[max(0, best[0] - 1)], steps[best[-1]]
        threshold = round(float(low + high) / 2, 4)
        kept, below = float((right >= threshold).mean()), float((wrong < threshold).mean())
        tells = max(1 - kept, 1 - below) <= WORTHLESS
        return cls(threshold if tells else None, round(kept, 4), round(below, 4), len(right))

    def to_dict(self) -> dict[str, Any]:
        """The fields as model files have them."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`; KeyError, TypeError or ValueError where `values`, from any file, are none."""
        return cls(values["threshold"], values["right"], values["wrong"], values["crops"])
