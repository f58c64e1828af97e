"""Whether a claim of the paper held here, over how many seeds, by how much, and whether the comparison was fair."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from training.configuration.schema import literal
from training.ledger.plan import Claim, Ledger
from training.ledger.results import (
    Outcome,
    Result,
    Statistics,
    compared_in,
    lower_is_better,
    pooled_spread,
    without_place,
)

HELD, FAILED, WITHIN = "held", "did not hold", "within the spread"
NOT_RUN, NOT_COMPARABLE = "not run", "not comparable"


@dataclass(frozen=True)
class Verdict:
    """status: one of the above. gain: how much better the better row was, in the metric's points; negative: worse.

    seeds: those that were compared. spread: the standard deviation of the gain, nan if unknown. notes: what was not
    equal between the rows, and what else the reader must know.
    """

    claim: Claim
    status: str
    metric: str = ""
    gain: float = math.nan
    spread: float = math.nan
    seeds: int = 0
    notes: tuple[str, ...] = ()


def judge(claim: Claim, ledger: Ledger, outcomes: Mapping[str, Outcome]) -> Verdict:
    """Whether a claim held: the comparison of its two rows.

    Runs with the same seed are pairs: they saw the same pictures in the same order. The gain is the mean difference
    of the pairs (of the rows' means where no seed is common), its spread the standard deviation of the differences.
    With one pair the spread is taken from the rows of the task that were run with several seeds, times the square
    root of 2. A claim held, or did not, if the gain is beyond its spread, or if no spread is known; a gain of zero
    never holds.
    """
    better, than = outcomes[claim.better], outcomes[claim.than]
    notes = [
        f"{name} seed {seed}: {failure.message}"
        for name in (claim.better, claim.than)
        for seed, failure in outcomes[name].failures.items()
    ]
    if not better.results or not than.results:
        return Verdict(claim, NOT_RUN, notes=tuple(notes))
    metrics = compared_in(result for outcome in (better, than) for result in outcome.results.values())
    if len(metrics) > 1:
        notes.append(f"measured in {' and in '.join(metrics)}")
        return Verdict(claim, NOT_COMPARABLE, notes=tuple(notes))
    (metric,) = metrics
    notes += inequalities(claim, ledger, better, than)
    sign = -1.0 if lower_is_better(metric) else 1.0
    common = sorted(better.results.keys() & than.results.keys())
    if common:
        pairs = [(better.results[seed].scores[metric], than.results[seed].scores[metric]) for seed in common]
        gain = Statistics.of(sign * (left - right) for left, right in pairs)
        mean, spread, seeds = gain.mean, gain.spread, len(common)
    else:
        ours, other = (Statistics.of(r.scores[metric] for r in o.results.values()) for o in (better, than))
        mean, spread = sign * (ours.mean - other.mean), math.hypot(ours.spread, other.spread)
        seeds = min(ours.count, other.count)
    if math.isnan(spread):
        task = ledger.rows[claim.better].task
        others = [outcomes[row.name] for row in ledger.rows.values() if row.task == task]
        spread = math.sqrt(2) * pooled_spread(others, metric)
        notes.append("one seed" + (", no spread known" if math.isnan(spread) else ", spread of other rows"))
    if abs(mean) <= spread:
        status = WITHIN
    else:
        status = HELD if mean > 0 else FAILED
    return Verdict(claim, status, metric, mean, spread, seeds, tuple(notes))


def inequalities(claim: Claim, ledger: Ledger, better: Outcome, than: Outcome) -> list[str]:
    """What was not the same for the rows of a claim besides what they name: steps, data, batch, seeds, anything."""
    notes = []
    if better.results.keys() != than.results.keys():
        seeds = [",".join(map(str, outcome.results)) for outcome in (better, than)]
        notes.append(f"unequal seeds: {seeds[0]} against {seeds[1]}")
    allowed = ledger.rows[claim.better].keys | ledger.rows[claim.than].keys
    sides = [[_conditions(result) for result in outcome.results.values()] for outcome in (better, than)]
    names = dict.fromkeys(name for side in sides for conditions in side for name in conditions)
    for name in names:
        if name in allowed or name.startswith("run."):
            continue
        left, right = (sorted({conditions.get(name, "absent") for conditions in side}) for side in sides)
        if left != right or len(left) > 1:
            notes.append(f"unequal {name}: {' or '.join(left)} against {' or '.join(right)}")
    return notes


def _conditions(result: Result) -> dict[str, str]:
    """Everything that two runs under comparison should share, by name."""
    settings = {
        f"{section}.{key}": literal(without_place(value))
        for section, values in result.settings.items()
        for key, value in values.items()
        if f"{section}.{key}" not in ("data.workers", "data.keep")
    }
    measured = {"steps taken": result.steps, "test pictures": result.pictures, "flip test": result.flip_test}
    return settings | {name: literal(value) for name, value in measured.items()}
