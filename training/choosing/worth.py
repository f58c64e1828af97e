"""Which pictures are worth labelling next: those that stand for many others of which a model is unsure.

Unsure.   The model looks at an instance several times: as it is, moved by a few percent of the square to all sides, and
in a mirror. The spread is how far the points found lie from their means over these looks (root of the mean square, in
shares of the square's side): a point that is known stays where it is. The doubt is 1 less the mean confidence. Neither
has a scale that is the same for all models, so each counts by its rank among the pictures looked at.

Unlike.   The square is reduced to 16 x 16 grey levels, less their mean, and divided by their norm; 1 less the product
of two of these (their correlation) is how far apart they are: 0 the same, 1 nothing in common.

Worth.    What is left to learn from a folder is taken to be the sum, over its scenes, of unsure times unlike, the
distance to the nearest picture that has labels; pictures closer than SAME are shots of one scene and share its weight.
A label lessens the sum by all that looks like the labelled picture, and a picture is worth the share by which it does:

    worth(i) = sum_j w_j max(0, unlike_j - apart_ij) / sum_j w_j unlike_j,    w_j = unsure_j / shots_j

The list is greedy: each picture counts as labelled for those after it. So a hundred shots of one scene take one place,
or few, and a picture like no other, of which a model is most unsure, is worth little: it teaches about itself
alone. (The greedy answer to a facility location problem; as Wei, Iyer and Bilmes, ICML 2015, choose what to label.)
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hbcore.landmarks.crop import Crop
from hbcore.landmarks.finding.finder import Finder
from hbcore.landmarks.landmarker import Instance, answer, found_in, settled
from hbcore.landmarks.squares import around_picture
from training.prediction.model import Model

MOVED = 0.05
"""By how much of its side a square is moved for a further look."""

CELLS = 16

SAME = 0.1
"""How far apart two shots of one scene may be. The nearest of 2,011 other faces is 0.24 away, in the median."""

AGAIN = 2
"""Looks at the box of the points found, where a model of boxes is only given whole pictures."""

BLOCK = 256
"""Pictures that are compared with all others at once: for memory."""

Thumb = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Seen:
    """What a model makes of a picture: of its least certain instance, or of the whole where nothing is found.

    spread in shares of the square's side, and infinite where nothing is found. thumb: (CELLS^2,), see above.
    """

    found: bool
    doubt: float
    spread: float
    thumb: Thumb


@dataclass(frozen=True)
class Choice:
    """Picture number `index`; worth: see above, from 0 to 1; unlike: the distance to the nearest one before it."""

    index: int
    worth: float
    unlike: float


def see(model: Model, picture: NDArray[np.uint8], finder: Finder | None) -> Seen:
    """How sure a model of points is of an RGB picture (H, W, 3)."""
    crops = list(_squares(model, picture, finder))
    seen = [_seen(model, picture, crop) for crop in crops]
    if not seen:
        return Seen(False, 1.0, np.inf, thumb(picture, Crop(*around_picture(picture), CELLS)))
    return max(seen, key=lambda one: one.spread)


def thumb(picture: NDArray[np.uint8], crop: Crop) -> Thumb:
    """A square of a picture as grey levels without mean, of norm 1; zeros where it is flat."""
    levels: Thumb = replace(crop, size=CELLS).extract(picture).mean(axis=2).ravel()
    levels -= levels.mean()
    return levels / max(float(np.linalg.norm(levels)), 1e-9)


def choose(seen: Sequence[Seen], labelled: Sequence[Thumb], count: int) -> list[Choice]:
    """The first `count` pictures, or all there are, the best first; of equals the first."""
    thumbs = np.array([one.thumb for one in seen])
    blocks = [thumbs[start : start + BLOCK] for start in range(0, len(seen), BLOCK)]
    # A flat picture is like none, not even itself: no shot of anything.
    shots = np.concatenate([(_apart(block, thumbs.T) < SAME).sum(axis=1) for block in blocks])
    weights = (_rank([one.doubt for one in seen]) + _rank([one.spread for one in seen])) / 2 / np.maximum(1, shots)
    unlike = np.ones(len(seen))
    for known in labelled:
        unlike = np.minimum(unlike, _apart(thumbs, known))
    left_to_learn = max(float(weights @ unlike), 1e-9)

    def worth(block: NDArray[np.float64]) -> NDArray[np.float64]:
        lessened: NDArray[np.float64] = np.maximum(0, unlike - _apart(block, thumbs.T)) @ weights
        return lessened / left_to_learn

    # What a picture is worth only falls as others are chosen: the best by an old figure whose new one is best, is best.
    queue = [(-value, index) for index, value in enumerate(np.concatenate([*map(worth, blocks)]).tolist())]
    heapq.heapify(queue)
    chosen: list[Choice] = []
    while queue and len(chosen) < count:
        _, best = heapq.heappop(queue)
        value = float(worth(thumbs[best : best + 1])[0])
        if queue and (-value, best) > queue[0]:
            heapq.heappush(queue, (-value, best))
            continue
        chosen.append(Choice(best, value, float(unlike[best])))
        unlike = np.minimum(unlike, _apart(thumbs, thumbs[best]))
    return chosen


def _apart(thumbs: NDArray[np.float64], other: Thumb) -> NDArray[np.float64]:
    """Of each from each, from 0 to 1: the opposite of a picture has no more in common with it than any other."""
    return np.clip(1 - thumbs @ other, 0, 1)


def _rank(values: Sequence[float]) -> NDArray[np.float64]:
    """The share of the values that are not larger than each."""
    known = np.sort(values)
    return np.searchsorted(known, values, side="right") / max(1, len(known))


def _squares(model: Model, picture: NDArray[np.uint8], finder: Finder | None) -> Iterator[Crop]:
    """Where in a picture the model has found something, or is to look where nothing can find it."""
    if finder:
        yield from (crop for crop, _ in found_in(picture, finder, model.description, model.heatmaps))
        return
    crop = Crop(*around_picture(picture), model.codec.input_size)
    box = np.array([-0.5, -0.5, picture.shape[1] - 0.5, picture.shape[0] - 0.5])
    first: tuple[Crop, Instance] = crop, answer(model.description, model.heatmaps, picture, crop, box)
    yield settled(picture, first, model.description, model.heatmaps, AGAIN if model.needs_box else 0)[0]


def _seen(model: Model, picture: NDArray[np.uint8], crop: Crop) -> Seen:
    crops = list(looks(crop))
    if model.scheme.flips:
        crops.append(replace(crop, mirror=True))
    maps = model.heatmaps(np.stack([one.extract(picture) for one in crops]))
    found = model.codec.decode(maps)[0]
    points = np.stack([one.to_picture(places.astype(np.float64)) for one, places in zip(crops, found, strict=True)])
    if crops[-1].mirror:
        points[-1] = points[-1][model.scheme.flip_index()]
    away = np.linalg.norm(points - points.mean(axis=0), axis=-1) / crop.side
    doubt, spread = 1 - model.codec.confidence(maps).mean(), np.sqrt((away**2).mean())
    return Seen(True, float(doubt), float(spread), thumb(picture, crop))


def looks(crop: Crop) -> Iterator[Crop]:
    """A square, and the same moved to all four sides."""
    x, y = crop.center
    for right, down in ((0, 0), (1, 0), (-1, 0), (0, 1), (0, -1)):
        yield replace(crop, center=(x + MOVED * right * crop.side, y + MOVED * down * crop.side))
