import numpy as np
import pytest

from tests.data_sets import DATA, needs_data
from training.datasets.faces.pts import read_pts
from training.labels.face_skeletons import COFW29, IBUG68, WFLW98, generic
from training.labels.sample import Sample
from training.labels.skeletons import Skeleton
from training.pictures.augmentation import Augmentation

SKELETONS = pytest.mark.parametrize("skeleton", [IBUG68, WFLW98, COFW29], ids=lambda skeleton: skeleton.name)

# As the owners' figures show them: row by row of a face seen from the front, left of the picture to its right.
MIRRORS = {
    "ibug68": [
        range(17), range(17, 27), range(31, 36), (36, 45), (37, 44), (38, 43), (39, 42), (41, 46), (40, 47),
        range(48, 55), (59, 58, 57, 56, 55), range(60, 65), (67, 66, 65),
    ],
    "wflw98": [
        range(33), (33, 34, 35, 36, 37, 42, 43, 44, 45, 46), (41, 40, 39, 38, 50, 49, 48, 47), range(55, 60),
        (60, 72), (61, 71), (62, 70), (63, 69), (64, 68), (67, 73), (66, 74), (65, 75),
        range(76, 83), (87, 86, 85, 84, 83), range(88, 93), (95, 94, 93), (96, 97),
    ],
    "cofw29": [
        (0, 2, 3, 1), (4, 6), (5, 7), (8, 10, 11, 9), (12, 14), (13, 15), (16, 17), (18, 20, 19), (22, 23),
    ],
}  # fmt: skip


@SKELETONS
def test_flip_pairs_are_those_of_the_published_figures(skeleton: Skeleton) -> None:
    expected = set()
    for row in MIRRORS[skeleton.name]:
        expected |= {frozenset(pair) for pair in zip(row, reversed(row), strict=True) if pair[0] != pair[1]}
    assert {frozenset(pair) for pair in skeleton.flip_pairs} == expected


@SKELETONS
def test_a_mirror_maps_the_drawing_onto_itself(skeleton: Skeleton) -> None:
    index = skeleton.flip_index()
    np.testing.assert_array_equal(index[index], np.arange(len(skeleton.keypoints)))
    edges = {frozenset(edge) for edge in skeleton.edges}
    assert {frozenset((int(index[a]), int(index[b]))) for a, b in skeleton.edges} == edges


@SKELETONS
def test_eyes_are_the_eyes(skeleton: Skeleton) -> None:
    assert skeleton.outer_eyes is not None
    assert skeleton.pupils is not None
    assert [skeleton.keypoints[k] for k in skeleton.outer_eyes] == ["right_eye_outer", "left_eye_outer"]
    for side, points in zip(("right", "left"), skeleton.pupils, strict=True):
        names = {skeleton.keypoints[k] for k in points}
        assert names == {f"{side}_pupil"} or (len(names) == 6 and all(n.startswith(f"{side}_eye_") for n in names))


def test_numbers_of_the_mark_ups() -> None:
    assert [len(s.keypoints) for s in (IBUG68, WFLW98, COFW29)] == [68, 98, 29]
    named = {
        "chin": 8,
        "nose_base": 33,
        "upper_lip_top": 51,
        "lower_lip_bottom": 57,
        "right_jaw_1": 0,
        "left_brow_1": 26,
    }
    assert {name: IBUG68.keypoints.index(name) for name in named} == named
    assert (IBUG68.outer_eyes, WFLW98.outer_eyes, COFW29.outer_eyes) == ((36, 45), (60, 72), (8, 9))
    assert COFW29.keypoints.index("chin") == 28


def test_points_of_unknown_order_are_never_mirrored() -> None:
    """Half of all examples are mirrored otherwise, with the wrong labels."""
    skeleton = generic(5)
    assert skeleton.keypoints == ("point_1", "point_2", "point_3", "point_4", "point_5")
    picture = np.zeros((20, 20, 3), np.uint8)
    picture[:, :5] = 255
    joints = np.full((5, 2), 4, np.float32)
    sample = Sample(picture, joints, np.ones(5, np.bool_), (9.5, 9.5), 20, np.nan, "a")
    augmentation = Augmentation(flip=1.0, rotate=0, scale=0, shift=0, colour=0, erase=0)
    example = augmentation.apply(sample, 20, skeleton, np.random.default_rng(0))
    np.testing.assert_array_equal(example.picture, picture)
    np.testing.assert_array_equal(example.keypoints, joints)


@needs_data("300w")
def test_the_mean_of_real_faces_is_its_own_mirror_image() -> None:
    shapes = [read_pts(path, 68) for path in sorted((DATA / "300w").rglob("*.pts"))]
    mean = np.mean([(points - points.mean(axis=0)) / np.ptp(points, axis=0).max() for points in shapes], axis=0)
    mirrored = mean * (-1, 1)
    nearest = np.linalg.norm(mirrored[:, None] - mean, axis=-1).argmin(axis=1)
    np.testing.assert_array_equal(nearest, IBUG68.flip_index())
    right = [k for k, name in enumerate(IBUG68.keypoints) if name.startswith("right_")]
    assert (mean[right, 0] < 0).all()
