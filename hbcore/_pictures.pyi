import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]

def warp(picture: Bytes, matrix: NDArray[np.float64], levels: Bytes, out: Bytes) -> None: ...
def weighted(
    picture: Bytes, first: NDArray[np.int64], weights: NDArray[np.int32], across: bool, out: Bytes
) -> None: ...
