"""The command line of every export: a verb for each form."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hbcore.commands import DATA, Parser, say, tell
from hbcore.deploy.model_file import ModelFileError
from hbcore.export.c.files import write_c
from hbcore.export.packing import pack, unpack


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code, see `hbcore/commands.py`."""
    parser = Parser(prog="python -m hbcore.export", description="Model files in other forms.")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="pack|unpack|c")
    packing = verbs.add_parser("pack", help="bits as bits: a file of a tenth of the size")
    packing.add_argument("model", help="a model file, such as runs/pose/last.safetensors")
    packing.add_argument("-o", "--out", required=True, type=Path, help="the packed file to write")
    unpacking = verbs.add_parser("unpack", help="show a packed file, field by field")
    unpacking.add_argument("model", help="a packed file")
    in_c = verbs.add_parser("c", help="one file in C99 that any device can compile, and examples of its use")
    in_c.add_argument("model", help="a model file, packed or not, or the name of a model that comes with hbcore")
    in_c.add_argument("-o", "--out", required=True, type=Path, help="the folder to write it into")
    in_c.add_argument("--name", help="of the C files and of what they define; without it, that of the model file")
    options = parser.parse_args(arguments)
    try:
        if options.verb == "pack":
            lines = [pack(options.model, options.out)]
        elif options.verb == "unpack":
            lines = unpack(options.model)
        else:
            lines = write_c(options.model, options.out, options.name)
    except ModelFileError as error:
        tell("export", str(error))
        return DATA
    return say("export", lines)
