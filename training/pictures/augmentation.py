"""Random changes to a training example: mirror, rotation, size, shift, colour, and a blanked rectangle.

Geometry goes into one `Crop` and colours into one table, so the picture is gone through once however many
changes there are. Rotation, size and mirror follow the practice of stacked hourglasses (Newell et al., 2016)
with the rotation drawn as often as in "Simple baselines" (Xiao et al., 2018): in 60% of the examples, where
Newell's code has 40%.

Resumed runs replay a stream of random numbers, so `apply` uses the generator in one way only: a single call
of `rng.random` for one number per field of `Draws`, in that order, used or not. Nothing else is drawn, and a
normal deviate is computed from a uniform one, since NumPy's own takes a varying number of words from the
stream.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from statistics import NormalDist
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from hbcore.landmarks.crop import LEVELS, Crop
from hbcore.nn.architecture import STRIDE
from hbcore.optim.losses import IGNORED
from training.labels.parts import Mask, Scheme, relabel
from training.labels.sample import Sample


class Example(NamedTuple):
    """Picture (size, size, 3), keypoints (K, 2) in its pixels, (0, 0) where not labelled, labelled (K,), and the mask.

    The mask, if there is one, has the size of a network's maps in training and that of the picture otherwise.
    """

    picture: NDArray[np.uint8]
    keypoints: NDArray[np.float32]
    labelled: NDArray[np.bool_]
    mask: Mask | None


def stack(
    examples: Sequence[Example],
) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.bool_], Mask | None]:
    """All examples in arrays with one more axis, the first."""
    pictures, keypoints, labelled, masks = zip(*examples, strict=True)
    there = None if any(mask is None for mask in masks) else np.stack(masks)
    return np.stack(pictures), np.stack(keypoints), np.stack(labelled), there


ROTATED = 0.6  # share of examples that are rotated at all
ERASED_AREA = (0.02, 0.2)  # of the crop
ERASED_ASPECT = 3.0  # height to width, or width to height, at most


class Draws(NamedTuple):
    """The uniform numbers in [0, 1) behind one example, in the order they are drawn."""

    flip: float
    rotated: float
    angle: float
    scale: float
    shift_x: float
    shift_y: float
    red: float
    green: float
    blue: float
    brightness: float
    contrast: float
    erased: float
    area: float
    aspect: float
    erased_x: float
    erased_y: float
    erased_red: float
    erased_green: float
    erased_blue: float


@dataclass(frozen=True)
class Augmentation:
    """How much training examples vary.

    `flip`: probability of a mirror, which also swaps left and right keypoints.
    `rotate`: standard deviation in degrees of a normal angle, cut at twice as much; in 60% of the examples.
    `scale`: standard deviation of a normal z, cut at twice as much; the crop's side is multiplied by 2**z.
    `shift`: the crop moves by up to this share of its side, uniformly, in x and in y.
    `colour`: each channel and the contrast are multiplied by 1 +- `colour`, the brightness moves by
    +- `colour` half ranges, all uniformly. The black around the picture changes along.
    `erase`: probability of a rectangle, 2% to 20% of the crop, filled with one random colour. Keypoints under it
    stay labelled: to infer them from the rest is the exercise (Zhong et al., "Random erasing", 2020).
    `mirror_shift`: labels that all lie to one side of what they label (those of 300-W to the right) lie to the other
    side of it in a mirrored picture, where keypoints are therefore moved right by this share of the sample's side.

    Raises ValueError naming a field that is out of range.
    """

    flip: float = 0.5
    rotate: float = 30.0
    scale: float = 0.25
    shift: float = 0.1
    colour: float = 0.2
    erase: float = 0.2
    mirror_shift: float = 0.0

    def __post_init__(self) -> None:
        for name in (field.name for field in fields(self)):
            limit = {"rotate": 180.0, "scale": 2.0}.get(name, 1.0)
            if not 0 <= getattr(self, name) <= limit:
                raise ValueError(f"augmentation: {name} must lie in 0..{limit:g}, not {getattr(self, name)}")

    @classmethod
    def none(cls) -> Self:
        """No change at all: `apply` then equals `plain` (a mask but in its size), and still draws."""
        return cls(flip=0.0, rotate=0.0, scale=0.0, shift=0.0, colour=0.0, erase=0.0, mirror_shift=0.0)

    def apply(
        self,
        sample: Sample,
        size: int,
        skeleton: Scheme,
        rng: np.random.Generator,
        out: NDArray[np.uint8] | None = None,
    ) -> Example:
        """One random example of `size` x `size` input pixels, as networks are trained on.

        Its picture fills `out`, if given. Takes exactly `len(Draws._fields)` numbers from `rng`. Keypoints that leave
        the crop stay labelled, at their place outside. `sample` is not changed. Raises ValueError if it has other
        keypoints than `skeleton`.
        """
        if sample.mask is None and len(sample.labelled) != len(skeleton.names):
            raise ValueError(
                f"{sample.name} has {len(sample.labelled)} keypoints, {skeleton.name} {len(skeleton.names)}"
            )
        draws = Draws(*rng.random(len(Draws._fields)).tolist())
        crop = self._crop(sample, size, draws, skeleton.flips)
        if crop.mirror and self.mirror_shift:
            moved = np.array([self.mirror_shift * sample.side, 0], dtype=np.float32)
            sample = replace(sample, keypoints=sample.keypoints - moved)
        picture, keypoints, labelled, mask = _cut(sample, crop, size // STRIDE, self._levels(draws), out)
        if crop.mirror:
            swapped = skeleton.flip_index()
            if mask is None:
                keypoints, labelled = keypoints[swapped], labelled[swapped]
            else:
                mask = relabel(mask, swapped)
        if draws.erased < self.erase:
            _erase(picture, draws)
        return Example(picture, keypoints, labelled, mask)

    def _crop(self, sample: Sample, size: int, draws: Draws, flips: bool) -> Crop:
        side = sample.side * 2.0 ** (self.scale * _normal(draws.scale))
        reach = self.shift * side
        return Crop(
            center=(
                sample.center[0] + reach * _spread(draws.shift_x),
                sample.center[1] + reach * _spread(draws.shift_y),
            ),
            side=side,
            size=size,
            angle=math.radians(self.rotate * _normal(draws.angle)) if draws.rotated < ROTATED else 0.0,
            mirror=flips and draws.flip < self.flip,
        )

    def _levels(self, draws: Draws) -> NDArray[np.uint8]:
        """What the levels of each channel become: (3, 256)."""
        if not self.colour:
            return LEVELS
        contrast = 1 + self.colour * _spread(draws.contrast)
        middle = 127.5 * (1 + self.colour * _spread(draws.brightness))
        gains = [1 + self.colour * _spread(draw) for draw in (draws.red, draws.green, draws.blue)]
        return ((np.outer(gains, np.arange(256.0)) - 127.5) * contrast + middle).round().clip(0, 255).astype(np.uint8)


def plain(sample: Sample, size: int) -> Example:
    """The crop of the data set's own rule, unchanged: what evaluation sees."""
    return _cut(sample, Crop(sample.center, sample.side, size), size)


def _cut(
    sample: Sample,
    crop: Crop,
    mask_size: int,
    levels: NDArray[np.uint8] = LEVELS,
    out: NDArray[np.uint8] | None = None,
) -> Example:
    keypoints = crop.to_input(sample.keypoints).astype(np.float32)
    keypoints[~sample.labelled] = 0
    mask = None
    if sample.mask is not None:
        mask = replace(crop, size=mask_size).extract_mask(sample.mask, outside=IGNORED)
    return Example(crop.extract(sample.picture, levels, out), keypoints, sample.labelled.copy(), mask)


def _erase(picture: NDArray[np.uint8], draws: Draws) -> None:
    """Fill a rectangle that lies wholly inside `picture`, in place."""
    size = len(picture)
    least, most = ERASED_AREA
    area = least + (most - least) * draws.area
    stretch = ERASED_ASPECT ** (0.5 * _spread(draws.aspect))
    height = min(size, max(1, round(size * math.sqrt(area) * stretch)))
    width = min(size, max(1, round(size * math.sqrt(area) / stretch)))
    top = int(draws.erased_y * (size - height + 1))
    left = int(draws.erased_x * (size - width + 1))
    colour = [int(256 * draw) for draw in (draws.erased_red, draws.erased_green, draws.erased_blue)]
    picture[top : top + height, left : left + width] = colour


def _spread(draw: float) -> float:
    """Uniform in [-1, 1)."""
    return 2.0 * draw - 1.0


def _normal(draw: float) -> float:
    """Standard normal, cut at -2 and 2."""
    tail = 0.02  # less than the 2.3% beyond 2: keeps the inverse away from 0, where it does not exist
    return min(2.0, max(-2.0, NormalDist().inv_cdf(min(1 - tail, max(tail, draw)))))
