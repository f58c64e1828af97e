"""Where a model of 68 points fails, measured: `python examples/08_limits.py MODEL FOLDER...`.

The faces of the folders, as `04_accuracy.py` reads them, made small, turned, dark and grey, and looked for in wrong
places. It prints the table of a model's card: NME by the corners of the eyes in percent, and the share of answers of
which the model is sure. Where the place is wrong, only the latter means something: it should be low. Without a box it
finds faces by itself, and the one nearest to the truth counts; where there is none, it is not sure.
"""

import math
import runpy
import sys
from pathlib import Path

import numpy as np
from PIL import Image

import hbcore

accuracy = runpy.run_path(str(Path(__file__).with_name("04_accuracy.py")))  # a name that `import` cannot take


def box_of(points):
    """The corners x0, y0, x1, y1 of a face."""
    return np.concatenate([points.min(axis=0), points.max(axis=0)])


def shrunk(pixels):
    """Faces whose box is so many pixels long, on the longer side."""

    def change(picture, points):
        share = min(1.0, pixels / np.ptp(points, axis=0).max())
        rows, columns = picture.shape[:2]
        size = max(1, round(columns * share)), max(1, round(rows * share))
        factors = np.array(size) / (columns, rows)
        return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BOX)), (points + 0.5) * factors - 0.5

    return change


def turned(degrees):
    """Faces turned against the clock around the middle of their box; what lies outside of the picture is black."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))

    def change(picture, points):
        middle = (box_of(points)[:2] + box_of(points)[2:]) / 2
        image = Image.fromarray(picture).rotate(degrees, Image.Resampling.BILINEAR, center=tuple(middle + 0.5))
        return np.asarray(image), (points - middle) @ np.array([[cos, -sin], [sin, cos]]) + middle

    return change


def dark(share):
    """Levels at a share of what they were."""
    return lambda picture, points: ((picture * share).astype(np.uint8), points)


def grey(picture, points):
    """Without colour."""
    return np.asarray(Image.fromarray(picture).convert("L").convert("RGB")), points


def wider(times):
    """A box so many times as large, around the same middle."""

    def place(points):
        low, high = np.split(box_of(points), 2)
        away = (high - low) * (times - 1) / 2
        return np.concatenate([low - away, high + away])

    return place


def beside(share):
    """A box moved right by a share of its width."""
    return lambda points: box_of(points) + share * np.ptp(points[:, 0]) * np.array([1, 0, 1, 0])


def same(picture, points):
    """Nothing is changed."""
    return picture, points


HOW = {
    "nothing changed": (same, box_of),
    **{f"faces of {pixels} pixels": (shrunk(pixels), box_of) for pixels in (64, 32, 24, 16)},
    **{f"turned by {degrees} degrees": (turned(degrees), box_of) for degrees in (15, 30, 45, 90, 180)},
    "levels at 30 % of what they were": (dark(0.3), box_of),
    "in grey": (grey, box_of),
    **{f"box {times} times as large": (same, wider(times)) for times in (1.5, 2)},
    **{f"box {share} of a width away": (same, beside(share)) for share in (0.25, 0.5)},
    "no box: found by itself": (same, lambda points: None),
}


def main(model, folders):
    find = hbcore.Landmarker(model)
    if len(find.names) != 68:
        sys.exit(f"{model}: finds {len(find.names)} points or classes, not ibug's 68 points")
    rows = {name: [] for name in HOW}
    for whole, truth in accuracy["faces"](folders):
        for name, (change, place) in HOW.items():
            picture, points = change(whole, truth.astype(np.float64))
            box = place(points)
            try:
                found = find(picture, None if box is None else box[None])
            except ValueError:  # the box left the picture
                continue
            length = accuracy["lengths"](points)[0]
            errors = [100 * np.linalg.norm(face.points - points, axis=1).mean() / length for face in found]
            nearest = int(np.argmin(errors)) if found else None
            rows[name].append((errors[nearest], bool(found[nearest].sure)) if found else (np.nan, False))
    print("| what | NME, corners of the eyes | sure, % |")
    print("|---|---|---|")
    for name, looks in rows.items():
        error, sure = np.nanmean(looks, axis=0)
        print(f"| {name} | {error:.1f} | {100 * sure:.1f} |")


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(f"usage: python {sys.argv[0]} MODEL FOLDER...")
    try:
        main(sys.argv[1], sys.argv[2:])
    except ValueError as error:  # a model or a picture that cannot be used
        sys.exit(str(error))
