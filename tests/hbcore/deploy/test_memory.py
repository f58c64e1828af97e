"""The memory plan: places by hand, and no two buffers at one place while both are needed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hbcore import StackedHourglass
from hbcore.deploy.lowering import lower
from hbcore.deploy.memory import places, run_in


def test_places_by_hand():
    assert places([100, 60, 40], [(0, 1), (1, 2), (2, 3)]) == ([0, 100, 0], 160)
    assert places([100, 60, 40], [(0, 1), (1, 2), (2, 3)], align=64) == ([0, 128, 0], 188)
    assert places([10, 10], [(0, 0), (1, 1)]) == ([0, 0], 10)  # one after the other
    assert places([10, 10], [(0, 1), (1, 1)]) == ([0, 10], 20)  # a step reads one and writes the other
    assert places([8, 0, 4], [(0, 2), (0, 2), (0, 2)]) == ([0, 0, 8], 12)
    assert places([], []) == ([], 0)


SPAN = st.tuples(st.integers(0, 6), st.integers(0, 6)).map(lambda ends: (min(ends), max(ends)))


@given(st.lists(st.tuples(st.integers(0, 50), SPAN), max_size=12), st.sampled_from([1, 4, 64]))
def test_no_two_buffers_at_one_place(buffers, align):
    sizes, spans = [size for size, _ in buffers], [span for _, span in buffers]
    begins, total = places(sizes, spans, align)
    for step in range(7):
        used = np.zeros(total, dtype=int)
        for begin, size, (first, last) in zip(begins, sizes, spans, strict=True):
            assert begin % align == 0
            used[begin : begin + size] += first <= step <= last
        assert used.max(initial=0) <= 1


class Noted:
    """A plan that only notes which steps it is given."""

    def __init__(self):
        self.kinds = []

    def __getattr__(self, kind):
        return lambda *_: self.kinds.append(kind)


@pytest.mark.parametrize("architecture", [{}, {"stacks": 2, "hourglass": "improved"}, {"block": "multiscale"}])
def test_every_buffer_is_written_before_it_is_read(architecture):
    model = StackedHourglass(features=16, joints=5, depth=1, **architecture)
    table = lower(model, 32, 64)
    assert table.picture.shape == (1, 32, 64, 3)
    assert table.maps.shape == (1, 8, 16, 5)
    written = {table.picture.buffer: np.ones(3, dtype=bool)}
    for step in table.steps:
        ending = step.arguments.get("epilogue")
        outs = [step.arguments.get("y"), step.arguments.get("out")] + ([ending.y, ending.bits] if ending else [])
        outs = [area for area in outs if area is not None]
        reads = [area for area in step.areas() if not any(area is out for out in outs)]
        if step.kind == "upsample_add":
            reads.append(step.arguments["y"])
        for area in reads:
            assert written[area.buffer][area.first : area.first + area.shape[3]].all()
        for area in outs:
            mask = written.setdefault(area.buffer, np.zeros(area.width, dtype=bool))
            mask[area.first : area.first + area.shape[3]] = True


def test_arena_begins_on_a_line_and_views_do_not_copy():
    plan = Noted()
    table = lower(StackedHourglass(features=16, joints=5, depth=1), 16, 16)
    picture, maps = run_in(plan, table)
    assert plan.kinds == [step.kind for step in table.steps]
    assert picture.ctypes.data % 64 == maps.ctypes.data % 64 == 0
    assert np.shares_memory(picture, picture.base)
    assert (picture.shape, maps.shape) == ((1, 16, 16, 3), (1, 4, 4, 5))
