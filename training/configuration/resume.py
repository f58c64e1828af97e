"""What `--resume` goes on with, and what has changed around a run meanwhile."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from training.configuration.settings import Config
from training.configuration.toml import load
from training.configuration.values import differences
from training.errors import UserError

# What may differ between a run and its resumption: nothing that changes the weights.
FREE_TO_CHANGE = (
    "run.out", "run.threads", "run.checkpoint_minutes", "run.log_every", "run.stop_after", "run.patience",
    "data.workers", "data.keep", "data.max_bad",
)  # fmt: skip

NOT_THE_RESULT = ("command", "cpus")  # of what env.json holds


def check_changes(out: str, stored: Config, changed: Config) -> None:
    """Raise UserError, with the remedy, if a run in `out` is asked to go on with other settings than it has."""
    blocking = [line for line in differences(stored, changed) if line.partition(":")[0] not in FREE_TO_CHANGE]
    if not blocking:
        return
    remedy = "leave them out, or start anew with another --out"
    if any(line.startswith("optim.steps:") for line in blocking):
        remedy = (
            f"the schedule is made for its steps. Leave them out, or train on from its weights, with a schedule of "
            f"their own, by --init {out} and another --out"
        )
    raise UserError(f"cannot resume {out} with other settings ({'; '.join(blocking)}): {remedy}")


def changes_since(folder: Path, stored: Config, now: Mapping[str, Any]) -> Iterator[str]:
    """A line for everything around the run in `folder` that is no longer as it was when it was last at work.

    now: what env.json is to hold. Weights that follow may differ from those of a run left alone; config.toml, which a
    run writes and does not read, changes nothing.
    """
    try:
        before = json.loads((folder / "env.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        before = {}
    for key, value in now.items():
        if key not in NOT_THE_RESULT and isinstance(before, dict) and before.get(key, value) != value:
            yield f"warning: {key} changed since this run was last at work: {before[key]} -> {value}"
    path = folder / "config.toml"
    try:
        edited = differences(stored, load(path)) if path.exists() else []
    except UserError as error:
        edited = [str(error)]
    edited = [line for line in edited if not line.startswith("run.out:")]
    if edited:
        yield f"warning: {path} was changed ({'; '.join(edited)}) and is not followed: a run keeps its settings"
