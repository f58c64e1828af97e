"""What the numbers depend on: the head of every report."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import hbcore
from benchmarks.peers import Missing, Peer

BUSY = 0.5  # load average above which a report says so


def cpu_model() -> str:
    """The CPU's name as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "Hardware"))]
    return names[0] if names else platform.processor() or platform.machine()


def instruction_sets() -> list[str]:
    """Those that matter here, as far as the system tells."""
    wanted = (
        "sse2 ssse3 popcnt avx2 fma avx512f avx512_vpopcntdq avx512_vnni avx_vnni avx512_bf16 amx_int8 asimd asimddp"
    )
    try:
        words = set(Path("/proc/cpuinfo").read_text(encoding="utf-8").split())
    except OSError:
        return []
    return [name for name in wanted.split() if name in words]


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def describe(peers: Sequence[Peer]) -> dict[str, Any]:
    """CPU, cores, kernels, load and the versions of everybody, as plain data."""
    versions: dict[str, str] = {}
    for peer in peers:
        try:
            versions[peer.name] = peer.version()
        except Missing as error:
            versions[peer.name] = f"absent: {error}"
    return {
        "cpu": cpu_model(),
        "instruction sets": instruction_sets(),
        "cores": cores(),
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "numpy": np.__version__,
        "hbcore": hbcore.__version__,
        "kernels": hbcore.kernel_report(),
        "peers": versions,
    }


def as_text(machine: dict[str, Any]) -> str:
    """One line per item, and a warning where others are at work."""
    lines = []
    for name, value in machine.items():
        if isinstance(value, dict):
            value = ", ".join(f"{key} {item}" for key, item in value.items())
        elif isinstance(value, list):
            value = " ".join(value)
        lines.append(f"{name:<17}{value}")
    lines.append(
        f"{'threads':<17}1 unless a row says otherwise; ratio = time of the row / time of the row it is against"
    )
    if (machine["load"] or 0) > BUSY:
        lines.append("others keep this machine busy: threads that wait for each other (most peers' do) suffer first")
    return "\n".join(lines) + "\n"
