"""One binary convolution, down to the bits: the same integer from +1.0 and -1.0 and from xor and popcount."""

import numpy as np

from hbcore import BinaryConv2d, Tensor, bits, no_grad

rng = np.random.default_rng(0)
layer = BinaryConv2d(channels=5, filters=2, kernel=3, rng=rng, padding=1)
picture = Tensor(rng.standard_normal((1, 6, 6, 5), dtype=np.float32))

# One output pixel in the middle, by hand.
y, x, o = 2, 3, 0
a = bits.pack_signs(picture.data[0, y - 1 : y + 2, x - 1 : x + 2])  # (3, 3, 1): nine words of five bits
w = bits.pack_signs(layer.weight.data.transpose(3, 0, 1, 2))[o]  # (3, 3, 1)
for i in range(3):
    for j in range(3):
        print(
            f"tap ({i}, {j})  x {int(a[i, j, 0]):05b}  w {int(w[i, j, 0]):05b}  xor {int(a[i, j, 0] ^ w[i, j, 0]):05b}"
        )
differing = int(np.bitwise_count(a ^ w).sum())
integer = 45 - 2 * differing
alpha = np.abs(layer.weight.data[..., o]).mean()
print(
    f"{differing} of 45 bits differ: 45 - 2 * {differing} = {integer}, times alpha {alpha:.4f} = {integer * alpha:.4f}"
)

# The layer, both ways.
with no_grad():
    simulated = layer(picture).data
    layer.packed = True
    packed = layer(picture).data
print("layer:", f"{simulated[0, y, x, o]:.4f}", "| packed equals simulated:", np.array_equal(simulated, packed))
