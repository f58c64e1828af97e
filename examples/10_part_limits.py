"""How accurate a model of a face's parts is, and where it fails: `python examples/10_part_limits.py MODEL FOLDER...`.

NumPy and hbcore.Landmarker are all it takes, and Pillow to read pictures, in a checkout, which draws the masks: they
are made from ibug's 68 points, as the paper makes them. The faces of the folders, as `04_accuracy.py` reads them, are
made small, turned, dark and grey as in `08_limits.py`. It prints the table of a model's card: the mean intersection
over union of the classes, and that of each, in percent, over all pixels of the squares that the model looks at, of the
size in which it does: otherwise a large photograph would count more than a small one.
"""

import runpy
import sys
from pathlib import Path

import numpy as np

import hbcore
from hbcore.landmarks.crop import Crop
from hbcore.landmarks.squares import around_corners
from hbcore.optim.losses import IGNORED

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent))  # for `training`, which is not installed

from training.datasets.parts.polygons import face_mask  # noqa: E402
from training.labels.parts import FACE7  # noqa: E402
from training.metrics.parts import confusion, summarise_parts  # noqa: E402

accuracy, limits = (runpy.run_path(str(HERE / f"{name}.py")) for name in ("04_accuracy", "08_limits"))
HOW = {name: change for name, (change, place) in limits["HOW"].items() if place is limits["box_of"]}


def square(picture, points, find):
    """What the model looks at, (S, S, 3), and the class of each of its pixels (S, S), unknown beside the picture."""
    size = find.description.codec.input_size
    crop = Crop(*around_corners(limits["box_of"](points), find.description.box_margin), size)
    return crop.extract(picture), crop.extract_mask(face_mask(points, *picture.shape[:2]), IGNORED)


def score(find, folders, change):
    """The intersections over union, by name."""
    counts = np.zeros((len(FACE7.names), len(FACE7.names)), np.int64)
    for picture, points in accuracy["faces"](folders):
        seen, truth = square(*change(picture, points.astype(float)), find)
        (face,) = find(seen)  # the whole of it
        counts += confusion(face.classes, truth, len(FACE7.names))
    return summarise_parts(counts, FACE7.names)


def main(model, folders):
    find = hbcore.Landmarker(model)
    if find.names != FACE7.names:
        sys.exit(f"{model}: finds {len(find.names)} other points or classes, not {', '.join(FACE7.names)}")
    parts = {f"mIoU/{name}": name for name in FACE7.names}
    print(f"| what | mean IoU | {' | '.join(parts.values())} |")
    print(f"|{'---|' * (len(parts) + 2)}")
    for name, change in HOW.items():
        found = score(find, folders, change)
        values = (f"{found[key]:.1f}" if key in found else "-" for key in ("mIoU", *parts))
        print(f"| {name} | {' | '.join(values)} |", flush=True)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(f"usage: python {sys.argv[0]} MODEL FOLDER...")
    try:
        main(sys.argv[1], sys.argv[2:])
    except ValueError as error:  # a model or a picture that cannot be used
        sys.exit(str(error))
