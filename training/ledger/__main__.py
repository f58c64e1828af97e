"""The paper's tables by name: `python -m training.ledger list|run|report`.

    list      rows, what the paper says of them and how certain that is, and claims
    run       train the rows that are not finished yet; stop and go on at will
    report    read the run folders: tables, claims, pictures

Exit codes: those of training/command_line/parser.py, and 6 if some runs failed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from training.command_line.parser import Parser, carry_out, parse
from training.errors import UserError
from training.files.writing import atomic_write, check_place
from training.ledger import pictures, report
from training.ledger.plan import load_ledger
from training.ledger.results import read_outcomes
from training.ledger.running import plan_jobs, run_jobs
from training.ledger.scales import Data, Scale, as_assignments
from training.ledger.sizes import paper_size
from training.ledger.verdicts import judge

OUT = "runs/ledger"


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code of one command line, which is run."""
    options = parse(_parser(), sys.argv[1:] if arguments is None else arguments)
    return carry_out(options.verb, lambda: VERBS[options.verb](options))


def show(options: argparse.Namespace) -> None:
    """Print rows and claims, table by table."""
    ledger = load_ledger()
    for table in ledger.tables:
        print(f"{table.title} (section {table.section}, table {table.name}), {table.metric}")
        for row in (ledger.rows[name] for name in table.rows):
            figure = "" if row.figure is None else f"{row.figure:g}"
            remark = f"not here: {row.not_here}" if row.not_here else as_assignments(row.settings)
            print(f"  {row.name:<34}{figure:>6}  {row.mark:<6}{row.label}{f'; {remark}' if remark else ''}")
        for claim in ledger.claims.values():
            if claim.table == table.name:
                points = "" if claim.paper is None else f"+{claim.paper:g}"
                print(f"  {claim.name:<34}{points:>6}  {claim.mark:<6}claim: {claim.says}")
        print()
    print("Figures are the paper's, as recalled; those marked R were read in a public source. See docs/ledger.md.")


def run(options: argparse.Namespace) -> None:
    """Train what is not finished."""
    out = Path(options.out)
    data = Data.parse(options.data, options.test)
    rows = load_ledger().select(options.rows)
    jobs = plan_jobs(rows, options.seeds, Scale.load(options.scale), data, out, options.steps)
    if options.dry_run:
        for job in jobs:
            state = "finished" if job.finished else "diverged" if job.diverged else "to do"
            print(f"{state:<9} {job}: {job.folder}")
        return
    run_jobs(jobs, out, options.minutes, say=lambda text: print(text, flush=True))


def write_report(options: argparse.Namespace) -> None:
    """Write report.md, rows.csv, claims.csv and pictures into the folder of the runs, and fill a page with them."""
    out = Path(options.out)
    if not out.is_dir():
        raise UserError(f"there is no folder {out}: name the one that `run` wrote to with --out")
    if options.write:
        check_place(options.write)
    ledger = load_ledger()
    outcomes = read_outcomes(out, ledger.rows.values())
    verdicts = [judge(claim, ledger, outcomes) for claim in ledger.claims.values()]
    parts = report.blocks(ledger, outcomes, verdicts, paper_size)
    page = Path(options.write) if options.write else None
    if page:
        report.fill(page, parts)
    for target in [out / "report.md", *([page] if page else [])]:
        shown = {}
        if not options.no_pictures:
            beside, lost = target.with_suffix(".png"), target.with_name(f"{target.stem}-lost-claims.png")
            if pictures.side_by_side(ledger, outcomes, beside):
                shown["The paper's figures and ours"] = beside.name
            if pictures.lost_claims(verdicts, outcomes, lost):
                shown["Curves of the claims that did not hold"] = lost.name
        if target != page:
            atomic_write(target, report.whole(parts, shown).encode())
    atomic_write(out / "rows.csv", report.rows_csv(ledger, outcomes, paper_size).encode())
    atomic_write(out / "claims.csv", report.claims_csv(verdicts).encode())
    print(f"{out / 'report.md'}, rows.csv, claims.csv{f'; {page}' if page else ''}")


def _seeds(text: str) -> list[int]:
    seeds = text.split(",")
    if not all(seed.isascii() and seed.isdigit() and int(seed) < 2**63 for seed in seeds):
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of seeds such as 0,1,2")
    return list(dict.fromkeys(map(int, seeds)))


def _positive(kind: type[int] | type[float]) -> type[int] | type[float]:
    def read(text: str) -> int | float:
        value = kind(text)
        if not 0 < value < float("inf"):
            raise argparse.ArgumentTypeError(f"{text} is not above 0")
        return value

    read.__name__ = "number"  # what argparse calls it when it cannot be read
    return read  # type: ignore[return-value]


def _parser() -> Parser:
    parser = Parser(prog="python -m training.ledger", description="The paper's tables, by name, beside ours.")
    verbs = parser.add_subparsers(dest="verb", required=True, parser_class=Parser)
    verbs.add_parser("list", help="rows, the paper's figures and how certain they are, claims")

    r = verbs.add_parser("run", help="train what is not finished yet")
    r.add_argument("rows", nargs="*", metavar="ROW", help="rows, tables or claims by name or glob; default: all rows")
    r.add_argument("--scale", default="small", help="small (the default), paper, or a TOML file of that form")
    for option, what in (("--data", "train on"), ("--test", "test on")):
        r.add_argument(
            option,
            action="append",
            default=[],
            metavar="TASK=NAME:PATH",
            help=f"data to {what}, such as pose=lsp:PATH, as training.TASK {option} takes it; repeatable",
        )
    r.add_argument("--seeds", type=_seeds, default=[0], help="such as 0,1,2 (default: 0)")
    r.add_argument("--steps", type=_positive(int), help="steps of every row, in place of the scale's")
    r.add_argument("--minutes", type=_positive(float), help="stop after so many, to go on with the same command")
    r.add_argument("--dry-run", action="store_true", help="say what there is to do, train nothing")

    p = verbs.add_parser("report", help="write tables, claims and pictures of what was run")
    p.add_argument("--write", metavar="FILE", help="also fill the <!-- ledger:NAME --> places of this Markdown page")
    p.add_argument("--no-pictures", action="store_true", help="do without matplotlib")
    for verb in (r, p):
        verb.add_argument("--out", default=OUT, help=f"the folder of all runs (default: {OUT})")
    return parser


VERBS = {"list": show, "run": run, "report": write_report}

if __name__ == "__main__":
    sys.exit(main())
