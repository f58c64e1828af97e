"""The three files in which people keep the labels of MPII Human Pose, brought to one form.

All of them count pixels from 1, as MATLAB does, and list the joints in the order of `skeletons.MPII`. A joint
counts as labelled whether it is visible or hidden. What each file leaves out, its reader says.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.datasets.annotations import field, file_name, load_json_records, load_mat, numbers
from training.errors import DataError
from training.labels.skeletons import MPII

RELEASE_FILE = "mpii_human_pose_v1_u12_1.mat"
HRNET_FILES = {"train": "train.json", "test": "valid.json"}
HRNET_HEADS_FILE = "gt_valid.mat"
HOURGLASS_FILE = "mpii_annotations.json"
_JOINTS = len(MPII.keypoints)


@dataclass(frozen=True, eq=False)
class MpiiLabels:
    """N labelled persons, 0-based. `source` says which files and which rules they come from."""

    source: str
    files: tuple[str, ...]  # below images/
    names: tuple[str, ...]
    keypoints: NDArray[np.float32]  # (N, 16, 2), (0, 0) where not labelled
    labelled: NDArray[np.bool_]  # (N, 16)
    position: NDArray[np.float64]  # (N, 2), roughly the middle of the body
    scale: NDArray[np.float64]  # (N,), body height / 200 pixels
    head_size: NDArray[np.float64]  # (N,), pixels, nan where there is no head box


@dataclass(eq=False)
class _Instance:
    """One person as the files have it: 1-based."""

    file: str
    name: str
    keypoints: NDArray[np.float64]
    labelled: NDArray[np.bool_]
    position: NDArray[np.float64]
    scale: float
    head_size: float = np.nan


def read_release(path: Path, split: str) -> MpiiLabels:
    """The official MATLAB file, struct RELEASE (Andriluka et al., 2014).

    Of the pictures with `img_train` set, as no others have public labels, it takes the persons that
    `single_person` lists as sufficiently separated and that have a scale, a position and at least one joint.
    The official file knows no validation set: here, the split "test" is every ninth video (`vididx` divisible
    by 9), and "train" is all others with the few pictures of unknown video. By videos, and not by pictures,
    because pictures of one video show the same people in the same place.

    Head size is 0.6 times the diagonal of the head box.
    """
    release = next(iter(np.ravel(load_mat(path, "RELEASE")["RELEASE"])), None)
    pictures, training, single = (_items(release, key) for key in ("annolist", "img_train", "single_person"))
    if not pictures:
        raise DataError(f"{path}: RELEASE has no annolist")
    if not len(pictures) == len(training) == len(single):
        raise DataError(
            f"{path}: RELEASE.annolist, img_train and single_person differ in length: "
            f"{len(pictures)}, {len(training)} and {len(single)}"
        )
    instances: list[_Instance] = []
    for index in np.flatnonzero(numbers(training, (len(pictures),), f"{path}: img_train") == 1):
        where = f"{path}: annolist({index + 1})"
        video = _number(f"{where}.vididx", pictures[index], "vididx")
        in_test = video is not None and video % 9 == 0
        if in_test == (split == "test"):
            instances += _release_instances(where, pictures[index], single[index])
    part = "vididx % 9 = 0" if split == "test" else "all but vididx % 9 = 0"
    return _labels(path, f"{path.name}, training pictures, videos {part}, single persons", instances)


def _release_instances(where: str, picture: Any, ids: Any) -> Iterable[_Instance]:
    file = file_name(_first(picture, "image", "name"), f"{where}.image.name")
    rects = _items(picture, "annorect")
    for number in numbers(ids, np.shape(ids), f"{where}: single_person").ravel().tolist():
        rect_where = f"{where}.annorect({number:g})"
        if number not in range(1, len(rects) + 1):
            raise DataError(f"{rect_where}: single_person lists it, but there are {len(rects)}")
        rect = rects[int(number) - 1]
        scale = _number(f"{rect_where}.scale", rect, "scale")
        x, y = (_number(f"{rect_where}.objpos.{axis}", rect, "objpos", axis) for axis in "xy")
        points = _items(_first(rect, "annopoints"), "point")
        rows = [[_first(point, key) for key in ("id", "x", "y")] for point in points]
        rows = [row for row in rows if None not in row]
        if scale is None or x is None or y is None or not rows:
            continue
        joints = np.zeros((_JOINTS, 2))
        labelled = np.zeros(_JOINTS, np.bool_)
        for joint, *point in numbers(rows, (len(rows), 3), f"{rect_where}: a point").tolist():
            if joint not in range(_JOINTS):
                raise DataError(f"{rect_where}: joint id {joint:g} is not one of 0..{_JOINTS - 1}")
            joints[int(joint)] = point
            labelled[int(joint)] = True
        head = [_number(f"{rect_where}.{key}", rect, key) for key in ("x1", "y1", "x2", "y2")]
        yield _Instance(
            *(file, f"{file}#{int(number)}", joints, labelled, np.array([x, y]), scale),
            head_size=np.nan if None in head else _head_size(np.reshape(np.array(head, np.float64), (2, 2))),
        )


def read_hrnet(folder: Path, split: str) -> MpiiLabels:
    """train.json or valid.json, the community's split of the training pictures, in the layout of HRNet.

    A list of persons with `image`, `center`, `scale`, `joints` (16, 2) and `joints_vis` (16), 1 = labelled.
    Head boxes are in another file, gt_valid.mat, under `headboxes_src` (2, 2, N), for valid.json alone; they
    are taken if the file is there and its joints, `pos_gt_src` (16, 2, N), show that it lists the same
    persons.
    """
    path = folder / HRNET_FILES[split]
    instances = []
    for index, record in enumerate(load_json_records(path)):
        where = f"{path}: record {index}"
        file = file_name(field(record, "image", where), f"{where}: image")
        joints = numbers(field(record, "joints", where), (_JOINTS, 2), f"{where}: joints")
        visible = numbers(field(record, "joints_vis", where), (_JOINTS,), f"{where}: joints_vis")
        position = numbers(field(record, "center", where), (2,), f"{where}: center")
        scale = numbers(field(record, "scale", where), (), f"{where}: scale")
        instances.append(_Instance(file, f"{file}#{index}", joints, visible > 0, position, float(scale)))
    heads = folder / HRNET_HEADS_FILE
    if split == "test" and heads.is_file():
        _add_heads(heads, instances)
    return _labels(path, f"{path.name} (community split)", instances)


def _add_heads(path: Path, instances: list[_Instance]) -> None:
    content = load_mat(path, "headboxes_src", "pos_gt_src")
    boxes = numbers(content["headboxes_src"], (2, 2, len(instances)), f"{path}: headboxes_src")
    theirs = np.asarray(content["pos_gt_src"])
    shape = (_JOINTS, 2, len(instances))
    if theirs.shape != shape or theirs.dtype.kind not in "fiu":
        raise DataError(f"{path}: pos_gt_src should be numbers of shape {shape}, not {theirs.shape}")
    for index, instance in enumerate(instances):
        # A median, as the files may differ in a joint; a person out of order is off by hundreds of pixels.
        offsets = np.linalg.norm(theirs[..., index] - instance.keypoints, axis=-1)[instance.labelled]
        if offsets.size and not np.median(offsets) < 2:
            raise DataError(f"{path}: person {index} is another than in {HRNET_FILES['test']}; get both anew")
        instance.head_size = _head_size(boxes[..., index])


def read_hourglass(path: Path, split: str) -> MpiiLabels:
    """mpii_annotations.json, the community's split in the layout of the PyTorch ports of the hourglass.

    A list of persons with `img_paths`, `objpos`, `scale_provided`, `joint_self` (16, 3) and `isValidation`. A
    joint that is not labelled has no positive coordinate, usually (0, 0); the third number tells visible from
    hidden and is not used. The file has no head boxes, so there is no head size.
    """
    instances = []
    for index, record in enumerate(load_json_records(path)):
        where = f"{path}: record {index}"
        validation = numbers(field(record, "isValidation", where), (), f"{where}: isValidation")
        if (validation != 0) != (split == "test"):
            continue
        file = file_name(field(record, "img_paths", where), f"{where}: img_paths")
        joints = numbers(field(record, "joint_self", where), (_JOINTS, 3), f"{where}: joint_self")[:, :2]
        position = numbers(field(record, "objpos", where), (2,), f"{where}: objpos")
        scale = numbers(field(record, "scale_provided", where), (), f"{where}: scale_provided")
        labelled = np.asarray((joints > 0).any(axis=1))
        instances.append(_Instance(file, f"{file}#{index}", joints, labelled, position, float(scale)))
    return _labels(path, f"{path.name} (community split)", instances)


def _labels(path: Path, source: str, instances: list[_Instance]) -> MpiiLabels:
    if not instances:
        raise DataError(f"{path}: holds no labelled person of this split")
    for instance in instances:
        if not instance.scale > 0:
            raise DataError(f"{path}: person {instance.name}: scale {instance.scale} is not positive")
    labelled = np.array([instance.labelled for instance in instances])
    joints = np.array([instance.keypoints for instance in instances])
    return MpiiLabels(
        source,
        tuple(instance.file for instance in instances),
        tuple(instance.name for instance in instances),
        np.where(labelled[..., None], joints - 1, 0).astype(np.float32),
        labelled,
        np.array([instance.position for instance in instances]) - 1,
        np.array([instance.scale for instance in instances]),
        np.array([instance.head_size for instance in instances]),
    )


def _head_size(box: NDArray[np.float64]) -> float:
    """From two opposite corners (2, 2); nan for a box without extent, which stands for no box."""
    diagonal = float(np.linalg.norm(box[1] - box[0]))
    return 0.6 * diagonal if diagonal > 0 else np.nan


# In MATLAB everything is an array, and a field that is empty or missing in one struct is filled in the next.


def _items(struct: Any, name: str) -> list[Any]:
    return list(np.ravel(getattr(struct, name, ())))


def _first(struct: Any, *fields: str) -> Any:
    for name in fields:
        items = _items(struct, name)
        if not items:
            return None
        struct = items[0]
    return struct


def _number(what: str, struct: Any, *fields: str) -> float | None:
    value = _first(struct, *fields)
    # As float at once: small whole numbers come as 8-bit integers, which would overflow in arithmetic.
    return None if value is None else float(numbers(value, (), what))
