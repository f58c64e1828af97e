"""How good found boxes are, in percent: pure functions on arrays.

    IoU(a, b)          area of what two boxes share over that of what both cover; of squares around their longer sides,
                       since that is what is looked at
    found@1%           labelled boxes that meet a found one with an IoU of at least 0.5, when the confidence asked for
                       lets 1 % of the pictures without a label have anything found in them
    confidence@1%      that confidence, in percent; 30 where there are no pictures without a label

What is found and not labelled does not count: in crowds only some are labelled.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

MET = 0.5
FALSE = 0.01
USUAL = 0.3

PROTOCOLS: Mapping[str, str] = MappingProxyType(
    {
        "found": f"labelled boxes that meet a found one with an IoU of at least {MET:g} (of squares), at the "
        "confidence that lets 1 % of the pictures without a label have anything found in them",
        "confidence": "that confidence",
    }
)
"""One line per metric, to print beside its numbers."""

Boxes = NDArray[np.float64]


def squares(boxes: Boxes) -> Boxes:
    """The squares (n, 4) around the longer sides of boxes (n, 4)."""
    centre, half = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]).max(axis=1, keepdims=True) / 2
    return np.concatenate([centre - half, centre + half], axis=1)


def iou(first: Boxes, second: Boxes) -> Boxes:
    """Intersection over union (n, m) of boxes (n, 4) and (m, 4); nan where one is nan."""
    low, high = np.maximum(first[:, None, :2], second[:, :2]), np.minimum(first[:, None, 2:], second[:, 2:])
    shared = np.maximum(0, high - low).prod(axis=2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(axis=1) for boxes in (first, second)]
    return np.asarray(shared / np.maximum(areas[0][:, None] + areas[1] - shared, 1e-12))


def summarise_boxes(found: Sequence[Boxes], truth: Sequence[Boxes]) -> dict[str, float]:
    """The numbers of a table, for what was found, (n, 5) with the confidence last, and what is labelled, (m, 4).

    Rows of NaN are nothing. Raises ValueError where nothing is labelled.
    """
    found = [answer[np.isfinite(answer).all(axis=1)] for answer in found]
    if not sum(map(len, truth)):
        raise ValueError("metrics: no picture has a labelled box, there is nothing to score")
    highest = [answer[:, 4].max(initial=0.0) for answer, boxes in zip(found, truth, strict=True) if not len(boxes)]
    least = float(np.sort(highest)[::-1][int(FALSE * len(highest))]) if highest else USUAL
    surest = np.concatenate(
        [
            np.where(iou(squares(boxes), squares(answer[:, :4])) >= MET, answer[:, 4], 0).max(axis=1, initial=0.0)
            for answer, boxes in zip(found, truth, strict=True)
        ]
    )
    return {"found@1%": float(100 * (surest > least).mean()), "confidence@1%": 100 * least}
