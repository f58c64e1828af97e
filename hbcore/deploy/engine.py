"""Inference without autograd: a trained network folded once into a plan, which one call runs from picture to heatmaps.

What is left of a binary unit is a comparison, a binary convolution and its scale (`folding.py`); bits go from
convolution to convolution, and floats exist only in the residual stream. Every layer becomes a step of the plan
(`lowering.py`, `table.py`), and all memory is laid out when the plan is made (`memory.py`). The result is that of
``model.eval()(picture)`` to the last bit.
"""

from __future__ import annotations

import threading

import numpy as np

from hbcore import kernels
from hbcore.autograd.function import Array
from hbcore.deploy.lowering import lower
from hbcore.deploy.memory import run_in
from hbcore.nn.hourglass import StackedHourglass

UNIT = np.float32(1 / 255)  # of a byte in [0, 1]


class Engine:
    """A network ready to run on pictures of one size: engine(pictures) -> heatmap logits of the last stack.

    model: a StackedHourglass in float32 of any architecture; its weights are copied. Raises ValueError for a network
    with smooth signs or layers that plans do not know, sizes that do not fit, weights that are not finite, or variances
    below zero. Threads may share it: its memory is one, so their calls wait for each other, while other Python code
    runs on. For calls side by side, make an engine for each thread.
    """

    def __init__(self, model: StackedHourglass, height: int, width: int, batch: int = 1) -> None:
        self.plan = kernels.backend.new_plan()
        self.picture, self.heatmaps = run_in(self.plan, lower(model, height, width, batch))
        self.lock = threading.Lock()

    def __call__(self, pictures: Array) -> Array:
        """(N, H, W, 3) -> float32 (N, H / 4, W / 4, joints); N is the batch the engine was made for.

        pictures: real numbers in [0, 1], or bytes (uint8), which stand for pictures * float32(1 / 255). Raises
        TypeError for anything else, ValueError for another shape, FloatingPointError for numbers that are not finite
        in float32.
        """
        if not isinstance(pictures, np.ndarray):
            raise TypeError(f"this engine takes an array, got {type(pictures).__name__}: of a tensor, give its .data")
        if pictures.shape != self.picture.shape:
            raise ValueError(f"this engine takes pictures {self.picture.shape}, got {pictures.shape}")
        bytes_given = pictures.dtype == np.uint8
        if not bytes_given and pictures.dtype.kind != "f":
            raise TypeError(f"this engine takes uint8 or real numbers in [0, 1], got {pictures.dtype}")
        with self.lock, np.errstate(over="ignore"):
            if bytes_given:
                np.multiply(pictures, UNIT, out=self.picture)
            else:
                self.picture[...] = pictures
                if not np.isfinite(self.picture).all():
                    raise FloatingPointError("NaN has no sign: the picture holds numbers that are not finite")
            self.plan.run()
            return self.heatmaps.copy()
