"""The verb `train`: train, evaluate, and leave a run folder that says everything."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import hbcore
from hbcore.inspect.summary import summary
from training.checks.before import check_before_training
from training.command_line.common import duration, open_tests, print_protocol, print_scores, use_threads
from training.command_line.resolve import resolve
from training.configuration.effects import without_effect
from training.configuration.resume import changes_since
from training.configuration.settings import Config
from training.configuration.toml import describe, to_toml
from training.configuration.values import to_dict
from training.datasets import Dataset, has_validation
from training.errors import DataError
from training.files.environment import environment, fingerprint
from training.files.run_folder import locked, make_run_folder
from training.files.writing import atomic_write, write_json
from training.loading.concatenated import ConcatenatedDataset
from training.loading.test_set import TestSet
from training.prediction.model import Model
from training.runs.bad_pictures import write_bad_records
from training.runs.checkpoint import stored_config
from training.runs.curves import curves
from training.runs.network import LOSS_PER, build_network
from training.runs.progress import ProgressBar
from training.runs.run import Run
from training.tasks.task import Task


def train(task: Task, options: argparse.Namespace) -> None:
    """Train, evaluate, and leave a run folder that says everything."""
    if options.settings:
        print(describe(task.defaults()))
        return
    config = resolve(task, options)
    if options.dry_run:
        for line in _without_effect(task, config):
            print(line, file=sys.stderr)
        _dry_run(task, config, options.json)
        return
    folder, result, seconds = carry_through(task, config, options)
    if options.json:
        print(json.dumps(result, indent=2))
    elif not options.quiet:
        print_scores(task, result["metrics"])
        print_protocol(result["protocol"])
        print(f"{duration(seconds)} of training; model, curves and pictures in {folder}")


def carry_through(task: Task, config: Config, options: argparse.Namespace) -> tuple[Path, dict[str, Any], float]:
    """One run from its data to its report: the folder, what metrics.json holds, and the seconds of training."""
    if not options.resume:  # a slip in a name leaves no folder behind
        for file in filter(None, (config.run.init, config.technique.teacher)):
            Model.load(file)
    folder = make_run_folder(config.run.out, options.resume)
    with locked(folder):
        use_threads(config.run.threads)
        training = [(spec, task.open(spec, "train")) for spec in config.data.train]
        testing = _test_data(task, config)
        validating = [(spec, task.open(spec, "val")) for spec in config.data.train if has_validation(spec, task.kinds)]
        with closing(ProgressBar(0, 1, 1, options.quiet)) as bar:
            bad = check_before_training([*training, *validating, *testing], config.data.max_bad, bar.say)
        write_bad_records(folder, bad)
        data = ConcatenatedDataset([dataset for _, dataset in training], config.data.limit, config.data.times)
        size = task.codec(config).input_size
        test, validation = (
            TestSet.read([d for _, d in some], size, config.data.bad_pictures == "skip") if some else None
            for some in (testing, validating)
        )
        assert test is not None
        run = Run(task, config, folder, data, test, validation=validation)
        run.resume()
        bar = ProgressBar(run.progress.step, run.stop, config.optim.batch_size, options.quiet)
        with closing(bar):
            run.report, run.say, bar.loss_name = bar.update, bar.say, LOSS_PER[config.optim.loss]
            labels = {"labels": fingerprint([dataset for _, dataset in (*training, *validating, *testing)])}
            around = environment() | hbcore.kernel_report() | labels | {"command": options.command}
            stored = stored_config(folder)
            for line in changes_since(folder, stored, around) if stored else ():
                bar.say(line)
            for line in _without_effect(task, config, data.scheme.flips):
                bar.say(line)
            write_json(folder / "env.json", around)
            atomic_write(folder / "config.toml", to_toml(config).encode())
            usual = task.defaults().run.out
            if not (options.resume or options.out) and re.fullmatch(rf"{re.escape(usual)}-\d+", config.run.out):
                bar.say(f"{usual} holds a run already: this one goes to {folder}")
            some = f"{len(validation.pictures)} to validate on, " if validation else ""
            bar.say(f"{len(data)} samples to train on, {some}{len(test.pictures)} to test on; run folder {folder}")
            if task.is_own(config.data.train):
                bar.say(_length(config, len(data)))
                bar.say(_varied(config))
            if test.bad:
                samples = len(test.pictures) + len(test.bad)
                bar.say(f"{len(test.bad)} of {samples} test pictures cannot be read: see bad_images.csv")
            run.train()
        return folder, _report(run, test), run.progress.seconds


def _report(run: Run, test: TestSet) -> dict[str, Any]:
    """Final figures and pictures of a finished run."""
    task, config, folder, progress = run.task, run.config, run.folder, run.progress
    scores, predicted = run.evaluated(test)
    best, best_step = (
        (progress.best, progress.best_step) if progress.best_step else (scores[run.headline], progress.step)
    )
    result: dict[str, Any] = {
        "metrics": scores,
        "protocol": task.used_protocols(test, scores),
        "people": len(test.pictures),
        "split": "test",
        "flip_test": False,
        "model": "last",
        "input_size": config.data.size,
        "steps": progress.step,
        "minutes": round(progress.seconds / 60, 2),
        "best": {
            "metric": run.headline,
            "value": best,
            "step": best_step,
            **({"split": "val"} if run.validation else {}),
        },
        "network": summary(run.trainer.network, config.data.size, config.data.size).to_dict(),
        "bad_pictures": len(progress.bad) + len(run.unreadable),
    }
    write_json(folder / "metrics.json", result)
    curves(folder / "log.csv", folder / "curves.png", [run.headline], LOSS_PER[config.optim.loss])
    task.draw(test, predicted, folder)
    return result


def _without_effect(task: Task, config: Config, flips: bool = True) -> Iterator[str]:
    """What was asked for and does nothing; flips: whether the data can be mirrored."""
    yield from without_effect(config, task.defaults(), task.unused)
    if config.augment.enabled and config.augment.flip and not flips:
        yield "pictures are not mirrored: it is not known which points change places, see docs/data.md"


def _length(config: Config, pictures: int) -> str:
    """How long a training on a user's own pictures is, and how to change that."""
    steps, patience = config.optim.steps, config.run.patience
    looks = steps * config.optim.batch_size / pictures
    end = f", or until {patience} evaluations bring no new best" if patience else ""
    return f"{steps} steps, in which each picture is looked at {looks:.0f} times{end}; --steps for another length"


def _varied(config: Config) -> str:
    """How training varies a user's own pictures, and how to change that."""
    augment = config.augment
    if not augment.enabled:
        return "your pictures are not varied: augment.enabled = false"
    return (
        f"your pictures are varied: rotation {augment.rotate:g} degrees, size {augment.scale:g} octaves, "
        f"shift {100 * augment.shift:g} %, colour {100 * augment.colour:g} %; --set augment.enabled=false for none"
    )


def _dry_run(task: Task, config: Config, as_json: bool) -> None:
    """What would be trained: resolved configuration and the network's size."""
    maps = config.model.joints or len(task.open(config.data.train[0], "train").skeleton.names)
    sizes = summary(build_network(config, maps), config.data.size, config.data.size)
    if as_json:
        print(json.dumps({"config": to_dict(config), "joints": maps, **sizes.to_dict()}, indent=2))
    else:
        print(to_toml(config))
        print(sizes)


def _test_data(task: Task, config: Config) -> list[tuple[str, Dataset]]:
    """The test split of the data sets to test on, with their names; by default of those trained on that have one."""
    if config.data.test:
        return open_tests(task, config.data.test)
    try:
        return open_tests(task, config.data.train, lenient=True)
    except DataError as error:
        raise DataError(f"nothing to test on ({error}): name a data set with --test") from None
