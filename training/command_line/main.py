"""The command line of every task: `python -m training.TASK [train|eval|predict] ...`.

    train     (the default verb) train a binary hourglass; without options on the task's built-in synthetic data
    eval      score a model on a test set, in float simulation or with packed bits
    predict   what the model finds in your own pictures

Exit codes: those of `carry_out`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

from training.command_line.evaluate import evaluate_model
from training.command_line.folds import cross_validate
from training.command_line.options import read_options
from training.command_line.parser import carry_out
from training.command_line.predict import predict_pictures
from training.command_line.train import train
from training.tasks.task import Task


def main(task: Task, arguments: Sequence[str] | None = None) -> int:
    """The exit code of one command line of a task, which is run."""
    options = read_options(task, sys.argv[1:] if arguments is None else arguments)
    action = cross_validate if getattr(options, "folds", None) else VERBS[options.verb]
    return carry_out(options.verb, lambda: action(task, options))


VERBS: dict[str, Callable[[Task, argparse.Namespace], None]] = {
    "train": train,
    "eval": evaluate_model,
    "predict": predict_pictures,
}
