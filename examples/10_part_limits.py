"""Where a model of the parts of a face fails: `python examples/10_part_limits.py MODEL FOLDER...`, in a checkout.

The faces of the folders, as `04_accuracy.py` reads them, are made small, turned, dark and grey as in `08_limits.py`
and written down as a test set, in a folder that is gone afterwards, on which `python -m training.parts eval` scores the
model. It prints the table of a model's card: the mean intersection over union of the classes, and that of each, in
percent. The masks are made from ibug's 68 points, as the paper makes them.
"""

import json
import runpy
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

HERE = Path(__file__).resolve().parent
accuracy, limits = (runpy.run_path(str(HERE / f"{name}.py")) for name in ("04_accuracy", "08_limits"))
HOW = {name: change for name, (change, place) in limits["HOW"].items() if place is limits["box_of"]}


def write(folder, number, picture, points):
    """A picture, to the last bit, and its points beside it; the first pixel's centre is (1, 1) in the file."""
    Image.fromarray(picture).save(folder / f"{number:05d}.png")
    lines = [f"{x + 1:.6f} {y + 1:.6f}" for x, y in points]
    text = "\n".join(["version: 1", f"n_points: {len(points)}", "{", *lines, "}", ""])
    (folder / f"{number:05d}.pts").write_text(text)


def score(model, folder):
    """What `training.parts eval` says of a model on a test set, by name."""
    words = ["-m", "training.parts", "eval", model, "--data", f"300w:{folder}", "--json"]
    done = subprocess.run([sys.executable, *words], cwd=HERE.parent, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr.strip())
    return json.loads(done.stdout)["metrics"]


def main(model, folders):
    model = str(Path(model).resolve()) if Path(model).exists() else model
    for row, (name, change) in enumerate(HOW.items()):
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place) / "lfpw" / "testset"
            folder.mkdir(parents=True)
            for number, (picture, points) in enumerate(accuracy["faces"](folders)):
                write(folder, number, *change(picture, points.astype(float)))
            found = score(model, place)
        parts = {key.partition("/")[2]: value for key, value in found.items() if key.startswith("mIoU/")}
        if row == 0:
            print(f"| what | mean IoU | {' | '.join(parts)} |")
            print(f"|{'---|' * (len(parts) + 2)}")
        print(f"| {name} | {' | '.join(f'{value:.1f}' for value in (found['mIoU'], *parts.values()))} |", flush=True)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(f"usage: python {sys.argv[0]} MODEL FOLDER...")
    main(sys.argv[1], sys.argv[2:])
