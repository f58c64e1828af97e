"""What the folder of a run says of it: settings, log, machine, and the model that it ended in."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from numpy.typing import NDArray

from training.command_line.common import LAST
from training.configuration.settings import Config
from training.configuration.toml import from_toml
from training.errors import DataError
from training.files.logs import read_log
from training.prediction.model import Model
from training.runs.checkpoint import STATE, Progress, read_checkpoint
from training.tasks.face import FACE
from training.tasks.parts import PARTS
from training.tasks.pose import POSE
from training.tasks.task import Task

TASKS = {task.name: task for task in (POSE, FACE, PARTS)}


@dataclass(frozen=True, eq=False)
class Record:
    """A run, finished or not. environment: what env.json has; log: columns by name, see `CsvLog`."""

    folder: Path
    task: Task
    config: Config
    progress: Progress
    environment: dict[str, Any]
    log: dict[str, NDArray[Any]]
    model: Model

    @classmethod
    def read(cls, folder: Path) -> Self:
        """DataError where there is no run, or a damaged one."""
        if not (folder / STATE).exists():
            raise DataError(f"{folder} holds no run: name the folder that a training run wrote, as runs/pose")
        _, text, progress = read_checkpoint(folder / STATE)
        model = Model.load(folder / LAST)
        if model.task not in TASKS:
            raise DataError(f"{folder}: no task of this version is called {model.task}")
        config = from_toml(text, str(folder / STATE))
        log = read_log(folder / "log.csv")
        return cls(folder, TASKS[model.task], config, progress, _environment(folder / "env.json"), log, model)

    @property
    def name(self) -> str:
        """The last part of the folder's path."""
        return self.folder.resolve().name

    @property
    def finished(self) -> bool:
        """Whether it took all its steps."""
        return self.progress.step >= self.config.optim.steps


def _environment(path: Path) -> dict[str, Any]:
    """DataError where it is not what a run writes."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read {path}: {error}") from None
    if not isinstance(found, dict):
        raise DataError(f"{path} is not what a run writes")
    return found
