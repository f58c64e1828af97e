"""The command line of the plan."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Sequence
from inspect import signature
from itertools import chain
from pathlib import Path
from typing import Any

from hbcore.commands import Parser, answer
from hbcore.deploy.model_file import ModelFileError, load_model, reason
from hbcore.landmarks.codec import Codec
from hbcore.landmarks.description import MOST, Description
from hbcore.landmarks.heatmaps import HeatmapCodec
from hbcore.landmarks.landmarker import find_model
from hbcore.landmarks.masks import MaskCodec
from hbcore.nn.architecture import SCHEMA, check_architecture, input_multiple
from hbcore.nn.hourglass import StackedHourglass
from hbcore.plan.boards import BOARDS, Board
from hbcore.plan.needs import Needs, needs, smaller_needs, untrained

FEATURES, SIZE, JOINTS = 64, 128, 68
"""Of a configuration that leaves them out, as in training."""
SECTIONS = "model", "data", "augment", "optim", "technique", "run"
DATA_KEYS = "train", "test", "times", "size", "sigma", "workers", "keep", "limit", "bad_pictures", "max_bad"
"""What training knows: another word is a slip of the finger, and what it was to say would be missed."""

DEEPEST, STACKS, WEIGHTS = 10, 16, 60_000_000
"""Of networks that are made to be counted: a slip of the finger must not ask for all memory. The authors' largest, of 8
stacks and 256 features, is below. Depth: of pictures of 4096 pixels, which cannot be halved more often."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code, see `hbcore/commands.py`."""
    parser = Parser(prog="python -m hbcore.plan", description="Will it fit: what a network takes on a small device.")
    parser.add_argument("source", help="a configuration of training (FILE.toml), a model file, or a model's name")
    parser.add_argument("--joints", type=int, help="of a configuration: points, or classes (68, if it does not say)")
    parser.add_argument("--parts", action="store_true", help="of a configuration: classes of pixels, not points")
    options = parser.parse_args(arguments)
    configured = options.source.endswith(".toml")
    if not configured and (options.parts or options.joints is not None):
        parser.error("--joints and --parts are of a configuration: a model knows what its maps are")
    if not configured:
        return answer("plan", lambda: of_model(find_model(options.source)))
    joints = JOINTS if options.joints is None else options.joints
    return answer("plan", lambda: of_configuration(Path(options.source), joints, options.parts))


def of_model(path: Path) -> Iterator[str]:
    """The lines of the answer. ModelFileError, in one line, for a file that cannot be used."""
    network, codec = read_model(path)
    taken = needs(network, codec)
    in_bytes = untrained(network.architecture, codec)
    packed = [("its packed file", in_bytes)] if in_bytes.flash < taken.flash else []
    return lines(network.architecture, codec, taken, chain(packed, smaller_needs(network.architecture, codec)))


def of_configuration(path: Path, joints: int, parts: bool) -> Iterator[str]:
    """The same for a file that can be trained."""
    architecture, codec = read_configuration(path, joints, parts)
    try:
        taken = untrained(architecture, codec)
    except ValueError as error:  # of sizes that do not fit
        raise ModelFileError(f"{path}: {reason(error)}") from None
    return lines(architecture, codec, taken, smaller_needs(architecture, codec))


def lines(
    architecture: dict[str, Any], codec: Codec, taken: Needs, others: Iterator[tuple[str, Needs]]
) -> Iterator[str]:
    """What a network takes, then board after board; others: what takes less, the best first, tried as far as needed."""
    yield f"picture       {codec.input_size} x {codec.input_size}, {architecture['joints']} maps"
    yield f"RAM           {taken.ram:,} bytes: the arena of the C file"
    yield f"constants     {taken.flash:,} bytes of flash, besides the code"
    yield f"binary MACs   {taken.binary_macs:,}"
    yield f"real MACs     {taken.real_macs:,}"
    yield "milliseconds  for the maps, as counted in an emulator, one instruction in a cycle: no board was asked"
    answers = {board: f"yes, {_time(board, taken)}" for board in BOARDS if board.has_room(taken.ram, taken.flash)}
    while len(answers) < len(BOARDS):
        said, less = next(others, ("", None))
        if less is None:
            break
        with_room = [board for board in BOARDS if board not in answers and board.has_room(less.ram, less.flash)]
        answers |= {board: f"no; with {said}: yes, {_time(board, less)}" for board in with_room}
    for board in BOARDS:
        yield f"{board.name:<18} {answers.get(board, 'no')}"


def _time(board: Board, taken: Needs) -> str:
    return f"about {float(f'{board.milliseconds(taken.work):.2g}'):,.0f} ms"


def read_model(path: Path) -> tuple[StackedHourglass, Codec]:
    """A network, and what its file says of its maps."""
    network, header = load_model(path)
    try:
        return network, Description.read(header, network).codec
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ModelFileError(f"{path}: does not say what its maps mean ({reason(error)})") from None


def read_configuration(path: Path, joints: int, parts: bool = False) -> tuple[dict[str, Any], Codec]:
    """The architecture in [model] and the pictures in [data], with the defaults of training."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        model, data = (_section(content, name) for name in ("model", "data"))
        for what, known, given in (("sections", SECTIONS, content), ("[data]", DATA_KEYS, data)):
            if not given.keys() <= set(known):
                raise ValueError(f"{sorted(given.keys() - set(known))[0]!r} is not among {what}: {', '.join(known)}")
        defaults = {n: p.default for n, p in signature(StackedHourglass).parameters.items() if n in SCHEMA}
        architecture = check_architecture(**defaults | {"features": FEATURES, "joints": joints} | model)
        features, joints, stacks, depth = (architecture[name] for name in ("features", "joints", "stacks", "depth"))
        if depth > DEEPEST or stacks > STACKS or 25 * stacks * features * (features * depth + joints) > WEIGHTS:
            raise ValueError(
                f"such a network fits none of these boards: depth {depth}, stacks {stacks}, {features} features"
            )
        size, step = data.get("size", SIZE), input_multiple(architecture["depth"], architecture["block"])
        codec = MaskCodec(size) if parts else HeatmapCodec(size, sigma=data.get("sigma", 1.0))
        if size > MOST or size % step:
            raise ValueError(f"size = {size}: pictures must be multiples of {step} pixels here, and at most {MOST}")
        return architecture, codec
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be read: {error.strerror}") from None
    except RecursionError:
        raise ModelFileError(f"{path}: is nested too deeply") from None
    except ValueError as error:
        raise ModelFileError(f"{path}: {reason(error)}") from None


def _section(content: dict[str, Any], name: str) -> dict[str, Any]:
    found = content.get(name, {})
    if not isinstance(found, dict):
        raise ValueError(f"[{name}] must be a section, not {found!r}")
    return found
