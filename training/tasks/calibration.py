"""The threshold of confidence of a trained model, from its own training set.

Right crops are those of the data set's rule, not augmented. Wrong ones are made of the same pictures, in the ways in
which a user goes wrong: too much around the instance, as when a whole portrait is shown to a model of faces, and a
place beside it. No test label has a part in it, and no label at all but the crop. What it reaches on photographs, and
how that was measured, is in `docs/confidence.md`.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from hbcore.landmarks.confidence import Calibration
from hbcore.landmarks.crop import Crop
from training.errors import BadPicture
from training.labels.sample import Sample
from training.loading.concatenated import ConcatenatedDataset
from training.prediction.model import BATCH, Model

MOST = 200
"""Samples that are looked at, evenly spaced. Two in a hundred of them, four, are seen well enough."""

WIDE = 2.0, 3.0
"""Sides of crops that show too much, over the right one."""


def calibrate(model: Model, data: ConcatenatedDataset) -> Calibration | None:
    """What confidence an answer of `model` needs, judged on `data`; None if no picture of it can be read.

    A function of its arguments alone. Raises NotFinite if the network computes NaN or infinity.
    """
    size = model.codec.input_size
    crops: list[NDArray[np.uint8]] = []
    found: list[NDArray[np.float64]] = []
    for sample in _some(data):
        crops += [crop.extract(sample.picture) for crop in _views(sample, size)]
        if len(crops) >= BATCH:
            found.append(_confidence(model, crops))
            crops.clear()
    if crops:
        found.append(_confidence(model, crops))
    if not found:
        return None
    confidence = np.concatenate(found).reshape(-1, 2 + len(WIDE))
    return Calibration.between(confidence[:, 0], confidence[:, 1:].ravel())


def _some(data: ConcatenatedDataset) -> Iterator[Sample]:
    """At most `MOST` samples, those that can be read."""
    for index in np.unique(np.linspace(0, len(data) - 1, min(len(data), MOST)).round().astype(int)).tolist():
        try:
            yield data.sample(index)
        except BadPicture:  # a run has listed it
            continue


def _views(sample: Sample, size: int) -> list[Crop]:
    """The right crop, then the wrong ones: `WIDE`, and one side away, to where there is more picture."""
    (x, y), side = sample.center, sample.side
    aside = x + side if 2 * x < sample.picture.shape[1] else x - side
    wide = [Crop((x, y), zoom * side, size) for zoom in WIDE]
    return [Crop((x, y), side, size), *wide, Crop((aside, y), side, size)]


def _confidence(model: Model, crops: list[NDArray[np.uint8]]) -> NDArray[np.float64]:
    return model.codec.confidence(model.heatmaps(np.stack(crops)))
