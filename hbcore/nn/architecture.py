"""What a network may be made of: the names of its parts, and which choices contradict each other.

Apart from the network itself, so that settings can be checked without drawing millions of weights.
"""

from __future__ import annotations

from collections.abc import Iterable

from hbcore.nn.blocks import BLOCKS, MULTI_SCALE
from hbcore.nn.layers import ACTIVATIONS, BINARIZE, POOLS

STRIDE = 4  # input pixels per heatmap pixel: the stem and one pooling halve the picture each
HOURGLASSES = "plain", "improved"
SHARPEST = 1e30  # of a smooth sign: a hard one long before, and products with it stay in float32
LAYERS = range(3, 7)  # 3x3 convolutions that an HPM block may have
OF_REAL_NETWORKS = {"activation": "none", "scale": True, "binarize": "both", "binary_ends": False, "real_lin": False}  # the only choice


def input_multiple(depth: int, block: str) -> int:
    """What heights and widths of pictures must be multiples of, for every map that is to be halved."""
    return (STRIDE << depth) * (2 if block in MULTI_SCALE else 1)


def check_architecture(
    features: int,
    joints: int,
    stacks: int,
    depth: int,
    block: str,
    binary: bool,
    activation: str,
    center_weights: bool,
    clamp_weights: bool,
    layers: int,
    cardinality: int,
    hourglass: str,
    pool: str,
    scale: bool,
    binarize: str,
    binary_ends: bool,
    stem: int | None = None,
    real_lin: bool = False,
    sharpness: float | None = None,
) -> None:
    """ValueError naming what is unknown, out of range or a contradiction among the arguments of StackedHourglass."""
    names: tuple[tuple[str, str, Iterable[str]], ...] = (
        ("block", block, BLOCKS),
        ("activation", activation, ACTIVATIONS),
        ("hourglass", hourglass, HOURGLASSES),
        ("pool", pool, POOLS),
        ("binarize", binarize, BINARIZE),
    )
    for name, value, known in names:
        if value not in known:
            raise ValueError(f"unknown {name} {value!r}: choose from {', '.join(known)}")
    for name, size in {"joints": joints, "stacks": stacks, "depth": depth, "cardinality": cardinality}.items():
        if size < 1:
            raise ValueError(f"{name} must be at least 1, got {size}")
    if features < 16 or features % 16:
        raise ValueError(f"features must be a positive multiple of 16 (the stem has a quarter), got {features}")
    if stem is not None and (stem < 8 or stem % 8 or stem > features):
        raise ValueError(f"stem must be a multiple of 8, at most the features ({features}), got {stem}")
    if real_lin and binary_ends:
        raise ValueError("real_lin = True contradicts binary_ends = True: leave one of them out")
    if layers not in LAYERS:
        raise ValueError(f"layers must be {LAYERS[0]} to {LAYERS[-1]}, got {layers}")
    if block != "hpm" and (layers, cardinality) != (3, 1):
        given = f"layers = {layers} and cardinality = {cardinality}"
        raise ValueError(f"{given} are choices of block = 'hpm': leave them out with block = {block!r}")
    parts = cardinality << layers  # the narrowest block has half of the features
    if block == "hpm" and features % parts:
        need = f"layers = {layers} and cardinality = {cardinality} need"
        raise ValueError(f"features = {features} cannot be split: {need} a multiple of {parts}")
    choices = {"activation": activation, "scale": scale, "binarize": binarize, "binary_ends": binary_ends, "real_lin": real_lin}
    for name, choice in choices.items():
        if not binary and choice != OF_REAL_NETWORKS[name]:
            raise ValueError(f"{name} = {choice!r} is a choice of binary networks: leave it out with binary = False")
    if sharpness is not None:
        if not isinstance(sharpness, int | float) or not 0 < sharpness <= SHARPEST:
            raise ValueError(f"sharpness must be a number above 0, at most {SHARPEST:g}, got {sharpness!r}")
        if not binary or binarize == "weights":
            raise ValueError(f"sharpness = {sharpness} is a choice of networks with binary activations")
