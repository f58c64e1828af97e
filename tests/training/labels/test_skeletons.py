import numpy as np
import pytest

from training.labels.skeletons import LSP, MPII, Skeleton

SKELETONS = pytest.mark.parametrize("skeleton", [MPII, LSP], ids=lambda skeleton: skeleton.name)


@SKELETONS
def test_a_mirror_swaps_the_sides_by_name(skeleton: Skeleton) -> None:
    swap = {"left": "right", "right": "left"}
    for joint, mirrored in zip(skeleton.keypoints, skeleton.flip_index(), strict=True):
        side, _, part = joint.partition("_")
        expected = f"{swap[side]}_{part}" if side in swap else joint
        assert skeleton.keypoints[mirrored] == expected


@SKELETONS
def test_a_mirror_maps_the_drawing_onto_itself_and_twice_is_nothing(skeleton: Skeleton) -> None:
    index = skeleton.flip_index()
    edges = {frozenset(edge) for edge in skeleton.edges}
    assert {frozenset((int(index[a]), int(index[b]))) for a, b in skeleton.edges} == edges
    np.testing.assert_array_equal(index[index], np.arange(len(skeleton.keypoints)))
    assert {joint for edge in edges for joint in edge} == set(range(len(skeleton.keypoints)))  # all are drawn


@SKELETONS
def test_the_pairs_of_the_metrics_are_those_they_are_called(skeleton: Skeleton) -> None:
    assert [skeleton.keypoints[joint] for joint in skeleton.torso] == ["left_shoulder", "right_hip"]
    assert skeleton.head is not None
    assert [skeleton.keypoints[joint].removeprefix("upper_") for joint in skeleton.head] == ["neck", "head_top"]


def test_the_orders_of_the_annotation_files() -> None:
    assert len(MPII.keypoints) == 16
    assert [MPII.keypoints.index(name) for name in ("right_ankle", "pelvis", "head_top", "left_wrist")] == [
        0,
        6,
        9,
        15,
    ]
    assert len(LSP.keypoints) == 14
    assert [LSP.keypoints.index(name) for name in ("right_ankle", "right_wrist", "neck", "head_top")] == [
        0,
        6,
        12,
        13,
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "toy\n"}, "skeleton 'toy\\n': a name is missing, or no text in one line"),
        ({"keypoints": ("a", "b", "")}, "skeleton 'toy': a name is missing, or no text in one line"),
        ({"keypoints": ("a", 2, "c")}, "skeleton 'toy': a name is missing, or no text in one line"),
        ({"edges": ((0, 3),)}, "skeleton toy: a pair names a keypoint outside 0..2"),
        ({"torso": (-1, 0)}, "skeleton toy: a pair names a keypoint outside 0..2"),
        ({"pupils": ((0,), (1, 3))}, "skeleton toy: a pair names a keypoint outside 0..2"),
        ({"keypoints": ("a", "a", "b")}, "skeleton toy: a keypoint name occurs twice"),
        ({"flip_pairs": ((0, 1), (1, 2))}, "skeleton toy: a keypoint stands in two flip pairs"),
        ({"sigmas": (0.1, 0.1)}, "skeleton toy: 2 sigmas for 3 keypoints"),
        ({"sigmas": (0.1, 0.1, 0.0)}, "skeleton toy: a sigma is not positive"),
        ({"sigmas": (0.1, 0.1, float("inf"))}, "skeleton toy: a sigma is not positive"),
    ],
)
def test_a_skeleton_that_contradicts_itself_is_refused(change: dict[str, object], message: str) -> None:
    good: dict[str, object] = {
        "name": "toy",
        "keypoints": ("a", "b", "c"),
        "edges": ((0, 1),),
        "flip_pairs": ((0, 1),),
        "head": None,
        "torso": (0, 2),
    }
    Skeleton(**good)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="toy") as caught:
        Skeleton(**(good | change))  # type: ignore[arg-type]
    assert str(caught.value) == message


@pytest.mark.parametrize(
    "change",
    [
        {"joints": "abc"},
        {"joints": [1, 2, 3]},
        {"edges": [[0, float("inf")]]},
        {"edges": [[0, float("nan")]]},
        {"edges": [[0, 0.5]]},
        {"edges": [[0, True]]},
        {"edges": ["01"]},
        {"edges": ""},
        {"edges": [[0, 1, 2]]},
        {"edges": None},
        {"torso": ""},
        {"torso": [0]},
        {"pupils": ""},
        {"pupils": [[0]]},
        {"pupils": [[0], [1], [2]]},
        {"pupils": [0, 1]},
        {"sigmas": ""},
        {"sigmas": [1, 1, "1"]},
        {"sigmas": [1, 1, 10**400]},
        {"sigmas": [1, 1, float("nan")]},
    ],
)
def test_values_of_a_file_that_are_no_skeleton(change: dict[str, object]) -> None:
    good = Skeleton("toy", ("a", "b", "c"), ((0, 1),), (), torso=(0, 2), sigmas=(1, 2, 3)).to_dict()
    assert Skeleton.from_dict(good).keypoints == ("a", "b", "c")
    with pytest.raises(ValueError, match=r"expected|positive"):
        Skeleton.from_dict(good | change)
