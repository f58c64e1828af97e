"""Why it fails: sort the errors by what might be the reason, and see which reason sorts them."""

from itertools import pairwise

import numpy as np
from crosses import MODEL, SIZE, draw, found

from hbcore import load_model
from hbcore.nn.layers import use_packed

network, _ = load_model(MODEL)
use_packed(network)
pictures, points = draw(np.random.default_rng(3), 1000)
answers = found(network, pictures)
errors = np.linalg.norm(answers - points, axis=-1)  # (1000, 2)

# A mean says little: a few answers far off look like many a little off. Those beyond 4 pixels shall be failures.
print("mean, median    ", f"{errors.mean():.2f} and {np.median(errors):.2f} pixels")
print("failures        ", f"{100 * np.mean(errors > 4):.1f} % are more than 4 pixels off")


def split(reason, values, edges):
    """Mean error and failures of the points whose value lies between one edge and the next."""
    for low, high in pairwise(edges):
        chosen = (values >= low) & (values < high)
        what = f"{chosen.sum():4d} points, error {errors[chosen].mean():.2f}"
        failed = 100 * np.mean(errors[chosen] > 4)
        print(f"{reason:<10}{f'{low} to {high}':<10} {what}, failures {failed:.1f} %")


# Is it that shapes hide each other? By the distance of the two, in pixels: below 8 they can touch.
apart = np.linalg.norm(points[:, 0] - points[:, 1], axis=-1)
split("apart", np.repeat(apart[:, None], 2, axis=1), (0, 4, 8, 16, 40))

# Or that they lie at the border, where a part of them is outside? By the distance from the nearest border.
border = np.minimum(points, SIZE - 1 - points).min(axis=-1)
split("border", border, (3, 5, 8, 16))

# Does it take one for the other? Then the answer is near to the other shape, where that is far from its own.
swapped = np.linalg.norm(answers - points[:, ::-1], axis=-1) < 4
far = apart > 8
print(
    "exchanged       ",
    f"{int(np.sum(swapped[far]))} of {2 * int(far.sum())} answers, of shapes more than 8 pixels apart",
)

# What is it that cannot be mended by a better network? The same pictures once more, with other noise of the pixels.
rng = np.random.default_rng(4)
again = found(network, np.clip(pictures + rng.normal(0, 0.02, pictures.shape), 0, 1).astype(np.float32))
print(
    "noise           ",
    f"answers move by {np.linalg.norm(again - answers, axis=-1).mean():.2f} pixels when pixels do by 2 %",
)

# Exercise. Errors that have nothing to do with each other add up in squares. A network has an error of 1.5 pixels, of
# which 0.9 are jitter. What would be left without it?  python examples/course/answer.py 9 NUMBER
