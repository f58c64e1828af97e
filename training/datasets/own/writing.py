"""Write a user's own labels in our formats, COCO keypoints JSON or CSV, whatever they were read from.

What the format has no place for stands in a TOML file of the same name beside it: see scheme.py.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.datasets.own.content import Size
from training.datasets.own.labels import OwnSamples
from training.errors import BadPicture, DataError, UserError
from training.files.writing import atomic_write, write_json
from training.labels.skeletons import Skeleton

DIGITS = 4
"""Of a pixel: far below the 0.01 that anybody can click."""


@dataclass(frozen=True, eq=False)
class _Record:
    """One instance as it is written; `size` is None where its picture cannot be read."""

    file: str
    name: str
    split: str
    keypoints: NDArray[np.float64]
    labelled: NDArray[np.bool_]
    box: list[float]
    area: float
    size: Size | None


def write_labels(path: Path, to: str, splits: Sequence[OwnSamples]) -> list[str]:
    """Write `path` in the format `to`, coco or csv, of the splits of one data set; what was left out, in lines.

    Labels are written as they are read, scaled where that was asked for. Raises UserError for a file that is there
    already, DataError where no label fits its picture, DiskError where nothing can be written.
    """
    toml = path.with_suffix(".toml")
    if path == toml:
        raise UserError(f"{path} is the name of the TOML file beside the labels: choose another --out")
    for place in (path, toml):
        if place.exists():
            raise UserError(f"{place} is there already: choose another --out")
    left_out = [bad.text for split in splits for bad in split.bad_records]
    left_out += [f"{note.name}: {note.message}" for split in splits for note in split.remarks]
    records = list(_records(splits, left_out))
    if not records:
        raise DataError(f"nothing is left to write; the first reason: {left_out[0]}")
    skeleton = splits[0].skeleton
    files = [name.rpartition("#")[0] or name for split in splits for name in split.unlabelled]
    if to == "coco":
        write_json(path, _coco(records, skeleton, files))
    else:
        atomic_write(path, _table(records, skeleton).encode())
    # A table has a column for the splits, JSON has no place for them.
    test = {record.file for record in records if record.split == "test"} if to == "coco" else ()
    atomic_write(toml, _toml(skeleton, sorted(test)).encode())
    return list(dict.fromkeys(left_out))


def _records(splits: Sequence[OwnSamples], left_out: list[str]) -> Iterator[_Record]:
    for samples in splits:
        for index, (file, name) in enumerate(zip(samples.labels.files, samples.labels.names, strict=True)):
            size, zoom = None, (1.0, 1.0)
            try:
                header = samples.header(file)
                size, zoom = samples.fitting.size(header), samples.zoom(file, header)
            except BadPicture as error:
                if size is not None or file in samples.sizes:  # nobody knows whether they fit
                    left_out.append(str(error))
                    continue
            keypoints, labelled, box, area = samples.placed(index, zoom)
            split = "test" if samples.split == "test" else "train"  # validation is drawn anew
            yield _Record(file, name, split, keypoints, labelled, box.tolist(), area, size)


def _coco(records: Sequence[_Record], skeleton: Skeleton, files: Sequence[str]) -> dict[str, Any]:
    images: dict[str, dict[str, Any]] = {}
    annotations: list[dict[str, Any]] = []
    for record in records:
        image = images.setdefault(record.file, {"id": len(images) + 1, "file_name": record.file})
        if record.size is not None:
            image["width"], image["height"] = record.size
        keypoints: list[float] = []
        for (x, y), known in zip(record.keypoints.tolist(), record.labelled.tolist(), strict=True):
            keypoints += [round(x, DIGITS), round(y, DIGITS), 2] if known else [0, 0, 0]
        annotation: dict[str, Any] = {"id": len(annotations) + 1, "image_id": image["id"], "category_id": 1}
        annotation |= {"keypoints": keypoints, "num_keypoints": int(record.labelled.sum()), "iscrowd": 0}
        if np.isfinite(record.box).all():
            annotation["bbox"] = [round(value, DIGITS) for value in record.box]
        if np.isfinite(record.area):
            annotation["area"] = round(record.area, DIGITS)
        annotations.append(annotation)
    for file in files:
        images.setdefault(file, {"id": len(images) + 1, "file_name": file})
    category: dict[str, Any] = {"id": 1, "name": skeleton.name, "keypoints": list(skeleton.keypoints)}
    category["skeleton"] = [[a + 1, b + 1] for a, b in skeleton.edges]
    return {"images": list(images.values()), "annotations": annotations, "categories": [category]}


def _table(records: Sequence[_Record], skeleton: Skeleton) -> str:
    boxed = any(np.isfinite(record.box).all() for record in records)
    divided = any(record.split == "test" for record in records)
    header = ["picture", "person", *(["split"] if divided else [])]
    header += ["box_x", "box_y", "box_w", "box_h"] if boxed else []
    header += [f"{name}_{axis}" for name in skeleton.keypoints for axis in "xy"]
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(header)
    for record in records:
        row: list[Any] = [record.file, record.name.rpartition("#")[2], *([record.split] if divided else [])]
        if boxed:
            row += [round(value, DIGITS) if np.isfinite(value) else "" for value in record.box]
        for (x, y), known in zip(record.keypoints.tolist(), record.labelled.tolist(), strict=True):
            row += [round(x, DIGITS), round(y, DIGITS)] if known else ["", ""]
        rows.writerow(row)
    return text.getvalue()


def _toml(skeleton: Skeleton, test: Sequence[str]) -> str:
    """What the points mean, by their names, and the pictures for testing."""
    names = skeleton.keypoints

    def named(points: Sequence[int]) -> list[str]:
        return [names[point] for point in points]

    said: dict[str, Any] = {"edges": [named(edge) for edge in skeleton.edges]} if skeleton.edges else {}
    if skeleton.flips:
        said["flip_pairs"] = [named(pair) for pair in skeleton.flip_pairs]
    for key in ("torso", "head", "outer_eyes"):
        if (pair := getattr(skeleton, key)) is not None:
            said[key] = named(pair)
    if skeleton.pupils is not None:
        said["pupils"] = [named(group) for group in skeleton.pupils]
    if skeleton.sigmas is not None:
        said["sigmas"] = list(skeleton.sigmas)
    if test:
        said["test"] = list(test)
    return "".join(f"{key} = {json.dumps(value, ensure_ascii=False)}\n" for key, value in said.items())
