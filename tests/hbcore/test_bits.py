"""Every line of the contract in hbcore.bits, against hand-computed values and integer arithmetic."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hbcore import bits
from tests.strategies import CHANNELS, REAL_TYPES, convolutions, naive_conv2d

NAN = float("nan")
NEGATIVE_NAN = float(np.copysign(np.nan, -1))


def random_signs(shape, seed=0):
    return np.random.default_rng(seed).choice(np.array([-1, 1], dtype=np.int8), shape)


@pytest.mark.parametrize("dtype", REAL_TYPES)
def test_sign_of_special_values(dtype):
    tiny = np.finfo(dtype).smallest_subnormal
    x = np.array([-np.inf, -1, -tiny, -0.0, 0.0, tiny, 1, np.inf], dtype=dtype)
    expected = [-1, -1, -1, 1, 1, 1, 1, 1]
    result = bits.sign(x)
    assert result.dtype == dtype
    assert result.tolist() == expected
    assert bits.pack_signs(x).tolist() == [0b00000111]
    assert bits.unpack_signs(bits.pack_signs(x), 8).tolist() == expected


@pytest.mark.parametrize("dtype", REAL_TYPES)
@pytest.mark.parametrize("nan", [NAN, NEGATIVE_NAN])
@pytest.mark.parametrize("place", [0, 63, 64, 69])
def test_nan_has_no_sign(dtype, nan, place):
    x = np.full((2, 70), np.inf, dtype=dtype)  # an infinity beside it must neither hide it nor count as one
    bits.sign(x)
    bits.pack_signs(-x)
    x[1, place] = nan
    with pytest.raises(FloatingPointError, match="NaN"):
        bits.sign(x)
    with pytest.raises(FloatingPointError, match="NaN"):
        bits.pack_signs(x)


def test_large_values_are_not_taken_for_nan():
    x = np.array([np.finfo(np.float32).max, -np.finfo(np.float32).max], dtype=np.float32)
    assert bits.sign(x).tolist() == [1, -1]


@pytest.mark.parametrize(("channel", "word", "value"), [(0, 0, 1), (1, 0, 2), (63, 0, 2**63), (64, 1, 1), (69, 1, 32)])
def test_channel_to_bit(channel, word, value):
    x = np.ones(70, dtype=np.float32)
    x[channel] = -1
    expected = [0, 0]
    expected[word] = value
    packed = bits.pack_signs(x)
    assert packed.dtype == np.uint64
    assert packed.tolist() == expected


def test_tail_bits_are_zero():
    packed = bits.pack_signs(np.full((3, 70), -1.0))
    assert packed.tolist() == [[2**64 - 1, 2**6 - 1]] * 3
    assert bits.pack_signs(np.full(1, -1.0)).tolist() == [1]


def test_zero_words_are_plus_one():
    assert bits.unpack_signs(np.zeros((2, 2), dtype=np.uint64), 100).tolist() == [[1] * 100] * 2


@pytest.mark.parametrize(("channels", "words"), [(0, 0), (1, 1), (63, 1), (64, 1), (65, 2), (128, 2), (129, 3)])
def test_word_count(channels, words):
    assert bits.word_count(channels) == words
    assert bits.pack_bits(np.zeros((5, channels), dtype=np.bool_)).shape == (5, words)


@given(st.lists(st.integers(0, 3), max_size=3), CHANNELS, st.integers(0, 2**32))
def test_round_trip(lead, channels, seed):
    signs = random_signs((*lead, channels), seed)
    packed = bits.pack_signs(signs.astype(np.float32))
    assert packed.shape == (*lead, -(-channels // 64))
    assert np.array_equal(bits.unpack_signs(packed, channels), signs)
    assert np.array_equal(bits.unpack_bits(packed, channels), signs < 0)
    assert np.array_equal(bits.pack_bits(signs < 0), packed)


@given(CHANNELS, st.integers(0, 2**32))
def test_words_are_sums_of_powers_of_two(channels, seed):
    negative = random_signs(channels, seed) < 0
    expected = [0] * -(-channels // 64)
    for channel in range(channels):
        expected[channel // 64] += int(negative[channel]) * 2 ** (channel % 64)
    assert bits.pack_bits(negative).tolist() == expected


def test_unpack_refuses_another_number_of_words():
    with pytest.raises(ValueError, match="65 channels fill 2 words, got 1"):
        bits.unpack_bits(np.zeros((3, 1), dtype=np.uint64), 65)


@given(CHANNELS, st.integers(0, 2**32))
def test_dot_is_the_integer_dot(channels, seed):
    a, w = random_signs((4, 1, channels), seed), random_signs((3, channels), seed + 1)
    expected = (a.astype(int) * w.astype(int)).sum(axis=-1)
    result = bits.binary_dot(bits.pack_bits(a < 0), bits.pack_bits(w < 0), channels)
    assert result.dtype == np.int32
    assert np.array_equal(result, expected)


@pytest.mark.parametrize("channels", [1, 63, 64, 65, 4096])
def test_dot_extremes(channels):
    plus, minus = np.zeros(channels, dtype=np.bool_), np.ones(channels, dtype=np.bool_)
    assert bits.binary_dot(bits.pack_bits(plus), bits.pack_bits(plus), channels) == channels
    assert bits.binary_dot(bits.pack_bits(minus), bits.pack_bits(minus), channels) == channels
    assert bits.binary_dot(bits.pack_bits(plus), bits.pack_bits(minus), channels) == -channels


def packed_convolution(function, x, w, stride, padding):
    packed_w = bits.pack_bits(w.transpose(3, 0, 1, 2) < 0)
    return function(bits.pack_bits(x < 0), packed_w, x.shape[-1], stride, padding)


def test_convolution_by_hand():
    """A row of three pixels under a 1x3 filter of +1, with one column of zeros on both sides (and one row)."""
    x = np.array([1, -1, -1]).reshape(1, 1, 3, 1)
    w = np.ones((1, 3, 1, 1), dtype=int)
    result = packed_convolution(bits.binary_conv2d, x, w, 1, 1)
    assert result.dtype == np.int32
    assert result[0, :, :, 0].tolist() == [[0, 0, 0], [0, -1, -2], [0, 0, 0]]


@pytest.mark.parametrize("padding", [0, 1, 2, 3])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 5, 6, 7])
def test_convolution_grid(kernel, stride, padding):
    for channels in (1, 3, 64, 67):
        for height, width in ((7, 8), (1, 9), (8, 1), (2, 3)):
            if min(height, width) + 2 * padding < kernel:
                continue
            x = random_signs((2, height, width, channels), seed=channels).astype(int)
            w = random_signs((kernel, kernel, channels, 3), seed=kernel).astype(int)
            expected = naive_conv2d(x, w, stride, padding)
            assert np.array_equal(packed_convolution(bits.binary_conv2d, x, w, stride, padding), expected)


@given(convolutions(), st.integers(0, 2**32))
def test_convolution_of_any_shape(case, seed):
    x_shape, w_shape, stride, padding = case
    x, w = random_signs(x_shape, seed).astype(int), random_signs(w_shape, seed + 1).astype(int)
    expected = naive_conv2d(x, w, stride, padding)
    assert np.array_equal(packed_convolution(bits.binary_conv2d, x, w, stride, padding), expected)


def test_kernel_larger_than_the_picture():
    x, w = random_signs((1, 2, 2, 5)).astype(int), random_signs((7, 7, 5, 2)).astype(int)
    expected = naive_conv2d(x, w, 1, 3)
    assert expected.shape == (1, 2, 2, 2)
    assert np.array_equal(packed_convolution(bits.binary_conv2d, x, w, 1, 3), expected)


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding", "expected"),
    [
        (5, 3, 1, 0, 3),
        (5, 3, 1, 1, 5),
        (5, 3, 2, 1, 3),
        (6, 3, 2, 1, 3),
        (7, 7, 3, 3, 3),
        (1, 1, 3, 0, 1),
        (256, 7, 2, 3, 128),
    ],
)
def test_conv_size(size, kernel, stride, padding, expected):
    assert bits.conv_size(size, kernel, stride, padding) == expected


def test_conv_size_refuses_a_kernel_that_does_not_fit():
    with pytest.raises(ValueError, match="kernel of 7 does not fit into 2 pixels with padding 2"):
        bits.conv_size(2, 7, 1, 2)
    with pytest.raises(ValueError, match="does not fit"):
        packed_convolution(bits.binary_conv2d, random_signs((1, 2, 9, 1)), random_signs((3, 3, 1, 1)), 1, 0)
