"""Ship it: a file with bits in place of weights, a plan that computes with them, and three lines for its users."""

import numpy as np
from crosses import MODEL, SIZE, draw

import hbcore
from hbcore import Tensor, load_model, no_grad
from hbcore.deploy import Engine
from hbcore.deploy.model_file import model_bytes
from hbcore.deploy.packed_file import packed as packed_form
from hbcore.deploy.packed_file import packed_bytes

network, header = load_model(MODEL)
network.eval()
pictures, points = draw(np.random.default_rng(5), 100)

# Training needs float32 weights, of which it uses the signs. Whoever only wants answers needs the signs alone, 32 times
# less, and of every batch norm the line that lesson 3 was about. `python -m hbcore.export pack MODEL -o FILE` does it.
said = {key: header[key] for key in ("task", "skeleton", "codec", "output", "crops")}
full, packed = model_bytes(network, said), packed_bytes(*packed_form(network, said))
print("bytes           ", f"{len(full):,} with float32 weights, {len(packed):,} with bits")

# Is it the same network? An engine is a plan with all its memory laid out: bits go from layer to layer, and thresholds
# stand where batch norms were. It is compared with the network layer by layer, in numbers of +1 and -1.
engine = Engine(network, SIZE, SIZE)
with no_grad():
    slow = network(Tensor(pictures))[-1].data
fast = np.concatenate([engine(picture[None]) for picture in pictures])
print("answers         ", f"{np.sum(slow != fast)} of {slow.size:,} numbers differ from those of training")

# The file says what its maps mean. So its user needs no more than pictures, of any size, and where to look: here four
# pictures in one of 64x64 pixels, each in its box: x0, y0, x1, y1, where (0, 0) is the centre of the first pixel.
levels = np.rint(255 * pictures[:4]).astype(np.uint8)
sheet = np.concatenate([np.concatenate(levels[:2], axis=1), np.concatenate(levels[2:], axis=1)])
boxes = np.array([[x - 0.5, y - 0.5, x + 31.5, y + 31.5] for y in (0, 32) for x in (0, 32)])
find = hbcore.Landmarker(MODEL)
for number, seen in enumerate(find(sheet, boxes)):
    right = points[number] + boxes[number, :2] + 0.5
    words = (f"{name} at {x:.1f},{y:.1f}, truly at {tx:.1f},{ty:.1f}"
             for name, (x, y), (tx, ty) in zip(seen.names, seen.points, right, strict=True))  # fmt: skip
    print(f"picture {number}       ", "; ".join(words))

# Exercise. A network has 100,000 one-bit weights and 5,000 real parameters of float32. How many kilobytes, of 1,000
# bytes, has its file at least?  python examples/course/answer.py 10 NUMBER
