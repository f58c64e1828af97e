"""What finders learn from: single instances to train on, whole pictures to test on, pictures without a face."""

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from hbcore.landmarks.finding.sizes import MOST
from training.datasets import open_dataset
from training.datasets.scenes import AFW_TRAIN, FINDER_KINDS
from training.datasets.scenes.faceless import Bodies
from training.datasets.scenes.instances import SIZES, boxes_of
from training.errors import DataError
from training.labels.sample import Sample


def save(path: Path, width: int = 60, height: int = 40) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((height, width, 3), 90, np.uint8)).save(path)


def write_coco(path: Path, faces: dict[str, list[NDArray[np.float64]]], size: tuple[int, int] = (60, 40)) -> None:
    """Faces of three points each."""
    width, height = size
    images = [{"id": k, "file_name": name, "width": width, "height": height} for k, name in enumerate(faces)]
    annotations = []
    for k, points in enumerate(faces.values()):
        for each in points:
            flat = np.column_stack([each, np.full(3, 2)]).ravel().tolist()
            annotations.append({"id": len(annotations), "image_id": k, "category_id": 1, "keypoints": flat})
    category = {"id": 1, "name": "face", "keypoints": ["a", "b", "c"], "skeleton": []}
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": [category]}))


FACE = np.array([[10.0, 12.0], [20.0, 12.0], [15.0, 30.0]])


def test_whole_pictures_have_the_boxes_of_all_in_them(tmp_path: Path) -> None:
    for name in "pq":
        save(tmp_path / "images" / f"{name}.png")
    write_coco(tmp_path / "faces.json", {"p.png": [FACE, FACE + 5], "q.png": [FACE]})
    spec = f"coco:{tmp_path}/faces.json?images={tmp_path}/images&test=1"
    test = open_dataset(spec, "test", FINDER_KINDS)
    assert (len(test), test.skeleton.names) == (2, SIZES.names)
    sample = test.sample(0)
    assert sample.keypoints.shape == (2 * MOST, 2)
    assert boxes_of(sample.keypoints, sample.labelled).tolist() == [[10, 12, 20, 30], [15, 17, 25, 35]]
    assert (sample.center, sample.side) == ((29.5, 19.5), 60.0)  # the whole picture
    train = open_dataset(spec.replace("&test=1", ""), "train", FINDER_KINDS)
    assert len(train) == 3
    assert train.sample(2).keypoints.tolist() == FACE.tolist()


@pytest.fixture
def afw(tmp_path: Path) -> Path:
    """Photographs 000 to 122 with a face each, two of them with two; and the same faces in the folders of 300-W."""
    faces = {f"{k:03d}.jpg": [FACE] * (2 if k in (7, 121) else 1) for k in range(123)}
    for name in faces:
        save(tmp_path / "photos/images" / name)
    write_coco(tmp_path / "photos/faces.json", faces)
    points = "\n".join("10 12" if k % 2 else "30 33" for k in range(68))
    for name in ("lfpw/trainset/a", "helen/trainset/b", "lfpw/testset/t", *(f"afw/{k:03d}_1" for k in range(123))):
        path = tmp_path / "300w" / f"{name}.pts"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"version: 1\nn_points: 68\n{{\n{points}\n}}\n")
        save(path.with_suffix(".jpg"))
    return tmp_path


def test_the_last_photographs_of_afw_are_seen_by_no_training(afw: Path) -> None:
    train, test = (open_dataset(f"afw:{afw}/photos", split, FINDER_KINDS) for split in ("train", "test"))
    assert (len(train), len(test)) == (AFW_TRAIN - 1, 3)  # one has two faces
    names = [test.sample(index).name for index in range(3)]
    assert names == ["120.jpg", "121.jpg", "122.jpg"]
    faces = open_dataset(f"300w:{afw}/300w", "train", FINDER_KINDS)
    assert len(faces) == 2 + AFW_TRAIN
    assert {faces.sample(index).name for index in range(len(faces))} >= {"afw/000_1.pts", "afw/119_1.pts"}
    assert not {faces.sample(index).name for index in range(len(faces))} & {f"afw/{k}_1.pts" for k in (120, 121, 122)}
    assert len(open_dataset(f"300w:{afw}/300w", "test", FINDER_KINDS)) == 1


def test_scenery_has_nothing_in_it() -> None:
    scenery = open_dataset("scenery?length=3&size=64", "test", FINDER_KINDS)
    sample = scenery.sample(1)
    assert (len(scenery), sample.picture.shape, sample.labelled.any()) == (3, (64, 64, 3), False)
    assert np.array_equal(sample.picture, scenery.sample(1).picture)
    assert not np.array_equal(
        sample.picture, open_dataset("scenery?length=3&size=64", "train", FINDER_KINDS).sample(1).picture
    )
    with pytest.raises(DataError, match="no validation split"):
        open_dataset("scenery", "val", FINDER_KINDS)


class People:
    """Heads at the top of pictures of 100 x 150, ten pixels high, from (50, 30) to (50, 20)."""

    split = "train"
    labelled = np.ones((2, 14), np.bool_)

    def sample(self, index: int) -> Sample:
        picture = np.zeros((150, 100, 3), np.uint8)
        picture[..., 0] = np.arange(150)[:, None]
        joints = np.full((14, 2), 75, np.float32)
        joints[12:] = (50, 30), (50, 20)
        return Sample(picture, joints, self.labelled[index], (50, 75), 150, np.nan, f"im{index}")


def test_of_people_the_largest_part_without_a_head() -> None:
    """A head reaches 12 pixels around both ends of it: to row 42. Below there is more room than beside."""
    people = People()
    people.labelled = np.array([[True] * 14, [True] * 12 + [True, False]])
    bodies = Bodies(people)  # type: ignore[arg-type]
    assert len(bodies) == 1
    part = bodies.sample(0).picture
    assert part.shape == (108, 100, 3)
    assert part[0, 0, 0] == 42


def test_beside_the_labelled_there_are_pieces_of_a_size(tmp_path: Path) -> None:
    """A face from (100, 110) to (140, 150) in 400 x 200: 30 pixels around it, left 70 wide, below only 20 high."""
    corners = np.array([[100.0, 110.0], [140.0, 110.0], [140.0, 150.0]])
    save(tmp_path / "images/p.png", 400, 200)
    write_coco(tmp_path / "faces.json", {"p.png": [corners]}, (400, 200))
    pieces = open_dataset(f"afw-beside:{tmp_path}", "train", FINDER_KINDS)
    shapes = [pieces.sample(index).picture.shape for index in range(len(pieces))]
    assert shapes == [(80, 400, 3), (200, 70, 3), (200, 230, 3)]
    with pytest.raises(DataError, match="has no test split"):
        open_dataset(f"afw-beside:{tmp_path}", "test", FINDER_KINDS)
