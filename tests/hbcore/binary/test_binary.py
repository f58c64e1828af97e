"""Signs with the straight-through estimator, scaled binary convolution: against formulas, and bits against floats."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hbcore import BinaryConv2d, Tensor, kernels, no_grad
from hbcore.binary.convolution import binary_conv2d, packed_conv2d, scale
from hbcore.binary.signs import sign
from hbcore.bits import unpack_signs
from hbcore.nn.layers import constrain, use_packed
from hbcore.nn.module import Sequential
from tests.strategies import REAL_TYPES, convolutions, naive_conv2d, naive_conv2d_backward

TOLERANCE = 1e-12  # float64 sums of some hundred products of size 1, in another order


def normal(shape, seed=0, dtype=np.float64):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def close(a, b):
    assert a.shape == b.shape
    return np.abs(a - b).max(initial=0) <= TOLERANCE * max(1, np.abs(b).max(initial=0))


def plus_minus(x):
    return np.where(x < 0, -1.0, 1.0)


# -------------------------------------------------------------------------------------------------------- sign


@pytest.mark.parametrize("dtype", REAL_TYPES)
def test_sign_and_its_surrogate(dtype, backend):
    """Forward exact. Backward that of the hard tanh, open window: nothing passes at exactly +1 and -1."""
    inside = np.nextafter(dtype(1), dtype(0))
    x = Tensor(np.array([-2, -1, -inside, -0.0, 0, inside, 1, 2], dtype=dtype), requires_grad=True)
    s = sign(x)
    assert s.data.dtype == dtype
    assert s.data.tolist() == [-1, -1, -1, 1, 1, 1, 1, 1]
    s.backward(np.arange(1, 9))
    assert x.grad.dtype == dtype
    assert x.grad.tolist() == [0, 0, 3, 4, 5, 6, 0, 0]


def test_the_surrogate_is_the_derivative_of_the_hard_tanh(backend):
    x = Tensor(2 * normal((5, 7)), requires_grad=True)
    g = normal((5, 7), seed=1)
    sign(x).backward(g)
    step = 1e-6
    hard_tanh = (np.clip(x.data + step, -1, 1) - np.clip(x.data - step, -1, 1)) / (2 * step)
    assert np.abs(x.grad - g * hard_tanh).max() < 1e-8  # differences of exact lines: rounding 1e-16 / step


def test_nan_is_an_error(backend):
    with pytest.raises(FloatingPointError, match="NaN"):
        sign(Tensor(np.array([1.0, np.nan])))
    layer = BinaryConv2d(3, 2, 1, np.random.default_rng(0)).astype(np.float64)
    picture = normal((1, 2, 2, 3))
    picture[0, 1, 1, 2] = np.nan
    for packed in (False, True):
        use_packed(layer, packed)
        with pytest.raises(FloatingPointError, match="NaN"):
            layer(Tensor(picture))
        with pytest.raises(FloatingPointError, match="NaN"), no_grad():
            layer(Tensor(picture))


# ------------------------------------------------------------------------------------------------- convolution


def test_scale_by_hand():
    w = np.array([[1.0, -4], [-2, 0], [3, 2]]).reshape(1, 3, 1, 2)
    assert scale(w).tolist() == [2, 2]


def test_scale_is_the_best_in_least_squares():
    """alpha minimises |W - alpha sign(W)|^2 (XNOR-Net, section 3.1): the residual is orthogonal to the signs."""
    w = normal((3, 3, 5, 4))
    residual = w - scale(w) * plus_minus(w)
    assert np.abs((residual * plus_minus(w)).sum(axis=(0, 1, 2))).max() < TOLERANCE


def test_by_hand():
    """One filter of two taps, alpha = (0.5 + 1.5) / 2 = 1; picture +1, -1, -1 without and with padding."""
    w = Tensor(np.array([0.5, -1.5]).reshape(1, 2, 1, 1), requires_grad=True)
    s = Tensor(np.array([1.0, -1, -1]).reshape(1, 1, 3, 1), requires_grad=True)
    y = binary_conv2d(s, w)
    assert y.data.ravel().tolist() == [2, 0]
    y.backward(np.array([10.0, 1]).reshape(1, 1, 2, 1))
    assert s.grad.ravel().tolist() == [10, -10 + 1, -1]
    # dL/dW~ = (10 * 1 + 1 * -1, 10 * -1 + 1 * -1) = (9, -11); times 1 / 2 + 1 [|W| < 1]
    assert w.grad.ravel().tolist() == [9 * 1.5, -11 * 0.5]


def test_numbers_that_are_no_signs_are_not_taken_for_them():
    """Where only the weights are binary: alpha = (0.25 + 0.75) / 2, and 0.5 (3 - 0.5)."""
    s, w = Tensor(np.array([[[[3.0, 0.5]]]])), Tensor(np.array([[[[0.25], [-0.75]]]]))
    assert binary_conv2d(s, w).data.tolist() == [[[[1.25]]]]
    assert binary_conv2d(s, w, scaled=False).data.tolist() == [[[[2.5]]]]


@given(convolutions(max_size=5, max_kernel=5, channels=st.integers(1, 5)), st.booleans())
def test_xnor_net_gradient(case, packed):
    """Forward and backward against the published formulas, element by element."""
    x_shape, w_shape, stride, padding = case
    s, w = plus_minus(normal(x_shape, 1)), normal(w_shape, 2)
    w.ravel()[:3] = [1, -1, 0][: w.size]  # the edges of the window, and a zero
    n = w_shape[0] * w_shape[1] * w_shape[2]
    alpha = np.array([np.abs(w[..., o]).sum() / n for o in range(w_shape[3])])
    s_leaf, w_leaf = Tensor(s, requires_grad=True), Tensor(w, requires_grad=True)
    y = binary_conv2d(s_leaf, w_leaf, stride, padding, packed)
    assert close(y.data, naive_conv2d(s, plus_minus(w), stride, padding) * alpha)
    g = normal(y.shape, 3)
    y.backward(g)
    ds, d_approximation = naive_conv2d_backward(s, plus_minus(w) * alpha, g, stride, padding)
    assert close(s_leaf.grad, ds)
    expected = np.empty_like(w)
    for index in np.ndindex(w.shape):
        window = 1.0 if -1 < w[index] < 1 else 0.0
        expected[index] = d_approximation[index] * (1 / n + alpha[index[3]] * window)
    assert close(w_leaf.grad, expected)


@pytest.mark.parametrize("dtype", REAL_TYPES)
def test_gradients_have_the_precision_of_their_tensors(dtype):
    x, w = Tensor(normal((2, 4, 4, 5), 1, dtype), requires_grad=True), Tensor(normal((3, 3, 5, 2), 2, dtype), True)
    y = binary_conv2d(sign(x), w, padding=1)
    y.backward(normal(y.shape, 3))
    assert y.data.dtype == x.grad.dtype == w.grad.dtype == dtype


def run_layer(layer, x, packed, g=None):
    """Result of a layer and, with g, its gradients: everything as bytes."""
    use_packed(layer, packed)
    if g is None:
        with no_grad():
            return [layer(Tensor(x)).data.tobytes()]
    leaf = Tensor(x, requires_grad=True)
    layer.zero_grad()
    y = layer(leaf)
    y.backward(g)
    return [y.data.tobytes(), leaf.grad.tobytes(), layer.weight.grad.tobytes()]


@given(convolutions(max_size=6), st.sampled_from(REAL_TYPES), st.integers(0, 2**32))
def test_bits_equal_floats_to_the_last_bit(case, dtype, seed):
    """Any shape, odd channel counts too: result and gradients, while training and in evaluation."""
    x_shape, (kernel_h, kernel_w, channels, filters), stride, padding = case
    layer = BinaryConv2d(channels, filters, 1, np.random.default_rng(0), stride, padding)
    layer.weight.data = normal((kernel_h, kernel_w, channels, filters), seed, dtype)
    x = normal(x_shape, seed + 1, dtype)
    g = normal(layer(Tensor(x)).shape, seed + 2, dtype)
    floats = run_layer(layer, x, packed=False, g=g)
    assert run_layer(layer, x, packed=True, g=g) == floats
    assert run_layer(layer, x, packed=False) == run_layer(layer, x, packed=True) == floats[:1]


@pytest.mark.parametrize("channels", [1, 3, 63, 64, 65, 100, 256])
def test_bits_equal_floats_on_a_whole_layer(channels, backend):
    rng = np.random.default_rng(channels)
    layer = BinaryConv2d(channels, 32, 3, rng, padding=1)
    x, g = normal((2, 16, 16, channels), 1, np.float32), normal((2, 16, 16, 32), 2, np.float32)
    floats = run_layer(layer, x, packed=False, g=g)
    assert run_layer(layer, x, packed=True, g=g) == floats
    assert run_layer(layer, x, packed=True) == floats[:1]


def test_packed_pieces():
    """pack_filters puts filters side by side, and packed_conv2d scales the integers by alpha."""
    w = normal((3, 2, 70, 4))
    packed = kernels.backend.pack_filters(w)
    assert packed.shape == (3, 2, 2, 4)
    assert np.array_equal(unpack_signs(packed.swapaxes(2, 3), 70), plus_minus(w).swapaxes(2, 3))
    x = normal((1, 5, 5, 70), seed=1)
    y = packed_conv2d(kernels.backend.pack_signs(x), w, np.array([1.0, 2, 3, 0.5]))
    assert np.array_equal(y, naive_conv2d(plus_minus(x), plus_minus(w), 1, 0) * [1, 2, 3, 0.5])


@pytest.mark.parametrize("packed", [False, True])
def test_channels_must_fit(packed):
    """60 and 64 channels take one word both, so words alone would not tell."""
    layer = use_packed(BinaryConv2d(64, 2, 1, np.random.default_rng(0)), packed)
    x = Tensor(normal((1, 2, 2, 60), dtype=np.float32))
    message = "filters for 64 channels do not fit an input of 60 channels"
    with pytest.raises(ValueError, match=message):
        layer(x)
    with pytest.raises(ValueError, match=message), no_grad():
        layer(x)


# ----------------------------------------------------------------------------------------------- latent weights


def binary_layer(**options):
    layer = BinaryConv2d(3, 2, 1, np.random.default_rng(0), **options)
    layer.weight.data = np.array([[2.0, -0.5], [1, 0.5], [-3, 3]], dtype=np.float32).reshape(1, 1, 3, 2)
    return layer


def test_clamp():
    layer = binary_layer()
    layer.constrain()
    assert layer.weight.data[0, 0].tolist() == [[1, -0.5], [1, 0.5], [-1, 1]]


def test_center_then_clamp():
    layer = binary_layer(center_weights=True)
    layer.constrain()
    assert layer.weight.data[0, 0].tolist() == [[1, -1], [1, -0.5], [-1, 1]]  # means 0 and 1 are gone


def test_center_only():
    layer = binary_layer(center_weights=True, clamp_weights=False)
    layer.constrain()
    assert layer.weight.data[0, 0].tolist() == [[2, -1.5], [1, -0.5], [-3, 2]]


def test_neither():
    layer = binary_layer(clamp_weights=False)
    before = layer.weight.data.copy()
    layer.constrain()
    assert np.array_equal(layer.weight.data, before)


def test_constrain_reaches_every_layer():
    layers = [binary_layer(), binary_layer(center_weights=True)]
    constrain(Sequential(layers[0], Sequential(layers[1])))
    assert all(np.abs(layer.weight.data).max() == 1 for layer in layers)
