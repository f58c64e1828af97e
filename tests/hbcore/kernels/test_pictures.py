"""Pictures made smaller: by hand, by every backend to the bit, and beside Pillow. For `warp` see test_backends.py."""

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
