"""Which pixels reach a pixel of a map: by hand, and by changing them."""

import numpy as np
import pytest

from hbcore import Conv2d, Tensor, no_grad
from hbcore.inspect.footprint import Box, footprint
from hbcore.nn.layers import BinaryConv2d, MaxPool2d, ReLU, Upsample
from hbcore.nn.module import Sequential

RNG = np.random.default_rng(0)


def result(*modules, size=16):
    return Sequential(*modules)(
        Tensor(np.random.default_rng(1).random((1, size, size, 3), dtype=np.float32), requires_grad=True)
    )


def conv(kernel, stride=1, padding=0, kind=Conv2d):
    return kind(3, 3, kernel, RNG, stride=stride, padding=padding)


@pytest.mark.parametrize(
    ("modules", "at", "box"),
    [
        ([conv(3, padding=1)], (4, 7), (3, 6, 5, 8)),
        ([conv(3, padding=1, kind=BinaryConv2d)], (4, 7), (3, 6, 5, 8)),
        ([conv(7, 2, 3), ReLU()], (2, 0), (1, -3, 7, 3)),  # 2 * 2 - 3, 0 * 2 - 3, and six more
        ([conv(3, padding=1), MaxPool2d()], (1, 2), (1, 3, 4, 6)),  # rows 2 and 3, columns 4 and 5, and one around
        ([MaxPool2d(), Upsample()], (5, 2), (4, 2, 5, 3)),  # pixel (2, 1) of the small map
    ],
)
def test_layers_by_hand(modules, at, box):
    assert footprint(result(*modules), *at) == box


def test_what_comes_together_is_seen_together():
    x = Tensor(np.zeros((1, 8, 8, 3), dtype=np.float32), requires_grad=True)
    left, right = conv(1), conv(5, padding=2)
    assert footprint(left(x) + right(x), 3, 3) == (1, 1, 5, 5)


def test_changes_of_the_picture_reach_just_that_far():
    network = Sequential(conv(3, 2, 1), conv(3, padding=1), Upsample(), conv(3, padding=1))
    picture = np.random.default_rng(1).random((1, 24, 24, 3), dtype=np.float32)
    before = network(Tensor(picture, requires_grad=True))
    box = footprint(before, 11, 12)
    reach = np.zeros((24, 24), dtype=bool)
    for y in range(24):
        for x in range(24):
            other = picture.copy()
            other[0, y, x] += 1
            reach[y, x] = not np.array_equal(network(Tensor(other)).data[0, 11, 12], before.data[0, 11, 12])
    ys, xs = np.nonzero(reach)
    assert box == (ys.min(), xs.min(), ys.max(), xs.max())


def test_a_box_has_a_size_and_a_part_within_the_picture():
    box = Box(-3, 2, 4, 9)
    assert (box.height, box.width) == (8, 8)
    assert box.within(4, 8) == (0, 2, 3, 7)


def test_without_a_graph_there_is_no_footprint():
    with no_grad(), pytest.raises(ValueError, match="outside of no_grad"):
        footprint(result(conv(3)), 0, 0)
