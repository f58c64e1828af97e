"""One page per run: `python -m training.report RUN`, or of two: `python -m training.report compare RUN RUN`.

The page is one HTML file that needs no network: scores with their intervals, curves, errors point by point, the worst
predictions, data, bits, memory and settings. Exit codes: those of training/command_line/parser.py.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from training.command_line.common import use_threads
from training.command_line.parser import Parser, carry_out, parse
from training.errors import UserError
from training.files.writing import atomic_write, check_place
from training.report.comparison import compare
from training.report.scores import RESAMPLES
from training.report.writing import Look, report

NAME = "report.html"
MOST = 5_000_000  # bytes of a page


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code of one command line, which is run."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    verb = "compare" if words[:1] == ["compare"] else "report"
    options = parse(_parser(verb), words[verb == "compare" :])

    def write() -> None:
        if options.resamples < 1:
            raise UserError(f"--resamples {options.resamples}: at least 1")
        use_threads(0)
        runs = [Path(run) for run in options.runs]
        out = (
            Path(options.out)
            if options.out
            else runs[0] / (NAME if verb == "report" else f"against-{runs[1].name}.html")
        )
        if runs[0].is_dir():  # else it is named below
            check_place(out)
        look = Look(options.data, not options.no_pictures, options.resamples)
        page = (report(runs[0], look) if verb == "report" else compare(runs[0], runs[1], look)).encode()
        if len(page) > MOST:
            raise UserError(f"the page would have {len(page):,} bytes: leave the pictures out, with --no-pictures")
        atomic_write(out, page)
        print(f"{out}, {len(page):,} bytes")

    return carry_out(verb, write)


def _parser(verb: str) -> Parser:
    two = verb == "compare"
    name = "python -m training.report" + (" compare" if two else "")
    about = (
        "Two runs side by side, in one page."
        if two
        else "All that is known of a run, in one page; `compare RUN RUN` for two."
    )
    parser = Parser(prog=name, description=about)
    parser.add_argument("runs", nargs=2 if two else 1, metavar="RUN", help="the folder of a training run")
    parser.add_argument("--data", action="append", metavar="NAME:PATH", help="the test set, if not where it was")
    parser.add_argument("--out", metavar="FILE", help=f"by default {NAME} in the run's folder")
    parser.add_argument("--no-pictures", action="store_true", help="without pictures of the test set")
    parser.add_argument("--resamples", type=int, default=RESAMPLES, metavar="N", help="of the bootstrap")
    return parser


if __name__ == "__main__":
    sys.exit(main())
