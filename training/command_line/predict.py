"""The verb `predict`: what a model finds in a user's own pictures."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from training.command_line.common import load_model, print_speed
from training.errors import DataError, UserError
from training.files.writing import make_folder
from training.prediction.model import Model
from training.prediction.predict import Predictions, find_pictures, save_predictions
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
    _warn(predictions, "check --box" if options.box else "say where to look with --box x,y,width,height")
    if not done:
        raise DataError("there is no picture left to look at")
    if not options.quiet:
        print(f"{done} of {len(paths)} pictures: {predictions.files} in {options.out}")
        print_speed(model)
        if predictions.least is None:
            print(f"no warnings of worthless answers: {_why(model)}; choose a --min-score yourself", file=sys.stderr)


def _warn(predictions: Predictions, remedy: str) -> None:
    """One line on every picture whose answer is likely worthless."""
    for path, confidence in predictions.doubtful:
        print(
            f"warning: {path}: confidence {confidence:.2f} is below {predictions.least:.2f}, the answer is likely "
            f"worthless and not drawn: {remedy}, or lower --min-score",
            file=sys.stderr,
        )


def _why(model: Model) -> str:
    """Why a model has no threshold."""
    if model.calibration:
        return "in training this model was no surer of right crops than of wrong ones"
    return "the model file has no calibration (it is of an older version, or its run did not finish)"
