"""How accurate a model of 68 points is, measured anew: `python examples/04_accuracy.py MODEL FOLDER...`.

NumPy and hbcore.Landmarker are all it takes, and Pillow to read pictures. A folder holds pictures with a .pts file of
ibug's 68 points beside each, as those of 300-W; MODEL is a name or a file. It prints the table of a model's card, in
percent: NME, the mean distance of a face's points from the truth, divided by a length of the true face, mean over the
faces, with the interval that holds 95 % of the means of faces drawn anew, with replacement; the area under the curve of
cumulative errors up to 8 %, and how many faces lie above. Boxes are those of the true points, in further rows with
edges that are moved at random, as a detector's would be.
"""

import sys
from pathlib import Path

import numpy as np

import hbcore
from hbcore.photos.reading import ENDINGS, read_picture

MOVED = (0.0, 0.05, 0.1, 0.2)  # edges of the boxes, by up to so much of the longer side
RIGHT_EYE, LEFT_EYE = slice(36, 42), slice(42, 48)  # each from one corner over the upper lid
OUTER_CORNERS = 36, 45
LIMIT = 8.0  # percent


def read_pts(path):
    """The points (68, 2); the first pixel's centre, (1, 1) in the file, is (0, 0)."""
    body = path.read_text().partition("{")[2].partition("}")[0]
    points = np.array([line.split() for line in body.strip().splitlines()], dtype=np.float64)
    if points.shape != (68, 2):
        sys.exit(f"{path}: expected 68 lines of x y")
    return (points - 1).astype(np.float32)  # as training has them: not a bit of a crop differs from that of its `eval`


def faces(folders):
    """Pictures and their points, by name."""
    files = [path for folder in folders for path in sorted(Path(folder).glob("*.pts"))]
    if not files:
        sys.exit(f"there is no .pts file in {', '.join(folders)}")
    for file in files:
        pictures = [path for path in sorted(file.parent.glob(f"{file.stem}.*")) if path.suffix.lower() in ENDINGS]
        if not pictures:
            sys.exit(f"{file}: there is no picture beside it")
        yield read_picture(pictures[0]), read_pts(file)


def lengths(truth):
    """What errors are divided by: between the outer corners of the eyes, between the pupils, and of the box."""
    truth = truth.astype(np.float64)
    width, height = np.ptp(truth, axis=0)
    first, second = truth[list(OUTER_CORNERS)]
    pupils = truth[RIGHT_EYE].mean(axis=0) - truth[LEFT_EYE].mean(axis=0)
    return np.linalg.norm(first - second), np.linalg.norm(pupils), np.sqrt(width * height)


def row(name, errors, sure):
    """Errors (N, 3) in percent of the three lengths, as a row of the table."""
    corners = errors[:, 0]
    drawn = np.random.default_rng(0).integers(0, len(errors), (10_000, len(errors)))
    low, high = np.percentile(corners[drawn].mean(axis=1), [2.5, 97.5])
    means = errors.mean(axis=0)
    area = 100 * np.maximum(0, 1 - corners / LIMIT).mean()
    above = 100 * (corners > LIMIT).mean()
    cells = f"{means[0]:.2f} ({low:.2f} to {high:.2f})", f"{means[1]:.2f}", f"{means[2]:.2f}", f"{area:.1f}"
    return f"| {name} | {len(errors)} | {' | '.join(cells)} | {above:.1f} | {100 * sure:.1f} |"


def main(model, folders):
    find = hbcore.Landmarker(model)
    if len(find.names) != 68:
        sys.exit(f"{model}: finds {len(find.names)} points or classes, not ibug's 68 points")
    rng = np.random.default_rng(0)
    errors, sure = [], []
    for picture, truth in faces(folders):
        box = np.concatenate([truth.min(axis=0), truth.max(axis=0)])
        away = rng.uniform(-1, 1, 4) * max(box[2:] - box[:2])
        found = find(picture, [box + share * away for share in MOVED])
        distances = np.array([np.linalg.norm(face.points - truth, axis=1).mean() for face in found])
        errors.append(100 * distances[:, None] / lengths(truth))
        sure.append([bool(face.sure) for face in found])
    print("| boxes | faces | NME, corners of the eyes | NME, pupils | NME, box | AUC, 8 % | above 8 % | sure |")
    print("|---|---|---|---|---|---|---|---|")
    for place, share in enumerate(MOVED):
        name = f"edges moved by up to {100 * share:.0f} %" if share else "of the true points"
        print(row(name, np.array(errors)[:, place], np.mean(sure, axis=0)[place]))


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(f"usage: python {sys.argv[0]} MODEL FOLDER...")
    try:
        main(sys.argv[1], sys.argv[2:])
    except ValueError as error:  # a model or a picture that cannot be used
        sys.exit(str(error))
