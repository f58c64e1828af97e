"""The options of the verbs."""

from __future__ import annotations

import argparse
import math
import shlex
from collections.abc import Sequence

from training.command_line.parser import Parser, parse
from training.datasets.kinds import describe_kinds
from training.datasets.splits import MOST_FOLDS
from training.tasks.task import Task


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


def _finite(text: str) -> float:
    try:
        if math.isfinite(value := float(text)):
            return value
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"{text!r} is not a number")


def _thread_count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 4 and int(text) <= 1024):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of threads, up to 1024 (0: one per core)")
    return int(text)


def _folds(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 4 and 2 <= int(text) <= MOST_FOLDS):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of folds, from 2 to {MOST_FOLDS}")
    return int(text)


# Command-line flags of `train` and the settings they stand for.
FLAGS = {
    "data": "data.train", "test": "data.test", "out": "run.out", "steps": "optim.steps", "lr": "optim.lr",
    "batch_size": "optim.batch_size", "features": "model.features", "stacks": "model.stacks", "block": "model.block",
    "size": "data.size", "seed": "run.seed", "threads": "run.threads", "workers": "data.workers", "ema": "optim.ema",
    "patience": "run.patience", "limit": "data.limit", "init": "run.init", "freeze": "optim.freeze",
}  # fmt: skip


def read_options(task: Task, arguments: Sequence[str]) -> argparse.Namespace:
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
    usual = task.defaults().run.out
    t.add_argument("--out", help=f"run folder; default: the first of {usual}, {usual}-2, ... that holds no run")
    t.add_argument(
        "--resume", action="store_true", help="go on with the run in --out, or with the newest, to the same bytes"
    )
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
        "seed": int, "threads": int, "workers": int, "ema": float, "patience": int, "limit": int, "init": str,
        "freeze": str,
    }.items():  # fmt: skip
        flag = name.replace("-", "_")
        t.add_argument(f"--{name}", dest=flag, type=kind, help=f"same as --set {FLAGS[flag]}=...")
    t.add_argument(
        "--folds",
        type=_folds,
        metavar="K",
        help="cross-validation: K runs, each tested on another K-th of your own labelled pictures for training",
    )
    t.add_argument("--dry-run", action="store_true", help="print the settings and the network's size, train nothing")
    t.add_argument("--json", action="store_true", help="print results as JSON")
    t.add_argument("--quiet", action="store_true", help="no progress, no summary")

    e = verbs.add_parser("eval", help="score a model")
    e.add_argument("model", help="a model file, or the folder of a run, for its last.safetensors")
    e.add_argument(
        "--data",
        action="append",
        metavar="NAME[:PATH]",
        help="test on these; repeatable; default: what the model was tested on in training",
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
    p.add_argument("model", help="a model file, or the folder of a run, for its last.safetensors")
    p.add_argument("pictures", nargs="+", help="pictures or folders of pictures")
    where = p.add_mutually_exclusive_group()
    where.add_argument(
        "--box",
        type=_box,
        metavar="X,Y,W,H",
        help="the instance's box in pixels (--box=-5,... if it begins outside); default: the whole picture",
    )
    where.add_argument(
        "--boxes",
        metavar="coco:FILE|csv:FILE",
        help="boxes by picture, several in each if need be; ?images=FOLDER says where their names start",
    )
    where.add_argument(
        "--finder",
        metavar="NAME|FILE",
        help="a finder (see training.finder) that says where to look; default: the one that comes with hbcore for "
        "models of 68 points of a face",
    )
    p.add_argument(
        "--min-score",
        type=_finite,
        metavar="CONFIDENCE",
        help="draw and keep only answers with this mean score, see docs/confidence.md; default: the model's threshold",
    )
    p.add_argument(
        "--out",
        help="folder for predictions and overlays, without such yet; default: the first free of predictions, "
        "predictions-2, ...",
    )
    p.add_argument("--quiet", action="store_true")
    task.add_options(p)
    for verb in (t, e):
        verb.epilog, verb.formatter_class = describe_kinds(task.kinds), argparse.RawDescriptionHelpFormatter
    for verb in (e, p):
        way = verb.add_mutually_exclusive_group()
        way.add_argument(
            "--packed", action="store_true", help="compute layer by layer in packed bits, not by the engine"
        )
        way.add_argument("--simulate", action="store_true", help="compute layer by layer, in floats of +1 and -1")
        verb.add_argument("--flip-test", action="store_true", help="average with the mirrored picture")
        verb.add_argument("--threads", type=_thread_count, default=0, help="0: one per core")
    return parser
