"""What several verbs do."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

import hbcore
from training.datasets import Dataset
from training.errors import DataError
from training.prediction.model import Model
from training.tasks.task import Task

LAST = "last.safetensors"  # the model that a run ends in, in its folder


def use_threads(wanted: int) -> None:
    """0: one per core that this process may use."""
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    hbcore.set_threads(wanted or cores)


def load_model(task: Task, options: argparse.Namespace) -> Model:
    """The model that the options name; the last one of a run, if they name its folder."""
    use_threads(options.threads)
    way = "simulate" if options.simulate else "packed" if options.packed else "engine"
    return Model.load(model_file(options.model), task.name, way)


def model_file(given: str) -> str:
    """A model file, or of a run folder the model it ends in. Raises DataError for a folder that holds none."""
    if not os.path.isdir(given):
        return given
    last = os.path.join(given, LAST)
    if not os.path.exists(last):
        raise DataError(f"{given} is a folder without {LAST}: name a model file, or the folder of a run")
    return last


def open_tests(task: Task, specs: Sequence[str], split: str = "test", lenient: bool = False) -> list[Dataset]:
    """The data sets to test on. lenient: those that have no such split are left out, unless none has. DataError."""
    datasets: list[Dataset] = []
    missing: list[str] = []
    for spec in specs:
        try:
            datasets.append(task.open(spec, split))
        except DataError as error:
            if not lenient:
                raise
            missing.append(str(error))
    if not datasets:
        raise DataError("; ".join(missing))
    return datasets


def print_scores(scores: dict[str, float]) -> None:
    width = max(map(len, scores))
    for name, value in scores.items():
        print(f"{name:<{width}}  {value:6.2f}")


def print_speed(model: Model) -> None:
    """One line on what computed and how long it took, mirrored pictures of a flip test among the pictures."""
    if model.runner.pictures:
        print(f"{model.runner.how}: {model.runner.milliseconds:.2f} ms a picture, network alone")
