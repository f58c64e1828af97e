"""Curves of a run: its log against the step, and cumulative error distributions."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.errors import UserError
from training.files.logs import read_log
from training.files.writing import atomic_write


def curves(log: str | Path, path: str | Path, metrics: Sequence[str] | None = None) -> None:
    """Draw a log as a PNG: loss, learning rate (`lr`) and metrics against the step, one above the other.

    The loss panel shows every column with "loss" in its name, the last panel the columns named by `metrics`,
    by default those with an "@" (`PCKh@0.5`). Raises DataError for a broken log, UserError if matplotlib is
    missing or a metric is not in the log, DiskError if the picture cannot be written.
    """
    columns = read_log(log)
    if unknown := set(metrics or ()) - columns.keys():
        raise UserError(f"{log} has no column {', '.join(sorted(unknown))}; it has {', '.join(columns)}")
    panels = {
        "loss": [name for name in columns if "loss" in name],
        "learning rate": [name for name in columns if name == "lr"],
        "metric": [name for name in columns if "@" in name] if metrics is None else metrics,
    }
    figure = _figure(8, 8)
    for axes, (title, names) in zip(figure.subplots(len(panels), sharex=True), panels.items(), strict=True):
        positive = True
        for name in names:
            there = np.isfinite(columns[name])
            values = columns[name][there]
            positive = positive and bool(np.all(values > 0))
            marker = "o" if len(values) <= 50 else ""
            axes.plot(columns["step"][there], values, label=name, marker=marker, markersize=3, linewidth=1.2)
        if title == "loss" and positive:
            axes.set_yscale("log")
        axes.set_ylabel(names[0] if len(names) == 1 else title)
        _style(axes, legend=len(names) > 1)
    axes.set_xlabel("step")
    _save_figure(figure, path)


def ced(errors: Mapping[str, NDArray[np.floating]], path: str | Path, limit: float = 0.1) -> None:
    """Draw cumulative error distributions as a PNG: the share of faces whose error is at most x, for x up to `limit`.

    `errors` are the errors (N,) of the faces by name, as shares of a norm; one that is not finite never counts as
    small. Raises UserError if matplotlib is missing and DiskError if the picture cannot be written.
    """
    figure = _figure(7, 5)
    axes = figure.subplots()
    for name, values in errors.items():
        ordered = np.sort(np.where(np.isfinite(values), values, np.inf))
        reached = ordered[ordered <= limit]
        share = 100.0 * np.arange(len(reached) + 1) / max(1, len(ordered))
        x = 100.0 * np.concatenate([[0.0], reached, [limit]])
        axes.step(x, [*share, share[-1]], where="post", label=name, linewidth=1.2)
    axes.set(xlim=(0, 100 * limit), ylim=(0, 100), xlabel="error in percent of the norm", ylabel="percent of the faces")
    _style(axes, legend=True)
    _save_figure(figure, path)


def _figure(width: float, height: float) -> Any:
    """An empty figure of so many inches, without pyplot: no global state, no window."""
    try:
        from matplotlib.figure import Figure  # only here: a second to import, and nothing else needs it
    except ModuleNotFoundError:
        raise UserError('curves need matplotlib: pip install "matplotlib>=3.8"') from None
    return Figure(figsize=(width, height), layout="constrained")


def _style(axes: Any, legend: bool) -> None:
    axes.grid(visible=True, which="both", linewidth=0.4, alpha=0.5)
    axes.spines[["top", "right"]].set_visible(False)
    if legend:
        axes.legend(frameon=False)


def _save_figure(figure: Any, path: str | Path) -> None:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100, metadata={"Software": None})
    atomic_write(path, buffer.getvalue())
