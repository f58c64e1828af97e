"""Label Studio: its export as JSON, a list of tasks with percentages of the picture's size.

Key points within a rectangle (parentID) are one instance with this box, all others of a task are one. Of several
annotations of a task the first that was not cancelled is taken. Percentages count from the picture's corner: half a
pixel is taken off.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from training.datasets.annotations import field, load_json, numbers, objects
from training.datasets.own.content import Content, Contradiction, Instance, Remark, Size, Trouble
from training.datasets.own.fitting import told_size
from training.datasets.own.label_file import LabelFile
from training.datasets.own.tools.shapes import Shapes, content
from training.errors import DataError

_UPLOAD = re.compile(r"[0-9a-f]{8}-(?=.)")
"""What Label Studio puts before the name of a picture that was uploaded."""


def read_label_studio(label_file: LabelFile) -> Content:
    """All tasks of `label_file.path`.

    Pictures are looked for in the picture folder by the last part of their address, or by the whole path of a local
    file; without the eight digits that an upload puts before the name where only that file is there. A task that cannot
    be read is left out as a bad record. Raises DataError for a file that is no list of tasks.
    """
    path = label_file.path
    tasks = load_json(path)
    if not isinstance(tasks, list):
        raise DataError(f"{path}: should hold a list of tasks: export them as JSON")
    folder = label_file.folder()
    trouble = Trouble()
    instances: list[Instance] = []
    sizes: dict[str, Size] = {}
    pictures: dict[str, str] = {}
    for index, task in enumerate(objects(tasks, f"{path}: task")):
        where = f"{path}: task {task['id'] if isinstance(task.get('id'), int) else index}"
        picture = None
        try:
            picture = _picture(label_file, task, folder, where)
            if picture in pictures:
                raise Contradiction(f"{where}: {picture} is labelled in {pictures[picture]} already")
            pictures[picture] = where
            shapes, size = _shapes(_results(task, picture, where, trouble), picture, where, trouble)
        except DataError as error:
            trouble.skip(error, where, picture)
            continue
        if size:
            sizes[picture] = size
        instances += shapes.instances(trouble)
    return replace(content(label_file, instances, trouble, pictures, sizes), root=folder)


def _picture(label_file: LabelFile, task: dict[str, Any], folder: Path, where: str) -> str:
    if "data" not in task:
        raise DataError(f"{where} has no 'data': export as JSON, not as JSON-MIN")
    data = task["data"]
    texts = [data.get(key) for key in ("image", "img", *data)] if isinstance(data, dict) else []
    address = next((text for text in texts if isinstance(text, str) and text), None)
    if address is None:
        raise DataError(f"{where}: data names no picture")
    try:
        parts = urlsplit(address)
    except ValueError as error:
        raise DataError(f"{where}: data: {address!r} is no address ({error})") from None
    local = parse_qs(parts.query).get("d")  # /data/local-files/?d=folder/a.jpg
    name = local[0] if local else unquote(parts.path).replace("\\", "/")
    if not local and (parts.scheme or name.startswith("/")):
        name = name.rpartition("/")[2]
    name = label_file.picture(name, f"{where}: data")
    head, slash, base = name.rpartition("/")
    plain = head + slash + _UPLOAD.sub("", base, count=1) if _UPLOAD.match(base) else name
    return plain if plain != name and not (folder / name).is_file() and (folder / plain).is_file() else name


def _results(task: dict[str, Any], picture: str, where: str, trouble: Trouble) -> list[dict[str, Any]]:
    """What was drawn, in the first annotation that counts."""
    given = task.get("annotations", task.get("completions"))
    if not isinstance(given, list):
        raise DataError(f"{where} has no list of annotations: export as JSON, not as JSON-MIN")
    valid = [item for item in objects(given, f"{where}: annotations:") if not item.get("was_cancelled")]
    if len(valid) > 1:
        text = f"{len(valid) - 1} more annotations of the same task"
        trouble.remarks.append(Remark("ignored", picture, text, picture))
    results = field(valid[0], "result", f"{where}: annotation") if valid else []
    if not isinstance(results, list):
        raise DataError(f"{where}: result should be a list")
    return objects(results, f"{where}: result:")


def _shapes(results: list[dict[str, Any]], picture: str, where: str, trouble: Trouble) -> tuple[Shapes, Size | None]:
    shapes, told = Shapes(picture, where), None
    boxes = [item.get("id") for item in results if item.get("type") == "rectanglelabels"]
    for index, item in enumerate(results):
        kind, what = item.get("type"), f"{where}: result {index}"
        if kind not in ("keypointlabels", "rectanglelabels"):
            if kind not in ("keypoint", "rectangle"):  # the same again, without labels
                trouble.remarks.append(Remark("ignored", picture, f"a result of the type {kind!r}", picture))
            continue
        size = told_size(item.get("original_width"), item.get("original_height"))
        if size is None:
            raise DataError(f"{what}: original_width and original_height should be the picture's size in pixels")
        if item.get("image_rotation"):
            raise DataError(f"{what}: image_rotation is {item['image_rotation']}: turn the picture itself instead")
        if told not in (None, size):
            raise DataError(f"{what}: says {size[0]} x {size[1]} pixels, others {told[0]} x {told[1]}")
        told = size
        value = field(item, "value", what)
        if not isinstance(value, dict):
            raise DataError(f"{what}: value is not an object with named fields")
        keys = ("x", "y") if kind == "keypointlabels" else ("x", "y", "width", "height")
        found = numbers([field(value, key, f"{what}: value") for key in keys], (len(keys),), f"{what}: value")
        lengths = (found.reshape(-1, 2) * size / 100).ravel().tolist()
        if kind == "keypointlabels":
            labels = field(value, kind, f"{what}: value")
            if not isinstance(labels, list) or len(labels) != 1 or not isinstance(labels[0], str):
                raise DataError(f"{what}: {kind} should be one name")
            parent = item.get("parentID", item.get("parent_id"))
            shapes.add_point(str(parent) if parent in boxes and parent is not None else None, labels[0], *lengths)
        elif value.get("rotation"):
            trouble.remarks.append(Remark("ignored", picture, "a rectangle that is turned", picture))
        else:
            x, y, width, height = lengths
            used = any(other.get("parentID", other.get("parent_id")) == item.get("id") for other in results)
            shapes.add_box(str(item.get("id")) if used else None, (x, y, width, height))
    return shapes, told
