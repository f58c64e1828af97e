"""The verb `robustness`: how far landmarks move when so many bits of a network are flipped at random."""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Iterator, Sequence
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
from hbcore.inspect.view import View, counted, table
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
    spread: of mean, error and within, by name, the standard deviation between seeds; None of a single one.
    """

    of: str
    flips: int
    bits: int
    mean: float
    worst: float
    error: float | None = None
    within: float | None = None
    spread: dict[str, float] | None = None


def shifts(
    subject: Subject, right: Array, of: str, counts: Sequence[int], seeds: int, truth: Truth | None = None
) -> list[Shift]:
    """With so many bits of the "weights", or of the "activations" of each picture, flipped at random, `seeds` times.

    right: the answers without flips. Bits of weights are flipped for all pictures alike. InspectError where there are
    not so many bits.
    """
    sizes = weights(subject) if of == "weights" else activations(subject)
    found = []
    for flips in counts:
        others = []
        for seed in range(seeds if flips else 0):
            rng = np.random.default_rng(seed)
            if of == "weights":
                with flipped_weights(subject, flips, rng):
                    others.append(answers(subject))
            else:
                others.append(with_flipped_activations(subject, flips, rng, sizes))
        found.append(measured(of, flips, sum(sizes), right, others or [right], subject.size, truth))
    return found


def measured(
    of: str, flips: int, bits: int, right: Array, others: Sequence[Array], size: int, truth: Truth | None
) -> Shift:
    """How far answers, one array for each seed, are from those without flips, and from the truth.

    The error is the mean over the points of each picture, and of that over the pictures.
    """
    by_picture = [movement(right, other, size) for other in others]
    errors, found = [], []
    for other in others:
        if truth is not None:
            wrong = truth.errors(other)
            labelled = np.isfinite(wrong)
            there = labelled.any(axis=1)
            errors.append(np.nanmean(wrong[there], axis=1).mean())
            if truth.near is not None:
                found.append(100 * np.mean(wrong[labelled] <= 100 * truth.near))
    values = {"mean": [moved.mean() for moved in by_picture], "error": errors, "within": found}
    known = {name: of_seeds for name, of_seeds in values.items() if of_seeds}
    means = {name: float(np.mean(of_seeds)) for name, of_seeds in known.items()}
    spread = {name: float(np.std(of_seeds, ddof=1)) for name, of_seeds in known.items()} if len(others) > 1 else None
    return Shift(of, flips, bits, worst=float(np.max(by_picture)), spread=spread, **means)


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


def weights(subject: Subject) -> list[int]:
    """How many weights each binary layer has."""
    return [conv.weight.data.size for _, conv, _ in binary_units(subject.network).values()]


def activations(subject: Subject) -> list[int]:
    """How many signs go into each binary layer for one picture, in the order of computing."""
    norms = {id(norm) for norm, _, _ in binary_units(subject.network).values()}
    sizes: list[int] = []

    def measure(_: str, module: Module, inputs: tuple[Any, ...], result: Any) -> None:
        if id(module) in norms:
            sizes.append(result.data.size)

    run_once(subject.network, subject.pictures[:1], measure)
    return sizes


@contextmanager
def flipped_weights(subject: Subject, count: int, rng: np.random.Generator) -> Iterator[None]:
    """Within this context `count` random binary weights have the other sign. Scales stay."""
    changed = [conv.weight for _, conv, _ in binary_units(subject.network).values()]
    before = [weight.data for weight in changed]
    try:
        for weight, places in zip(changed, chosen(weights(subject), count, rng), strict=True):
            weight.data = weight.data.copy()
            negate(weight.data.reshape(-1), places)
        yield
    finally:
        for weight, data in zip(changed, before, strict=True):
            weight.data = data


def with_flipped_activations(
    subject: Subject, count: int, rng: np.random.Generator, sizes: Sequence[int] | None = None
) -> Array:
    """The answers with `count` random signs of each picture flipped behind batch norms. sizes: of `activations`.

    The network is not changed: what a batch norm gives is changed before the convolution takes its signs.
    """
    norms = {id(norm) for norm, _, _ in binary_units(subject.network).values()}
    sizes = activations(subject) if sizes is None else sizes
    found = []
    for at in range(0, len(subject.pictures), BATCH):
        batch = subject.pictures[at : at + BATCH]
        layers = zip(*(chosen(sizes, count, rng) for _ in batch), strict=True)  # of each, the places in every picture

        def disturb(_: str, module: Module, inputs: tuple[Any, ...], result: Any, layers: Any = layers) -> None:
            if id(module) in norms:
                for numbers, places in zip(result.data, next(layers), strict=True):
                    negate(numbers.reshape(-1), places)

        found.append(subject.answers(heatmaps(subject, batch, disturb)))
    return np.concatenate(found)


def chosen(sizes: Sequence[int], count: int, rng: np.random.Generator) -> list[NDArray[np.int64]]:
    """`count` places at random among those of flat arrays of these sizes, by array. InspectError for too many."""
    ends = np.cumsum(sizes)
    if count > ends[-1]:
        raise InspectError(f"--flips {count}: there are {ends[-1]} bits")
    places = np.sort(rng.choice(ends[-1], count, replace=False))
    parts = np.split(places, np.searchsorted(places, ends[:-1]))
    return [part - (end - size) for part, end, size in zip(parts, ends, sizes, strict=True)]


def negate(numbers: Array, places: NDArray[np.int64]) -> None:
    """Give numbers at some places the other bit, in place: -x, and of zero the least number below it."""
    numbers[places] = np.where(numbers[places] == 0, -LEAST, -numbers[places])


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


def in_percent(shift: Shift, name: str) -> str:
    """One of its means, and how far seeds are apart if there are several."""
    apart = "" if shift.spread is None else f" ± {shift.spread[name]:.3f}"
    return f"{getattr(shift, name):.3f}{apart} %"


def view(subject: Subject, options: argparse.Namespace) -> View:
    subject.require_photos("robustness")
    if options.seeds < 1:
        raise InspectError(f"--seeds {options.seeds}: at least 1")
    truth = known(subject, options)
    counts = options.flips if truth is None else (0, *options.flips)
    right = answers(subject)
    found = [s for of in ("weights", "activations") for s in shifts(subject, right, of, counts, options.seeds, truth)]
    rows = [
        (
            *(s.of, f"{s.flips:,}", f"{100 * s.flips / s.bits:.4f} %", in_percent(s, "mean"), f"{s.worst:.2f} %"),
            *(in_percent(s, name) for name in ("error", "within") if getattr(s, name) is not None),
        )
        for s in found
    ]
    more = [] if truth is None else ["error"] if truth.near is None else ["error", "found"]
    head = ("bits of", "flipped", "share", "mean shift", "of the worst picture", *more)
    lines = [
        *table(head, rows),
        f"{counted(len(subject.pictures), 'picture')}, {counted(options.seeds, 'time')}; shifts in percent of the "
        f"{subject.size} pixels that the network sees, or of pixels whose class changes; activations: flips in each "
        f"picture{'; ±: standard deviation between the times' if options.seeds > 1 else ''}",
        *([] if truth is None else [in_words(options)]),
    ]
    return View(lines, {"model": subject.name, "pictures": len(subject.pictures), "shifts": [asdict(s) for s in found]})
