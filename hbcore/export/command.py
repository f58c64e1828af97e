"""The command line of every export: a verb for each form."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from hbcore.commands import Parser, answer
from hbcore.deploy.model_file import ModelFileError, write_whole
from hbcore.export.c.certificate import certify
from hbcore.export.c.files import c_model
from hbcore.export.c.finding import with_finder
from hbcore.export.c.ways import NoComparison
from hbcore.export.crops import squares_in, synthetic
from hbcore.export.folder import write_files
from hbcore.export.onnx_file import write_onnx
from hbcore.export.packing import pack, unpack
from hbcore.export.wasm.module import wasm_files
from hbcore.threads import set_threads, usable_cores


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code, see `hbcore/commands.py`."""
    parser = Parser(prog="python -m hbcore.export", description="Model files in other forms.")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="pack|unpack|c|wasm|onnx")
    packing = verbs.add_parser("pack", help="bits as bits: a file of a tenth of the size")
    packing.add_argument("model", help="a model file, such as runs/pose/last.safetensors")
    packing.add_argument("-o", "--out", required=True, type=Path, help="the packed file to write")
    unpacking = verbs.add_parser("unpack", help="show a packed file, field by field")
    unpacking.add_argument("model", help="a packed file, or the name of a model that comes with hbcore")
    in_c = verbs.add_parser("c", help="one file in C99 that any device can compile, and examples of its use")
    in_c.add_argument("model", help="a model file, packed or not, or the name of a model that comes with hbcore")
    in_c.add_argument("--finder", metavar="MODEL", help="one that says where to look: from whole photographs to points")
    in_c.add_argument("-o", "--out", required=True, type=Path, help="the folder to write it into")
    in_c.add_argument("--name", help="of the C files and of what they define; without it, that of the model file")
    in_c.add_argument("--integers", action="store_true", help="no float between picture and maps: for devices without")
    parity = in_c.add_argument_group("parity.json: the file compiled here, compared bit by bit")
    parity.add_argument("--pictures", type=int, default=1000, metavar="N", help="how many (1000); 0: no parity.json")
    parity.add_argument("--crops", type=Path, metavar="FOLDER", help="of pictures to take; without it, made-up ones")
    parity.add_argument("--require-parity", action="store_true", help="an error unless all is equal")
    in_wasm = verbs.add_parser("wasm", help="the same file as WebAssembly, with a page and a script that use it")
    in_wasm.add_argument("model", help="a model file, packed or not, or the name of a model that comes with hbcore")
    in_wasm.add_argument("-o", "--out", required=True, type=Path, help="the folder to write it into")
    in_wasm.add_argument("--name", help="of the files; without it, that of the model file")
    in_onnx = verbs.add_parser("onnx", help="a graph of standard operators, for ONNX Runtime and others")
    in_onnx.add_argument("model", help="a model file, packed or not, or the name of a model that comes with hbcore")
    in_onnx.add_argument("-o", "--out", required=True, type=Path, help="the file to write")
    in_onnx.add_argument("--decode", action="store_true", help="points and scores, or classes, in the graph too")
    options = parser.parse_args(arguments)
    if options.verb == "c" and options.pictures < int(options.require_parity):
        parser.error(f"--pictures {options.pictures}: too few, --require-parity needs one at least")
    verb: dict[str, Callable[[], Iterable[str]]] = {
        "pack": lambda: [pack(options.model, options.out)],
        "unpack": lambda: unpack(options.model),
        "c": lambda: as_c(options),
        "wasm": lambda: as_wasm(options),
        "onnx": lambda: [write_onnx(options.model, options.out, options.decode)],
    }
    return answer("export", verb[options.verb])


def as_wasm(options: Namespace) -> Iterator[str]:
    """Write a module, a page and a script; what there is to say."""
    files = wasm_files(c_model(options.model, options.name))
    yield from write_files(files, options.out)
    yield ", ".join(f"{len(content):,} bytes of {Path(file).suffix[1:]}" for file, content in files.items())


def as_c(options: Namespace) -> Iterator[str]:
    """Write C and its certificate; what there is to say, as it happens."""
    made = c_model(options.model, options.name, options.integers)
    if options.finder is not None:
        made = with_finder(made, options.finder)
    size, count = made.description.codec.input_size, options.pictures
    if options.crops is None:
        pictures, of = synthetic(count, size), "made-up noise"
    else:
        pictures, of = squares_in(options.crops, count, size), f"squares of the pictures in {options.crops.name}"
    yield from write_files(made.contents, options.out, later=["parity.json"])
    (options.out / "parity.json").unlink(missing_ok=True)  # an older one is of another file
    yield f"RAM {made.facts['ram']} bytes, constants {made.facts['flash']} bytes"
    if not count:
        return
    set_threads(usable_cores())
    try:
        found = certify(made, pictures, of)
    except NoComparison as error:
        if options.require_parity:
            raise
        yield f"no parity.json: {error}"
        return
    write_whole(options.out / "parity.json", (json.dumps(found, indent=2) + "\n").encode())
    said = "the same to the last bit" if found["equal"] else "NOT the same"
    if options.require_parity and not found["equal"]:
        raise ModelFileError(f"{options.out / 'parity.json'}: {said} on this machine")
    pictures, ways = found["pictures"]["count"], 1 + len(found["against_c"])
    yield f"{options.out / 'parity.json'}: {pictures} pictures in {ways} ways, {said}"
