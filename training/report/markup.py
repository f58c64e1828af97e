"""HTML: escaped text, tables, pictures in the page itself, and the page around them."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray
from PIL import Image

STYLE = """
:root { color-scheme: light dark; --ink: #1c1e21; --paper: #fff; --soft: #f2f3f5; --line: #d5d8dd; --mark: #0b62b8; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e7ea; --paper: #16181c; --soft: #22252b; --line: #3a3f47; --mark: #7cb8f5; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 76rem; padding: 1rem; font: 16px/1.5 system-ui, sans-serif;
       color: var(--ink); background: var(--paper); }
h1 { font-size: 1.5rem; margin: 0.5rem 0; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 2rem 0 0.5rem; padding-top: 0.5rem; border-top: 1px solid var(--line); }
nav { display: flex; flex-wrap: wrap; gap: 0.25rem 1rem; margin: 0.5rem 0; }
a { color: var(--mark); }
p, li { max-width: 48rem; overflow-wrap: anywhere; }
.wide { overflow-x: auto; margin: 0.75rem 0; }
table { border-collapse: collapse; font-size: 0.875rem; font-variant-numeric: tabular-nums; }
th, td { padding: 0.25rem 0.6rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
th { background: var(--soft); }
.text, .facts th, .facts td { white-space: normal; text-align: left; overflow-wrap: anywhere; }
.text { min-width: 16rem; }
@media (max-width: 600px) {
  table { font-size: 0.8rem; } th, td { padding: 0.25rem 0.3rem; white-space: normal; } .text { min-width: 8rem; }
  td:first-child { min-width: 5.5rem; overflow-wrap: anywhere; }
}
.facts th { font-weight: normal; min-width: 7rem; max-width: 14rem; overflow-wrap: break-word; }
.figures { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 22rem), 1fr)); gap: 0.5rem; }
figure { margin: 0; } figure svg { width: 100%; height: auto; }
figcaption { font-size: 0.8rem; overflow-wrap: anywhere; }
.pictures { display: grid; grid-template-columns: repeat(auto-fill, minmax(9rem, 1fr)); gap: 0.75rem; }
.pairs { grid-template-columns: repeat(auto-fill, minmax(min(100%, 18.75rem), 1fr)); }
.pairs > div { display: grid; grid-template-columns: 1fr 1fr; gap: 0.75rem; }
.pictures img { width: 100%; height: auto; display: block; }
details { margin: 0.5rem 0; } summary { cursor: pointer; color: var(--mark); }
pre { overflow-x: auto; padding: 0.75rem; background: var(--soft); font-size: 0.8rem; }
""".strip()

Cell = str | int | float


def page(title: str, lead: str, sections: Sequence[tuple[str, str]]) -> str:
    """A whole page: a title, a line below it, sections by their headings, and links to these on top. Lead: HTML."""
    links = "".join(f'<a href="#s{number}">{escape(head)}</a>' for number, (head, _) in enumerate(sections))
    body = "".join(
        f'<section id="s{number}"><h2>{escape(head)}</h2>{text}</section>\n'
        for number, (head, text) in enumerate(sections)
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<link rel="icon" href="data:,"><title>{escape(title)}</title><style>{STYLE}</style></head>\n'
        f"<body><h1>{escape(title)}</h1><p>{lead}</p><nav>{links}</nav>\n{body}</body></html>\n"
    )


def paragraph(text: str) -> str:
    return f"<p>{escape(text)}</p>"


def table(head: Sequence[str], rows: Iterable[Sequence[Cell]], text: Sequence[int] = ()) -> str:
    """A table that scrolls sideways where there is no room. text: columns of sentences. Names may be broken at _."""
    words = [" class=text" if place in text else "" for place in range(len(head))]
    top = "".join(f"<th{kind}>{escape(cell)}</th>" for kind, cell in zip(words, head, strict=True))
    body = "".join(
        "<tr>"
        + "".join(
            f"<td{kind}>{escape(shown(cell)).replace('_', '_<wbr>')}</td>"
            for kind, cell in zip(words, row, strict=True)
        )
        + "</tr>"
        for row in rows
    )
    return f'<div class="wide"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def facts(rows: Iterable[tuple[str, str]]) -> str:
    """Names and what is to be said of each, which may be sentences."""
    body = "".join(f"<tr><th>{escape(name)}</th><td>{escape(text)}</td></tr>" for name, text in rows)
    return f'<table class="facts">{body}</table>'


def shown(cell: Cell) -> str:
    """Whole numbers with commas, others with two digits behind the point, below 1 with three."""
    if isinstance(cell, float):
        return f"{cell:.3f}" if 0 < abs(cell) < 1 else f"{cell:.2f}"
    return f"{cell:,}" if isinstance(cell, int) and not isinstance(cell, bool) else str(cell)


def folded(summary: str, content: str) -> str:
    """What is hidden until somebody asks. Content: HTML."""
    return f"<details><summary>{escape(summary)}</summary>{content}</details>"


def figures(drawn: Iterable[tuple[str, str]]) -> str:
    """SVG with a caption each, as many side by side as there is room for."""
    cells = "".join(f"<figure>{svg}<figcaption>{escape(words)}</figcaption></figure>" for svg, words in drawn)
    return f'<div class="figures">{cells}</div>'


def pictures(images: Iterable[tuple[str, str]]) -> str:
    """Pictures as `embedded` makes them, with captions, which are their descriptions as well."""
    return f'<div class="pictures">{"".join(_figure(*image) for image in images)}</div>'


def pairs(images: Iterable[Sequence[tuple[str, str]]]) -> str:
    """The same two by two: what is to be compared is never torn apart by the end of a row."""
    cells = "".join(f"<div>{_figure(*one)}{_figure(*other)}</div>" for one, other in images)
    return f'<div class="pictures pairs">{cells}</div>'


def _figure(source: str, words: str) -> str:
    return f'<figure><img alt="{escape(words)}" src="{source}"><figcaption>{escape(words)}</figcaption></figure>'


def embedded(image: NDArray[np.uint8], quality: int = 80) -> str:
    """A picture (H, W, 3) as the address of an <img>: JPEG, in the address itself."""
    content = io.BytesIO()
    Image.fromarray(image).save(content, format="JPEG", quality=quality)
    return f"data:image/jpeg;base64,{base64.b64encode(content.getvalue()).decode()}"
