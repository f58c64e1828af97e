"""`python -m benchmarks`: side-by-side tables of hbcore and its peers; `--help` lists the choices."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import hbcore
from benchmarks import layer, loading, machine, memory, network, report, scaling, step
from benchmarks.peers import Peer, all_peers
from benchmarks.report import Table
from benchmarks.settings import Settings

TABLES: dict[str, Callable[[Settings, list[Peer]], Iterator[Table]]] = {
    "layer": layer.tables,
    "network": network.tables,
    "step": step.tables,
    "loading": loading.batch_tables,
    "run": loading.run_tables,
    "memory": memory.tables,
    "scaling": scaling.tables,
}


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(prog="python -m benchmarks", description="hbcore beside its peers")
    made.add_argument("--only", default=",".join(TABLES), metavar="TABLES", help=f"some of {','.join(TABLES)}")
    made.add_argument("--json", type=Path, metavar="FILE", help="write everything as JSON too")
    made.add_argument("--repeats", type=int, default=15, help="rounds in which all candidates take turns (15)")
    made.add_argument("--seconds", type=float, default=60.0, help="limit for each table, shared equally (60)")
    made.add_argument("--full", action="store_true", help="large training steps, and peers on 2 threads: minutes")
    made.add_argument("--tiny", action="store_true", help="the smallest sizes: does everything work?")
    made.add_argument("--compile", action="store_true", help="PyTorch compiled, too: minutes before the first number")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the chosen tables; 0, or 2 for a choice that cannot be."""
    chosen = parser().parse_args(arguments)
    names = [name.strip() for name in chosen.only.split(",") if name.strip()]
    unknown = [name for name in names if name not in TABLES]
    if unknown or not names:
        problem = f"unknown table {unknown[0]!r}" if unknown else "no table"
        print(f"error: {problem}: choose from {', '.join(TABLES)}", file=sys.stderr)
        return 2
    if chosen.repeats < 1 or chosen.seconds <= 0:
        print("error: --repeats and --seconds must be positive", file=sys.stderr)
        return 2
    settings = Settings(chosen.repeats, chosen.seconds, chosen.full, chosen.tiny, chosen.compile)
    hbcore.set_threads(1)  # holds BLAS to one thread as well
    peers = all_peers()
    described = machine.describe(peers)
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
