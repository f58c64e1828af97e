"""What is found in whole photographs: `python examples/07_finding.py MODEL FOLDER [DRAWN]`.

FOLDER holds faces.json, COCO keypoints with ibug's 68 points of each face, and images/, as of AFW. The last 65
photographs by file name are looked at, without any box: finders train on those before (FIRST). A face is found where an
instance's points lie within 10 % of the face's size from the labelled ones, in the mean; the size is the root of the
area of the box of its points. In crowds only some faces are labelled, so that other instances are no mistakes. Then
DRAWN pictures without a face, 500, for which it runs from a checkout. NumPy, hbcore and Pillow are all else it takes.
"""

import json
import sys
import time
from itertools import pairwise
from pathlib import Path

import numpy as np

import hbcore
from hbcore.photos.reading import PictureError, read_picture

FIRST = 120
NEAR = 0.1
SIZES = (0, 40, 60, 100, 200, 10_000)  # pixels of the longer side
TURNS = (0.0, 0.3, 0.6, 1.01)  # how far the tip of the nose lies off the middle between the ends of the jaw
NOSE, JAW, EYES = 30, (0, 16), (36, 45)


def photographs(folder):
    """Names and faces (n, 68, 2) of the photographs that are looked at."""
    content = json.loads((folder / "faces.json").read_text())
    names = {image["id"]: image["file_name"] for image in content["images"]}
    faces = {name: [] for name in sorted(names.values())[FIRST:]}
    for face in content["annotations"]:
        if names[face["image_id"]] in faces:
            points = np.array(face["keypoints"], float).reshape(-1, 3)[:, :2]
            faces[names[face["image_id"]]].append(points)
    return faces


def turn(points):
    """From -1 to 1: 0 for a face seen from the front."""
    first, last = (np.linalg.norm(points[NOSE] - points[end]) for end in JAW)
    return (first - last) / (first + last)


def tilt(points):
    """Degrees that the line through the eyes is off the horizontal."""
    x, y = points[EYES[1]] - points[EYES[0]]
    return abs(np.degrees(np.arctan2(y, x)))


def error(instances, points):
    """That of the nearest instance, in sizes of the face."""
    size = np.sqrt(np.ptp(points, axis=0).prod())
    return min((np.linalg.norm(face.points - points, axis=1).mean() / size for face in instances), default=np.inf)


def faceless(find, count):
    """The share of drawn pictures in which something is found."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from training.datasets.scenes.faceless import Scenery

    scenery = Scenery("test", count)
    return np.mean([bool(find(scenery.sample(index).picture)) for index in range(count)])


def main(model, folder, drawn=500):
    hbcore.set_threads(1)
    find = hbcore.Landmarker(model)
    rows, spent, several = [], [], 0
    for name, faces in photographs(folder).items():
        picture = read_picture(folder / "images" / name)
        find(picture)  # the first of a shape makes a plan
        start = time.perf_counter()
        instances = find(picture)
        spent.append(1000 * (time.perf_counter() - start))
        several += len(instances)
        rows += [
            (error(instances, points), np.ptp(points, axis=0).max(), abs(turn(points)), tilt(points), len(faces))
            for points in faces
        ]
    errors, sizes, turned, tilted, others = np.array(rows).T
    groups = {"all": sizes > 0, "alone in the photograph": others == 1, "one of several": others > 1}
    for low, high in pairwise(SIZES):
        word = f"{low} to {high} pixels" if high < SIZES[-1] else f"{low} pixels and more"
        groups[word] = (sizes >= low) & (sizes < high)
    for (low, high), word in zip(pairwise(TURNS), ("front", "half", "far"), strict=True):
        groups[f"turned: {word}"] = (turned >= low) & (turned < high)
    groups["tilted by more than 20 degrees"] = tilted > 20
    print("| faces | number | found | NME of those, of the box |\n|---|---|---|---|")
    for name, chosen in groups.items():
        if not chosen.any():
            continue
        found = errors[chosen] < NEAR
        mean = f"{100 * errors[chosen][found].mean():.2f}" if found.any() else ""
        print(f"| {name} | {chosen.sum()} | {100 * found.mean():.1f} % | {mean} |")
    print(f"\n{several} instances in {len(spent)} photographs; one thread, ms a photograph: ", end="")
    print(f"median {np.median(spent):.0f}, mean {np.mean(spent):.0f}, longest {np.max(spent):.0f}")
    print(f"{100 * faceless(find, drawn):.1f} % of {drawn} drawn pictures without a face have an instance")


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit(f"usage: python {sys.argv[0]} MODEL FOLDER [DRAWN]")
    try:
        main(sys.argv[1], Path(sys.argv[2]), *map(int, sys.argv[3:]))
    except (ValueError, PictureError, OSError) as error_:
        sys.exit(str(error_))
