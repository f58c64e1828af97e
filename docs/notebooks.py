"""The lessons of the course as notebooks, made from their scripts and pages.

    python docs/notebooks.py FOLDER

writes a notebook for each lesson into FOLDER, over those that are there. Comments at the margin of a script become
text, what is between them becomes cells, and the page's words stand before and after. Scripts stay what is edited.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LESSONS, PAGES = ROOT / "examples" / "course", ROOT / "docs" / "course"


def cells(script: str) -> list[tuple[str, str]]:
    """The cells of a script, each "markdown" or "code" with its text; its docstring is left out."""
    body = re.sub(r'\A""".*?"""\n', "", script, flags=re.DOTALL)
    found = []
    for text, lines in groupby(body.splitlines(), key=lambda line: line.startswith("# ")):
        joined = "\n".join(line.removeprefix("# ") if text else line for line in lines).strip("\n")
        if joined:
            found.append(("markdown" if text else "code", joined))
    return found


def notebook(name: str) -> dict[str, object]:
    """One lesson, in the format that Jupyter reads."""
    page = (PAGES / f"{name}.md").read_text(encoding="utf-8")
    before, _, rest = page.partition("```bash\n")
    after = re.split(r"prints\n\n```text\n.*?```\n", rest, maxsplit=1, flags=re.DOTALL)[1].partition("\nBefore: ")[0]
    script = (LESSONS / f"{name}.py").read_text(encoding="utf-8")
    beside = f"import sys\n\nsys.path.insert(0, {str(LESSONS)!r})  # where the lessons keep what they share"
    parts = [("markdown", before.strip()), ("code", beside), *cells(script), ("markdown", _plain(after).strip())]
    return {
        "cells": [_cell(kind, text, place) for place, (kind, text) in enumerate(parts)],
        "metadata": {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def _plain(text: str) -> str:
    """Links to other pages of the checkout lead nowhere from a notebook: their words stay."""
    return re.sub(r"\[([^\]]*)\]\((?!\w+:)[^)]*\)", r"\1", text)


def _cell(kind: str, text: str, place: int) -> dict[str, object]:
    more = {"execution_count": None, "outputs": []} if kind == "code" else {}
    return {"cell_type": kind, "id": f"cell-{place}", "metadata": {}, "source": text.splitlines(keepends=True), **more}


def main(arguments: Sequence[str]) -> int:
    if len(arguments) != 1:
        print("usage: python docs/notebooks.py FOLDER", file=sys.stderr)
        return 2
    folder = Path(arguments[0])
    try:
        folder.mkdir(parents=True, exist_ok=True)
        names = sorted(path.stem for path in LESSONS.glob("[0-9]*.py"))
        for name in names:
            text = json.dumps(notebook(name), indent=1, ensure_ascii=False)
            (folder / f"{name}.ipynb").write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        print(f"notebooks: {error.filename}: {error.strerror}: choose another folder", file=sys.stderr)
        return 5
    print(f"{len(names)} notebooks in {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
