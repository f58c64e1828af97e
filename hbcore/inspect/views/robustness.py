"""The verb `robustness`: how far landmarks move when so many bits of a network are flipped at random."""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hbcore.autograd.function import Array
from hbcore.inspect.observe import run_once
from hbcore.inspect.subject import InspectError, Subject, binary_units
from hbcore.inspect.truth import Truth, known
from hbcore.inspect.view import View, table
from hbcore.nn.module import Module

HELP = "how far the answers move when random bits flip"
PICTURES = math.inf
BATCH = 16
FLIPS = 1, 10, 100, 1000, 10000
LEAST = np.finfo(np.float32).tiny  # what stands for a zero whose bit is 1: -0.0 would be a plus


@dataclass(frozen=True)
class Shift:
    """What `flips` random bits do. mean, worst: of the movement of landmarks in percent of the picture's side, the mean
    over all of them and that of the picture where it is largest; of a model of parts, pixels of another class, percent.
    error: the same mean, not from the answers without flips but from the truth; None where that is not known. within:
    the share of points, in percent, that are near enough to the truth; None where it is not said what that is.
    """

    of: str
    flips: int
    bits: int
    mean: float
    worst: float
    error: float | None = None
    within: float | None = None


def shifts(subject: Subject, of: str, flips: int, seeds: int, truth: Truth | None = None) -> Shift:
    """With `flips` bits of the "weights", or of the "activations" of each picture, flipped at random, `seeds` times.

    Bits of weights are flipped for all pictures alike. The error is the mean over the points of each picture, and of
    that over the pictures. InspectError where there are not so many bits.
    """
    right = answers(subject)
    moved, errors, found, total = [], [], [], 0
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        if of == "weights":
            with flipped_weights(subject, flips, rng) as total:
                other = answers(subject)
        else:
            other, total = with_flipped_activations(subject, flips, rng)
        moved.append(movement(right, other, subject.size))
        if truth is not None:
            wrong = truth.errors(other)
            labelled = np.isfinite(wrong)
            there = labelled.any(axis=1)
            errors.append(np.nanmean(wrong[there], axis=1).mean())
            if truth.near is not None:
                found.append(100 * np.mean(wrong[labelled] <= 100 * truth.near))
    by_picture = np.concatenate(moved)
    error, within = (float(np.mean(values)) if values else None for values in (errors, found))
    return Shift(of, flips, total, float(by_picture.mean()), float(by_picture.max()), error, within)


def answers(subject: Subject) -> Array:
    """Of all pictures, see :meth:`Subject.answers`."""
    batches = (subject.pictures[at : at + BATCH] for at in range(0, len(subject.pictures), BATCH))
    return np.concatenate([subject.answers(heatmaps(subject, batch)) for batch in batches])


def heatmaps(subject: Subject, pictures: Array, callback: Any = None) -> Array:
    """The network's last maps (N, h, w, K), with a callback of `run_once`."""
    found: list[Array] = []

    def note(name: str, module: Module, inputs: tuple[Any, ...], result: Any) -> None:
        if callback is not None:
            callback(name, module, inputs, result)
        if module is subject.network:
            found.append(result[-1].data)

    run_once(subject.network, pictures, note)
    return found[0]


def movement(right: Array, other: Array, size: int) -> NDArray[np.float64]:
    """Of each picture, in percent, (N,): the mean distance of points (N, K, 2), or pixels (N, S, S) that differ."""
    if right.dtype == np.uint8:
        return np.asarray(100 * np.mean(right != other, axis=(1, 2)))
    return np.asarray(100 / size * np.linalg.norm(right - other, axis=-1).mean(axis=1))


@contextmanager
def flipped_weights(subject: Subject, count: int, rng: np.random.Generator) -> Iterator[int]:
    """Within this context `count` random binary weights have the other sign; how many there are. Scales stay."""
    weights = [conv.weight for _, conv, _ in binary_units(subject.network).values()]
    before = [weight.data for weight in weights]
    copies = [data.copy() for data in before]
    total = flip([copy.reshape(-1) for copy in copies], count, rng)
    try:
        for weight, copy in zip(weights, copies, strict=True):
            weight.data = copy
        yield total
    finally:
        for weight, data in zip(weights, before, strict=True):
            weight.data = data


def with_flipped_activations(subject: Subject, count: int, rng: np.random.Generator) -> tuple[Array, int]:
    """The answers with `count` random signs of each picture flipped behind batch norms; how many signs there are.

    The network is not changed: what a batch norm gives is changed before the convolution takes its signs.
    """
    norms = {id(norm) for norm, _, _ in binary_units(subject.network).values()}
    sizes: list[int] = []

    def measure(_: str, module: Module, inputs: tuple[Any, ...], result: Any) -> None:
        if id(module) in norms:
            sizes.append(result.data.size)

    heatmaps(subject, subject.pictures[:1], measure)
    total = sum(sizes)
    found = []
    for picture in subject.pictures[:, None]:
        parts = iter(np.split(chosen(total, count, rng), np.cumsum(sizes)[:-1]))

        def disturb(_: str, module: Module, inputs: tuple[Any, ...], result: Any, parts: Any = parts) -> None:
            if id(module) in norms:
                negate(result.data.reshape(-1), next(parts))

        found.append(subject.answers(heatmaps(subject, picture, disturb)))
    return np.concatenate(found), total


def flip(arrays: list[Array], count: int, rng: np.random.Generator) -> int:
    """Give `count` random numbers of some flat arrays the other sign bit, in place; how many numbers there are."""
    sizes = [len(array) for array in arrays]
    parts = np.split(chosen(sum(sizes), count, rng), np.cumsum(sizes)[:-1])
    for array, part in zip(arrays, parts, strict=True):
        negate(array, part)
    return sum(sizes)


def chosen(total: int, count: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """`count` of so many, at random: (total,). InspectError where that is too many."""
    if not 0 <= count <= total:
        raise InspectError(f"--flips {count}: there are {total} bits")
    mask = np.zeros(total, dtype=np.bool_)
    mask[rng.choice(total, count, replace=False)] = True
    return mask


def negate(numbers: Array, where: NDArray[np.bool_]) -> None:
    """Give some numbers the other bit, in place: -x, and of zero the least number below it."""
    numbers[where] = np.where(numbers[where] == 0, -LEAST, -numbers[where])


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--flips", type=_counts, default=FLIPS, metavar="K,K", help="bits to flip, in turn")
    parser.add_argument(
        "--points", type=Path, metavar="CSV", help="where points are: picture, name, x, y; adds the error"
    )
    parser.add_argument(
        "--norm", metavar="A,B", help="divide errors by the distance of these two points, and not by the picture's side"
    )
    parser.add_argument(
        "--near", type=float, metavar="SHARE", help="count the points whose error is at most this share of it: PCK"
    )
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="how often, with other bits each time")


def _counts(text: str) -> tuple[int, ...]:
    if not re.fullmatch(r"\d{1,12}(,\d{1,12})*", text, re.ASCII):
        raise argparse.ArgumentTypeError(f"{text!r} is not K or K,K,..., whole numbers from 0")
    return tuple(map(int, text.split(",")))


def in_words(options: argparse.Namespace) -> str:
    """What the columns beside the shifts are."""
    norm = f"of the distance of {options.norm.replace(',', ' and ')}" if options.norm else "in the same unit"
    near = "" if options.near is None else f"; found: points with an error of at most {100 * options.near:g} %"
    return f"error: distance from the points of the table, {norm}{near}"


def view(subject: Subject, options: argparse.Namespace) -> View:
    subject.require_photos("robustness")
    if options.seeds < 1:
        raise InspectError(f"--seeds {options.seeds}: at least 1")
    truth = known(subject, options)
    counts = options.flips if truth is None else (0, *options.flips)
    found = [shifts(subject, of, flips, options.seeds, truth) for of in ("weights", "activations") for flips in counts]
    rows = [
        (
            *(s.of, f"{s.flips:,}", f"{100 * s.flips / s.bits:.4f} %", f"{s.mean:.3f} %", f"{s.worst:.2f} %"),
            *(f"{value:.3f} %" for value in (s.error, s.within) if value is not None),
        )
        for s in found
    ]
    more = [] if truth is None else ["error"] if truth.near is None else ["error", "found"]
    head = ("bits of", "flipped", "share", "mean shift", "of the worst picture", *more)
    lines = [
        *table(head, rows),
        f"{len(subject.pictures)} pictures, {options.seeds} times; shifts in percent of the {subject.size} pixels that "
        "the network sees, or of pixels whose class changes; activations: flips in each picture",
        *([] if truth is None else [in_words(options)]),
    ]
    return View(lines, {"model": subject.name, "pictures": len(subject.pictures), "shifts": [asdict(s) for s in found]})
