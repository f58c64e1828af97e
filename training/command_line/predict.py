"""The verb `predict`: what a model finds in a user's own pictures."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from training.command_line.common import load_model, print_speed
from training.errors import DataError, UserError
from training.files.writing import make_folder
from training.prediction.predict import find_pictures, save_predictions
from training.runs.progress import followed
from training.tasks.task import Task


def predict_pictures(task: Task, options: argparse.Namespace) -> None:
    """Say what there is in pictures."""
    model = load_model(task, options)
    paths = find_pictures([Path(name) for name in options.pictures])
    out = make_folder(options.out)
    if out.resolve() in {path.parent.resolve() for path in paths}:
        raise UserError(f"{out} holds the pictures themselves: choose another folder with --out")
    predictions = task.predictions(model, out, options)
    done, bad = save_predictions(
        model, followed(paths, "picture", options.quiet), predictions, options.box, options.flip_test
    )
    for error in bad:
        print(f"skipped: {error}", file=sys.stderr)
    if not done:
        raise DataError("there is no picture left to look at")
    if not options.quiet:
        print(f"{done} of {len(paths)} pictures: {predictions.files} in {options.out}")
        print_speed(model)
