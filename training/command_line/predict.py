"""The verb `predict`: what a model finds in a user's own pictures."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from training.command_line.common import finder_of, load_model, print_speed
from training.errors import DataError, Interrupted, UserError
from training.files.writing import make_folder, numbered
from training.prediction.boxes import read_boxes
from training.prediction.model import Model
from training.prediction.predict import Predictions, find_pictures, save_predictions
from training.runs.progress import followed
from training.tasks.task import Task

SAY = "say where to look with --box x,y,width,height or --boxes FILE"
USUAL = "predictions"  # the folder where nobody chose one


def predict_pictures(task: Task, options: argparse.Namespace) -> None:
    """Say what there is in pictures."""
    model = load_model(task, options)
    boxes = read_boxes(options.boxes) if options.boxes else None
    found: dict[str, Path] = {}  # one that is named twice, as by itself and by its folder, is looked at once
    for path in find_pictures([Path(name) for name in options.pictures]):
        found.setdefault(os.path.abspath(path), path)
    paths = list(found.values())
    out = _folder(options.out, paths, task.results)
    finder = None if options.box or boxes else finder_of(model, options.finder)
    options.several = bool(boxes or finder)
    predictions = task.predictions(model, out, options)
    if model.needs_box and not (options.box or boxes or finder):
        rules = " or ".join(map(str, model.crops))
        text = f"warning: this model was trained on squares of {rules}, but looks at whole pictures: {SAY}"
        print(text, file=sys.stderr)
    try:
        done, bad = save_predictions(
            model, followed(paths, "picture", options.quiet), predictions, options.box, options.flip_test, boxes, finder
        )
    except KeyboardInterrupt:
        raise Interrupted(f"interrupted; what was done is in {out}") from None
    for error in [*(boxes.bad if boxes else ()), *bad]:
        print(f"skipped: {error}", file=sys.stderr)
    if boxes and (unused := boxes.unused(paths)):
        print(f"{len(unused)} pictures with boxes were not named, the first: {unused[0]}", file=sys.stderr)
    asked = "--box" if options.box else "--boxes" if boxes else ""
    _warn(predictions, f"check {asked}" if asked else "say where to look with --box x,y,width,height")
    if not done:
        raise DataError("there is no picture left to look at")
    if not options.quiet:
        print(f"{done} of {len(paths)} pictures: {predictions.files} in {options.out or out}")
        print_speed(model)
        if predictions.least is None:
            print(f"no warnings of worthless answers: {_why(model)}; choose a --min-score yourself", file=sys.stderr)


def _folder(chosen: str | None, pictures: Sequence[Path], results: Sequence[str]) -> Path:
    """A folder without any of `results`, made if need be.

    Raises UserError if the one that was chosen has some, since somebody may have corrected them, or holds the pictures.
    """
    path = Path(chosen or USUAL)
    if path.resolve() in {picture.parent.resolve() for picture in pictures}:
        raise UserError(f"{path} holds the pictures themselves: choose another folder with --out")
    if chosen and (held := _held(path, results)):
        raise UserError(f"{path} holds {', '.join(held)} already, which may be your work: choose another --out")
    return make_folder(next(folder for folder in map(Path, numbered(str(path))) if not _held(folder, results)))


def _held(folder: Path, results: Sequence[str]) -> list[str]:
    overlays = next(folder.glob("[0-9][0-9][0-9][0-9]_*.png"), None) if os.path.isdir(folder) else None
    return [*(name for name in results if os.path.lexists(folder / name)), *([overlays.name] if overlays else [])]


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
