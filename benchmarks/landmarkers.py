"""How accurate our models are beside whole landmarkers of others, on the same pictures.

    python -m benchmarks.landmarkers face 300w:PATH MODEL...
    python -m benchmarks.landmarkers pose lsp:PATH MODEL...

Ours get the box of the true points of a face, or the whole picture of a person, as their cards do; the others look at
the whole picture and find for themselves, so that some find nobody. A row therefore has two figures, over the pictures
in which its landmarker found somebody: its own, and that of the first of ours.

Schemes of points differ in what they mean: a mesh's jaw is a line on the head, ibug's where the head ends in the
picture. For the others there is thus a second figure, from which the median offset of each point is gone, in the frame
of the line between two of them (the outer corners of the eyes; left shoulder and right hip), measured on pictures of
the training set.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

import hbcore
from benchmarks.peers.landmarkers import Landmarker, Points, dlib_face, mediapipe_body, mediapipe_face
from hbcore.landmarks.landmarker import find_model
from training.errors import UserError
from training.labels.sample import Dataset, Sample
from training.tasks.face import FACE
from training.tasks.pose import POSE
from training.tasks.task import Task

LEARNT_ON = 300  # pictures of the training set that tell the offsets of points
PCK = 0.2


@dataclass(frozen=True)
class Kind:
    """What is compared: of a task, over which points, in what measure, and in the frame of which two points."""

    task: Task
    points: slice
    frame: tuple[int, int]
    measure: str
    score: Callable[[NDArray[np.float64], NDArray[np.float64]], float]
    others: Sequence[Callable[[], Landmarker]]


def nme(errors: NDArray[np.float64], lengths: NDArray[np.float64]) -> float:
    """Mean over the faces of the mean error (N, K) over a length (N,), in percent."""
    return float(100 * np.mean(np.nanmean(errors, axis=1) / lengths))


def pck(errors: NDArray[np.float64], lengths: NDArray[np.float64]) -> float:
    """Percentage of the labelled points whose error is at most 0.2 of a length (N,)."""
    return float(100 * np.mean((errors <= PCK * lengths[:, None])[~np.isnan(errors)]))


KINDS = {
    "face": Kind(FACE, slice(0, 68), (36, 45), "NME by outer eye corners", nme, (dlib_face, mediapipe_face)),
    "pose": Kind(POSE, slice(0, 12), (9, 2), "PCK@0.2 of 12 joints", pck, (mediapipe_body,)),
}


def ours(name: str, task: Task, names: Sequence[str]) -> Callable[[Sample], Points]:
    """One of our models, from a sample to points: in the box of a face's true ones, or in the whole picture.

    UserError if its points are not those of the data.
    """
    find = hbcore.Landmarker(name)
    if find.names != tuple(names):
        raise UserError(f"{name} finds {', '.join(find.names[:2])}, ...: the data have {', '.join(names[:2])}, ...")

    def points(sample: Sample) -> Points:
        boxes = None
        if task is FACE:
            known = sample.keypoints[sample.labelled]
            boxes = [np.concatenate([known.min(axis=0), known.max(axis=0)])]
        return np.asarray(find(sample.picture, boxes)[0].points, dtype=np.float64)

    return points


def offsets(find: Callable[[Sample], Points | None], data: Dataset, frame: tuple[int, int]) -> NDArray[np.complex128]:
    """Median of (true - found) of each point (K,), as a share of the found line between the two points of a frame."""
    rows = []
    for index in np.linspace(0, len(data) - 1, min(LEARNT_ON, len(data))).astype(int):
        sample = data.sample(int(index))
        found = find(sample)
        if found is not None:
            away = _complex(np.where(sample.labelled[:, None], sample.keypoints, np.nan)) - _complex(found)
            rows.append(away / _line(found, frame))
    away = np.array(rows)
    return np.asarray(np.nanmedian(away.real, axis=0) + 1j * np.nanmedian(away.imag, axis=0))


def moved(found: Points, by: NDArray[np.complex128], frame: tuple[int, int]) -> Points:
    """Points without their offsets."""
    place = _complex(found) + by * _line(found, frame)
    return np.stack([place.real, place.imag], axis=1)


def _complex(points: Points) -> NDArray[np.complex128]:
    return np.asarray(points[:, 0] + 1j * points[:, 1])


def _line(points: Points, frame: tuple[int, int]) -> complex:
    first, second = _complex(points)[list(frame)]
    return complex(second - first)


def others(kind: Kind) -> list[Landmarker]:
    """Those of others that are installed; the rest are named on standard error."""
    here = []
    for make in kind.others:
        try:
            here.append(make())
        except (ImportError, AttributeError) as missing:  # newer MediaPipes have no `solutions`
            print(f"{make.__name__}: not here ({missing})", file=sys.stderr)
    return here


def look(find: Callable[[Sample], Points | None], samples: Sequence[Sample]) -> tuple[list[Points | None], float]:
    """What is found in each, and the median of the seconds it takes."""
    found, times = [], []
    for sample in samples:
        begin = time.perf_counter()
        found.append(find(sample))
        times.append(time.perf_counter() - begin)
    return found, float(np.median(times))


def table(kind: Kind, spec: str, models: Sequence[str]) -> Iterator[str]:
    """The table, line by line. UserError for data that cannot be read."""
    test, train = kind.task.open(spec, "test"), kind.task.open(spec, "train")
    samples = [test.sample(index) for index in range(len(test))]
    truth = np.array([np.where(s.labelled[:, None], s.keypoints, np.nan) for s in samples])[:, kind.points]
    lengths = np.linalg.norm(np.subtract(*(truth[:, point] for point in kind.frame)), axis=1)

    def score(found: Sequence[Points | None], at: NDArray[np.bool_]) -> float:
        points = np.array([p for p, good in zip(found, at, strict=True) if good and p is not None])[:, kind.points]
        return kind.score(np.linalg.norm(points - truth[at], axis=2), lengths[at])

    yield f"{test.protocol}; {len(samples)} pictures, {kind.measure}\n"
    yield "| landmarker | bytes | ms | found, % | as it is | offsets of points taken away | the first row on these |"
    yield "|---|---|---|---|---|---|---|"
    first: list[Points | None] = []
    for name in models:
        found, seconds = look(ours(name, kind.task, test.skeleton.names), samples)
        first = first or found
        error = score(found, np.isfinite(lengths))
        yield f"| {name} | {find_model(name).stat().st_size:,} | {1000 * seconds:.1f} | 100.0 | {error:.2f} | - | - |"
    for other in others(kind):

        def see(sample: Sample, other: Landmarker = other) -> Points | None:
            return other.find(sample.picture)

        found, seconds = look(see, samples)
        some = np.array([points is not None for points in found]) & np.isfinite(lengths)
        by = offsets(see, train, kind.frame)
        shifted = [None if points is None else moved(points, by, kind.frame) for points in found]
        scores = " | ".join(f"{score(points, some):.2f}" for points in (found, shifted, first))
        share = f"{100 * some.mean():.1f}"
        yield f"| {other.name} | {other.bytes:,} | {1000 * seconds:.1f} | {share} | {scores} |"


def main() -> None:
    """The command."""
    made = argparse.ArgumentParser(prog="python -m benchmarks.landmarkers", description=(__doc__ or "").split("\n")[0])
    made.add_argument("kind", choices=KINDS)
    made.add_argument("data", help="a data set with a test split, as training takes it: 300w:PATH, lsp:PATH")
    made.add_argument("models", nargs="+", metavar="MODEL", help="a model's name or file")
    chosen = made.parse_args()
    try:
        for line in table(KINDS[chosen.kind], chosen.data, chosen.models):
            print(line, flush=True)
    except (UserError, ValueError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
