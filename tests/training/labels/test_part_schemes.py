"""Part schemes, masks in crops and augmentation, and the codec that reads masks out of maps."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from hbcore.landmarks.crop import Crop
from hbcore.landmarks.masks import MaskCodec
from hbcore.optim.losses import IGNORED
from training.errors import DataError
from training.labels.parts import FACE7, HELEN11, Parts, parts_of, relabel, skeleton_of
from training.labels.sample import Sample
from training.labels.skeletons import MPII
from training.pictures.augmentation import Augmentation, plain

SIDES = Parts("sides", ("background", "left", "right", "middle"), ((1, 2),))


# ------------------------------------------------------------------------------------------------- schemes


def test_the_schemes_of_the_paper_and_of_helen() -> None:
    assert FACE7.names == ("background", "skin", "lower_lip", "upper_lip", "inner_mouth", "eyes", "nose")
    assert FACE7.flip_index().tolist() == list(range(7))
    assert len(HELEN11.names) == 11
    swapped = {a: b for a, b in enumerate(HELEN11.flip_index().tolist()) if a != b}
    assert {HELEN11.names[a]: HELEN11.names[b] for a, b in swapped.items()} == {
        "left_eyebrow": "right_eyebrow",
        "right_eyebrow": "left_eyebrow",
        "left_eye": "right_eye",
        "right_eye": "left_eye",
    }


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"names": ("one",)}, "2 to 255 classes expected, not 1"),
        ({"names": tuple(map(str, range(256)))}, "2 to 255 classes expected, not 256"),
        ({"names": ("a", "a")}, "a class name occurs twice"),
        ({"names": ("a", "")}, "a class has no name"),
        ({"names": ("a", 3)}, "a class has no name"),
        ({"names": ("a", "b\n")}, "a class has no name"),
        ({"flip_pairs": ((1, 4),)}, r"a pair names a class outside 0\.\.3"),
        ({"flip_pairs": ((1, -1),)}, r"a pair names a class outside 0\.\.3"),
        ({"flip_pairs": ((1, 2), (2, 3))}, "a class stands in two flip pairs"),
    ],
)
def test_schemes_that_cannot_be(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=f"parts sides: {message}"):
        replace(SIDES, **values)  # type: ignore[arg-type]


def test_values_of_a_file_that_are_no_scheme() -> None:
    good = SIDES.to_dict()
    for change in ({"names": "ab"}, {"flip_pairs": [[1, float("inf")]]}, {"flip_pairs": ""}, {"name": "a\nb"}):
        with pytest.raises(ValueError, match=r"expected|in one line"):
            Parts.from_dict(good | change)


@pytest.mark.parametrize("parts", [FACE7, HELEN11, SIDES])
def test_schemes_survive_json(parts: Parts) -> None:
    assert Parts.from_dict(json.loads(json.dumps(parts.to_dict()))) == parts


def test_every_class_has_a_colour_of_its_own() -> None:
    many = Parts("many", tuple(map(str, range(20)))).colours()
    assert many[0].tolist() == [0, 0, 0]
    apart = np.abs(many[:, None].astype(int) - many[None]).sum(axis=-1)
    assert apart[~np.eye(20, dtype=bool)].min() > 30


def test_joints_and_parts_are_not_taken_for_one_another() -> None:
    assert skeleton_of(MPII) is MPII
    assert parts_of(FACE7) is FACE7
    with pytest.raises(DataError, match="face7 names parts of a picture, not keypoints"):
        skeleton_of(FACE7)
    with pytest.raises(DataError, match="mpii names keypoints, not parts"):
        parts_of(MPII)


def test_a_mirror_exchanges_classes_and_leaves_the_rest() -> None:
    mask = np.array([[0, 1, 2], [3, IGNORED, 200]], np.uint8)
    assert relabel(mask, SIDES.flip_index()).tolist() == [[0, 2, 1], [3, 255, 200]]


# --------------------------------------------------------------------------------------------- masks in crops


def noise(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 4, (height, width)).astype(np.uint8)


def middle(mask: NDArray[np.uint8], side: float, size: int, angle: float = 0.0, mirror: bool = False) -> Crop:
    return Crop(((mask.shape[1] - 1) / 2, (mask.shape[0] - 1) / 2), side, size, angle, mirror)


def test_a_centred_square_of_its_size_is_the_mask_itself_and_turns_are_turns() -> None:
    mask = noise(8, 8)
    assert np.array_equal(middle(mask, 8, 8).extract_mask(mask, IGNORED), mask)
    assert np.array_equal(middle(mask, 8, 8, mirror=True).extract_mask(mask, IGNORED), mask[:, ::-1])
    for turns in range(4):
        turned = middle(mask, 8, 8, angle=turns * np.pi / 2).extract_mask(mask, IGNORED)
        assert np.array_equal(turned, np.rot90(mask, turns))


def test_a_smaller_mask_takes_the_value_at_the_centre_of_each_cell() -> None:
    """Of 9 x 9 pixels in cells of 3 x 3: the middle ones. Enlarged, each pixel is repeated."""
    mask = noise(9, 9)
    assert np.array_equal(middle(mask, 9, 3).extract_mask(mask, IGNORED), mask[1::3, 1::3])
    large = middle(mask, 9, 27).extract_mask(mask, IGNORED)
    assert np.array_equal(large, np.repeat(np.repeat(mask, 3, axis=0), 3, axis=1))


def test_beyond_the_picture_nobody_knows() -> None:
    mask = noise(4, 6)
    cut = Crop((0.5, 1.5), 4, 4).extract_mask(mask, IGNORED)
    assert (cut[:, 0] == IGNORED).all()  # columns -1 to 2
    assert np.array_equal(cut[:, 1:], mask[:, :3])
    assert (Crop((1e6, 0), 4, 4).extract_mask(mask, 7) == 7).all()


@given(x=st.floats(-20, 40), y=st.floats(-20, 40), side=st.floats(2, 90), angle=st.floats(-4, 4), mirror=st.booleans())
def test_masks_and_points_go_the_same_way(x: float, y: float, side: float, angle: float, mirror: bool) -> None:
    """Every pixel of the crop holds the value of a pixel whose own place in the crop is within half a pixel of it."""
    mask = np.arange(20 * 12, dtype=np.uint8).reshape(12, 20)  # every pixel another value, none of them 255
    crop = Crop((x, y), side, 8, angle, mirror)
    cut = crop.extract_mask(mask, IGNORED)
    reach = 0.5 * np.sqrt(2) * crop.size / crop.side + 1e-6
    rows, columns = np.nonzero(cut != IGNORED)
    values = cut[rows, columns]
    places = crop.to_input(np.stack([values % 20, values // 20], axis=-1).astype(np.float64))
    assert (np.hypot(*(places - np.stack([columns, rows], axis=-1)).T) <= reach).all()


# ------------------------------------------------------------------------------------------------ augmentation


def sample(mask: NDArray[np.uint8], side: float = 64.0) -> Sample:
    """A picture whose red channel shows the mask, in levels far enough apart to survive interpolation."""
    height, width = mask.shape
    picture = np.zeros((height, width, 3), np.uint8)
    picture[..., 0] = 60 * mask
    nothing = np.zeros((0, 2), np.float32), np.zeros(0, bool)
    return Sample(picture, *nothing, ((width - 1) / 2, (height - 1) / 2), side, np.nan, "mask", mask=mask)


def halves() -> Sample:
    """Left half of the picture: class 1 below class 3; right half: class 2."""
    mask = np.full((64, 64), 2, np.uint8)
    mask[:32, :32], mask[32:, :32] = 3, 1
    return sample(mask)


def test_without_change_the_mask_is_that_of_the_picture_at_the_size_of_the_maps() -> None:
    someone = halves()
    evaluated = plain(someone, 64)
    assert evaluated.mask is not None
    assert someone.mask is not None
    assert np.array_equal(evaluated.mask, someone.mask)
    assert (evaluated.keypoints.shape, evaluated.labelled.shape) == ((0, 2), (0,))
    trained = Augmentation.none().apply(someone, 64, SIDES, np.random.default_rng(0))
    assert trained.mask is not None
    assert trained.mask.shape == (16, 16)
    assert np.array_equal(trained.mask, someone.mask[2::4, 2::4])  # no border runs through a cell
    assert np.array_equal(trained.picture, evaluated.picture)


def test_a_mirror_exchanges_the_halves_and_their_classes() -> None:
    mirror = Augmentation(1, 0, 0, 0, 0, 0).apply(halves(), 64, SIDES, np.random.default_rng(0))
    expected = np.full((16, 16), 1)
    expected[:8, 8:], expected[8:, 8:] = 3, 2
    assert mirror.mask is not None
    assert mirror.mask.tolist() == expected.tolist()
    asymmetric = Augmentation(1, 0, 0, 0, 0, 0).apply(
        halves(), 64, replace(SIDES, flip_pairs=()), np.random.default_rng(0)
    )
    assert asymmetric.mask is not None
    assert asymmetric.mask[0, 0] == 2


def test_mask_and_picture_move_together() -> None:
    """Rotated, scaled, shifted: where all 16 input pixels of a cell show one class, the mask says so."""
    blocks = np.kron(np.random.default_rng(5).integers(1, 4, (4, 4)), np.ones((24, 24))).astype(np.uint8)
    checked = 0
    for seed in range(30):
        turned = Augmentation(0, 40, 0.3, 0.1, 0, 0).apply(sample(blocks, 80), 64, SIDES, np.random.default_rng(seed))
        shown = turned.picture[..., 0].reshape(16, 4, 16, 4).transpose(0, 2, 1, 3).reshape(16, 16, 16)
        pure = (shown.min(axis=-1) == shown.max(axis=-1)) & np.isin(shown[..., 0], (60, 120, 180))
        assert turned.mask is not None
        assert np.array_equal(turned.mask[pure], shown[pure][:, 0] // 60)
        checked += int(pure.sum())
    assert checked > 2000


# ------------------------------------------------------------------------------------------------------- codec


def test_the_largest_logit_wins_and_is_interpolated_between_cells() -> None:
    """2 cells of 4 pixels: cell centres at 1.5 and 5.5. Class 1 leads by 3 in the first, class 0 by 1 in the second.

    The lead 3 - 4 (x - 1.5) / 4 changes sign at x = 4.5; before the first centre and after the last it is constant.
    """
    codec = MaskCodec(8)
    maps = np.zeros((2, 2, 2), np.float32)
    maps[:, 0, 1], maps[:, 1, 1] = 3, -1
    (mask,) = codec.decode(maps)
    assert mask.dtype == np.uint8
    assert mask.tolist() == [[1, 1, 1, 1, 1, 0, 0, 0]] * 8
    (turned,) = codec.decode(maps.transpose(1, 0, 2))
    assert np.array_equal(turned, mask.T)
    x = np.array([-100.0, 4.4, 4.6, 100.0])
    assert codec.classes(maps, np.array([3.0]), x).tolist() == [[1, 1, 0, 0]]
    assert codec.classes(maps, np.zeros(0), x).shape == (0, 4)


def test_decoding_against_an_oracle_of_loops() -> None:
    rng = np.random.default_rng(0)
    maps = rng.standard_normal((2, 4, 4, 5)).astype(np.float32)
    (masks,) = MaskCodec(16).decode(maps)
    assert masks.shape == (2, 16, 16)
    for n, y, x in np.ndindex(2, 16, 16):
        v, u = (min(max((c + 0.5) / 4 - 0.5, 0), 3) for c in (y, x))
        i, j = min(int(v), 2), min(int(u), 2)
        a, b = v - i, u - j
        top = (1 - b) * maps[n, i, j].astype(float) + b * maps[n, i, j + 1]
        bottom = (1 - b) * maps[n, i + 1, j].astype(float) + b * maps[n, i + 1, j + 1]
        assert masks[n, y, x] == ((1 - a) * top + a * bottom).argmax()


def test_a_constant_added_to_a_cell_changes_nothing_and_one_cell_will_do() -> None:
    rng = np.random.default_rng(1)
    maps = rng.integers(-8, 8, (4, 4, 3)).astype(np.float32)
    raised = maps + rng.integers(-64, 64, (4, 4, 1)).astype(np.float32)
    codec = MaskCodec(16)
    assert np.array_equal(codec.decode(maps)[0], codec.decode(raised)[0])  # small whole numbers: exact in float32
    assert (MaskCodec(4).decode(np.array([[[1.0, 3.0, 2.0]]]))[0] == 1).all()


def test_confidence_is_that_of_the_parts_and_not_of_the_background() -> None:
    codec = MaskCodec(16)
    maps = np.zeros((2, 4, 4, 3), np.float32)
    maps[..., 0] = 9  # background everywhere, surely
    assert codec.confidence(maps).tolist() == [0, 0]
    maps[1, 0, :2] = [(0, np.log(2), 0), (0, 0, np.log(6))]  # probabilities of a half and of three quarters
    assert codec.confidence(maps) == pytest.approx([0, 0.625])
    assert codec.confidence(maps + 50) == pytest.approx([0, 0.625], abs=1e-5)
    assert codec.confidence(maps[1]) == pytest.approx(0.625)


def test_large_pictures_are_done_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    maps = np.random.default_rng(2).standard_normal((8, 8, 4)).astype(np.float32)
    whole = MaskCodec(32).decode(maps)[0]
    monkeypatch.setattr("hbcore.landmarks.masks.BLOCK", 5)
    assert np.array_equal(MaskCodec(32).decode(maps)[0], whole)


def test_codecs_that_cannot_be() -> None:
    for options in ({"input_size": 30}, {"input_size": 0}, {"input_size": 16, "stride": 0}, {"input_size": "16"}):
        with pytest.raises(ValueError, match="codec: "):
            MaskCodec(**options)  # type: ignore[arg-type]
    assert MaskCodec(32).describe() == {"input_size": 32, "stride": 4}
    with pytest.raises(ValueError, match=r"maps \(8, 8, C\) expected, got \(4, 4, 3\)"):
        MaskCodec(32).decode(np.zeros((4, 4, 3)))
