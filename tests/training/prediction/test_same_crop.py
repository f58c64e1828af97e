"""The figures of an evaluation are those of hbcore.Landmarker: the same crop, maps and points, to the last bit."""

from pathlib import Path

import numpy as np
import pytest

from hbcore import Landmarker, StackedHourglass
from hbcore.landmarks.heatmaps import HeatmapCodec
from hbcore.landmarks.squares import CropRule
from training.datasets.faces.base import MARGIN, FaceLabel, as_sample
from training.labels.face_skeletons import generic
from training.pictures.augmentation import plain
from training.prediction.model import Model
from training.prediction.predict import crop_for


@pytest.mark.parametrize("seed", range(12))
def test_a_face_of_an_evaluation_is_the_landmarkers(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    picture = rng.integers(0, 256, (*rng.integers(60, 300, 2), 3), dtype=np.uint8)
    points = (rng.random((5, 2)) * [picture.shape[1], picture.shape[0]]).astype(np.float32)
    network = StackedHourglass(16, 5, depth=1, seed=seed)
    model = Model(network, generic(5), HeatmapCodec(32), task="face", crops=(CropRule("points", MARGIN),))
    model.save(tmp_path / "m.safetensors")

    sample = as_sample(picture, FaceLabel.whole(points.astype(np.float64)), "x")
    seen = plain(sample, 32).picture
    evaluated, scores = model.predict(seen[None])

    corners = (*points.min(axis=0), *points.max(axis=0))
    (found,) = Landmarker(tmp_path / "m.safetensors")(picture, boxes=corners)
    x0, y0, x1, y1 = map(float, corners)
    crop = crop_for(picture, model.description, (x0 + 0.5, y0 + 0.5, x1 - x0, y1 - y0))
    assert found.points is not None
    assert found.scores is not None
    assert np.array_equal(crop.extract(picture), seen)
    assert np.array_equal(found.points, crop.to_picture(evaluated[0]))
    assert np.array_equal(found.scores, scores[0])
