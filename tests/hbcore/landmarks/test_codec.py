"""The heatmap codec: against Gaussians drawn by hand, there and back, and on maps a network might produce."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hbcore.landmarks.heatmaps import HeatmapCodec

INTERIOR = 0.1  # heatmap pixels: what the project promises for encode -> decode
FLOAT32 = 2e-4  # input pixels: eps of float32 times 256, the largest coordinate here, with room for the logarithms
ROUNDING = 1e-6  # values near 1 in float32

codecs = st.builds(
    lambda stride, cells, sigma: HeatmapCodec(stride * cells, stride, sigma),
    st.sampled_from([1, 2, 3, 4, 8]),
    st.integers(20, 40),
    st.floats(1, 3),
)
quick = settings(deadline=None, derandomize=True, max_examples=50)


def draw(codec: HeatmapCodec, points: list[tuple[float, float]]) -> np.ndarray:
    joints = np.array(points, dtype=np.float32)
    return codec.encode(joints, np.ones(len(points), dtype=bool))[0]


def test_a_joint_on_a_pixel_centre_has_the_values_of_the_gaussian() -> None:
    # Stride 4: heatmap column 2 covers input columns 8..11, row 5 covers rows 20..23: centre (9.5, 21.5).
    maps = draw(HeatmapCodec(64, 4, 1.0), [(9.5, 21.5)])
    assert maps.shape == (16, 16, 1)
    assert maps.dtype == np.float32
    assert maps[5, 2, 0] == 1
    assert maps[5, 3, 0] == pytest.approx(0.6065307, abs=ROUNDING)
    assert maps[4, 2, 0] == pytest.approx(0.6065307, abs=ROUNDING)
    assert maps[6, 4, 0] == pytest.approx(0.6065307 * 0.1353353, abs=ROUNDING)
    assert maps[5, 5, 0] == pytest.approx(0.0111090, abs=ROUNDING)  # three sigma: the last value drawn
    assert maps[5, 6, 0] == 0
    assert maps[9, 2, 0] == 0


@quick
@given(codecs, st.floats(-0.5, 1.5), st.floats(-0.5, 1.5))
def test_encode_is_a_truncated_gaussian_centred_on_the_joint(codec: HeatmapCodec, x: float, y: float) -> None:
    point = np.float32(x * codec.input_size), np.float32(y * codec.input_size)
    maps = draw(codec, [(2.0, 3.0), point])
    center = [(float(p) + 0.5) / codec.stride - 0.5 for p in point]
    for row in range(0, codec.heatmap_size, 3):
        for column in range(codec.heatmap_size):
            dx, dy = (column - center[0]) / codec.sigma, (row - center[1]) / codec.sigma
            if max(abs(dx), abs(dy)) < 3 - 1e-9:
                assert maps[row, column, 1] == pytest.approx(math.exp(-(dx * dx + dy * dy) / 2), abs=ROUNDING)
            elif max(abs(dx), abs(dy)) > 3 + 1e-9:
                assert maps[row, column, 1] == 0


def test_a_joint_without_a_label_has_an_empty_map_and_no_weight() -> None:
    joints = np.array([[10, 10], [np.nan, 5], [20, 20]], dtype=np.float32)
    maps, weights = HeatmapCodec(64).encode(joints, np.array([True, False, False]))
    assert weights.dtype == np.float32
    assert weights.tolist() == [1, 0, 0]
    assert maps[:, :, 0].max() > 0.5
    assert not maps[:, :, 1:].any()


def test_a_labelled_joint_outside_is_seen_as_far_as_its_gaussian_reaches() -> None:
    joints = np.array([[-100, 30], [30, 64 + 100], [-8, 31.5], [1e30, 5]], dtype=np.float32)
    maps, weights = HeatmapCodec(64).encode(joints, np.ones(4, dtype=bool))
    assert weights.tolist() == [1, 1, 1, 1]
    assert not maps[:, :, [0, 1, 3]].any()
    # (-8 + 0.5) / 4 - 0.5 = -2.375 columns, 7.5 rows: only column 0 lies within three sigma
    assert maps[7, 0, 2] == pytest.approx(math.exp(-(2.375**2 + 0.25) / 2), abs=ROUNDING)
    assert not maps[:, 1:, 2].any()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_labelled_joint_that_is_not_finite_is_named(value: float) -> None:
    joints = np.array([[1, 1], [3, value]], dtype=np.float32)
    with pytest.raises(ValueError, match="keypoint 1 is labelled but not finite"):
        HeatmapCodec(64).encode(joints, np.ones(2, dtype=bool))


def test_encode_refuses_wrong_shapes() -> None:
    with pytest.raises(ValueError, match=r"\(4, 3\), \(4,\)"):
        HeatmapCodec(64).encode(np.zeros((4, 3), np.float32), np.ones(4, bool))
    with pytest.raises(ValueError, match=r"\(4, 2\), \(5,\)"):
        HeatmapCodec(64).encode(np.zeros((4, 2), np.float32), np.ones(5, bool))


@quick
@given(codecs, st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=8))
def test_decode_returns_what_was_encoded_up_to_the_very_border(
    codec: HeatmapCodec, shares: list[tuple[float, float]]
) -> None:
    points = np.array(shares) * codec.input_size - 0.5
    joints, scores = codec.decode(draw(codec, [tuple(p) for p in points]))
    assert joints.dtype == scores.dtype == np.float32
    assert np.abs(joints - points).max() < INTERIOR * codec.stride
    # The nearest pixel centre is at most half a pixel away in x and in y, the border included.
    assert (scores >= math.exp(-0.25 / codec.sigma**2) - ROUNDING).all()
    assert (scores <= 1).all()


def test_decode_is_unbiased_in_the_interior() -> None:
    rng = np.random.default_rng(0)
    for sigma in (0.5, 1.0, 1.7, 3.0):
        codec = HeatmapCodec(128, 4, sigma)
        points = rng.uniform(30, 97, (500, 2))
        joints, _ = codec.decode(draw(codec, [tuple(p) for p in points]))
        assert np.abs(joints - points).max() < FLOAT32


def test_decode_takes_any_leading_axes_layout_and_precision() -> None:
    codec = HeatmapCodec(64)
    rng = np.random.default_rng(1)
    maps = rng.random((2, 3, 16, 16, 5), dtype=np.float32)
    joints, scores = codec.decode(maps)
    assert joints.shape == (2, 3, 5, 2)
    assert scores.shape == (2, 3, 5)
    # One at a time, bit for bit: the batch must not matter.
    for a in range(2):
        for b in range(3):
            one, score = codec.decode(maps[a, b])
            assert np.array_equal(one, joints[a, b])
            assert np.array_equal(score, scores[a, b])
    for other in (
        np.asfortranarray(maps),
        np.ascontiguousarray(np.moveaxis(maps, -1, 0)).transpose(1, 2, 3, 4, 0),
        np.repeat(maps, 2, axis=-1)[..., ::2],
        maps[::-1][::-1],
        maps.astype(np.float64),
    ):
        assert np.array_equal(codec.decode(other)[0], joints)
        assert np.array_equal(codec.decode(other)[1], scores)


def test_decode_of_nothing_is_nothing() -> None:
    joints, scores = HeatmapCodec(64).decode(np.zeros((0, 16, 16, 5), np.float32))
    assert joints.shape == (0, 5, 2)
    assert scores.shape == (0, 5)


def test_decode_leaves_its_input_alone() -> None:
    maps = np.random.default_rng(2).random((16, 16, 2))
    before = maps.copy()
    maps.flags.writeable = False
    HeatmapCodec(64).decode(maps)
    assert np.array_equal(maps, before)


@pytest.mark.parametrize("value", [0.0, 0.3, 1.0, -5.0])
def test_a_constant_map_gives_its_first_pixel(value: float) -> None:
    joints, scores = HeatmapCodec(64, 4).decode(np.full((16, 16, 3), value, dtype=np.float32))
    assert joints.tolist() == [[1.5, 1.5]] * 3  # centre of the first 4 x 4 input pixels
    assert scores.tolist() == [np.float32(value)] * 3


@quick
@given(st.integers(0, 31), st.integers(0, 31), st.floats(1, 3))
def test_a_single_bright_pixel_is_found(row: int, column: int, sigma: float) -> None:
    maps = np.zeros((32, 32, 1))
    maps[row, column] = 0.7
    joints, _ = HeatmapCodec(128, 4, sigma).decode(maps)
    assert joints[0] == pytest.approx([column * 4 + 1.5, row * 4 + 1.5], abs=FLOAT32)


@quick
@given(st.data())
def test_of_equal_peaks_the_first_in_row_order_is_taken(data: st.DataObject) -> None:
    codec = HeatmapCodec(128)
    cell = st.tuples(st.integers(4, 27), st.integers(4, 27))
    rows_columns = data.draw(st.lists(cell, min_size=2, max_size=4, unique=True).filter(well_apart))
    maps = sum(draw(codec, [(4 * column + 1.5, 4 * row + 1.5)]) for row, column in rows_columns)
    row, column = min(rows_columns)
    joints, scores = codec.decode(maps)
    assert joints[0] == pytest.approx([4 * column + 1.5, 4 * row + 1.5], abs=FLOAT32)
    assert scores[0] == 1


def well_apart(cells: list[tuple[int, int]]) -> bool:
    """Each Gaussian (sigma 1) out of reach of the windows and the smoothing around all others."""
    return all(max(abs(a[0] - b[0]), abs(a[1] - b[1])) > 10 for a in cells for b in cells if a is not b)


def test_decode_does_not_care_about_a_constant_or_a_factor() -> None:
    codec = HeatmapCodec(128, 4, 1.5)
    points = np.random.default_rng(3).uniform(0, 127, (20, 2))
    maps = draw(codec, [tuple(p) for p in points]).astype(np.float64)
    for changed in (maps - 3, 0.01 * maps, 250 * maps - 1000):
        joints, scores = codec.decode(changed)
        assert np.abs(joints - points).max() < FLOAT32
        assert np.array_equal(scores > changed.mean(), np.ones(20, bool))


def noisy(rng: np.random.Generator, points: np.ndarray, sigma: float) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities and logits of a network unsure of height, width and every pixel; points in map pixels."""
    height, width = rng.uniform(0.2, 0.98, len(points)), sigma * rng.uniform(0.8, 1.5, len(points))
    away = ((np.arange(32)[:, None, None] - points) / width[:, None]) ** 2
    clean = height * np.exp(-0.5 * (away[:, None, :, 1] + away[None, :, :, 0]))
    clean = clean.clip(3e-4, 0.995)
    logits = np.log(clean / (1 - clean)) + rng.normal(0, 0.4, clean.shape)
    return 1 / (1 + np.exp(-logits)), logits


@pytest.mark.parametrize("sigma", [1.0, 2.0, 3.0])
def test_decode_bears_the_noise_of_a_network(sigma: float) -> None:
    rng = np.random.default_rng(4)
    codec = HeatmapCodec(32, 1, sigma)
    points = rng.uniform(5, 26, (500, 2))
    probabilities, logits = noisy(rng, points, sigma)

    def error(found: np.ndarray) -> float:
        return float(np.sqrt(((found - points) ** 2).sum(axis=1).mean()))

    row, column = np.divmod(probabilities.reshape(-1, 500).argmax(axis=0), 32)
    largest = error(np.stack([column, row], axis=1))
    # Measured: 0.12 to 0.14 for probabilities and 0.16 for logits, against 0.6 to 1.5 for the arg-max alone.
    assert error(codec.decode(probabilities)[0]) < 0.2 < 0.4 * largest
    assert error(codec.decode(logits)[0]) < 0.2


def test_decode_stays_inside_the_input() -> None:
    codec = HeatmapCodec(64)
    joints, _ = codec.decode(draw(codec, [(-9, -9), (70, 30), (30, 70)]))
    assert joints.min() >= -0.5
    assert joints.max() <= 63.5
    wild = np.random.default_rng(5).normal(size=(20, 16, 16, 16))
    joints, _ = codec.decode(wild)
    assert np.isfinite(joints).all()
    assert joints.min() >= -0.5
    assert joints.max() <= 63.5


@pytest.mark.parametrize(("value", "word"), [(np.nan, "NaN"), (np.inf, "infinite"), (-np.inf, "infinite")])
def test_a_value_that_is_not_finite_is_named_with_its_place(value: float, word: str) -> None:
    maps = np.zeros((2, 16, 16, 3), np.float32)
    maps[1, 4, 7, 2] = value
    with pytest.raises(ValueError, match=rf"index \(1, 4, 7, 2\) is {word}"):
        HeatmapCodec(64).decode(maps)


@pytest.mark.parametrize("shape", [(16, 16), (16, 15, 3), (2, 3, 16, 16), (32, 32, 3)])
def test_decode_refuses_wrong_shapes(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"\(\.\.\., 16, 16, K\) expected"):
        HeatmapCodec(64).decode(np.zeros(shape, np.float32))


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"input_size": 0}, "input_size"),
        ({"input_size": 64.0}, "input_size"),
        ({"input_size": 64, "stride": -4}, "stride"),
        ({"input_size": 66}, "66 is not a multiple of stride 4"),
        ({"input_size": 64, "sigma": 0.3}, "sigma"),
        ({"input_size": 64, "sigma": math.nan}, "sigma"),
        ({"input_size": 64, "sigma": math.inf}, "sigma"),
    ],
)
def test_fields_that_cannot_be_used_are_refused(fields: dict[str, float], name: str) -> None:
    with pytest.raises(ValueError, match=name):
        HeatmapCodec(**fields)


def test_the_description_survives_a_model_file() -> None:
    codec = HeatmapCodec(256, 8, 1.5)
    description = json.loads(json.dumps(codec.describe()))
    assert description == {"input_size": 256, "stride": 8, "sigma": 1.5}
    assert HeatmapCodec(**description) == codec
    assert codec.heatmap_size == 32


def test_confidence_is_the_mean_of_the_scores() -> None:
    codec = HeatmapCodec(64)
    maps = np.stack([draw(codec, [(9.5, 21.5), (33.5, 41.5)]), np.zeros((16, 16, 2), np.float32)])
    maps[0, ..., 1] *= 0.5
    assert codec.confidence(maps) == pytest.approx([0.75, 0])
    assert codec.confidence(maps[0]) == pytest.approx(0.75)
    np.testing.assert_allclose(codec.confidence(maps), codec.decode(maps)[1].mean(axis=-1))
