"""The verb `flips`: how the signs of a run's weights changed while it was trained, and which never settled."""

from __future__ import annotations

import argparse
import csv
import tomllib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hbcore.autograd.function import Array
from hbcore.deploy.model_file import read_arrays
from hbcore.inspect.changes import PARTS
from hbcore.inspect.subject import InspectError, Subject
from hbcore.inspect.view import View, table

HELP = "sign changes of a training run, layer by layer, and weights that never settled"
PICTURES = 0
STATE, FORMAT, LOG = "state.safetensors", "hbcore-run/1", "flips.csv"
MOST = 1 << 40  # of a step, or of changes
TENTHS = 10
BARS = "▁▂▃▄▅▆▇█"


@dataclass(frozen=True)
class Settled:
    """The weights of one binary layer.

    changes: of signs in the steps so far. ever, late: weights whose sign changed at all, and in the last tenth of them.
    middle: the median of |latent weight|; small: the share of weights below a tenth of that, which a nudge turns over.
    latent: how many latent weights lie in each twentieth of -1 to 1, those beyond in the outer ones.
    """

    name: str
    weights: int
    changes: int
    ever: int
    late: int
    middle: float
    small: float
    latent: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Run:
    """layers: all that have weights of one bit. rows: of the log, see `read_log`. step: how far of `steps` it is."""

    layers: list[Settled]
    rows: NDArray[np.int64]
    step: int
    steps: int


def read_log(path: Path) -> tuple[list[str], NDArray[np.int64]]:
    """Names of layers and rows (n, 1 + layers), step and sign changes since the row before. InspectError where amiss.

    What a crash cut short at the end is left out.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")[:-1]
        names, *rows = csv.reader(lines)
        table = np.array(rows, dtype=np.int64).reshape(-1, len(names))
        if not (np.all((table >= 0) & (table <= MOST)) and np.all(np.diff(table[:, 0], prepend=0) > 0)):
            raise ValueError("a step or a number of changes that cannot be")
    except (OSError, ValueError, OverflowError, csv.Error) as error:
        said = error.strerror if isinstance(error, OSError) else "no table of sign changes"
        raise InspectError(f"{path}: {said}; runs of this version write it") from None
    return names[1:], table


def settled(name: str, last: Array, latent: Array, changes: int, done: float = 1) -> Settled:
    """What became of one layer: last of `SignChanges`, and the latent weights. done: the share of the run so far."""
    size, middle = np.abs(latent), float(np.median(np.abs(latent)))
    late = int(np.count_nonzero(last > PARTS * done * (1 - 1 / TENTHS)))
    small = float(np.mean(size < middle / 10))
    counts, _ = np.histogram(np.clip(latent, -1, 1), bins=2 * TENTHS, range=(-1, 1))
    return Settled(name, last.size, changes, int(np.count_nonzero(last)), late, middle, small, tuple(map(int, counts)))


def of_run(folder: Path) -> Run:
    """The run in a folder. ModelFileError where there is no checkpoint, InspectError where the log is not its own."""
    names, rows = read_log(folder / LOG)
    if not (folder / STATE).exists():
        raise InspectError(f"{folder / STATE}: is missing: a run keeps its checkpoint there, which flips reads")
    arrays, header = read_arrays(folder / STATE, FORMAT)
    try:
        config = tomllib.loads(header["config"])
        step, steps = header["progress"]["step"], config["optim"]["steps"]
        one_bit = config["model"]["binarize"] != "activations"
        done = step / steps
        if not 0 <= done <= 1:
            raise ValueError(f"step {step} of {steps}")
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        raise InspectError(f"{folder / STATE}: does not say how far the run is; runs of this version do") from None
    latents = {name.removeprefix("model/").replace("modules.", ""): array for name, array in arrays.items()}
    found = []
    for place, name in enumerate(names if one_bit else (), start=1):
        last = arrays.get(f"flips/{name}")
        latent = next((array for key, array in latents.items() if _is_weight_of(key, name)), None)
        if last is None or latent is None:
            raise InspectError(f"{folder / STATE}: holds no sign changes of {name}: it belongs to another run")
        found.append(settled(name, last, latent, int(rows[:, place].sum()), done))
    return Run(found, rows, step, steps)


def course(rows: NDArray[np.int64], weights: int) -> list[tuple[int, float]]:
    """For every tenth of the steps so far: its last step, and changes for each million of weights and steps."""
    if not len(rows):
        return []
    ends = np.unique(rows[-1, 0] * np.arange(1, TENTHS + 1) // TENTHS)
    total = np.concatenate([[0], np.cumsum(rows[:, 1:].sum(axis=1))])
    steps = np.concatenate([[0], rows[:, 0]])
    at = np.searchsorted(rows[:, 0], ends)  # the row that holds the end of a tenth
    edges = np.unique(np.concatenate([[0], at + 1]))
    return [
        (int(steps[b]), float(1e6 * (total[b] - total[a]) / (steps[b] - steps[a]) / weights))
        for a, b in pairwise(edges)
    ]


def bars(counts: Sequence[int]) -> str:
    """Counts as a row of bars, the largest of full height."""
    most = max(counts)
    return "".join(" " if not n else BARS[(len(BARS) - 1) * n // most] for n in counts)


def options(parser: argparse.ArgumentParser) -> None:
    """None of its own."""


def view(subject: Subject, options: argparse.Namespace) -> View:
    folder = Path(subject.name)
    if not folder.is_dir():
        raise InspectError(f"{subject.name}: flips looks at a run folder, which knows how its weights changed")
    run = of_run(folder)
    found = run.layers
    if not found:
        raise InspectError(f"{subject.name}: this network has no layer with weights of one bit")
    weights, changes, ever, late = (
        sum(getattr(s, key) for s in found) for key in ("weights", "changes", "ever", "late")
    )
    cells = [
        (s.name, f"{s.weights:,}", f"{s.changes:,}", _percent(s.ever / s.weights), _percent(s.late / s.weights),
         f"{s.middle:.3g}", _percent(s.small), bars(s.latent))
        for s in found
    ]  # fmt: skip
    tenths = course(run.rows, weights)
    of = "of the run: these never settled"
    if run.step < run.steps:
        of = f"of the {run.step:,} steps so far; what would never settle is only known at step {run.steps:,}"
    lines = [
        *table(
            (
                "layer",
                "weights",
                "sign changes",
                "changed ever",
                "in the last tenth",
                "median |w|",
                "near 0",
                "-1 to 1",
            ),
            cells,
        ),
        f"{changes:,} sign changes of {weights:,} weights; {_percent(ever / weights)} changed at all, "
        f"{_percent(late / weights)} in the last tenth {of}",
        "near 0: below a tenth of the median; -1 to 1: how many latent weights there are in each twentieth of it",
        "",
        *table(
            ("up to step", "changes per million weights and step"), [(step, f"{rate:.1f}") for step, rate in tenths]
        ),
    ]
    sums = {"weights": weights, "changes": changes, "ever": ever, "late": late}
    data = {"run": subject.name, "step": run.step, "steps": run.steps, "layers": [asdict(s) for s in found]}
    return View(lines, data | {"course": tenths} | sums)


def _is_weight_of(key: str, layer: str) -> bool:
    """Whether a parameter's short name is that of the filters of a layer: of a unit, or of its own."""
    head, _, tail = key.rpartition(".")
    return tail == "weight" and layer in (head, head.rpartition(".")[0])


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"
