"""How accurate a model of 14 joints is, and where it fails: `python examples/11_pose_limits.py MODEL LSP`.

NumPy and hbcore.Landmarker are all it takes, Pillow to read pictures and SciPy to read joints.mat. LSP holds that
file and images/, of which 1001 to the last are for testing: each shows one person, around whom it was cropped. They
are looked at whole, within a box of their joints, and made small, turned, dark and grey as in `08_limits.py`. It
prints the tables of a model's card, in percent: PCK@0.2, the share of joints, hidden ones too, that lie within 0.2 of
the distance from the left shoulder to the right hip of where they are said to be, with the interval that holds 95 % of
the means of people drawn anew, with replacement; the same where left and right may be exchanged, for the whole person;
and how many answers it is sure of.
"""

import runpy
import sys
from pathlib import Path

import numpy as np
from scipy.io import loadmat

import hbcore
from hbcore.photos.reading import read_picture

limits = runpy.run_path(str(Path(__file__).with_name("08_limits.py")))  # a name that `import` cannot take
BOX = "a box around its joints"
HOW = {
    "nothing changed": limits["same"],
    BOX: limits["same"],
    **{f"people of {pixels} pixels": limits["shrunk"](pixels) for pixels in (96, 64, 48, 32)},
    **{f"turned by {degrees} degrees": limits["turned"](degrees) for degrees in (15, 30, 60, 90, 180)},
    "levels at 30 % of what they were": limits["dark"](0.3),
    "in grey": limits["grey"],
}
FIRST = 1000  # of the test pictures, counted from 0
LEFT_SHOULDER, RIGHT_HIP = 9, 2
MIRRORED = np.array([5, 4, 3, 2, 1, 0, 11, 10, 9, 8, 7, 6, 12, 13])
NEAR = 0.2


def people(folder):
    """Pictures and their joints (14, 2), by number; the first pixel's centre, (1, 1) in the file, is (0, 0)."""
    if not (folder / "joints.mat").is_file():
        sys.exit(f"{folder / 'joints.mat'}: is not there; give LSP's folder, which holds joints.mat and images/")
    joints = np.asarray(loadmat(folder / "joints.mat")["joints"], np.float64)
    if joints.shape[:2] != (3, 14) or joints.shape[2] <= FIRST:
        sys.exit(f"{folder / 'joints.mat'}: holds no joints of more than {FIRST} people, of shape (3, 14, N)")
    for index in range(FIRST, joints.shape[2]):
        # As training has them, to the last bit.
        yield (
            read_picture(folder / "images" / f"im{index + 1:04d}.jpg"),
            (joints[:2, :, index].T - 1).astype(np.float32),
        )


def right(points, truth):
    """Which joints (14,) are where they are said to be."""
    torso = np.linalg.norm(truth[LEFT_SHOULDER] - truth[RIGHT_HIP])
    return np.linalg.norm(points - truth, axis=1) <= NEAR * torso


def interval(each):
    """The mean of numbers (N,) of people, with what holds 95 % of the means of as many drawn anew, in percent."""
    drawn = np.random.default_rng(0).integers(0, len(each), (10_000, len(each)))
    low, high = np.percentile(each[drawn].mean(axis=1), [2.5, 97.5])
    return f"{100 * each.mean():.1f} ({100 * low:.1f} to {100 * high:.1f})"


def main(model, folder):
    find = hbcore.Landmarker(model)
    if len(find.names) != len(MIRRORED):
        sys.exit(f"{model}: finds {len(find.names)} points or classes, not the 14 joints of LSP")
    hits, turned, sure = ({name: [] for name in HOW} for _ in range(3))
    for whole, truth in people(folder):
        for name, change in HOW.items():
            picture, points = change(whole, truth)
            boxes = [limits["box_of"](points)] if name == BOX else None
            found = find(picture, boxes=boxes)[0]
            hits[name].append(right(found.points, points))
            turned[name].append(max(right(found.points[order], points).mean() for order in (slice(None), MIRRORED)))
            sure[name].append(bool(found.sure))
    print("| what | people | PCK@0.2 | left and right exchanged at will | sure |")
    print("|---|---|---|---|---|")
    for name, found in hits.items():
        each = np.mean(found, axis=1)
        cells = interval(each), f"{100 * np.mean(turned[name]):.1f}", f"{100 * np.mean(sure[name]):.1f}"
        print(f"| {name} | {len(each)} | {' | '.join(cells)} |")
    joints = 100 * np.mean(hits["nothing changed"], axis=0)
    print(f"\n| joint | {' | '.join(find.names)} |")
    print(f"|---|{'---|' * len(joints)}")
    print(f"| PCK@0.2 | {' | '.join(f'{share:.1f}' for share in joints)} |")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(f"usage: python {sys.argv[0]} MODEL LSP")
    try:
        main(sys.argv[1], Path(sys.argv[2]))
    except (OSError, ValueError) as error:  # a model, a picture or a file of joints that cannot be used
        sys.exit(str(error))
