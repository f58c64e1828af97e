"""What `--help` says of data sets: their names, what PATH holds, and their options."""

from __future__ import annotations

from collections.abc import Mapping

from training.datasets import Kind

_COLUMN = 30


def describe_kinds(kinds: Mapping[str, Kind]) -> str:
    """Lines: every kind with what its PATH is, and its options below it."""
    lines = ["data sets, as NAME:PATH, with options 'NAME:PATH?OPTION=VALUE&OPTION=VALUE' (quoted, for the shell):"]
    for name, kind in kinds.items():
        place = name if kind.folder is None else f"{name}:PATH"
        about = f"{'file' if kind.file else 'holds'}: {kind.folder}" if kind.folder else "drawn, without a download"
        lines.append(f"  {place:<{_COLUMN - 2}} {about}")
        for key, values in kind.options.items():
            about = "" if isinstance(values, tuple) and values else ABOUT.get(key, "")
            lines.append(f"      {f'?{key}={_values(values)}':<{_COLUMN - 6}} {about}".rstrip())
    return "\n".join(lines)


ABOUT = {
    "images": "folder of the pictures; without it, that of the labels",
    "test": "share of the pictures held out for testing; 1: all of the file is for testing",
    "skeleton": "what the points mean; without it, FILE.toml beside the labels",
    "category": "the category to take; without it, the only one with keypoints",
    "length": "how many",
    "seed": "other ones",
    "size": "their side in pixels",
}
"""What options do, where their values do not say it."""


def _values(values: object) -> str:
    if isinstance(values, tuple):
        return "|".join(values) or "N"
    return "SHARE" if values is float else "TEXT"
