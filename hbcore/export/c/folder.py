"""C files into a folder: all of them or none, and over nobody else's."""

from __future__ import annotations

from pathlib import Path

from hbcore.deploy.model_file import ModelFileError, write_whole
from hbcore.export.c.files import CModel

MARK = "written by hbcore"
"""What is said somewhere in each of these files."""


def write_c(made: CModel, folder: Path) -> list[str]:
    """Write the files into a folder, which is made; what there is to say about them.

    ModelFileError, in one line, for a folder that cannot be used: nothing is written then, unless the disk is full.
    """
    for file in made.files:
        _require_place(folder / file, folder)
    if (folder / "parity.json").is_dir():
        raise ModelFileError(f"{folder / 'parity.json'}: is a folder: choose another one for the files")
    try:
        for file in made.files:
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ModelFileError(f"{folder}: no folder can be made there: {error.strerror}") from None
    for file, text in made.files.items():
        write_whole(folder / file, text.encode("ascii"))
    sizes = f"RAM {made.facts['ram']} bytes, constants {made.facts['flash']} bytes"
    return [*(f"{folder / file}" for file in made.files), sizes]


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
