"""Sign changes of one-bit weights, counted step by step while a network is trained."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from hbcore.autograd.function import Array
from hbcore.inspect.subject import convolutions
from hbcore.nn.layers import BinaryConv2d
from hbcore.nn.module import Module
from hbcore.threads import MAX_SLICES, for_parts

PARTS = 1000
"""Of a run: as finely as it is remembered when a sign changed."""
WORTH_A_THREAD = 1 << 21
"""Bytes of weights: half a millisecond."""


class SignChanges:
    """What the signs of a network's binary convolutions did since they were first looked at.

    In steps with real weights, as at the beginning of some runs, signs are no bits, and their changes do not count.
    counts: changes by layer, to be set to 0 by whoever writes them down. last: for every weight, by layer, in which
    part of the run its sign changed last, 1 to PARTS; 0: never.
    """

    def __init__(self, network: Module, counts: dict[str, int]) -> None:
        found = convolutions(network).items()
        self.layers = {name: conv for name, (conv, _) in found if isinstance(conv, BinaryConv2d)}
        self.last: dict[str, NDArray[np.uint16]] = {
            name: np.zeros(conv.weight.shape, dtype=np.uint16) for name, conv in self.layers.items()
        }
        self.begin(counts)

    def begin(self, counts: dict[str, int], last: Mapping[str, Array] | None = None) -> None:
        """Go on from the weights as they are now, with these counts, and with `last` where it fits the layers."""
        self.counts = counts
        self.signs = {name: conv.weight.data < 0 for name, conv in self.layers.items()}
        for name, array in (last or {}).items():
            if name in self.last and array.shape == self.last[name].shape:
                self.last[name][...] = array

    def update(self, step: int, steps: int) -> None:
        """Look at the weights after step number `step` of `steps`, counted from 1."""
        part = min(PARTS, 1 + (step - 1) * PARTS // steps)
        layers = list(self.layers.items())

        def look(some: slice) -> list[tuple[str, int]]:
            return [(name, self._changed(name, conv, part)) for name, conv in layers[some]]

        size = sum(conv.weight.data.nbytes for conv in self.layers.values())
        for name, count in chain(*for_parts(look, len(layers), min(MAX_SLICES, size // WORTH_A_THREAD))):
            if count:
                self.counts[name] = self.counts.get(name, 0) + count

    def _changed(self, name: str, conv: BinaryConv2d, part: int) -> int:
        """How many signs of a layer are others than they were, which is noted."""
        now = conv.weight.data < 0
        changed = now != self.signs[name]
        self.signs[name] = now
        count = int(np.count_nonzero(changed)) if conv.one_bit_weights else 0
        if count:
            self.last[name][changed] = part
        return count
