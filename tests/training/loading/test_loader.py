import errno
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

from training.datasets import Sample
from training.errors import BadPicture, DataError, UserError
from training.labels.skeletons import LSP, Skeleton
from training.loading.batch import Batch, BatchPlan
from training.loading.concatenated import ConcatenatedDataset
from training.loading.kept import KeptSamples
from training.loading.prefetch import SLOTS, WorkerDied, batches, no_interrupt
from training.loading.shared import SharedMemory
from training.pictures.augmentation import Augmentation

ROOT = Path(__file__).resolve().parents[3]
linux = pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")

STICK = Skeleton(
    name="stick", keypoints=("left", "right", "top"), edges=((0, 2),), flip_pairs=((0, 1),), head=None, torso=(0, 1)
)


@dataclass(frozen=True, eq=False)
class Greys:
    """Sample i is an even picture of level i with its joints at i; those in `bad` cannot be read."""

    length: int
    bad: tuple[int, ...] = ()
    first: int = 0
    name: str = "greys"
    split: str = "train"
    skeleton: Skeleton = STICK
    protocol: str = "for tests"

    def __len__(self) -> int:
        return self.length

    def sample(self, index: int) -> Sample:
        if not 0 <= index < self.length:
            raise IndexError(index)
        if index in self.bad:
            raise BadPicture(f"grey{index}.png: unreadable")
        level = self.first + index
        joints = np.full((len(self.skeleton.keypoints), 2), level, np.float32)
        labelled = np.ones(len(joints), bool)
        return Sample(np.full((16, 16, 3), level, np.uint8), joints, labelled, (7.5, 7.5), 16.0, 4.0, str(level))


def a_plan(
    length: int = 7, batch_size: int = 3, seed: int = 5, bad: tuple[int, ...] = (), skip: bool = True
) -> BatchPlan:
    return BatchPlan(ConcatenatedDataset([Greys(length, bad)]), Augmentation(), 16, batch_size, seed, skip)


def same(a: Batch, b: Batch) -> bool:
    arrays = ("pictures", "keypoints", "labelled")
    return (a.names, a.bad) == (b.names, b.bad) and all(np.array_equal(getattr(a, n), getattr(b, n)) for n in arrays)


def test_a_batch_has_the_promised_shapes() -> None:
    batch = a_plan().batch(0)
    arrays = {"pictures": ((3, 16, 16, 3), "uint8"), "keypoints": ((3, 3, 2), "float32"), "labelled": ((3, 3), "bool")}
    for name, (shape, dtype) in arrays.items():
        assert getattr(batch, name).shape == shape
        assert getattr(batch, name).dtype == dtype
    assert (len(batch.names), batch.bad) == (3, ())


def test_a_batch_depends_on_seed_and_step_alone() -> None:
    forwards = [a_plan().batch(step) for step in range(8)]
    other = a_plan(seed=6)
    mixed = a_plan()
    for step in (7, 0, 3, 6, 1, 2, 5, 4):
        other.batch(step)  # another run in between changes nothing
        assert same(mixed.batch(step), forwards[step])
    assert not any(same(other.batch(step), forwards[step]) for step in range(8))
    pictures = {batch.pictures.tobytes() for batch in forwards}
    assert len(pictures) == 8


def test_sample_k_of_a_run_does_not_depend_on_the_batch_size() -> None:
    whole = a_plan(batch_size=6).batch(1)
    thirds = [a_plan(batch_size=2).batch(step) for step in (3, 4, 5)]
    assert whole.names == sum((batch.names for batch in thirds), ())
    assert np.array_equal(whole.pictures, np.concatenate([batch.pictures for batch in thirds]))
    assert np.array_equal(whole.keypoints, np.concatenate([batch.keypoints for batch in thirds]))


@pytest.mark.parametrize("batch_size", [1, 3, 7, 10])
def test_every_pass_meets_everybody_once_in_an_order_of_its_own(batch_size: int) -> None:
    made = a_plan(7, batch_size)
    names = [name for step in range(-(-35 // batch_size)) for name in made.batch(step).names]
    passes = [tuple(names[start : start + 7]) for start in range(0, 35, 7)]
    assert all(sorted(order) == [str(i) for i in range(7)] for order in passes)
    assert len(set(passes)) == 5


def test_the_same_sample_is_augmented_anew_in_every_pass() -> None:
    made = a_plan(1, 1)
    assert len({made.batch(step).keypoints.tobytes() for step in range(10)}) == 10


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_change_nothing(workers: int) -> None:
    made = a_plan(bad=(2,))
    expected = list(batches(made, 3, 17, 0))
    assert len(expected) == 14
    assert [b.names for b in expected] == [made.batch(step).names for step in range(3, 17)]
    # One by one: pictures stay only until the next batch is asked for.
    got = [same(*pair) for pair in zip(batches(made, 3, 17, workers), expected, strict=True)]
    assert got == [True] * 14


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_what_is_kept_changes_nothing(workers: int) -> None:
    """Twelve passes, room for four of the seven samples, or two of each worker's."""
    made = replace(a_plan(bad=(2,)), keep=4 * 16 * 16 * 3)
    got = [same(batch, made.batch(step)) for step, batch in enumerate(batches(made, 0, 28, workers))]
    assert got == [True] * 28


@dataclass(frozen=True, eq=False)
class Counted(Greys):
    asked: list[int] = field(default_factory=list)

    def sample(self, index: int) -> Sample:
        self.asked.append(index)
        return super().sample(index)


def test_decoded_samples_are_kept_as_far_as_there_is_room() -> None:
    data = Counted(7)
    kept = KeptSamples(ConcatenatedDataset([data], 5), 3 * 16 * 16 * 3 + 1)
    assert len(kept) == 5
    for _ in range(2):
        assert [kept.sample(index).name for index in (4, 0, 3, 1)] == ["4", "0", "3", "1"]
    assert data.asked == [4, 0, 3, 1, 1]  # the fourth found no room


def test_a_data_set_may_come_several_times_in_a_pass() -> None:
    few, many = Counted(2, first=10), Counted(3)
    data = ConcatenatedDataset([few, many], times=(3, 1))
    names = [data.sample(index).name for index in range(len(data))]
    assert names == ["10", "11", "10", "11", "10", "11", "0", "1", "2"]
    assert data.datasets == (few, many)
    assert len(ConcatenatedDataset([few, many], 5, (3, 1))) == 5


def test_a_sample_that_comes_several_times_is_decoded_and_kept_once() -> None:
    few, many = Counted(2, first=10), Counted(3)
    kept = KeptSamples(ConcatenatedDataset([few, many], times=(3, 1)), 10**6)
    assert [kept.sample(index).name for index in (4, 2, 0, 8, 1)] == ["10", "10", "10", "2", "11"]
    assert (few.asked, many.asked) == ([0, 1], [2])


def test_an_unreadable_sample_is_asked_for_again() -> None:
    data = Counted(3, bad=(1,))
    kept = KeptSamples(ConcatenatedDataset([data]), 10**6)
    for _ in range(2):
        with pytest.raises(BadPicture):
            kept.sample(1)
    assert data.asked == [1, 1]


@pytest.mark.parametrize(("stop", "keep", "kept"), [(2, 10**6, False), (3, 10**6, True), (3, 0, False)])
def test_nothing_is_kept_that_is_not_seen_again(stop: int, keep: int, kept: bool) -> None:
    """Seven samples, three in a batch: the third is the first to meet one again."""
    plan = replace(a_plan(), keep=keep).keeping(stop, 2)
    assert isinstance(plan.data, KeptSamples) is kept
    assert not kept or plan.data.room == keep // 2  # type: ignore[attr-defined]  # as asserted above


def test_a_sample_falls_to_the_same_worker_in_every_pass() -> None:
    made = a_plan()
    owners: dict[str, set[int]] = {}
    for step in range(28):
        shares = [made.places(step, share, 2) for share in range(2)]
        assert sorted(shares[0] + shares[1]) == [0, 1, 2]
        for share, places in enumerate(shares):
            for place in places:
                owners.setdefault(made.batch(step).names[place], set()).add(share)
    assert sorted(map(len, owners.values())) == [1] * 7
    assert set().union(*owners.values()) == {0, 1}


def test_pictures_are_handed_over_where_the_worker_put_them() -> None:
    stream = batches(a_plan(), 0, 10, 1)
    first = [next(stream).pictures.ctypes.data for _ in range(SLOTS + 1)]
    assert len(set(first)) == SLOTS
    assert first[SLOTS] == first[0]
    stream.close()


def test_no_room_to_share_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(dir: str | None) -> None:  # noqa: A002  # as tempfile calls it
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    with pytest.raises(UserError, match=r"^no 3 MB to share with data workers \(No space left.*\): use --workers 0$"):
        SharedMemory(3_000_000)


def test_no_batches_at_the_end_of_a_run() -> None:
    assert list(batches(a_plan(), 5, 5, 0)) == []
    assert list(batches(a_plan(), 5, 5, 1)) == []


def test_joined_counts_through_its_data_sets() -> None:
    joined = ConcatenatedDataset([Greys(3, first=10), Greys(1, first=20), Greys(2, first=30)])
    assert len(joined) == 6
    assert joined.scheme is STICK
    assert [joined.sample(i).name for i in range(6)] == ["10", "11", "12", "20", "30", "31"]
    with pytest.raises(IndexError):
        joined.sample(6)


@pytest.mark.parametrize(("limit", "length"), [(None, 6), (1, 1), (4, 4), (6, 6), (99, 6)])
def test_a_limit_keeps_the_first_samples(limit: int | None, length: int) -> None:
    joined = ConcatenatedDataset([Greys(3, first=10), Greys(3, first=20)], limit)
    assert len(joined) == length
    made = BatchPlan(joined, Augmentation.none(), 16, length, 0)
    assert sorted(made.batch(0).names) == ["10", "11", "12", "20", "21", "22"][:length]


def test_concatenated_sets_need_the_same_keypoints_and_samples() -> None:
    with pytest.raises(UserError, match=r"greys and legs label different keypoints \(3 and 14\)"):
        ConcatenatedDataset([Greys(3), Greys(3, skeleton=LSP, name="legs")])
    with pytest.raises(DataError, match="greys holds no samples"):
        ConcatenatedDataset([Greys(0)])


def test_bad_pictures_are_skipped_named_and_replaced_by_the_next_in_order() -> None:
    order = a_plan(7, 7).batch(0).names
    bad = (int(order[2]), int(order[3]))
    batch = a_plan(7, 7, bad=bad).batch(0)
    expected = list(order)
    expected[2] = expected[3] = order[4]
    assert batch.names == tuple(expected)
    reasons = [(str(i), f"grey{i}.png: unreadable") for i in bad]
    assert batch.bad == (*reasons, reasons[1])  # place 2 met both, place 3 the second
    # The others are what they would have been.
    plain = a_plan(7, 7).batch(0)
    kept = [k for k in range(7) if k not in (2, 3)]
    assert np.array_equal(batch.pictures[kept], plain.pictures[kept])
    # And after the last in order comes the first.
    last = a_plan(7, 7, bad=(int(order[6]),)).batch(0)
    assert last.names == (*order[:6], order[0])


@pytest.mark.parametrize("workers", [0, 1])
def test_bad_pictures_may_be_an_error(workers: int) -> None:
    with pytest.raises(BadPicture, match=r"^grey4.png: unreadable$"):
        list(batches(a_plan(bad=(4,), skip=False), 0, 3, workers))


def test_no_readable_picture_at_all_is_an_error() -> None:
    with pytest.raises(BadPicture, match=r"none of the 7 pictures can be read; the last one: grey\d.png: unreadable"):
        a_plan(bad=tuple(range(7))).batch(0)


# ------------------------------------------------------------------------------------------------ processes


def children(parent: int) -> set[int]:
    """The workers of a process. (Beside them multiprocessing has a process of its own, to clean up.)"""
    found = set()
    for path in Path("/proc").glob("[0-9]*"):
        try:
            fields = (path / "stat").read_text().rpartition(")")[2].split()
            if int(fields[1]) == parent and fields[0] != "Z" and b"spawn_main" in (path / "cmdline").read_bytes():
                found.add(int(path.name))
        except OSError:  # it has ended meanwhile
            continue
    return found


def alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_until_gone(processes: set[int], seconds: float) -> set[int]:
    """Those that are still there after so long."""
    end = time.monotonic() + seconds
    while (left := set(filter(alive, processes))) and time.monotonic() < end:
        time.sleep(0.02)
    return left


@linux
def test_a_killed_worker_is_reported_at_once() -> None:
    stream = batches(a_plan(), 0, 1_000_000, 2)
    next(stream)
    workers = children(os.getpid())
    assert len(workers) == 2
    os.kill(min(workers), signal.SIGKILL)
    start = time.monotonic()
    with pytest.raises(WorkerDied, match=r"a data worker died .*--resume") as caught:
        for _ in stream:
            pass
    assert time.monotonic() - start < 5
    assert caught.value.exit_code == 2
    assert not wait_until_gone(workers, 5)


@linux
def test_a_worker_killed_while_the_trainer_is_busy_is_reported_too() -> None:
    stream = batches(a_plan(), 0, 1_000_000, 1)
    next(stream)
    workers = children(os.getpid())
    time.sleep(0.3)  # all batches in preparation are ready, so the next call gets one and asks for more
    (worker,) = workers
    os.kill(worker, signal.SIGKILL)
    assert not wait_until_gone(workers, 5)
    with pytest.raises(WorkerDied):
        for _ in stream:
            pass


@linux
def test_closing_the_stream_ends_the_workers() -> None:
    stream = batches(a_plan(), 0, 1_000_000, 1)
    next(stream)
    workers = children(os.getpid())
    assert workers
    stream.close()
    assert not wait_until_gone(workers, 5)


CONSUMER = """
import sys, time
from training.pictures.augmentation import Augmentation
from training.datasets import open_dataset
from training.loading.batch import BatchPlan
from training.loading.concatenated import ConcatenatedDataset
from training.loading.prefetch import batches
if __name__ == "__main__":
    data = ConcatenatedDataset([open_dataset("synthetic?length=9&size=32", "train")])
    plan = BatchPlan(data, Augmentation(), 16, 2, 0)
    for batch in batches(plan, 0, 1_000_000, 2):
        print("batch", flush=True)
        time.sleep(0.01)
"""


@linux
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_no_worker_outlives_its_trainer(tmp_path: Path, number: signal.Signals) -> None:
    (tmp_path / "consumer.py").write_text(CONSUMER)
    command = [sys.executable, str(tmp_path / "consumer.py")]
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # A suite started in the background may have been told to ignore Ctrl-C; the trainer was not.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as trainer:
        assert trainer.stdout is not None
        for _ in range(5):
            assert trainer.stdout.readline() == b"batch\n"
        workers = children(trainer.pid)
        assert len(workers) == 2
        trainer.send_signal(number)
        trainer.stdout.read()
        assert trainer.stderr is not None
        said = trainer.stderr.read().decode()
    assert "leaked" not in said
    assert trainer.returncode != 0
    assert not wait_until_gone(workers, 5)


@linux
def test_a_worker_is_deaf_to_ctrl_c_from_its_first_moment_on() -> None:
    """Also the first one of a process, which starts multiprocessing's tracker of resources too."""
    script = (
        "import multiprocessing, signal\n"
        "from training.loading.prefetch import no_interrupt\n"
        "with no_interrupt():\n"
        "    context = multiprocessing.get_context('spawn')\n"
        "    worker = context.Process(target=print)\n"
        "    worker.start()\n"
        "    print(open(f'/proc/{worker.pid}/status').read().partition('SigBlk:')[2].split()[0])\n"
        "worker.join()\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    blocked = int(done.stdout.split()[0], 16)
    assert blocked >> (signal.SIGINT - 1) & 1


def test_no_signal_amid_the_start_of_a_worker() -> None:
    """One that another thread takes reaches the main thread, blocked there or not: a library's thread, in earnest."""
    now = threading.Event()

    def take() -> None:
        now.wait()
        signal.raise_signal(signal.SIGINT)

    taker = threading.Thread(target=take)  # begun before, as it would inherit what is blocked
    taker.start()
    unharmed = []

    def begin() -> None:
        with no_interrupt():
            now.set()
            taker.join()
            unharmed.append(True)

    with pytest.raises(KeyboardInterrupt):
        begin()
    assert unharmed
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())
