"""Pages of whole runs: what they hold, that they need nothing from outside, and that a browser has no complaint."""

import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from tests.browser import Browser, chromium
from tests.command_lines import Outcome
from training import face, parts, pose
from training.report.__main__ import main
from training.report.figures import places

SMALL = (
    *("--quiet", "--steps", "4", "--batch-size", "2", "--workers", "0", "--threads", "1"),
    *("--data", "synthetic?length=4", "--test", "synthetic?length=6"),
    *("--set", "model.features=16", "model.depth=1", "data.size=32", "run.log_every=2", "run.eval_every=2"),
)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run of each task, and one of pose from another seed."""
    folder = tmp_path_factory.mktemp("runs")
    for name, task, more in (
        ("pose", pose, ()),
        ("face", face, ()),
        ("parts", parts, ()),
        ("other", pose, ("run.seed=1",)),
    ):
        assert task.main([*SMALL, *more, "--out", str(folder / name)]) == 0
        assert main([str(folder / name), "--resamples", "20"]) == 0
    assert main(["compare", str(folder / "pose"), str(folder / "other"), "--resamples", "20"]) == 0
    return folder


class Headings(HTMLParser):
    """Headings, identifiers, and elements that were never closed, or closed by another."""

    def __init__(self, text):
        super().__init__()
        self.found, self.ids, self.open, self.wrong = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.ids += [value for name, value in attributes if name == "id"]
        if tag not in ("meta", "link", "img", "wbr"):
            self.open.append(tag)
        if tag == "h2":
            self.found.append("")

    def handle_startendtag(self, tag, attributes):
        self.ids += [value for name, value in attributes if name == "id"]

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)

    def handle_data(self, text):
        if self.open[-1:] == ["h2"]:
            self.found[-1] += text


PAGES = "pose/report.html", "face/report.html", "parts/report.html", "pose/against-other.html"


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_whole_and_alone(runs, name):
    text = (runs / name).read_text(encoding="utf-8")
    page = Headings(text)
    assert (page.open, page.wrong) == ([], [])
    assert len(page.ids) == len(set(page.ids))
    assert not re.findall(r"(?:src|href)=\"(?!#|data:)", text)
    assert "<script" not in text
    assert len(text) < 5_000_000


def test_what_a_page_holds(runs):
    headings = [
        "Scores",
        "Curves",
        "Errors",
        "Worst 6",
        "Data",
        "Bits",
        "Network and memory",
        "Configuration and machine",
    ]
    for task, count in (("pose", 6), ("face", 6), ("parts", 6)):
        text = (runs / task / "report.html").read_text(encoding="utf-8")
        assert Headings(text).found == headings
        assert text.count("<img") == count
        assert "4 steps" in text
        assert "never settled" in text
    text = (runs / "pose/against-other.html").read_text(encoding="utf-8")
    assert Headings(text).found == ["Settings that differ", "Scores", "Curves", "Sample by sample"]
    assert "run.seed" in text
    both = re.findall(r'<div><figure><img alt="(.*?): [^"]*".*?</figure><figure><img alt="(.*?): [^"]*"', text)
    assert both
    assert all(one == other for one, other in both)  # the same sample, side by side
    assert text.count("<img") == 2 * len(both)


def test_a_page_without_pictures_for_others_to_see(runs, capsys):
    said = Outcome(main, capsys, runs / "pose", "--no-pictures", "--out", "public.html", "--resamples", "2")
    assert (said.code, said.out.startswith("public.html, ")) == (0, True)
    assert "<img" not in Path("public.html").read_text(encoding="utf-8")


def test_what_cannot_be_reported_is_one_line(runs, capsys, tmp_path):
    Outcome(main, capsys, tmp_path / "nowhere").fails(3, "holds no run: name the folder")
    Outcome(main, capsys, "compare", runs / "pose", runs / "face").fails(3, "nothing to compare")
    Outcome(main, capsys, runs / "pose", "--resamples", "0").fails(2, "--resamples 0: at least 1")
    Outcome(main, capsys, runs / "pose", "--data", "lsp:nowhere").fails(3, "nowhere")
    Outcome(main, capsys, "compare", runs / "pose").fails(2, "RUN")
    shutil.copytree(runs / "pose", tmp_path / "torn")
    (tmp_path / "torn/env.json").write_text("{")
    Outcome(main, capsys, tmp_path / "torn").fails(3, "cannot read")


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    chromium()
    with Browser(tmp_path_factory.mktemp("profile")) as there:
        yield there


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize(("width", "dark"), [(360, True), (1280, False)])
def test_a_browser_shows_it_without_complaint(runs, browser, name, width, dark):
    """Nothing is wider than the window but what scrolls by itself; words stand out in both colour schemes."""
    browser.open(runs / name, width, dark=dark)
    assert browser.ask("document.documentElement.scrollWidth") <= width
    levels = re.findall(r"\d+", browser.ask("getComputedStyle(document.body).backgroundColor"))
    assert (sum(map(int, levels[:3])) < 300) == dark
    assert browser.ask("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
    assert browser.complaints == []


def test_names_of_points_stand_on_the_outer_side():
    points = np.array([[10.0, 10.0], [30.0, 10.0], [np.nan, np.nan]])
    drawn = places(points, np.ones(3), [(0, 1)], ["left", "right", "unknown"])
    anchors = {name: anchor for anchor, name in re.findall(r"text-anchor: (\w+)[^>]*>([a-z]+)<", drawn)}
    assert anchors == {"left": "end", "right": "start"}, drawn  # and none of what has no place
