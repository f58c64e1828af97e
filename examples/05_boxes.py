"""What boxes that are off cost, and what a second look gives back: `python examples/05_boxes.py MODEL FOLDER...`.

NumPy, hbcore.Landmarker and Pillow are all it takes; folders hold pictures with .pts files of 68 points, as for
04_accuracy.py. The box of the true points is moved aside by a share of its longer side, in a direction drawn for each
face, or made larger or smaller. Then NME in percent of the distance between the corners of the eyes, with one look at
the box, and with one or two further ones at the box of the points found; the median, and how many faces are above 10 %.
"""

import sys
from importlib import import_module

import numpy as np

import hbcore

accuracy = import_module("04_accuracy")
SHIFTS, ZOOMS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5), (0.5, 0.7, 0.85, 1.15, 1.3, 1.5, 2.0)
LOST = 10.0  # percent


def boxes_off(box, direction):
    """Boxes of so many names: moved, and of another size."""
    middle, side = (box[:2] + box[2:]) / 2, max(box[2:] - box[:2])
    moved = [box + share * side * np.tile(direction, 2) for share in SHIFTS]
    sized = [np.tile(middle, 2) + zoom * (box - np.tile(middle, 2)) for zoom in ZOOMS]
    return moved + sized


def main(model, folders, looks=(0, 1, 2)):
    find = hbcore.Landmarker(model)
    rng = np.random.default_rng(0)
    errors = []
    for picture, truth in accuracy.faces(folders):
        angle = rng.uniform(0, 2 * np.pi)
        box = np.concatenate([truth.min(axis=0), truth.max(axis=0)])
        boxes = boxes_off(box, np.array([np.cos(angle), np.sin(angle)]))
        found = [find(picture, boxes, again) for again in looks]
        distances = [[np.linalg.norm(f.points - truth, axis=1).mean() for f in some] for some in found]
        errors.append(100 * np.array(distances) / accuracy.lengths(truth)[0])
    errors = np.array(errors)  # (faces, looks, boxes)
    names = [f"moved by {100 * share:.0f} %" for share in SHIFTS] + [f"{zoom:g} times as large" for zoom in ZOOMS]
    head = " | ".join(f"NME, {1 + look} look{'s' if look else ''} (median, above {LOST:g} %)" for look in looks)
    print(f"| box | {head} |\n|---|{'---|' * len(looks)}")
    for place, name in enumerate(names):
        cells = [
            f"{np.mean(e):.2f} ({np.median(e):.2f}, {100 * np.mean(e > LOST):.1f} %)" for e in errors[:, :, place].T
        ]
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(f"usage: python {sys.argv[0]} MODEL FOLDER...")
    try:
        main(sys.argv[1], sys.argv[2:])
    except ValueError as error:  # a model or a picture that cannot be used
        sys.exit(str(error))
