"""Parameters of a row's network at the paper's size, counted on the network itself: nothing is trained for it."""

from __future__ import annotations

from functools import cache

from training.configuration.settings import Config
from training.configuration.values import from_dict
from training.ledger.plan import Row
from training.ledger.scales import Scale
from training.runs.network import build_network

OUTPUTS = {"pose": 16, "face": 68, "parts": 7}  # MPII, 300W-LP, 300-W


def paper_size(row: Row) -> int:
    """Trainable parameters of the row's network with the paper's features and landmarks or classes."""
    base = Scale.load("paper").base["model"]
    return _count(from_dict({"model": {**base, **row.settings.get("model", {})}}), OUTPUTS[row.task])


@cache
def _count(config: Config, outputs: int) -> int:
    return sum(parameter.data.size for parameter in build_network(config, outputs).parameters())
