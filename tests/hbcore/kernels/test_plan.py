"""Steps of a plan, every backend: binary convolutions and all they leave, to the bit against bits and plain NumPy."""

import os

import numpy as np
import pytest

from hbcore import bits, kernels
from hbcore.kernels.plan import Epilogue


@pytest.fixture(scope="module", autouse=True, params=kernels.available())
def variant(request):
    """Every test runs with every backend."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernels, "backend", kernels.choose(request.param))
        yield request.param
    kernels.choose(os.environ.get("HBCORE_KERNELS") or None)


def normal(rng, *shape):
    return rng.standard_normal(shape).astype(np.float32)


# Taps that share words, of one word and of several; filters of part of a register, of one, of more.
LAYERS = [
    (1, 1, 3, 1),
    (8, 8, 3, 1),
    (16, 16, 3, 1),
    (20, 33, 5, 2),
    (32, 16, 1, 1),
    (48, 24, 3, 3),
    (64, 65, 3, 1),
    (130, 9, 3, 1),
    (128, 40, 3, 1),
    (128, 96, 3, 1),
]


@pytest.mark.parametrize("width", range(6, 20))
@pytest.mark.parametrize(("channels", "filters", "kernel", "stride"), LAYERS)
def test_rows_around_whole_tiles(width, channels, filters, kernel, stride):
    """What is left: sums, times alpha, added to a skip path in place, with bits, with everything."""
    rng = np.random.default_rng(width)
    height = 17 if width % 2 else 4  # rows of outputs share rows of the picture where there are many
    x, w = bits.pack_signs(normal(rng, 2, height, width, channels)), normal(rng, kernel, kernel, channels, filters)
    filters_packed = kernels.backend.pack_filters(w)
    sums = bits.binary_conv2d(x, bits.pack_signs(w.transpose(3, 0, 1, 2)), channels, stride, kernel // 2)
    sums = sums.astype(np.float32)
    alpha, bias, slope, scale, shift, t = (normal(rng, filters) for _ in range(6))
    flip = bits.pack_bits(normal(rng, filters) < 0)

    def left(with_bits=False, with_skip=False, **parts):
        """y and bits that a plan leaves where y lies among other channels, and those channels."""
        wider = np.full((*sums.shape[:3], filters + 3), 7.5, dtype=np.float32)
        y = wider[..., 1:-2]
        more = {"skip": y} if with_skip else {}
        signs = np.zeros((*sums.shape[:3], bits.word_count(filters)), dtype=np.uint64)
        more |= {"bits": signs, "threshold": t, "flip": flip} if with_bits else {}
        plan = kernels.backend.new_plan()
        plan.binary_conv2d(x, filters_packed, channels, stride, kernel // 2, Epilogue(y=y, **parts, **more))
        plan.run()
        assert (wider[..., [0, -2, -1]] == 7.5).all()
        return y.copy(), signs

    scaled = sums * alpha
    assert np.array_equal(left()[0], sums)
    assert np.array_equal(left(alpha=alpha)[0], scaled)
    assert np.array_equal(left(alpha=alpha, with_skip=True)[0], scaled + np.float32(7.5))
    y, signs = left(alpha=alpha, with_skip=True, with_bits=True)
    assert np.array_equal(y, scaled + np.float32(7.5))
    assert np.array_equal(signs, bits.pack_bits(scaled < t) ^ flip)
    y, signs = left(alpha=alpha, bias=bias, slope=slope, scale=scale, shift=shift, relu_last=True, with_bits=True)
    v = scaled + bias
    v = np.maximum(np.where(v > 0, v, v * slope) * scale + shift, 0)
    assert np.array_equal(y, v)
    assert np.array_equal(signs, bits.pack_bits(v < t) ^ flip)
