"""Running the ledger with a trainer that only pretends: what is skipped, resumed, recorded and left alone."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.ledger_folders import failed, finished
from training.errors import Interrupted, UserError
from training.ledger.plan import Ledger, load_ledger
from training.ledger.running import Job, RunsFailed, plan_jobs, run_jobs
from training.ledger.scales import Data, Scale

# A trainer: notes how it was called, then does what its plan says for the row.
TRAINER = """
import json, pathlib, signal, sys, time, tomllib
words = sys.argv[1:]
recipe = pathlib.Path(words[words.index("--config") + 1]).read_text()
assert tomllib.loads(recipe) and words[:2] == ["pose", "train"] and words[-1] == "--resume"
folder = pathlib.Path(words[words.index("--out") + 1])
row, seed = folder.parts[-2:]
with open(folder.parents[1] / "calls.txt", "a") as calls:
    calls.write(f"{{row}} {{seed}}\\n")
deed = {deeds!r}.get(row, 50.0)
if deed == "wait" and not (folder / "saved").exists():
    def save(number, frame):
        with open(folder / "saved", "a") as saved:
            saved.write("once\\n")
        time.sleep(0.3)  # in which an impatient user says it again
        sys.exit(130)
    signal.signal(signal.SIGTERM, save)
    (folder / "up").touch()
    time.sleep(60)
if isinstance(deed, list):
    print("some progress")
    print(deed[1], file=sys.stderr)
    sys.exit(deed[0])
network = {{"parameters": 1, "binary_macs": 1, "real_macs": 1, "binary_weight_bytes": 1}}
record = {{"metrics": {{"PCKh@0.5": 50.0}}, "people": 1, "flip_test": False, "steps": 1, "minutes": 0.1}}
(folder / "config.toml").write_text(recipe)
(folder / "last.safetensors").touch()
(folder / "metrics.json").write_text(json.dumps(record | {{"network": network}}))
"""
ROWS = ["pose-bottleneck", "pose-hpm", "pose-bottleneck-real"]
Command = Callable[[str], list[str]]
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def ledger() -> Ledger:
    return load_ledger()


def trainer(folder: Path, **deeds: object) -> Command:
    """The command of a trainer that does `deeds` for rows: "wait", or [exit code, last words]; else it succeeds."""
    script = folder / "trainer.py"
    named = {name.replace("_", "-"): deed for name, deed in deeds.items()}
    script.write_text(TRAINER.format(deeds=named))
    return lambda task: [sys.executable, "-S", str(script), task]


def jobs(ledger: Ledger, out: Path, rows: list[str] | None = None, seeds: tuple[int, ...] = (0,)) -> list[Job]:
    return plan_jobs(ledger.select(rows or ROWS), seeds, Scale.load("small"), Data(), out)


def calls(out: Path) -> list[str]:
    path = out / "calls.txt"
    return path.read_text().splitlines() if path.exists() else []


def test_every_row_with_one_seed_then_with_the_next(tmp_path: Path, ledger: Ledger) -> None:
    said: list[str] = []
    run_jobs(jobs(ledger, tmp_path, ROWS[:2], (3, 1)), tmp_path, None, trainer(tmp_path), said.append)
    assert calls(tmp_path) == ["pose-bottleneck 3", "pose-hpm 3", "pose-bottleneck 1", "pose-hpm 1"]
    recipe = tomllib.loads((tmp_path / "pose-bottleneck" / "3" / "recipe.toml").read_text())
    assert recipe["model"] == {"features": 64, "block": "bottleneck"}
    assert recipe["run"]["seed"] == 3
    assert said[-1] == "[4/4] pose-hpm seed 1: PCKh@0.5 50.00 after 0.1 minutes"


def test_what_is_finished_is_skipped(tmp_path: Path, ledger: Ledger) -> None:
    run_jobs(jobs(ledger, tmp_path, ROWS[:1]), tmp_path, None, trainer(tmp_path))
    run_jobs(jobs(ledger, tmp_path), tmp_path, None, trainer(tmp_path))
    run_jobs(jobs(ledger, tmp_path), tmp_path, None, trainer(tmp_path))
    assert calls(tmp_path) == ["pose-bottleneck 0", "pose-hpm 0", "pose-bottleneck-real 0"]


def test_a_failure_is_recorded_and_the_others_go_on(tmp_path: Path, ledger: Ledger) -> None:
    said: list[str] = []
    with pytest.raises(RunsFailed, match="1 of 3 runs failed: see ledger"):
        run_jobs(jobs(ledger, tmp_path), tmp_path, None, trainer(tmp_path, pose_hpm=[3, "train: no data"]), said.append)
    assert len(calls(tmp_path)) == 3
    folder = tmp_path / "pose-hpm" / "0"
    assert json.loads((folder / "failed.json").read_text()) == {"exit_code": 3, "message": "train: no data"}
    assert "some progress" in (folder / "ledger.log").read_text()
    assert "[2/3] pose-hpm seed 0: failed with exit code 3: train: no data" in said

    run_jobs(jobs(ledger, tmp_path), tmp_path, None, trainer(tmp_path))  # mended: only what failed runs again
    assert calls(tmp_path)[3:] == ["pose-hpm 0"]
    assert not (folder / "failed.json").exists()


def test_what_diverged_is_not_tried_again(tmp_path: Path, ledger: Ledger) -> None:
    for _ in range(2):
        with pytest.raises(RunsFailed):
            run_jobs(jobs(ledger, tmp_path), tmp_path, None, trainer(tmp_path, pose_hpm=[4, "the loss is nan"]))
    assert calls(tmp_path).count("pose-hpm 0") == 1


def test_a_trainer_that_leaves_no_results_has_failed(tmp_path: Path, ledger: Ledger) -> None:
    with pytest.raises(RunsFailed):
        run_jobs(jobs(ledger, tmp_path, ROWS[:1]), tmp_path, None, trainer(tmp_path, pose_bottleneck=[0, " "]))
    record = json.loads((tmp_path / ROWS[0] / "0" / "failed.json").read_text())
    assert record == {"exit_code": 0, "message": "some progress"}


def test_when_the_time_is_up_the_run_saves_and_later_goes_on(tmp_path: Path, ledger: Ledger) -> None:
    said: list[str] = []
    waiting = trainer(tmp_path, pose_hpm="wait")
    failed(tmp_path, "pose-hpm", 0, 3, "an earlier attempt, to be forgotten")
    run_jobs(jobs(ledger, tmp_path), tmp_path, 0.04, waiting, said.append)
    folder = tmp_path / "pose-hpm" / "0"
    assert calls(tmp_path) == ["pose-bottleneck 0", "pose-hpm 0"]  # and none after that
    assert (folder / "saved").read_text() == "once\n"
    assert not (folder / "failed.json").exists()
    assert said[-1] == "the 0.04 minutes are over, 2 runs are left: the same command goes on with them"
    run_jobs(jobs(ledger, tmp_path), tmp_path, None, waiting)
    assert calls(tmp_path)[2:] == ["pose-hpm 0", "pose-bottleneck-real 0"]


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals on Windows")
@pytest.mark.parametrize("numbers", [["SIGTERM"], ["SIGHUP"], ["SIGINT", "SIGINT"]])
def test_asked_to_stop_it_lets_the_run_save(tmp_path: Path, ledger: Ledger, numbers: list[str]) -> None:
    folder = tmp_path / "pose-bottleneck" / "0"

    def interrupt() -> None:
        for _ in range(600):
            if (folder / "up").exists():
                for number in numbers:
                    os.kill(os.getpid(), signal.Signals[number])
                    time.sleep(0.1)
                return
            time.sleep(0.05)

    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)]
    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(Interrupted, match="stopped in pose-bottleneck seed 0; the same command goes on from there"):
        run_jobs(jobs(ledger, tmp_path), tmp_path, None, trainer(tmp_path, pose_bottleneck="wait"))
    thread.join()
    assert (folder / "saved").read_text() == "once\n"
    assert not (folder / "failed.json").exists()
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)] == before


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent has ended")
def test_killed_it_leaves_no_orphan(tmp_path: Path) -> None:
    trainer(tmp_path, pose_bottleneck="wait")
    ours = f"""
import sys
from pathlib import Path
from training.ledger.plan import load_ledger
from training.ledger.running import plan_jobs, run_jobs
from training.ledger.scales import Data, Scale
out = Path({str(tmp_path)!r})
jobs = plan_jobs(load_ledger().select(["pose-bottleneck"]), (0,), Scale.load("small"), Data(), out)
run_jobs(jobs, out, None, lambda task: [sys.executable, "-S", {str(tmp_path / "trainer.py")!r}, task])
"""
    folder = tmp_path / "pose-bottleneck" / "0"
    process = subprocess.Popen([sys.executable, "-c", ours], cwd=ROOT)
    wait_for(folder / "up")
    process.kill()
    process.wait()
    wait_for(folder / "saved")


def wait_for(path: Path) -> None:
    """Until a file is there."""
    end = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < end, f"no {path.name} in 30 s"
        time.sleep(0.02)


def test_a_finished_run_with_other_settings_is_not_taken_for_this_one(tmp_path: Path, ledger: Ledger) -> None:
    finished(tmp_path, "pose-hpm", 0, 50.0, {"optim": {"steps": 7}})
    with pytest.raises(UserError) as caught:
        jobs(ledger, tmp_path)
    text = str(caught.value)
    assert text.startswith(f"pose-hpm seed 0 in {tmp_path / 'pose-hpm' / '0'} was run with other settings (")
    assert f"optim.steps: 7, now {Scale.load('small').tasks['pose']['optim']['steps']}" in text
    assert "run.out" not in text
    assert text.endswith("remove that folder to run it anew, or choose another --out")


def test_a_row_learns_from_the_teacher_of_its_seed(tmp_path: Path, ledger: Ledger) -> None:
    teacher, pupil = jobs(ledger, tmp_path, ["pose-hpm-distilled"], (2,))
    assert teacher.row.name == "pose-hpm-real"
    assert pupil.settings["technique"]["teacher"] == str(teacher.folder / "last.safetensors")


def test_two_ledgers_do_not_share_a_folder(tmp_path: Path, ledger: Ledger) -> None:
    from training.files.run_folder import locked

    with locked(tmp_path), pytest.raises(UserError, match="another run is at work in"):
        run_jobs(jobs(ledger, tmp_path), tmp_path, None, trainer(tmp_path))
    assert calls(tmp_path) == []


def test_a_damaged_record_of_failure_is_named(tmp_path: Path, ledger: Ledger) -> None:
    folder = failed(tmp_path, "pose-bottleneck", 0, 3, "x")
    (folder / "failed.json").write_text("{}")
    with pytest.raises(UserError, match="not the record of a failed run"):
        run_jobs(jobs(ledger, tmp_path), tmp_path, None, trainer(tmp_path))
