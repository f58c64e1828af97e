"""What was found in photos, as CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from hbcore.landmarks.description import Description
from hbcore.landmarks.landmarker import Instance

Found = Mapping[str, Sequence[Instance]]
"""Instances by the name of their photo."""


def as_csv(description: Description, found: Found) -> str:
    """A row for each point, x and y in pixels; of a model of parts, for each class, with its share of the photo.

    instance: which of a photo's, from 1. sure: 1 or 0, empty where the model does not say what confidence it needs.
    """
    numbers = ("share",) if description.parts else ("x", "y", "score")
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(("picture", "instance", "name", *numbers, "confidence", "sure"))
    for photo, instances in found.items():
        for place, instance in enumerate(instances, start=1):
            sure = "" if instance.sure is None else int(instance.sure)
            for name, row in zip(instance.names, _rows(instance), strict=True):
                table.writerow((photo, place, name, *row, round(instance.confidence, 4), sure))
    return text.getvalue()


def as_json(model: str, description: Description, found: Found) -> str:
    """The same as JSON, with boxes and the lines between points."""
    pictures = [{"picture": photo, "instances": list(map(_plain, instances))} for photo, instances in found.items()]
    content = {"model": model, "task": description.task, "names": description.names, "edges": description.edges}
    return json.dumps(content | {"pictures": pictures}, indent=1) + "\n"


def _plain(instance: Instance) -> dict[str, Any]:
    common = {
        "box": [round(float(edge), 2) for edge in instance.box],
        "confidence": round(instance.confidence, 4),
        "sure": instance.sure,
    }
    rows = list(_rows(instance))
    if instance.points is None:
        return common | {"shares": [share for (share,) in rows]}
    return common | {"points": [[x, y] for x, y, _ in rows], "scores": [score for _, _, score in rows]}


def _rows(instance: Instance) -> Iterator[tuple[float, ...]]:
    """x, y and score of each point, or the share of each class."""
    if instance.points is not None and instance.scores is not None:
        for (x, y), score in zip(instance.points.tolist(), instance.scores.tolist(), strict=True):
            yield round(x, 2), round(y, 2), round(score, 4)
    elif instance.classes is not None:
        counts = np.bincount(instance.classes.ravel(), minlength=256)[: len(instance.names)]
        for count in counts.tolist():
            yield (round(count / instance.classes.size, 6),)
