"""Charts as PNG, and the cumulative error distribution among them. Needs matplotlib."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.errors import UserError
from training.files.writing import atomic_write


def ced(errors: Mapping[str, NDArray[np.floating]], path: str | Path, limit: float = 0.1) -> None:
    """Draw cumulative error distributions as a PNG: the share of faces whose error is at most x, for x up to `limit`.

    `errors` are the errors (N,) of the faces by name, as shares of a norm; one that is not finite never counts as
    small. Raises UserError if matplotlib is missing and DiskError if the picture cannot be written.
    """
    figure = new_figure(7, 5)
    axes = figure.subplots()
    for name, values in errors.items():
        ordered = np.sort(np.where(np.isfinite(values), values, np.inf))
        reached = ordered[ordered <= limit]
        share = 100.0 * np.arange(len(reached) + 1) / max(1, len(ordered))
        x = 100.0 * np.concatenate([[0.0], reached, [limit]])
        axes.step(x, [*share, share[-1]], where="post", label=name, linewidth=1.2)
    axes.set(xlim=(0, 100 * limit), ylim=(0, 100), xlabel="error in percent of the norm", ylabel="percent of the faces")
    style(axes, legend=True)
    save_figure(figure, path)


def new_figure(width: float, height: float) -> Any:
    """An empty figure of so many inches, without pyplot: no global state, no window."""
    try:
        from matplotlib.figure import Figure  # only here: a second to import, and nothing else needs it
    except ModuleNotFoundError:
        raise UserError('curves need matplotlib: pip install "matplotlib>=3.8"') from None
    return Figure(figsize=(width, height), layout="constrained")


def style(axes: Any, legend: bool) -> None:
    """A grid, no frame at the top and the right, and a legend if there is more than one line."""
    axes.grid(visible=True, which="both", linewidth=0.4, alpha=0.5)
    axes.spines[["top", "right"]].set_visible(False)
    if legend:
        axes.legend(frameon=False)


def plain_ticks(axes: Any) -> None:
    """Numbers beside the y axis as they are read aloud, 25 and 0.002, also on a logarithmic one."""
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    if axes.get_yscale() == "log":
        from matplotlib.ticker import LogLocator, NullFormatter  # late, as in `new_figure`

        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 1.5, 2.0, 3.0, 5.0, 7.0)))
        axes.yaxis.set_minor_formatter(NullFormatter())


def save_figure(figure: Any, path: str | Path) -> None:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100, metadata={"Software": None})
    atomic_write(path, buffer.getvalue())
