"""Which pixels of the picture can reach one pixel of a map: the recorded graph, walked back with a rectangle."""

from __future__ import annotations

from typing import NamedTuple

from hbcore.autograd.conv import AvgPooling, Convolution, MaxPooling, NearestUpsampling
from hbcore.autograd.function import Function, children_first
from hbcore.autograd.tensor import Tensor
from hbcore.binary.convolution import BinaryConvolution


class Box(NamedTuple):
    """Pixels from (top, left) to (bottom, right), both of them included; they may lie outside the picture."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def height(self) -> int:
        return self.bottom - self.top + 1

    @property
    def width(self) -> int:
        return self.right - self.left + 1

    def within(self, height: int, width: int) -> Box:
        """The part that lies in a picture of that size."""
        return Box(max(0, self.top), max(0, self.left), min(height - 1, self.bottom), min(width - 1, self.right))


def footprint(result: Tensor, y: int, x: int) -> Box:
    """The pixels that pixel (y, x) of a map (1, H, W, C) is made of, of the one tensor that the graph begins with.

    ValueError where the tensor has no recorded graph. The rectangle is that of all paths together, as if no picture had
    a border: padding is a pixel like others.
    """
    if result.function is None:
        raise ValueError("a footprint is found in the recorded graph: compute the map outside of no_grad")
    boxes = {id(result.function): Box(y, x, y, x)}
    for node in reversed(children_first(result.function)):
        if isinstance(node, Function):
            behind = _behind(node, boxes[id(node)])
            filters = isinstance(node, Convolution | BinaryConvolution)  # whose other operands are no maps
            for parent in node.parents[:1] if filters else node.parents:
                if parent is not None:
                    boxes[id(parent)] = _both(boxes.get(id(parent), behind), behind)
        elif len(node.shape) == 4 and id(node) in boxes:
            return boxes[id(node)]
    raise ValueError("this map does not depend on a picture")


def _behind(node: Function, box: Box) -> Box:
    """The pixels of its operands that a rectangle of an operation's result is made of."""
    if isinstance(node, Convolution | BinaryConvolution):
        height, width = node.w.shape[:2]
        step, pad = node.stride, node.padding
        top, left = box.top * step - pad, box.left * step - pad
        return Box(top, left, box.bottom * step - pad + height - 1, box.right * step - pad + width - 1)
    if isinstance(node, MaxPooling | AvgPooling):
        size = node.size
        return Box(box.top * size, box.left * size, box.bottom * size + size - 1, box.right * size + size - 1)
    if isinstance(node, NearestUpsampling):
        return Box(*(edge // node.factor for edge in box))
    return box  # what works pixel by pixel


def _both(one: Box, other: Box) -> Box:
    """The smallest rectangle that holds two."""
    return Box(*map(min, one[:2], other[:2]), *map(max, one[2:], other[2:]))
