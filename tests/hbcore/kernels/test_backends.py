"""The table of operations, every backend: against hbcore.bits (to the bit) and naive float64 loops (to rounding)."""

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hbcore import StackedHourglass, Tensor, bits, kernels
from hbcore.autograd.conv import conv2d, convolve, convolve_backward, max_pool2d
from hbcore.autograd.norm import batch_norm
from hbcore.binary.convolution import binary_conv2d
from hbcore.binary.partial import partial_unit
from hbcore.binary.signs import sign
from hbcore.binary.smooth import smooth_sign
from hbcore.kernels import Reference
from hbcore.kernels.units import Units
from hbcore.nn.blocks import Style, Unit
from hbcore.nn.layers import use_gradients
from hbcore.optim.losses import heatmap_cross_entropy
from hbcore.threads import set_threads
from tests.strategies import CHANNELS, convolutions, naive_conv2d, naive_conv2d_backward

# float32 sums of at most some thousand terms of size about 1: 6e-8 times the square root of that, with room to spare.
TOLERANCE = 1e-5

REFERENCE = Reference()

# Sums in float64 in another order.
SUM_TOLERANCE = 1e-11


@pytest.fixture(scope="module", autouse=True, params=kernels.available())
def variant(request):
    """Every test runs with every backend."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernels, "backend", kernels.choose(request.param))
        yield request.param
    kernels.choose(os.environ.get("HBCORE_KERNELS") or None)


@pytest.fixture
def wide(variant):
    """Only for wide kernels."""
    if variant in ("numpy", "cython"):
        pytest.skip("not a wide variant")
    return pytest.importorskip("hbcore._wide")


FILTERS = st.one_of(st.integers(1, 9), st.sampled_from([15, 16, 17, 31, 32, 33, 48]))


def normal(shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def close(result, oracle):
    return np.abs(result - oracle).max() <= TOLERANCE * max(1.0, np.abs(oracle).max())


@settings(max_examples=150)
@given(convolutions(), FILTERS)
def test_convolution(case, filters):
    x_shape, w_shape, stride, padding = case
    x, w = normal(x_shape), normal((*w_shape[:3], filters), 1)
    y = convolve(x, w, stride, padding)
    assert y.dtype == np.float32
    oracle = naive_conv2d(x.astype(np.float64), w.astype(np.float64), stride, padding)
    assert y.shape == oracle.shape
    assert close(y, oracle)


@settings(max_examples=150)
@given(convolutions(), FILTERS)
def test_gradients_of_a_convolution(case, filters):
    x_shape, w_shape, stride, padding = case
    x, w = normal(x_shape), normal((*w_shape[:3], filters), 1)
    g = normal(convolve(x, w, stride, padding).shape, 2)
    dx, dw = convolve_backward(x, w, g, stride, padding, True, True)
    doubles = x.astype(np.float64), w.astype(np.float64), g.astype(np.float64)
    for result, oracle in zip((dx, dw), naive_conv2d_backward(*doubles, stride, padding), strict=True):
        assert result.dtype == np.float32
        assert close(result, oracle)
    # The filters' gradient alone takes another way where stride > 1.
    alone = convolve_backward(x, w, g, stride, padding, False, True)
    assert alone[0] is None
    assert close(alone[1], dw)


def test_convolution_of_more_than_one_block():
    """A picture too large for one block, and one whose rows do not divide into blocks."""
    for shape in ((1, 67, 61, 24), (2, 129, 40, 3)):
        x, w = normal(shape), normal((3, 3, shape[-1], 20), 1)
        y = convolve(x, w, 1, 1)
        assert close(y, naive_conv2d(x.astype(np.float64), w.astype(np.float64), 1, 1))
        g = normal(y.shape, 2)
        dx, dw = convolve_backward(x, w, g, 1, 1, True, True)
        dx_oracle, dw_oracle = naive_conv2d_backward(*(a.astype(np.float64) for a in (x, w, g)), 1, 1)
        assert close(dx, dx_oracle)
        assert close(dw, dw_oracle)


@settings(max_examples=150)
@given(convolutions(), FILTERS)
def test_binary_convolution_is_that_of_bits(case, filters):
    x_shape, w_shape, stride, padding = case
    channels = x_shape[3]
    x, w = bits.pack_signs(normal(x_shape)), normal((*w_shape[:3], filters), 1)
    alpha = np.abs(normal(filters, 2))
    y = kernels.backend.scaled_binary_conv2d(x, kernels.backend.pack_filters(w), alpha, channels, stride, padding)
    packed = bits.pack_signs(w.transpose(3, 0, 1, 2))
    oracle = bits.binary_conv2d(x, packed, channels, stride, padding).astype(np.float32) * alpha
    assert y.dtype == np.float32
    assert y.shape == oracle.shape
    assert y.tobytes() == oracle.tobytes()


@pytest.mark.parametrize("channels", [2113, 2048, 1985])
def test_binary_convolution_of_many_words(channels):
    """More than the 31 words that the byte counters hold, all bits different and then none."""
    for value in (0, 1):
        x = bits.pack_signs(np.full((1, 2, 2, channels), -1.0, dtype=np.float32))
        w = kernels.backend.pack_filters(np.full((1, 1, channels, 9), 1.0 - 2 * value, dtype=np.float32))
        y = kernels.backend.scaled_binary_conv2d(x, w, np.ones(9, dtype=np.float32), channels)
        assert np.array_equal(y, np.full((1, 2, 2, 9), channels * (2.0 * value - 1), dtype=np.float32))


def test_weight_gradient_from_bits_is_that_from_signs():
    for channels in (1, 7, 8, 63, 64, 65, 130):
        x, g = normal((2, 5, 4, channels)), normal((2, 5, 4, 19), 1)
        from_bits = kernels.backend.filter_gradient(bits.pack_signs(x), g, (3, 3, channels, 19), 1)
        from_signs = kernels.backend.conv2d_weight_gradient(kernels.backend.sign(x), g, (3, 3, channels, 19), 1, (1, 1))
        assert from_bits.tobytes() == from_signs.tobytes()


def in_bytes(g, axes):
    """g rounded to whole multiples of a unit, the largest magnitude over `axes` / 127."""
    unit = np.abs(g).max(axis=axes, keepdims=True) / 127
    return np.rint(g / np.where(unit == 0, 1, unit)) * unit


def byte_gradients(s, g, w, padding):
    """float64 oracles of the gradients of signs s and of filters w from gradients in bytes."""
    alpha = np.abs(w).mean(axis=(0, 1, 2))
    ds, _ = naive_conv2d_backward(s, np.where(w < 0, -1.0, 1.0), in_bytes(g * alpha, 3), 1, padding)
    columns = min(g.shape[2], 128)
    rows = max(1, 128 // -(-columns // 4 * 4))
    rounded = np.empty_like(g)
    for y in range(0, g.shape[1], rows):
        for x in range(0, g.shape[2], columns):
            block = slice(None), slice(y, y + rows), slice(x, x + columns)
            rounded[block] = in_bytes(g[block], (1, 2))
    _, dw = naive_conv2d_backward(s, w, rounded, 1, padding)
    return ds, dw


def close_to_bytes(result, oracle, unit):
    """Rounding halfway cases the other way, in float32, moves a result by some units at most."""
    return np.isfinite(result).all() and np.abs(result - oracle).max() <= TOLERANCE * np.abs(oracle).max() + 2 * unit


@settings(max_examples=100)
@given(convolutions(), FILTERS, st.booleans())
def test_gradients_in_bytes(case, filters, part):
    """Where g is part of a wider array too."""
    x_shape, w_shape, _, padding = case
    padding = min(padding, w_shape[0] - 1, w_shape[1] - 1)
    if w_shape[0] != w_shape[1] or min(x_shape[1:3]) + 2 * padding < w_shape[0]:
        return
    x, w = normal(x_shape), normal((*w_shape[:3], filters), 1)
    size = [length + 2 * padding - w_shape[0] + 1 for length in x_shape[1:3]]
    wider = normal((x_shape[0], *size, filters + 5 * part), 2) ** 3
    g = wider[..., 5 * part :]
    signs, alpha = bits.pack_signs(x), np.abs(w).mean(axis=(0, 1, 2))
    ds = kernels.backend.sign_gradient(g, w, alpha, padding, "int8")
    dw = kernels.backend.filter_gradient(signs, g, w.shape, padding, "int8")
    doubles = np.where(x < 0, -1.0, 1.0), g.astype(np.float64), w.astype(np.float64)
    ds_oracle, dw_oracle = byte_gradients(*doubles, padding)
    assert ds.shape == x.shape
    assert close_to_bytes(ds, ds_oracle, np.abs(g * alpha).max() / 127)
    assert close_to_bytes(dw, dw_oracle, np.abs(g).max() / 127)


@pytest.mark.parametrize("shape", [(2, 3, 300, 5), (1, 40, 7, 20), (1, 2, 3, 600)])
def test_gradients_in_bytes_of_more_than_one_block(shape):
    """Rows longer than a block, blocks of several rows, more channels than int16 sums can take at once."""
    for channels in (3, 40):
        w = normal((3, 3, channels, shape[3]), 1)
        x, g = normal((*shape[:3], channels)), normal(shape, 2)
        ds_oracle, dw_oracle = byte_gradients(np.where(x < 0, -1.0, 1.0), g.astype(np.float64), w.astype(np.float64), 1)
        alpha = np.abs(w).mean(axis=(0, 1, 2))
        assert close_to_bytes(
            kernels.backend.sign_gradient(g, w, alpha, 1, "int8"), ds_oracle, np.abs(g * alpha).max() / 127
        )
        assert close_to_bytes(
            kernels.backend.filter_gradient(bits.pack_signs(x), g, w.shape, 1, "int8"), dw_oracle, 0.05
        )


def test_whole_gradients_survive_bytes():
    """Gradients that are whole multiples of their unit are not rounded at all: results equal float32's to the bit."""
    rng = np.random.default_rng(3)
    w = np.where(rng.random((3, 3, 70, 24)) < 0.5, -0.5, 0.5).astype(np.float32)
    g = rng.integers(-127, 128, (2, 6, 9, 24)).astype(np.float32)
    g[:, :, :, 0] = 127  # the largest of every pixel
    g[:, 0] = 127  # and of every block
    signs = bits.pack_signs(normal((2, 6, 9, 70)))
    results = []
    for kind in ("int8", "float32"):
        ds = kernels.backend.sign_gradient(g, w, np.full(24, 0.5, dtype=np.float32), 1, kind)
        results.append((ds.tobytes(), kernels.backend.filter_gradient(signs, g, w.shape, 1, kind).tobytes()))
    assert results[0] == results[1]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_gradients_that_are_not_finite_stay_so(value):
    g, w = normal((1, 5, 5, 9)), normal((3, 3, 6, 9), 1)
    g[0, 2, 2, 4] = value
    ds = kernels.backend.sign_gradient(g, w, np.ones(9, dtype=np.float32), 1, "int8")
    dw = kernels.backend.filter_gradient(bits.pack_signs(normal((1, 5, 5, 6))), g, w.shape, 1, "int8")
    assert np.isnan(ds[0, 1:4, 1:4]).all()
    assert np.isfinite(ds[0, 0]).all()
    assert np.isnan(dw[..., 4]).all()
    assert np.isfinite(dw[..., :4]).all()


def test_gradients_of_zero_are_zero():
    g = np.zeros((1, 4, 4, 9), dtype=np.float32)
    g[0, 1, 1, 3] = 1e-38  # too small to matter, and to be divided by
    assert not kernels.backend.sign_gradient(g, normal((3, 3, 6, 9)), np.ones(9, dtype=np.float32), 1, "int8").any()
    signs = bits.pack_signs(normal((1, 4, 4, 6)))
    assert not kernels.backend.filter_gradient(signs, g, (3, 3, 6, 9), 1, "int8").any()


def test_gradients_in_bytes_do_not_depend_on_threads():
    g, w, signs = normal((3, 20, 20, 24)), normal((3, 3, 70, 24), 1), bits.pack_signs(normal((3, 20, 20, 70), 2))
    results = set()
    for threads in (1, 2, 3):
        set_threads(threads)
        ds = kernels.backend.sign_gradient(g, w, np.ones(24, dtype=np.float32), 1, "int8")
        results.add((ds.tobytes(), kernels.backend.filter_gradient(signs, g, w.shape, 1, "int8").tobytes()))
    set_threads(1)
    assert len(results) == 1


def test_the_ceiling_is_what_was_counted_over_the_median_time(monkeypatch):
    """By a clock that says the rounds took 1, 4 and 2 seconds; a round compares eight times 32 bits in every lane."""
    lanes = {"amx": 16, "avx512": 16, "avx2": 8, "sse2": 4, "neon": 4}.get(kernels.backend.name)
    if lanes is None:
        pytest.skip("not a wide variant")
    ticks = iter([0.0, 1.0, 1.0, 5.0, 5.0, 7.0])
    monkeypatch.setattr(kernels.time, "perf_counter", lambda: next(ticks))
    assert kernels.popcount_ceiling(3) == 200_000 * 8 * 32 * lanes / 2


def test_unknown_gradients():
    with pytest.raises(ValueError, match="float32 or int8, not in 'bf16'"):
        use_gradients(unit(), "bf16")


@given(st.integers(1, 40), CHANNELS)
def test_normalised_signs_and_window(rows, channels):
    x, scale, shift = normal((rows, channels)), normal(channels, 1), normal(channels, 2)
    values = REFERENCE.affine(x, scale, shift)
    signs, window = kernels.backend.norm_sign(x, scale, shift)
    assert np.array_equal(signs, bits.pack_signs(values))
    assert np.array_equal(window, bits.pack_bits(np.abs(values) < 1))


def test_normalised_signs_at_the_edges():
    """Zero is +1, minus zero too; the window is open; NaN is an error in any lane."""
    under_one = np.nextafter(np.float32(1), np.float32(0))
    cases = [  # value, sign bit, window bit
        (0.0, 0, 1), (-0.0, 0, 1), (1.0, 0, 0), (-1.0, 1, 0), (under_one, 0, 1), (-under_one, 1, 1),
        (np.inf, 0, 0), (-np.inf, 1, 0), (-1e-40, 1, 1),
    ]  # fmt: skip
    x = np.array([[value for value, _, _ in cases]], dtype=np.float32)
    one, zero = np.ones(9, dtype=np.float32), np.full(9, -0.0, dtype=np.float32)
    signs, window = kernels.backend.norm_sign(x, one, zero)
    assert int(signs[0, 0]) == sum(bit << k for k, (_, bit, _) in enumerate(cases))
    assert int(window[0, 0]) == sum(bit << k for k, (_, _, bit) in enumerate(cases))
    for channel in range(9):
        broken = x.copy()
        broken[0, channel] = np.nan
        with pytest.raises(FloatingPointError, match="NaN has no sign"):
            kernels.backend.norm_sign(broken, one, zero)


@given(st.integers(1, 40), CHANNELS, st.booleans())
def test_normalisation_with_a_window(rows, channels, windowed):
    x, g, mean = normal((rows, channels)), normal((rows, channels), 1), normal(channels, 2)
    inside = normal((rows, channels), 3) < 0.3
    window = bits.pack_bits(inside) if windowed else None
    masked = np.where(inside, g, np.float32(0)) if windowed else g
    results = kernels.backend.norm_sums(x, g, mean, window)
    for result, oracle in zip(results, REFERENCE.norm_sums(x, masked, mean), strict=True):
        assert np.abs(result - oracle).max() <= SUM_TOLERANCE
    a, b, c = normal((3, channels), 4)
    assert np.array_equal(
        kernels.backend.norm_backward(x, g, a, b, c, window), REFERENCE.norm_backward(x, masked, a, b, c)
    )


@given(st.integers(1, 40), CHANNELS)
def test_smooth_signs_and_the_way_back(rows, channels):
    x, scale, shift = normal((rows, channels)), normal(channels, 1), normal(channels, 2)
    s = kernels.backend.norm_smooth(x, scale, shift, 1.5)
    assert s.dtype == np.float32
    expected = np.tanh((x * scale + shift).astype(np.float64) * 1.5)
    assert np.abs(s - expected).max() < 1e-6
    g = normal((rows, channels), 3)
    by_formula = g * (1 - s * s) * np.float32(1.5)
    assert kernels.backend.smooth_backward(s, g.copy(), 1.5).tobytes() == by_formula.tobytes()


def test_smooth_signs_are_tanh_to_the_last_bits():
    """From the smallest numbers to those whose tanh is 1, of either sign; NaN stays."""
    x = np.geomspace(1e-37, 30, 40_000).astype(np.float32)
    x = np.concatenate([x, -x])[:, None]
    one, zero = np.ones(1, np.float32), np.zeros(1, np.float32)
    s, exact = kernels.backend.norm_smooth(x, one, zero, 1.0), np.tanh(x.astype(np.float64))
    assert (np.abs(s - exact) <= 3 * np.spacing(np.abs(exact).astype(np.float32))).all()
    edges = np.array([[0], [np.inf], [-np.inf], [3e38], [np.nan]], dtype=np.float32)
    assert np.array_equal(
        kernels.backend.norm_smooth(edges, one, zero, 1.0).ravel(), [0, 1, -1, 1, np.nan], equal_nan=True
    )


@pytest.mark.parametrize(("channels", "filters", "kernel"), [(5, 3, 3), (64, 16, 3), (70, 33, 1)])
def test_signs_with_real_filters_are_those_of_numbers_to_the_bit(channels, filters, kernel):
    x, w, padding = normal((2, 7, 6, channels)), normal((kernel, kernel, channels, filters), 1), kernel // 2
    y = kernels.backend.sign_conv2d(bits.pack_signs(x), w, padding)
    assert y.tobytes() == convolve(np.where(x < 0, np.float32(-1), np.float32(1)), w, 1, padding).tobytes()


@given(st.integers(1, 40), CHANNELS, st.integers(0, 3))
def test_prelu_is_its_formula_to_the_bit(rows, channels, beside):
    """Where g is part of a wider array too; zero, also minus zero, counts as below."""
    x, slope = normal((2, rows, 1, channels)), normal(channels, 1)
    x.ravel()[::7], x.ravel()[::11] = 0, -0.0
    g = normal((2, rows, 1, channels + beside), 2)[..., beside:]
    y = kernels.backend.prelu(x, slope)
    assert y.dtype == np.float32
    assert y.tobytes() == np.where(x > 0, x, x * slope).tobytes()
    dx, sums = kernels.backend.prelu_backward(x, slope, g)
    assert dx.dtype == np.float32
    assert dx.tobytes() == np.where(x > 0, g, g * slope).tobytes()
    terms = np.where(x > 0, np.float32(0), g * x).astype(np.float64)
    assert np.abs(sums - terms.sum(axis=(0, 1, 2))).max() <= SUM_TOLERANCE


def test_sums_of_prelu_are_taken_in_one_order_on_every_wide_variant(wide, one_thread_after):
    """Over runs of 16 rows, those over eighths of the rows, one after the other; on any number of threads."""
    x, g, slope = normal((2, 50, 50, 20)), normal((2, 50, 50, 20), 2), normal(20, 1)
    terms = np.where(x > 0, np.float32(0), g * x).astype(np.float64).reshape(-1, 20)
    expected = np.zeros(20)
    for part in np.split(terms, 8):
        total = np.zeros(20)
        for first in range(0, len(part), 16):
            run = np.zeros(20)
            for term in part[first : first + 16]:
                run += term
            total += run
        expected += total
    for threads in (1, 2, 5):
        set_threads(threads)
        assert kernels.backend.prelu_backward(x, slope, g)[1].tobytes() == expected.tobytes()


def test_moments_far_from_zero():
    x = (1000 + normal((3000, 11))).astype(np.float32)
    mean, variance, count = kernels.backend.batch_statistics(x)
    assert count == 3000
    assert np.abs(mean - x.astype(np.float64).mean(axis=0)).max() < SUM_TOLERANCE * 1000
    assert np.abs(variance - x.astype(np.float64).var(axis=0)).max() < SUM_TOLERANCE


def test_nothing_is_written_beside_the_output(wide):
    x, w, g = normal((2, 5, 5, 9)), normal((3, 3, 9, 19), 1), normal((2, 5, 5, 19), 2)
    packed, filters = bits.pack_signs(x), bits.pack_signs(w.transpose(0, 1, 3, 2).copy()).transpose(0, 1, 3, 2).copy()
    alpha = np.ones(32, dtype=np.float32)  # padded
    calls = [
        (y := (2, 5, 5, 19), lambda out: wide.conv2d(x, None, w, 1, 1, 1, out)),
        (y, lambda out: wide.binary_conv2d(packed, filters, 9, alpha, 1, 1, out)),
        (w.shape, lambda out: wide.weight_gradient(x, None, 9, g, 1, 1, 1, out)),
    ]
    for shape, call in calls:
        memory = np.full((shape[0] + 2, *shape[1:]), 77.5, dtype=np.float32)
        call(memory[1:-1])
        assert (memory[[0, -1]] == 77.5).all()
        assert not (memory[1:-1] == 77.5).any()


def unit(seed=0, channels=20, filters=17, kernel=3):
    made = Unit(channels, filters, kernel, Style(rng=np.random.default_rng(seed)))
    made.modules[0].gamma.data[...] = normal(channels, 5)  # negative ones too
    made.modules[0].beta.data[...] = normal(channels, 6)
    return made


@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_binary_unit_in_one_is_batch_norm_sign_and_convolution(kernel):
    x, g = normal((3, 6, 5, 20)), normal((3, 6, 5, 17), 1)
    fused, apart = unit(kernel=kernel), unit(kernel=kernel)
    one, three = Tensor(x, requires_grad=True), Tensor(x, requires_grad=True)
    y = fused(one)
    norm, conv = apart.modules
    z, mean, variance = batch_norm(three, norm.gamma, norm.beta, norm.eps)
    norm.follow(mean, variance)
    z = binary_conv2d(sign(z), conv.weight, padding=kernel // 2)
    assert type(y.function).__name__ == "BinaryUnit"
    assert y.data.tobytes() == z.data.tobytes()
    (y * Tensor(g)).sum().backward()
    (z * Tensor(g)).sum().backward()
    assert close(one.grad, three.grad)
    for a, b in zip(fused.parameters(), apart.parameters(), strict=True):
        assert close(a.grad, b.grad)
    for a, b in zip(fused.named_buffers(), apart.named_buffers(), strict=True):
        assert np.array_equal(a[1], b[1])


@pytest.mark.parametrize(("sharpness", "real"), [(2.0, False), (2.0, True), (None, True)])
@pytest.mark.parametrize("kernel", [1, 3])
def test_partial_unit_in_one_is_its_layers(kernel, sharpness, real):
    x, wider = normal((3, 6, 5, 20)), normal((3, 6, 5, 30), 1)
    g = wider[..., 13:]
    fused, apart = unit(kernel=kernel), unit(kernel=kernel)
    for made in (fused, apart):
        made.modules[1].sharpness, made.modules[1].binarize = sharpness, "activations" if real else "both"
    one, three = Tensor(x, requires_grad=True), Tensor(x, requires_grad=True)
    y = fused(one)
    norm, conv = apart.modules
    z, mean, variance = batch_norm(three, norm.gamma, norm.beta, norm.eps)
    norm.follow(mean, variance)
    z = sign(z) if sharpness is None else smooth_sign(z, sharpness)
    z = conv2d(z, conv.weight, padding=kernel // 2) if real else binary_conv2d(z, conv.weight, padding=kernel // 2)
    assert type(y.function).__name__ == "PartialUnit"
    assert y.data.tobytes() == z.data.tobytes() if sharpness is None else close(y.data, z.data)
    y.backward(g)
    z.backward(g)
    assert close(one.grad, three.grad)
    for a, b in zip(fused.parameters(), apart.parameters(), strict=True):
        assert close(a.grad, b.grad)
    for a, b in zip(fused.named_buffers(), apart.named_buffers(), strict=True):
        assert np.array_equal(a[1], b[1])


@pytest.mark.parametrize(("sharpness", "real"), [(2.0, False), (2.0, True), (None, True)])
def test_partial_units_take_in_bytes_what_meets_signs(sharpness, real):
    """The filters' gradient where activations are signs, that of activations where filters are, and nothing else."""
    x, w, g = normal((2, 6, 5, 20)), normal((3, 3, 20, 17), 1), normal((2, 6, 5, 17), 2)
    gamma, beta = normal(20, 5), normal(20, 6)
    gradients = {}
    for kind in kernels.GRADIENTS:
        leaves = [Tensor(array, requires_grad=True) for array in (x, gamma, beta, w)]
        partial_unit(*leaves, 1e-5, 1, kind, sharpness, real)[0].backward(g)
        gradients[kind] = [leaf.grad for leaf in leaves]
    rounded, exact = gradients["int8"], gradients["float32"]
    in_bytes_ = (not real, not real, not real, sharpness is None)
    for a, b, differs in zip(rounded, exact, in_bytes_, strict=True):
        assert np.array_equal(a, b) == (not differs)
        assert np.abs(a - b).max() < 0.02 * np.abs(b).max()
    if sharpness is None:
        signs = REFERENCE.norm_sign(x, *REFERENCE.normalise(x, gamma, beta, 1e-5)[1:])[0]
        assert np.array_equal(rounded[3], kernels.backend.filter_gradient(signs, g, w.shape, 1, "int8"))


@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize("channels", [5, 16, 33, 70])
def test_a_unit_in_one_call_is_its_operations_to_the_bit(kernel, channels):
    """Both ways, gradients in bytes, g a part of a wider array, with and without a gradient that came before."""
    backend, padding = kernels.backend, kernel // 2
    x, w = normal((2, 6, 5, channels)), normal((kernel, kernel, channels, 17), 1)
    gamma, beta, g = normal(channels, 2), normal(channels, 3), normal((2, 6, 5, 40), 4)[..., 3:20]
    before = normal((2, 6, 5, channels + 9), 5)[..., 4 : channels + 4]
    y, made = backend.unit_forward(x, gamma, beta, w, 1e-5, padding)
    z, apart = Units.unit_forward(backend, x, gamma, beta, w, 1e-5, padding)
    assert y.tobytes() == z.tobytes()
    assert made.alpha[:17].tobytes() == apart.alpha.tobytes()
    for a, b in zip(
        (made.signs, made.inside, *made.norm[:3]), (apart.signs, apart.inside, *apart.norm[:3]), strict=True
    ):
        assert a.tobytes() == b.tobytes()
    for so_far in (None, before):
        one = backend.unit_backward(made, x, gamma, w, padding, g, "int8", so_far)
        many = Units.unit_backward(backend, apart, x, gamma, w, padding, g, "int8", so_far)
        for a, b in zip(one, many, strict=True):
            assert a.tobytes() == b.tobytes()
    without = backend.unit_backward(made, x, gamma, w, padding, g, "int8")[0]
    assert np.array_equal(backend.unit_backward(made, x, gamma, w, padding, g, "int8", before)[0], without + before)


def test_a_unit_in_one_call_meets_nan():
    x, w = normal((1, 4, 4, 5)), normal((3, 3, 5, 2), 1)
    for broken in (x, w):
        kept, broken[0, 1, 2, 1] = broken[0, 1, 2, 1], np.nan
        with pytest.raises(FloatingPointError, match="NaN has no sign"):
            kernels.backend.unit_forward(x, normal(5, 2), normal(5, 3), w, 1e-5, 1)
        broken[0, 1, 2, 1] = kept


def step_of_a_network(activation="none"):
    model = StackedHourglass(features=16, joints=3, stacks=2, depth=2, activation=activation, seed=3)
    loss = Tensor(np.zeros((), dtype=np.float32))
    target = np.random.default_rng(1).random((2, 8, 8, 3), dtype=np.float32)
    for heatmaps in model(Tensor(np.random.default_rng(0).random((2, 32, 32, 3), dtype=np.float32))):
        loss = loss + heatmap_cross_entropy(heatmaps, target, np.ones((2, 3), dtype=np.float32))
    loss.backward()
    return loss.item(), {name: parameter.grad for name, parameter in model.named_parameters()}


def test_one_thread_or_many_give_the_same_bits(one_thread_after):
    set_threads(1)
    loss, gradients = step_of_a_network()
    for threads in (2, 3, 5):
        set_threads(threads)
        for _ in range(3):
            again, others = step_of_a_network()
            assert again == loss
            for name, gradient in gradients.items():
                assert gradient.tobytes() == others[name].tobytes(), name


def test_work_from_several_python_threads_at_once(one_thread_after):
    from concurrent.futures import ThreadPoolExecutor

    set_threads(2)
    x, w = normal((2, 16, 16, 32)), normal((3, 3, 32, 16), 1)
    expected = convolve(x, w, 1, 1).tobytes()
    with ThreadPoolExecutor(4) as pool:
        assert all(y.tobytes() == expected for y in pool.map(lambda _: convolve(x, w, 1, 1), range(200)))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_works_on(one_thread_after):
    script = """
import os, sys
import numpy as np
from hbcore import kernels, set_threads
set_threads(3)
x, w = np.ones((4, 16, 16, 32), "f"), np.ones((3, 3, 32, 16), "f")
before = kernels.backend.conv2d(x, w, 1, (1, 1))
child = os.fork()
after = kernels.backend.conv2d(x, w, 1, (1, 1))
same = np.array_equal(before, after)
if child == 0:
    os._exit(0 if same else 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) or not same)
"""
    assert subprocess.run([sys.executable, "-W", "ignore", "-c", script], timeout=60, check=False).returncode == 0


def forced(name):
    script = "from hbcore import kernel_report; print(kernel_report()['kernels'])"
    environment = os.environ | {"HBCORE_KERNELS": name}
    return subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)


def test_a_variant_can_be_forced(variant):
    assert forced(variant).stdout.strip() == variant


def test_an_unknown_variant_is_an_error_that_names_it():
    done = forced("mmx")
    assert done.returncode == 1
    assert "HBCORE_KERNELS=mmx" in done.stderr.splitlines()[-1]


@given(st.integers(1, 3), st.integers(1, 4), st.integers(1, 4), CHANNELS, st.integers(1, 3))
def test_max_pool_of_pairs(batch, height, width, channels, levels):
    """Few levels make many ties: the first pixel wins, as in the plain kernels."""
    rng = np.random.default_rng(channels)
    x = rng.integers(0, levels, (batch, 2 * height, 2 * width, channels)).astype(np.float32)
    y, winner = REFERENCE.max_pool(x, 2)
    g = normal(y.shape)
    for ours, oracle in zip(kernels.backend.max_pool(x, 2), (y, winner), strict=True):
        assert np.array_equal(ours, oracle)
    assert np.array_equal(kernels.backend.max_pool_backward(g, winner, 2), REFERENCE.max_pool_backward(g, winner, 2))


@pytest.mark.parametrize("channels", [1, 8, 17])
def test_max_pool_leaves_nan_to_others(channels, variant):
    for place in range(4):
        x = normal((2, 4, 4, channels))
        x[1, 2 + place // 2, place % 2, channels - 1] = np.nan
        if variant not in ("numpy", "cython"):
            from hbcore import _wide

            assert not _wide.max_pool(x, np.empty_like(x[:, ::2, ::2]), np.empty((2, 2, 2, channels), np.uint8))
        assert np.isnan(max_pool2d(Tensor(x)).data[1, 1, 0, channels - 1])


@pytest.mark.parametrize(("channels", "part"), [(16, 16), (37, 37), (21, 13)])
def test_what_is_done_with_pixels(channels, part):
    """To the bit, of whole arrays and of some of their channels, with NaN, infinities and zeros of both signs."""
    x, g = (normal((3, 8, 6, channels), seed)[..., :part] for seed in (0, 1))
    x[0, 0, 0, :3] = np.nan, np.inf, -0.0
    g[0, 0, 1, 0] = np.nan
    scale, shift = normal((2, part), 2)
    halves = [x[:, i::2, j::2] for i in (0, 1) for j in (0, 1)]
    expected = {
        "affine": ((x, scale, shift), x * scale + shift),
        "rectify": ((x,), np.where(x <= 0, np.float32(0), x)),
        "where_above": ((g, x), g * np.where(x > 0, np.float32(1), np.float32(0))),
        "upsample": ((x, 2), x.repeat(2, axis=1).repeat(2, axis=2)),
        "sum_pool": ((x, 2), halves[0] + halves[1] + halves[2] + halves[3]),
        "join": ((x, (g[..., :5], g[..., 5:])), x + g),
    }
    for name, (arguments, result) in expected.items():
        got = getattr(kernels.backend, name)(*arguments)
        assert got.dtype == np.float32
        assert np.array_equal(got, result, equal_nan=True), name
        assert np.array_equal(np.signbit(got)[~np.isnan(got)], np.signbit(result)[~np.isnan(got)]), name
    for wrong in ((g[..., :5],), (g[..., :5], g[:, :4, :, 5:])):
        with pytest.raises(ValueError, match=r"do not add up|expected"):
            kernels.backend.join(x, wrong)


def test_add_of_whole_arrays_and_of_parts():
    wide, other = normal((3, 40, 40, 50)), normal((3, 40, 40, 50), 1)
    for part in (slice(None), slice(3, 30), slice(0, 49)):
        a, b, out = wide[..., part], other[..., part], np.full(wide.shape, 7.5, dtype=np.float32)
        assert a.size > 1 << 15  # fewer are left to NumPy
        assert np.array_equal(kernels.backend.add(a, b), a + b)
        assert kernels.backend.add(a, b, out=out[..., part]) is not None
        assert np.array_equal(out[..., part], a + b)
        assert (np.delete(out, np.arange(50)[part], axis=-1) == 7.5).all()
    for a, b in ((wide.transpose(0, 2, 1, 3), other), (wide[:, ::2], other[:, 1::2]), (wide, other[0])):
        assert np.array_equal(kernels.backend.add(a, b), a + b)


LEVELS = np.tile(np.arange(256, dtype=np.uint8), (3, 1))


def warp(picture, matrix, shape=(1, 1), levels=LEVELS):
    out = np.full((*shape, 3), 77, np.uint8)
    assert kernels.backend.warp(picture, np.array(matrix, np.float64), levels, out) is out
    return out


def test_warp_by_hand():
    picture = np.array([[[0, 100, 10], [8, 200, 11]], [[16, 0, 12], [40, 50, 13]]], np.uint8)
    same, out = [[1, 0, 0], [0, 1, 0]], [[1, 0, 2.5], [0, 1, 0]]
    assert np.array_equal(warp(picture, same, (2, 2)), picture)
    # A quarter of the way to the right and half of the way down: 2 and 22 meet at 12, 125 and 12.5 at 68.75.
    assert warp(picture, [[1, 0, 0.25], [0, 1, 0.5]]).tolist() == [[[12, 68, 11]]]
    # Beyond the last centres the border goes on to its edge, and then all is black.
    assert warp(picture, [[1, 0, 1.499], [0, 1, -0.5]]).tolist() == [[[8, 200, 11]]]
    assert warp(picture, [[1, 0, 1.5], [0, 1, 0]]).tolist() == [[[0, 0, 0]]]
    levels = np.stack([np.arange(256)[::-1], np.full(256, 7), np.arange(256)]).astype(np.uint8)
    assert warp(picture, same, (1, 2), levels).tolist() == [[[255, 7, 10], [247, 7, 11]]]
    assert warp(picture, out, levels=levels).tolist() == [[[255, 7, 0]]]
    assert warp(picture, [[np.nan, 0, 0], [0, 1, 0]]).tolist() == [[[0, 0, 0]]]


@settings(max_examples=60)
@given(st.integers(0, 2**32), st.integers(1, 20), st.integers(1, 20), st.booleans())
def test_warp_is_the_reference_to_the_bit(seed, height, width, whole):
    rng = np.random.default_rng(seed)
    picture = rng.integers(0, 256, (height, 2 * width, 3), dtype=np.uint8)[::-1, width // 2 : width // 2 + width]
    matrix = (rng.normal(0, 1, (2, 3)) + np.eye(2, 3)).round(0 if whole else 9)
    levels = rng.integers(0, 256, (3, 256), dtype=np.uint8)
    made, expected = (np.zeros((9, 12, 3), np.uint8)[:, ::-1] for _ in range(2))
    kernels.backend.warp(picture, matrix, levels, made)
    REFERENCE.warp(picture, matrix, levels, expected)
    assert np.array_equal(made, expected)


@pytest.mark.parametrize(
    ("place", "shape"), [(0, (4, 5, 4)), (0, (0, 5, 3)), (1, (3, 3)), (2, (3, 255)), (3, (4, 4, 1))]
)
def test_warp_refuses_what_does_not_fit(place, shape):
    arguments = [np.zeros((4, 5, 3), np.uint8), np.zeros((2, 3)), LEVELS, np.zeros((4, 4, 3), np.uint8)]
    arguments[place] = np.zeros(shape, arguments[place].dtype)
    with pytest.raises(ValueError, match=("picture", "matrix", "levels", "out")[place]):
        kernels.backend.warp(*arguments)
