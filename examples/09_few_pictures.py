"""How few labelled pictures are enough: `python examples/09_few_pictures.py 300W --out FOLDER`, in a checkout.

300W holds lfpw/, helen/ and afw/, pictures with a .pts file of ibug's 68 points beside each. Fifteen of the points are
taken by their names, as somebody with a question of their own would label them, on 20, 50 and 100 pictures drawn from
the three training sets, the fewer among the more. Each becomes a table of labels, and `training.face` trains on it with
its defaults: from scratch, and beginning with models that come with hbcore. All are tested on the 224 test faces of
LFPW. What is done already is not done again, so that the same command goes on after it was stopped.

A shipped model has seen the pictures of these training sets, with the labels of all 68 points, many times: where its
points have the names of yours, it knows them before the first step. So `+anew` behind its name gives the points other
names, of which it knows none: the last layer is drawn anew, and only what leads to it is taken over. Both are better
here than on pictures of your own, which no model has seen. `+frozen` trains the heads alone. The test faces were seen
by none in training.
"""

import argparse
import csv
import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np

import hbcore
from hbcore.photos.reading import ENDINGS

ROOT = Path(__file__).resolve().parents[1]
TRAIN, TEST = ("lfpw/trainset", "helen/trainset", "afw"), ("lfpw/testset",)
POINTS = (
    *("right_brow_1", "right_brow_5", "left_brow_5", "left_brow_1", "right_eye_outer", "right_eye_inner"),
    *("left_eye_inner", "left_eye_outer", "nose_bridge_4", "right_nostril_1", "left_nostril_1"),
    *("right_upper_lip_outer_1", "left_upper_lip_outer_1", "lower_lip_bottom", "chin"),
)
SCRATCH = "scratch"
STARTS = (SCRATCH, "face68-tiny+anew", "face68-small+anew", "face68-small+anew+frozen", "face68-tiny", "face68-small")
NEW = "my_"  # before names of points that no model shall know
SCORE = "NME_ioc"


def read_pts(path):
    """The points (68, 2); the first pixel's centre, (1, 1) in the file, is (0, 0)."""
    body = path.read_text().partition("{")[2].partition("}")[0]
    points = np.array([line.split() for line in body.strip().splitlines()], dtype=np.float64)
    if points.shape != (68, 2):
        sys.exit(f"{path}: expected 68 lines of x y")
    return points - 1


def labelled(root, folders):
    """The .pts files in some folders of 300-W, each with the picture beside it."""
    found = []
    for folder in folders:
        for file in sorted((root / folder).glob("*.pts")):
            pictures = [path for path in sorted(file.parent.glob(f"{file.stem}.*")) if path.suffix.lower() in ENDINGS]
            found += [(file, picture) for picture in pictures[:1]]
    if not found:
        sys.exit(f"{root}: there is no picture with a .pts file in {', '.join(folders)}")
    return found


def write_labels(path, root, files, names, prefix):
    """A table of the POINTS in some files, boxes around all that there are, and what the points mean."""
    chosen = [names.index(name) for name in POINTS]
    columns = [f"{prefix}{name}_{axis}" for name in POINTS for axis in "xy"]
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["picture", "box_x", "box_y", "box_w", "box_h", *columns])
        for pts, picture in files:
            points = read_pts(pts)
            box = [*points.min(axis=0), *np.ptp(points, axis=0)]
            table.writerow([picture.relative_to(root).as_posix(), *box, *points[chosen].ravel()])
    path.with_suffix(".toml").write_text(f'outer_eyes = ["{prefix}right_eye_outer", "{prefix}left_eye_outer"]\n')


def run(words, minutes=None):
    """What a command of training.face prints as JSON, None where it was stopped for its time."""
    command = [sys.executable, "-m", "training.face", *map(str, words), "--json"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        out, _ = process.communicate(timeout=minutes and 60 * minutes)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)  # upon which it saves the model as it is
        process.communicate()
        return None
    except KeyboardInterrupt:
        process.wait()  # it was interrupted as well
        raise
    if process.returncode:
        sys.exit(process.returncode)
    return json.loads(out)


def trained(folder, data, test, start, options):
    """The score of one run, with its steps, and whether it ran out of time."""
    metrics, cut = folder / "metrics.json", False
    if metrics.exists():
        result = json.loads(metrics.read_text())
        return result["metrics"][SCORE], result["steps"], False
    model, *ways = start.split("+")
    begin = () if model == SCRATCH else ("--init", model)
    begin += ("--freeze", "trunk") if "frozen" in ways else ()
    words = ["--data", data, "--test", test, "--out", folder, "--quiet", "--resume", "--seed", options.seed, *begin]
    result = run([*words, *options.more], options.minutes)
    if result is None:
        cut, result = True, run(["eval", folder / "last.safetensors", "--data", test])
    return result["metrics"][SCORE], result.get("steps", ""), cut


def main(options):
    root, out = options.folder.resolve(), options.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    names = hbcore.Landmarker("face68-tiny").names
    files = labelled(root, TRAIN)
    drawn = np.random.default_rng(options.seed).permutation(len(files))
    tests = labelled(root, TEST)
    print(f"| pictures | {' | '.join(options.starts)} |")
    print(f"|---|{'---|' * len(options.starts)}", flush=True)
    for number in options.pictures:
        chosen = [files[k] for k in sorted(drawn[:number])]
        cells = []
        for start in options.starts:
            prefix = NEW if "anew" in start.split("+") else ""
            tables = out / f"{prefix}{number}-{options.seed}.csv", out / f"{prefix}test.csv"
            for table, some in zip(tables, (chosen, tests), strict=True):
                write_labels(table, root, some, names, prefix)
            data, test = f"csv:{tables[0]}?images={root}", f"csv:{tables[1]}?images={root}&test=1"
            folder = out / f"{number}-{Path(start).name}-{options.seed}"
            score, steps, cut = trained(folder, data, test, start, options)
            cells.append(f"{score:.2f}{f' ({steps} steps)' if steps else ''}{', out of time' if cut else ''}")
        print(f"| {number} | {' | '.join(cells)} |", flush=True)


def numbers(text):
    return [int(part) for part in text.split(",")]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="NME of 15 points, in percent of the distance of the eyes' corners.")
    parser.add_argument("folder", type=Path, help="what holds lfpw/, helen/ and afw/")
    parser.add_argument("--out", type=Path, required=True, help="where runs and labels go")
    parser.add_argument("--pictures", type=numbers, default=[20, 50, 100], metavar="N,N", help="default: 20,50,100")
    parser.add_argument("--starts", type=lambda text: text.split(","), metavar="NAME,NAME",
                        default=STARTS, help="what to begin with: scratch, or a model")  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, help="of the pictures, and of the runs")
    parser.add_argument("--minutes", type=float, help="stop each run after so many; default: never")
    parser.epilog = "What follows -- are further options of training.face, for all runs alike."
    words, more = sys.argv[1:], []
    if "--" in words:
        words, more = words[: words.index("--")], words[words.index("--") + 1 :]
    try:
        main(parser.parse_args(words, argparse.Namespace(more=more)))
    except KeyboardInterrupt:
        sys.exit("interrupted: the same command goes on")
