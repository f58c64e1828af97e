"""COCO keypoints JSON (cocodataset.org, format of the keypoint annotations), with any number of points.

Pixels count from 0 and points are pixel centres. The third number of a point is 0 for unlabelled, 1 for labelled but
hidden, 2 for visible; hidden points count as labelled, but none at exactly (0, 0), where tools put what is missing.
Edges count points from 1. Crowds (`iscrowd`) are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.datasets.annotations import box, field, load_json, numbers, objects, pixels
from training.datasets.own.content import Content, Contradiction, Labels, Remark, Size, Trouble
from training.datasets.own.fitting import told_size
from training.datasets.own.label_file import LabelFile
from training.datasets.own.scheme import OwnScheme, check_names, make_scheme
from training.errors import DataError, UserError, unknown

Record = dict[str, Any]
Id = int | str


def read_coco(label_file: LabelFile, category: str | None = None) -> Content:
    """All that `label_file.path` says.

    `category` names the category to take where several have keypoints that differ. An instance is named after its
    picture and, behind #, the id of its annotation. A record that cannot be read is left out and kept as a bad one.
    Raises DataError, naming file and record, for a file that is not of this format, and UserError for a category that
    is not there or not named.
    """
    content = load_json(label_file.path)
    if not isinstance(content, dict):
        raise DataError(f"{label_file.path}: should hold an object with images, annotations and categories")
    lists = {key: _records(content, key, label_file.path) for key in ("images", "annotations", "categories")}
    trouble = Trouble()
    chosen = _categories(lists["categories"], lists["annotations"], category, label_file.path, trouble)
    scheme = _scheme(chosen, label_file)
    images = _images(lists["images"], label_file, trouble)
    labels = _labels(lists["annotations"], images, chosen, label_file.path, trouble)
    sizes = {image.file: image.size for image in images.values() if image.size}
    files = tuple(image.file for image in images.values() if image.file)
    return Content(scheme, labels, files, sizes=sizes, trouble=trouble)


def _records(content: Record, key: str, path: Path) -> list[Record]:
    values = field(content, key, f"{path}: the file")
    if not isinstance(values, list):
        raise DataError(f"{path}: {key} should be a list")
    return objects(values, f"{path}: {key}:")


def _categories(
    categories: list[Record], annotations: list[Record], name: str | None, path: Path, trouble: Trouble
) -> list[Record]:
    """The one with this name, else all with keypoints, whose names must be the same.

    Where none names its points, they are numbered: as many as the annotations have.
    """
    able = [category for category in categories if category.get("keypoints")]
    if not able or (name is not None and name not in map(_name, able)):
        unnamed = [_numbered(category, annotations) for category in categories if not category.get("keypoints")]
        found = [category for category in unnamed if category.get("keypoints")]
        for category in found:
            if name in (None, _name(category)):
                count = len(category["keypoints"])
                text = f"its {count} points have no names and are called 1 to {count}"
                trouble.remarks.append(Remark("unnamed", f"category {_name(category)!r}", text))
        able += found
    names = [_name(category) for category in able]
    if not able:
        raise DataError(f"{path}: no category names keypoints")
    if name is not None and name not in names:
        raise UserError(f"{path}: {unknown('category', name, names)}")
    if name is not None:
        able = [able[names.index(name)]]
    elif any(category["keypoints"] != able[0]["keypoints"] for category in able):
        raise UserError(f"{path}: several categories have keypoints: choose one by ?category= {', '.join(names)}")
    for category in able:
        _id(category, "id", f"{path}: category {category.get('name')!r}")
    return able


def _name(category: Record) -> str:
    return str(category.get("name"))


def _numbered(category: Record, annotations: list[Record]) -> Record:
    """A category without names, with numbers for as many points as its first annotation with points has."""
    for annotation in annotations:
        values = annotation.get("keypoints")
        if annotation.get("category_id") == category.get("id") and isinstance(values, list) and values:
            count = len(_flat(values)) // 3
            return category | {"keypoints": [str(number) for number in range(1, count + 1)]}
    return category


def _scheme(chosen: list[Record], label_file: LabelFile) -> OwnScheme:
    """What the first of the categories says, which are alike."""
    category = chosen[0]
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
    name = "+".join(str(category.get("name", "coco")) for category in chosen)
    return make_scheme(name, names, f"{where}keypoints", label_file.toml(), edges, pairs, sigmas)


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


def _id(record: Record, key: str, where: str) -> Id:
    """A whole number, also one written as 7.0, or a text."""
    value = field(record, key, where)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if not isinstance(value, (int, str)):
        raise DataError(f"{where}: {key} should be a whole number or a text")
    return value


@dataclass(frozen=True)
class _Image:
    """A picture of the file: its name, empty where its record is bad, and its size, if it is told."""

    file: str
    size: Size | None = None


def _images(images: list[Record], label_file: LabelFile, trouble: Trouble) -> dict[Id, _Image]:
    """Pictures by their ids."""
    found: dict[Id, _Image] = {}
    for index, image in enumerate(images):
        where = f"{label_file.path}: images: record {index}"
        number: Id | None = None
        try:
            number = _id(image, "id", where)
            file = label_file.picture(field(image, "file_name", where), f"{where}: file_name")
            if number in found and found[number].file != file:
                raise Contradiction(f"{where}: the id {number!r} occurs twice")
            found[number] = _Image(file, told_size(image.get("width"), image.get("height")))
        except DataError as error:
            trouble.skip(error, where)
            if number is not None:
                found.setdefault(number, _Image(""))
    return found


@dataclass(frozen=True, eq=False)
class _Instance:
    file: str
    name: str
    keypoints: NDArray[np.float64]
    labelled: NDArray[np.bool_]
    box: NDArray[np.float64]
    area: float


def _labels(
    annotations: list[Record], images: dict[Id, _Image], chosen: Sequence[Record], path: Path, trouble: Trouble
) -> Labels:
    names = chosen[0]["keypoints"]
    wanted = {_id(category, "id", "") for category in chosen}
    instances = []
    seen: set[Id] = set()
    for index, annotation in enumerate(annotations):
        where = f"{path}: annotations: record {index}"
        picture = None
        try:
            number = _id(annotation, "id", where)
            if number in seen:
                raise DataError(f"{where}: the id {number!r} occurs twice")
            seen.add(number)
            where = f"{where} (id {number})"
            if _id(annotation, "category_id", where) not in wanted or annotation.get("iscrowd") == 1:
                continue
            image = _id(annotation, "image_id", where)
            if image not in images:
                raise DataError(f"{where}: image_id {image!r} is not among the images")
            picture = images[image].file or None
            if picture is None:
                raise DataError(f"{where}: the record of its picture is bad")
            instances.append(_instance(annotation, picture, f"{picture}#{number}", names, where, trouble))
        except DataError as error:
            trouble.skip(error, where, picture)
    if not instances:
        name = "+".join(repr(category.get("name")) for category in chosen)
        raise trouble.all_bad(f"{path}: has no annotation of the category {name}")
    return Labels(
        tuple(instance.file for instance in instances),
        tuple(instance.name for instance in instances),
        np.array([instance.keypoints for instance in instances]),
        np.array([instance.labelled for instance in instances]),
        np.array([instance.box for instance in instances]),
        np.array([instance.area for instance in instances]),
    )


def _flat(values: list[Any]) -> list[Any]:
    """Numbers in a row, also of points that are lists of their own."""
    if all(isinstance(point, list) and len(point) == 3 for point in values):
        return [number for point in values for number in point]
    return values


def _instance(
    annotation: Record, file: str, name: str, points_named: Sequence[str], where: str, trouble: Trouble
) -> _Instance:
    count = len(points_named)
    values = field(annotation, "keypoints", where)
    values = _flat(values) if isinstance(values, list) else values
    if not isinstance(values, list) or len(values) != 3 * count:
        size = f"{len(values)}" if isinstance(values, list) else "no list of"
        raise DataError(f"{where}: keypoints: {size} numbers; {count} points need {3 * count}: x, y, flag for each")
    points = pixels(values, (3 * count,), f"{where}: keypoints").reshape(count, 3)
    if not np.isin(points[:, 2], (0, 1, 2)).all():
        raise DataError(
            f"{where}: keypoints: the third number of a point should be 0 (none), 1 (hidden) or 2 (visible)"
        )
    bounds, area = np.full(4, np.nan), annotation.get("area")
    given = annotation.get("bbox")
    if given and given != [0, 0, 0, 0]:  # how converters say that there is none
        bounds = box(given, f"{where}: bbox")
    if area is not None:
        area = float(numbers(area, (), f"{where}: area"))
        if area < 0:
            raise DataError(f"{where}: area is negative: {area:g}")
    labelled = points[:, 2] > 0
    origin = labelled & (points[:, :2] == 0).all(axis=1)
    for point in np.flatnonzero(origin).tolist():
        text = f"{points_named[point]} is flagged as labelled at 0, 0, where tools put what is missing: left out"
        trouble.remarks.append(Remark("origin", name, text, file))
    labelled &= ~origin
    keypoints = np.where(labelled[:, None], points[:, :2], 0.0)
    return _Instance(file, name, keypoints, labelled, bounds, area or np.nan)
