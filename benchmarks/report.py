"""Tables of times and ratios: made from timings, printed side by side, or turned into plain data for JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from benchmarks.timing import TURN, Absent, Candidate, Spread, Timing, interleave

KINDS = ("fp32", "bf16", "int8", "binary")


@dataclass(frozen=True)
class Row:
    """One candidate: `value` in the table's unit, and the ratio of it to that of the row named `against`."""

    name: str
    threads: int
    kind: str
    value: Spread
    against: str = ""
    ratio: Spread | None = None


@dataclass(frozen=True)
class Fact:
    """Something that follows from the rows: a number, one with its spread, or None if it is not to be had."""

    value: float | Spread | None
    note: str = ""


@dataclass
class Table:
    """name: as given to --only; title: what exactly; unit: of the values; facts: numbers derived from the rows."""

    name: str
    title: str
    unit: str = "ms"
    rows: list[Row] = field(default_factory=list)
    absent: list[Absent] = field(default_factory=list)
    facts: dict[str, Fact] = field(default_factory=dict)

    def as_data(self) -> dict[str, Any]:
        return asdict(self)

    def best(self, against: str, kind: str, begins: str = "") -> Fact | None:
        """The fastest of a kind, its name beginning so, among those that are divided by the same row."""
        same = [row for row in self.rows if row.against == against and row.kind == kind and row.name.startswith(begins)]
        row = min(same, key=lambda row: row.value.median, default=None)
        return None if row is None else Fact(row.ratio, row.name)


def timed_table(
    name: str, title: str, built: Sequence[Candidate | Absent], repeats: int, seconds: float, turn: float = TURN
) -> tuple[Table, dict[str, Timing]]:
    """Time what could be built; also the timings by name, for facts of the table's own.

    The fastest peer of each kind becomes a fact: ratios are asked for against the best, not against the handiest.
    """
    candidates = [b for b in built if isinstance(b, Candidate)]
    timings = {t.candidate.name: t for t in interleave(candidates, repeats, seconds, turn=turn)}
    table = Table(name, title, absent=[b for b in built if isinstance(b, Absent)])
    for timing in timings.values():
        candidate, against = timing.candidate, timings.get(timing.candidate.against)
        ratio = timing.over(against) if against is not None else None
        table.rows.append(
            Row(candidate.name, candidate.threads, candidate.kind, timing.seconds.times(1e3), candidate.against, ratio)
        )
    for base in dict.fromkeys(row.against for row in table.rows if row.against):
        found = {f"fastest {kind} peer": table.best(base, kind) for kind in KINDS}
        layout = table.best(base, "fp32", "PyTorch fp32")
        if layout != found["fastest fp32 peer"]:
            found["fastest PyTorch fp32"] = layout
        table.facts |= {f"{name} / {base}": fact for name, fact in found.items() if fact is not None}
    return table, timings


def as_text(table: Table) -> str:
    """The table for reading: median and quartiles of each row, its ratio with the ratio's quartiles, what is absent."""
    width = max([len(row.name) for row in table.rows] + [len(a.name) for a in table.absent] + [9])
    title = f"[{table.name}] {table.title}"
    head = f"{'candidate':<{width}}  thr  {table.unit:>9}  {'quartiles':>19}  {'ratio':>7}  {'quartiles':>15}  against"
    lines = [title, "-" * len(head), head]
    for row in table.rows:
        line = f"{row.name:<{width}}  {row.threads:>3}  {_number(row.value.median):>9}"
        line += f"  {_number(row.value.low):>8} - {_number(row.value.high):>8}"
        if row.ratio is not None:
            line += f"  {row.ratio.median:>7.2f}  {row.ratio.low:>6.2f} - {row.ratio.high:>6.2f}  {row.against}"
        lines.append(line)
    for absent in table.absent:
        lines.append(f"{absent.name:<{width}}    absent: {absent.reason}")
    for name, fact in table.facts.items():
        lines.append(f"  {name}: {_fact(fact)}")
    return "\n".join(lines) + "\n"


def _fact(fact: Fact) -> str:
    match fact.value:
        case None:
            text = "not available"
        case Spread(low, median, high):
            text = f"{_number(median)} ({_number(low)} - {_number(high)})"
        case number:
            text = _number(number)
    return f"{text}, {fact.note}" if fact.note else text


def _number(value: float) -> str:
    """Three digits, or all those before the point."""
    return f"{value:.3f}" if value < 10 else f"{value:.2f}" if value < 100 else f"{value:.0f}"
