"""How long a model takes: `python examples/12_speed.py MODEL`, a name or a file.

Milliseconds on one thread, from the pixels of a picture of 640 x 480 and a box in it to the answer, and of the network
alone: the best of 200 calls each, since what else a machine does can only make them longer. The picture is noise: a
network takes as long for that as for a face.
"""

import sys
import time

import numpy as np

import hbcore

CALLS = 200
BOX = [[200, 100, 400, 400]]


def best(call):
    """The least time of a call in milliseconds."""
    times = []
    for _ in range(CALLS):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return 1000 * min(times)


def main(model):
    hbcore.set_threads(1)
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (480, 640, 3), np.uint8)
    landmarker = hbcore.Landmarker(model)
    size = landmarker.description.codec.input_size
    crop = rng.integers(0, 256, (1, size, size, 3), np.uint8)
    print(f"{best(lambda: landmarker(picture, boxes=BOX)):.1f} ms from pixels to the answer")
    print(f"{best(lambda: landmarker.engine(crop)):.1f} ms of it the network")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python examples/12_speed.py MODEL")
    try:
        main(sys.argv[1])
    except ValueError as error:
        sys.exit(str(error))
