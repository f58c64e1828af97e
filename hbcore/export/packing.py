"""Packed files: a model file as one, and one field by field."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

from hbcore.autograd.function import Array
from hbcore.deploy.model_file import ModelFileError, load_model, read_arrays, reason, rebuilt, write_whole
from hbcore.deploy.packed_file import FORMAT, packed, packed_bytes
from hbcore.export.folder import require_other
from hbcore.landmarks.landmarker import find_model

OWN = "format", "architecture", "layers"  # keys of the header that are not passed on


def pack(source: str, target: Path) -> str:
    """Write the model file `source` as a packed file; what there is to say about it. ModelFileError if that fails."""
    model, header = load_model(source)
    if header["format"] == FORMAT:
        raise ModelFileError(f"{source}: is a packed file already")
    require_other(target, source)
    kept = {key: value for key, value in header.items() if key not in OWN}
    if isinstance(kept.get("trained"), dict):
        kept["trained"].pop("test", None)  # paths of a machine mean nothing to the others that a packed file is for
    try:
        arrays, described = packed(model, kept)
        rebuilt(arrays, described)  # whoever gets the file can read it
    except ValueError as error:
        raise ModelFileError(f"{source}: cannot be packed: {reason(error)}") from error
    content = packed_bytes(arrays, described)
    write_whole(target, content)
    return f"{target}: {len(content):,} bytes, {os.path.getsize(source):,} before"


def unpack(model: str) -> list[str]:
    """A packed file, by name or path, field by field: header, table of layers, and the arrays. ModelFileError."""
    source = find_model(model)
    load_model(source)  # whole and sound
    arrays, header = read_arrays(source, FORMAT)
    size = os.path.getsize(source)
    lines = [f"{source}: {size:,} bytes, of which {size - sum(a.nbytes for a in arrays.values()):,} are header"]
    lines += [f"  {key}: {_short(value)}" for key, value in header.items() if key != "layers"]
    lines += [f"{len(header['layers'])} layers: name, kinds, shape"]
    lines += [f"  {row}" for row in header["layers"]]
    kinds = Counter({name: array.nbytes for name, array in arrays.items()})
    lines += ["arrays: numbers, type, bytes"]
    lines += [f"  {name:<9} {_array(arrays[name])}" for name, _ in kinds.most_common()]
    return lines


def _array(array: Array) -> str:
    return f"{array.size:>9,} {array.dtype!s:<8} {array.nbytes:>9,}"


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 100 else f"{text[:97]}..."
