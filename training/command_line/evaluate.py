"""The verb `eval`: score a model on a test set."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from training.checks.before import check_before_training
from training.command_line.common import load_model, open_tests, print_protocol, print_scores, print_speed
from training.datasets import Dataset
from training.errors import UserError
from training.files.writing import check_place, make_folder, write_json
from training.loading.concatenated import ConcatenatedDataset
from training.loading.test_set import TestSet
from training.prediction.model import BATCH, Model
from training.runs.progress import followed
from training.tasks.evaluation import baseline_scores, evaluate
from training.tasks.task import Task


def evaluate_model(task: Task, options: argparse.Namespace) -> None:
    """Score a model file."""
    model = load_model(task, options)
    if options.out:
        check_place(options.out)
    pictures = make_folder(options.pictures) if options.pictures else None
    specs = options.data or tested_on(task, model, options.model)
    datasets = _open(task, specs, options)
    for record in check_before_training(datasets, most=1, say=partial(print, file=sys.stderr)):
        print(f"left out: {record.text}", file=sys.stderr)
    test = TestSet.read([d for _, d in datasets], model.codec.input_size, follow=partial(followed, unit="reading"))
    computing = partial(followed, unit="computing", size=BATCH)
    scores, predicted = evaluate(task, model, test, options.flip_test, computing)
    result: dict[str, Any] = {
        "metrics": scores,
        "protocol": task.used_protocols(test, scores),
        "people": len(test.pictures),
        "data": list(specs),
        "split": options.split,
        "flip_test": options.flip_test,
        "packed": options.packed,
        "computed_by": model.runner.how,
        "milliseconds": round(model.runner.milliseconds, 3),
        "input_size": model.codec.input_size,
        "bad_pictures": [reason for _, reason in test.bad],
    }
    baseline = task.baseline.replace(" ", "_")
    if mean_of := getattr(options, baseline):
        result[baseline] = baseline_scores(
            task, ConcatenatedDataset([task.open(spec, "train") for spec in mean_of]), test
        )
    for _, reason in test.bad:
        print(f"skipped: {reason}", file=sys.stderr)
    if options.out:
        write_json(Path(options.out), result)
    if pictures:
        task.draw(test, predicted, pictures)
    if options.json:
        print(json.dumps(result, indent=2))
        return
    print_scores(task, scores)
    print_speed(model)
    print_protocol(result["protocol"])
    if mean_of:
        print(f"{task.baseline} of the training set:")
        print_scores(task, result[baseline])


def tested_on(task: Task, model: Model, name: str) -> Sequence[str]:
    """The data sets that a model was tested on in training. Raises UserError if its file does not say."""
    told, data = model.trained.get("test"), model.trained.get("data")
    if isinstance(told, list) and told and all(isinstance(spec, str) and spec.isprintable() for spec in told):
        return told
    if data == ["synthetic"]:  # a file from before there was more than this name
        return task.defaults().data.train
    names = (
        f" (only the kinds of data it was trained on: {', '.join(map(repr, data))})" if isinstance(data, list) else ""
    )
    raise UserError(f"{name} does not say what it was tested on{names}: name a data set with --data")


def _open(task: Task, specs: Sequence[str], options: argparse.Namespace) -> list[tuple[str, Dataset]]:
    if options.data:
        return open_tests(task, specs, options.split)
    try:
        return open_tests(task, specs, options.split, lenient=True)
    except UserError as error:
        raise type(error)(
            f"{error}; that is what {options.model} was tested on: if it lies elsewhere, name it with --data"
        ) from None
