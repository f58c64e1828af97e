"""The command line of every task: `python -m training.TASK [train|eval|predict] ...`.

    train     (the default verb) train a binary hourglass; without options on the task's built-in synthetic data
    eval      score a model on a test set, in float simulation or with packed bits
    predict   what the model finds in your own pictures

Exit codes: those of training.command.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import hbcore
from hbcore.introspect import summary
from hbcore.layers import use_packed
from training import config as configuration
from training.command import Parser, carry_out, parse
from training.config import Config
from training.datasets import PersonDataset
from training.errors import DataError, UserError
from training.evaluate import baseline_scores, evaluate
from training.files import atomic_write, environment, locked, make_folder, make_run_folder, write_json
from training.loader import Joined
from training.loop import Run, build_network, stored_config
from training.model import Model
from training.predict import find_pictures, save_predictions
from training.progress import ProgressBar
from training.report import curves
from training.task import Task
from training.testset import TestSet

# What may differ between a run and its resumption: nothing that changes the weights.
FREE_TO_CHANGE = (
    "run.out", "run.threads", "run.checkpoint_minutes", "run.log_every", "run.stop_after", "run.patience",
    "data.workers",
)  # fmt: skip


def main(task: Task, arguments: Sequence[str] | None = None) -> int:
    """Run one command line of a task; returns the exit code."""
    options = _parse(task, sys.argv[1:] if arguments is None else arguments)
    return carry_out(options.verb, lambda: VERBS[options.verb](task, options))


# ----------------------------------------------------------------------------------------------------- train


def train(task: Task, options: argparse.Namespace) -> None:
    """Train, evaluate, and leave a run folder that says everything."""
    if options.settings:
        print(configuration.describe(task.defaults()))
        return
    config = _config(task, options)
    if options.dry_run:
        _dry_run(task, config, options.json)
        return
    folder = make_run_folder(config.run.out, options.resume)
    with locked(folder):
        _set_threads(config.run.threads)
        data = Joined([task.open(spec, "train") for spec in config.data.train], config.data.limit)
        test = _test_set(task, config)
        run = Run(task, config, folder, data, test)
        run.resume()
        bar = ProgressBar(run.progress.step, run.stop, config.optim.batch_size, options.quiet)
        with closing(bar):
            run.report, run.say = bar.update, bar.say
            write_json(folder / "env.json", environment() | hbcore.kernel_report() | {"command": options.command})
            atomic_write(folder / "config.toml", configuration.to_toml(config).encode())
            bar.say(f"{len(data)} people to train on, {len(test.pictures)} to test on; run folder {folder}")
            if test.bad:
                people = len(test.pictures) + len(test.bad)
                bar.say(f"{len(test.bad)} of {people} test pictures cannot be read: see bad_images.csv")
            run.train()
        result = _report(run, test)
    if options.json:
        print(json.dumps(result, indent=2))
    elif not options.quiet:
        _print_scores(result["metrics"])
        print(f"{result['minutes']:.1f} minutes of training; model, curves and pictures in {folder}")


def _report(run: Run, test: TestSet) -> dict[str, Any]:
    """Final figures and pictures of a finished run."""
    task, config, folder = run.task, run.config, run.folder
    scores, predicted = evaluate(task, run.model(), test)
    result: dict[str, Any] = {
        "metrics": scores,
        "protocol": task.used_protocols(test, scores),
        "people": len(test.pictures),
        "split": "test",
        "flip_test": False,
        "model": "last",
        "input_size": config.data.size,
        "steps": run.progress.step,
        "minutes": round(run.progress.seconds / 60, 2),
        "best": {"metric": run.headline, "value": run.progress.best, "step": run.progress.best_step},
        "network": summary(run.network, config.data.size, config.data.size).to_dict(),
        "bad_pictures": len(run.progress.bad) + len(test.bad),
    }
    write_json(folder / "metrics.json", result)
    curves(folder / "log.csv", folder / "curves.png", [run.headline])
    task.draw(test, predicted, folder)
    return result


def _config(task: Task, options: argparse.Namespace) -> Config:
    """Defaults < the file < --set < flags; for a resumed run its own configuration instead of the defaults."""
    defaults = task.defaults()
    base = configuration.load(options.config, defaults) if options.config else defaults
    assignments = list(options.set or [])
    for name, key in FLAGS.items():
        value = getattr(options, name)
        if value is not None:
            assignments.append(f"{key}={configuration.literal(value)}")
    stored = None
    if options.resume:
        place = [text for text in assignments if text.partition("=")[0].strip() == "run.out"]
        out = configuration.override(base, place).run.out
        stored = stored_config(Path(out))
    if stored is None:
        return task.check(configuration.override(base, assignments))
    place = [f"run.out={configuration.literal(out)}"]
    changed = configuration.override(base if options.config else stored, [*assignments, *place])
    blocking = [
        line for line in configuration.differences(stored, changed) if line.partition(":")[0] not in FREE_TO_CHANGE
    ]
    if blocking:
        raise UserError(
            f"cannot resume {out} with other settings ({'; '.join(blocking)}): "
            "leave them out, or start anew with another --out"
        )
    return task.check(changed)


def _dry_run(task: Task, config: Config, as_json: bool) -> None:
    """What would be trained: resolved configuration and the network's size."""
    joints = config.model.joints or len(task.open(config.data.train[0], "train").skeleton.names)
    sizes = summary(build_network(config, joints), config.data.size, config.data.size)
    if as_json:
        print(json.dumps({"config": configuration.to_dict(config), "joints": joints, **sizes.to_dict()}, indent=2))
    else:
        print(configuration.to_toml(config))
        print(sizes)


# ------------------------------------------------------------------------------------------------------ eval


def evaluate_model(task: Task, options: argparse.Namespace) -> None:
    """Score a model file."""
    model = _load_model(task, options)
    specs = options.data or task.defaults().data.train
    test = TestSet.read([task.open(spec, options.split) for spec in specs], model.codec.input_size)
    scores, predicted = evaluate(task, model, test, options.flip_test)
    result: dict[str, Any] = {
        "metrics": scores,
        "protocol": task.used_protocols(test, scores),
        "people": len(test.pictures),
        "split": options.split,
        "flip_test": options.flip_test,
        "packed": options.packed,
        "input_size": model.codec.input_size,
        "bad_pictures": [reason for _, reason in test.bad],
    }
    baseline = task.baseline.replace(" ", "_")
    if mean_of := getattr(options, baseline):
        result[baseline] = baseline_scores(task, Joined([task.open(spec, "train") for spec in mean_of]), test)
    for _, reason in test.bad:
        print(f"skipped: {reason}", file=sys.stderr)
    if options.out:
        write_json(Path(options.out), result)
    if options.pictures:
        task.draw(test, predicted, make_folder(options.pictures))
    if options.json:
        print(json.dumps(result, indent=2))
        return
    _print_scores(scores)
    for name, text in result["protocol"].items():
        print(f"{name}: {text}")
    if mean_of:
        print(f"{task.baseline} of the training set:")
        _print_scores(result[baseline])


# --------------------------------------------------------------------------------------------------- predict


def predict_pictures(task: Task, options: argparse.Namespace) -> None:
    """Say what there is in pictures."""
    model = _load_model(task, options)
    paths = find_pictures([Path(name) for name in options.pictures])
    out = make_folder(options.out)
    if out.resolve() in {path.parent.resolve() for path in paths}:
        raise UserError(f"{out} holds the pictures themselves: choose another folder with --out")
    predictions = task.predictions(model, out, options)
    done, bad = save_predictions(model, paths, predictions, options.box, options.flip_test)
    for error in bad:
        print(f"skipped: {error}", file=sys.stderr)
    if not done:
        raise DataError("there is no picture left to look at")
    if not options.quiet:
        print(f"{done} of {len(paths)} pictures: {predictions.files} in {options.out}")


# --------------------------------------------------------------------------------------------------- helpers


def _set_threads(wanted: int) -> None:
    """0: one per core that this process may use."""
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    hbcore.set_threads(wanted or cores)


def _load_model(task: Task, options: argparse.Namespace) -> Model:
    _set_threads(options.threads)
    model = Model.load(options.model, task.name)
    use_packed(model.network, options.packed)
    return model


def _test_set(task: Task, config: Config) -> TestSet:
    """The test split of the data sets to test on; by default of those trained on that have one."""
    datasets: list[PersonDataset] = []
    missing: list[str] = []
    for spec in config.data.test or config.data.train:
        try:
            datasets.append(task.open(spec, "test"))
        except DataError as error:
            if config.data.test:
                raise
            missing.append(str(error))
    if not datasets:
        raise DataError(f"nothing to test on ({'; '.join(missing)}): name a data set with --test")
    return TestSet.read(datasets, config.data.size, config.data.bad_pictures == "skip")


def _print_scores(scores: dict[str, float]) -> None:
    width = max(map(len, scores))
    for name, value in scores.items():
        print(f"{name:<{width}}  {value:6.2f}")


def _box(text: str) -> tuple[float, float, float, float]:
    try:
        x, y, width, height = values = tuple(map(float, text.split(",")))
        if not all(map(math.isfinite, values)):
            raise ValueError
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not x,y,width,height in pixels") from None
    if not (width > 0 and height > 0):
        raise argparse.ArgumentTypeError(f"the box {text!r} has no area")
    return x, y, width, height


def _thread_count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 4 and int(text) <= 1024):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of threads, up to 1024 (0: one per core)")
    return int(text)


# Command-line flags of `train` and the settings they stand for.
FLAGS = {
    "data": "data.train", "test": "data.test", "out": "run.out", "steps": "optim.steps", "lr": "optim.lr",
    "batch_size": "optim.batch_size", "features": "model.features", "stacks": "model.stacks", "block": "model.block",
    "size": "data.size", "seed": "run.seed", "threads": "run.threads", "workers": "data.workers", "ema": "optim.ema",
    "patience": "run.patience", "limit": "data.limit",
}  # fmt: skip


def _parse(task: Task, arguments: Sequence[str]) -> argparse.Namespace:
    """The options; `command` among them is the whole command line. Leaves with exit code 2 if they are wrong."""
    words = list(arguments)
    if not words or (words[0].startswith("-") and words[0] not in ("-h", "--help")):
        words.insert(0, "train")
    options = parse(_parser(task), words)
    options.command = shlex.join(["python", "-m", task.module, *words])
    return options


def _parser(task: Task) -> Parser:
    parser = Parser(prog=f"python -m {task.module}", description=task.about)
    verbs = parser.add_subparsers(dest="verb", required=True, parser_class=Parser)

    t = verbs.add_parser("train", help="train a network (the default verb)")
    t.add_argument(
        "--data",
        action="append",
        metavar="NAME[:PATH]",
        help=f"train on one of {', '.join(task.kinds)}; repeatable",
    )
    t.add_argument(
        "--test", action="append", metavar="NAME[:PATH]", help="test on these instead of the test splits of --data"
    )
    t.add_argument("--out", help="run folder")
    t.add_argument("--resume", action="store_true", help="go on with the run in --out, to the same bytes")
    t.add_argument("--config", help="settings as TOML")
    t.add_argument(
        "--set",
        nargs="+",
        action="extend",
        metavar="SECTION.KEY=VALUE",
        help="change settings, see --settings; repeatable",
    )
    t.add_argument(
        "--settings", action="store_true", help="print all settings, what they mean, their defaults; then stop"
    )
    for name, kind in {
        "steps": int, "batch-size": int, "lr": float, "features": int, "stacks": int, "block": str, "size": int,
        "seed": int, "threads": int, "workers": int, "ema": float, "patience": int, "limit": int,
    }.items():  # fmt: skip
        flag = name.replace("-", "_")
        t.add_argument(f"--{name}", dest=flag, type=kind, help=f"same as --set {FLAGS[flag]}=...")
    t.add_argument("--dry-run", action="store_true", help="print the settings and the network's size, train nothing")
    t.add_argument("--json", action="store_true", help="print results as JSON")
    t.add_argument("--quiet", action="store_true", help="no progress, no summary")

    e = verbs.add_parser("eval", help="score a model")
    e.add_argument("model", help="a model file (best.safetensors or last.safetensors of a run)")
    e.add_argument(
        "--data",
        action="append",
        metavar="NAME[:PATH]",
        help=f"test on these; repeatable; default: {task.defaults().data.train[0]}",
    )
    e.add_argument("--split", choices=("test", "train"), default="test")
    e.add_argument(
        f"--{task.baseline.replace(' ', '-')}",
        action="append",
        metavar="NAME[:PATH]",
        help=f"also score the {task.baseline} of these training sets",
    )
    e.add_argument("--json", action="store_true", help="print results as JSON")
    e.add_argument("--out", help="also write the results to this JSON file")
    e.add_argument("--pictures", metavar="FOLDER", help="also draw overlays and curves into this folder")

    p = verbs.add_parser("predict", help=f"find {task.things} in pictures")
    p.add_argument("model", help="a model file")
    p.add_argument("pictures", nargs="+", help="pictures or folders of pictures")
    p.add_argument(
        "--box",
        type=_box,
        metavar="X,Y,W,H",
        help="the person's box in pixels (--box=-5,... if it begins outside); default: the whole picture",
    )
    p.add_argument("--out", default="predictions", help="folder for predictions and overlays")
    p.add_argument("--quiet", action="store_true")
    task.add_options(p)
    for verb in (e, p):
        verb.add_argument(
            "--packed", action="store_true", help="compute with packed bits from the first sign to the last"
        )
        verb.add_argument("--flip-test", action="store_true", help="average with the mirrored picture")
        verb.add_argument("--threads", type=_thread_count, default=0, help="0: one per core")
    return parser


VERBS: dict[str, Callable[[Task, argparse.Namespace], None]] = {
    "train": train,
    "eval": evaluate_model,
    "predict": predict_pictures,
}
