"""The course: lessons print what their pages say, what they print is true, and answers are told from mistakes."""

import math
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
LESSONS = sorted(path.stem for path in (ROOT / "examples" / "course").glob("0*.py"))
ANSWERS = {
    1: 100 * math.erfc(1 / math.sqrt(2)),  # outside of -1 to 1
    2: 4 * 64 - 2 * 100,
    3: 1 + 3 / 2 * 2,  # -2 (x - 1) / sqrt(4) + 3 = 0
    4: 6 * 64 + 1,
}


def run(*words: object) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-W", "error", *map(str, words)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


def lines(name: str) -> dict[str, str]:
    """What a lesson prints, by what stands to the left."""
    done = run(f"examples/course/{name}.py")
    return {line[:16].strip(): line[16:].strip() for line in done.stdout.splitlines()}


@pytest.mark.parametrize("name", LESSONS)
def test_a_lesson_prints_what_its_page_says(name: str) -> None:
    page = (ROOT / "docs" / "course" / f"{name}.md").read_text(encoding="utf-8")
    (printed,) = re.findall(r"prints\n\n```text\n(.*?)```", page, re.DOTALL)
    done = run(f"examples/course/{name}.py")
    assert (done.stdout, done.stderr) == (printed, "")


def test_lessons_are_short_and_have_their_exercises() -> None:
    assert len(LESSONS) == len(ANSWERS)
    for number, name in enumerate(LESSONS, start=1):
        text = (ROOT / "examples" / "course" / f"{name}.py").read_text(encoding="utf-8")
        assert 30 <= text.count("\n") <= 90
        assert f"answer.py {number} NUMBER" in text


def test_the_gradient_of_a_sign_goes_through_between_minus_one_and_one() -> None:
    said = lines("01_sign")
    assert said["sign(x)"].strip("[]").split() == ["-1.", "-1.", "1.", "1.", "1."]
    assert said["dL/dx"].strip("[]").split() == ["0.", "2.", "3.", "4.", "0."]


def test_the_xor_says_what_the_products_say() -> None:
    said = lines("02_xor")
    a, w = (np.array(said[name].split(), dtype=int) for name in "aw")
    assert said["12 - 2 p"] == str(a @ w)
    ones = said["xor"].split()[0]
    assert [bit == "1" for bit in reversed(ones)] == (a * w < 0).tolist()


def test_the_threshold_is_where_the_line_crosses_zero() -> None:
    """gamma (x - mean) / sqrt(variance) + beta = 0, channel by channel."""
    said = lines("03_norm")
    crossings = [0 - 1 / 2 * 2, 3 + 1 / 0.5 * 1, 1 + 2 / 1 * 0.5]
    found = [float(number) for number in said["threshold"].strip("[]").split()]
    assert found == pytest.approx(crossings, abs=1e-3)
    assert "of which 0 have another sign" in said["numbers tried"]


def test_a_gradient_is_believed_the_less_the_more_signs_it_comes_through() -> None:
    """Behind the last filter of a block there is no sign: what the gradient says of it is what happens."""
    rows = re.findall(
        r"(\w+) +(\d)x\d, +(\d+) -> +\d+: +(\d+) values, belief (\d\.\d\d)", run("examples/course/04_block.py").stdout
    )
    assert [int(values) - 1 for *_, values, _ in rows] == [int(k) ** 2 * int(channels) for _, k, channels, _, _ in rows]
    plain, paths = ([float(row[-1]) for row in rows if row[0] == name] for name in ("bottleneck", "hpm"))
    for beliefs in (plain, paths):
        assert beliefs == sorted(beliefs)
        assert beliefs[-1] >= 0.99
    assert all(here > there for here, there in zip(paths[:2], plain[:2], strict=True))


@pytest.mark.parametrize("lesson", ANSWERS)
def test_right_answers_are_told_from_wrong_ones(lesson: int) -> None:
    right = run("examples/course/answer.py", lesson, f"{ANSWERS[lesson]:.1f}")
    assert (right.returncode, right.stdout) == (0, "right\n")
    wrong = run("examples/course/answer.py", lesson, f"{ANSWERS[lesson] + 1:.1f}")
    assert (wrong.returncode, wrong.stdout.startswith("not yet")) == (1, True)


@pytest.mark.parametrize("words", [(), ("1",), ("99", "1"), ("1", "many")])
def test_other_words_are_one_line(words: tuple[str, ...]) -> None:
    done = run("examples/course/answer.py", *words)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
