"""The compiled kernels against their NumPy twins (and those against naive loops elsewhere), and the fallback."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hbcore import bits, kernels
from hbcore.kernels import Reference
from hbcore.threads import set_threads
from tests.strategies import REAL_TYPES, convolutions

ROOT = Path(__file__).parents[3]

needs_kernels = pytest.mark.skipif(kernels.backend.name == "numpy", reason="hbcore was installed without a compiler")
pytestmark = needs_kernels

REFERENCE = Reference()

# Sums in float64 over at most some thousand terms of size about 1, in another order: 1e3 * 2e-16 with room to spare.
SUM_TOLERANCE = 1e-11

WORD_EDGES = [1, 2, 31, 32, 33, 63, 64, 65, 127, 128, 129, 130]


def normal(shape, dtype=np.float32, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def random_words(shape, channels, seed=0):
    return bits.pack_bits(np.random.default_rng(seed).random((*shape, channels)) < 0.5)


def side_by_side(w):
    """Filters (O, kH, kW, words) as the kernels take them."""
    return np.ascontiguousarray(w.transpose(1, 2, 3, 0))


def layouts(x):
    """The same values lying differently in memory, and read-only."""
    yield "contiguous", x
    read_only = x.copy()
    read_only.setflags(write=False)
    yield "read-only", read_only
    yield "Fortran order", np.asfortranarray(x)
    yield "every second row", np.repeat(x, 2, axis=0)[::2]
    yield "reversed channels", np.ascontiguousarray(x[..., ::-1])[..., ::-1]
    yield "part of a wider array", np.concatenate([x, x], axis=-1)[..., : x.shape[-1]]


LAYOUTS = [name for name, _ in layouts(np.zeros((1, 1)))]


def identical(a, b):
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


# ------------------------------------------------------------------------------------------------------ bits


@pytest.mark.parametrize("dtype", REAL_TYPES)
def test_pack_signs_at_every_width(dtype):
    for channels in range(1, 131):
        x = normal((5, channels), dtype, seed=channels)
        x[1] = -1
        x[2] = -0.0
        assert identical(kernels.backend.pack_signs(x), bits.pack_signs(x)), channels


@pytest.mark.parametrize("dtype", REAL_TYPES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_sign_and_pack_signs_of_any_layout(dtype, layout):
    x = dict(layouts(normal((3, 4, 70), dtype)))[layout]
    assert identical(kernels.backend.sign(x), bits.sign(np.ascontiguousarray(x)))
    assert identical(kernels.backend.pack_signs(x), bits.pack_signs(np.ascontiguousarray(x)))


@pytest.mark.parametrize("dtype", REAL_TYPES)
def test_sign_of_special_values(dtype):
    tiny = np.finfo(dtype).smallest_subnormal
    x = np.array([-np.inf, -1, -tiny, -0.0, 0.0, tiny, 1, np.inf], dtype=dtype)
    assert kernels.backend.sign(x).tolist() == [-1, -1, -1, 1, 1, 1, 1, 1]
    assert kernels.backend.pack_signs(x).tolist() == [0b111]


@pytest.mark.parametrize("dtype", REAL_TYPES)
@pytest.mark.parametrize("nan", [np.nan, np.copysign(np.nan, -1)])
@pytest.mark.parametrize("length", [1, 7, 64, 70, 100_000])
def test_nan_has_no_sign(dtype, nan, length):
    for place in {0, length // 2, length - 1}:
        x = np.ones(length, dtype=dtype)
        x[place] = nan
        with pytest.raises(FloatingPointError, match="NaN"):
            kernels.backend.sign(x)
        with pytest.raises(FloatingPointError, match="NaN"):
            kernels.backend.pack_signs(x)


@pytest.mark.parametrize("shape", [(0,), (0, 5), (3, 0), (2, 0, 65)])
def test_signs_of_nothing(shape):
    x = np.zeros(shape, dtype=np.float32)
    assert identical(kernels.backend.sign(x), bits.sign(x))
    assert identical(kernels.backend.pack_signs(x), bits.pack_signs(x))
    assert kernels.backend.sign_backward(x, x).shape == shape


def test_scalar_sign():
    assert kernels.backend.sign(np.array(-2.0)).shape == ()


@pytest.mark.parametrize("dtype", REAL_TYPES)
def test_sign_backward_window(dtype, backend):
    """Open at both ends; a gradient outside leaves nothing behind, not even if it is infinite."""
    one = dtype(1)
    below, above = np.nextafter(one, dtype(0)), np.nextafter(one, dtype(2))
    x = np.array([-np.inf, -above, -1, -below, -0.0, 0, below, 1, above, np.inf], dtype=dtype)
    expected = [0, 0, 0, 3, 3, 3, 3, 0, 0, 0]
    result = kernels.backend.sign_backward(x, np.full(10, 3, dtype=dtype))
    assert result.dtype == dtype
    assert result.tolist() == expected
    assert kernels.backend.sign_backward(np.array([2, 0.5], dtype=dtype), np.full(2, np.inf, dtype=dtype)).tolist() == [
        0,
        np.inf,
    ]
    assert kernels.backend.sign_backward(np.full(1, 2, dtype=dtype), np.full(1, np.nan, dtype=dtype)).tolist() == [0]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_sign_backward_of_any_layout(layout):
    x, g = normal((3, 4, 70)), normal((3, 4, 70), seed=1)
    expected = np.where(np.abs(x) < 1, g, 0)
    assert np.array_equal(kernels.backend.sign_backward(dict(layouts(x))[layout], g), expected)
    assert np.array_equal(kernels.backend.sign_backward(x, dict(layouts(g))[layout]), expected)


def test_binary_conv2d_at_every_width():
    for channels in range(1, 131):
        x, w = random_words((2, 4, 3), channels, 1), random_words((3, 3, 3), channels, 2)
        expected = bits.binary_conv2d(x, w, channels, 1, 1)
        assert identical(kernels.backend.binary_conv2d(x, side_by_side(w), channels, 1, 1), expected), channels


@given(convolutions(), st.integers(0, 2**32))
def test_binary_conv2d_of_any_shape(case, seed):
    (batch, height, width, channels), (kernel_h, kernel_w, _, filters), stride, padding = case
    x = random_words((batch, height, width), channels, seed)
    w = random_words((filters, kernel_h, kernel_w), channels, seed + 1)
    expected = bits.binary_conv2d(x, w, channels, stride, padding)
    assert identical(kernels.backend.binary_conv2d(x, side_by_side(w), channels, stride, padding), expected)


@pytest.mark.parametrize("words", [1, 3, 30, 31, 32, 33, 61, 62, 63, 64])
@pytest.mark.parametrize("kernel", [1, 3, 7])
def test_byte_counters_never_overflow(words, kernel):
    """All bits differ: 8 per byte and word. The counters hold 31 words (248) and are emptied before the 32nd (256)."""
    channels = 64 * words
    x = np.zeros((1, kernel, kernel, words), dtype=np.uint64)
    w = np.full((9, kernel, kernel, words), 2**64 - 1, dtype=np.uint64)
    result = kernels.backend.binary_conv2d(x, side_by_side(w), channels)
    assert result.shape == (1, 1, 1, 9)
    assert np.all(result == -channels * kernel * kernel)


@pytest.mark.parametrize("channels", [1985, 2000, 4096])
def test_many_words(channels):
    x, w = random_words((1, 3, 3), channels, 1), random_words((5, 3, 3), channels, 2)
    assert identical(
        kernels.backend.binary_conv2d(x, side_by_side(w), channels, 1, 1), bits.binary_conv2d(x, w, channels, 1, 1)
    )


@pytest.mark.parametrize("layout", LAYOUTS)
def test_binary_conv2d_of_any_layout(layout):
    x, w = random_words((2, 4, 3), 130, 1), random_words((3, 3, 3), 130, 2)
    expected = bits.binary_conv2d(x, w, 130, 1, 1)
    assert identical(kernels.backend.binary_conv2d(dict(layouts(x))[layout], side_by_side(w), 130, 1, 1), expected)
    assert identical(kernels.backend.binary_conv2d(x, dict(layouts(side_by_side(w)))[layout], 130, 1, 1), expected)


def test_binary_conv2d_of_nothing():
    w = random_words((3, 3, 3), 70)
    assert kernels.backend.binary_conv2d(random_words((0, 4, 5), 70), side_by_side(w), 70, 1, 1).shape == (0, 4, 5, 3)


def test_binary_conv2d_refuses_words_that_do_not_fit():
    x, w = random_words((1, 3, 3), 64), random_words((1, 3, 3), 65)
    with pytest.raises(ValueError, match="65 channels need 2 words: activations have 1, filters have 2"):
        kernels.backend.binary_conv2d(x, side_by_side(w), 65)
    with pytest.raises(ValueError, match="64 channels need 1 words"):
        kernels.backend.binary_conv2d(w, side_by_side(w), 64)
    with pytest.raises(ValueError, match="does not fit"):
        kernels.backend.binary_conv2d(x, side_by_side(random_words((1, 4, 4), 64)), 64)


def test_kernels_write_nothing_beside_their_output():
    from hbcore import _kernels

    guard = np.uint64(0xDEADBEEFDEADBEEF)
    for channels in WORD_EDGES:
        words = bits.word_count(channels)
        memory = np.full((4, words), guard)
        _kernels.pack_signs(np.full((2, channels), -1.0), memory[1:3])
        assert np.all(memory[[0, 3]] == guard)
        x, w = random_words((1, 3, 4), channels), random_words((3, 3, words), 5).reshape(3, 3, words, 1)
        out = np.full((3, 3, 4, 1), 12345, dtype=np.int32)
        _kernels.binary_conv2d(x, w, channels, 1, 1, out[1:2])
        assert np.all(out[[0, 2]] == 12345)
        columns = np.full((3, 3, 4, 9 * channels), 7.0)
        _kernels.im2col(normal((1, 3, 4, channels), np.float64), 3, 3, 1, 1, 1, columns[1:2])
        assert np.all(columns[[0, 2]] == 7)


def test_kernels_refuse_mixed_precision():
    with pytest.raises((TypeError, ValueError)):
        kernels.backend.sign_backward(normal(5), normal(5, np.float64))


# ----------------------------------------------------------------------------------------------------- reals


@given(convolutions(), st.sampled_from(REAL_TYPES))
def test_im2col(case, dtype):
    x_shape, (kernel_h, kernel_w, _, _), stride, padding = case
    x = normal(x_shape, dtype)
    geometry = (kernel_h, kernel_w), stride, (padding, padding)
    assert identical(kernels.backend.im2col(x, *geometry), REFERENCE.im2col(x, *geometry))


def test_im2col_with_unequal_padding():
    x = normal((2, 5, 4, 3))
    for padding in ((0, 2), (3, 1), (6, 0)):
        assert identical(kernels.backend.im2col(x, (3, 2), 2, padding), REFERENCE.im2col(x, (3, 2), 2, padding))


def test_im2col_by_hand():
    x = np.array([[1.0, 2], [3, 4]]).reshape(1, 2, 2, 1)
    for twin in (kernels.backend, REFERENCE):
        rows = twin.im2col(x, (2, 2), 1, (1, 0))
        assert rows.reshape(-1, 4).tolist() == [[0, 0, 1, 2], [1, 2, 3, 4], [3, 4, 0, 0]]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_im2col_of_any_layout(layout):
    x = dict(layouts(normal((2, 4, 5, 3))))[layout]
    assert identical(kernels.backend.im2col(x, (3, 3), 1, (1, 1)), REFERENCE.im2col(x, (3, 3), 1, (1, 1)))


def close(a, b, dtype):
    """Equal to rounding: a few units in the last place of numbers of size about 10."""
    assert a.dtype == b.dtype
    assert a.shape == b.shape
    return np.abs(a - b).max(initial=0) <= 40 * np.finfo(dtype).eps


@pytest.mark.parametrize("dtype", REAL_TYPES)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("channels", [1, 3, 64])
def test_normalisation_kernels(dtype, layout, channels):
    x, g = normal((3, 4, 5, channels), dtype, 1), normal((3, 4, 5, channels), dtype, 2)
    a, b, c = normal((3, channels), dtype, 3)
    rows, gradients = x.reshape(-1, channels), g.reshape(-1, channels)
    x, g = dict(layouts(x))[layout], dict(layouts(g))[layout]

    mean, variance, count = kernels.backend.batch_statistics(x)
    assert count == 60
    assert mean.dtype == variance.dtype == np.float64
    exact = rows.astype(np.float64)
    assert np.abs(mean - exact.mean(axis=0)).max() < SUM_TOLERANCE
    assert np.abs(variance - exact.var(axis=0)).max() < SUM_TOLERANCE

    assert close(kernels.backend.affine(x, a, b), REFERENCE.affine(rows, a, b).reshape(x.shape), dtype)
    expected = REFERENCE.norm_backward(rows, gradients, a, b, c).reshape(x.shape)
    assert close(kernels.backend.norm_backward(x, g, a, b, c), expected, dtype)
    for ours, theirs in zip(kernels.backend.norm_sums(x, g, a), REFERENCE.norm_sums(rows, gradients, a), strict=True):
        assert np.abs(ours - theirs).max() < SUM_TOLERANCE


def test_real_twins_by_hand(backend):
    x = np.array([[1.0, 10], [3, 20]])
    g = np.array([[1.0, 2], [3, 4]])
    two, one = np.array([2.0, 3]), np.array([1.0, -1])
    mean, variance, count = kernels.backend.batch_statistics(x)
    assert (mean.tolist(), variance.tolist(), count) == ([2, 15], [1, 25], 2)
    assert kernels.backend.affine(x, two, one).tolist() == [[3, 29], [7, 59]]
    sums, products = kernels.backend.norm_sums(x, g, np.array([2.0, 15]))
    assert sums.tolist() == [4, 6]
    assert products.tolist() == [2, 10]
    assert kernels.backend.norm_backward(x, g, two, one, two).tolist() == [[5, -1], [11, -5]]


@pytest.mark.parametrize("dtype", REAL_TYPES)
def test_moments_far_from_zero(dtype, backend):
    """A mean 1000 times the deviation costs sums around an origin nothing; around 0 it would cost six digits."""
    x = (1000 + normal((4, 8, 8, 3), np.float64)).astype(dtype)
    mean, variance, _ = kernels.backend.batch_statistics(x)
    exact = x.astype(np.longdouble).reshape(-1, 3)
    assert np.abs(mean - exact.mean(axis=0)).max() < 1e-10
    assert np.abs(variance - exact.var(axis=0)).max() < SUM_TOLERANCE


def test_normalisation_of_nothing(backend):
    x, a = np.zeros((0, 2, 3, 4), dtype=np.float32), np.ones(4, dtype=np.float32)
    assert kernels.backend.affine(x, a, a).shape == x.shape
    assert kernels.backend.norm_backward(x, x, a, a, a).shape == x.shape
    assert [s.tolist() for s in kernels.backend.norm_sums(x, x, a)] == [[0] * 4] * 2
    with pytest.raises(ValueError, match="no pixels"):
        kernels.backend.batch_statistics(x)


@pytest.mark.parametrize("dtype", REAL_TYPES)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("size", [1, 2, 3])
def test_max_pool(dtype, layout, size):
    x = normal((2, 2 * size, 3 * size, 5), dtype).round(1)  # rounded, so that ties occur
    laid_out = dict(layouts(x))[layout]
    for ours, theirs in zip(kernels.backend.max_pool(laid_out, size), REFERENCE.max_pool(x, size), strict=True):
        assert identical(ours + 0, theirs + 0)  # + 0 makes -0.0 the same as 0.0: either may win
    _, winner = REFERENCE.max_pool(x, size)
    g = normal(winner.shape, dtype, seed=1)
    laid_out = dict(layouts(g))[layout]
    assert np.array_equal(
        kernels.backend.max_pool_backward(laid_out, winner, size), REFERENCE.max_pool_backward(g, winner, size)
    )


def test_max_pool_by_hand(backend):
    x = np.array([[1.0, 5, 2, 2], [5, 0, 2, 2], [-3, -1, 0, -0.0], [-1, -2, 0, 1]]).reshape(1, 4, 4, 1)
    largest, winner = kernels.backend.max_pool(x, 2)
    assert largest[0, :, :, 0].tolist() == [[5, 2], [-1, 1]]
    assert winner[0, :, :, 0].tolist() == [[1, 0], [1, 3]]  # of equals the first
    g = np.array([[1.0, 2], [3, 4]]).reshape(1, 2, 2, 1)
    expected = [[0, 1, 2, 0], [0, 0, 0, 0], [0, 3, 0, 0], [0, 0, 0, 4]]
    assert kernels.backend.max_pool_backward(g, winner, 2)[0, :, :, 0].tolist() == expected


@pytest.mark.parametrize("place", range(4))
def test_max_pool_passes_nan_on(place, backend):
    window = np.array([1.0, 3, 2, 0])
    window[place] = np.nan
    largest, _ = kernels.backend.max_pool(window.reshape(1, 2, 2, 1), 2)
    assert np.isnan(largest).all()


def test_max_pool_of_the_largest_window_and_beyond(backend):
    x = np.zeros((1, 16, 16, 1))
    x[0, 15, 15] = 1
    assert kernels.backend.max_pool(x, 16)[1].item() == 255
    with pytest.raises(ValueError, match="at most 16 x 16"):
        kernels.backend.max_pool(np.zeros((1, 17, 17, 1)), 17)
    with pytest.raises(ValueError, match="do not tile a picture of 4 x 5"):
        kernels.backend.max_pool(np.zeros((1, 4, 5, 1)), 2)


def test_max_pool_of_nothing(backend):
    largest, winner = kernels.backend.max_pool(np.zeros((0, 4, 4, 3), dtype=np.float32), 2)
    assert largest.shape == winner.shape == (0, 2, 2, 3)
    assert kernels.backend.max_pool_backward(largest, winner, 2).shape == (0, 4, 4, 3)


# ------------------------------------------------------------------------------------- threads and the fallback


def results():
    """Every kernel on data large enough to be cut into slices."""
    x, g = normal((7, 40, 40, 96), seed=1), normal((7, 40, 40, 96), seed=2)
    a, b, c = normal((3, 96), seed=3)
    words, w = random_words((7, 40, 40), 130, 4), random_words((16, 3, 3), 130, 5)
    pooled, winner = kernels.backend.max_pool(x, 2)
    mean, variance, _ = kernels.backend.batch_statistics(x)
    return {
        "sign": kernels.backend.sign(x),
        "sign_backward": kernels.backend.sign_backward(x, g),
        "pack_signs": kernels.backend.pack_signs(x),
        "binary_conv2d": kernels.backend.binary_conv2d(words, side_by_side(w), 130, 1, 1),
        "mean": mean,
        "variance": variance,
        "affine": kernels.backend.affine(x, a, b),
        "norm_sums": np.stack(kernels.backend.norm_sums(x, g, a)),
        "norm_backward": kernels.backend.norm_backward(x, g, a, b, c),
        "max_pool": pooled,
        "winner": winner,
        "max_pool_backward": kernels.backend.max_pool_backward(pooled, winner, 2),
    }


def test_same_bytes_on_any_number_of_threads(backend, one_thread_after):
    set_threads(1)
    expected = results()
    for threads in (2, 3, 7):
        set_threads(threads)
        for name, result in results().items():
            assert identical(result, expected[name]), f"{name} on {threads} threads"


def test_report():
    assert kernels.kernel_report()["kernels"] in ("amx", "avx512", "avx2", "sse2", "neon", "cython")


WITHOUT_KERNELS = """
import sys, warnings
sys.modules["hbcore._wide"] = None  # what a missing extension looks like
sys.path.insert(0, ".")
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    import hbcore
(warning,) = caught
assert warning.category is RuntimeWarning, warning
assert "compiled kernels" in str(warning.message) and "C compiler" in str(warning.message), warning
assert hbcore.kernel_report() == {"kernels": "numpy"}
import numpy as np
from tests.hbcore.kernels.test_kernels import fallback_results
np.savez(sys.argv[1], **fallback_results())
"""


def fallback_results():
    """A small share of everything, and a network in evaluation with packed bits."""
    import hbcore
    from hbcore.nn.layers import use_packed

    x, g = normal((2, 8, 8, 70), seed=1), normal((2, 8, 8, 70), seed=2)
    words, w = random_words((2, 8, 8), 70, 4), random_words((3, 3, 3), 70, 5)
    pooled, winner = kernels.backend.max_pool(x, 2)
    model = use_packed(hbcore.StackedHourglass(features=16, joints=3, depth=1, seed=1).eval())
    with hbcore.no_grad():
        (heatmaps,) = model(hbcore.Tensor(np.random.default_rng(0).random((1, 16, 16, 3), dtype=np.float32)))
    return {
        "sign": kernels.backend.sign(x),
        "sign_backward": kernels.backend.sign_backward(x, g),
        "pack_signs": kernels.backend.pack_signs(x),
        "binary_conv2d": kernels.backend.binary_conv2d(words, side_by_side(w), 70, 2, 1),
        "im2col": np.array(kernels.backend.im2col(x, (3, 3), 2, (1, 1))),
        "max_pool": pooled,
        "winner": winner,
        "max_pool_backward": kernels.backend.max_pool_backward(pooled, winner, 2),
        "moments": np.stack(kernels.backend.batch_statistics(x)[:2]),
        "heatmaps": heatmaps.data,
    }


def run_python(program, *arguments, **environment):
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_without_the_extension_numpy_computes_the_same(tmp_path):
    done = run_python(WITHOUT_KERNELS, str(tmp_path / "results.npz"), HBCORE_REQUIRE_KERNELS="", HBCORE_KERNELS="")
    assert done.returncode == 0, done.stderr
    with np.load(tmp_path / "results.npz") as fallback:
        for name, expected in fallback_results().items():
            if name in ("moments", "heatmaps"):  # sums of reals, in another order
                assert np.abs(fallback[name] - expected).max() < 1e-5, name
            else:
                assert np.array_equal(fallback[name], expected), name


def test_required_kernels_that_are_missing_are_an_error(tmp_path):
    done = run_python(WITHOUT_KERNELS, str(tmp_path / "results.npz"), HBCORE_REQUIRE_KERNELS="1")
    assert done.returncode != 0
    assert "Error" in done.stderr.splitlines()[-1]
    assert "hbcore._wide" in done.stderr.splitlines()[-1]


def test_who_asks_for_numpy_is_not_warned():
    script = 'import sys; sys.modules["hbcore._wide"] = None; sys.path.insert(0, "."); import hbcore'
    for wanted, said in (("numpy", False), ("", True)):
        done = run_python(script, HBCORE_REQUIRE_KERNELS="", HBCORE_KERNELS=wanted)
        assert done.returncode == 0, done.stderr
        assert ("runs without its compiled kernels" in done.stderr) is said


def test_memory_is_kept_until_the_last_context_ends(monkeypatch):
    said = []
    monkeypatch.setattr(kernels, "_wide", SimpleNamespace(keep_memory=said.append))
    with kernels.keep_memory():
        with pytest.raises(KeyError), kernels.keep_memory():
            raise KeyError
        assert said == [True]
    assert said == [True, False]
