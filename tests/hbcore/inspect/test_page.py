"""The microscope as a page: what it holds, and, in a browser, that it computes what the layers computed."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from hbcore import save_model
from hbcore.inspect import __main__ as entry
from hbcore.inspect.documents import page
from hbcore.inspect.subject import Subject
from hbcore.inspect.views.microscope import slides
from tests.browser import Browser, chromium
from tests.command_lines import Outcome
from tests.hbcore.inspect.models import HEADER, model

DOCS = Path(__file__).parents[3] / "docs"
KINDS = {
    "hpm": {},
    "bottleneck": {"block": "bottleneck", "stacks": 2},
    "wide": {"features": 80, "scale": False},
    "prelu": {"activation": "prelu", "real_lin": True},
}


def written(capsys, name, *more, **architecture):
    """The page of a network, and what it looks at."""
    save_model(model(**architecture), f"{name}.safetensors", HEADER)
    done = Outcome(entry.main, capsys, "page", f"{name}.safetensors", "--out", f"{name}.html", *more)
    assert done.code == 0, done.errors
    return Path(f"{name}.html"), Subject.read(f"{name}.safetensors")


def data_of(path):
    text = path.read_text(encoding="utf-8")
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)[1])


def test_a_page_needs_nothing(capsys):
    path, subject = written(capsys, "m")
    assert not re.findall(r'(?:src|href)="(?!data:)|https?:|@import|fetch\(', path.read_text(encoding="utf-8"))
    assert [layer["name"] for layer in data_of(path)["layers"]] == [slide.name for slide in slides(subject)]


def test_layers_that_are_named_and_those_without_room(capsys, monkeypatch):
    path, _ = written(capsys, "one", "--layer", "heads.0.block.conv1")
    assert [layer["name"] for layer in data_of(path)["layers"]] == ["heads.0.block.conv1"]
    monkeypatch.setattr(page, "ROOM", 40_000)
    save_model(model(), "m.safetensors", HEADER)
    said = Outcome(entry.main, capsys, "page", "m.safetensors")
    assert re.match(r"\d+ layers, \d+ left out: name them with --layer\nmicroscope.html, [\d,]+ bytes\n", said.out)
    Outcome(entry.main, capsys, "page", "m.safetensors").fails(5, "microscope.html: is there already")
    words = "page", "m.safetensors", "--layer", "nowhere", "--out", "n.html"
    Outcome(entry.main, capsys, *words).fails(3, "--layer nowhere: no binary layer of this network")


def test_a_name_cannot_end_the_data():
    text = page.html({"model": "</script><b>", "layers": []})
    assert "</script><b>" not in text
    assert '"\\u003c/script>\\u003cb>"' in text


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    chromium()
    with Browser(tmp_path_factory.mktemp("profile")) as there:
        yield there


def test_its_numbers_are_those_of_the_layers_at_a_thousand_places(browser, capsys):
    rng = np.random.default_rng(5)
    compared = 0
    for name, architecture in KINDS.items():
        path, subject = written(capsys, name, **architecture)
        browser.open(path)
        found = slides(subject)
        for place, slide in enumerate(found):
            count = -(-250 // len(found))
            places = np.stack([rng.integers(end, size=count) for end in slide.y.shape], axis=1).tolist()
            script = f"""{json.dumps(places)}.map(([row, column, filter]) => {{
                const found = sample(opened(data.layers[{place}]), filter, row, column);
                return [found.factors, found.popcount, found.dot, found.value, found.kernel,
                        ...data.layers[{place}].rows[row], ...data.layers[{place}].rows[column]];
            }})"""
            for (row, column, channel), said in zip(places, browser.ask(script), strict=True):
                s = slide.at(row, column, channel)
                box = s.pixels.within(subject.size, subject.size)
                pixels = [box.top, box.bottom, box.left, box.right]
                assert said == [s.factors, s.popcount, s.dot, s.value, s.kernel, *pixels], (name, slide.name)
                assert s.value == s.kernel
                compared += 1
    assert compared >= 1000
    assert browser.complaints == []


@pytest.mark.parametrize(("width", "dark"), [(360, True), (1280, False)])
def test_the_page_is_moved_about_in_by_keys(browser, capsys, width, dark):
    path, _ = written(capsys, f"m{width}")
    browser.open(path, width, dark=dark)
    assert browser.ask("document.documentElement.scrollWidth") <= width
    assert "the layer computed the same" in browser.ask("element('sum').textContent")
    browser.ask("element('map').focus()")
    for key in ("ArrowDown", "ArrowRight", "ArrowRight", "ArrowUp", "ArrowUp"):  # the last one stays at the edge
        browser.press(key)
    assert browser.ask("[state.row, state.column]") == [0, 2]
    assert browser.ask("[element('row').value, element('column').value]") == ["0", "2"]
    browser.ask("element('layer').focus()")
    browser.press("Tab")
    assert browser.ask("document.activeElement.id") == "filter"
    browser.ask("element('filter').select()")
    browser.press("3")
    assert browser.ask("state.filter") == 3
    assert "--at 0,2 --channel 3" in browser.ask("element('command').textContent")
    assert browser.complaints == []


def test_the_example_of_the_page_on_paper(browser, capsys):
    """What docs/inspect.md computes by hand, cell by cell, is what the page shows, and every step of it is right."""
    assert Outcome(entry.main, capsys, "page", "face68-tiny", "--layer", "stem.3.conv3", "--out", "f.html").code == 0
    browser.open(Path("f.html"))
    browser.ask("(state.filter = 2, show())")
    text = (DOCS / "inspect.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d,\d) \| ([01 ]{14}) \| ([01 ]{14}) \| ([01 ]{14}) \| (\d) \|$", text, re.M)
    taps = browser.ask("""[...document.querySelectorAll('#taps tbody')].map(
        body => [...body.rows].map(row => [...row.cells].map(cell => cell.textContent)))""")
    outside, inside = ([tap for tap in taps if (tap[0][2] == "outside") is there] for there in (True, False))
    assert len(outside) == 5
    assert inside == [[[pixel, "a", a, ones], ["", "w", w], ["", "xor", xor]] for pixel, a, w, xor, ones in rows]
    for _, a, w, xor, ones in rows:
        numbers = [int(bits.replace(" ", ""), 2) for bits in (a, w, xor)]
        assert numbers[0] ^ numbers[1] == numbers[2]
        assert xor.count("1") == int(ones)
    assert sum(int(row[-1]) for row in rows) == 22
    assert "y = alpha dot = 0.53515625 * 4 = 2.140625\nthe layer computed the same" in browser.ask(
        "element('sum').textContent"
    )
