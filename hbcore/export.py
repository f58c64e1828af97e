"""Model files in other forms: `python -m hbcore.export pack MODEL -o FILE`, and `unpack FILE`, which shows one."""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from hbcore.autograd.function import Array
from hbcore.deploy.model_file import ModelFileError, load_model, read_arrays
from hbcore.deploy.packed_file import FORMAT, packed_bytes

OWN = "format", "architecture", "layers"  # keys of the header that are not passed on


def pack(source: str, target: Path) -> str:
    """Write the model file `source` as a packed file; what there is to say about it."""
    model, header = load_model(source)
    if header["format"] == FORMAT:
        raise ModelFileError(f"{source}: is a packed file already")
    content = packed_bytes(model, {key: value for key, value in header.items() if key not in OWN})
    part = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        part.write_bytes(content)
        part.replace(target)
    except OSError as error:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise ModelFileError(f"{target}: {error.strerror or error}") from error
    return f"{target}: {len(content):,} bytes, {os.path.getsize(source):,} before"


def unpack(source: str) -> list[str]:
    """A packed file, field by field: header, table of layers, and the arrays."""
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


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m hbcore.export", description="Model files in other forms.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    packing = verbs.add_parser("pack", help="bits as bits: a file of a tenth of the size")
    packing.add_argument("model", help="a model file, such as runs/pose/last.safetensors")
    packing.add_argument("-o", "--out", required=True, type=Path, help="the packed file to write")
    unpacking = verbs.add_parser("unpack", help="show a packed file, field by field")
    unpacking.add_argument("model", help="a packed file")
    options = parser.parse_args(arguments)
    try:
        lines = [pack(options.model, options.out)] if options.verb == "pack" else unpack(options.model)
    except (ModelFileError, ValueError) as error:
        print(f"export: {error}", file=sys.stderr)
        return 1
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
