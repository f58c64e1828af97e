"""The whole state of a run in one safetensors file: weights, optimizer, average, counters. Written atomically.

Random numbers, data order, augmentation and learning rate are functions of (seed, step) and need no state. A run that
is killed and resumed therefore continues to the same bytes.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from safetensors.numpy import save

from hbcore.autograd.function import Array
from hbcore.deploy.model_file import ModelFileError, read_arrays
from hbcore.nn.module import Module
from hbcore.optim.optimizers import ExponentialMovingAverage, Optimizer
from training.configuration.settings import Config
from training.configuration.toml import from_toml
from training.errors import DataError, DiskError
from training.files.writing import atomic_write

FORMAT = "hbcore-run/1"
STATE = "state.safetensors"  # the checkpoint of a run, in its folder


@dataclass
class Progress:
    """Where a run is: steps done, best score so far and when, evaluations since, seconds of training.

    people: the number of samples to train on, since their order depends on it; 0: not known yet. teacher: SHA-256 of
    the file of a model that is learned from, if there is one. task: its name. losses, flips: those that await the next
    row of the logs, flips by layer. norm: of the last gradient. bad: pictures that could not be read so far, as
    index -> reason.
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
    flips: dict[str, int] = field(default_factory=dict)
    norm: float = 0.0
    bad: dict[str, str] = field(default_factory=dict)


def save_checkpoint(
    path: Path,
    config: str,
    progress: Progress,
    model: Module,
    optimizer: Optimizer,
    average: ExponentialMovingAverage | None,
    flips: Mapping[str, Array] | None = None,
) -> None:
    """Replace the checkpoint at `path`. flips: when signs changed last. DiskError, with the old one untouched."""
    arrays: dict[str, Array] = {f"model/{name}": array for name, array in model.state_dict().items()}
    arrays |= {f"optimizer/{name}": array for name, array in optimizer.state.items()}
    arrays |= {f"average/{name}": array for name, array in (average.state if average else {}).items()}
    arrays |= {f"flips/{name}": array for name, array in (flips or {}).items()}
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


def part(arrays: Mapping[str, Array], prefix: str) -> dict[str, Array]:
    """The arrays of a checkpoint whose names begin so, without that."""
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def restore(
    arrays: dict[str, Array],
    progress: Progress,
    model: Module,
    optimizer: Optimizer,
    average: ExponentialMovingAverage | None,
) -> None:
    """Put a checkpoint's arrays back. Raises DataError if they belong to another network."""

    try:
        model.load_state_dict(part(arrays, "model/"))
        optimizer.load_state(part(arrays, "optimizer/"), progress.step)
        averages, saved = average.state if average else {}, part(arrays, "average/")
        if averages.keys() != saved.keys():
            raise ValueError("the average is that of another network")
        for name, array in averages.items():
            array[...] = saved[name]
    except ValueError as error:
        raise DataError(f"the checkpoint does not fit this run: {error}") from None
    if average:
        average.steps = progress.step


def check_same(folder: Path, module: str, config: Config, before: Progress, now: Progress) -> None:
    """Raise DataError if the run in `folder`, whose progress was `before`, is not the one to go on with, `now`."""
    if before.task not in ("", now.task):
        raise DataError(f"cannot resume {folder} with {module}: it began as training.{before.task}")
    if before.people not in (0, now.people):
        raise DataError(
            f"cannot resume {folder}: it began with {before.people} samples to train on, now there are {now.people}: "
            "start anew with another --out"
        )
    if before.teacher != now.teacher:
        raise DataError(
            f"cannot resume {folder}: {config.technique.teacher} is not the file it began with: "
            "bring that back, or start anew with another --out"
        )


def check_space(folder: Path, model: Module, optimizer: Optimizer, average: ExponentialMovingAverage | None) -> None:
    """Raise DiskError now rather than after hours: a checkpoint is written beside the old one."""
    size = sum(array.nbytes for array in model.state_dict().values())
    size += sum(array.nbytes for array in optimizer.state.values()) + size * (average is not None)
    needed, free = int(2.5 * size), shutil.disk_usage(folder).free
    if free < needed:
        raise DiskError(f"{folder}: {free:,} bytes free, checkpoints need {needed:,}: make room first")


def stored_config(folder: Path) -> Config | None:
    """The configuration that the run in `folder` was started with; None if there is no run."""
    path = folder / STATE
    if not path.exists():
        return None
    _, text, _ = read_checkpoint(path)
    return from_toml(text, str(path))
