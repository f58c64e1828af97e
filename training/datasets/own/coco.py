"""COCO keypoints JSON (cocodataset.org, format of the keypoint annotations), with any number of points.

Pixels count from 0 and points are pixel centres. The third number of a point is 0 for unlabelled, 1 for labelled but
hidden, 2 for visible; hidden points count as labelled. Edges count points from 1. Crowds (`iscrowd`) are left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.datasets.annotations import box, field, file_name, load_json, numbers, objects, pixels
from training.datasets.own.labels import LabelFile, Labels, OwnSamples, own_samples
from training.datasets.own.scheme import OwnScheme, check_names, make_scheme
from training.errors import DataError, UserError, unknown


def open_coco(label_file: LabelFile, split: str, category: str | None = None) -> OwnSamples:
    """The samples of one split of `label_file.path`.

    `category` names the category to take where several have keypoints. An instance is named after its picture and,
    behind #, the id of its annotation. Raises DataError, naming file and record, for a file that is not of this
    format, and UserError for a category that is not there or not named.
    """
    content = load_json(label_file.path)
    if not isinstance(content, dict):
        raise DataError(f"{label_file.path}: should hold an object with images, annotations and categories")
    lists = {key: _records(content, key, label_file.path) for key in ("images", "annotations", "categories")}
    chosen = _category(lists["categories"], category, label_file.path)
    scheme = _scheme(chosen, label_file)
    files = _files(lists["images"], label_file.path)
    labels = _labels(lists["annotations"], files, chosen, label_file.path)
    return own_samples("coco", label_file, split, scheme, labels, files.values())


def _records(content: dict[str, Any], key: str, path: Path) -> list[dict[str, Any]]:
    values = field(content, key, f"{path}: the file")
    if not isinstance(values, list):
        raise DataError(f"{path}: {key} should be a list")
    return objects(values, f"{path}: {key}:")


def _category(categories: list[dict[str, Any]], name: str | None, path: Path) -> dict[str, Any]:
    """The one with this name, or the only one with keypoints."""
    able = [category for category in categories if category.get("keypoints")]
    names = [str(category.get("name")) for category in able]
    if not able:
        raise DataError(f"{path}: no category names keypoints")
    if name is not None and name not in names:
        raise UserError(f"{path}: {unknown('category', name, names)}")
    if name is None and len(able) > 1:
        raise UserError(f"{path}: several categories have keypoints: choose one by ?category= {', '.join(names)}")
    found = able[names.index(name) if name is not None else 0]
    _id(found, "id", f"{path}: category {found.get('name')!r}")
    return found


def _scheme(category: dict[str, Any], label_file: LabelFile) -> OwnScheme:
    where = f"{label_file.path}: category {category.get('name')!r}: "
    names = category["keypoints"]
    check_names(names, f"{where}keypoints")
    edges = _pairs(category.get("skeleton") or [], len(names), f"{where}skeleton")
    pairs = category.get("flip_pairs")
    if pairs is not None:
        pairs = _named_pairs(pairs, names, f"{where}flip_pairs")
    sigmas = category.get("sigmas")
    if sigmas is not None:
        sigmas = numbers(sigmas, (len(names),), f"{where}sigmas").tolist()
    return make_scheme(
        str(category.get("name", "coco")), names, f"{where}keypoints", label_file.toml(), edges, pairs, sigmas
    )


def _pairs(values: Any, count: int, what: str) -> list[tuple[int, int]]:
    """Pairs of points that count from 1, as indices."""
    pairs = numbers(values, (len(values), 2), what) if isinstance(values, list) and values else np.zeros((0, 2))
    for a, b in pairs.tolist():
        if not (1 <= a <= count and 1 <= b <= count and a % 1 == b % 1 == 0):
            raise DataError(f"{what}: [{a:g}, {b:g}] should be two of the points 1 to {count}, counted from 1")
    return [(int(a) - 1, int(b) - 1) for a, b in pairs.tolist()]


def _named_pairs(values: Any, names: list[str], what: str) -> list[tuple[int, int]]:
    """Pairs of names, or of numbers that count from 1, as indices."""
    if not isinstance(values, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in values):
        raise DataError(f"{what} should be a list of pairs")
    if not all(isinstance(end, str) for pair in values for end in pair):
        return _pairs(values, len(names), what)
    for name in (end for pair in values for end in pair):
        if name not in names:
            raise DataError(f"{what}: {unknown('point', name, names)}")
    return [(names.index(a), names.index(b)) for a, b in values]


def _id(record: dict[str, Any], key: str, where: str) -> int | str:
    value = field(record, key, where)
    if not isinstance(value, (int, str)):
        raise DataError(f"{where}: {key} should be a whole number or a text")
    return value


def _files(images: list[dict[str, Any]], path: Path) -> dict[int | str, str]:
    """File names by the ids of their pictures."""
    files: dict[int | str, str] = {}
    for index, image in enumerate(images):
        where = f"{path}: images: record {index}"
        number = _id(image, "id", where)
        if number in files:
            raise DataError(f"{where}: the id {number!r} occurs twice")
        files[number] = file_name(field(image, "file_name", where), f"{where}: file_name")
    return files


def _labels(
    annotations: list[dict[str, Any]], files: dict[int | str, str], category: dict[str, Any], path: Path
) -> Labels:
    count = len(category["keypoints"])
    instances = []
    seen: set[int | str] = set()
    for index, annotation in enumerate(annotations):
        where = f"{path}: annotations: record {index}"
        number = _id(annotation, "id", where)
        if number in seen:
            raise DataError(f"{where}: the id {number!r} occurs twice")
        seen.add(number)
        where = f"{where} (id {number})"
        if _id(annotation, "category_id", where) != category["id"] or annotation.get("iscrowd") == 1:
            continue
        image = _id(annotation, "image_id", where)
        if image not in files:
            raise DataError(f"{where}: image_id {image!r} is not among the images")
        instances.append(_instance(annotation, files[image], f"{files[image]}#{number}", count, where))
    if not instances:
        raise DataError(f"{path}: has no annotation of the category {category.get('name')!r}")
    return Labels(
        tuple(instance.file for instance in instances),
        tuple(instance.name for instance in instances),
        np.array([instance.keypoints for instance in instances]),
        np.array([instance.labelled for instance in instances]),
        np.array([instance.box for instance in instances]),
        np.array([instance.area for instance in instances]),
    )


@dataclass(frozen=True, eq=False)
class _Instance:
    file: str
    name: str
    keypoints: NDArray[np.float64]
    labelled: NDArray[np.bool_]
    box: NDArray[np.float64]
    area: float


def _instance(annotation: dict[str, Any], file: str, name: str, count: int, where: str) -> _Instance:
    values = field(annotation, "keypoints", where)
    if not isinstance(values, list) or len(values) != 3 * count:
        size = f"{len(values)}" if isinstance(values, list) else "no list of"
        raise DataError(f"{where}: keypoints: {size} numbers; {count} points need {3 * count}: x, y, flag for each")
    points = pixels(values, (3 * count,), f"{where}: keypoints").reshape(count, 3)
    if not np.isin(points[:, 2], (0, 1, 2)).all():
        raise DataError(
            f"{where}: keypoints: the third number of a point should be 0 (none), 1 (hidden) or 2 (visible)"
        )
    labelled = points[:, 2] > 0
    bounds, area = np.full(4, np.nan), annotation.get("area")
    given = annotation.get("bbox")
    if given and given != [0, 0, 0, 0]:  # how converters say that there is none
        bounds = box(given, f"{where}: bbox")
    if area is not None:
        area = float(numbers(area, (), f"{where}: area"))
        if area < 0:
            raise DataError(f"{where}: area is negative: {area:g}")
    keypoints = np.where(labelled[:, None], points[:, :2], 0.0)
    return _Instance(file, name, keypoints, labelled, bounds, area or np.nan)
