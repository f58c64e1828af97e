"""Data sets in tests: where the real ones lie, and what every data set promises."""

import os
import pickle
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from training.datasets import POSE_KINDS, Kind, open_dataset
from training.errors import DataError
from training.labels.sample import Dataset, Sample

DATA = Path(os.environ.get("HBCORE_DATA", Path(__file__).parents[2] / "shared" / "data"))


def needs_data(name: str) -> pytest.MarkDecorator:
    """Skip a test, with the reason, where that folder of real data is absent."""
    return pytest.mark.skipif(
        not (DATA / name).is_dir(), reason=f"no data in {DATA}: set HBCORE_DATA to the folder with {name}"
    )


def error_of(spec: str, split: str = "train", kinds: Mapping[str, Kind] = POSE_KINDS) -> str:
    """The message with which opening fails; it must be one line and about data."""
    with pytest.raises(DataError) as caught:
        open_dataset(spec, split, kinds)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def check_sample(data: Dataset, index: int) -> Sample:
    """Types, shapes, pickling, indices from behind, and labels that nobody changes from outside. The sample."""
    sample = data.sample(index)
    points = len(data.skeleton.names)
    assert sample.picture.dtype == np.uint8
    assert (sample.keypoints.dtype, sample.keypoints.shape) == (np.float32, (points, 2))
    assert (sample.labelled.dtype, sample.labelled.shape) == (np.bool_, (points,))
    assert not sample.keypoints[~sample.labelled].any()
    assert sample.side > 0
    copy = pickle.loads(pickle.dumps(data)).sample(index)  # workers are spawned
    np.testing.assert_array_equal(copy.keypoints, sample.keypoints)
    np.testing.assert_array_equal(copy.picture, sample.picture)
    with pytest.raises(IndexError):
        data.sample(len(data))
    np.testing.assert_array_equal(data.sample(index - len(data)).keypoints, sample.keypoints)
    sample.keypoints[:] = -1  # whoever changes a sample changes no label
    np.testing.assert_array_equal(data.sample(index).keypoints, copy.keypoints)
    return copy
