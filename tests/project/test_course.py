"""The course: lessons print what their pages say, what they print is true, and answers are told from mistakes."""

import json
import math
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
LESSONS = sorted(path.stem for path in (ROOT / "examples" / "course").glob("[0-9]*.py"))
ANSWERS = {
    1: 100 * math.erfc(1 / math.sqrt(2)),  # outside of -1 to 1
    2: 4 * 64 - 2 * 100,
    3: 1 + 3 / 2 * 2,  # -2 (x - 1) / sqrt(4) + 3 = 0
    4: 6 * 64 + 1,
    5: 9 * (256 * 128 + 128 * 64 + 64 * 64),
    6: 4 * 3 + 1,
    7: 24 / 4,  # the mean distance of an even spread from its middle is a quarter of its width
    8: 9 * (64 * 32 - 62 * 24),
    9: math.sqrt(1.5**2 - 0.9**2),
    10: (100_000 / 8 + 5_000 * 4) / 1000,
}
LOOSE = {"07_train": (0.4, 1.0), "08_inside": (0.05, 0.1), "09_failures": (0.05, 0.3), "10_ship": (0.01, 0.3)}
"""Lessons whose sums may be rounded otherwise elsewhere: how far their numbers may be off, relatively and not."""
NUMBER = r"-?\d[\d,]*\.?\d*"


def run(*words: object) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-W", "error", *map(str, words)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


@cache
def lesson(name: str) -> "subprocess.CompletedProcess[str]":
    """A lesson, run once for all tests."""
    return run(f"examples/course/{name}.py")


def lines(name: str) -> dict[str, str]:
    """What a lesson prints, by what stands to the left."""
    done = lesson(name)
    return {line[:16].strip(): line[16:].strip() for line in done.stdout.splitlines()}


@pytest.mark.parametrize("name", LESSONS)
def test_a_lesson_prints_what_its_page_says(name: str) -> None:
    page = (ROOT / "docs" / "course" / f"{name}.md").read_text(encoding="utf-8")
    (printed,) = re.findall(r"prints\n\n```text\n(.*?)```", page, re.DOTALL)
    done = lesson(name)
    assert done.stderr == ""
    assert_alike(done.stdout, printed, name)


def assert_alike(printed: str, expected: str, name: str) -> None:
    """The same, or for a loose lesson the same words with numbers that are near."""
    if name not in LOOSE:
        assert printed == expected
        return
    assert re.sub(rf" *{NUMBER}", "", printed) == re.sub(rf" *{NUMBER}", "", expected)
    near, off = LOOSE[name]
    ours, theirs = ([float(n.replace(",", "")) for n in re.findall(NUMBER, text)] for text in (printed, expected))
    assert ours == pytest.approx(theirs, rel=near, abs=off)


def test_lessons_are_short_and_have_their_exercises() -> None:
    assert len(LESSONS) == len(ANSWERS)
    for number, name in enumerate(LESSONS, start=1):
        text = (ROOT / "examples" / "course" / f"{name}.py").read_text(encoding="utf-8")
        assert 40 <= text.count("\n") <= 90
        assert f"answer.py {number} NUMBER" in text


def test_the_first_lessons_are_as_long_as_the_course_says() -> None:
    course = ROOT / "docs" / "course"
    pages = [course / "README.md", *(course / f"{name}.md" for name in LESSONS[:3])]
    scripts = [ROOT / "examples" / "course" / f"{name}.py" for name in LESSONS[:3]]
    words = sum(len(path.read_text(encoding="utf-8").split()) for path in (*pages, *scripts))
    said, minutes = re.findall(r"reading ([\d,]+) words.*?that is (\d+)\s+minutes", pages[0].read_text(), re.DOTALL)[0]
    assert words == pytest.approx(int(said.replace(",", "")), abs=50)
    assert round(words / 200) == int(minutes)


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
    inside = np.array([2, 3, 2])  # of the three taps along a side, from edge to edge
    assert [said[f"K, {row}"] for row in ("top", "middle", "bottom")] == [
        " ".join(map(str, row)) for row in 10 * np.outer(inside, inside)
    ]


def test_the_threshold_is_where_the_line_crosses_zero() -> None:
    """gamma (x - mean) / sqrt(variance) + beta = 0, channel by channel."""
    said = lines("03_norm")
    crossings = [0 - 1 / 2 * 2, 3 + 1 / 0.5 * 1, 1 + 2 / 1 * 0.5]
    found = [float(number) for number in said["threshold"].strip("[]").split()]
    assert found == pytest.approx(crossings, abs=1e-3)
    assert "of which 0 have another sign" in said["numbers tried"]


def test_a_threshold_by_division_is_often_beside_the_right_one() -> None:
    """Counted with products that are rounded once, and sums in float64, whose sign is the true one."""
    scale, shift = np.random.default_rng(1).standard_normal((2, 100_000)).astype(np.float32)
    scale = np.abs(scale)
    t = (-shift.astype(np.float64) / scale).astype(np.float32)
    wrong = np.zeros(100_000, dtype=bool)
    for x in (np.nextafter(t, np.float32(-np.inf)), t, np.nextafter(t, np.float32(np.inf))):
        product = (scale.astype(np.float64) * x).astype(np.float32)
        wrong |= (x < t) != (product.astype(np.float64) + shift < 0)
    said = lines("03_norm")
    assert said["by division"].split()[0] == f"{wrong.sum():,}"
    assert said["by search"].split()[0] == "0"


def test_a_gradient_is_believed_the_less_the_more_signs_it_comes_through() -> None:
    """Behind the last filter of a block there is no sign: what the gradient says of it is what happens."""
    rows = re.findall(r"(\w+) +(\d)x\d, +(\d+) -> +\d+: +(\d+) values, belief (\d\.\d\d)", lesson("04_block").stdout)
    assert [int(values) - 1 for *_, values, _ in rows] == [int(k) ** 2 * int(channels) for _, k, channels, _, _ in rows]
    plain, paths = ([float(row[-1]) for row in rows if row[0] == name] for name in ("bottleneck", "hpm"))
    for beliefs in (plain, paths):
        assert beliefs == sorted(beliefs)
        assert beliefs[-1] >= 0.99
    assert all(here > there for here, there in zip(paths[:2], plain[:2], strict=True))


def test_three_filters_see_three_sizes() -> None:
    """A 3x3 filter sees one pixel more on every side than what it stands on."""
    said = lines("05_paths")
    assert [said[name] for name in ("o1", "o2", "o3")] == [
        f"{channels} channels, sees {side}x{side} pixels" for channels, side in ((32, 3), (16, 5), (16, 7))
    ]
    assert said["block by hand"] == "the same"
    assert said["one-bit weights"].startswith(f"{9 * (64 * 32 + 32 * 16 + 16 * 16):,} of {3 * 9 * 64 * 64:,}")


def test_an_hourglass_sees_more_for_less() -> None:
    """Blocks in a row see 6 pixels more each; a level of an hourglass costs a quarter of the one above it."""
    rows = re.findall(r"sees +(\d+) pixels, +([\d,]+) bit", lesson("06_hourglass").stdout)
    found = [(int(side), int(macs.replace(",", ""))) for side, macs in rows]
    block = 64 * 64 * 9 * (16 * 8 + 8 * 4 + 4 * 4)
    assert found[:3] == [(1 + 6 * count, count * block) for count in (1, 4, 13)]
    levels = [
        block + sum(3 * block // 4**level for level in range(1, depth)) + 3 * block // 4**depth for depth in (1, 2)
    ]
    assert [macs for _, macs in found[3:5]] == levels
    assert [side for side, _ in found[3:]] == sorted(side for side, _ in found[3:])


def test_training_finds_crosses_and_rings() -> None:
    rows = re.findall(r"cross (\d+\.\d)(?: pixels)?, ring (\d+\.\d)", lesson("07_train").stdout)
    assert len(rows) == 4  # whoever says the middle, and after every hundred steps
    assert all(float(number) < 2 for number in rows[-1])


def test_the_number_looked_into_is_the_layers() -> None:
    said = lines("08_inside")
    found = re.fullmatch(r"72 - 2 \* (\d+) = (-?\d+)", said["one number"])
    assert found
    assert 72 - 2 * int(found[1]) == int(found[2])
    by_hand, layer = re.findall(NUMBER, said["times alpha"])
    assert by_hand == layer


def test_what_is_shipped_is_what_was_trained() -> None:
    said = lines("10_ship")
    assert said["answers"].startswith("0 of 12,800")
    for row in (said[f"picture {number}"] for number in range(4)):
        places = [float(number) for number in re.findall(r"-?\d+\.\d", row)]
        assert len(places) == 8
        for found, truth in ((places[0:2], places[2:4]), (places[4:6], places[6:8])):
            assert math.dist(found, truth) < 4


@pytest.fixture(scope="module")
def notebooks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("notebooks")
    assert run("docs/notebooks.py", folder).stdout == f"{len(LESSONS)} notebooks in {folder}\n"
    return folder


@pytest.mark.parametrize("name", LESSONS)
def test_a_notebook_prints_what_the_lesson_prints(notebooks: Path, name: str, tmp_path: Path) -> None:
    """Its cells, one after the other in one process, in another folder."""
    content = json.loads((notebooks / f"{name}.ipynb").read_text(encoding="utf-8"))
    code = ["".join(cell["source"]) for cell in content["cells"] if cell["cell_type"] == "code"]
    assert len(code) >= 3
    program = f"for cell in {code!r}:\n    exec(compile(cell, 'cell', 'exec'), globals())\n"
    command = [sys.executable, "-W", "error", "-c", program, "-f", "kernel.json"]  # arguments such as Jupyter's
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False, env=environment
    )
    page = (ROOT / "docs" / "course" / f"{name}.md").read_text(encoding="utf-8")
    (printed,) = re.findall(r"prints\n\n```text\n(.*?)```", page, re.DOTALL)
    assert done.stderr == ""
    assert_alike(done.stdout, printed, name)
    assert not list(tmp_path.iterdir())


def test_notebooks_are_such_as_jupyter_reads(notebooks: Path) -> None:
    nbformat = pytest.importorskip("nbformat")
    for name in LESSONS:
        nbformat.validate(nbformat.read(notebooks / f"{name}.ipynb", as_version=4))


def test_notebooks_want_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert run("docs/notebooks.py").returncode == 2
    done = run("docs/notebooks.py", tmp_path / "file")
    assert (done.returncode, done.stderr.count("\n")) == (5, 1)


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
