"""Runs that are killed and taken up again must end in the same bytes as one that was left alone.

What is killed is a process of its own; what then goes on runs in this one, which spares a second each time.
"""

import contextlib
import io
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from hbcore.deploy.model_file import read_arrays
from training import pose
from training.command_line import train
from training.files.environment import sha256
from training.runs.checkpoint import FORMAT, Progress

ROOT = Path(__file__).resolve().parents[3]
STEPS = 20
TINY = (
    *("--data", "synthetic?length=10&size=48", "--test", "synthetic?length=2&size=48", "--batch-size", "2"),
    *("--set", "model.features=16", "model.depth=1", "data.size=32", "run.log_every=5", "run.eval_every=10"),
    *("--set", "optim.ema=0.99", "augment.rotate=20", "augment.colour=0.2", "augment.erase=0.3"),
)
OFTEN = ("--set", "run.checkpoint_minutes=1e-9")  # after every step
# The same program, but it sleeps a little before each step: time to kill it in, also where the machine is busy.
SLOWLY = """
import sys, time
from training import pose
from training.runs.run import Run
step = Run.step
Run.step = lambda self, batch: (time.sleep(0.03), step(self, batch))[1]
sys.exit(pose.main(sys.argv[1:]))
"""
SELDOM = ("--set", "run.checkpoint_minutes=0.002")  # 0.12 s, so that steps are lost

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")


@pytest.fixture(autouse=True)
def no_curves(monkeypatch: pytest.MonkeyPatch) -> None:
    """They take longer than these runs."""
    monkeypatch.setattr(train, "curves", lambda *_: None)


def words(out: Path, *more: str, steps: int = STEPS, threads: int = 1, workers: int = 0) -> list[str]:
    """The command line of a run."""
    pace = ["--steps", str(steps), "--threads", str(threads), "--workers", str(workers), "--quiet"]
    return ["--out", str(out), *TINY, *pace, *more]


def start(out: Path, *more: str, **options: int) -> subprocess.Popen[str]:
    """A run in a process of its own, and in a session, so that a signal to its process group does not reach pytest."""
    command = [sys.executable, "-c", SLOWLY, *words(out, *more, **options)]
    return subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True)


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Exit code and errors."""
    _, errors = process.communicate(timeout=60)
    return process.returncode, errors


def run(out: Path, *more: str, **options: int) -> tuple[int, str]:
    """A run in this process: exit code and errors."""
    return main(words(out, *more, **options))


def main(arguments: list[str]) -> tuple[int, str]:
    with contextlib.redirect_stderr(io.StringIO()) as errors:
        return pose.main(arguments), errors.getvalue()


def steps_done(out: Path) -> int:
    """Of the checkpoint on disk; -1 if there is none."""
    path = out / "state.safetensors"
    if not path.exists():
        return -1
    return Progress(**read_arrays(path, FORMAT)[1]["progress"]).step


def wait_for(out: Path, step: int, process: subprocess.Popen[str]) -> None:
    """Until the checkpoint of that step, or a later one, is there."""
    end = time.monotonic() + 30
    while steps_done(out) < step:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, "no progress in 30 s"
        time.sleep(0.002)


def result(out: Path) -> dict[str, object]:
    """All that has to be equal in the end: both models, the whole state but for the time it took, and the log."""
    arrays, header = read_arrays(out / "state.safetensors", FORMAT)
    progress = header["progress"] | {"seconds": 0}
    return {
        "last": sha256(out / "last.safetensors"),
        "best": sha256(out / "best.safetensors"),
        "state": {name: array.tobytes() for name, array in arrays.items()},
        "progress": progress,
        "log": (out / "log.csv").read_text(),
    }


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    out = tmp_path_factory.mktemp("runs") / "undisturbed"
    command = [sys.executable, "-m", "training.pose", *words(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert steps_done(out) == STEPS
    return result(out)


@pytest.mark.parametrize("seed", range(3))
def test_killed_at_random_moments(tmp_path: Path, undisturbed: dict[str, object], seed: int) -> None:
    """kill -9 once or twice. Half of the runs save after every step, half lose steps."""
    rng = random.Random(seed)
    out = tmp_path / "run"
    kills = sorted(rng.sample(range(1, STEPS - 8), rng.randint(1, 2)))
    for step in kills:
        process = start(out, "--resume", *(OFTEN, SELDOM)[seed % 2])
        wait_for(out, step, process)
        time.sleep(0.05 * rng.random())  # in the middle of a step, or of writing
        process.kill()
        finish(process)
        assert process.returncode == -signal.SIGKILL
        assert steps_done(out) < STEPS
    assert run(out, "--resume") == (0, "")
    assert result(out) == undisturbed
    assert not list(out.glob(".unfinished*"))


def test_another_number_of_workers(tmp_path: Path, undisturbed: dict[str, object]) -> None:
    """One, killed, then two; the undisturbed run had none."""
    out = tmp_path / "run"
    process = start(out, *OFTEN, workers=1)
    wait_for(out, 7, process)
    process.kill()
    finish(process)
    assert 7 <= steps_done(out) < STEPS
    assert run(out, "--resume", workers=2) == (0, "")
    assert result(out) == undisturbed


def helpers() -> bool:
    """Whether the engine has threads: Python's, or those of the wide kernels, which only the system knows."""
    if any(thread.name.startswith("hbcore") for thread in threading.enumerate()):
        return True
    tasks = Path("/proc/self/task")
    return not tasks.exists() or len(list(tasks.iterdir())) > threading.active_count()


def test_another_number_of_threads(tmp_path: Path) -> None:
    large = ("--batch-size", "6", "--set", "data.size=64", "model.features=32")
    for name, threads in (("one", 1), ("two", 2)):
        out = tmp_path / name
        assert run(out, *large, "run.stop_after=2", steps=4, threads=threads) == (0, "")
        assert steps_done(out) == 2
        # A helper is started when there is work for it: the maps are large enough to be shared out.
        assert threads == 1 or helpers()
    assert result(tmp_path / "one") == result(tmp_path / "two")
    for name, threads in (("one", 2), ("two", 1)):
        out = tmp_path / name
        assert run(out, "--resume", *large, "run.stop_after=none", steps=4, threads=threads) == (0, "")
        assert steps_done(out) == 4
    assert result(tmp_path / "one") == result(tmp_path / "two")


@pytest.mark.parametrize(
    ("number", "whole_group", "workers"),
    [(signal.SIGINT, True, 1), (signal.SIGTERM, False, 0), (signal.SIGTERM, True, 1)],
)
def test_a_signal_saves_and_exits_with_130(
    tmp_path: Path, undisturbed: dict[str, object], number: signal.Signals, whole_group: bool, workers: int
) -> None:
    """Ctrl-C in a terminal, and many a batch system, signal the workers too."""
    out = tmp_path / "run"
    process = start(out, workers=workers)
    wait_for(out, 0, process)
    log = out / "log.csv"
    while len(log.read_text().splitlines()) < 2:  # the row of step 5
        time.sleep(0.002)
    if whole_group:
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    sent = time.monotonic()
    code, errors = finish(process)
    assert time.monotonic() - sent < 5
    done = steps_done(out)
    assert 5 <= done < STEPS
    assert (code, errors) == (130, f"train: stopped at step {done}; go on with --resume --out {out}\n")
    assert run(out, "--resume") == (0, "")
    assert result(out) == undisturbed


@pytest.mark.parametrize("delay", [0.0, 0.2])
def test_a_signal_while_the_workers_start(tmp_path: Path, undisturbed: dict[str, object], delay: float) -> None:
    out = tmp_path / "run"
    process = start(out, workers=1)
    wait_for(out, 0, process)  # saved right before the workers are started
    time.sleep(delay)
    os.killpg(process.pid, signal.SIGINT)
    code, errors = finish(process)
    assert (code, errors) == (130, f"train: stopped at step {steps_done(out)}; go on with --resume --out {out}\n")
    assert run(out, "--resume") == (0, "")
    assert result(out) == undisturbed


def test_resuming_a_finished_run_changes_nothing(tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert run(out, steps=3) == (0, "")
    before = result(out)
    assert run(out, "--resume", steps=3) == (0, "")
    assert result(out) == before


def test_resuming_with_other_settings_lists_them_and_refuses(tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert run(out, steps=3) == (0, "")
    before = {path.name: sha256(path) for path in out.iterdir()}
    code, errors = run(out, "--resume", "--lr", "0.5", "--set", "augment.flip=0", steps=3)
    assert code == 2
    assert "optim.lr: 0.02 -> 0.5" in errors
    assert "augment.flip: 0.5 -> 0.0" in errors
    assert "batch_size" not in errors
    assert errors.count("\n") == 1
    assert {path.name: sha256(path) for path in out.iterdir()} == before


def test_what_does_not_change_the_weights_may_change(tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert run(out, steps=3) == (0, "")
    moved = out.rename(tmp_path / "moved")
    free = ("run.checkpoint_minutes=5", "run.log_every=7", "run.patience=9", "run.stop_after=2")
    assert run(moved, "--resume", "--set", *free, steps=3, threads=2, workers=1) == (0, "")
    config = (moved / "config.toml").read_text()
    assert "threads = 2" in config
    assert "patience = 9" in config


def test_the_stored_settings_need_not_be_repeated(tmp_path: Path) -> None:
    """Nor do they have to go with the defaults of the others: 32 pixels are too few for the default depth."""
    out = tmp_path / "run"
    assert run(out, steps=3) == (0, "")
    before = result(out)
    assert main(["--quiet", "--resume", "--out", str(out), "--size", "32"]) == (0, "")
    assert result(out) == before


def test_two_runs_never_share_a_folder(tmp_path: Path) -> None:
    out = tmp_path / "run"
    first = start(out, steps=100_000)
    wait_for(out, 0, first)
    code, errors = run(out, "--resume", steps=100_000)
    assert (code, errors) == (2, f"train: another run is at work in {out}: choose another --out\n")
    code, errors = run(out)
    assert code == 2
    assert "holds a run already" in errors
    first.kill()
    finish(first)
    assert steps_done(out) >= 0


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert run(out, steps=2) == (0, "")
    path = out / "state.safetensors"
    path.write_bytes(path.read_bytes()[:-5])
    code, errors = run(out, "--resume", steps=2)
    assert code == 3
    assert errors.startswith(f"train: {path}: not a safetensors file")
    assert errors.count("\n") == 1


def test_the_state_is_finite_and_complete(undisturbed: dict[str, object]) -> None:
    state = undisturbed["state"]
    assert isinstance(state, dict)
    assert {name.partition("/")[0] for name in state} == {"model", "optimizer", "average", "flips"}
    assert all(np.isfinite(np.frombuffer(data, np.float32)).all() for data in state.values())


def test_the_tests_above_would_notice(tmp_path: Path, undisturbed: dict[str, object]) -> None:
    """Another seed gives other bytes, so that equal ones mean something."""
    assert run(tmp_path / "run", "--seed", "1") == (0, "")
    other = result(tmp_path / "run")
    assert all(other[key] != undisturbed[key] for key in ("last", "best", "state", "log"))
