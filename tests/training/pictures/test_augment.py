"""Augmentation: labels follow the picture, and the random numbers can be replayed."""

import math
from itertools import pairwise

import numpy as np
import pytest

from hbcore.landmarks.crop import Crop
from training.labels.face_skeletons import generic
from training.labels.sample import Sample
from training.labels.skeletons import LSP, MPII
from training.pictures.augmentation import Augmentation, Draws, plain

SIZE = 128
FOUND = 0.5  # input pixels: the centre of gravity of a small blob, after interpolation and rounding to uint8
FLOAT32 = 1e-3  # input pixels
LEFT_WRIST, RIGHT_WRIST = MPII.keypoints.index("left_wrist"), MPII.keypoints.index("right_wrist")


def sample(seed: int = 0, height: int = 190, width: int = 230) -> Sample:
    rng = np.random.default_rng(seed)
    labelled = np.ones(16, dtype=bool)
    labelled[[0, 4]] = False
    joints = rng.uniform(20, 170, (16, 2)).astype(np.float32)
    joints[~labelled] = 0
    picture = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Sample(picture, joints, labelled, (110.0, 90.0), 180.0, 25.0, "test")


def with_dot(seed: int) -> Sample:
    """A dark picture with a bright blob at the left wrist."""
    base = sample(seed)
    x, y = np.random.default_rng(seed).uniform(50, 140, 2)
    rows, columns = np.mgrid[: base.picture.shape[0], : base.picture.shape[1]]
    blob = 255 * np.exp(-0.5 * ((columns - x) ** 2 + (rows - y) ** 2) / 3.0**2)
    joints = base.keypoints.copy()
    joints[LEFT_WRIST] = x, y
    picture = np.repeat(blob.round().astype(np.uint8)[:, :, None], 3, axis=2)
    return Sample(picture, joints, base.labelled, base.center, base.side, base.head_size, base.name)


@pytest.mark.parametrize(("flip", "index"), [(0.0, LEFT_WRIST), (1.0, RIGHT_WRIST)])
def test_labels_follow_the_picture(flip: float, index: int) -> None:
    augmentation = Augmentation(flip=flip, rotate=30, scale=0.25, shift=0.1, colour=0, erase=0)
    checked = 0
    for seed in range(60):
        picture, joints, labelled, _ = augmentation.apply(with_dot(seed), SIZE, MPII, np.random.default_rng(seed))
        x, y = joints[index]
        assert labelled[index]
        if not (12 < x < SIZE - 13 and 12 < y < SIZE - 13):  # the blob is cut by the border
            continue
        light = picture[:, :, 0].astype(float)
        rows, columns = np.mgrid[:SIZE, :SIZE]
        assert abs((light * columns).sum() / light.sum() - x) < FOUND
        assert abs((light * rows).sum() / light.sum() - y) < FOUND
        checked += 1
    assert checked > 40


def test_a_mirror_swaps_left_and_right() -> None:
    someone = sample()
    straight = Augmentation.none().apply(someone, SIZE, MPII, np.random.default_rng(0))
    mirror = Augmentation(1, 0, 0, 0, 0, 0).apply(someone, SIZE, MPII, np.random.default_rng(0))
    assert np.array_equal(mirror[0], straight[0][:, ::-1])
    for name in MPII.keypoints:
        other = name.replace("left", "R").replace("right", "left").replace("R", "right")
        k, m = MPII.keypoints.index(name), MPII.keypoints.index(other)
        assert mirror[2][m] == straight[2][k] == someone.labelled[k]
        if someone.labelled[k]:
            assert mirror[1][m] == pytest.approx([SIZE - 1 - straight[1][k][0], straight[1][k][1]], abs=FLOAT32)


@pytest.mark.parametrize("scale", [0.0, 0.5])
def test_labels_of_a_mirrored_picture_move_right_by_a_share_of_the_side(scale: float) -> None:
    """0.02 of 180 pixels of the picture, however large the crop is. The picture itself stays where it is."""
    someone = sample()
    usual, moved = (
        Augmentation(1, 0, scale, 0.1, 0, 0, shift).apply(someone, SIZE, MPII, np.random.default_rng(3))
        for shift in (0.0, 0.02)
    )
    assert np.array_equal(usual[0], moved[0])
    # Left and right have changed places in the result, and the vertical is as it was: it tells the zoom.
    a, b = (MPII.keypoints.index(name) for name in ("left_elbow", "left_wrist"))
    c, d = (MPII.keypoints.index(name) for name in ("right_elbow", "right_wrist"))
    zoom = (usual[1][c] - usual[1][d])[1] / (someone.keypoints[a] - someone.keypoints[b])[1]
    step = (moved[1] - usual[1])[usual[2]]
    assert step[:, 0] == pytest.approx(0.02 * 180 * zoom, abs=FLOAT32)
    assert abs(step[:, 1]).max() < FLOAT32
    assert zoom == pytest.approx(SIZE / 180) if not scale else abs(zoom - SIZE / 180) > 0.01


def test_labels_of_a_picture_that_is_not_mirrored_stay() -> None:
    for flip, skeleton in ((0.0, MPII), (1.0, generic(16))):  # of the latter no mirror is known
        same, plain_ = (
            Augmentation(flip, 0, 0, 0, 0, 0, shift).apply(sample(), SIZE, skeleton, np.random.default_rng(3))
            for shift in (0.02, 0.0)
        )
        assert all(np.array_equal(x, y) for x, y in zip(same[:3], plain_[:3], strict=True))


def test_none_is_the_plain_crop_of_the_data_set() -> None:
    someone = sample()
    picture, joints, labelled, _ = plain(someone, SIZE)
    assert np.array_equal(picture, Crop(someone.center, someone.side, SIZE).extract(someone.picture))
    # The square of side 180 around (110, 90) begins at (20, 0); its edge maps to -0.5.
    expected = (someone.keypoints - [20, 0]) * SIZE / 180 - 0.5
    assert np.abs(joints - expected)[someone.labelled].max() < FLOAT32
    for seed in range(5):
        sampled = Augmentation.none().apply(someone, SIZE, MPII, np.random.default_rng(seed))
        assert all(np.array_equal(a, b) for a, b in zip(sampled, (picture, joints, labelled, None), strict=True))


def test_types_and_unlabelled_joints() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        picture, joints, labelled, _ = Augmentation().apply(sample(), SIZE, MPII, rng)
        assert (picture.dtype, picture.shape) == (np.uint8, (SIZE, SIZE, 3))
        assert (joints.dtype, joints.shape) == (np.float32, (16, 2))
        assert (labelled.dtype, labelled.shape) == (np.bool_, (16,))
        assert labelled.sum() == 14
        assert not joints[~labelled].any()


def test_a_joint_that_leaves_the_crop_stays_labelled_at_its_place() -> None:
    someone = sample()
    away = someone.keypoints.copy()
    away[LEFT_WRIST] = 500, -40
    someone = Sample(someone.picture, away, someone.labelled, (110.0, 90.0), 180.0, 25.0, "test")
    _, joints, labelled, _ = Augmentation(0, 0, 0, 0, 0, 0).apply(someone, SIZE, MPII, np.random.default_rng(0))
    assert labelled[LEFT_WRIST]
    assert joints[LEFT_WRIST] == pytest.approx([480 * SIZE / 180 - 0.5, -40 * SIZE / 180 - 0.5], abs=FLOAT32)


def test_the_same_seed_gives_the_same_bytes_and_leaves_the_sample_alone() -> None:
    someone = sample()
    before = someone.picture.copy(), someone.keypoints.copy(), someone.labelled.copy()
    for array in (someone.picture, someone.keypoints, someone.labelled):
        array.flags.writeable = False
    for seed in range(10):
        a = Augmentation().apply(someone, SIZE, MPII, np.random.default_rng(seed))
        b = Augmentation().apply(someone, SIZE, MPII, np.random.default_rng(seed))
        assert all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))
        a[0][:], a[1][:], a[2][:] = 0, 0, False  # the results are the caller's own
    after = someone.picture, someone.keypoints, someone.labelled
    assert all(np.array_equal(x, y) for x, y in zip(before, after, strict=True))


@pytest.mark.parametrize(
    "augmentation",
    [Augmentation(), Augmentation.none(), Augmentation(1, 60, 0.5, 0.3, 1, 1), Augmentation(erase=0)],
)
def test_a_sample_takes_a_fixed_number_of_random_values(augmentation: Augmentation) -> None:
    for seed in range(20):
        used, counted = np.random.default_rng(seed), np.random.default_rng(seed)
        augmentation.apply(sample(), SIZE, MPII, used)
        for _ in Draws._fields:
            counted.random()
        assert used.bit_generator.state == counted.bit_generator.state


def poses(augmentation: Augmentation, count: int = 400) -> np.ndarray:
    """Sampled places (count, 2, 2) of two joints: the middle of the crop, and 45 pixels to its right."""
    joints = np.zeros((16, 2), np.float32)
    joints[8], joints[9] = (110, 90), (155, 90)
    someone = Sample(np.zeros((8, 8, 3), np.uint8), joints, np.ones(16, bool), (110.0, 90.0), 180.0, 25.0, "test")
    rng = np.random.default_rng(0)
    return np.stack([augmentation.apply(someone, 16, MPII, rng)[1][8:10] for _ in range(count)])


def test_rotation_is_rare_enough_centred_and_cut() -> None:
    places = poses(Augmentation(0, 20, 0, 0, 0, 0))
    arm = places[:, 1] - places[:, 0]
    degrees = np.degrees(np.arctan2(arm[:, 1], arm[:, 0]))
    turned = np.abs(degrees) > 1e-3
    assert 0.5 < turned.mean() < 0.7  # 0.6, four standard errors of 0.024
    assert np.abs(degrees).max() <= 40 + 1e-3
    assert 15 < degrees[turned].std() < 23  # 20, less what the cut takes
    assert abs(degrees[turned].mean()) < 5
    assert np.abs(places[:, 0] - 7.5).max() < FLOAT32  # about the middle of the crop


def test_size_varies_by_powers_of_two_and_is_cut() -> None:
    places = poses(Augmentation(0, 0, 0.25, 0, 0, 0))
    octaves = np.log2((places[:, 1] - places[:, 0])[:, 0] / (45 * 16 / 180))
    assert np.abs(octaves).max() <= 0.5 + 1e-5
    assert 0.2 < octaves.std() < 0.28
    assert abs(octaves.mean()) < 0.05


def test_shift_is_uniform_within_its_share_of_the_side() -> None:
    moved = (poses(Augmentation(0, 0, 0, 0.1, 0, 0))[:, 0] - 7.5) / 16
    assert np.abs(moved).max() <= 0.1 + 1e-5
    assert (moved.max(axis=0) > 0.095).all()
    assert (moved.min(axis=0) < -0.095).all()
    assert abs(np.corrcoef(moved.T)[0, 1]) < 0.2


def test_a_mirror_is_as_frequent_as_asked() -> None:
    right = poses(Augmentation(0.3, 0, 0, 0, 0, 0))
    # Joints 8 and 9 have no partner: a mirror shows in the direction of the arm.
    assert 0.2 < (right[:, 1, 0] < right[:, 0, 0]).mean() < 0.4


def test_colour_changes_levels_only_and_stays_in_range() -> None:
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2).repeat(256, axis=0)
    someone = Sample(ramp, np.zeros((16, 2), np.float32), np.ones(16, bool), (127.5, 127.5), 256.0, 25.0, "test")
    changed = 0
    for seed in range(30):
        picture, joints, _, _ = Augmentation(0, 0, 0, 0, 0.4, 0).apply(someone, 256, MPII, np.random.default_rng(seed))
        assert picture.dtype == np.uint8
        assert (picture == picture[:1]).all()  # equal levels stay equal
        levels = picture[0].astype(int)
        assert (np.diff(levels, axis=0) >= 0).all()  # and darker stays darker: no value wraps around
        assert (np.diff(levels, axis=0) <= 2).all()  # 1.4 * 1.4 levels per level at most
        assert np.abs(joints).max() < 1
        changed += bool((levels != np.arange(256)[:, None]).any())
    assert changed == 30


def test_erasing_fills_one_rectangle_and_never_touches_labels() -> None:
    someone = sample()
    shares = []
    for seed in range(60):
        kept = Augmentation(erase=0).apply(someone, SIZE, MPII, np.random.default_rng(seed))
        erased = Augmentation(erase=1).apply(someone, SIZE, MPII, np.random.default_rng(seed))
        assert np.array_equal(kept[1], erased[1])
        assert np.array_equal(kept[2], erased[2])
        differs = (kept[0] != erased[0]).any(axis=2)
        rows, columns = np.flatnonzero(differs.any(axis=1)), np.flatnonzero(differs.any(axis=0))
        top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
        inside = erased[0][top:bottom, left:right].reshape(-1, 3)
        assert (inside == inside[0]).all()
        shares.append((bottom - top) * (right - left) / SIZE**2)
        assert 1 / 3.3 < (bottom - top) / (right - left) < 3.3
    assert 0.015 < min(shares) < 0.05
    assert 0.15 < max(shares) < 0.21


def test_erasing_is_as_frequent_as_asked() -> None:
    someone = sample(width=40, height=40)
    someone = Sample(someone.picture, someone.keypoints, someone.labelled, (20.0, 20.0), 40.0, 25.0, "test")
    rng = np.random.default_rng(0)
    original = plain(someone, 32)[0]
    changed = [
        bool((Augmentation(0, 0, 0, 0, 0, 0.25).apply(someone, 32, MPII, rng)[0] != original).any()) for _ in range(400)
    ]
    assert 0.16 < np.mean(changed) < 0.34  # 0.25, four standard errors of 0.022


def test_examples_differ() -> None:
    rng = np.random.default_rng(0)
    pictures = [Augmentation().apply(sample(), SIZE, MPII, rng)[0] for _ in range(5)]
    assert all((a != b).any() for a, b in pairwise(pictures))


def test_a_skeleton_of_other_joints_is_refused() -> None:
    with pytest.raises(ValueError, match="test has 16 keypoints, lsp 14"):
        Augmentation().apply(sample(), SIZE, LSP, np.random.default_rng(0))


@pytest.mark.parametrize("field", ["flip", "rotate", "scale", "shift", "colour", "erase", "mirror_shift"])
@pytest.mark.parametrize("value", [-0.1, 200.0, math.nan, math.inf])
def test_fields_out_of_range_are_refused(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"augmentation: {field} must lie in"):
        Augmentation(**{field: value})
