"""`python -m benchmarks`: side-by-side tables of hbcore and its peers; `--help` lists the choices."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import hbcore
from benchmarks import against, layer, loading, machine, memory, network, points, report, scaling, step
from benchmarks.material import materials
from benchmarks.peers import Missing, Peer, all_peers
from benchmarks.report import Table
from benchmarks.settings import Settings
from training.errors import UserError

TABLES: dict[str, Callable[[Settings, list[Peer]], Iterator[Table]]] = {
    "layer": layer.tables,
    "network": network.tables,
    "points": points.tables,
    "step": step.tables,
    "loading": loading.batch_tables,
    "run": loading.run_tables,
    "memory": memory.tables,
    "scaling": scaling.tables,
    "against": against.tables,
}


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(prog="python -m benchmarks", description="hbcore beside its peers")
    made.add_argument("--only", metavar="TABLES", help=f"some of {','.join(TABLES)}; default: all")
    made.add_argument("--json", type=Path, metavar="FILE", help="write everything as JSON too")
    made.add_argument("--repeats", type=int, default=15, help="rounds in which all candidates take turns (15)")
    made.add_argument("--seconds", type=float, default=60.0, help="limit for each table, shared equally (60)")
    made.add_argument("--full", action="store_true", help="large training steps, and peers on 2 threads: minutes")
    made.add_argument("--tiny", action="store_true", help="the smallest sizes: does everything work?")
    made.add_argument("--compile", action="store_true", help="PyTorch compiled, too: minutes before the first number")
    made.add_argument(
        "--data",
        action="append",
        default=[],
        metavar="SPEC",
        help="load and train on this too, as lsp:PATH; repeatable",
    )
    made.add_argument(
        "--against", type=Path, metavar="CHECKOUT", help="another checkout of hbcore, built, in turns with this one"
    )
    return made


def choices(chosen: argparse.Namespace) -> tuple[list[str], Settings, dict[str, Any]]:
    """Names of tables, their settings, and what --against names. UserError, before any table, for what cannot be."""
    every = [name for name in TABLES if name != "against" or chosen.against]
    names = every if chosen.only is None else [name.strip() for name in chosen.only.split(",") if name.strip()]
    unknown = [name for name in names if name not in TABLES]
    if unknown or not names:
        problem = f"unknown table {unknown[0]!r}" if unknown else "no table"
        raise UserError(f"{problem}: choose from {', '.join(TABLES)}")
    if chosen.repeats < 1 or chosen.seconds <= 0:
        raise UserError("--repeats and --seconds must be positive")
    if "against" in names and not chosen.against:
        raise UserError("the table against needs --against CHECKOUT")
    data, other = tuple(chosen.data), chosen.against and chosen.against.resolve()
    settings = Settings(chosen.repeats, chosen.seconds, chosen.full, chosen.tiny, chosen.compile, data, other)
    try:
        materials(settings)
    except UserError as error:
        raise UserError(f"--data: {error}") from None
    try:
        return names, settings, {"against": against.describe(other)} if "against" in names else {}
    except Missing as error:
        raise UserError(f"--against {chosen.against}: {error}") from None


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the chosen tables; 0, or 2 for a choice that cannot be."""
    chosen = parser().parse_args(arguments)
    try:
        names, settings, compared = choices(chosen)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    hbcore.set_threads(1)  # holds BLAS to one thread as well
    peers = all_peers()
    described = machine.describe(peers) | compared
    print(machine.as_text(described), flush=True)
    tables = []
    for name in names:
        for table in TABLES[name](settings, peers):
            print(report.as_text(table), flush=True)
            tables.append(table.as_data())
    hbcore.set_threads(1)
    if chosen.json:
        chosen.json.write_text(json.dumps({"machine": described, "tables": tables}, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
