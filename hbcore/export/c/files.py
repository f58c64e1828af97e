"""A model as C files: one that computes, its header, an example with a Makefile, and a camera loop."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from math import factorial
from pathlib import Path
from string import Template

import numpy as np

from hbcore.autograd.function import Array
from hbcore.deploy.lowering import lower
from hbcore.deploy.memory import run_in
from hbcore.deploy.model_file import ModelFileError, load_model, reason
from hbcore.deploy.table import Table
from hbcore.export.c.in_order import InOrder
from hbcore.export.c.integer_network import IntegerNetwork, map_meaning
from hbcore.export.c.network import CNetwork
from hbcore.export.c.numbers import literal
from hbcore.export.integers.lowering import Integers, in_integers
from hbcore.export.integers.plan import IntegerPlan
from hbcore.landmarks.codec import Codec
from hbcore.landmarks.description import Description
from hbcore.landmarks.heatmaps import HeatmapCodec
from hbcore.landmarks.landmarker import find_model
from hbcore.nn.hourglass import StackedHourglass

TEXTS = Path(__file__).resolve().parent / "text"
REAL, WHOLE = ("convolutions", "pixels", "sizes"), ("convolutions", "pixels", "sizes", "integers")
"""Folders of the steps, of which the last that has one counts."""
LONGEST = 40  # letters of a name
TAKEN = {
    "example", "parity", "arduino", "esp_camera", "arm_neon", "immintrin", "features", "malloc", "memory",
    "strings", "unistd", "assert", "complex", "ctype", "errno", "fenv", "float", "inttypes", "iso646", "limits",
    "locale", "math", "setjmp", "signal", "stdarg", "stdbool", "stddef", "stdint", "stdio", "stdlib", "string",
    "tgmath", "time", "wchar", "wctype", "wasm_simd128", "module", "finder",
}  # fmt: skip
"""Names of files beside ours and of headers: on a path of includes, ours would be read in their place. finder:
what a finder beside the model defines begins with it."""
TERMS = 13  # of the series of e^x: what is left out is below the rounding of float64
FAINTEST = 1e-12  # of the decoder's Gaussian: less than the rounding of its sums
POINTS = {
    "what": "points", "into": "points", "element": "${name}_point", "count": "${NAME}_MAPS", "found": "float ",
    "give": "return ",
}  # fmt: skip
CLASSES = {
    "what": "classes", "into": "classes", "element": "uint8_t", "count": "${NAME}_HEIGHT * ${NAME}_WIDTH",
    "found": "void ", "give": "",
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class CModel:
    """A model and its C. digest: SHA-256 of the model file; files: texts by their paths in a folder; facts in them.

    whole: what it computes in place of the table, if that is in whole numbers.
    """

    network: StackedHourglass
    description: Description
    table: Table
    name: str
    digest: str
    files: dict[str, str]
    facts: dict[str, str]
    whole: Integers | None = None

    @property
    def contents(self) -> dict[str, bytes]:
        """The files as they are written."""
        return {file: text.encode("ascii") for file, text in self.files.items()}


def c_model(model: str | Path, name: str | None = None, integers: bool = False) -> CModel:
    """A model in C. name: what the files and all that they define begin with; without one, that of the model file.

    integers: without any float between the picture and the maps.

    ModelFileError, in one line, for a model that cannot be used.
    """
    path = find_model(model)
    network, header = load_model(path)
    try:
        description = Description.read(header, network)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ModelFileError(f"{path}: does not say what its maps mean ({reason(error)})") from None
    try:
        table = lower(network, description.codec.input_size, description.codec.input_size)
        whole = in_integers(table) if integers else None
    except ValueError as error:
        raise ModelFileError(f"{path}: cannot be written in C: {reason(error)}") from None
    if description.finds:
        raise ModelFileError(f"{path}: a finder: name it beside a model of points, as --finder {os.fspath(model)}")
    named = c_name(path.stem if name is None else name)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    files, facts = c_files(table, description.codec, description.output, named, digest, whole)
    return CModel(network, description, table, named, digest, files, facts, whole)


def c_name(name: str) -> str:
    """A name that C and file systems take: letters of ASCII, digits and underscores, the first no digit, 40 at most.

    None of a file that is there already, whether one of ours or a header of the compiler.
    """
    plain = re.sub(r"\W", "_", name, flags=re.ASCII).strip("_").lower()[:LONGEST] or "model"
    return f"model_{plain}"[:LONGEST] if plain[0].isdigit() or plain in TAKEN else plain


def c_files(
    table: Table, codec: Codec, output: str, name: str, digest: str, whole: Integers | None = None
) -> tuple[dict[str, str], dict[str, str]]:
    """Texts of the files by their paths in the folder, and the facts that were put into them.

    table: of one picture; codec and output: what its maps mean, see :class:`Description`; whole: the same table in
    whole numbers, if that is to be computed.
    """
    network = c_network(table if whole is None else whole.table, codec, whole is not None)
    facts = _sizes(table, codec) | (_real(table) if whole is None else _whole(whole)) | _of_network(network, table)
    facts |= {"name": name, "NAME": name.upper(), "hash": digest}
    facts |= _points(codec, output) if isinstance(codec, HeatmapCodec) else CLASSES
    kind = facts["what"]
    facts |= {key: Template(facts[key]).substitute(facts) for key in ("pointers", "element", "count")}
    facts["where"] = "the largest square in the middle of a picture"
    facts["declarations"] = filled(f"{kind}/header.h", facts)
    facts["show"], facts["print"] = filled(f"{kind}/show.c", facts), filled(f"{kind}/print.ino", facts)
    steps = step_folders(REAL if whole is None else WHOLE)
    parts = ["frame/picture", "convolutions/registers", f"{steps['ending']}/ending", "convolutions/size"]
    parts += ["convolutions/words", "convolutions/window"] if "binary_conv2d" in network.kinds else []
    parts += [f"{steps[step]}/{step}" for step in sorted(network.kinds)]
    parts += ["frame/network", f"{kind}/decoder", "frame/entries", "frame/selftest"]
    begin = f'/* Written by hbcore, see {name}.h. */\n#include "{name}.h"\n\n#include <string.h>\n\n'
    source, header = begin + "".join(filled(f"{part}.c", facts) for part in parts), filled("frame/model.h", facts)
    library = f"arduino/{name}"
    files = {
        f"{name}.c": source,
        f"{name}.h": header,
        "example.c": filled("around/ppm.c", facts) + filled("around/example.c", facts),
        "Makefile": filled("around/Makefile", facts),
        "esp-idf/CMakeLists.txt": filled("around/CMakeLists.txt", facts),
        f"{library}/library.properties": filled("around/library.properties", facts),
        f"{library}/src/{name}.c": source,
        f"{library}/src/{name}.h": header,
        f"{library}/examples/camera/camera.ino": filled("around/camera.ino", facts),
    }
    return files, facts


def c_network(table: Table, codec: Codec, whole: bool = False) -> CNetwork:
    """The network with the decoder's memory and constants: its `ram` and the bytes of its constants are the file's.

    whole: whether the table is of whole numbers.
    """
    kind = IntegerNetwork if whole else CNetwork
    if not isinstance(codec, HeatmapCodec):
        return kind(table)
    network = kind(table, spare=3 * 8 * codec.heatmap_size**2)  # a map, smoothed along rows, and both ways
    network.constants.bytes += _gaussian(codec).nbytes
    return network


def step_folders(folders: tuple[str, ...]) -> dict[str, str]:
    """In which folder of `text/` the text of each step is."""
    return {path.stem: folder for folder in folders for path in (TEXTS / folder).glob("*.c")}


def filled(file: str | Path, facts: dict[str, str]) -> str:
    """A text, by its place in `text/` or by its path, with facts for what it leaves open."""
    return Template((TEXTS / file).read_text(encoding="ascii")).substitute(facts)


def _sizes(table: Table, codec: Codec) -> dict[str, str]:
    names = "height", "width", "map_height", "map_width", "maps", "stride"
    values = *table.picture.shape[1:3], *table.maps.shape[1:], codec.stride
    return {name: str(value) for name, value in zip(names, values, strict=True)}


def _of_network(network: CNetwork, table: Table) -> dict[str, str]:
    pointers = ["frame/numbers.c", *(["frame/pointer_to_words.c"] if network.channels else [])]
    return {
        "constants": "\n".join(network.constants.lines()),
        "calls": "\n".join(f"    {call}" for call in network.calls),
        "pointers": "".join((TEXTS / file).read_text(encoding="ascii") for file in pointers),
        "result": network.place(table.maps),
        "decoding": str(network.decoding),
        "ram": str(network.ram),
        "flash": str(network.constants.bytes),
    }


def _points(codec: HeatmapCodec, output: str) -> dict[str, str]:
    """What the texts of a model of points leave open."""
    gaussian = _gaussian(codec)
    return POINTS | {
        "sigma": repr(float(codec.sigma)),
        "radius": str(codec.radius),
        "reach": str(len(gaussian) - 1),
        "gaussian": ",\n    ".join(repr(float(value)) for value in gaussian),
        "value_of": filled(f"points/{output}.c", {"series": series()}),
    }


def series() -> str:
    """Coefficients of e^x, the highest power first."""
    return ", ".join(repr(1 / factorial(n)) for n in reversed(range(TERMS)))


def _gaussian(codec: HeatmapCodec) -> Array:
    values = np.exp(-0.5 * (np.arange(codec.heatmap_size) / codec.sigma) ** 2)
    return np.asarray(values[values > FAINTEST])


def _real(table: Table) -> dict[str, str]:
    """Facts of a network of real numbers, with hashes of the golden picture's maps: sums rounded once, and twice."""
    _, height, width, _ = table.picture.shape
    goldens = []
    for fused in (True, False):
        plan = InOrder(fused)
        picture, maps = run_in(plan, table)
        picture[...] = golden_picture(height, width) * np.float32(1 / 255)
        plan.run()
        goldens.append(f"0x{fnv(maps):08x}u")
    return {
        "number": "float",
        "white": "1",
        "colour": "(float)rgb[c] * (1.0f / 255.0f)",
        "told": "map",
        "meaning": "",
        "golden": f"HB_FUSED ? {goldens[0]} : {goldens[1]}",
    }


def _whole(whole: Integers) -> dict[str, str]:
    """The same of one of whole numbers."""
    _, height, width, _ = whole.table.picture.shape
    plan = IntegerPlan()
    picture, maps = run_in(plan, whole.table)
    picture[...] = golden_picture(height, width)
    plan.run()
    return {
        "number": "int32_t",
        "white": "255",
        "colour": "(int32_t)rgb[c]",
        "told": f"(float)map * {literal(np.float32(2.0**-whole.exponent))}",
        "meaning": map_meaning(whole.exponent, whole.largest_number, whole.largest_sum),
        "golden": f"0x{fnv(maps):08x}u",
    }


def golden_picture(height: int, width: int) -> Array:
    """The noise of the self-test: uint8 (height, width, 3), from whole numbers of 32 bits."""
    v = np.arange(1, height * width * 3 + 1, dtype=np.uint32) * np.uint32(2654435761)
    v = (v ^ (v >> np.uint32(15))) * np.uint32(2246822519)
    return (v >> np.uint32(24)).astype(np.uint8).reshape(height, width, 3)


def fnv(maps: Array) -> int:
    """FNV-1a of numbers of 32 bits, word by word instead of byte by byte."""
    found = 2166136261
    for word in np.ascontiguousarray(maps).view(np.uint32).ravel().tolist():
        found = (found ^ word) * 16777619 & 0xFFFFFFFF
    return found
