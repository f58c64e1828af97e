"""Pictures resampled: by hand, by every backend to the bit, and beside Pillow."""

import os

import numpy as np
import pytest
from PIL import Image

from hbcore import kernels
from hbcore.kernels.reference import Reference
from hbcore.landmarks.crop import Crop, shrunk


@pytest.fixture(autouse=True, params=kernels.available())
def variant(request, monkeypatch):
    """Every test runs with every backend."""
    monkeypatch.setattr(kernels, "backend", kernels.choose(request.param))
    yield
    kernels.choose(os.environ.get("HBCORE_KERNELS") or None)


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_a_picture_of_half_the_size_by_hand():
    """Two rows out of four. Triangles of reach 2 around 1 and 3 give shares of 3, 3, 1 and 1, 3, 3 sevenths."""
    rows = np.array([70, 140, 210, 0], np.uint8)
    expected = np.array([(3 * 70 + 3 * 140 + 210) // 7, (140 + 3 * 210 + 0) // 7], np.uint8)
    assert expected.tolist() == [120, 110]
    picture = np.repeat(np.repeat(rows[:, None], 5, axis=1)[..., None], 3, axis=2)
    assert np.array_equal(shrunk(picture, 2, 5)[..., 0], np.repeat(expected[:, None], 5, axis=1))
    turned = np.ascontiguousarray(picture.transpose(1, 0, 2))
    assert np.array_equal(shrunk(turned, 5, 2)[..., 2], np.repeat(expected[None], 5, axis=0))


def test_samples_by_hand():
    """Between four pixels of 10, 20, 30 and 45, in steps of a quarter from the first centre on; rounded down."""
    picture = np.repeat(np.array([[10, 20], [30, 45]], np.uint8)[..., None], 3, axis=2)
    grid = np.array([[0.25, 0, 0.5 - 0.125], [0, 0.25, 0.5 - 0.125]])
    found = kernels.backend.through_grid(picture, grid, 8)[..., 1]
    assert found[0, :5].tolist() == [10, 12, 15, 17, 20]
    assert found[:5, 0].tolist() == [10, 15, 20, 25, 30]
    assert found[2, 2] == 26  # 26.25, the mean of all
    assert found[4, 5] == 45  # a quarter of a pixel beyond the last centre: as on it
    assert found[4, 6] == found[6, 4] == 0  # outside


@pytest.mark.parametrize("seed", range(30))
def test_every_backend_gives_the_bits_of_the_reference(seed):
    rng = np.random.default_rng(seed)
    picture = noise(*rng.integers(1, 60, 2), seed)[:: 1 if seed % 3 else -1, :]
    crop = Crop(tuple(rng.uniform(-10, 60, 2)), float(rng.uniform(3, 300)), int(rng.integers(1, 40)), seed % 2 * 0.7)
    found = crop.extract(picture)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernels, "backend", Reference())
        assert np.array_equal(found, crop.extract(picture))


@pytest.mark.parametrize(("height", "width"), [(40, 40), (11, 80), (79, 33), (100, 12), (1, 1)])
def test_pillow_shrinks_alike(height, width):
    """To a level for either way. From Pillow 13 on, which of the two it goes first depends on the size."""
    picture = noise(100, 80)
    theirs = np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.BILINEAR))
    assert np.abs(shrunk(picture, height, width).astype(int) - theirs).max() <= 1


@pytest.mark.parametrize("turn", [0.0, 0.3, -1.0])
def test_pillow_samples_alike(turn):
    """The same formula; a machine whose compiler fuses products and sums may round one in a million otherwise."""
    grid = np.array([[np.cos(turn), np.sin(turn), 3.3], [-np.sin(turn), np.cos(turn), 20.1]]).round(9)
    picture = noise(70, 50)
    theirs = Image.fromarray(picture).transform(
        (64, 64), Image.Transform.AFFINE, grid.ravel().tolist(), Image.Resampling.BILINEAR
    )
    assert np.abs(kernels.backend.through_grid(picture, grid, 64).astype(int) - np.asarray(theirs)).max() <= 1


def test_places_that_are_no_numbers_are_outside():
    assert not kernels.backend.through_grid(noise(4, 4), np.full((2, 3), np.nan), 3).any()
    assert not kernels.backend.through_grid(noise(4, 4), np.full((2, 3), 1e300), 3).any()
