"""Train what is not finished yet: one process after the other, each in its own folder, and every one resumable."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from training.configuration.schema import literal
from training.configuration.toml import read_toml
from training.errors import Diverged, Interrupted, UserError
from training.files.run_folder import locked
from training.files.writing import atomic_write, make_folder, write_json
from training.ledger.plan import Row, Settings
from training.ledger.results import FAILED, METRICS, Failure, Result, read_failure, read_result
from training.ledger.scales import Data, Scale, to_toml
from training.runs.signals import STOPPING

LOG = "ledger.log"  # what the trainer printed
RECIPE = "recipe.toml"  # what the ledger asked it for
# What a finished run may differ in from its recipe: the place of things, not the things.
PLACES = ("run.out", "run.threads", "data.workers", "data.keep", "technique.teacher")

PR_SET_PDEATHSIG = 1  # <sys/prctl.h>: the signal that comes when the parent process ends


class TimeIsUp(Exception):
    """The minutes given are over."""


class RunsFailed(UserError):
    """Some runs did not come to their end."""

    exit_code = 6


@dataclass(frozen=True)
class Job:
    """One row with one seed."""

    row: Row
    seed: int
    folder: Path
    settings: Settings

    def __str__(self) -> str:
        return f"{self.row.name} seed {self.seed}"

    @property
    def finished(self) -> bool:
        return (self.folder / METRICS).exists()

    @property
    def diverged(self) -> bool:
        """Whether training again would only diverge again: every run is deterministic."""
        failure = read_failure(self.folder)
        return failure is not None and failure.exit_code == Diverged.exit_code

    def result(self) -> Result:
        """What the finished run measured. Raises DataError if its files are damaged."""
        return read_result(self.folder, self.seed, self.row.metric)

    def changes(self) -> list[str]:
        """Settings in which the finished run differs from this job, such as `optim.lr: 0.01, now 0.02`."""
        there = read_toml(self.folder / "config.toml")
        return [
            f"{section}.{key}: {literal(was)}, now {literal(value)}"
            for section, values in self.settings.items()
            for key, value in values.items()
            if f"{section}.{key}" not in PLACES and (was := there.get(section, {}).get(key)) != value
        ]


def plan_jobs(
    rows: Sequence[Row], seeds: Sequence[int], scale: Scale, data: Data, out: Path, steps: int | None = None
) -> list[Job]:
    """All rows with the first seed, then with the second: a table is complete as early as can be.

    Raises UserError if data is missing, a setting is bad, or a finished run in `out` was made with other settings.
    """
    scale.demand(rows, data)
    jobs = []
    for seed in seeds:
        for row in rows:
            folder = out / row.name / str(seed)
            more: Settings = {"run": {"seed": seed, "out": str(folder)}}
            if steps is not None:
                more["optim"] = {"steps": steps}
            if row.teacher:
                more["technique"] = {"teacher": str(out / row.teacher / str(seed) / "last.safetensors")}
            jobs.append(Job(row, seed, folder, scale.settings(row, data, more)))
    for job in jobs:
        if job.finished and (changes := job.changes()):
            raise UserError(
                f"{job} in {job.folder} was run with other settings ({'; '.join(changes)}): "
                "remove that folder to run it anew, or choose another --out"
            )
    return jobs


CHECKOUT = Path(__file__).parents[2]


def trainer(task: str) -> list[str]:
    """The command that trains a network for a task."""
    return [sys.executable, "-m", f"training.{task}"]


def run_jobs(
    jobs: Sequence[Job],
    out: Path,
    minutes: float | None = None,
    command: Callable[[str], list[str]] = trainer,
    say: Callable[[str], None] = print,
) -> None:
    """Train every job that is neither finished nor known to diverge.

    A failure is written down in the job's folder, and the next job begins. After `minutes`, and at Ctrl-C, the run at
    work saves its state: the same call later goes on from there. Raises RunsFailed at the end if any job failed.
    """
    end = None if minutes is None else time.monotonic() + 60 * minutes
    failed = 0
    with locked(make_folder(out)), _terminate_like_ctrl_c():
        for number, job in enumerate(jobs, start=1):
            place = f"[{number}/{len(jobs)}] {job}"
            if job.finished:
                say(f"{place}: finished before")
                continue
            if job.diverged:
                failed += 1
                say(f"{place}: diverged before; remove {job.folder} to try again")
                continue
            say(f"{place}: training in {job.folder}")
            try:
                failure = _train(job, command(job.row.task), end)
            except TimeIsUp:
                left = sum(not job.finished for job in jobs)
                say(f"the {minutes:g} minutes are over, {left} runs are left: the same command goes on with them")
                break
            except KeyboardInterrupt:
                raise Interrupted(f"stopped in {job}; the same command goes on from there") from None
            if failure is None:
                result = job.result()
                say(f"{place}: {result.metric} {result.score:.2f} after {result.minutes:.1f} minutes")
            else:
                failed += 1
                say(f"{place}: failed with exit code {failure.exit_code}: {failure.message}")
    if failed:
        raise RunsFailed(f"{failed} of {len(jobs)} runs failed: see {LOG} in their folders")


def _train(job: Job, command: Sequence[str], end: float | None) -> Failure | None:
    """Why the trainer failed, None if it came to its end.

    Raises TimeIsUp or KeyboardInterrupt, once the trainer has saved its state.
    """
    make_folder(job.folder)
    (job.folder / FAILED).unlink(missing_ok=True)  # what it says is no longer so
    recipe = job.folder / RECIPE
    atomic_write(recipe, to_toml(job.settings).encode())
    words = [*command, "train", "--config", str(recipe), "--out", str(job.folder), "--resume"]
    with open(job.folder / LOG, "ab") as log:
        begin = log.tell()
        # Unbuffered: its last words stand last. In a session of its own: Ctrl-C reaches us alone, and it is told once.
        # This checkout's training, from whatever folder.
        places = os.pathsep.join(filter(None, (str(CHECKOUT), os.environ.get("PYTHONPATH"))))
        settings = os.environ | {"PYTHONUNBUFFERED": "1", "PYTHONPATH": places}
        process = subprocess.Popen(
            words, stdout=log, stderr=subprocess.STDOUT, env=settings, start_new_session=True, preexec_fn=_end_with_us()
        )
        try:
            process.wait(None if end is None else max(0.0, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            _stop(process)
            raise TimeIsUp from None
        except BaseException:
            _stop(process)
            raise
    if process.returncode == 0 and job.finished:
        return None
    failure = Failure(process.returncode, _last_line(job.folder / LOG, begin))
    write_json(job.folder / FAILED, {"exit_code": failure.exit_code, "message": failure.message})
    return failure


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Ask the trainer to save and leave, and wait for that: further signals change nothing."""
    process.terminate()
    while True:
        try:
            process.wait()
            return
        except KeyboardInterrupt:
            continue


def _end_with_us() -> Callable[[], None] | None:
    """What lets a child process be terminated when we end, however that is; None where that is not Linux."""
    if sys.platform != "linux":
        return None
    prctl, ours = ctypes.CDLL(None).prctl, os.getpid()  # looked up here: between fork and exec little is allowed

    def ask() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != ours:  # we are gone already
            os.kill(os.getpid(), signal.SIGTERM)

    return ask


def _last_line(path: Path, begin: int) -> str:
    with open(path, "rb") as file:
        file.seek(begin)
        lines = file.read().decode(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "it printed nothing")


@contextlib.contextmanager
def _terminate_like_ctrl_c() -> Iterator[None]:
    """Within this context SIGTERM and SIGHUP do what Ctrl-C does: no trainer is left behind. See `stop_signals`."""
    old = {number: signal.getsignal(number) for number in STOPPING}
    for number, handler in old.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
