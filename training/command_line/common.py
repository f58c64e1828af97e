"""What several verbs do."""

from __future__ import annotations

import argparse
import os
import sys

import hbcore
from hbcore.nn.layers import use_packed
from training.prediction.model import Model
from training.tasks.task import Task


def use_threads(wanted: int) -> None:
    """0: one per core that this process may use."""
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    hbcore.set_threads(wanted or cores)


def load_model(task: Task, options: argparse.Namespace) -> Model:
    use_threads(options.threads)
    model = Model.load(options.model, task.name)
    use_packed(model.network, options.packed)
    return model


def print_scores(scores: dict[str, float]) -> None:
    width = max(map(len, scores))
    for name, value in scores.items():
        print(f"{name:<{width}}  {value:6.2f}")
