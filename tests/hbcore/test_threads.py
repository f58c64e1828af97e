"""Slices of work: complete, in order, cut by size alone; errors come through; a forked child can go on."""

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hbcore import get_threads, set_threads
from hbcore.threads import MAX_SLICES, SLICE_BYTES, for_parts, for_slices, release_blas, scratch

pytestmark = pytest.mark.usefixtures("one_thread_after")

ROOT = Path(__file__).parents[2]
THREADS = (1, 2, 3, 7)


def test_number_of_threads():
    for count in THREADS:
        set_threads(count)
        assert get_threads() == count


@pytest.mark.parametrize("count", [0, -1, 2.5, 2.0, True, None, "2", 1025, 10**6])
def test_refuses_what_is_no_number_of_threads(count):
    set_threads(2)
    with pytest.raises(ValueError, match="number of threads must be a whole number, at least 1"):
        set_threads(count)
    assert get_threads() == 2


def test_set_threads_holds_blas_to_one():
    threadpoolctl = pytest.importorskip("threadpoolctl")
    set_threads(2)
    pools = [pool for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"]
    assert all(pool["num_threads"] == 1 for pool in pools)


def test_blas_gets_its_threads_back():
    threadpoolctl = pytest.importorskip("threadpoolctl")

    def counts():
        return [pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"]

    release_blas()
    with threadpoolctl.threadpool_limits(2, user_api="blas"):
        before = counts()
        for count in (3, 1):
            set_threads(count)
            assert set(counts()) <= {1}
        for _ in range(2):
            release_blas()
            assert counts() == before


def test_the_number_of_threads_may_change_while_others_work():
    """Whoever has handed work to the pool before gets it back, and nobody meets a pool that was closed."""
    stop = threading.Event()

    def work():
        done = 0
        while not stop.is_set():
            assert for_parts(lambda part: part.start, 8, 8) == list(range(8))
            done += 1
        return done

    with ThreadPoolExecutor(3) as workers:
        working = [workers.submit(work) for _ in range(3)]
        try:
            for turn in range(100):
                set_threads(1 + turn % 4)
        finally:
            stop.set()
        assert all(each.result(timeout=20) for each in working)


def test_the_number_of_threads_may_change_from_within_the_work():
    set_threads(3)
    assert len(for_parts(lambda part: set_threads(2), 6, 6)) == 6
    assert get_threads() == 2


@given(st.integers(0, 50), st.integers(-1, 12))
def test_parts_cover_everything_once_and_in_order(length, parts):
    cuts = []
    for count in THREADS:
        set_threads(count)
        cuts.append(for_parts(lambda part: (part.start, part.stop), length, parts))
    assert all(cut == cuts[0] for cut in cuts), "how work is cut must not depend on the number of threads"
    covered = [i for start, stop in cuts[0] for i in range(start, stop)]
    assert covered == list(range(length))
    lengths = [stop - start for start, stop in cuts[0]]
    assert len(lengths) == max(1, min(parts, length))
    assert max(lengths) - min(lengths) <= 1


@pytest.mark.parametrize(
    ("length", "item_bytes", "parts"),
    [
        (0, 0, 1),
        (100, 1, 1),
        (2, SLICE_BYTES // 2, 1),
        (2, SLICE_BYTES, 2),
        (3, SLICE_BYTES * 100, 3),
        (1000, SLICE_BYTES, MAX_SLICES),
    ],
)
def test_slices_are_worth_their_while(length, item_bytes, parts):
    assert len(for_slices(lambda part: part, length, item_bytes)) == parts


def test_work_runs_side_by_side():
    set_threads(3)
    meeting = threading.Barrier(3, timeout=20)  # passes only if three threads are in it at once
    assert len({*for_parts(lambda part: (meeting.wait(), threading.get_ident())[1], 3, 3)}) == 3


@pytest.mark.parametrize("count", THREADS)
@pytest.mark.parametrize("bad", range(4))
def test_errors_come_through(count, bad):
    set_threads(count)

    def work(part):
        if part.start == bad:
            raise KeyError(bad)
        return part

    with pytest.raises(KeyError):
        for_parts(work, 4, 4)
    assert len(for_parts(lambda part: part, 4, 4)) == 4  # and the pool still works


def test_scratch_is_used_again_and_grows():
    first = scratch((4, 4), np.float64)
    first[...] = 1
    again = scratch((2, 8), np.float64)
    assert again.shape == (2, 8)
    assert np.shares_memory(first, again)
    assert scratch((1000, 1000), np.float32).shape == (1000, 1000)
    assert scratch((3,), np.uint64).dtype == np.uint64


def test_scratch_belongs_to_its_thread():
    mine = scratch((8,), np.float64)
    theirs = []
    thread = threading.Thread(target=lambda: theirs.extend([scratch((0, 3), np.float32), scratch((8,), np.float64)]))
    thread.start()
    thread.join()
    assert theirs[0].shape == (0, 3)  # nothing at all, as a thread's first request
    assert not np.shares_memory(mine, theirs[1])


FORK = """
import os, signal, warnings
from hbcore.threads import for_parts, set_threads
set_threads(2)
assert len(for_parts(lambda part: part, 6, 6)) == 6  # the one helper runs
warnings.simplefilter("ignore")  # Python 3.12 warns of forking with threads
child = os.fork()
if child == 0:
    signal.alarm(20)  # a child that waits for threads it does not have would wait for ever
    os._exit(len(for_parts(lambda part: part, 6, 6)))
_, status = os.waitpid(child, 0)
print(os.waitstatus_to_exitcode(status))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_has_threads_of_its_own():
    done = subprocess.run([sys.executable, "-c", FORK], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["6"], done.stderr
