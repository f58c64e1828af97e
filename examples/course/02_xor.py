"""A product of signs is an xor: how twelve multiplications become one instruction, and 64 of them as well."""

import numpy as np

from hbcore import bits

a = np.array([1, -1, -1, 1, 1, 1, -1, 1, -1, -1, 1, 1])
w = np.array([1, 1, -1, -1, 1, -1, -1, 1, 1, -1, 1, -1])
print("a               ", " ".join(f"{v:+d}" for v in a))
print("w               ", " ".join(f"{v:+d}" for v in w))
print("a w             ", " ".join(f"{v:+d}" for v in a * w), f"  their sum is {np.sum(a * w)}")


# Write 1 for -1 and 0 for +1. A product is -1 just where the bits differ, and that is what xor says. Of K products,
# p are -1 and K - p are +1: the sum is (K - p) - p.
def word(signs):
    """The signs as one number: bit i is 1 where signs[i] is -1."""
    return sum(1 << place for place, v in enumerate(signs) if v < 0)


xor = word(a) ^ word(w)
p = xor.bit_count()
print("bits of a       ", f"{word(a):012b}", "  (the first is the last digit)")
print("bits of w       ", f"{word(w):012b}")
print("xor             ", f"{xor:012b}", f"  of which {p} are 1")
print("12 - 2 p        ", 12 - 2 * p)

# hbcore does the same with words of 64 bits. What is past the last channel is 0 in both words, so it cancels; but K is
# the true number of channels, here 100 in two words.
rng = np.random.default_rng(0)
x, y = rng.standard_normal((2, 1000, 100)).astype(np.float32)
by_bits = bits.binary_dot(bits.pack_signs(x), bits.pack_signs(y), 100)
by_numbers = np.sum(np.where(x < 0, -1, 1) * np.where(y < 0, -1, 1), axis=1)
print("1,000 sums of 100", f"{np.sum(by_bits == by_numbers)} are equal, as numbers and as bits")
print("memory          ", f"{x.nbytes:,} bytes as float32, {bits.pack_signs(x).nbytes:,} in words")

# A convolution lays its filter on every pixel and sums over the taps, here 3x3 of them. At the edge some lie outside,
# where there are no signs, and K is smaller. If all signs are +1, no product is -1, and the sum is K itself: here of
# 3x3 pixels with 10 channels, with a padding of 1, as one says when the middle of the filter reaches every pixel.
ones = bits.pack_signs(np.ones((1, 3, 3, 10), dtype=np.float32))  # a picture, and a filter as well
sums = bits.binary_conv2d(ones, ones, channels=10, stride=1, padding=1)[0, :, :, 0]
for name, row in zip(("top", "middle", "bottom"), sums, strict=True):
    print(f"K, {name:13}", *row)

# Exercise. A 3x3 filter over 64 channels lies on the corner of a picture, so that only four of its nine taps are
# inside; what lies outside is left out. 100 bits differ. What is the sum?  python examples/course/answer.py 2 NUMBER
