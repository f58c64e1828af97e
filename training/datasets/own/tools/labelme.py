"""labelme: a JSON file for every picture, beside it or in a folder of their own.

Shapes of the type point with one group_id are one instance, and a rectangle of that group is its box; what has no
group is one instance. labelme shows pictures upright, and its coordinates are continuous, with the picture's corner
at (0, 0): half a pixel is taken off.
"""

from __future__ import annotations

import posixpath
from dataclasses import replace
from pathlib import Path
from typing import Any

from training.datasets.annotations import field, load_json, objects, pixels
from training.datasets.own.content import Content, Contradiction, Instance, Remark, Size, Trouble
from training.datasets.own.fitting import told_size
from training.datasets.own.label_file import LabelFile
from training.datasets.own.tools.shapes import Shapes, content, corners
from training.errors import DataError


def read_labelme(label_file: LabelFile) -> Content:
    """All JSON files below the folder `label_file.path`, which pictures are named from, in the order of their names.

    A file that is none of labelme is left out as a bad record. Raises DataError for a folder without any.
    """
    root = label_file.path
    if not root.is_dir():
        raise DataError(f"{root}: no such folder; labelme: wants the folder of the JSON files")
    trouble = Trouble()
    instances: list[Instance] = []
    pictures: dict[str, Path] = {}
    sizes: dict[str, Size] = {}
    for path in sorted(root.rglob("*.json")):
        where = path.relative_to(root).as_posix()
        try:
            record = load_json(path)
            if not isinstance(record, dict) or not isinstance(record.get("shapes"), list):
                raise DataError(f"{where}: is no file of labelme: it has no list of shapes")
            picture = _picture(label_file, record, where)
            if picture in pictures:
                raise Contradiction(f"{where}: {picture} is labelled in {pictures[picture]} already")
            shapes = _shapes(record["shapes"], picture, where, trouble)
        except DataError as error:
            trouble.skip(error, where)
            continue
        pictures[picture] = path
        if size := told_size(record.get("imageWidth"), record.get("imageHeight")):
            sizes[picture] = size
        instances += shapes.instances(trouble)
    return replace(content(label_file, instances, trouble, pictures, sizes), root=root)


def _picture(label_file: LabelFile, record: dict[str, Any], where: str) -> str:
    """`imagePath`, which is told from the JSON file, from the folder of all."""
    given = field(record, "imagePath", where)
    if isinstance(given, str) and given and not given.startswith("/"):
        given = posixpath.normpath(posixpath.join(posixpath.dirname(where), given.replace("\\", "/")))
    return label_file.picture(given, f"{where}: imagePath")


def _shapes(records: list[Any], picture: str, where: str, trouble: Trouble) -> Shapes:
    shapes = Shapes(picture, where)
    for index, shape in enumerate(objects(records, f"{where}: shapes:")):
        what = f"{where}: shape {index}"
        kind, label, group = shape.get("shape_type", "polygon"), field(shape, "label", what), shape.get("group_id")
        group = None if group is None else str(group)
        if kind == "point":
            (x, y), *_ = pixels(field(shape, "points", what), (1, 2), f"{what}: points").tolist()
            shapes.add_point(group, str(label), x, y)
        elif kind == "rectangle":
            (x1, y1), (x2, y2) = pixels(field(shape, "points", what), (2, 2), f"{what}: points").tolist()
            shapes.add_box(group, corners(x1, y1, x2, y2))
        else:
            trouble.remarks.append(Remark("ignored", picture, f"a shape of the type {kind!r}", picture))
    return shapes
