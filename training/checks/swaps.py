"""Samples whose left and right are likely to be exchanged, judged by the layout of all others.

Every sample is turned, scaled and shifted until its midline lies on the mean midline of the set: the middles of the
flip pairs and the points that are in none. An exchange of left and right does not move these. What it does is to
turn around the vector from the right to the left point of a pair. Those vectors, of all pairs together, are taken
for normally distributed; a labelling is suspect if turning some of them around makes it far more likely, and
ordinary.

The set itself decides what can be told. Where all look into the camera, a sample with all sides exchanged
stands out. Where samples show front and back, such a sample looks like one seen from behind, and only exchanges of
some pairs against the others can be found.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.labels.skeletons import Skeleton

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Complexes = NDArray[np.complexfloating[Any, Any]]
LEAST_PERSONS = 30
"""Fewer do not show what is usual."""

FAR = 8.0
"""How much the logarithm of the likelihood has to gain. 8: the exchange makes the labels 3000 times as likely."""

_COST = 3.0  # of exchanging one pair, or some that move together: most labels are right
_USUAL = 0.99  # share of the samples that are as likely as an exchanged one has to be
_NOISE = 0.02  # least standard deviation of a coordinate, of the size of the midline: no annotator is better
_CLOSE = 0.9  # share of the samples that are taken for right before anything is known
_NUMBERS = 4_000_000  # of a table at a time: bounds the memory
_STEPS = 4_000_000_000  # of arithmetic per search, about two minutes
_ROUNDS = 4  # of fitting the distribution, to these and to those who are not suspect


@dataclass(frozen=True, eq=False)
class Swaps:
    """`gain` (N,), 0 where nothing is suspect, and `pairs` (N, P), which of the flip pairs to exchange then.

    `unseen` says what was not looked at, and why; it is empty where everything was.
    """

    gain: Floats
    pairs: Bools
    unseen: str = ""


def likely_swaps(keypoints: NDArray[np.floating[Any]], labelled: Bools, skeleton: Skeleton) -> Swaps:
    """Of N samples, `keypoints` (N, K, 2) in pixels and `labelled` (N, K)."""
    count, pairs = len(keypoints), len(skeleton.flip_pairs)
    nothing = np.zeros(count), np.zeros((count, pairs), np.bool_)
    if not pairs:
        return Swaps(*nothing, "no flip pairs are known")
    across, known = _across(np.asarray(keypoints, np.float64), labelled, skeleton)
    usable = known.any(axis=1)
    if usable.sum() < LEAST_PERSONS:
        few = f"{usable.sum()} of {count} samples have both points of a pair in a layout that can be compared"
        return Swaps(*nothing, f"{few}; what is usual shows from {LEAST_PERSONS} on")
    # Exchanges spread the distribution so far that it would forgive them: at first it is fitted to the nine tenths that
    # lie closest together, then to all who are not suspect.
    trusted = usable
    for _ in range(_ROUNDS):
        mean, covariance = _fit(across[trusted], known[trusted])
        before = _surprise(across, known, mean, covariance)
        trusted = usable & (before <= np.quantile(before[usable], _CLOSE))
    for _ in range(2):
        mean, covariance = _fit(across[trusted], known[trusted])
        gain, turned = _search(across, known, mean, covariance, skeleton)
        trusted = usable & (gain < FAR)
    before = _surprise(across, known, mean, covariance)
    after = _surprise(across * np.where(turned, -1, 1)[..., None], known, mean, covariance)
    usual = np.quantile(before[trusted], _USUAL) if trusted.any() else 0.0
    # What is outside the fit lies farther out, the more so the fewer samples there are for a number.
    spare = max(0.0, 1 - 2 * known.shape[1] / max(1, trusted.sum()))
    suspect = (gain >= FAR) & (after * spare**2 <= usual)
    rest = count - int(usable.sum())
    unseen = f"{rest} of {count} samples have no pair with both points labelled" if rest else ""
    return Swaps(np.where(suspect, gain, 0.0), turned & suspect[:, None], unseen)


def _across(keypoints: Floats, labelled: Bools, skeleton: Skeleton) -> tuple[Floats, Bools]:
    """Vectors (N, P, 2) from the first to the second point of each pair, in the frame of the mean midline, and which
    are known (N, P)."""
    points = keypoints[..., 0] + 1j * keypoints[..., 1]
    first, second = (list(side) for side in zip(*skeleton.flip_pairs, strict=True))
    rest = [keypoint for keypoint in range(keypoints.shape[1]) if keypoint not in {*first, *second}]
    both = labelled[:, first] & labelled[:, second]
    vectors = np.where(both, points[:, second] - points[:, first], 0)
    if len(first) + len(rest) > 1:
        midline = np.concatenate([(points[:, first] + points[:, second]) / 2, points[:, rest]], axis=1)
        turn = _onto_mean(midline, np.concatenate([both, labelled[:, rest]], axis=1))
    else:  # a single pair: nothing to turn it by
        turn = 1 / np.maximum(np.abs(vectors[:, 0]), 1e-9) + 0j
    vectors = vectors * turn[:, None]
    return np.stack([vectors.real, vectors.imag], axis=-1), both & (turn != 0)[:, None]


def _onto_mean(points: Complexes, known: Bools) -> Complexes:
    """The factors (N,), turn and scale as complex numbers, that bring `points` (N, M) closest to their common mean.

    Generalised Procrustes analysis without mirror images. 0 for those with fewer than two different points.
    """
    weight = known.sum(axis=1)

    def centred(values: Complexes) -> Complexes:
        middle = np.where(known, values, 0).sum(axis=1) / np.maximum(weight, 1)
        return np.where(known, values - middle[:, None], 0)

    own = centred(points)
    power = (np.abs(own) ** 2).sum(axis=1)
    usable = (weight > 1) & (power > 0)
    power = np.where(usable, power, 1.0)
    complete = usable & (weight == weight[usable].max(initial=0))
    start = own[complete] / np.sqrt(power[complete])[:, None]
    mean = np.median(start.real, axis=0) + 1j * np.median(start.imag, axis=0) if complete.any() else own[0]
    factor = np.zeros(len(points), np.complex128)
    for _ in range(5):
        target = centred(np.broadcast_to(mean, points.shape))
        factor = np.where(usable, (np.conj(own) * target).sum(axis=1) / power, 0)
        shift = mean - target  # how far the centre of the known points lies from that of all
        moved = np.where(known & usable[:, None], factor[:, None] * own + shift, 0)
        mean = moved.sum(axis=0) / np.maximum((known & usable[:, None]).sum(axis=0), 1)
        mean = mean - mean.mean()
        mean = mean / np.maximum(np.sqrt((np.abs(mean) ** 2).mean()), 1e-9)
    return factor


def _fit(across: Floats, known: Bools) -> tuple[Floats, Floats]:
    """Mean (2P,) and covariance (2P, 2P) of the vectors, from the pairs that are known, drawn towards a round cloud
    where there are few samples."""
    there = np.repeat(known, 2, axis=1).astype(np.float64)
    flat = across.reshape(len(across), -1) * there
    mean: Floats = flat.sum(axis=0) / np.maximum(there.sum(axis=0), 1)
    spread = (flat - mean) * there
    covariance = spread.T @ spread / np.maximum(there.T @ there, 1)
    size = len(mean)
    level = np.trace(covariance) / size
    share = size / (size + 10 * max(0, len(across) - size))
    covariance = (1 - share) * covariance + share * level * np.eye(size)
    # With pairs missing here and there the estimate may have negative directions.
    values, vectors = np.linalg.eigh(covariance)
    floor = max(_NOISE**2, 0.02 * level)
    return mean, (vectors * np.maximum(values, floor)) @ vectors.T


def _groups(covariance: Floats) -> list[list[int]]:
    """Sets of pairs that move together, from two to all: the nodes of a tree grown by mean similarity."""
    pairs = len(covariance) // 2
    alike = np.einsum("piqi->pq", covariance.reshape(pairs, 2, pairs, 2))
    length = np.sqrt(np.maximum(np.diagonal(alike), 1e-12))
    alike = np.abs(alike / length[:, None] / length)
    parts = [[pair] for pair in range(pairs)]
    groups = []
    while len(parts) > 1:
        np.fill_diagonal(alike, -np.inf)
        a, b = sorted(int(place) for place in np.unravel_index(alike.argmax(), alike.shape))
        sizes = len(parts[a]), len(parts[b])
        alike[a] = alike[:, a] = np.average(alike[[a, b]], axis=0, weights=sizes)
        alike = np.delete(np.delete(alike, b, axis=0), b, axis=1)
        parts[a] = parts[a] + parts.pop(b)
        groups.append(parts[a])
    return groups


def _parts(skeleton: Skeleton) -> list[list[int]]:
    """The flip pairs that hang together by edges, as of each eye of a face."""
    part = list(range(len(skeleton.keypoints)))
    for ends in (*skeleton.edges, *skeleton.flip_pairs):
        one, other = (part[end] for end in ends)
        part = [one if label == other else label for label in part]
    labels = [part[keypoint] for keypoint, _ in skeleton.flip_pairs]
    return [[pair for pair, own in enumerate(labels) if own == label] for label in sorted(set(labels))]


def _search(across: Floats, known: Bools, mean: Floats, covariance: Floats, skeleton: Skeleton) -> tuple[Floats, Bools]:
    """For each sample what the best exchange gains, and its pairs. Exchanged are pairs, parts, what moves together."""
    count, pairs = known.shape
    groups = [[pair] for pair in range(pairs)] + _groups(covariance) + _parts(skeleton)
    # Many samples with hundreds of points: only the larger exchanges can be tried in reasonable time.
    groups = sorted(groups, key=len, reverse=True)[: max(2, _STEPS // (count * pairs**2))]
    moves = np.ones((1 + len(groups), pairs))  # the first is to leave everything as it is
    for move, group in zip(moves[1:], groups, strict=True):
        move[group] = -1
    moves = moves[(moves > 0).any(axis=1)]  # all at once is where the search begins a second time
    gain, turned = np.zeros(count), np.zeros((count, pairs), np.bool_)
    for rows, mask, form in _forms(across, known, mean, covariance):
        signs, price = _best(form, np.unique(moves[:, mask], axis=0))
        gain[rows] = form.energy(np.ones_like(signs)) - form.energy(signs) - price
        turned[np.ix_(rows, np.flatnonzero(mask))] = signs < 0
    return gain, turned


def _surprise(across: Floats, known: Bools, mean: Floats, covariance: Floats) -> Floats:
    """-2 log likelihood per number (N,), up to a constant: 1 on average if the distribution is right."""
    result = np.zeros(len(across))
    for rows, mask, form in _forms(across, known, mean, covariance):
        result[rows] = form.energy(np.ones_like(form.linear)) / mask.sum()
    return result


def _forms(
    across: Floats, known: Bools, mean: Floats, covariance: Floats
) -> Iterator[tuple[NDArray[np.intp], Bools, _Form]]:
    """Samples with the same known pairs, by and by: their rows, the mask (P,), and the form they have in common."""
    masks, which = np.unique(known, axis=0, return_inverse=True)
    for number, mask in enumerate(masks):
        if not mask.any():
            continue
        members = np.flatnonzero(which.ravel() == number)
        index = np.flatnonzero(np.repeat(mask, 2))
        inverse = np.linalg.inv(covariance[np.ix_(index, index)]).astype(np.float64)
        for rows in np.array_split(members, 1 + len(members) * int(mask.sum()) ** 2 // _NUMBERS):
            yield rows, mask, _Form.of(across[rows][:, mask], mean[index], inverse)


@dataclass(frozen=True, eq=False)
class _Form:
    """Minus the log likelihood, up to a constant, of n samples as a function of their signs: a quadratic form."""

    square: Floats  # (n, p, p)
    linear: Floats  # (n, p)
    constant: float

    @classmethod
    def of(cls, vectors: Floats, mean: Floats, inverse: Floats) -> _Form:
        """For vectors (n, p, 2) that are normally distributed: mean (2p,), inverse of the covariance (2p, 2p)."""
        pairs = vectors.shape[1]
        pull = (inverse @ mean).reshape(pairs, 2)
        blocks = inverse.reshape(pairs, 2, pairs, 2)
        return cls(
            np.einsum("npi,piqj,nqj->npq", vectors, blocks, vectors, optimize=True),
            (vectors * pull).sum(axis=2),
            0.5 * float(mean @ inverse @ mean),
        )

    def energy(self, signs: Floats) -> Floats:
        """(n,), of signs (n, p)."""
        turned = (self.square @ signs[:, :, None])[:, :, 0]
        energy: Floats = ((0.5 * turned - self.linear) * signs).sum(axis=1) + self.constant
        return energy


def _best(form: _Form, moves: Floats) -> tuple[Floats, Floats]:
    """The signs (n, p) that are most likely less their price, and that price (n,).

    From the labels as they are, and from all of them exchanged, the best move is made again and again.
    """
    signs, price = _descend(form, np.ones_like(form.linear), moves)
    other, rest = _descend(form, -np.ones_like(form.linear), moves)
    better = form.energy(other) + rest + _COST < form.energy(signs) + price
    return np.where(better[:, None], other, signs), np.where(better, rest + _COST, price)


def _descend(form: _Form, signs: Floats, moves: Floats) -> tuple[Floats, Floats]:
    price = np.zeros(len(signs))
    energy = form.energy(signs)
    for _ in range(signs.shape[1]):
        tried = np.stack([form.energy(signs * move) for move in moves])
        choice = tried.argmin(axis=0)
        gained = energy - tried.min(axis=0) > _COST
        if not gained.any():
            break
        signs = np.where(gained[:, None], signs * moves[choice], signs)
        energy = np.where(gained, tried.min(axis=0), energy)
        price = price + np.where(gained, _COST, 0.0)
    return signs, price
