"""The verb `attention`: which pixels move a landmark, found by covering them."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hbcore.autograd.function import Array
from hbcore.deploy.engine import Engine
from hbcore.inspect.subject import InspectError, Subject
from hbcore.inspect.view import View, table

HELP = "which pixels move a landmark, by occlusion"
PICTURES = 1
BATCH = 8


@dataclass(frozen=True, eq=False)
class Attention:
    """What a patch of the picture's mean colour does to each answer, wherever it lies.

    patch: pixels of its side. corners: (n,), rows and columns of its top left alike. answers: points (K, 2) in input
    pixels, or classes (S, S), of the open picture. effect (n, n, K): how far it moves each point, in percent of the
    picture's side; or of the pixels of each class, the percentage that changes.
    """

    patch: int
    corners: NDArray[np.intp]
    answers: Array
    effect: NDArray[np.float64]


def attention(subject: Subject, patch: int, step: int) -> Attention:
    """Cover the first picture, patch by patch. InspectError where the patch does not fit."""
    size, picture = subject.size, subject.pictures[0]
    if not (1 <= patch <= size and step >= 1):
        raise InspectError(f"--patch {patch} --step {step}: a patch of 1 to {size} pixels, moved by at least 1")
    if subject.network.architecture["sharpness"] is not None:
        raise InspectError(f"{subject.name}: its signs are smooth, in the middle of training: finish the run first")
    corners = np.unique(np.append(np.arange(0, size - patch + 1, step), size - patch))
    mean = picture.mean(axis=(0, 1))
    places = [(top, left) for top in corners for left in corners]
    engine, one = Engine(subject.network, size, size, batch=BATCH), Engine(subject.network, size, size)
    right = subject.answers(one(picture[None]))[0]
    effect = []
    for start in range(0, len(places), BATCH):
        some = places[start : start + BATCH]
        covered = np.repeat(picture[None], BATCH, axis=0)  # the last of them maybe in vain
        for copy, (top, left) in enumerate(some):
            covered[copy, top : top + patch, left : left + patch] = mean
        found = subject.answers(engine(covered)[: len(some)])  # thousands of maps at once would be gigabytes
        effect.append(changes(right, found, size, subject.network.architecture["joints"]))
    return Attention(patch, corners, right, np.concatenate(effect).reshape(len(corners), len(corners), -1))


def changes(right: Array, others: Array, size: int, count: int) -> NDArray[np.float64]:
    """What became of `count` points (K, 2) in (n, K, 2), or classes (S, S) in (n, S, S), (n, K), see `Attention`."""
    if right.dtype != np.uint8:
        return np.asarray(100 / size * np.linalg.norm(others - right, axis=-1), dtype=np.float64)
    result = np.zeros((len(others), count))
    for index in range(count):
        own = right == index
        if own.any():
            result[:, index] = 100 * np.mean(others[:, own] != index, axis=1)
    return result


def heat(subject: Subject, found: Attention, effect: NDArray[np.float64]) -> NDArray[np.uint8]:
    """The first picture in grey, (S, S, 3), and red by the mean effect (n, n) of the patches that cover a pixel."""
    total = np.zeros((subject.size, subject.size))
    count = np.zeros_like(total)
    for row, top in enumerate(found.corners):
        for column, left in enumerate(found.corners):
            place = slice(top, top + found.patch), slice(left, left + found.patch)
            total[place] += effect[row, column]
            count[place] += 1
    mean = total / np.maximum(count, 1)
    red = (mean / max(float(mean.max()), 1e-12))[..., None]
    grey = subject.pictures[0].mean(axis=-1, keepdims=True)
    return np.asarray(255 * (grey * (1 - red) + red * np.array([1.0, 0.1, 0.0])), dtype=np.uint8)


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--patch", type=int, metavar="PIXELS", help="side of the patch; else an eighth")
    parser.add_argument("--step", type=int, metavar="PIXELS", help="how far it moves each time; else half of itself")
    parser.add_argument("--point", metavar="NAME", help="which point to draw; else the mean of all")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="where to write the drawing, as PNG")


def view(subject: Subject, options: argparse.Namespace) -> View:
    subject.require_photos("attention")
    names = list(subject.description.names) if subject.description else []
    if options.point not in (None, *names):
        raise InspectError(f"--point {options.point}: the points are {', '.join(names[:8])}{' ...' * (len(names) > 8)}")
    patch = options.patch if options.patch is not None else max(1, subject.size // 8)
    found = attention(subject, patch, options.step if options.step is not None else max(1, patch // 2))
    drawn = found.effect.mean(axis=-1) if options.point is None else found.effect[..., names.index(options.point)]
    rows, data = [], []
    for index, name in enumerate(names):
        effect = found.effect[..., index]
        row, column = np.unravel_index(effect.argmax(), effect.shape)
        largest, mean = float(effect.max()), float(effect.mean())
        centre = [float(found.corners[at] + (patch - 1) / 2) for at in (column, row)] if largest > 0 else None
        said: dict[str, Any] = {"name": name, "largest": largest, "mean": mean, "patch": centre}
        if found.answers.dtype != np.uint8:
            said["point"] = [float(number) for number in found.answers[index]]
            said["apart"] = None if centre is None else float(np.hypot(*(found.answers[index] - centre)))
        data.append(said)
        place = "" if centre is None else f"{centre[0]:g},{centre[1]:g}"
        apart = "" if said.get("apart") is None else f"{said['apart']:.1f}"
        rows.append((name, f"{largest:.2f} %", f"{mean:.2f} %", place, apart))
    lines = [
        *table(("point", "largest shift", "mean shift", "by the patch at x,y", "pixels apart"), rows),
        f"{len(found.corners) ** 2} patches of {patch} x {patch} on {subject.size} x {subject.size} pixels, of the "
        "picture's mean colour; shifts in percent of the side, or of a class's pixels",
        *([] if options.out else ["--out FOLDER draws the picture, red where it counts"]),
    ]
    content = {"model": subject.name, "patch": patch, "corners": found.corners.tolist(), "points": data}
    name = "attention" if options.point is None else f"attention-{names.index(options.point)}"
    return View(lines, content, {name: heat(subject, found, drawn)})
