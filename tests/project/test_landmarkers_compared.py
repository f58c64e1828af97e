"""The comparison with whole landmarkers of others: its measures and offsets, by hand, on points that are made up."""

import math

import numpy as np
import pytest

pytest.importorskip("scipy", reason="benchmarks read data sets with training, which needs scipy")

from benchmarks import landmarkers
from benchmarks.peers.landmarkers import Landmarker
from training.errors import UserError
from training.labels.sample import Sample
from training.labels.skeletons import LSP
from training.tasks.pose import POSE

FRAME = 9, 2


def person(turn=0.0, size=20.0):
    """14 joints on a circle that is turned, in a picture that knows them by its first pixel."""
    angles = turn + 2 * math.pi * np.arange(14) / 14
    points = np.stack([32 + size * np.cos(angles), 32 + size * np.sin(angles)], axis=1).astype(np.float32)
    return Sample(np.zeros((64, 64, 3), np.uint8), points, np.ones(14, bool), (32, 32), 64, math.nan, "drawn")


class People:
    protocol, skeleton = "made up", LSP

    def __init__(self, people):
        self.people = people

    def __len__(self):
        return len(self.people)

    def sample(self, index):
        return self.people[index]


def test_scores_by_hand():
    errors = np.array([[1.0, 3.0], [2.0, np.nan]])
    assert landmarkers.nme(errors, np.array([10.0, 20.0])) == pytest.approx(100 * (2 / 10 + 2 / 20) / 2, abs=1e-12)
    assert landmarkers.pck(errors, np.array([10.0, 10.0])) == pytest.approx(100 * 2 / 3, abs=1e-12)


def test_an_offset_that_turns_and_grows_with_the_person_is_taken_away():
    """A landmarker that puts each point off by its own share of a line of the body is made perfect."""
    rng = np.random.default_rng(0)
    shares = rng.normal(0, 0.1, 14) + 1j * rng.normal(0, 0.1, 14)
    shares[list(FRAME)] = 0  # the line itself is found

    def find(sample):
        x, y = sample.keypoints.astype(np.float64).T
        place = x + 1j * y
        place = place + shares * (place[FRAME[1]] - place[FRAME[0]])
        return np.stack([place.real, place.imag], axis=1)

    people = [person(turn, size) for turn, size in ((0.0, 20), (1.0, 10), (2.5, 5))]
    by = landmarkers.offsets(find, People(people), FRAME)
    other = person(0.7, 13)
    np.testing.assert_allclose(landmarkers.moved(find(other), by, FRAME), other.keypoints, atol=1e-5)
    assert np.linalg.norm(find(other) - other.keypoints, axis=1).max() > 0.5


def test_a_row_counts_only_those_whom_its_landmarker_found(monkeypatch, tmp_path):
    people = [person(0.1 * turn) for turn in range(4)]
    truths = iter([*people, *people])  # of the test, and of what offsets are learnt on
    weights = tmp_path / "ours"
    weights.write_bytes(b"12345")
    monkeypatch.setattr(landmarkers, "find_model", lambda name: weights)
    monkeypatch.setattr(landmarkers, "ours", lambda name, task, names: lambda sample: sample.keypoints + 0.0)

    def every_other(picture):
        sample = next(truths)
        points = sample.keypoints.astype(np.float64)
        return points + 100 if sample is people[0] else points if sample is people[2] else None

    class Task:
        def open(self, spec, split):
            return People(people)

    other = Landmarker("other", 1234, every_other)
    kind = landmarkers.Kind(Task(), slice(0, 12), FRAME, "PCK", landmarkers.pck, (lambda: other,))
    *_, first, row = landmarkers.table(kind, "made:up", ["ours"])
    assert first.startswith("| ours | 5 | ")
    assert first.endswith(" | 100.0 | 100.00 | - | - |")
    assert row.startswith("| other | 1,234 | ")
    assert row.endswith(" | 100.00 |")
    assert " | 50.0 | 50.00 | " in row


def test_a_model_of_other_points_is_refused():
    with pytest.raises(UserError, match=r"face68-tiny finds right_jaw_1, .*: the data have right_ankle"):
        landmarkers.ours("face68-tiny", POSE, LSP.names)
