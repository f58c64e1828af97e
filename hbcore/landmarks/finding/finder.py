"""A trained finder, ready for pictures of any size: a look at the whole, reduced to the size it knows, then to half.

The second look costs a quarter of the first. What is large is small in it, and of small things training has many more.
"""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hbcore.deploy.engine import Engine
from hbcore.deploy.model_file import ModelFileError, load_model, reason
from hbcore.landmarks.crop import Crop
from hbcore.landmarks.description import Description, to_maps
from hbcore.landmarks.finding.sizes import Boxes, SizeCodec, separate
from hbcore.landmarks.squares import around_picture

LARGE = 40.0
"""Pixels, on the second look, of the smallest boxes that count there."""


class Finder:
    """finder(picture) -> boxes (n, 4), x0, y0, x1, y1 in pixels of the picture, and confidence (n,), the surest first.

    model: a model file. least: the confidence that a box needs; by default what the file says, which lets one of a
    hundred pictures without anything to be found have something. ModelFileError, in one line, where the file is none,
    or of a model that finds points or parts. Threads may share one.
    """

    def __init__(self, model: str | Path, least: float | None = None) -> None:
        network, header = load_model(Path(model))
        try:
            self.description = Description.read(header, network)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ModelFileError(f"{model}: not a model of this version ({reason(error)})") from None
        codec = self.description.codec
        if not isinstance(codec, SizeCodec):
            raise ModelFileError(f"{model}: finds points or parts where it is told to look, and not where to look")
        self.codec, self.network = codec, network
        self.least = (self.description.least_confidence or 0.0) if least is None else least
        self.engines: dict[tuple[int, int], Engine] = {}
        self.lock = threading.Lock()

    def __call__(self, picture: NDArray[np.uint8], least: float | None = None) -> tuple[Boxes, NDArray[np.float64]]:
        """See above; picture: RGB (H, W, 3). least: another confidence for this picture."""
        least = self.least if least is None else least
        crop = Crop(*around_picture(picture), self.codec.input_size)
        square = crop.extract(picture)
        shares = picture.shape[0] / max(picture.shape[:2]), picture.shape[1] / max(picture.shape[:2])
        fine, coarse = self._look(square, shares, least), self._look(_halved(square), shares, least)
        large = (coarse[0][:, 2] - coarse[0][:, 0]) >= LARGE
        boxes = np.concatenate([fine[0], 2 * coarse[0][large] + 0.5])
        confidence = np.concatenate([fine[1], coarse[1][large]])
        best = np.argsort(-confidence, kind="stable")
        best = best[separate(boxes[best])]
        return crop.to_picture(boxes[best].reshape(-1, 2)).reshape(-1, 4), confidence[best]

    def _look(
        self, square: NDArray[np.uint8], shares: tuple[float, float], least: float
    ) -> tuple[Boxes, NDArray[np.float64]]:
        """Boxes in a square, of whose rows and columns, in the middle, the picture takes up these shares."""
        top, left = (self._margin(len(square), share) for share in shares)
        seen = np.ascontiguousarray(square[top : len(square) - top, left : len(square) - left])
        maps = to_maps(self._engine(*seen.shape[:2])(seen[None]), self.description.output)[0]
        boxes, confidence = self.codec.boxes(maps, least)
        return boxes + np.array([left, top, left, top]), confidence

    def _margin(self, size: int, share: float) -> int:
        """Rows, or columns, of black beside a picture that takes up so much of its square, which need no look."""
        step = self.network.multiple
        needed = -(-round(share * size) // step) * step
        # Half of what is left, in whole pixels of the maps: so that these are cut out of those of the square.
        return (size - min(size, max(step, needed))) // 2 // self.codec.stride * self.codec.stride

    def _engine(self, height: int, width: int) -> Engine:
        with self.lock:
            if (height, width) not in self.engines:
                self.engines[height, width] = Engine(self.network, height, width)
            return self.engines[height, width]


def _halved(square: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A square of half the size, each level the mean of four."""
    rows = square[::2].astype(np.uint16) + square[1::2]
    means: NDArray[np.uint8] = ((rows[:, ::2] + rows[:, 1::2] + np.uint16(2)) >> 2).astype(np.uint8)
    return means
