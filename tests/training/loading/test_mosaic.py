"""Scenes: boxes lie around what was pasted, and a scene depends on its number alone."""

import numpy as np
import pytest

from hbcore.landmarks.finding.sizes import MOST
from training.datasets.scenes.instances import SIZES, boxes_of
from training.labels.sample import Sample
from training.loading.concatenated import ConcatenatedDataset
from training.loading.mosaic import LARGEST, SMALLEST, MosaicPlan, paste
from training.pictures.augmentation import Augmentation


class Flat:
    """Pictures of one colour; those with an instance have a square of 40 white pixels, its corners the points."""

    skeleton, split, protocol = SIZES, "train", ""

    def __init__(self, name: str, faceless: bool) -> None:
        self.name, self.faceless = name, faceless

    def __len__(self) -> int:
        return 5

    def sample(self, index: int) -> Sample:
        picture = np.zeros((80, 90, 3), np.uint8)
        picture[..., 2] = 90
        points = np.zeros((0, 2), np.float32)
        if not self.faceless:
            picture[20:60, 25:65] = 255
            points = np.array([(25, 20), (64, 20), (64, 59), (25, 59)], np.float32)
        return Sample(picture, points, np.ones(len(points), np.bool_), (45, 40), 60.0, np.nan, f"{self.name}{index}")


def plan(batch_size: int = 2, augmentation: Augmentation | None = None) -> MosaicPlan:
    data = ConcatenatedDataset([Flat("a", False), Flat("b", True)])
    return MosaicPlan(data, augmentation or Augmentation.none(), 128, batch_size, 3)


def test_boxes_lie_around_what_is_white() -> None:
    for step in range(3):
        batch = plan().batch(step)
        assert batch.pictures.shape == (2, 128, 128, 3)
        for picture, points, labelled in zip(batch.pictures, batch.keypoints, batch.labelled, strict=True):
            assert points.shape == (2 * MOST, 2)
            boxes = boxes_of(points, labelled)
            assert len(boxes)
            sizes = (boxes[:, 2:] - boxes[:, :2]).max(axis=1)
            assert sizes.min() > 0.9 * SMALLEST - 1
            assert sizes.max() < LARGEST * 128 + 2
            white = picture.min(axis=2) > 128
            for x0, y0, x1, y1 in np.rint(boxes).astype(int):
                middle = white[(y0 + y1) // 2 - 2 : (y0 + y1) // 2 + 3, (x0 + x1) // 2 - 2 : (x0 + x1) // 2 + 3]
                assert middle.all()
            inside = np.zeros_like(white)
            for x0, y0, x1, y1 in np.rint(boxes).astype(int):
                inside[max(0, y0 - 2) : y1 + 3, max(0, x0 - 2) : x1 + 3] = True
            assert not (white & ~inside).any()


def test_a_scene_depends_on_its_number_alone() -> None:
    changes = Augmentation(0.5, 15.0, 0.05, 0.02, 0.25, 0.1)
    two, one = plan(2, changes).batch(1), plan(1, changes).batch(3)
    assert np.array_equal(two.pictures[1], one.pictures[0])
    assert np.array_equal(two.keypoints[1], one.keypoints[0])
    assert not np.array_equal(two.pictures[0], two.pictures[1])
    assert plan(5).places(0, 0, 2) == [0, 2, 4]
    assert plan(5).places(7, 1, 2) == [1, 3]


def test_a_tile_is_cut_where_the_scene_ends() -> None:
    scene, tile = np.zeros((20, 20, 3), np.uint8), np.full((10, 10, 3), 200, np.uint8)
    paste(scene, tile, np.array([-4.0, 15.0]), np.random.default_rng(0))
    assert scene[16:20, :3].min() > 100  # the middle of the tile, from its row 1 and column 4 on
    assert not scene[:15].any()
    assert not scene[:, 6:].any()


def test_without_pictures_of_nothing_any_will_do() -> None:
    data = ConcatenatedDataset([Flat("a", False)])
    batch = MosaicPlan(data, Augmentation.none(), 64, 1, 0).batch(0)
    assert batch.labelled.any()


@pytest.mark.parametrize("seed", range(3))
def test_labelled_boxes_are_not_covered(seed: int) -> None:
    batch = MosaicPlan(
        ConcatenatedDataset([Flat("a", False), Flat("b", True)]), Augmentation.none(), 96, 1, seed
    ).batch(0)
    boxes = boxes_of(batch.keypoints[0], batch.labelled[0])
    for index, (a, b, c, d) in enumerate(boxes):
        others = np.delete(boxes, index, axis=0)
        apart = (others[:, 2] < a) | (others[:, 0] > c) | (others[:, 3] < b) | (others[:, 1] > d)
        assert apart.all()
