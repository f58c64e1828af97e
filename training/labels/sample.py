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
class Sample:
    """One labelled instance with its picture: a person, a face, or whatever else has keypoints or parts.

    `picture` is uint8 RGB (H, W, 3); `keypoints` float32 (K, 2), (0, 0) where `labelled`, bool (K,), is False.
    `center` (x, y) and `side` are the crop square of the data set's own rule, in picture pixels. `head_size`,
    in picture pixels, is the norm of PCKh and nan where the data set has none; `yaw`, in degrees, is how far a
    face looks to the side, nan where unknown. `box_size`, the longer side of the box around the instance, and
    `area`, in square pixels, are the norms of PCKbox and OKS, nan where the data set has none. `name` is for messages
    and reports; where a picture may hold several instances, it is the picture's, #, and what tells the instance apart.
    `mask`, uint8 (H, W), is there where parts are labelled and not keypoints, of which there are then none: see
    `training/labels/parts.py`.
    """

    picture: NDArray[np.uint8]
    keypoints: NDArray[np.float32]
    labelled: NDArray[np.bool_]
    center: tuple[float, float]
    side: float
    head_size: float
    name: str
    yaw: float = math.nan
    box_size: float = math.nan
    area: float = math.nan
    mask: NDArray[np.uint8] | None = None


class Dataset(Protocol):
    """A list of samples, decoded one at a time.

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

    def sample(self, index: int) -> Sample:
        """Sample `index`. Raises IndexError beyond the last and BadPicture if the picture cannot be read."""
        ...
