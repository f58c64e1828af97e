"""One piece of work of the hbcore that is imported, done whenever a line asks for it: the other end of `against.py`.

`python -P FILE WORK THREADS FEATURES SIZE BATCH`, with PYTHONPATH=CHECKOUT, runs this file by its path, so that
everything it imports is that checkout's: its hbcore, and its own benchmarks, which know how to call that. Only names
that every commit with benchmarks has are used here. The first line of output says which hbcore it is.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import numpy as np

import hbcore
from benchmarks.memory import peak_megabytes
from benchmarks.peers import ours
from benchmarks.step import training_step
from hbcore import kernels


def main(arguments: list[str]) -> None:
    """Do the work for each line "run", tell the peak of resident memory for "peak", end with the input."""
    name, *numbers = arguments
    threads, features, size, batch = map(int, numbers)
    ours.threads(threads)()
    with ExitStack() as stack:
        if name != "network":
            kept = kernels.keep_memory()
            if kept is not None:  # earlier it was no context
                stack.enter_context(kept)
        run = work(name, features, size, batch)
        if not built():
            sys.exit("it is not built: run `python setup.py build_ext --inplace` there")
        say(hbcore.kernel_report() | {"hbcore": hbcore.__file__})
        for line in sys.stdin:
            if line == "run\n":
                run()
            say(peak_megabytes() if line == "peak\n" else None)


def built() -> bool:
    """Whether this checkout has kernels, if any are wanted, of its own: an editable install lends what is missing."""
    home = Path(hbcore.__file__).parent
    files = [getattr(module, "__file__", None) for name, module in sys.modules.items() if name.startswith("hbcore.")]
    numpy_wanted = os.environ.get("HBCORE_KERNELS") == "numpy"
    compiled = numpy_wanted or hbcore.kernel_report()["kernels"] != "numpy"
    return compiled and all(file is None or Path(file).is_relative_to(home) for file in files)


def work(name: str, features: int, size: int, batch: int) -> Callable[[], object]:
    """name: "binary" or "real", a training step of such a network, or "network", from a picture to heatmaps."""
    if name != "network":
        return training_step("hbcore", name == "binary", features, size, batch)
    model = hbcore.StackedHourglass(features=features, depth=min(4, int(np.log2(size // 4))))
    return ours.network(model, np.random.default_rng(0).random((batch, size, size, 3), dtype=np.float32))[0]


def say(answer: object) -> None:
    """One line."""
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
