"""The documentation as a site: it builds without a warning, links lead somewhere, and a browser has no complaint."""

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

from tests.browser import Browser, chromium

ROOT = Path(__file__).parents[2]
UNLISTED = {"models/TEMPLATE.md"}
TEXT = "[...document.querySelectorAll('main > p, .doc > p, .signature')]"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    pytest.importorskip("mkdocs", reason='the site needs mkdocs: pip install -e ".[docs]"')
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    return folder


class Page(HTMLParser):
    """Identifiers, links and scripts of a page."""

    def __init__(self, path):
        super().__init__()
        self.ids, self.links, self.scripts = set(), set(), 0
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        for name, value in attributes:
            if name == "id":
                self.ids.add(value)
            elif name in ("href", "src"):
                self.links.add(value)
        self.scripts += tag == "script"


def test_links_lead_somewhere(site):
    pages = {path: Page(path) for path in site.rglob("*.html") if path.name != "404.html"}
    assert len(pages) > 30
    broken = []
    for path, page in pages.items():
        for link in page.links:
            place, _, anchor = unquote(link).partition("#")
            if re.match(r"[a-z]+:", place):
                continue
            there = (path.parent / place).resolve() if place else path
            if not there.is_file() or (anchor and anchor not in pages[there].ids):
                broken.append(f"{path.relative_to(site)}: {link}")
    assert not broken
    assert not any(page.scripts for page in pages.values())


def test_every_page_is_in_the_menu():
    menu = set(re.findall(r"([\w/-]+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.M)) - UNLISTED
    there = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")} - UNLISTED
    assert there <= menu
    assert menu - there == {"index.md", "contributing.md", "changelog.md", "security.md"}


def test_the_api_has_every_room_and_its_docstrings(site):
    text = (site / "api" / "bits.html").read_text(encoding="utf-8")
    assert "dot = K - 2 * popcount(a xor w)" in text
    assert "def binary_dot(a: Words, w: Words, count: int) -&gt; NDArray[np.int32]" in text
    assert "<p>Sum of <code>count</code> products of signs over the last axis" in text
    assert "and the tests hold it as the oracle." in text  # two lines in the source
    assert "<pre>==================" in text
    rooms = {path.stem for path in (site / "api").glob("*.html")}
    assert {"bits", "kernels", "autograd", "binary", "nn", "optim", "deploy", "landmarks", "inspect"} <= rooms


@pytest.mark.parametrize(("width", "dark"), [(360, True), (1280, False)])
def test_a_browser_shows_all_pages_without_complaint(site, tmp_path, width, dark):
    chromium()
    with Browser(tmp_path / "profile") as browser:
        for path in sorted(site.rglob("*.html")):
            if path.name == "404.html":
                continue
            browser.open(path, width, dark=dark)
            assert browser.ask("document.documentElement.scrollWidth") <= width, path.name
            assert browser.ask("document.querySelector('h1').innerText"), path.name
            assert browser.ask(f"{TEXT}.every((each) => each.scrollWidth <= each.clientWidth)"), path.name
            assert browser.complaints == [], path.name
