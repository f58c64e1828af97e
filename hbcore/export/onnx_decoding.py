"""What maps say, as nodes of an ONNX graph: points and scores, or classes.

The formulas are those of `HeatmapCodec.decode` and `MaskCodec.decode`, in float32, which every runtime has. A window
around a peak is a mask over the whole map here, so that nothing is looked up by an index.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from hbcore.export.onnx_nodes import Nodes
from hbcore.landmarks.codec import Codec
from hbcore.landmarks.heatmaps import FLOOR, PULL, TIE, HeatmapCodec
from hbcore.landmarks.masks import MaskCodec

FLOAT, UINT8 = 1, 2
"""As ONNX numbers types."""


def write_decoding(graph: Nodes, planes: str, count: int, codec: Codec, output: str) -> None:
    """Let a graph give what its planes (1, K, h, w), as the network gives them, say.

    "points" (1, K, 2), in pixels of the input, and "scores" (1, K); of a model of parts "classes", uint8 (1, S, S).
    """
    if isinstance(codec, MaskCodec):
        size = codec.input_size
        graph.gives("classes", _classes(graph, planes, codec), (1, size, size), np.uint8)
        return
    assert isinstance(codec, HeatmapCodec)
    points, scores = Points(graph, codec).of(graph.node("Sigmoid", planes) if output == "sigmoid" else planes)
    graph.gives("points", points, (1, count, 2))
    graph.gives("scores", scores, (1, count))


def _classes(graph: Nodes, planes: str, codec: MaskCodec) -> str:
    weights = codec.weights(np.arange(codec.input_size, dtype=np.float64))
    rows = graph.node("MatMul", graph.constant(weights), planes)
    logits = graph.node("MatMul", rows, graph.constant(weights.T))
    return graph.node("Cast", graph.node("ArgMax", logits, axis=1, keepdims=0), to=UINT8)


class Points:
    """Nodes that read points out of planes (1, K, S, S)."""

    def __init__(self, graph: Nodes, codec: HeatmapCodec) -> None:
        self.graph, self.codec = graph, codec
        self.pixels = self._number(np.arange(codec.heatmap_size))
        self.zero, self.one = self._number(0), self._number(1)

    def of(self, planes: str) -> tuple[str, str]:
        """Names of points (1, K, 2) and scores (1, K)."""
        do, codec = self.graph.node, self.codec
        lowest = do("Neg", do("ReduceMax", do("Neg", planes), axes=[2, 3]))
        raised = do("Sub", planes, lowest)
        row, column = self._peak(raised)
        in_rows, in_columns = self._near(row), self._near(column)  # (1, K, 1, S)
        across = do("Mul", do("MatMul", in_rows, raised), in_columns)
        turned = do("Transpose", raised, perm=[0, 1, 3, 2])
        down = do("Mul", do("MatMul", in_columns, turned), in_rows)
        centers = do("Concat", self._center(across, column), self._center(down, row), axis=3)
        points = do("Add", do("Mul", centers, self._number(codec.stride)), self._number(codec.to_input(np.zeros(1))))
        window = do("Mul", do("Mul", raised, do("Transpose", in_rows, perm=[0, 1, 3, 2])), in_columns)
        highest = do("Add", do("ReduceMax", window, axes=[2, 3]), lowest)
        return self._squeezed(points, 2), self._squeezed(highest, 2, 3)

    def _peak(self, raised: str) -> tuple[str, str]:
        """Row and column, numbers (1, K, 1, 1), of the first pixel that is the largest once smoothed."""
        do, size = self.graph.node, self.codec.heatmap_size
        smooth = self.codec.smoothing()
        smoothed = do("MatMul", do("MatMul", self._number(smooth), raised), self._number(smooth.T))
        least = do("Mul", do("ReduceMax", smoothed, axes=[2, 3]), self._number(1 - TIE))
        top = do("Cast", do("Not", do("Less", smoothed, least)), to=FLOAT)
        flat = do("Reshape", top, self.graph.constant(np.array([1, -1, 1, size * size], dtype=np.int64)))
        at = do("ArgMax", flat, axis=3)
        width = self.graph.constant(np.array(size, dtype=np.int64))
        row = do("Div", at, width)
        column = do("Sub", at, do("Mul", row, width))
        return do("Cast", row, to=FLOAT), do("Cast", column, to=FLOAT)

    def _near(self, peak: str) -> str:
        """1 at the pixels of an axis that lie in the window around a peak, else 0: (1, K, 1, S)."""
        do = self.graph.node
        away = do("Abs", do("Sub", self.pixels, peak))
        return do("Cast", do("Less", away, self._number(self.codec.radius + 0.5)), to=FLOAT)

    def _center(self, profile: str, peak: str) -> str:
        """The centre (1, K, 1, 1) of the Gaussian behind a profile (1, K, 1, S): see HeatmapCodec."""
        do, sigma = self.graph.node, self.codec.sigma
        mul, sub = partial(do, "Mul"), partial(do, "Sub")
        highest = do("ReduceMax", profile, axes=[3])
        told = do("Less", mul(highest, self._number(FLOOR)), profile)
        share = do("Where", told, do("Div", profile, self._or_one(highest)), self.zero)
        log = do("Log", do("Where", told, share, self.one))
        weight = do("Div", share, self._or_one(self._sum(share)))

        def mean(values: str) -> str:
            return self._sum(mul(weight, values))

        at = mul(sub(self.pixels, peak), self._number(1 / sigma))
        middle = mean(at)
        u = sub(at, middle)
        uu = mean(mul(u, u))
        square = sub(mul(u, u), uu)
        uq, qq = mean(mul(u, square)), do("Add", mean(mul(square, square)), self._number(PULL))
        ul, ql = mean(mul(u, log)), sub(mean(mul(square, log)), self._number(0.5 * PULL))
        det = sub(mul(uu, qq), mul(uq, uq))
        rising = sub(mul(qq, ul), mul(uq, ql))
        bent = sub(mul(uu, ql), mul(uq, ul))
        # slope / (2 curvature), where the determinant, which both are divided by, is not that of a single pixel
        told = do("And", do("Less", self._number(1e-12), det), do("Less", bent, mul(det, self._number(-0.05))))
        ratio = do("Where", told, do("Div", rising, do("Where", told, mul(bent, self._number(2)), self.one)), self.zero)
        reach = max(1.0, sigma)
        step = self._clipped(mul(sub(middle, ratio), self._number(sigma)), -reach, reach)
        return self._clipped(do("Add", peak, step), -0.5, self.codec.heatmap_size - 0.5)

    def _number(self, values: object) -> str:
        return self.graph.constant(np.asarray(values, dtype=np.float32))

    def _or_one(self, values: str) -> str:
        """1 in place of 0, to divide by."""
        return self.graph.node("Where", self.graph.node("Less", self.zero, values), values, self.one)

    def _sum(self, values: str) -> str:
        return self.graph.node("ReduceSum", values, self.graph.constant(np.array([3], dtype=np.int64)))

    def _clipped(self, values: str, low: float, high: float) -> str:
        return self.graph.node("Clip", values, self._number(low), self._number(high))

    def _squeezed(self, values: str, *axes: int) -> str:
        return self.graph.node("Squeeze", values, self.graph.constant(np.array(axes, dtype=np.int64)))
