"""What every set of parts shares."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from hbcore.landmarks.squares import Square
from hbcore.optim.losses import IGNORED
from training.errors import BadPicture
from training.labels.parts import Mask, Parts
from training.labels.sample import Sample


def masked(
    picture: NDArray[np.uint8], mask: Mask, parts: Parts, square: Square, name: str, yaw: float = math.nan
) -> Sample:
    """A picture with its mask and no keypoints.

    Raises BadPicture, naming it, if the mask has another size or holds a value that is no class.
    """
    if mask.shape != picture.shape[:2]:
        raise BadPicture(
            f"{name}: its mask is {mask.shape[1]} x {mask.shape[0]} pixels, the picture {picture.shape[1]} x "
            f"{picture.shape[0]}"
        )
    strange = mask[(mask >= len(parts.names)) & (mask != IGNORED)]
    if strange.size:
        raise BadPicture(f"{name}: its mask holds {strange.min()}, but there are {len(parts.names)} classes, from 0")
    center, side = square
    nothing = np.zeros((0, 2), np.float32), np.zeros(0, np.bool_)
    return Sample(picture, *nothing, center, side, math.nan, name, yaw=yaw, mask=mask)
