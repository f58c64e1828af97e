"""A tensor remembers how it was computed, and walks back: derivatives by hand, by the engine, by differences."""

import numpy as np

from hbcore import Tensor
from hbcore.autograd.gradcheck import gradcheck

x = Tensor([1.0, -2.0, 3.0], requires_grad=True)
w = Tensor([0.5, 0.25, -1.0], requires_grad=True)

y = (x * w).relu().sum()  # 0.5 + 0 + 0: the other two products are negative
y.backward()

print("y     ", y.item())
print("dy/dx ", x.grad)  # w where the product is positive
print("dy/dw ", w.grad)  # x where the product is positive

rng = np.random.default_rng(0)
a, b = rng.standard_normal((4, 5)), rng.standard_normal((5, 3))
print("gradcheck of sigmoid(A B):", gradcheck(lambda p, q: (p @ q).sigmoid(), a, b) < 1e-6)
