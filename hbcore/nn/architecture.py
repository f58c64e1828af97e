"""What a network may be made of: the values of its arguments, and which choices contradict each other.

Apart from the network itself, so that settings can be checked without drawing millions of weights. One schema for
whoever makes, saves or loads a network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from hbcore.nn.blocks import BLOCKS, MULTI_SCALE
from hbcore.nn.layers import ACTIVATIONS, BINARIZE, POOLS
from hbcore.values import choice, is_real, is_whole, switch, whole

STRIDE = 4  # input pixels per heatmap pixel: the stem and one pooling halve the picture each
HOURGLASSES = "plain", "improved"
SHARPEST = 1e30  # of a smooth sign: a hard one long before, and products with it stay in float32
LAYERS = range(3, 7)  # 3x3 convolutions that an HPM block may have
REAL_PARTS = "real_lin", "real_skip"
# The only choice there.
OF_REAL_NETWORKS = {
    "activation": "none",
    "scale": True,
    "binarize": "both",
    "binary_ends": False,
    **dict.fromkeys(REAL_PARTS, False),
}
# What files from before these choices mean.
LATER = {"sharpness": None, "real_skip": False}


def input_multiple(depth: int, block: str) -> int:
    """What heights and widths of pictures must be multiples of, for every map that is to be halved."""
    return (STRIDE << depth) * (2 if block in MULTI_SCALE else 1)


def _features(name: str, value: Any) -> int:
    if not is_whole(value) or value < 16 or value % 16:
        raise ValueError(f"{name} must be a positive multiple of 16 (the stem has a quarter), got {value!r}")
    return int(value)


def _layers(name: str, value: Any) -> int:
    if not is_whole(value) or value not in LAYERS:
        raise ValueError(f"{name} must be {LAYERS[0]} to {LAYERS[-1]}, got {value!r}")
    return int(value)


def _sharpness(name: str, value: Any) -> float | None:
    if value is None:
        return None
    if not (is_real(value) and 0 < value <= SHARPEST):
        raise ValueError(f"{name} must be a number above 0, at most {SHARPEST:g}, got {value!r}")
    return float(value)


def _stem(name: str, value: Any) -> int | None:
    if value is not None and (not is_whole(value) or value < 8 or value % 8):
        raise ValueError(f"{name} must be a positive multiple of 8, or none, got {value!r}")
    return None if value is None else int(value)


def _one_of(known: Iterable[str]) -> Callable[[str, Any], str]:
    return lambda name, value: choice(name, value, known)


SCHEMA: dict[str, Callable[[str, Any], Any]] = {
    "features": _features,
    "joints": whole,
    "stacks": whole,
    "depth": whole,
    "block": _one_of(BLOCKS),
    "binary": switch,
    "activation": _one_of(ACTIVATIONS),
    "center_weights": switch,
    "clamp_weights": switch,
    "layers": _layers,
    "cardinality": whole,
    "hourglass": _one_of(HOURGLASSES),
    "pool": _one_of(POOLS),
    "scale": switch,
    "binarize": _one_of(BINARIZE),
    "binary_ends": switch,
    "stem": _stem,
    "real_lin": switch,
    "real_skip": switch,
    "sharpness": _sharpness,
}
"""What each value may be: check(name, value) gives it as Python's own, or raises ValueError naming it."""


def check_architecture(**values: Any) -> dict[str, Any]:
    """The arguments of StackedHourglass as a model file holds them; sharpness and real_skip may be left out.

    real_skip is there only where it is True, so that files of all other networks are what they were before.
    ValueError names what is missing, unknown, of another type, out of range or a contradiction.
    """
    values = LATER | values
    if values.keys() != SCHEMA.keys():
        strays = ", ".join(sorted(values.keys() ^ SCHEMA.keys()))
        raise ValueError(f"an architecture has {', '.join(SCHEMA)}: missing or unknown are {strays}")
    values = {name: check(name, values[name]) for name, check in SCHEMA.items()}
    features, block, binary = values["features"], values["block"], values["binary"]
    layers, cardinality, sharpness = values["layers"], values["cardinality"], values["sharpness"]
    if values["stem"] is not None and values["stem"] > features:
        raise ValueError(f"stem = {values['stem']} must be at most features = {features}")
    for name in REAL_PARTS:
        if values[name] and values["binary_ends"]:
            raise ValueError(f"{name} = True contradicts binary_ends = True: leave one of them out")
    if block != "hpm" and (layers, cardinality) != (3, 1):
        given = f"layers = {layers} and cardinality = {cardinality}"
        raise ValueError(f"{given} are choices of block = 'hpm': leave them out with block = {block!r}")
    parts = cardinality << layers  # the narrowest block has half of the features
    if block == "hpm" and features % parts:
        need = f"layers = {layers} and cardinality = {cardinality} need"
        raise ValueError(f"features = {features} cannot be split: {need} a multiple of {parts}")
    if block == "hpm" and (values["stem"] or 0) > features // 2 and values["stem"] % (parts // 2):
        need = f"layers = {layers} and cardinality = {cardinality} need"
        raise ValueError(f"stem = {values['stem']} cannot be split: {need} a multiple of {parts // 2}")
    for name, only in OF_REAL_NETWORKS.items():
        if not binary and values[name] != only:
            raise ValueError(
                f"{name} = {values[name]!r} is a choice of binary networks: leave it out with binary = False"
            )
    if sharpness is not None and (not binary or values["binarize"] == "weights"):
        raise ValueError(f"sharpness = {sharpness} is a choice of networks with binary activations")
    if not values["real_skip"]:
        del values["real_skip"]
    return values
