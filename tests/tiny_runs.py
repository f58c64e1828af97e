"""Runs of seconds: the smallest network, four drawn figures."""

from pathlib import Path
from typing import Any

from training.configuration.settings import Config
from training.configuration.values import override
from training.labels.sample import Dataset
from training.loading.concatenated import ConcatenatedDataset
from training.loading.test_set import TestSet
from training.runs.run import Run
from training.tasks.pose import POSE

TINY = (
    "model.features=16",
    "model.depth=1",
    "data.size=32",
    "data.workers=0",
    "optim.batch_size=2",
    "optim.warmup=0",
    "optim.steps=4",
    "run.log_every=1",
)


def tiny(*more: str) -> Config:
    """The configuration, with these changes."""
    return override(Config(), [*TINY, *more])


def make_run(folder: Path, config: Config, data: Dataset, test: Dataset, **options: Any) -> Run:
    """A pose run in that folder that says nothing."""
    tests = TestSet.read([test], config.data.size)
    return Run(POSE, config, folder, ConcatenatedDataset([data]), tests, **{"say": lambda text: None} | options)
