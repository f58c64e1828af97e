"""What several verbs do."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence

import hbcore
from hbcore.deploy.model_file import ModelFileError
from hbcore.landmarks.finding.finder import Finder
from hbcore.landmarks.landmarker import find_model, finder_for, model_names
from hbcore.threads import usable_cores
from training.datasets import Dataset
from training.errors import DataError
from training.prediction.model import Model
from training.tasks.task import Task

LAST = "last.safetensors"  # the model that a run ends in, in its folder


def use_threads(wanted: int) -> None:
    """0: one per core that this process may use."""
    hbcore.set_threads(wanted or usable_cores())


def load_model(task: Task, options: argparse.Namespace) -> Model:
    """The model that the options name; the last one of a run, if they name its folder."""
    use_threads(options.threads)
    way = "simulate" if options.simulate else "packed" if options.packed else "engine"
    return Model.load(model_file(options.model), task.name, way)


def model_file(given: str) -> str:
    """The model file that is named: by its path, by a run folder, which ends in it, or as one that comes with hbcore.

    Raises DataError for a folder that holds none.
    """
    last = os.path.join(given, LAST)
    if os.path.exists(last):
        return last
    if given in model_names() and not os.path.isfile(given):
        return str(find_model(given))
    if os.path.isdir(given):
        raise DataError(f"{given} is a folder without {LAST}: name a model file, or the folder of a run")
    return given


def finder_of(model: Model, named: str | None) -> Finder | None:
    """The finder that was named, else the one that goes with the model, if there is one."""
    try:
        path = find_model(named) if named else finder_for(model.description)
        return Finder(path) if path else None
    except ModelFileError as error:
        raise DataError(str(error)) from None


def open_tests(
    task: Task, specs: Sequence[str], split: str = "test", lenient: bool = False
) -> list[tuple[str, Dataset]]:
    """The data sets to test on, with their names.

    lenient: those that have no such split are left out. Raises DataError if one, or with `lenient` every one, has none.
    """
    datasets: list[tuple[str, Dataset]] = []
    missing: list[str] = []
    for spec in specs:
        try:
            datasets.append((spec, task.open(spec, split)))
        except DataError as error:
            if not lenient:
                raise
            missing.append(str(error))
    if not datasets:
        raise DataError("; ".join(missing))
    return datasets


def print_scores(task: Task, scores: Mapping[str, float]) -> None:
    """A line for each score, in percent, with a word on the one that a model is judged by."""
    width = max(map(len, scores))
    headline = task.headline(scores)
    for name, value in scores.items():
        word = f"   {'lower' if task.lower_is_better else 'higher'} is better" if name == headline else ""
        print(f"{name:<{width}}  {value:6.2f} %{word}")


def print_protocol(protocol: Mapping[str, str]) -> None:
    """What the scores rest on and mean, a line for the data and one for each metric."""
    for name, text in protocol.items():
        print(f"{name}: {text}")


def duration(seconds: float) -> str:
    """A time for people: "42 seconds", "3.3 minutes"."""
    return f"{seconds:.0f} seconds" if seconds < 60 else f"{seconds / 60:.1f} minutes"


def print_speed(model: Model) -> None:
    """One line on what computed and how long it took, mirrored pictures of a flip test among the pictures."""
    if model.runner.pictures:
        print(f"{model.runner.how}: {model.runner.milliseconds:.2f} ms a picture, network alone")
