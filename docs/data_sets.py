"""The table of data sets in docs/data.md, made from what the kinds say of themselves, as --help is.

python docs/data_sets.py            writes it
python docs/data_sets.py --check    exit code 1 where the page says something else
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "data.md"
BEGIN, END = "<!-- data sets: written by docs/data_sets.py -->", "<!-- data sets end -->"


def page() -> tuple[str, str]:
    """What the page says, and what it should say."""
    sys.path.insert(0, str(ROOT))
    from training.data import KINDS
    from training.datasets.kinds import kinds_table

    old = PAGE.read_text(encoding="utf-8")
    before, _, rest = old.partition(BEGIN)
    after = rest.partition(END)[2]
    return old, f"{before}{BEGIN}\n\n{kinds_table(KINDS)}\n\n{END}{after}"


def main(arguments: list[str]) -> int:
    """The exit code."""
    old, new = page()
    if old != new and "--check" in arguments:
        print("error: docs/data.md is out of date: run python docs/data_sets.py", file=sys.stderr)
        return 1
    if old != new:
        PAGE.write_text(new, encoding="utf-8")
        print("wrote docs/data.md")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
