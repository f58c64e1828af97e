import math
import platform

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from hbcore import kernels
from hbcore.landmarks.crop import LEVELS, Crop

PROPERTY = settings(deadline=None, derandomize=True, max_examples=50)

ROUNDING = 1e-9  # float64 on coordinates of some thousand pixels, with room for the products
ONE_LEVEL = 1  # Pillow rounds interpolated levels down, the oracle does not round

X86 = "x86_64", "AMD64"

Levels = NDArray[np.uint8]

places = st.floats(-300, 600)
crops = st.builds(
    Crop,
    center=st.tuples(places, places),
    side=st.floats(5, 2000),
    size=st.sampled_from([1, 7, 64, 128, 256]),
    angle=st.floats(-7, 7),
    mirror=st.booleans(),
)


def noise(height: int, width: int, seed: int = 0) -> Levels:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def centred(picture: Levels, side: float, size: int, angle: float = 0.0, mirror: bool = False) -> Crop:
    height, width = picture.shape[:2]
    return Crop(((width - 1) / 2, (height - 1) / 2), side, size, angle, mirror)


@PROPERTY
@given(crop=crops, points=st.lists(st.tuples(places, places), min_size=1, max_size=5))
def test_there_and_back_is_the_same_place(crop: Crop, points: list[tuple[float, float]]) -> None:
    start = np.array(points)
    # A pixel of the smallest input stands for up to 2000 picture pixels, and so does its rounding.
    np.testing.assert_allclose(crop.to_picture(crop.to_input(start)), start, rtol=0, atol=ROUNDING)
    np.testing.assert_allclose(crop.to_input(crop.to_picture(start)), start, rtol=0, atol=1000 * ROUNDING)


@PROPERTY
@given(crop=crops, point=st.tuples(places, places))
def test_the_matrix_says_the_same_as_to_input(crop: Crop, point: tuple[float, float]) -> None:
    scale = crop.size / crop.side
    np.testing.assert_allclose(
        crop.matrix() @ (*point, 1), crop.to_input(np.array(point)), rtol=0, atol=ROUNDING * max(1, scale)
    )


@PROPERTY
@given(crop=crops)
def test_a_crop_is_a_similarity_and_only_a_mirror_swaps_its_sides(crop: Crop) -> None:
    linear = crop.matrix()[:, :2] / (crop.size / crop.side)
    np.testing.assert_allclose(linear @ linear.T, np.eye(2), rtol=0, atol=ROUNDING)
    assert np.linalg.det(linear) == pytest.approx(-1 if crop.mirror else 1)


@PROPERTY
@given(crop=crops)
def test_pixel_areas_are_aligned(crop: Crop) -> None:
    low, high = -0.5, crop.size - 0.5
    corners = crop.to_picture(np.array([[low, low], [high, low], [high, high], [low, high]]))
    np.testing.assert_allclose(corners.mean(axis=0), crop.center, rtol=0, atol=1e-7)
    sides = np.linalg.norm(corners - np.roll(corners, 1, axis=0), axis=1)
    np.testing.assert_allclose(sides, crop.side, rtol=ROUNDING)


def test_edges_by_hand() -> None:
    crop = Crop((9.5, 4.5), side=20, size=10)  # columns 0..19 and rows -5..14 of a picture
    points = np.array([[-0.5, -5.5], [19.5, 14.5], [9.5, 4.5], [0, -5], [1, -4]])
    expected = [[-0.5, -0.5], [9.5, 9.5], [4.5, 4.5], [-0.25, -0.25], [0.25, 0.25]]
    np.testing.assert_allclose(crop.to_input(points), expected, rtol=0, atol=ROUNDING)


def test_a_quarter_turn_by_hand() -> None:
    # Counter-clockwise on the screen: what is on the right comes to the top, what is on top to the left.
    crop = Crop((10, 20), side=11, size=11, angle=math.pi / 2)
    points = np.array([[15, 20], [10, 15]], np.float64)
    np.testing.assert_allclose(crop.to_input(points), [[5, 0], [0, 5]], rtol=0, atol=ROUNDING)
    mirrored = Crop((10, 20), side=11, size=11, angle=math.pi / 2, mirror=True)
    np.testing.assert_allclose(mirrored.to_input(points), [[5, 0], [10, 5]], rtol=0, atol=ROUNDING)


def test_points_keep_their_precision_and_shape() -> None:
    crop = Crop((10, 20), 30, 16)
    for dtype in (np.float32, np.float64):
        points = np.ones((2, 5, 2), dtype)
        for mapped in (crop.to_input(points), crop.to_picture(points)):
            assert mapped.dtype == dtype
            assert mapped.shape == points.shape
        np.testing.assert_array_equal(points, 1)


@pytest.mark.parametrize(("height", "width"), [(32, 32), (33, 33), (20, 33), (33, 20)])
def test_the_identity_crop_is_the_picture(height: int, width: int) -> None:
    picture = noise(height, width)
    size = max(height, width)
    square = centred(picture, size, size).extract(picture)
    top, left = (size - height) // 2, (size - width) // 2
    if (size - height) % 2 == (size - width) % 2 == 0:
        np.testing.assert_array_equal(square[top : top + height, left : left + width], picture)
    outside = np.ones((size, size), bool)
    outside[top : top + height + 1, left : left + width + 1] = False
    assert not square[outside].any()


@pytest.mark.parametrize("turns", [-3, -2, -1, 0, 1, 2, 3, 4])
@pytest.mark.parametrize("size", [32, 33])
def test_quarter_turns_are_those_of_numpy(size: int, turns: int) -> None:
    picture = noise(size, size)
    crop = centred(picture, size, size, turns * math.pi / 2)
    np.testing.assert_array_equal(crop.extract(picture), np.rot90(picture, turns))


@PROPERTY
@given(side=st.floats(5, 300), angle=st.floats(-4, 4), x=st.floats(-20, 60), y=st.floats(-20, 60))
def test_a_mirrored_crop_is_the_crop_mirrored(side: float, angle: float, x: float, y: float) -> None:
    picture = noise(40, 50)
    plain = Crop((x, y), side, 24, angle).extract(picture)
    np.testing.assert_array_equal(Crop((x, y), side, 24, angle, mirror=True).extract(picture), plain[:, ::-1])


def bilinear(picture: Levels, crop: Crop) -> NDArray[np.float64]:
    """The oracle: every input pixel looked up by itself, black where it is outside the pixel areas."""
    height, width = picture.shape[:2]
    out = np.zeros((crop.size, crop.size, 3))
    for v in range(crop.size):
        for u in range(crop.size):
            du, dv = u - (crop.size - 1) / 2, v - (crop.size - 1) / 2
            scale, cos, sin = crop.side / crop.size, math.cos(crop.angle), math.sin(crop.angle)
            x = crop.center[0] + scale * (cos * du - sin * dv)
            y = crop.center[1] + scale * (sin * du + cos * dv)
            if not (-0.5 <= x < width - 0.5 and -0.5 <= y < height - 0.5):
                continue
            for row, wy in ((math.floor(y), 1 - y % 1), (math.floor(y) + 1, y % 1)):
                for column, wx in ((math.floor(x), 1 - x % 1), (math.floor(x) + 1, x % 1)):
                    clamped = picture[min(max(row, 0), height - 1), min(max(column, 0), width - 1)]
                    out[v, u] += wx * wy * clamped
    return out


@settings(deadline=None, derandomize=True, max_examples=25)
@given(side=st.floats(1, 18), angle=st.floats(-4, 4), x=st.floats(-3, 20), y=st.floats(-3, 20))
def test_extract_is_bilinear_where_it_enlarges(side: float, angle: float, x: float, y: float) -> None:
    picture = noise(17, 20)
    crop = Crop((x, y), side, 12, angle)
    expected = bilinear(picture, crop)
    wrong = (np.abs(crop.extract(picture) - expected) > ONE_LEVEL + 1e-6).any(axis=-1)
    # A sample within rounding of the border of the picture may fall on either side of it.
    if wrong.any():
        v, u = np.nonzero(wrong)
        points = crop.to_picture(np.stack([u, v], axis=-1).astype(np.float64))
        to_border = np.abs(np.stack([points + 0.5, points - (19.5, 16.5)])).min(axis=(0, 2))
        assert to_border.max() < 1e-6


@pytest.mark.parametrize("side", [32, 45, 64, 79.3, 130, 200, 240])
@pytest.mark.parametrize("angle", [0, 0.5, 2.5, math.pi])
def test_what_shrinks_stays_in_place(side: float, angle: float) -> None:
    # Level = column and row: every input pixel tells where in the picture it was taken. Levels are rounded
    # down; the negative rounds the other way, and shifts round differently, so that the mean cancels it.
    y, x = np.mgrid[:250, :250]
    picture = np.stack([x, y, np.zeros_like(x)], axis=-1).astype(np.uint8)
    v, u = np.mgrid[:32, :32]
    grid = np.stack([u, v], axis=-1).astype(np.float64)
    offsets = []
    for shift in np.arange(10) / 10:
        crop = Crop((123.3 + shift, 125.2 - shift), side, 32, angle)
        truth = crop.to_picture(grid)
        inside = ((truth > 10) & (truth < 239)).all(axis=-1)  # away from the border, where the filter is cut off
        down, up = crop.extract(picture), 255 - crop.extract(255 - picture)
        offsets.append(((down / 2 + up / 2)[..., :2] - truth)[inside])
    offset = np.concatenate(offsets)
    assert np.abs(offset).max() <= 1.5  # half a level from each of the two steps, and the jitter between them
    np.testing.assert_allclose(offset.mean(axis=0), 0, atol=0.05)


@pytest.mark.parametrize("angle", [0, 0.3])
@pytest.mark.parametrize("shrink", [2, 2.5, 3, 4, 5.7])
def test_a_fine_checkerboard_becomes_grey(shrink: float, angle: float) -> None:
    board = np.repeat(np.indices((400, 400)).sum(axis=0)[..., None] % 2 * 255, 3, axis=-1).astype(np.uint8)
    square = centred(board, shrink * 48, 48, angle).extract(board).astype(float)
    assert square.mean() == pytest.approx(127.5, abs=1.5)
    assert square.std() < 8  # 127 for the board, 42 for bilinear samples without a filter


def test_black_outside_and_nothing_but_black_far_outside() -> None:
    white = np.full((40, 40, 3), 255, np.uint8)
    square = Crop((39.5, 19.5), 40, 40).extract(white)  # its right half is outside
    np.testing.assert_array_equal(square[:, :20], 255)
    np.testing.assert_array_equal(square[:, 20:], 0)
    for center in ((500.0, 20.0), (20.0, -500.0), (-1e12, 1e12)):
        assert not Crop(center, 40, 40, 0.3).extract(white).any()


@pytest.mark.parametrize("side", [1e-6, 1e6, 1e12, 1e300])
def test_a_senseless_side_from_a_file_costs_no_memory(side: float) -> None:
    square = Crop((19.5, 19.5), side, 16, 0.3).extract(np.full((40, 40, 3), 200, np.uint8))
    assert square.shape == (16, 16, 3)
    assert square.any() == (side < 1)  # seen from far enough, the picture falls between the samples


def test_extract_leaves_the_picture_alone_and_takes_any_memory_layout() -> None:
    picture = noise(50, 60)
    before = picture.copy()
    crop = Crop((28, 25), 70, 32, 0.2, mirror=True)
    first = crop.extract(picture)
    np.testing.assert_array_equal(picture, before)
    np.testing.assert_array_equal(crop.extract(np.asfortranarray(picture)), first)
    picture.flags.writeable = False
    np.testing.assert_array_equal(crop.extract(picture), first)
    assert first.flags.writeable
    assert first.flags.c_contiguous


@pytest.mark.parametrize(
    "change",
    [
        {"side": 0.0},
        {"side": -1.0},
        {"size": 0},
        {"side": math.nan},
        {"angle": math.inf},
        {"center": (0.0, math.nan)},
    ],
)
def test_a_crop_that_is_none_is_refused(change: dict[str, float]) -> None:
    good: dict[str, object] = {"center": (0.0, 0.0), "side": 1.0, "size": 1}
    with pytest.raises(ValueError, match="a crop needs"):
        Crop(**(good | change))  # type: ignore[arg-type]


@PROPERTY
@given(seed=st.integers(0, 2**32), angle=st.floats(-4, 4), zoom=st.floats(0.3, 3), x=places, y=places)
def test_the_warp_is_pillows_to_the_bit(seed: int, angle: float, zoom: float, x: float, y: float) -> None:
    """Runs made before hbcore had one of its own can be repeated."""
    picture = noise(37, 61, seed)
    cos, sin = zoom * math.cos(angle), zoom * math.sin(angle)
    matrix = np.array([[cos, sin, x / 10], [-sin, cos, y / 10]]).round(9)
    oracle = Image.fromarray(picture).transform(
        (40, 40), Image.Transform.AFFINE, matrix.ravel().tolist(), Image.Resampling.BILINEAR
    )
    made = kernels.backend.warp(picture, matrix, LEVELS, np.empty((40, 40, 3), np.uint8))
    # Where Pillow was built to fuse multiply-add, as on ARM, a level may fall to the other side of a whole number.
    assert np.abs(made.astype(int) - np.asarray(oracle)).max() <= (0 if platform.machine() in X86 else ONE_LEVEL)


@pytest.mark.parametrize("mirror", [False, True])
def test_extract_fills_what_it_is_given_and_changes_levels_on_the_way(mirror: bool) -> None:
    picture = noise(30, 40)
    crop = centred(picture, 70, 32, 0.3, mirror)
    levels = np.random.default_rng(1).integers(0, 256, (3, 256), np.uint8)
    batch = np.zeros((3, 32, 32, 3), np.uint8)
    assert np.shares_memory(crop.extract(picture, levels, batch[1]), batch)
    original = crop.extract(picture)
    expected = np.stack([levels[c][original[..., c]] for c in range(3)], axis=-1)
    assert np.array_equal(batch[1], expected)
    assert not batch[::2].any()
    far = Crop((1e6, 1e6), 70, 32, 0.3, mirror).extract(picture, levels)
    assert (far == levels[:, 0]).all()
