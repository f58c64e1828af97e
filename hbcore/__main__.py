"""`python -m hbcore`: what a report of a defect needs to say about the machine; or `landmarks`, of photos and films."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path
from typing import Any

import numpy as np
import safetensors

import hbcore
from hbcore import kernels
from hbcore.commands import USAGE, say, tell
from hbcore.threads import usable_cores

CPUINFO = Path("/proc/cpuinfo")
FLAGS = (
    "sse2", "popcnt", "avx2", "fma", "avx512f", "avx512bw", "avx512dq", "avx512_vpopcntdq", "avx512_vnni",
    "avx512_bf16", "avx_vnni", "amx_int8", "asimd", "asimddp", "i8mm", "bf16", "sve",
)  # fmt: skip
"""Of those that a CPU says it has, the ones that kernels are or might be written for; asimd is NEON."""


def report() -> dict[str, str]:
    """Version, kernels, CPU, threads and libraries: a line for each name. Changes nothing in the process."""
    name, flags = cpu()
    forced = os.environ.get("HBCORE_KERNELS")
    return {
        "hbcore": hbcore.__version__,
        "kernels": kernels.backend.name + (f" (HBCORE_KERNELS={forced})" if forced else ""),
        "available": ", ".join(kernels.available()),
        "CPU": name,
        "CPU flags": " ".join(flags) or "not known",
        "cores": f"{usable_cores()} of {os.cpu_count()} usable",
        "threads": f"{hbcore.get_threads()} (hbcore.set_threads)",
        "Python": f"{platform.python_version()} ({platform.python_implementation()})",
        "platform": platform.platform(),
        "NumPy": np.__version__,
        "BLAS": blas(),
        "safetensors": safetensors.__version__,
    }


def cpu(path: Path = CPUINFO) -> tuple[str, list[str]]:
    """The name of the CPU and those of FLAGS that it has, from Linux's description of it; elsewhere without flags."""
    said: dict[str, str] = {}
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    for line in text.splitlines():
        key, _, value = line.partition(":")
        said.setdefault(key.strip(), value.strip())
    known = said.get("flags", said.get("Features", "")).split()
    return said.get("model name") or platform.processor() or platform.machine(), [f for f in FLAGS if f in known]


def blas() -> str:
    """The library behind NumPy's matrix products; its threads as well, where threadpoolctl is installed."""
    built: dict[str, Any] = np.show_config(mode="dicts")  # type: ignore[assignment]
    found = built.get("Build Dependencies", {}).get("blas", {})
    name = f"{found.get('name', 'not known')} {found.get('version', '')}".strip()
    try:
        import threadpoolctl
    except ImportError:
        return f"{name}, threads not known without threadpoolctl"
    loaded = [library for library in threadpoolctl.threadpool_info() if library.get("user_api") == "blas"]
    threads = [f"{library['num_threads']} threads, {library.get('architecture', 'any')}" for library in loaded]
    return ", ".join([name, *threads])


def with_pictures(name: str, arguments: list[str]) -> int:
    """The command `landmarks` or `film`, of `hbcore/photos/`, which needs Pillow."""
    try:
        from hbcore.photos import command, film
    except ModuleNotFoundError as error:
        if error.name != "PIL":
            raise
        tell(name, 'photos are read with Pillow, which is missing: pip install "hbcore[pictures]"')
        return USAGE
    return {"landmarks": command.main, "film": film.main}[name](arguments)


def main(arguments: list[str]) -> int:
    """The exit code, see `hbcore/commands.py`."""
    if arguments and arguments[0] in ("landmarks", "film"):
        return with_pictures(arguments[0], arguments[1:])
    if arguments:
        print("usage: python -m hbcore (says what a report of a defect needs to say)", file=sys.stderr)
        print("       python -m hbcore landmarks PHOTO... --model NAME|FILE (--help: all options)", file=sys.stderr)
        print("       python -m hbcore film FILM --model NAME|FILE (the same of every picture)", file=sys.stderr)
        return USAGE
    lines = report()
    width = max(map(len, lines))
    return say("hbcore", [f"{name:<{width}}  {value}" for name, value in lines.items()])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
