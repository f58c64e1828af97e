"""Drawings of graphs as SVG: boxes in rows, every arrow downwards, few crossings. Nothing but this file is needed."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from statistics import mean

LETTER, LINE = 7.3, 17.0  # of a monospaced font of 12 pixels
INNER, APART, BELOW = 8.0, 22.0, 34.0  # within a box, between boxes, between rows
SWEEPS = 12

STYLE = """
svg { --ink: #1c1e21; --paper: #fff; --plain: #f2f3f5; --bits: #cfe5fb; --real: #fde0c2; --line: #6b7280; }
@media (prefers-color-scheme: dark) {
  svg { --ink: #e6e7ea; --paper: #16181c; --plain: #2a2d33; --bits: #1d4468; --real: #62401b; --line: #9aa1ab; }
}
.paper { fill: var(--paper); } text { fill: var(--ink); font: 12px ui-monospace, monospace; white-space: pre; }
rect { stroke: var(--line); } .plain { fill: var(--plain); } .bits { fill: var(--bits); } .real { fill: var(--real); }
path { fill: none; stroke: var(--line); stroke-width: 1.3; } marker path { fill: var(--line); stroke: none; }
""".strip()


@dataclass(frozen=True)
class Box:
    """Lines of text in a box, of the colour of a kind: "plain", "bits" or "real"."""

    lines: tuple[str, ...]
    kind: str = "plain"

    @property
    def width(self) -> float:
        return max(map(len, self.lines)) * LETTER + 2 * INNER

    @property
    def height(self) -> float:
        return len(self.lines) * LINE + INNER


Arrow = tuple[Hashable, Hashable]


def drawn(boxes: Mapping[Hashable, Box], arrows: Iterable[Arrow], title: str) -> str:
    """The graph as SVG, by the names of its boxes. ValueError for a circle, or an arrow to what is not there."""
    arrows = list(dict.fromkeys(arrows))
    rows = _rows(boxes, arrows)
    paths = {arrow: _path(arrow, rows) for arrow in arrows}
    order = _ordered(rows, paths.values())
    width = {name: box.width for name, box in boxes.items()}
    x = _across(order, paths.values(), width)
    left = min(x[name] - width.get(name, 0) / 2 for name in x) - APART
    right = max(x[name] + width.get(name, 0) / 2 for name in x) + APART
    heights = [max([boxes[name].height for name in row if name in boxes], default=0) for row in order]
    tops = [APART + sum(heights[:place]) + place * BELOW for place in range(len(order))]
    middle = {name: tops[place] + heights[place] / 2 for place, row in enumerate(order) for name in row}
    parts = [_line(path, x, middle, boxes, left) for path in paths.values()]
    parts += [_box(box, x[name] - left, middle[name]) for name, box in boxes.items()]
    bottom = tops[-1] + heights[-1] + APART
    size = f"{right - left:.0f}", f"{bottom:.0f}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size[0]} {size[1]}" width="{size[0]}" '
        f'height="{size[1]}" role="img"><title>{escape(title)}</title><style>{STYLE}</style>'
        '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
        'orient="auto"><path d="M0 0 8 4 0 8z"/></marker></defs>'
        f'<rect class="paper" width="100%" height="100%" stroke="none"/>{"".join(parts)}</svg>\n'
    )


def _rows(boxes: Mapping[Hashable, Box], arrows: Sequence[Arrow]) -> dict[Hashable, int]:
    """The row of each box: one below the lowest that leads to it, 0 where nothing does."""
    before: dict[Hashable, list[Hashable]] = {name: [] for name in boxes}
    for start, end in arrows:
        if start not in boxes or end not in boxes:
            raise ValueError(f"an arrow from {start} to {end}: one of them is not there")
        before[end].append(start)
    rows: dict[Hashable, int] = {}
    while len(rows) < len(boxes):
        ready = [name for name in boxes if name not in rows and all(other in rows for other in before[name])]
        if not ready:
            raise ValueError("a graph with a circle has no rows")
        rows |= {name: max((rows[other] + 1 for other in before[name]), default=0) for name in ready}
    return rows


def _path(arrow: Arrow, rows: Mapping[Hashable, int]) -> list[Hashable]:
    """Both ends of an arrow, and between them a place to go through in every row on the way."""
    start, end = arrow
    return [start, *((arrow, row) for row in range(rows[start] + 1, rows[end])), end]


def _ordered(rows: Mapping[Hashable, int], paths: Iterable[Sequence[Hashable]]) -> list[list[Hashable]]:
    """The names in every row from left to right: each about where its neighbours above, then below, are."""
    paths = list(paths)
    order: list[list[Hashable]] = [[] for _ in range(max(rows.values()) + 1)]
    for name, number in rows.items():
        order[number].append(name)
    for path in paths:
        for below, name in enumerate(path[1:-1], start=rows[path[0]] + 1):
            order[below].append(name)
    upper, lower = _neighbours(paths)
    for sweep in range(SWEEPS):
        beside = upper if sweep % 2 == 0 else lower
        place = {name: share for row in order for name, share in _shares(row)}
        for row in order if sweep % 2 == 0 else order[::-1]:
            wished = {
                name: mean(place[other] for other in beside[name]) if name in beside else place[name] for name in row
            }
            row.sort(key=wished.__getitem__)
            place |= dict(_shares(row))
    return order


def _shares(row: Sequence[Hashable]) -> list[tuple[Hashable, float]]:
    """Where each name of a row is, from 0 on the left to 1; in the middle if it is alone."""
    return [(name, at / (len(row) - 1) if len(row) > 1 else 0.5) for at, name in enumerate(row)]


def _neighbours(
    paths: Iterable[Sequence[Hashable]],
) -> tuple[dict[Hashable, list[Hashable]], dict[Hashable, list[Hashable]]]:
    above: dict[Hashable, list[Hashable]] = {}
    below: dict[Hashable, list[Hashable]] = {}
    for path in paths:
        for upper, lower in pairwise(path):
            above.setdefault(lower, []).append(upper)
            below.setdefault(upper, []).append(lower)
    return above, below


def _across(
    order: Sequence[Sequence[Hashable]], paths: Iterable[Sequence[Hashable]], width: Mapping[Hashable, float]
) -> dict[Hashable, float]:
    """The middle of everything: as near to the mean of its neighbours as the others of its row allow."""
    above, below = _neighbours(paths)
    x: dict[Hashable, float] = {}
    for row in order:
        x |= dict(zip(row, _apart([0.0] * len(row), [width.get(name, 0) for name in row]), strict=True))
    for sweep in range(6 * SWEEPS):
        for row in order if sweep % 2 == 0 else order[::-1]:
            near = [[*above.get(name, ()), *below.get(name, ())] for name in row]
            wished = [mean(x[other] for other in others) if others else x[name]
                      for name, others in zip(row, near, strict=True)]  # fmt: skip
            x |= dict(zip(row, _apart(wished, [width.get(name, 0) for name in row]), strict=True))
    return x


def _apart(wished: Sequence[float], widths: Sequence[float]) -> list[float]:
    """Middles in the order given, nowhere closer than their widths allow, with the least sum of squared moves.

    Without what must lie between, that is the nearest sequence that never falls: groups that would are merged.
    """
    between = [0.0]
    for one, other in pairwise(widths):
        between.append(between[-1] + (one + other) / 2 + APART)
    groups: list[tuple[float, int]] = []
    for wish, gap in zip(wished, between, strict=True):
        groups.append((wish - gap, 1))
        while len(groups) > 1 and groups[-2][0] > groups[-1][0]:
            (b, m), (a, n) = groups.pop(), groups.pop()
            groups.append(((a * n + b * m) / (n + m), n + m))
    even = [value for value, count in groups for _ in range(count)]
    return [value + gap for value, gap in zip(even, between, strict=True)]


def _line(
    path: Sequence[Hashable],
    x: Mapping[Hashable, float],
    middle: Mapping[Hashable, float],
    boxes: Mapping[Hashable, Box],
    left: float,
) -> str:
    """An arrow through its places, from the lower edge of one box to the upper edge of another."""
    points = [(x[name] - left, middle[name]) for name in path]
    start, end = boxes[path[0]], boxes[path[-1]]
    points[0] = points[0][0], points[0][1] + start.height / 2
    points[-1] = points[-1][0], points[-1][1] - end.height / 2
    text = f"M{points[0][0]:.1f} {points[0][1]:.1f}"
    for (x0, y0), (x1, y1) in pairwise(points):
        half = (y0 + y1) / 2
        text += f"C{x0:.1f} {half:.1f} {x1:.1f} {half:.1f} {x1:.1f} {y1:.1f}"
    return f'<path d="{text}" marker-end="url(#head)"/>'


def _box(box: Box, x: float, middle: float) -> str:
    left, top = x - box.width / 2, middle - box.height / 2
    words = "".join(
        f'<text x="{left + INNER:.1f}" y="{top + INNER / 2 + (place + 0.75) * LINE:.1f}">{escape(line)}</text>'
        for place, line in enumerate(box.lines)
    )
    return (
        f'<rect class="{box.kind}" x="{left:.1f}" y="{top:.1f}" width="{box.width:.1f}" height="{box.height:.1f}" '
        f'rx="4"/>{words}'
    )
