"""Convolution, pooling and up-sampling against pixel-by-pixel oracles."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hbcore import Tensor, kernels, set_threads
from hbcore.autograd.conv import (
    avg_pool2d,
    conv2d,
    convolve,
    convolve_backward,
    max_pool2d,
    upsample_nearest2d,
)
from hbcore.kernels.convolutions import ROWS_BYTES, col2im
from tests.strategies import REAL_TYPES, check_derivatives, convolutions, naive_conv2d, naive_conv2d_backward

TOLERANCE = 1e-12  # float64 sums of some hundred products of size 1, in another order

GRID = [(kernel, stride, padding) for kernel in (1, 2, 3, 5, 7) for stride in (1, 2, 3) for padding in (0, 1, 2, 3)]


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def close(a, b, tolerance=TOLERANCE):
    assert a.shape == b.shape
    return np.abs(a - b).max(initial=0) <= tolerance * max(1, np.abs(b).max(initial=0))


def out_shape(x, w, stride, padding):
    return naive_conv2d(x[..., :1], w[:, :, :1], stride, padding).shape


# ------------------------------------------------------------------------------------------------ convolution


def test_convolution_by_hand():
    """Cross-correlation: the filter is not turned round."""
    x = np.array([[1.0, 2, 3], [4, 5, 6]]).reshape(1, 2, 3, 1)
    w = np.array([[1.0, 10], [100, 1000]]).reshape(2, 2, 1, 1)
    assert convolve(x, w, 1, 0)[0, :, :, 0].tolist() == [[1 + 20 + 400 + 5000, 2 + 30 + 500 + 6000]]
    y = conv2d(Tensor(x), Tensor(w), Tensor(np.array([0.5])), stride=2, padding=1)
    assert y.data[0, :, :, 0].tolist() == [[1000.5, 3200.5], [40.5, 65.5]]


@pytest.mark.parametrize(("kernel", "stride", "padding"), GRID)
def test_grid_against_the_naive_convolution(kernel, stride, padding, backend):
    for height, width in ((7, 8), (9, 4)):
        if min(height, width) + 2 * padding < kernel:
            continue
        x, w = normal(2, height, width, 3, seed=1), normal(kernel, kernel, 3, 4, seed=2)
        y = convolve(x, w, stride, padding)
        assert close(y, naive_conv2d(x, w, stride, padding))
        g = normal(*y.shape, seed=3)
        dx, dw = convolve_backward(x, w, g, stride, padding, True, True)
        expected_dx, expected_dw = naive_conv2d_backward(x, w, g, stride, padding)
        assert close(dx, expected_dx)
        assert close(dw, expected_dw)


@pytest.mark.parametrize("kernel", [(1, 3), (3, 1), (2, 5)])
@pytest.mark.parametrize("padding", [0, 1, 2, 3])
@pytest.mark.parametrize("stride", [1, 2])
def test_filters_that_are_not_square(kernel, stride, padding, backend):
    x, w = normal(2, 6, 7, 3, seed=1), normal(*kernel, 3, 4, seed=2)
    y = convolve(x, w, stride, padding)
    assert close(y, naive_conv2d(x, w, stride, padding))
    g = normal(*y.shape, seed=3)
    for ours, expected in zip(
        convolve_backward(x, w, g, stride, padding, True, True),
        naive_conv2d_backward(x, w, g, stride, padding),
        strict=True,
    ):
        assert close(ours, expected)


@given(convolutions(channels=st.integers(1, 4)))
def test_any_shape_against_the_naive_convolution(case):
    x_shape, w_shape, stride, padding = case
    x, w = normal(*x_shape, seed=1), normal(*w_shape, seed=2)
    y = convolve(x, w, stride, padding)
    assert close(y, naive_conv2d(x, w, stride, padding))
    g = normal(*y.shape, seed=3)
    dx, dw = convolve_backward(x, w, g, stride, padding, True, True)
    expected_dx, expected_dw = naive_conv2d_backward(x, w, g, stride, padding)
    assert close(dx, expected_dx)
    assert close(dw, expected_dw)
    assert dx.flags.c_contiguous
    assert dw.flags.c_contiguous


@pytest.mark.parametrize(("kernel", "padding"), [(1, 0), (2, 1), (3, 0), (3, 1), (3, 2), (5, 2), (7, 3)])
def test_both_ways_back_agree(kernel, padding):
    """Stride 1 goes by neighbourhoods of g; the general way, spelled out here, by neighbourhoods of x."""
    x, w = normal(2, 8, 7, 3, seed=1), normal(kernel, kernel, 3, 4, seed=2)
    g = normal(*out_shape(x, w, 1, padding)[:3], 4, seed=3)
    dx, dw = convolve_backward(x, w, g, 1, padding, True, True)
    rows = kernels.backend.im2col(x, (kernel, kernel), 1, (padding, padding)).reshape(-1, kernel * kernel * 3)
    gradients = g.reshape(-1, 4)
    assert close(dw, (rows.T @ gradients).reshape(w.shape))
    columns = (gradients @ w.reshape(-1, 4).T).reshape(*g.shape[:3], -1)
    assert close(dx, col2im(columns, x.shape, (kernel, kernel), 1, (padding, padding)))


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(("needs_x", "needs_w"), [(True, False), (False, True), (False, False)])
def test_only_what_is_needed(stride, needs_x, needs_w):
    x, w = normal(2, 5, 5, 3, seed=1), normal(3, 3, 3, 4, seed=2)
    g = normal(*out_shape(x, w, stride, 1)[:3], 4, seed=3)
    dx, dw = convolve_backward(x, w, g, stride, 1, needs_x, needs_w)
    full_dx, full_dw = convolve_backward(x, w, g, stride, 1, True, True)
    assert np.array_equal(dx, full_dx) if needs_x else dx is None
    assert np.array_equal(dw, full_dw) if needs_w else dw is None


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernel", [1, 3])
def test_arrays_of_any_layout(stride, kernel):
    """Transposed, strided, read-only: a picture that comes channels-first, a gradient that is a part of another."""
    x, w = normal(2, 6, 5, 3, seed=1), normal(kernel, kernel, 3, 4, seed=2)
    g = normal(*out_shape(x, w, stride, 1)[:3], 4, seed=3)
    y = convolve(x, w, stride, 1)
    dx, dw = convolve_backward(x, w, g, stride, 1, True, True)
    channels_first = np.ascontiguousarray(x.transpose(0, 3, 1, 2)).transpose(0, 2, 3, 1)
    part = np.concatenate([g, g], axis=-1)[..., :4]
    read_only = np.asfortranarray(w)
    read_only.setflags(write=False)
    assert close(convolve(channels_first, read_only, stride, 1), y)
    other_dx, other_dw = convolve_backward(channels_first, read_only, part, stride, 1, True, True)
    assert close(other_dx, dx)
    assert close(other_dw, dw)


@pytest.mark.parametrize("dtype", REAL_TYPES)
@pytest.mark.parametrize("stride", [1, 2])
def test_same_bytes_on_any_number_of_threads(dtype, stride, backend, one_thread_after):
    x, w = normal(6, 40 * stride, 40 * stride, 16, seed=1).astype(dtype), normal(3, 3, 16, 8, seed=2).astype(dtype)
    assert x.nbytes * 9 > 2 * stride**2 * ROWS_BYTES, "too little for several slices"
    g = normal(*out_shape(x, w, stride, 1)[:3], 8, seed=3).astype(dtype)
    results = []
    for threads in (1, 2, 3, 7):
        set_threads(threads)
        results.append((convolve(x, w, stride, 1), *convolve_backward(x, w, g, stride, 1, True, True)))
    for result in results[1:]:
        for array, expected in zip(result, results[0], strict=True):
            assert array.dtype == dtype
            assert array.tobytes() == expected.tobytes()


def test_empty_batch(backend):
    w = normal(3, 3, 2, 4)
    assert convolve(np.zeros((0, 5, 6, 2)), w, 1, 1).shape == (0, 5, 6, 4)


@pytest.mark.parametrize(
    ("x", "w", "error", "message"),
    [
        (
            normal(1, 5, 5, 3),
            normal(3, 3, 4, 2),
            ValueError,
            "filters for 4 channels do not fit an input of 3 channels",
        ),
        (
            normal(5, 5, 3),
            normal(3, 3, 3, 2),
            ValueError,
            r"pictures \(N, H, W, C\), got an array of shape \(5, 5, 3\)",
        ),
        (normal(1, 2, 5, 3), normal(3, 3, 3, 2), ValueError, "kernel of 3 does not fit into 2 pixels"),
        (
            normal(1, 5, 5, 3),
            normal(3, 3, 3, 2).astype(np.float32),
            TypeError,
            "filters of float32 .* input of float64",
        ),
    ],
)
def test_what_does_not_fit(x, w, error, message):
    with pytest.raises(error, match=message):
        conv2d(Tensor(x), Tensor(w))


@pytest.mark.parametrize(("kernel", "stride", "padding"), GRID)
def test_convolution_derivatives(kernel, stride, padding):
    size = max(3, kernel - 2 * padding)
    x, w, bias = normal(2, size, size + 1, 2, seed=1), normal(kernel, kernel, 2, 2, seed=2), normal(2, seed=3)
    if kernel < 5 or stride == 2:  # large filters have many elements; one stride of them is enough
        check_derivatives(lambda x, w, bias: conv2d(x, w, bias, stride, padding), x, w, bias)
    check_derivatives(lambda x, bias: conv2d(x, Tensor(w), bias, stride, padding), x[:1], bias)
    check_derivatives(lambda x: conv2d(x, Tensor(w), None, stride, padding), x[:1])


# ----------------------------------------------------------------------------------------------------- pooling


def distinct(*shape):
    """Numbers at least 0.5 apart: no small step changes which one is the largest."""
    return np.random.default_rng(0).permutation(int(np.prod(shape))).reshape(shape) * 0.5


@pytest.mark.parametrize("size", [1, 2, 3])
def test_pooling_derivatives(size, backend):
    shape = 2, 2 * size, size, 3
    check_derivatives(lambda x: max_pool2d(x, size), distinct(*shape))
    check_derivatives(lambda x: avg_pool2d(x, size), normal(*shape))
    check_derivatives(lambda x: upsample_nearest2d(x, size), normal(2, 2, 3, 3))


def test_pooling_by_hand(backend):
    x = np.array([[1.0, 2, 5, 5], [3, 2, 5, -5]]).reshape(1, 2, 4, 1)
    assert max_pool2d(Tensor(x)).data.ravel().tolist() == [3, 5]
    assert avg_pool2d(Tensor(x)).data.ravel().tolist() == [2, 2.5]
    assert upsample_nearest2d(Tensor(x[:, :1, :2]), 2).data[0, :, :, 0].tolist() == [[1, 1, 2, 2]] * 2
    leaf = Tensor(x, requires_grad=True)
    max_pool2d(leaf).backward(np.array([7.0, 8]).reshape(1, 1, 2, 1))
    assert leaf.grad[0, :, :, 0].tolist() == [[0, 0, 8, 0], [7, 0, 0, 0]], "of equal pixels the first in reading order"


@pytest.mark.parametrize("dtype", REAL_TYPES)
@pytest.mark.parametrize("pool", [max_pool2d, avg_pool2d, upsample_nearest2d])
def test_pooling_keeps_precision(pool, dtype, backend):
    x = Tensor(normal(2, 4, 6, 3).astype(dtype), requires_grad=True)
    y = pool(x, 2)
    y.backward(np.ones(y.shape))
    assert y.data.dtype == x.grad.dtype == dtype
    assert x.grad.shape == x.shape


@pytest.mark.parametrize("pool", [max_pool2d, avg_pool2d])
def test_windows_must_tile_the_picture(pool):
    with pytest.raises(ValueError, match="windows of 2 x 2 do not tile a picture of 4 x 5"):
        pool(Tensor(normal(1, 4, 5, 3)))


def test_upsampling_and_average_are_inverse():
    x = normal(2, 3, 4, 5)
    assert close(avg_pool2d(upsample_nearest2d(Tensor(x), 3), 3).data, x)


@pytest.mark.parametrize("taker", [avg_pool2d, max_pool2d, upsample_nearest2d])
def test_pictures_have_four_axes(taker):
    with pytest.raises(ValueError, match=r"takes pictures \(N, H, W, C\), got an array of shape \(4, 4, 3\)"):
        taker(Tensor(np.zeros((4, 4, 3))))


@pytest.mark.parametrize("shape", [(1,), (2,), (1, 4), ()])
def test_a_bias_is_one_number_per_filter(shape):
    """One of length 1 would broadcast, and get a gradient of another shape."""
    with pytest.raises(ValueError, match="does not fit 4 filters"):
        conv2d(Tensor(normal(1, 3, 3, 2)), Tensor(normal(1, 1, 2, 4)), Tensor(np.zeros(shape)))


def test_the_gradient_of_a_bias_is_a_sum_to_the_last_digit(backend):
    """Over 2^20 pixels: summed row by row in float32, it would be wrong in the third."""
    pixels = 1 << 20
    x, w = Tensor(np.zeros((1, 1024, 1024, 1), np.float32)), Tensor(np.zeros((1, 1, 1, 2), np.float32))
    bias = Tensor(np.zeros(2, np.float32), requires_grad=True)
    g = np.full((1, 1024, 1024, 2), 0.1, np.float32)
    conv2d(x, w, bias).backward(g)
    exact = pixels * float(np.float32(0.1))  # a power of two times a float: no rounding
    assert bias.grad.tolist() == [exact, exact]
    assert bias.grad.dtype == np.float32
