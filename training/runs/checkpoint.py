"""The whole state of a run in one safetensors file: weights, optimizer, average, counters. Written atomically.

Random numbers, data order, augmentation and learning rate are functions of (seed, step) and need no state. A run that
is killed and resumed therefore continues to the same bytes.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from safetensors.numpy import save

from hbcore.autograd.function import Array
from hbcore.deploy.model_file import ModelFileError, read_arrays
from hbcore.nn.module import Module
from hbcore.optim.optimizers import ExponentialMovingAverage, Optimizer
from training.errors import DataError
from training.files.writing import atomic_write

FORMAT = "hbcore-run/1"


@dataclass
class Progress:
    """Where a run is: steps done, best score so far and when, evaluations since, seconds of training.

    people: how many there are to train on, for their order depends on it; 0: not known yet. teacher: SHA-256 of the
    file of a model that is learned from, if there is one. task: its name. losses: those that await the next row of the
    log. bad: pictures that could not be read so far, as index -> reason.
    """

    step: int = 0
    best: float = float("-inf")
    best_step: int = 0
    stale: int = 0
    seconds: float = 0.0
    people: int = 0
    teacher: str = ""
    task: str = ""
    losses: list[float] = field(default_factory=list)
    bad: dict[str, str] = field(default_factory=dict)


def save_checkpoint(
    path: Path,
    config: str,
    progress: Progress,
    model: Module,
    optimizer: Optimizer,
    average: ExponentialMovingAverage | None,
) -> None:
    """Replace the checkpoint at `path`. Raises DiskError, with the old one untouched."""
    arrays: dict[str, Array] = {f"model/{name}": array for name, array in model.state_dict().items()}
    arrays |= {f"optimizer/{name}": array for name, array in optimizer.state.items()}
    arrays |= {f"average/{name}": array for name, array in (average.state if average else {}).items()}
    header = {"format": FORMAT, "config": config, "progress": asdict(progress)}
    atomic_write(path, save(arrays, {"hbcore": json.dumps(header, sort_keys=True)}))


def read_checkpoint(path: Path) -> tuple[dict[str, Array], str, Progress]:
    """Arrays, configuration (TOML) and progress of a checkpoint. Raises DataError if it is none."""
    try:
        arrays, header = read_arrays(path, FORMAT)
        return arrays, str(header["config"]), Progress(**header["progress"])
    except ModelFileError as error:
        raise DataError(str(error)) from None
    except (KeyError, TypeError) as error:
        raise DataError(f"{path}: not a checkpoint of this version ({error})") from None


def restore(
    arrays: dict[str, Array],
    progress: Progress,
    model: Module,
    optimizer: Optimizer,
    average: ExponentialMovingAverage | None,
) -> None:
    """Put a checkpoint's arrays back. Raises DataError if they belong to another network."""

    def part(prefix: str) -> dict[str, Array]:
        return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}

    try:
        model.load_state_dict(part("model/"))
        averages = average.state if average else {}
        for state, saved in ((optimizer.state, part("optimizer/")), (averages, part("average/"))):
            if state.keys() != saved.keys():
                raise ValueError("the optimizer's state is that of another network or optimizer")
            for name, array in state.items():
                array[...] = saved[name]
    except ValueError as error:
        raise DataError(f"the checkpoint does not fit this run: {error}") from None
    optimizer.steps = progress.step
    if average:
        average.steps = progress.step
