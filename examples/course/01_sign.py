"""The sign, its derivative that is no use, and the one that training uses instead."""

import numpy as np

from hbcore import Tensor
from hbcore.binary.signs import sign

# A sign takes all but one bit from a number. There is no third value: the sign of 0 is +1. A Tensor is an array, .data,
# that remembers how it was computed.
x = Tensor([-2.0, -0.5, 0.0, 0.5, 2.0], requires_grad=True)
s = sign(x)
print("x               ", x.data)
print("sign(x)         ", s.data)

# Its true derivative is 0 wherever it has one, so that no weight below it would ever learn. The straight-through
# estimator acts as if the sign had been the line through 0, cut off at -1 and +1: the gradient goes through where
# -1 < x < 1, and stops elsewhere. backward() goes from a number L back to x, and leaves dL/dx in x.grad.
(s * Tensor([1.0, 2.0, 3.0, 4.0, 5.0])).sum().backward()  # dL/ds = 1, 2, 3, 4, 5
print("dL/dx           ", x.grad)

# Is that good enough to learn from? Somebody has hidden eight signs; we see their sums with random inputs, and look for
# them with eight real numbers, the latent weights, of which only the signs are used. To make it hard, all begin wrong.
rng = np.random.default_rng(0)
hidden = np.array([1, -1, -1, 1, 1, 1, -1, 1], dtype=np.float32)
latent = Tensor((-hidden * rng.uniform(0.1, 0.5, 8).astype(np.float32))[:, None], requires_grad=True)
changes = 0
for step in range(1, 201):
    inputs = rng.standard_normal((16, 8)).astype(np.float32)
    error = Tensor(inputs) @ sign(latent) - Tensor((inputs @ hidden)[:, None])
    loss = (error * error).mean()
    latent.grad = None
    loss.backward()
    before = latent.data < 0
    latent.data -= np.float32(0.01) * latent.grad
    changes += int(np.sum(before != (latent.data < 0)))
    wrong = int(np.sum((latent.data[:, 0] < 0) != (hidden < 0)))
    if step % 2 == 1 or not wrong:
        print(f"step {step:2d}          {wrong} of 8 signs are wrong")
    if not wrong:
        break
print("sign changes    ", changes)

# Exercise. A layer's inputs are standard normal numbers. For how many percent of them does the straight-through
# estimator stop the gradient? Draw ten million, and count. The number, to one decimal:
# python examples/course/answer.py 1 NUMBER
