"""Peak resident memory of a process that makes three training steps, each way in a process of its own.

Three, because the second step is the first that meets the optimizer's state and the gradients of another. The whole
process counts, libraries included: that is what has to fit into a machine. What it held before the network was made is
given beside it. `python -m benchmarks.memory WAY binary|real FEATURES SIZE BATCH` is one such process.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

from benchmarks.peers import Missing, Peer, reason
from benchmarks.report import Fact, Row, Table
from benchmarks.settings import Settings
from benchmarks.step import OURS, THREADS, row_name, set_threads, sizes, training_step, ways
from benchmarks.timing import Absent, Spread
from hbcore import kernels

STEPS = 3


def tables(settings: Settings, peers: list[Peer]) -> Iterator[Table]:
    """One table per size of training step."""
    for features, size, batch in sizes(settings):
        yield table(features, size, batch)


def table(features: int, size: int, batch: int) -> Table:
    """Ours and PyTorch's, binary and real-valued."""
    title = f"peak resident memory of a training step, {features} features, {size} x {size}, batch {batch}"
    found = Table("memory", title, unit="MB")
    for binary in (True, False):
        against = row_name("hbcore", binary)
        base = 0.0
        for way in ways(binary):
            name = row_name(way, binary)
            try:
                before, peak = in_own_process(way, binary, features, size, batch)
            except Missing as error:
                found.absent.append(Absent(name, str(error)))
                continue
            base = base or peak
            ratio = None if name == against else Spread(*[peak / base] * 3)
            kind = "ours" if way in OURS else "fp32"
            row_against = "" if name == against else against
            found.rows.append(Row(name, THREADS, kind, Spread(peak, peak, peak), row_against, ratio))
            found.facts[f"{name}, before the network was made, MB"] = Fact(before)
    return found


def in_own_process(way: str, binary: bool, features: int, size: int, batch: int) -> tuple[float, float]:
    """Megabytes before the network was made, and at the peak. Missing says what went wrong."""
    arguments = [way, "binary" if binary else "real", str(features), str(size), str(batch)]
    command = [sys.executable, "-m", "benchmarks.memory", *arguments]
    done = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False)
    if done.returncode:
        raise Missing((done.stderr.strip().splitlines() or ["the process died"])[-1])
    before, peak = json.loads(done.stdout)
    return before, peak


def peak_megabytes() -> float:
    """The most memory that this process has held so far.

    On Linux from the kernel's own account of it: getrusage would start from what the parent held when it forked.
    """
    try:
        found = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text(encoding="utf-8"))
    except OSError:
        found = None
    if found:
        return int(found[1]) / 1024
    import resource

    unit = 1 << 20 if sys.platform == "darwin" else 1 << 10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def main(arguments: list[str]) -> None:
    """Make the steps and print the two figures as JSON."""
    way, binary, *numbers = arguments
    set_threads(way, THREADS)()
    with kernels.keep_memory() if way in OURS else nullcontext():
        before = peak_megabytes()
        run = training_step(way, binary == "binary", *map(int, numbers))
        for _ in range(STEPS):
            run()
        print(json.dumps([before, peak_megabytes()]))


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except Exception as error:  # one line for the process that asked
        sys.exit(reason(error))
