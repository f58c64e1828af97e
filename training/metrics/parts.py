"""How good predicted masks are, in percent, from counts of pixels over the whole test set (Long et al., 2015, "FCN").

n[i, j]: the number of pixels of class i that were taken for class j; unlabelled pixels count nowhere.

    pixel accuracy     sum_i n[i, i] / sum n
    mean accuracy      mean over classes of  n[i, i] / sum_j n[i, j]
    mIoU               mean over classes of  n[i, i] / (sum_j n[i, j] + sum_j n[j, i] - n[i, i])

A class that no pixel has, labelled or predicted, has neither accuracy nor IoU and is left out of the means. One that
is predicted but labelled nowhere has an IoU of 0, which counts, and no accuracy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from hbcore.optim.losses import IGNORED
from training.labels.parts import Mask

PROTOCOLS: Mapping[str, str] = MappingProxyType(
    {
        "mIoU": "mean intersection over union of the classes that occur, background included, over all labelled "
        "pixels of the test set; logits up-sampled bilinearly to the input and compared with masks of its size",
        "mean_accuracy": "mean over classes of the share of their pixels that are right",
        "pixel_accuracy": "share of all labelled pixels that are right",
    }
)
"""One line per metric, to print beside its numbers."""


def confusion(predicted: Mask, truth: Mask, classes: int) -> NDArray[np.int64]:
    """The counts n, (classes, classes), of masks of one shape, whatever it is. Raises ValueError for other values."""
    if predicted.shape != truth.shape:
        raise ValueError(f"metrics: masks of shape {predicted.shape} cannot be compared with {truth.shape}")
    known = truth != IGNORED
    found, wanted = predicted[known].astype(np.int64), truth[known].astype(np.int64)
    for name, values in (("prediction", found), ("truth", wanted)):
        if values.size and values.max() >= classes:
            raise ValueError(f"metrics: a {name} is {values.max()}, of {classes} classes")
    counts: NDArray[np.int64] = np.bincount(classes * wanted + found, minlength=classes**2)
    return counts.reshape(classes, classes)


def summarise_parts(counts: NDArray[np.int64], names: Sequence[str]) -> dict[str, float]:
    """The numbers of a table: mIoU, accuracies, and the IoU of every class that occurs as 'mIoU/nose'.

    Raises ValueError if there is no labelled pixel.
    """
    if not counts.any():
        raise ValueError("metrics: no pixel is labelled, there is nothing to score")
    right, labelled, found = np.diag(counts), counts.sum(axis=1), counts.sum(axis=0)
    union = labelled + found - right
    there = union > 0
    iou = 100.0 * right[there] / union[there]
    occurring = [name for name, occurs in zip(names, there, strict=True) if occurs]
    return {
        "mIoU": float(iou.mean()),
        "mean_accuracy": float((100.0 * right[labelled > 0] / labelled[labelled > 0]).mean()),
        "pixel_accuracy": float(100.0 * right.sum() / counts.sum()),
        **{f"mIoU/{name}": float(value) for name, value in zip(occurring, iou, strict=True)},
    }
