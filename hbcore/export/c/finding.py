"""A landmark model and a finder as one C file: from a photograph to what is in it, as a Landmarker does it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from hbcore.deploy.lowering import lower
from hbcore.deploy.memory import run_in
from hbcore.deploy.model_file import ModelFileError, reason
from hbcore.export.c.any_size import AnySizeNetwork
from hbcore.export.c.files import REAL, CModel, c_network, filled, fnv, golden_picture, series, step_folders
from hbcore.export.c.in_order import InOrder
from hbcore.landmarks.description import Description
from hbcore.landmarks.finding.finder import LARGE, Finder
from hbcore.landmarks.finding.sizes import BETWEEN, FAINT, MOST, OCTAVE, OVERLAP
from hbcore.landmarks.heatmaps import HeatmapCodec
from hbcore.landmarks.landmarker import GLANCE, LEAD, find_model

PARTS = "network", "square", "boxes", "photograph"
"""Texts of what a finder adds, in order."""
LARGEST = 16384
"""Pixels of a photograph's longer side."""
SPOTS = 2 * MOST
"""Boxes, of both looks of a finder, or before those of one are told apart."""
BOX, POINT, FACE = 5 * 8, 3 * 4, 5 * 8  # bytes: of a box, a point, and of what is told besides points


def with_finder(made: CModel, finder: str | Path) -> CModel:
    """The same C with a finder beside the model, and the way from a photograph to all that is found.

    ModelFileError, in one line, for a model that finds no points, and for a finder that is none or cannot be written.
    """
    path = find_model(finder)
    found = Finder(path)
    if not isinstance(made.description.codec, HeatmapCodec):
        raise ModelFileError(f"{made.name}: finds parts, and a finder leads to models of points: leave out --finder")
    if made.whole is not None:
        raise ModelFileError(f"{made.name}: finders compute in floats: leave out --integers or --finder")
    size = found.codec.input_size
    try:
        network = AnySizeNetwork(lower(found.network, size, size), "finder_")
    except ValueError as error:
        raise ModelFileError(f"{path}: cannot be written in C: {reason(error)}") from None
    if network.loads or size % (2 * found.network.multiple):
        raise ModelFileError(f"{path}: cannot be written in C: half of its picture is none that it can look at")
    landmarks = c_network(made.table, made.description.codec)
    facts = made.facts | _numbers(made, found) | _memory(made, found, network.ram) | _goldens(made, found)
    facts |= {
        "finder_hash": hashlib.sha256(path.read_bytes()).hexdigest(),
        "flash": str(landmarks.constants.bytes + network.constants.bytes),
        "finder_constants": network.definitions(),
        "finder_calls": network.body(),
        "finder_result": network.place(network.table.maps),
        "indent": " " * len(f"int32_t {made.name}_photograph("),
        "where": "a photograph",
    }
    facts["declarations"] += filled("finding/header.h", facts)
    steps = [filled(part, facts) for part in _steps(network.kinds - landmarks.kinds)]
    steps += [_sigmoid("likelihood_of")] if made.description.output == "identity" else []
    files = {file: text for file, text in made.files.items() if not file.startswith("arduino")}  # no room for both
    files[f"{made.name}.c"] += "".join([*steps, *(filled(f"finding/{part}.c", facts) for part in PARTS)])
    files[f"{made.name}.h"] = filled("frame/model.h", facts)
    files["example.c"] = filled("around/ppm.c", facts) + filled("finding/example.c", facts)
    return replace(made, files=files, facts=facts)


def _steps(kinds: set[str]) -> Iterator[str]:
    """Texts of the steps that only the finder has."""
    if "binary_conv2d" in kinds:
        yield "convolutions/words.c"
    folders = step_folders(REAL)
    yield from (f"{folders[kind]}/{kind}.c" for kind in sorted(kinds))


def _sigmoid(name: str) -> str:
    """The logistic function under a name of its own, where the landmark model has none."""
    return filled("points/sigmoid.c", {"series": series()}).replace("value_of", name)


def _numbers(made: CModel, finder: Finder) -> dict[str, str]:
    """What the steps between the networks take from Python's."""
    codec, lead = finder.codec, LEAD * finder.least
    model: Description = made.description
    least = model.least_confidence
    return {
        "finder_side": str(codec.input_size),
        "finder_step": str(finder.network.multiple),
        "finder_stride": str(codec.stride),
        "finder_maps": str(codec.maps),
        "finder_value": "value_of" if model.output == "sigmoid" else "likelihood_of",
        "boxes": str(MOST),
        "most": str(SPOTS),
        "largest": str(LARGEST),
        "overlap": repr(OVERLAP),
        "octave": f"{OCTAVE}.0",
        "smallest": repr(float(codec.smallest)),
        "faint": str(np.float32(max(lead * BETWEEN, FAINT))),
        "dark": str(np.float32(FAINT / 8)),
        "lead": repr(lead),
        "large": repr(LARGE),
        "margin": repr(float(model.box_margin)),
        "glance": repr(GLANCE * (least or 0.0)),
        "sure": repr(least if least is not None else float(np.finfo(np.float64).min)),
    }


def _memory(made: CModel, finder: Finder, network: int) -> dict[str, str]:
    """Where things lie in the arena, of which both networks take the beginning, one after the other.

    While the finder looks, the square that it sees and its half lie behind it. Then the crop takes the place behind the
    landmark network, and behind that is room to work on it. What both need is at the end.
    """
    codec = made.description.codec
    side, size = finder.codec.input_size, codec.input_size
    whole, crop = network, c_network(made.table, codec).ram
    half, work = whole + _aligned(3 * side * side), crop + _aligned(3 * size * size)
    before = 0 if working(side) <= network else half  # the network, or the half, comes later
    search = max(half + _aligned(3 * side * side // 4), before + working(side), work + working(size))
    points = _aligned(POINT * int(made.facts["maps"]))
    bytes_of_search = SPOTS * (3 * BOX + 4 + points + FACE)
    places = {"whole": whole, "half": half, "work_whole": before, "crop": crop, "work_crop": work, "search_at": search}
    return {name: str(place) for name, place in places.items()} | {
        "search": str(bytes_of_search),
        "work": str(working(max(side, size))),
        "ram": str(search + bytes_of_search),
    }


def working(size: int, longest: int = LARGEST) -> int:
    """Bytes that it takes at most to see a square of a photograph as size x size pixels; longest: its longer side L.

    Of these s are made, at most half as many again as `size` and a dozen. Where each begins, and 2 L + 3 s weights,
    twice; two rows, and as many more as one has weights.
    """
    s = size * 3 // 2 + 12
    weights = 2 * longest + 3 * s
    return _aligned(2 * 4 * (s + weights) + 2 * 3 * s + 3 * weights + 8 * 8)


def _aligned(size: int) -> int:
    return -(-size // 8) * 8


def _goldens(made: CModel, finder: Finder) -> dict[str, str]:
    """Hashes of a finder's maps of the golden picture's noise, rounded in the two ways."""
    side, width = finder.network.multiple, made.description.codec.input_size
    noise = golden_picture(1, side * (width + 1))[0]
    table = lower(finder.network, side, side)
    facts = {}
    for name, fused in (("finder_fused", True), ("finder_separate", False)):
        plan = InOrder(fused)
        picture, maps = run_in(plan, table)
        picture[...] = noise[np.arange(side)[:, None] * width + np.arange(side)] * np.float32(1 / 255)
        plan.run()
        facts[name] = f"0x{fnv(maps):08x}"
    return facts
