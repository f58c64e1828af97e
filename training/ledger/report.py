"""The ledger for the reader: Markdown tables by name, and the same numbers as CSV."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from training.configuration.schema import literal
from training.errors import DataError, UserError
from training.files.writing import atomic_write
from training.ledger.plan import Ledger, Row, Table
from training.ledger.results import Outcome, Result, Statistics, compared_in, without_place
from training.ledger.verdicts import NOT_RUN, Verdict

NONE = "-"
LEGEND = (
    "Figures of the paper are quoted as recalled, except those marked R, which were read in a public source. C-hi: "
    "recalled, and an independent check agrees; C-med: recalled, coherent with the rest; C-lo: recalled weakly; I: "
    "inferred. Ours: mean over seeds ± standard deviation between them (number of seeds). Where data or size are not "
    "the paper's, compare the order of rows, not the figures."
)
# Said where the runs of a table have no total as the paper's is; see `Result.published`.
CONVENTIONS = {
    "PCKh@0.5": "Ours are shares of all labelled joints, not plain means over joints as published totals are",
    "NME_box": "Ours are means over faces, not over the three bins of yaw as the paper's",
}
# What a reader must know of the runs of a task; the rest is in config.toml of each run folder.
CONDITIONS = (
    "data.train", "data.test", "data.limit", "data.size", "model.features", "model.depth", "optim.name", "optim.lr",
    "optim.schedule", "optim.steps", "optim.batch_size", "augment.flip", "augment.rotate", "augment.scale",
    "augment.shift", "augment.colour", "augment.erase", "augment.mirror_shift",
)  # fmt: skip


def blocks(
    ledger: Ledger, outcomes: Mapping[str, Outcome], verdicts: Sequence[Verdict], size: Callable[[Row], int]
) -> dict[str, str]:
    """Markdown by name: `claims`, `conditions`, one per table of the ledger, and `failures`.

    size(row): parameters of the row's network at the paper's size.
    """
    parts = {"claims": _claims(verdicts), "conditions": _conditions(ledger, outcomes)}
    for table in ledger.tables:
        parts[table.name] = _table(table, ledger, outcomes, size)
    return parts | {"failures": _failures(outcomes)}


def whole(parts: Mapping[str, str], pictures: Mapping[str, str]) -> str:
    """All blocks as one page. pictures: file names by title."""
    shown = [f"![{title}]({name})" for title, name in pictures.items()]
    return "\n\n".join(["# The paper's tables and ours", LEGEND, *shown, *parts.values()]) + "\n"


def fill(path: Path, parts: Mapping[str, str]) -> None:
    """Replace what stands between `<!-- ledger:NAME -->` and `<!-- /ledger:NAME -->` in a page by the block NAME.

    Raises UserError if the page cannot be read, has no such pair, a name that is no block, or no end to one.
    """
    try:
        page = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read {path}: {error}") from None
    opened = re.findall(r"<!-- ledger:([\w-]+) -->", page)
    if not opened:
        raise UserError(f"{path} has no place for a block: write <!-- ledger:claims --> and <!-- /ledger:claims -->")
    for name in opened:
        if name not in parts:
            raise UserError(f"{path}: there is no block {name}, only {', '.join(parts)}")
        begin, end = f"<!-- ledger:{name} -->", f"<!-- /ledger:{name} -->"
        head, _, rest = page.partition(begin)
        _, closed, tail = rest.partition(end)
        if not closed:
            raise UserError(f"{path}: {begin} lacks its {end}")
        page = f"{head}{begin}\n{parts[name]}\n{end}{tail}"
    atomic_write(path, page.encode())


# --------------------------------------------------------------------------------------------------- Markdown


def _claims(verdicts: Sequence[Verdict]) -> str:
    idle = [v.claim.name for v in verdicts if v.status == NOT_RUN and not v.notes]
    lines = []
    for v in verdicts:
        claim = v.claim
        if claim.name in idle:
            continue
        lines.append(
            [
                f"{claim.says} (`{claim.name}`)",
                NONE if claim.paper is None else f"+{claim.paper:g}",
                claim.mark or NONE,
                f"**{v.status}**",
                NONE if math.isnan(v.gain) else f"{v.gain:+.2f}{spread(v.spread)} {v.metric}",
                str(v.seeds),
                "; ".join(v.notes) or NONE,
            ]
        )
    table = _markdown(["claim", "paper", "certainty", "here", "by", "seeds", "remarks"], lines)
    return "\n\n".join([*([table] if lines else []), *([f"Not run: {', '.join(idle)}."] if idle else [])])


def _conditions(ledger: Ledger, outcomes: Mapping[str, Outcome]) -> str:
    lines = []
    for task in dict.fromkeys(row.task for row in ledger.rows.values()):
        results = [
            (row, result)
            for row in ledger.rows.values()
            if row.task == task
            for result in outcomes[row.name].results.values()
        ]
        for name in CONDITIONS:
            section, _, key = name.partition(".")
            # A setting that a row is about says nothing of the others.
            values = {
                literal(without_place(result.settings.get(section, {}).get(key)))
                for row, result in results
                if name not in row.keys
            }
            if values:
                lines.append([task, f"`{name}`", " or ".join(sorted(values))])
        if results:
            pictures = sorted({result.pictures for _, result in results})
            lines.append([task, "test pictures", " or ".join(map(str, pictures))])
    return _markdown(["task", "setting", "value"], lines) if lines else "No run is finished."


def _table(table: Table, ledger: Ledger, outcomes: Mapping[str, Outcome], size: Callable[[Row], int]) -> str:
    rows = [ledger.rows[name] for name in table.rows]
    results = [result for row in rows for result in outcomes[row.name].results.values()]
    metrics = compared_in(results)
    ours = f"ours, {' or '.join(metrics)}" if metrics else "ours"
    scores = [
        [
            f"{row.label} (`{row.name}`)",
            NONE if row.figure is None else f"{row.figure:g}",
            row.mark or NONE,
            row.not_here or _ours(outcomes[row.name], metrics),
            _same(r.steps for r in outcomes[row.name].results.values()),
            _mean(r.minutes for r in outcomes[row.name].results.values()),
        ]
        for row in rows
    ]
    parts = [
        f"### {table.title} (section {table.section})",
        _markdown(["row", f"paper, {table.metric}", "certainty", ours, "steps", "minutes"], scores),
    ]
    trained = [row for row in rows if not row.not_here]
    if trained:
        parts.append(_sizes(trained, outcomes, size))
    if table.columns or any(row.details for row in rows):
        parts.append(_details(table, rows, outcomes))
    older = [result for result in results if result.published not in result.scores]
    if older and (told := CONVENTIONS.get(table.metric)):
        parts.append(f"{told}: {len(older)} of {len(results)} runs here were scored without these.")
    parts += [f"`{row.name}`: {row.note}." for row in rows if row.note]
    return "\n\n".join(parts)


def _sizes(rows: Sequence[Row], outcomes: Mapping[str, Outcome], size: Callable[[Row], int]) -> str:
    lines = []
    for row in rows:
        result = outcomes[row.name].any
        here = [NONE] * 5
        if result:
            network = result.network
            here = [
                f"{network['parameters']:,}",
                f"{network['binary_macs'] / 1e6:,.1f}",
                f"{network['real_macs'] / 1e6:,.1f}",
                f"{result.file_bytes / 1e3:,.1f}",
                f"{network['binary_weight_bytes'] / 1e3:,.1f}",
            ]
        paper = f"{row.params} ({row.params_mark})" if row.params else NONE
        lines.append([f"`{row.name}`", paper, f"{size(row) / 1e6:.2f}M", *here])
    head = [
        "row", "parameters, paper", "counted at the paper's size", "parameters here", "binary MMAC", "real MMAC",
        "model file, kB", "its 1-bit weights packed, kB",
    ]  # fmt: skip
    return _markdown(head, lines)


def _details(table: Table, rows: Sequence[Row], outcomes: Mapping[str, Outcome]) -> str:
    """The paper's further columns and the table's own, with ours after a slash where our metrics have that name."""
    names = list(dict.fromkeys([*table.columns, *(name for row in rows for name in row.details)]))
    lines = []
    for row in rows:
        cells = []
        results = outcomes[row.name].results.values()
        for name in names:
            mine = [result.scores[key] for result in results if (key := _detail_key(result, name)) is not None]
            paper = f"{row.details[name]:g}" if name in row.details else NONE
            cells.append(f"{paper} / {Statistics.of(mine).mean:.2f}" if mine else paper)
        if row.details or any("/" in cell for cell in cells):
            lines.append([f"`{row.name}`", *cells])
    return _markdown([f"paper ({table.details_mark or NONE}) / ours", *names], lines)


def _detail_key(result: Result, name: str) -> str | None:
    return next((key for key in (f"{result.metric}/{name}", name) if key in result.scores), None)


def _failures(outcomes: Mapping[str, Outcome]) -> str:
    lines = [
        [f"`{name}`", str(seed), str(failure.exit_code), failure.message]
        for name, outcome in outcomes.items()
        for seed, failure in outcome.failures.items()
    ]
    return _markdown(["row", "seed", "exit code", "why"], lines) if lines else "No run failed."


def _ours(outcome: Outcome, metrics: Sequence[str]) -> str:
    if not outcome.results:
        return "failed" if outcome.failures else "not run"
    statistics = Statistics.of(_scores(outcome, metrics))
    return f"{statistics.mean:.2f}{spread(statistics.spread)} ({statistics.count})"


def _scores(outcome: Outcome, metrics: Sequence[str]) -> list[float]:
    """The scores of all seeds, in the one metric or, of several, in that which each is judged by."""
    return [result.scores[metrics[0] if len(metrics) == 1 else result.metric] for result in outcome.results.values()]


def spread(value: float) -> str:
    """What follows a mean: its spread, or nothing if that is not known."""
    return "" if math.isnan(value) else f" ± {value:.2f}"


def _same(values: Iterable[int]) -> str:
    return " or ".join(f"{value:,}" for value in sorted(set(values))) or NONE


def _mean(values: Iterable[float]) -> str:
    values = list(values)
    return f"{Statistics.of(values).mean:.1f}" if values else NONE


def _markdown(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in rows)


# -------------------------------------------------------------------------------------------------------- CSV


def rows_csv(ledger: Ledger, outcomes: Mapping[str, Outcome], size: Callable[[Row], int]) -> str:
    """One line per row of the ledger."""
    lines = []
    for row in ledger.rows.values():
        outcome = outcomes[row.name]
        result = outcome.any
        metrics = compared_in(outcome.results.values())
        statistics = Statistics.of(_scores(outcome, metrics)) if result else None
        network = result.network if result else {}
        lines.append(
            {
                "row": row.name,
                "table": row.table,
                "task": row.task,
                "paper_metric": row.metric,
                "paper": row.figure,
                "certainty": row.mark,
                "metric": " or ".join(metrics) or None,
                "mean": statistics.mean if statistics else None,
                "spread": None if statistics is None or math.isnan(statistics.spread) else statistics.spread,
                "seeds": " ".join(map(str, outcome.results)),
                "scores": " ".join(f"{value:.4f}" for value in _scores(outcome, metrics)),
                "failed_seeds": " ".join(map(str, outcome.failures)),
                "paper_parameters": row.params,
                "parameters_at_paper_size": None if row.not_here else size(row),
                "parameters": network.get("parameters"),
                "binary_macs": network.get("binary_macs"),
                "real_macs": network.get("real_macs"),
                "model_file_bytes": result.file_bytes if result else None,
                "packed_binary_weight_bytes": network.get("binary_weight_bytes"),
                "steps": _same(r.steps for r in outcome.results.values()).replace(",", "") if result else None,
                "minutes": Statistics.of(r.minutes for r in outcome.results.values()).mean if result else None,
            }
        )
    return _csv(lines)


def claims_csv(verdicts: Sequence[Verdict]) -> str:
    """One line per claim."""
    return _csv(
        [
            {
                "claim": v.claim.name,
                "better": v.claim.better,
                "than": v.claim.than,
                "paper": v.claim.paper,
                "certainty": v.claim.mark,
                "verdict": v.status,
                "metric": v.metric,
                "gain": None if math.isnan(v.gain) else v.gain,
                "spread": None if math.isnan(v.spread) else v.spread,
                "seeds": v.seeds,
                "remarks": "; ".join(v.notes),
            }
            for v in verdicts
        ]
    )


def _csv(lines: Sequence[Mapping[str, object]]) -> str:
    if not lines:
        raise DataError("the ledger has no rows")
    table = io.StringIO()
    writer = csv.DictWriter(table, list(lines[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return table.getvalue()
