"""Learning-rate factors at the points where they are known."""

import math

import pytest

from hbcore.optim.schedules import constant, cosine, stepwise, warmup

TOLERANCE = 1e-15  # one rounding of a number of size 1


def test_constant():
    assert [constant(step, 10) for step in (0, 5, 10)] == [1, 1, 1]


@pytest.mark.parametrize(
    ("step", "factor"),
    [(0, 1), (25, (1 + math.sqrt(0.5)) / 2), (50, 0.5), (75, (1 - math.sqrt(0.5)) / 2), (100, 0), (101, 0)],
)
def test_cosine(step, factor):
    assert abs(cosine(step, 100) - factor) <= TOLERANCE


@pytest.mark.parametrize(
    ("step", "factor"), [(0, 1), (49, 1), (50, 0.4), (69, 0.4), (70, 0.4**2), (90, 0.4**3), (100, 0.4**3)]
)
def test_stepwise(step, factor):
    assert abs(stepwise(step, 100) - factor) <= TOLERANCE


def test_stepwise_of_other_milestones():
    assert [stepwise(step, 8, milestones=(0.25, 0.5), decay=0.5) for step in range(8)] == [1, 1] + [0.5] * 2 + [
        0.25
    ] * 4
    assert stepwise(7, 8, milestones=()) == 1


def test_warmup():
    assert [warmup(step, 4) for step in range(6)] == [0.25, 0.5, 0.75, 1, 1, 1]
    assert warmup(0, 0) == warmup(0, 1) == 1
