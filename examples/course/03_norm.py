"""What batch norm becomes when a sign follows it: a comparison with one number."""

import numpy as np

from hbcore import BatchNorm2d, Tensor, bits, no_grad
from hbcore.deploy.folding import norm_line, threshold


def neighbours(t):
    """Thresholds with the float32 below and above them, (3, C): there is no number between."""
    return np.stack([np.nextafter(t, np.float32(-np.inf)), t, np.nextafter(t, np.float32(np.inf))])


# In training, batch norm takes mean and variance of the numbers before it, and remembers them. In evaluation, .eval(),
# it uses what it remembers, and is a line: v = gamma (x - mean) / sqrt(variance + eps) + beta = scale x + shift.
norm = BatchNorm2d(3).eval()
norm.gamma.data[:] = 2, 0.5, -1
norm.beta.data[:] = 1, -1, 2
norm.running_mean[:] = 0, 3, 1
norm.running_variance[:] = 4, 1, 0.25
scale, shift = norm_line(norm)
print("scale           ", scale.round(3))
print("shift           ", shift.round(3))

# Behind it only the sign counts. It changes where the line crosses 0, at x = -shift / scale; where the line falls, it
# is -1 on the other side. One number and one bit per channel are all that is left of gamma, beta, mean and variance.
t, flip = threshold(scale, shift)
print("threshold       ", t.round(3))
print("flip            ", flip.astype(int))

# Are the bits the same? For every number that is tried, also for those right at the threshold.
x = np.random.default_rng(0).uniform(-10, 10, (100_000, 3)).astype(np.float32)
x = np.concatenate([x, neighbours(t)])
with no_grad():  # nobody will ask for gradients
    signs = bits.sign(norm(Tensor(x[None, None])).data)[0, 0]
by_comparison = np.where((x < t) ^ flip, -1, 1)
print("numbers tried   ", f"{x.size:,}, of which {np.sum(signs != by_comparison)} have another sign")

# Would it not do to divide? -shift / scale is rounded, and scale x + shift is as well. Of 100,000 rising lines:
scale, shift = np.random.default_rng(1).standard_normal((2, 100_000)).astype(np.float32)
scale = np.abs(scale)
for name, t in (("by division", -shift / scale), ("by search", threshold(scale, shift)[0])):
    near = neighbours(t)
    wrong = ((near < t) != (scale * near + shift < 0)).any(axis=0)
    print(f"{name:16}", f"{np.sum(wrong):,} thresholds have a wrong bit beside them")

# What that saves: a unit of 256 channels keeps 256 thresholds and 256 bits of four times 256 numbers.
before, after = 4 * 256 * 4, 256 * 4 + 256 // 8
print("bytes of 256    ", f"{before:,} before, {after:,} after")

# Exercise. gamma = -2, beta = 3, mean = 1, variance = 4 (and eps so small that it does not matter). Where is the
# threshold?  python examples/course/answer.py 3 NUMBER
