"""The decoders of the exported C file on maps made by hand, under sanitizers: by hand, and beside Python's codecs."""

import numpy as np
import pytest

from hbcore.landmarks.heatmaps import HeatmapCodec
from hbcore.landmarks.masks import MaskCodec
from tests.architectures import network
from tests.hbcore.export.programs import COMPILER, SANITIZED, program

pytestmark = pytest.mark.skipif(COMPILER is None, reason="there is no gcc to compile an exported model with")

SIDE, MAPS = 8, 12  # as many bytes of maps as of the picture of 32 x 32 pixels, in whose place they are
STEP = "const float *maps = network(arena, shown);"
"""In the C file, and after it: the pixels are the maps."""
GIVEN = STEP, " maps = (const float *)(const void *)shown->pixels;"


@pytest.fixture(scope="module")
def decoder(tmp_path_factory):
    """A program that decodes maps (8, 8, 12), made once for each kind of them."""
    made = {}
    model = network(joints=MAPS, depth=1).eval()

    def of(output="identity", sigma=1.0, parts=False):
        key = output, sigma, parts
        if key not in made:
            kinds = {"output": output, "sigma": sigma, "parts": parts}
            flags = *SANITIZED, "-fsanitize=float-cast-overflow"
            made[key] = program(tmp_path_factory.mktemp("decoder"), model, 32, *flags, **kinds, damage=GIVEN)
        return lambda maps: made[key].answer("rgb", maps.astype(np.float32), 0)

    return of


def stacked(*maps):
    """Maps (8, 8) as (8, 8, 12), the last of them again and again."""
    return np.stack([*maps, *[maps[-1]] * (MAPS - len(maps))], axis=-1).astype(np.float32)


def peaks(values):
    """A map that is 0 but for some pixels (row, column)."""
    found = np.zeros((SIDE, SIDE))
    for at, value in values.items():
        found[at] = value
    return found


def test_places_by_hand(decoder):
    """Heatmap pixel n lies at 4 n + 1.5. A constant map says nothing: its first pixel."""
    maps = stacked(
        np.full((SIDE, SIDE), 0.25),
        peaks({(3, 5): 0.75}),
        peaks({(2, 5): 1, (5, 2): 1}),
        peaks({(2, 5): 1, (5, 2): 1.000001}),  # equal but for what rounding may be
        peaks({(2, 5): 1, (5, 2): 1.0001}),
        peaks({(3, 3): 1, (3, 4): 1}),
    )
    found = decoder()(maps)
    expected = [[1.5, 1.5], [21.5, 13.5], [21.5, 9.5], [21.5, 9.5], [9.5, 21.5], [15.5, 13.5]]
    np.testing.assert_allclose(found[:6, :2], expected, rtol=0, atol=1e-5)
    np.testing.assert_allclose(found[:6, 2], [0.25, 0.75, 1, 1, 1.0001, 1], rtol=1e-6)


@pytest.mark.parametrize("sigma", [0.5, 1.0, 2.5])
def test_points_are_the_codecs(decoder, sigma):
    """Peaks with weak neighbours, on either side of the floor; far slopes, that lead further than half a pixel."""
    rng = np.random.default_rng(5)
    weak = [peaks({(3, 4): 1, (3, 5): share, (4, 4): share / 2}) for share in (8e-4, 1.5e-3, 1.9e-3, 0.02)]
    slopes = [np.outer(rng.random(SIDE), rng.random(SIDE)) ** power for power in (0.2, 0.5, 1, 2)]
    bumps = [np.outer(*(np.exp(-((np.arange(SIDE) - at) ** 2) / 2) for at in rng.uniform(-1, 8, 2))) for _ in range(4)]
    maps = stacked(*weak, *slopes, *bumps)
    points, scores = HeatmapCodec(32, sigma=sigma).decode(maps)
    found = decoder(sigma=sigma)(maps)
    np.testing.assert_allclose(found[:, :2], points, rtol=0, atol=1e-4)
    np.testing.assert_allclose(found[:, 2], scores, rtol=1e-6)


def test_the_narrowest_gaussian_may_lead_more_than_its_width_away(decoder):
    """From the highest place once smoothed, column 3, to the slope beside it: never further than a pixel."""
    row = dict(zip(range(2, 7), (0.79, 0.72, 0.46, 0.66, 0.5), strict=True))
    maps = stacked(peaks({(3, column): value for column, value in row.items()}))
    points, _ = HeatmapCodec(32, sigma=0.5).decode(maps)
    assert 4 * 0.5 < abs(points[0, 0] - 13.5) < 4
    np.testing.assert_allclose(decoder(sigma=0.5)(maps)[:, :2], points, rtol=0, atol=1e-4)


def test_maps_that_are_no_numbers(decoder):
    """Of a network that was fed nonsense: an answer, whatever it is, and nothing undefined on the way."""
    maps = stacked(*(np.full((SIDE, SIDE), value) for value in (np.nan, np.inf, -np.inf, -1e30, 1e30)))
    found = decoder(output="sigmoid")(maps)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found[1:5, 2], [1, 0, 0, 1], atol=1e-6)


def test_the_first_of_equal_classes(decoder):
    """Equal everywhere; then class 2 in one half, 2 and 7 in the other."""
    decode = decoder(output="softmax", parts=True)
    equal = np.zeros((SIDE, SIDE, MAPS))
    assert not decode(equal).any()
    equal[..., 2] = 1
    equal[:, 4:, 7] = 1
    assert (decode(equal) == 2).all()
    maps = np.random.default_rng(1).standard_normal((SIDE, SIDE, MAPS)).astype(np.float32)
    assert np.array_equal(decode(maps), MaskCodec(32).decode(maps)[0])
