"""What a data set hands to the rest of the project, whatever its files look like.

A point is (x, y) in pixels, 0-based, with pixel centres at integers: a picture of width W spans [-0.5, W -
0.5].
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from training.labels.parts import Scheme


@dataclass(frozen=True, eq=False)
class Person:
    """One labelled person in one picture.

    `picture` is uint8 RGB (H, W, 3); `joints` float32 (K, 2), (0, 0) where `labelled`, bool (K,), is False.
    `center` (x, y) and `side` are the crop square of the data set's own rule, in picture pixels. `head_size`,
    in picture pixels, is the norm of PCKh and nan where the data set has none; `yaw`, in degrees, is how far a
    face looks to the side, nan where nobody knows. `box_size`, the longer side of the box around the person, and
    `area`, in square pixels, are the norms of PCKbox and OKS, nan where the data set has none. `name` is for messages
    and reports; where a picture may hold several persons, it is the picture's, #, and what tells the person apart.
    `mask`, uint8 (H, W), is there where parts are labelled and not joints, of which there are then none: see
    `training/part_schemes.py`.
    """

    picture: NDArray[np.uint8]
    joints: NDArray[np.float32]
    labelled: NDArray[np.bool_]
    center: tuple[float, float]
    side: float
    head_size: float
    name: str
    yaw: float = math.nan
    box_size: float = math.nan
    area: float = math.nan
    mask: NDArray[np.uint8] | None = None


class PersonDataset(Protocol):
    """A list of persons, decoded one at a time.

    It can be pickled, for workers that are spawned, and holds only paths and arrays of labels. `protocol`
    says in one line which split, crop rule and head size rule the numbers measured on it rest on.
    """

    @property
    def name(self) -> str: ...
    @property
    def split(self) -> str: ...
    @property
    def skeleton(self) -> Scheme: ...
    @property
    def protocol(self) -> str: ...

    def __len__(self) -> int: ...

    def person(self, index: int) -> Person:
        """Person `index`. Raises IndexError beyond the last and BadPicture if the picture cannot be read."""
        ...
