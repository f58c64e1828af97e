"""Pictures of the ledger: the paper's figures beside ours, and the curves of the claims that did not hold."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from training.errors import UserError
from training.files.logs import read_log
from training.files.writing import atomic_write
from training.ledger.plan import Ledger
from training.ledger.results import Outcome, Statistics, compared_in, lower_is_better
from training.ledger.verdicts import FAILED, WITHIN, Verdict

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PAPER, OURS = "#d95f02", "#1f78b4"


def side_by_side(ledger: Ledger, outcomes: Mapping[str, Outcome], path: Path) -> bool:
    """Draw, for every task and metric, the paper's figures (left) and ours with their spread (right), best row on top.

    Both panels share their rows: where the paper's dots descend and ours do not, the order did not hold. Rows without
    results are left out; False, and no picture, if there are none at all.
    """
    groups: dict[tuple[str, str], list[str]] = {}
    for row in ledger.rows.values():
        if result := outcomes[row.name].any:
            groups.setdefault((row.task, result.metric), []).append(row.name)
    if not groups:
        return False
    heights = [len(names) + 2 for names in groups.values()]
    figure = _figure(10, 0.3 * sum(heights) + 0.5)
    grid = figure.subplots(len(groups), 2, squeeze=False, sharey="row", height_ratios=heights)
    for ((task, metric), names), (left, right) in zip(groups.items(), grid, strict=True):
        sign = -1 if lower_is_better(metric) else 1
        (shown,) = compared_in(r for name in names for r in outcomes[name].results.values() if r.metric == metric)
        # Best on top, rows without a figure at the bottom, by our score.
        names.sort(key=lambda name: _order(ledger, outcomes, name, sign))
        for place, name in enumerate(names):
            row, results = ledger.rows[name], outcomes[name].results.values()
            if row.figure is not None:
                left.plot(row.figure, place, "o", color=PAPER)
            ours = Statistics.of(result.scores[shown] for result in results if result.metric == metric)
            error = None if math.isnan(ours.spread) else ours.spread
            right.errorbar(ours.mean, place, xerr=error, fmt="o", color=OURS, capsize=3)
        left.set_yticks(range(len(names)), names)
        left.set_ylim(-0.7, len(names) - 0.3)
        left.set_title(f"{task}, paper: {ledger.rows[names[0]].metric}", fontsize=9)
        right.set_title(f"{task}, ours: {shown}", fontsize=9)
        for axes in (left, right):
            if sign < 0:
                axes.invert_xaxis()  # better is to the right everywhere
            axes.grid(visible=True, linewidth=0.4, alpha=0.5)
    _save(figure, path)
    return True


def _order(ledger: Ledger, outcomes: Mapping[str, Outcome], name: str, sign: int) -> tuple[bool, float]:
    figure = ledger.rows[name].figure
    if figure is not None:
        return True, sign * figure
    return False, sign * Statistics.of(result.score for result in outcomes[name].results.values()).mean


def lost_claims(verdicts: Sequence[Verdict], outcomes: Mapping[str, Outcome], path: Path) -> bool:
    """Draw training loss (left) and test score (right) of both rows of every claim that did not hold, a line per seed.

    Where runs were evaluated at their end only, a line joins the scores of the same seed instead. A claim within the
    spread is among them. False, and no picture, if there is none.
    """
    lost = [verdict for verdict in verdicts if verdict.status in (FAILED, WITHIN)]
    if not lost:
        return False
    figure = _figure(10, 2.6 * len(lost))
    for verdict, (left, right) in zip(lost, figure.subplots(len(lost), 2, squeeze=False), strict=True):
        claim = verdict.claim
        curves = False
        for name, colour in ((claim.better, OURS), (claim.than, PAPER)):
            for index, result in enumerate(outcomes[name].results.values()):
                log = read_log(result.folder / "log.csv")
                label = None if index else name
                left.plot(log["step"], log["train_loss"], color=colour, linewidth=0.9, label=label)
                scores = log.get(result.metric, np.empty(0))  # the log has no other total
                there = np.isfinite(scores)
                if np.count_nonzero(there) > 1:
                    curves = True
                    right.plot(log["step"][there], scores[there], "o-", color=colour, markersize=3, linewidth=0.9)
        if not curves:
            _pairs(right, claim.than, claim.better, outcomes, verdict.metric)
        left.set_yscale("log")
        left.set_ylabel("loss", fontsize=8)
        left.set_xlabel("step", fontsize=8)
        left.legend(frameon=False, fontsize=7)
        left.set_title(f"{claim.name}: {verdict.status}", fontsize=9)
        right.set_ylabel(result.metric if curves else verdict.metric, fontsize=8)
        for axes in (left, right):
            axes.grid(visible=True, linewidth=0.4, alpha=0.5)
    _save(figure, path)
    return True


def _pairs(axes: Any, than: str, better: str, outcomes: Mapping[str, Outcome], metric: str) -> None:
    """Scores of two rows, those of the same seed joined."""
    left, right = outcomes[than].results, outcomes[better].results
    for seed in sorted(left.keys() | right.keys()):
        ends = [(place, row[seed].scores[metric]) for place, row in enumerate((left, right)) if seed in row]
        axes.plot(*zip(*ends, strict=True), "o-", markersize=4, linewidth=0.9, label=f"seed {seed}")
    axes.set_xticks([0, 1], [than, better])
    axes.set_xlim(-0.5, 1.5)
    axes.legend(frameon=False, fontsize=7)


def _figure(width: float, height: float) -> Figure:
    try:
        from matplotlib.figure import Figure  # only here: a second to import
    except ModuleNotFoundError:
        raise UserError('pictures need matplotlib: pip install "matplotlib>=3.8", or --no-pictures') from None
    return Figure(figsize=(width, height), layout="constrained")  # not pyplot: no global state, no window


def _save(figure: Any, path: Path) -> None:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100, metadata={"Software": None})
    atomic_write(path, buffer.getvalue())
