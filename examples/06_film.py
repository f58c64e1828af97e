"""How steadily faces are followed through a film: `python examples/06_film.py MODEL PHOTO...`.

A film is made of each photo: 300 pictures, 25 a second, through which a camera of 480 x 360 pixels swings, turns and
zooms. Where it is at each moment is known, so that points go back to their places in the photo, where nothing moves:
how far they are from where they were in the picture before is the jump, in percent of the longer side of the face, the
mean over its points. NumPy, hbcore and Pillow are all it takes.
"""

import math
import sys
import time
from pathlib import Path

import numpy as np

import hbcore
from hbcore.landmarks.crop import Crop
from hbcore.landmarks.finding.tracker import Tracker
from hbcore.photos.reading import PictureError, read_picture

FRAMES, RATE = 300, 25
WIDTH, HEIGHT = 480, 360
JUMP = 3.0  # percent


def camera(picture, frame):
    """The square of the photo whose middle is the picture of the film."""
    height, width = picture.shape[:2]
    turn = 2 * math.pi * frame / FRAMES
    side = max(height, width) * (0.9 + 0.15 * math.cos(2 * turn))
    middle = (width - 1) / 2 + 0.06 * width * math.sin(3 * turn), (height - 1) / 2 + 0.06 * height * math.sin(2 * turn)
    return Crop(middle, side, WIDTH, angle=0.12 * math.sin(2 * turn))


def follow(find, picture):
    """Numbers of faces, jumps in percent, and seconds for the pictures of a film."""
    track = Tracker(find)
    last, jumps, shown, seconds = {}, [], [], 0.0
    for frame in range(FRAMES):
        crop = camera(picture, frame)
        cut = (WIDTH - HEIGHT) // 2
        seen = np.ascontiguousarray(crop.extract(picture)[cut : cut + HEIGHT])
        start = time.perf_counter()
        faces = track(seen, 1 / RATE)
        seconds += time.perf_counter() - start
        shown.append(len(faces))
        now = {f.number: crop.to_picture(f.instance.points.astype(float) + np.array([0, cut])) for f in faces}
        for number in now.keys() & last.keys():
            size = np.ptp(now[number], axis=0).max()
            jumps.append(100 * np.linalg.norm(now[number] - last[number], axis=1).mean() / size)
        last = now
    return next(track.numbers) - 1, np.array(jumps), shown, seconds


def main(model, photos):
    find = hbcore.Landmarker(model)
    print(f"| photo | pictures with a face | numbers given | largest jump | above {JUMP:g} % | pictures a second |")
    print("|---|---|---|---|---|---|")
    for photo in photos:
        numbers, jumps, shown, seconds = follow(find, read_picture(Path(photo)))
        name, largest = Path(photo).stem, f"{jumps.max():.2f} %" if len(jumps) else ""
        some = sum(map(bool, shown))
        print(f"| {name} | {some} | {numbers} | {largest} | {(jumps > JUMP).sum()} | {FRAMES / seconds:.0f} |")


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(f"usage: python {sys.argv[0]} MODEL PHOTO...")
    try:
        main(sys.argv[1], sys.argv[2:])
    except (ValueError, PictureError) as error:
        sys.exit(str(error))
