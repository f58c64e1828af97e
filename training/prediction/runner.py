"""Who computes a network's maps: the deployed plan, or the network itself, layer by layer."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from hbcore import StackedHourglass, Tensor, kernel_report, no_grad
from hbcore.deploy import Engine
from hbcore.landmarks.description import to_input
from hbcore.nn.layers import use_packed

WAYS = "engine", "packed", "simulate"
Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]


class Runner:
    """maps = runner(pictures): logits (N, h, w, K) of the last stack for pictures (N, S, S, 3) of bytes.

    way: "engine", the plan of hbcore.deploy, made when it is first needed; "packed", the network itself with packed
    bits; "simulate", the same with +1.0 and -1.0. All give the same bits. Where no plan can be made the network
    computes, and `how` says why. Weights must not change in between: make another runner then.
    """

    def __init__(self, network: StackedHourglass, way: str = WAYS[0]) -> None:
        self.network, self.way = network, way
        self.reason = ""
        self.pictures, self.seconds = 0, 0.0
        self.engines: dict[tuple[int, ...], Engine] = {}

    def __call__(self, pictures: Bytes) -> Floats:
        compute = self._engine(pictures.shape) or self._network()
        start = time.perf_counter()
        maps = compute(pictures)
        self.seconds += time.perf_counter() - start
        self.pictures += len(pictures)
        return maps

    @property
    def how(self) -> str:
        """What computed, for people: "engine, avx512 kernels"."""
        kernels = f"{kernel_report()['kernels']} kernels"
        if self.way == "engine" and not self.reason:
            return f"engine, {kernels}"
        how = "float simulation" if self.way == "simulate" else "packed bits"
        return f"network layer by layer, {how}, {kernels}{f' (no engine: {self.reason})' if self.reason else ''}"

    @property
    def milliseconds(self) -> float:
        """Mean time of a picture so far; NaN before the first."""
        return 1000 * self.seconds / self.pictures if self.pictures else float("nan")

    def _engine(self, shape: tuple[int, ...]) -> Callable[[Bytes], Floats] | None:
        if self.way != "engine" or self.reason:
            return None
        if shape not in self.engines:
            batch, height, width, _ = shape
            try:
                self.engines[shape] = Engine(self.network, height, width, batch)
            except ValueError as error:
                self.reason = str(error)
                return None
        return self.engines[shape]

    def _network(self) -> Callable[[Bytes], Floats]:
        use_packed(self.network.eval(), self.way != "simulate")

        def forward(pictures: Bytes) -> Floats:
            with no_grad(), np.errstate(over="ignore", invalid="ignore"):
                maps: Floats = self.network(Tensor(to_input(pictures)))[-1].data
                return maps

        return forward
