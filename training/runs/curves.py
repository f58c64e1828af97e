"""Curves of a run: its log against the step."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from training.errors import UserError
from training.files.logs import read_log
from training.pictures.charts import new_figure, plain_ticks, save_figure, style


def curves(log: str | Path, path: str | Path, metrics: Sequence[str] | None = None, loss: str = "loss") -> None:
    """Draw a log as a PNG: loss, learning rate (`lr`) and metrics against the step, one above the other.

    The loss panel, labelled `loss`, shows every column with "loss" in its name, the last panel the columns named by
    `metrics`, by default those with an "@" (`PCKh@0.5`). Raises DataError for a broken log, UserError if matplotlib is
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
    figure = new_figure(8, 8)
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
        plain_ticks(axes)
        axes.set_ylabel(loss if title == "loss" else _label(title, names))
        style(axes, legend=len(names) > 1)
    axes.set_xlabel("step")
    save_figure(figure, path)


def _label(title: str, names: Sequence[str]) -> str:
    """What a panel shows, with its unit: scores are in percent."""
    return title if title == "learning rate" else f"{names[0] if len(names) == 1 else title} in %"
