"""What the run folders say: scores, sizes and settings of finished runs, and how the others failed."""

from __future__ import annotations

import json
import math
import re
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.configuration.toml import read_toml
from training.errors import DataError
from training.ledger.plan import Row, Settings
from training.metrics.points import PLAIN_MEAN

METRICS, FAILED = "metrics.json", "failed.json"
MAX_BYTES = 16 << 20  # no such file comes near
LOWER_IS_BETTER = ("NME", "FR", "EPE")  # begins the keys of metrics that are errors


def lower_is_better(metric: str) -> bool:
    """Whether a metric is an error, the less of which the better."""
    return metric.startswith(LOWER_IS_BETTER)


@dataclass(frozen=True)
class Result:
    """One finished run. scores: by metric; network: totals of `hbcore.inspect.summary`.

    metric: the one the run is judged by, that of the paper's table if there is such a score, else the run's headline.
    file_bytes: of the model file, which holds latent weights in float32.
    """

    seed: int
    folder: Path
    metric: str
    scores: Mapping[str, float]
    steps: int
    minutes: float
    pictures: int
    flip_test: bool
    network: Mapping[str, int]
    settings: Settings
    file_bytes: int

    @property
    def score(self) -> float:
        """In percent, as all scores."""
        return self.scores[self.metric]

    @property
    def published(self) -> str:
        """The name of the same total as published tables compute it; not every run has that, see `docs/data.md`.

        For faces the mean of the three bins of yaw, for poses the plain mean over joints.
        """
        return f"{self.metric}/{'yaw_mean' if self.metric == 'NME_box' else PLAIN_MEAN}"


@dataclass(frozen=True)
class Failure:
    """How a run ended that did not come to its end."""

    exit_code: int
    message: str


@dataclass(frozen=True)
class Outcome:
    """What became of one row: results and failures by seed."""

    results: Mapping[int, Result]
    failures: Mapping[int, Failure]

    @property
    def any(self) -> Result | None:
        """One of the results, for what is the same in all."""
        return next(iter(self.results.values()), None)


def read_outcomes(out: Path, rows: Iterable[Row]) -> dict[str, Outcome]:
    """The outcome of every row by name. Raises DataError, naming the file, for one that is not as a run leaves it."""
    return {row.name: _read_row(out / row.name, row.metric) for row in rows}


def _read_row(folder: Path, metric: str) -> Outcome:
    results: dict[int, Result] = {}
    failures: dict[int, Failure] = {}
    runs = [path for path in folder.glob("*") if path.name.isascii() and path.name.isdigit()]
    for path in sorted(runs, key=lambda path: int(path.name)):
        seed = int(path.name)
        if (path / METRICS).exists():
            results[seed] = read_result(path, seed, metric)
        elif failure := read_failure(path):
            failures[seed] = failure
    return Outcome(results, failures)


def read_failure(folder: Path) -> Failure | None:
    """How the last attempt in a run folder failed; None if it did not. Raises DataError for a damaged record."""
    path = folder / FAILED
    if not path.exists():
        return None
    record = _read_json(path)
    try:
        return Failure(int(record["exit_code"]), str(record["message"]))
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path}: not the record of a failed run ({error!r}): remove it") from None


def read_result(folder: Path, seed: int, metric: str) -> Result:
    """The finished run in `folder`, judged by `metric` if it has that score. Raises DataError, naming the file."""
    path = folder / METRICS
    record = _read_json(path)
    try:
        scores = {str(name): float(value) for name, value in record["metrics"].items()}
        numbers = [*scores.values(), float(record["minutes"])]
        if not scores or not all(map(math.isfinite, numbers)):
            raise ValueError("no scores, or one that is not finite")
        return Result(
            seed=seed,
            folder=folder,
            metric=metric if metric in scores else next(iter(scores)),
            scores=scores,
            steps=int(record["steps"]),
            minutes=float(record["minutes"]),
            pictures=int(record["people"]),
            flip_test=bool(record["flip_test"]),
            network={str(name): int(value) for name, value in record["network"].items()},
            settings=read_toml(folder / "config.toml"),
            file_bytes=(folder / "last.safetensors").stat().st_size,
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{path}: not the results of a run ({error!r}): remove its folder and run it again") from None
    except OSError as error:
        raise DataError(f"{folder}: {error.filename} cannot be read: {error.strerror}") from None


def _read_json(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise DataError(f"{path}: larger than {MAX_BYTES >> 20} MiB, which no such file should be")
        record = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path}: not a JSON file that can be read ({error})") from None
    if not isinstance(record, dict):
        raise DataError(f"{path}: not an object with named fields")
    return record


@dataclass(frozen=True)
class Statistics:
    """Mean and spread, which is the standard deviation of a sample; the spread of one value is not known (nan)."""

    mean: float
    spread: float
    count: int

    @classmethod
    def of(cls, values: Iterable[float]) -> Statistics:
        """Of at least one value."""
        values = list(values)
        spread = statistics.stdev(values) if len(values) > 1 else math.nan
        return cls(statistics.fmean(values), spread, len(values))


def without_place(value: Any) -> Any:
    """A setting, data sets without the folders in which they lie: where data is kept does not matter."""
    if isinstance(value, (list, tuple)):
        return [without_place(item) for item in value]
    if not isinstance(value, str):
        return value
    name, colon, place = value.partition(":")
    # Of the path, and of each option behind the question mark that is one, the last part.
    return name + colon + re.sub(r"[^?&=]*/(?=[^/?&])|/(?=[?&]|$)", "", place) if colon else value


def compared_in(results: Iterable[Result]) -> list[str]:
    """The metrics in which these runs stand beside each other and beside the paper's figures; one if they share it.

    That is the total as published tables compute it, where all of them have it, else what each is judged by.
    """
    results = list(results)
    published = {result.published for result in results}
    if len(published) == 1 and all(result.published in result.scores for result in results):
        return list(published)
    return sorted({result.metric for result in results})


def pooled_spread(outcomes: Iterable[Outcome], metric: str) -> float:
    """The spread between seeds, from all rows that were run with several of them; nan if none was."""
    squares, freedom = 0.0, 0
    for outcome in outcomes:
        sample = [result.scores[metric] for result in outcome.results.values() if metric in result.scores]
        if len(sample) > 1:
            squares += (len(sample) - 1) * statistics.variance(sample)
            freedom += len(sample) - 1
    return math.sqrt(squares / freedom) if freedom else math.nan
