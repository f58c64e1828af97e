"""Cross-validation, `train --folds K`: K ordinary runs, each tested on another part of the pictures for training.

A data set says by `?fold=N/K` which part is which, see `training/datasets/splits.py`. So each run, in the folder
fold-N, is one that `train`, `eval` and the report know by themselves, and can be resumed alone or with the others.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from training.command_line.common import print_protocol
from training.command_line.resolve import resolve
from training.command_line.train import carry_through, train
from training.configuration.settings import Config
from training.datasets import divisible
from training.datasets.splits import Fold
from training.errors import Interrupted, UserError
from training.files.writing import numbered, write_json
from training.tasks.task import Task

SUMMARY = "folds.json"


def cross_validate(task: Task, options: argparse.Namespace) -> None:
    """Train K times; print and write mean and spread of every score."""
    if options.settings:
        train(task, options)
        return
    out, folds = _folder(task, options), options.folds
    whole = resolve(task, _changed(options, out=str(out), resume=False))
    check_divisible(task, whole, folds)
    if options.dry_run:
        train(task, _of_fold(options, whole, out, 1))
        return
    results = []
    for number in range(1, folds + 1):
        mine = _of_fold(options, whole, out, number)
        if not options.quiet:
            print(f"fold {number} of {folds}", file=sys.stderr, flush=True)
        try:
            results.append(carry_through(task, resolve(task, mine), mine)[1])
        except Interrupted as error:
            raise Interrupted(f"{error}, or with all folds by the same command and --resume --out {out}") from None
    summary = summarise(results)
    write_json(out / SUMMARY, summary)
    if options.json:
        print(json.dumps(summary, indent=2))
    elif not options.quiet:
        _print(task, summary)
        print_protocol({name: text for name, text in results[0]["protocol"].items() if name != "data"})
        print(f"a run for each fold in {out}, all figures in {SUMMARY}")


def check_divisible(task: Task, config: Config, folds: int) -> None:
    """Raise UserError unless what is trained on can be divided, and nothing else is to be tested on."""
    for spec in config.data.train:
        if not divisible(spec, task.kinds):
            raise UserError(f"--folds {folds} divides your own labelled pictures, not {spec}: name them with --data")
    if config.data.test:
        raise UserError(f"--folds {folds} tests on the pictures for training, part by part: leave out --test")


def summarise(results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Of the metrics that every run has: values, mean and spread, the standard deviation of single runs (n - 1)."""
    shared = [name for name in results[0]["metrics"] if all(name in result["metrics"] for result in results)]
    values = {name: [result["metrics"][name] for result in results] for name in shared}
    return {
        "folds": len(results),
        "people": [result["people"] for result in results],
        "mean": {name: statistics.fmean(found) for name, found in values.items()},
        "spread": {name: statistics.stdev(found) for name, found in values.items()},
        "values": values,
    }


def _print(task: Task, summary: dict[str, Any]) -> None:
    width = max(map(len, summary["mean"]))
    headline = task.headline(summary["mean"])
    for name, mean in summary["mean"].items():
        each = ", ".join(f"{value:.2f}" for value in summary["values"][name])
        word = f"   {'lower' if task.lower_is_better else 'higher'} is better" if name == headline else ""
        print(f"{name:<{width}}  {mean:6.2f} +- {summary['spread'][name]:5.2f} %   ({each}){word}")


def _folder(task: Task, options: argparse.Namespace) -> Path:
    """The one that the folders of the runs are in."""
    if options.out:
        return Path(options.out)
    if options.resume:
        raise UserError("--resume with --folds: name the folder of the folds with --out")
    usual = f"{task.defaults().run.out}-folds"
    return next(Path(folder) for folder in numbered(usual) if not os.path.lexists(folder))


def _of_fold(options: argparse.Namespace, whole: Config, out: Path, number: int) -> argparse.Namespace:
    """The options of one run. Another seed deals the pictures anew."""
    fold = Fold(number, options.folds, whole.run.seed)
    data = [f"{spec}{'&' if '?' in spec else '?'}fold={fold}" for spec in whole.data.train]
    return _changed(options, out=str(out / f"fold-{number}"), data=data)


def _changed(options: argparse.Namespace, **changes: Any) -> argparse.Namespace:
    return argparse.Namespace(**vars(options) | changes)
