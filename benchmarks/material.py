"""What training is measured on: figures that are drawn, and the data sets that --data names.

Those of one task are one, as in a run. Batches are those of the task's recipe: turned, scaled, shifted, mirrored and
coloured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.settings import Settings
from training.configuration.settings import Config
from training.configuration.toml import load
from training.errors import UserError, unknown
from training.loading.batch import BatchPlan
from training.loading.concatenated import ConcatenatedDataset
from training.runs.run import augmentation
from training.tasks.face import FACE
from training.tasks.parts import PARTS
from training.tasks.pose import POSE
from training.tasks.task import Task

RECIPES = Path(__file__).parents[1] / "training" / "recipes"
TASKS: dict[str, tuple[Task, str]] = {
    "pose": (POSE, "lsp.toml"),
    "face": (FACE, "face.toml"),
    "parts": (PARTS, "face.toml"),
}
BATCH = 8  # as in the table of training steps


@dataclass(frozen=True)
class Material:
    """name: for rows. task, config: of a run. plan: what its batches hold."""

    name: str
    task: Task
    config: Config
    plan: BatchPlan


def materials(settings: Settings) -> list[Material]:
    """Drawn figures, then one for each task that has data. Raises UserError for data that cannot be used."""
    found = [material("drawn figures", "pose", ["synthetic"], settings.tiny)]
    for task in TASKS:
        specs = [spec for spec in settings.data if task_of(spec) == task]
        if specs:
            found.append(material(" and ".join(map(kind, specs)), task, specs, settings.tiny))
    return found


def material(name: str, task_name: str, specs: Sequence[str], tiny: bool) -> Material:
    """These data sets as those of one run, with the smallest network that there is if tiny."""
    task, recipe = TASKS[task_name]
    config = load(RECIPES / recipe, task.defaults())
    config = replace(config, optim=replace(config.optim, batch_size=BATCH))
    if tiny:
        model = replace(config.model, features=16, depth=1)
        config = replace(config, model=model, data=replace(config.data, size=32))
    data = ConcatenatedDataset([task.open(spec, "train") for spec in specs])
    keep = config.data.keep * 10**6
    return Material(name, task, config, BatchPlan(data, augmentation(config), config.data.size, BATCH, 0, keep=keep))


def kind(spec: str) -> str:
    """The first word of a data set's name."""
    return spec.partition("?")[0].partition(":")[0]


def task_of(spec: str) -> str:
    """The first task that knows this kind of data. Raises UserError if there is none."""
    for name, (task, _) in TASKS.items():
        if kind(spec) in task.kinds:
            return name
    known = dict.fromkeys(name for task, _ in TASKS.values() for name in task.kinds)
    raise UserError(unknown("data set", kind(spec), known))
