"""Run folders as training leaves them, made by hand for the tests of the ledger."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from training.ledger.results import FAILED
from training.ledger.scales import to_toml

NETWORK = {
    "binary_convolutions": 54, "binary_weights": 8_000, "binary_weight_bytes": 1_000, "real_convolutions": 2,
    "parameters": 10_000, "binary_macs": 2_500_000, "real_macs": 500_000,
}  # fmt: skip
SETTINGS = {
    "model": {"features": 16, "block": "hpm"},
    "data": {"train": ["lsp:/somewhere/lsp"], "test": []},
    "optim": {"steps": 100, "lr": 0.01},
    "run": {"seed": 0, "out": "x"},
}


def finished(
    out: Path, row: str, seed: int, scores: float | Mapping[str, float], settings: Any = None, **more: Any
) -> Path:
    """A finished run: a PCKh, or any scores; `settings` over SETTINGS; `more` fields of metrics.json."""
    folder = out / row / str(seed)
    folder.mkdir(parents=True, exist_ok=True)
    record = {
        "metrics": {"PCKh@0.5": scores} if isinstance(scores, (int, float)) else dict(scores),
        "people": 50,
        "flip_test": False,
        "steps": 100,
        "minutes": 2.0,
        "network": NETWORK,
        **more,
    }
    (folder / "metrics.json").write_text(json.dumps(record))
    own = {section: {**values, **(settings or {}).get(section, {})} for section, values in SETTINGS.items()}
    (folder / "config.toml").write_text(to_toml(own))
    (folder / "last.safetensors").write_bytes(b"x" * 40_000)
    metric = next(iter(record["metrics"]))
    (folder / "log.csv").write_text(f"step,epoch,train_loss,lr,grad_norm,{metric}\n50,1,2.5,1,1,\n100,2,1.5,1,1,40\n")
    return folder


def failed(out: Path, row: str, seed: int, exit_code: int, message: str) -> Path:
    """A run that came to no good end."""
    folder = out / row / str(seed)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / FAILED).write_text(json.dumps({"exit_code": exit_code, "message": message}))
    return folder
