"""What is inside a run's model: layers, bits that say nothing, signs that never settled, memory."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hbcore.deploy.lowering import lower
from hbcore.deploy.memory import LINE, places
from hbcore.inspect.subject import InspectError, Subject, binary_units
from hbcore.inspect.views.dead import Dead, counts, dead
from hbcore.inspect.views.flips import LOG, Settled, course, of_run
from hbcore.inspect.views.layers import Row, rows
from hbcore.landmarks.description import to_input
from training.errors import DataError
from training.report.record import Record

MOST = 256
"""Pictures of the test set that are looked at for dead channels."""


@dataclass(frozen=True, eq=False)
class Inside:
    """layers: see `python -m hbcore.inspect summary`. dead: of every binary layer, over `pictures` pictures; none where
    there is no such layer. negative: shares of (weights, signs that go in) that are -1, by layer. settled, course: what
    `flips` says, None for a run that did not count them. maps: bytes that a deployed plan computes in, for one picture.
    """

    layers: list[Row]
    dead: list[Dead]
    pictures: int
    negative: dict[str, tuple[float, float]]
    settled: list[Settled] | None
    course: list[tuple[int, float]]
    maps: int

    @classmethod
    def of(cls, record: Record, pictures: NDArray[np.uint8]) -> Inside:
        """Look into the model that a run ended in, with its test pictures (N, S, S, 3)."""
        subject = Subject.read(str(record.folder), pictures.shape[1])
        subject = replace(subject, pictures=to_input(pictures[:MOST]))
        changes, over = _changes(record)
        try:
            found = dead(subject)
            seen, pixels = counts(subject)
            negative = {
                name: (float((conv.weight.data < 0).mean()), float(np.mean(seen[name] / pixels[name])))
                for name, (_, conv, _) in binary_units(subject.network).items()
            }
        except InspectError:  # a network of real numbers
            found, negative = [], {}
        maps = _maps(subject)
        return cls(rows(subject), found, len(subject.pictures), negative, changes, over, maps)


def _changes(record: Record) -> tuple[list[Settled] | None, list[tuple[int, float]]]:
    if not (record.folder / LOG).exists():  # of a version that did not count
        return None, []
    try:
        run = of_run(record.folder)
    except InspectError as error:
        raise DataError(str(error)) from None
    return run.layers, course(run.rows, sum(layer.weights for layer in run.layers)) if run.layers else []


def _maps(subject: Subject) -> int:
    table = lower(subject.network, subject.size, subject.size)
    return places([buffer.bytes for buffer in table.buffers], table.lifetimes(), LINE)[1]
