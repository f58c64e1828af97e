"""Labelled pictures, before anything is trained on them: `python -m training.data check SPEC ...`.

    check     look for unreadable pictures, copies in train and test, points outside, exchanged sides and the like
    convert   write labels of any tool as COCO keypoints JSON or CSV
    next      list the pictures of a folder that are worth labelling next

Exit codes: 0 nothing worse than a warning, 2 usage, 3 errors in the data, 5 disk, 130 interrupted.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

if not __package__:  # run as a file, from whatever folder: its own is not the one that holds `training`
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from training.checks.faults import ERRORS, WARNINGS, Finding
from training.checks.findings import Scan, check, unchecked
from training.checks.sheet import contact_sheet, worst
from training.choosing.listing import next_pictures
from training.command_line.parser import Parser, carry_out, parse
from training.datasets import OWN_KINDS, POSE_KINDS, Dataset, Kind, has_validation, open_dataset
from training.datasets.faces import FACE_KINDS
from training.datasets.kinds import describe_kinds
from training.datasets.own.labels import own_labels
from training.datasets.own.writing import write_labels
from training.datasets.parts import PART_KINDS
from training.datasets.splits import SPLITS
from training.errors import DataError, UserError
from training.files.writing import atomic_write, make_folder, write_json
from training.pictures.drawing import save_png
from training.runs.progress import ProgressBar

KINDS: Mapping[str, Kind] = {**PART_KINDS, **FACE_KINDS, **POSE_KINDS, "faces": FACE_KINDS["synthetic"]}
"""Of all tasks, those of faces by their points. The drawn faces, called synthetic among faces, are `faces` here."""

SHOWN = 12  # findings on the screen


def check_data(options: argparse.Namespace) -> None:
    """Check data sets, print and write what was found. Raises DataError if there are errors among it."""
    out = make_folder(options.out)
    datasets, left_out = _open(options.data)
    total = sum(len(dataset) for _, dataset in datasets)
    with closing(ProgressBar(0, total, 1, options.quiet or options.json, "sample")) as bar:
        done = 0

        def advance() -> None:
            nonlocal done
            done += 1
            bar.update(done)

        scans, findings = check(datasets, advance)
    left_out += unchecked(scans)
    report = _report(scans, findings, left_out)
    write_json(out / "check.json", report)
    atomic_write(out / "findings.csv", _table(report["findings"]).encode(errors="backslashreplace"))
    shown = worst(findings)
    if shown:
        save_png(out / "contact_sheet.png", contact_sheet(scans, shown))
    else:
        (out / "contact_sheet.png").unlink(missing_ok=True)  # of an earlier check
    if options.json:
        print(json.dumps(report, indent=2))
    elif not options.quiet:
        _print(scans, findings, left_out, f"{options.out}")
    errors = sum(finding.error for finding in findings)
    if errors:
        raise DataError(f"{errors} error{'s' if errors > 1 else ''} in the data: see {out / 'findings.csv'}")


def convert(options: argparse.Namespace) -> None:
    """Write a user's own labels in one of our formats. Raises UserError for a data set of another kind."""
    spec = options.data
    opened = [own_labels(dataset) for _, dataset in _open([spec])[0]]
    splits = [samples for samples in opened if samples is not None]
    if not splits:
        raise UserError(f"{spec} is a published or drawn data set: only labels of {', '.join(OWN_KINDS)} are converted")
    out = Path(options.out or f"labels.{'json' if options.to == 'coco' else 'csv'}")
    left_out = write_labels(out, options.to, splits)
    if options.quiet:
        return
    for line in left_out[:SHOWN]:
        print(f"  {line}")
    if len(left_out) > SHOWN:
        print(f"  and {len(left_out) - SHOWN} more")
    exif = f"&exif={splits[0].fitting.exif}" if splits[0].fitting.exif else ""
    print(f"{sum(map(len, splits))} samples, to be read as '{options.to}:{out}?images={splits[0].folder}{exif}'")


def _open(specs: Sequence[str]) -> tuple[list[tuple[str, Dataset]], list[dict[str, str]]]:
    """Every split of every data set; and those that there are not, or that are damaged, with the reasons.

    Raises what opening the first split raises where there is none at all.
    """
    twice = [spec for spec, count in Counter(specs).items() if count > 1]
    if twice:
        raise UserError(f"{twice[0]} is given twice")
    datasets = []
    left_out: list[dict[str, str]] = []
    for spec in specs:
        failures: list[DataError] = []
        for split in SPLITS if has_validation(spec, KINDS) else ("train", "test"):
            try:
                datasets.append((spec, open_dataset(spec, split, KINDS)))
            except DataError as error:
                failures.append(error)
                left_out.append({"spec": spec, "split": split, "reason": str(error)})
        if all(opened != spec for opened, _ in datasets):
            raise failures[0]
    return datasets, left_out


def _report(scans: Sequence[Scan], findings: Sequence[Finding], left_out: Sequence[dict[str, str]]) -> dict[str, Any]:
    return {
        "data": [
            {
                "spec": scan.spec,
                "split": scan.split,
                "persons": len(scan.dataset),
                "readable": len(scan.index),
                "protocol": scan.dataset.protocol,
                "labelled": scan.counts(),
            }
            for scan in scans
        ],
        "not_checked": left_out,
        "counts": Counter(finding.kind for finding in findings),
        "findings": [
            {
                "severity": "error" if finding.error else "warning",
                "kind": finding.kind,
                "data": scans[finding.data].spec,
                "split": scans[finding.data].split,
                "person": finding.sample,
                "name": finding.name,
                "message": finding.message,
                "weight": round(finding.weight, 3),
            }
            for finding in findings
        ],
    }


def _table(findings: Sequence[dict[str, Any]]) -> str:
    text = io.StringIO()
    columns = ["severity", "kind", "data", "split", "person", "name", "message", "weight"]
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(findings)
    return text.getvalue()


def _print(scans: Sequence[Scan], findings: Sequence[Finding], left_out: Sequence[dict[str, str]], out: str) -> None:
    for scan in scans:
        counts = list(scan.counts().values())
        some = f"each labelled {min(counts)} to {max(counts)} times"
        print(f"{scan.spec} ({scan.split}): {len(scan.dataset)} samples, {len(counts)} points or classes, {some}")
    for part in left_out:
        print(f"{part['spec']} ({part['split']}): not checked: {part['reason']}")
    counted = Counter(finding.kind for finding in findings)
    for kind, meaning in (ERRORS | WARNINGS).items():
        if counted[kind]:
            print(f"{counted[kind]:6d} {'ERROR' if kind in ERRORS else 'warning'}: {meaning}")
    for finding in worst(findings, SHOWN):
        print(f"  {finding.name}: {finding.message}")
    nothing = "nothing found in what was looked at" if left_out else "nothing found"
    print(f"everything in {out}: findings.csv, check.json, contact_sheet.png" if findings else nothing)


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= len(text) <= 9 and int(text)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of pictures")
    return int(text)


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code of one command line, which is run."""
    parser = Parser(prog="python -m training.data", description="Labelled pictures, before training on them.")
    verbs = parser.add_subparsers(dest="verb", required=True, parser_class=Parser)
    described: dict[str, Any] = {
        "epilog": describe_kinds(KINDS),
        "formatter_class": argparse.RawDescriptionHelpFormatter,
    }
    c = verbs.add_parser("check", help="find what is wrong with labelled pictures", **described)
    c.add_argument("data", nargs="+", metavar="NAME[:PATH]", help="one of those below; both splits are looked at")
    c.add_argument("--out", default="runs/check", help="folder for findings.csv, check.json and contact_sheet.png")
    c.add_argument("--json", action="store_true", help="print the findings as JSON")
    c.add_argument("--quiet", action="store_true", help="no progress, no summary")
    described["epilog"] = describe_kinds(OWN_KINDS)
    v = verbs.add_parser("convert", help="write labels of any tool in our formats", **described)
    v.add_argument("data", metavar="NAME:PATH", help=f"a user's own labels: {', '.join(OWN_KINDS)}")
    v.add_argument("--to", choices=("coco", "csv"), required=True, help="COCO keypoints JSON, or a table of points")
    v.add_argument("--out", metavar="FILE", help="by default labels.json or labels.csv; a TOML file comes beside it")
    v.add_argument("--quiet", action="store_true", help="do not say what was left out")
    n = verbs.add_parser("next", help="list the pictures of a folder that are worth labelling next")
    n.add_argument("model", metavar="MODEL", help="a model of points: a file, the folder of a run, or one of hbcore's")
    n.add_argument("folder", metavar="FOLDER", help="pictures; those that are labelled already are left out")
    n.add_argument("--labelled", action="append", metavar="NAME:PATH",
                   help="what has labels; repeatable; default: what the model was trained on")  # fmt: skip
    n.add_argument("--count", type=_count, default=20, metavar="N", help="how many to list; default: 20")
    n.add_argument("--finder", metavar="NAME|FILE", help="what says where to look; default: as for predict")
    n.add_argument("--out", metavar="FILE", help="also write the list, as FILE.csv or FILE.json")
    n.add_argument("--json", action="store_true", help="print it as JSON")
    n.add_argument("--quiet", action="store_true", help="no progress, no list")
    options = parse(parser, sys.argv[1:] if arguments is None else list(arguments))
    actions: dict[str, Callable[[argparse.Namespace], None]] = {
        "check": check_data,
        "convert": convert,
        "next": partial(next_pictures, kinds=KINDS),
    }
    return carry_out(options.verb, lambda: actions[options.verb](options))


if __name__ == "__main__":
    sys.exit(main())
