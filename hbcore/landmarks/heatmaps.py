"""Keypoints to heatmaps and back.

Heatmaps are (H, W, K), one plane per keypoint; where their pixels lie in the input, `codec.py` says.

Encoding draws a Gaussian of peak 1 centred on the keypoint itself, not on the nearest pixel, and cuts it off at
three sigma along each axis (its value there is 1.1%), so most of the map is exactly zero. It stays a product
of a row and a column profile.

Decoding has to be exact on such a Gaussian and calm on what a network says. Root mean square errors in
heatmap pixels on 3,000 maps of 32 x 32 with sigma 1: "noisy" maps have peaks of 0.2 to 1, widths of 0.8 to
1.5 sigma and white noise of 0.4 on the logits; "border" ones are clean, with the keypoint within three pixels
of the border:

    method                                                        noisy   border
    arg-max                                                       0.62     0.40
    arg-max, a quarter pixel towards the larger neighbour         0.45     0.32
    arg-max, parabola through three logarithms                    0.39     0.39
    arg-max, centroid of a window of two sigma                    0.20     0.45
    Gaussian smoothing, arg-max, parabola (as DARK)               0.16     0.45
    here                                                          0.12     0.00

With sigma 2 and 3 and with smooth noise it stays first. Only for noise added to the values, as after a
squared loss, is the smoothed arg-max better in the interior, 0.04 against 0.08.

Here, the map is smoothed with the encoder's Gaussian (renormalised where the border cuts it), which gathers
the evidence around each pixel, and the largest is taken. Then, on the unsmoothed map, a window of two sigma
around it is summed over rows and over columns. A Gaussian summed this way is still a Gaussian with the same
centre, and the sum averages the noise. Its logarithm is a parabola, fitted by least squares with the profile
itself as weight: between 1, right for noise that scales with the value, and the square, right for noise that
does not (Guo, "A simple algorithm for fitting a Gaussian function", 2011). A weak pull of the curvature
towards that of sigma decides where the window says little, as at the border. Fitting logarithms is an idea of
DARK (Zhang et al., "Distribution-aware coordinate representation", 2020).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hbcore.landmarks.codec import Codec

FAINTEST = 1e-200  # weights below say nothing, and near the end of float64 arithmetic is ten times as slow
TRUNCATION = 3.0  # half width of the drawn Gaussian along each axis, in sigma
WINDOW = 2.0  # half width of the window the sub-pixel fit looks at, in sigma
TIE = 1e-5  # smoothed peaks closer than this, relatively, are equal: above the rounding of their sums
FLOOR = 1e-3  # profile values below this part of the largest say nothing about the peak
PULL = 0.05  # weight of the prior on the curvature; the weights of the profile sum to 1


@dataclass(frozen=True)
class HeatmapCodec(Codec):
    """Encoder and decoder of heatmaps; `sigma`, in heatmap pixels, is the width of the Gaussian.

    Raises ValueError if a field cannot be used. Below half a pixel a Gaussian falls between the pixels and
    its centre is lost, so `sigma` is at least 0.5.
    """

    OUTPUTS = ("sigmoid", "identity")
    sigma: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.sigma, int | float) or not 0.5 <= self.sigma < np.inf:
            raise ValueError(f"codec: sigma must be finite and at least 0.5 heatmap pixels, not {self.sigma!r}")

    def encode(
        self, keypoints: NDArray[np.floating[Any]], labelled: NDArray[np.bool_]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Heatmaps float32 (H, W, K) and weights float32 (K,) of `keypoints` (K, 2), in input pixels.

        A keypoint without a label has a zero map and weight 0, whatever its coordinates. A labelled keypoint has
        weight 1; if it lies so far outside that its Gaussian does not touch the map, the map is zero and the
        weight still 1: the network shall learn to see nothing there.

        Raises ValueError for wrong shapes and for a labelled keypoint that is not finite.
        """
        points = np.asarray(keypoints, dtype=np.float64)
        labelled = np.asarray(labelled, dtype=bool)
        if points.ndim != 2 or points.shape[1] != 2 or labelled.shape != points.shape[:1]:
            raise ValueError(
                f"codec: keypoints (K, 2) and labelled (K,) expected, got {points.shape}, {labelled.shape}"
            )
        lost = labelled & ~np.isfinite(points).all(axis=1)
        if lost.any():
            raise ValueError(f"codec: keypoint {int(lost.argmax())} is labelled but not finite")

        centers = np.where(labelled[:, None], self.to_heatmap(points), np.inf)
        away = np.abs(np.arange(self.heatmap_size)[:, None, None] - centers) / self.sigma  # (size, K, 2)
        near = away <= TRUNCATION
        # The distance of far pixels is not squared: it may be infinite.
        profile = np.where(near, np.exp(-0.5 * np.where(near, away, 0.0) ** 2), 0.0).astype(np.float32)
        return profile[:, None, :, 1] * profile[None, :, :, 0], labelled.astype(np.float32)

    def decode(self, heatmaps: NDArray[np.floating[Any]]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Keypoints float32 (..., K, 2), in input pixels, and scores (..., K) of `heatmaps` (..., H, W, K).

        Meant for probabilities in [0, 1] or averages of them. Any finite values do: the answer does not
        change when a constant is added or a positive factor applied, so logits decode to much the same
        places, if a little less precisely. The score, float32, is the map's own largest value in the window
        around the peak.

        The answer lies within the input. Among equal peaks the first in row order is taken; a constant map
        says nothing and gives its first pixel. The answer for one map does not depend on the others in the
        call.

        Raises ValueError for a wrong shape and for a value that is NaN or infinite, naming its index.
        """
        heatmaps = np.asarray(heatmaps)
        size = self.heatmap_size
        if heatmaps.ndim < 3 or heatmaps.shape[-3:-1] != (size, size):
            raise ValueError(f"codec: heatmaps (..., {size}, {size}, K) expected, got {heatmaps.shape}")
        lead = (*heatmaps.shape[:-3], heatmaps.shape[-1])
        planes = np.ascontiguousarray(np.moveaxis(heatmaps, -1, -3), dtype=np.float64).reshape(-1, size, size)
        if not np.isfinite(planes).all():
            index = tuple(int(i) for i in np.argwhere(~np.isfinite(heatmaps))[0])
            what = "NaN" if np.isnan(heatmaps[index]) else "infinite"
            raise ValueError(f"codec: heatmap value at index {index} is {what}")

        lowest = planes.min(axis=(1, 2), keepdims=True)
        raised = planes - lowest
        row, column = self._peaks(raised)
        window = self._windows(raised, row, column)
        across, down = window.sum(axis=1), window.sum(axis=2)
        centers = np.stack([self._center(across, column), self._center(down, row)], axis=-1)
        scores = lowest[:, 0, 0] + window.max(axis=(1, 2))
        return (
            self.to_input(centers).astype(np.float32).reshape(*lead, 2),
            scores.astype(np.float32).reshape(lead),
        )

    def confidence(self, heatmaps: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """The mean of the keypoints' scores, see `decode`: what answers are ranked by for OKS, too."""
        return mean_score(self.decode(heatmaps)[1])

    def most_confidence(self, heatmaps: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """The mean of the keypoints' highest values, wherever they are: nothing is read out."""
        return mean_score(heatmaps.max(axis=(-3, -2)))

    def _peaks(self, planes: NDArray[np.float64]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Row and column, (N,) each, of the largest smoothed value of every plane (N, size, size) >= 0."""
        smooth = self.smoothing()
        evidence = (smooth @ planes @ smooth.T).reshape(len(planes), self.heatmap_size**2)
        top = evidence >= evidence.max(axis=1, keepdims=True) * (1 - TIE)
        row, column = np.divmod(top.argmax(axis=1), self.heatmap_size)
        return row, column

    def _windows(
        self, planes: NDArray[np.float64], row: NDArray[np.intp], column: NDArray[np.intp]
    ) -> NDArray[np.float64]:
        """The square (N, window, window) of every plane around its peak; zero outside the plane."""
        offsets = self._offsets()
        rows = row[:, None] + offsets
        columns = column[:, None] + offsets
        last = self.heatmap_size - 1
        inside = ((rows >= 0) & (rows <= last))[:, :, None] & ((columns >= 0) & (columns <= last))[:, None, :]
        plane = np.arange(len(planes))[:, None, None]
        values = planes[plane, rows.clip(0, last)[:, :, None], columns.clip(0, last)[:, None, :]]
        return np.where(inside, values, 0.0)

    def _center(self, profile: NDArray[np.float64], peak: NDArray[np.intp]) -> NDArray[np.float64]:
        """Centre (N,), in heatmap pixels, of the Gaussian behind `profile` (N, window) around pixel `peak`
        (N,).

        With u the distance from the weighted mean, in sigma, log(profile) = c0 + c1 u + c2 u^2 is fitted; the
        centre lies at u = -c1 / (2 c2), and c2 is -1/2 where the width is the encoder's.
        """
        highest = profile.max(axis=1, keepdims=True)
        told = profile > FLOOR * highest
        flat = ~told.any(axis=1, keepdims=True)  # a constant map: no evidence, so stay where we are
        share = np.where(told, profile, 0.0) / np.where(flat, 1.0, highest)
        log = np.log(np.where(told, share, 1.0))
        weight = share / np.where(flat, 1.0, share.sum(axis=1, keepdims=True))

        def mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
            result: NDArray[np.float64] = (weight * values).sum(axis=1, keepdims=True)
            return result

        at = self._offsets() / self.sigma
        middle = mean(at)
        u = at - middle
        square = u * u - mean(u * u)  # orthogonal to the constant, which c0 absorbs
        uu, uq, qq = mean(u * u), mean(u * square), mean(square * square) + PULL
        ul, ql = mean(u * log), mean(square * log) - 0.5 * PULL
        det = uu * qq - uq * uq  # zero where the profile is a single pixel: no slope to fit then
        det = np.where(det > 1e-12, det, np.inf)
        slope = (qq * ul - uq * ql) / det
        curvature = (uu * ql - uq * ul) / det
        peaked = curvature < -0.05  # ten times flatter than the encoder's Gaussian: no peak to speak of
        step = self.sigma * (middle - np.where(peaked, slope / np.where(peaked, 2 * curvature, 1.0), 0.0))
        reach = max(1.0, self.sigma)
        return np.clip(peak + np.clip(step[:, 0], -reach, reach), -0.5, self.heatmap_size - 0.5)

    def smoothing(self) -> NDArray[np.float64]:
        """The encoder's Gaussian around each pixel of an axis: (size, size), rows that sum to 1."""
        pixels = np.arange(self.heatmap_size)
        smooth = np.exp(-0.5 * ((pixels[:, None] - pixels) / self.sigma) ** 2)
        smooth[smooth < FAINTEST] = 0
        return np.asarray(smooth / smooth.sum(axis=1, keepdims=True))

    @property
    def radius(self) -> int:
        """How many pixels to each side of a peak the sub-pixel fit looks at."""
        return max(1, int(np.ceil(WINDOW * self.sigma)))

    def _offsets(self) -> NDArray[np.intp]:
        return np.arange(-self.radius, self.radius + 1)


def mean_score(scores: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """The confidence of answers that were decoded already, (...,), of their scores (..., K)."""
    mean: NDArray[np.float64] = scores.mean(axis=-1, dtype=np.float64)
    return mean
