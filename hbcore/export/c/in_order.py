"""A plan whose sums are taken in one order, as the compiled kernels and the exported C take them.

NumPy's matrix products add in an order of their own. Here, a convolution starts at 0 and adds its terms one by one, tap
by tap and channel by channel; each product and sum in one rounding (fused), as CPUs with FMA compute, or in two.
"""

from __future__ import annotations

import numpy as np

from hbcore.autograd.function import Array
from hbcore.kernels.plan import Epilogue, Plan
from hbcore.kernels.reference import Reference


class InOrder(Plan):
    """Steps in NumPy, of float32 arrays. fused: whether a + b c is rounded once."""

    def __init__(self, fused: bool) -> None:
        super().__init__(Reference())
        self.add_product = add_product_once if fused else add_product_twice

    def conv2d(self, x: Array, w: Array, stride: int, padding: int, epilogue: Epilogue) -> None:
        """x * w, term by term, then the epilogue."""
        terms = w.reshape(-1, w.shape[3])

        def step() -> None:
            rows = self.convolutions.im2col(x, (w.shape[0], w.shape[1]), stride, (padding, padding))
            total = np.zeros((*rows.shape[:3], w.shape[3]), dtype=np.float32)
            for t, weights in enumerate(terms):
                total = self.add_product(total, rows[..., t, None], weights)
            epilogue(total)

        self.steps.append(step)


def add_product_twice(total: Array, a: Array, b: Array) -> Array:
    """total + a b, product and sum rounded to float32."""
    return np.asarray(total + a * b)


def add_product_once(total: Array, a: Array, b: Array) -> Array:
    """total + a b, rounded to float32 once.

    In float64 the product is exact, and the sum off by an error that is known exactly (Knuth's two-sum). Where there is
    one, the sum is moved to the neighbour with an odd last bit ("round to odd"): rounding that to float32 is rounding
    the exact sum.
    """
    product, start = np.multiply(a, b, dtype=np.float64), total.astype(np.float64)
    found = start + product
    virtual = found - start
    error = (start - (found - virtual)) + (product - virtual)
    even = (found.view(np.int64) & 1) == 0
    towards = np.where(error > 0, np.inf, -np.inf)
    found = np.where((error != 0) & even, np.nextafter(found, towards), found)
    return np.asarray(found.astype(np.float32))
