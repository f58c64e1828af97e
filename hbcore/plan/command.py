"""The command line of the plan."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Sequence
from inspect import signature
from pathlib import Path
from typing import Any

from hbcore.commands import DATA, Parser, say, tell
from hbcore.deploy.model_file import ModelFileError, load_model, reason
from hbcore.landmarks.codec import Codec
from hbcore.landmarks.description import Description
from hbcore.landmarks.heatmaps import HeatmapCodec
from hbcore.landmarks.landmarker import find_model
from hbcore.nn.architecture import SCHEMA, check_architecture
from hbcore.nn.hourglass import StackedHourglass
from hbcore.plan.boards import BOARDS
from hbcore.plan.needs import Needs, needs, smaller_needs, untrained

FEATURES, SIZE = 64, 128
"""Of a configuration that leaves them out, as in training."""

MOST = 100_000_000
"""Weights of networks that are made to be counted: a slip of the finger must not ask for all memory."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code, see `hbcore/commands.py`."""
    parser = Parser(prog="python -m hbcore.plan", description="Will it fit: what a network takes on a small device.")
    parser.add_argument("source", help="a configuration of training (FILE.toml), a model file, or a model's name")
    parser.add_argument("--joints", type=int, default=68, help="points, if a configuration does not say (68)")
    options = parser.parse_args(arguments)
    try:
        return say("plan", report(options.source, options.joints))
    except ModelFileError as error:
        tell("plan", str(error))
        return DATA


def report(source: str, joints: int) -> Iterator[str]:
    """The lines of the answer. ModelFileError, in one line, for a file that cannot be used."""
    try:
        if source.endswith(".toml"):
            architecture, codec = read_configuration(Path(source), joints)
            taken = untrained(architecture, codec)
        else:
            network, codec = read_model(find_model(source))
            architecture, taken = network.architecture, needs(network, codec)
    except ModelFileError:
        raise
    except ValueError as error:  # of sizes that do not fit
        raise ModelFileError(f"{source}: {reason(error)}") from None
    return lines(architecture, codec, taken)


def lines(architecture: dict[str, Any], codec: Codec, taken: Needs) -> Iterator[str]:
    """What a network takes, then board after board."""
    yield f"picture       {codec.input_size} x {codec.input_size}, {architecture['joints']} maps"
    yield f"RAM           {taken.ram:,} bytes: the arena of the C file"
    yield f"constants     {taken.flash:,} bytes of flash, besides the code"
    yield f"binary MACs   {taken.binary_macs:,}"
    yield f"real MACs     {taken.real_macs:,}"
    lacking = [board for board in BOARDS if not board.has_room(taken.ram, taken.flash)]
    others = smaller_needs(architecture, codec.input_size, getattr(codec, "sigma", 1.0)) if lacking else []
    for board in BOARDS:
        fitting = next((said for said, less in others if board.has_room(less.ram, less.flash)), None)
        answer = "yes" if board not in lacking else "no" if fitting is None else f"no; with {fitting}: yes"
        yield f"{board.name:<18} {answer}"


def read_model(path: Path) -> tuple[StackedHourglass, Codec]:
    """A network, and what its file says of its maps."""
    network, header = load_model(path)
    try:
        return network, Description.read(header, network).codec
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ModelFileError(f"{path}: does not say what its maps mean ({reason(error)})") from None


def read_configuration(path: Path, joints: int) -> tuple[dict[str, Any], Codec]:
    """The architecture in [model] and the size of pictures in [data], with the defaults of training."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        model, data = content.get("model", {}), content.get("data", {})
        defaults = {n: p.default for n, p in signature(StackedHourglass).parameters.items() if n in SCHEMA}
        known = defaults | {"features": FEATURES, "joints": joints} | model
        codec, architecture = HeatmapCodec(data.get("size", SIZE)), check_architecture(**known)
        features, joints, stacks, depth = (architecture[name] for name in ("features", "joints", "stacks", "depth"))
        if stacks * features * (features * depth + joints) > MOST:
            raise ValueError(f"a network of more than {MOST:,} weights fits none of these boards")
        return architecture, codec
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be read: {error.strerror}") from None
    except (AttributeError, TypeError, ValueError) as error:
        raise ModelFileError(f"{path}: {reason(error)}") from None
