"""What several verbs do."""

from __future__ import annotations

import argparse
import os
import sys

import hbcore
from training.prediction.model import Model
from training.tasks.task import Task


def use_threads(wanted: int) -> None:
    """0: one per core that this process may use."""
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    hbcore.set_threads(wanted or cores)


def load_model(task: Task, options: argparse.Namespace) -> Model:
    use_threads(options.threads)
    way = "simulate" if options.simulate else "packed" if options.packed else "engine"
    return Model.load(options.model, task.name, way)


def print_scores(scores: dict[str, float]) -> None:
    width = max(map(len, scores))
    for name, value in scores.items():
        print(f"{name:<{width}}  {value:6.2f}")


def print_speed(model: Model) -> None:
    """One line on what computed and how long it took, mirrored pictures of a flip test among the pictures."""
    if model.runner.pictures:
        print(f"{model.runner.how}: {model.runner.milliseconds:.2f} ms a picture, network alone")
