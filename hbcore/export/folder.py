"""Exported files into a folder: all of them or none, and over nobody else's."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from hbcore.deploy.model_file import ModelFileError, write_whole

MARK = "written by hbcore"
"""What is said somewhere in each of these files."""


def require_other(target: Path, model: str | Path) -> None:
    """Raise ModelFileError where the file to write is the model itself, which would be lost."""
    if os.path.exists(target) and os.path.exists(model) and os.path.samefile(target, model):
        raise ModelFileError(f"{model}: is the model itself: choose another name for the file to write")


def write_files(files: Mapping[str, bytes], folder: Path, later: Sequence[str] = ()) -> list[str]:
    """Write files, by their paths in a folder, which is made; these paths. later: files that will come beside them.

    ModelFileError, in one line, for a folder that cannot be used: nothing is written then, unless the disk is full.
    """
    for file in files:
        _require_place(folder / file, folder)
    for file in later:
        if (folder / file).is_dir():
            raise ModelFileError(f"{folder / file}: is a folder: choose another one for the files")
    try:
        for file in files:
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ModelFileError(f"{folder}: no folder can be made there: {error.strerror}") from None
    for file, content in files.items():
        write_whole(folder / file, content)
    return [f"{folder / file}" for file in files]


def _require_place(path: Path, folder: Path) -> None:
    """Raise ModelFileError unless a file can be put there, and there is none or one of ours."""
    try:
        for above in path.parents[: len(path.relative_to(folder).parts)]:
            if above.exists() and not above.is_dir():
                raise ModelFileError(f"{folder}: no folder can be made there: {above} is a file")
        if path.exists() and MARK not in path.read_text(encoding="utf-8", errors="replace").lower():
            raise ModelFileError(f"{path}: is another's file, which would be lost: choose another folder")
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be written: {error.strerror}") from None
