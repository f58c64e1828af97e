"""What arguments may be: what is taken comes back as Python's own, what is not is named."""

import numpy as np
import pytest

from hbcore.values import choice, number, switch, whole


@pytest.mark.parametrize(
    ("check", "value", "result"),
    [
        (whole, np.int64(3), 3),
        (whole, np.uint8(1), 1),
        (number, np.float32(0.5), 0.5),
        (number, 0, 0.0),
        (switch, np.True_, True),
        (lambda name, value: choice(name, value, ("a", "b")), np.str_("b"), "b"),
    ],
)
def test_what_is_taken_comes_back_as_pythons_own(check, value, result):
    assert check("x", value) == result
    assert type(check("x", value)) is type(result)


@pytest.mark.parametrize(
    ("check", "value", "message"),
    [
        (whole, 0, "x must be at least 1, got 0"),
        (whole, np.int64(-3), "x must be at least 1, got -3"),
        (whole, True, "x must be a whole number of at least 1, got True"),
        (whole, np.True_, "x must be a whole number"),
        (whole, 3.0, "x must be a whole number of at least 1, got 3.0"),
        (whole, "3", "x must be a whole number of at least 1, got '3'"),
        (whole, None, "x must be a whole number"),
        (number, -0.1, "x must be a number of at least 0, got -0.1"),
        (number, float("nan"), "x must be a number of at least 0, got nan"),
        (number, float("inf"), "x must be a number of at least 0, got inf"),
        (number, True, "x must be a number"),
        (number, [1.0], "x must be a number"),
        (lambda name, value: number(name, value, most=1), 1.5, "x must be a number from 0 to 1, got 1.5"),
        (switch, "false", "x must be True or False, got 'false'"),
        (switch, 1, "x must be True or False, got 1"),
        (lambda name, value: choice(name, value, ("a", "b")), "c", "unknown x 'c': choose from a, b"),
        (lambda name, value: choice(name, value, {"a": 1}), ["a"], r"unknown x \['a'\]: choose from a"),
    ],
)
def test_what_is_not_is_named(check, value, message):
    with pytest.raises(ValueError, match=message):
        check("x", value)
