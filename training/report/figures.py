"""Curves as SVG that stands in a page: lines in colours that read on white and on black, words in the page's own."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.pictures.charts import new_figure, plain_ticks, style

LINES = ("#e07b00", "#2f8fdc", "#22a06b", "#b05ccc", "#8a8f98")
"""Told apart with every common kind of colour blindness, on white and on black."""

INK = "#010203"  # what matplotlib draws words and frames in, and what becomes the page's own colour

Curve = tuple[NDArray[Any], NDArray[Any]]
"""x and y, of one length; NaN is left out."""


def lines(curves: Mapping[str, Curve], x: str, y: str, *, log: bool = False, title: str = "") -> str:
    """Curves by name in one frame, as SVG. log: a logarithmic y axis, if everything is above 0."""
    figure = new_figure(5, 3.1)
    axes = figure.subplots()
    positive = True
    for number, (name, (at, values)) in enumerate(curves.items()):
        there = np.isfinite(values)
        positive = positive and bool(np.all(values[there] > 0))
        marker = "o" if there.sum() <= 30 else ""
        axes.plot(
            at[there],
            values[there],
            label=name,
            color=LINES[number % len(LINES)],
            marker=marker,
            markersize=3,
            linewidth=1.6,
        )
    if log and positive:
        axes.set_yscale("log")
    plain_ticks(axes)
    axes.set(xlabel=x, ylabel=y, title=title)
    return _svg(figure, axes, legend=len(curves) > 1)


def histogram(counts: Sequence[int], low: float, high: float, x: str, y: str) -> str:
    """Counts in bins of one width between low and high."""
    figure = new_figure(5, 3.1)
    axes = figure.subplots()
    edges = np.linspace(low, high, len(counts) + 1)
    axes.bar(edges[:-1], counts, width=edges[1] - edges[0], align="edge", color=LINES[1], linewidth=0)
    axes.set(xlabel=x, ylabel=y)
    return _svg(figure, axes, legend=False)


def places(points: NDArray[Any], radius: NDArray[Any], edges: Sequence[tuple[int, int]], names: Sequence[str]) -> str:
    """Points (K, 2) with a disc around each of its radius (K,), in the same pixels; y goes down, as in pictures."""
    figure = new_figure(5, 5)
    axes = figure.subplots()
    for a, b in edges:
        if np.isfinite(points[[a, b]]).all():
            axes.plot(*points[[a, b]].T, color=LINES[4], linewidth=1)
    from matplotlib.patches import Circle  # late, as in `new_figure`

    known = points[np.isfinite(points[:, 0]), 0]
    middle = known.sum() / max(1, len(known))
    for place, size, name in zip(points, radius, names, strict=True):
        if np.isfinite([*place, size]).all():
            disc = Circle(tuple(place), float(size), color=LINES[0], alpha=0.45, linewidth=0)
            axes.add_patch(disc)
            axes.plot(*place, ".", color=LINES[1], markersize=3)
            if len(names) <= 20:
                right = place[0] >= middle  # of points that lie close, those of either side keep their names apart
                axes.annotate(
                    name,
                    tuple(place),
                    fontsize=7,
                    xytext=(3 if right else -3, 3),
                    textcoords="offset points",
                    ha="left" if right else "right",
                )
    axes.set_aspect("equal")
    axes.invert_yaxis()
    axes.set(xlabel="pixels that the network sees")
    return _svg(figure, axes, legend=False)


def _svg(figure: Any, axes: Any, legend: bool) -> str:
    """The figure as an element of a page. Its identifiers follow from its content: figures of a page keep apart."""
    import matplotlib as mpl

    style(axes, legend)
    for part in (figure, axes):
        part.patch.set_visible(False)
    text = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "hbcore"}):
        for label in figure.findobj(mpl.text.Text):
            label.set_color(INK)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_tick_params(which="both", color=INK, labelcolor=INK)
        for spine in axes.spines.values():
            spine.set_edgecolor(INK)
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    drawn = text.getvalue()
    drawn = drawn[drawn.index("<svg") :]
    drawn = re.sub(r"<metadata>.*?</metadata>", "", drawn, flags=re.DOTALL)
    drawn = re.sub(r'(<svg\b[^>]*?) height="[^"]*"', r"\1", drawn)
    drawn = re.sub(r'(<svg\b[^>]*?) width="[^"]*"', r"\1", drawn)
    own = hashlib.sha256(drawn.encode()).hexdigest()[:8]
    drawn = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{own}-", drawn)
    return drawn.replace(INK, "currentColor")
