"""What the ledger makes of run folders: means, spreads and verdicts, computed by hand."""

import math
from pathlib import Path
from typing import Any

import pytest

from tests.ledger_folders import failed, finished
from training.errors import DataError
from training.ledger.plan import Ledger, load_ledger
from training.ledger.results import Statistics, lower_is_better, pooled_spread, read_outcomes, without_place
from training.ledger.verdicts import Verdict, judge

HPM, BOTTLENECK = "pose-hpm", "pose-bottleneck"


@pytest.fixture(scope="module")
def ledger() -> Ledger:
    return load_ledger()


def verdict(ledger: Ledger, out: Path, claim: str = "hpm-over-bottleneck") -> Verdict:
    return judge(ledger.claims[claim], ledger, read_outcomes(out, ledger.rows.values()))


def both(out: Path, better: list[Any], than: list[Any], settings: Any = None) -> None:
    for row, scores in ((HPM, better), (BOTTLENECK, than)):
        for seed, score in enumerate(scores):
            if score is not None:
                finished(out, row, seed, score, {"model": {"block": row}} if settings is None else settings)


# -------------------------------------------------------------------------------------------------- results


def test_a_finished_run_is_read_in_full(tmp_path: Path, ledger: Ledger) -> None:
    finished(tmp_path, HPM, 2, {"PCK@0.2": 41.0, "PCKh@0.5": 52.5}, minutes=3.5)
    failed(tmp_path, HPM, 10, 4, "step 7: the loss is nan")
    (tmp_path / HPM / "notes").mkdir()
    outcome = read_outcomes(tmp_path, [ledger.rows[HPM]])[HPM]
    assert (list(outcome.results), list(outcome.failures)) == ([2], [10])
    result = outcome.results[2]
    assert (result.metric, result.score) == ("PCKh@0.5", 52.5)  # the metric of the paper's table
    assert (result.steps, result.minutes, result.pictures, result.file_bytes) == (100, 3.5, 50, 40_000)
    assert result.settings["data"]["train"] == ["lsp:/somewhere/lsp"]
    assert outcome.failures[10].message == "step 7: the loss is nan"


def test_without_the_papers_metric_the_headline_counts(tmp_path: Path, ledger: Ledger) -> None:
    finished(tmp_path, HPM, 0, {"PCK@0.2": 41.0, "PCK@0.2/neck": 60.0})
    result = read_outcomes(tmp_path, [ledger.rows[HPM]])[HPM].results[0]
    assert (result.metric, result.score) == ("PCK@0.2", 41.0)


def test_a_run_that_failed_before_it_finished_has_finished(tmp_path: Path, ledger: Ledger) -> None:
    finished(tmp_path, HPM, 0, 50.0)
    failed(tmp_path, HPM, 0, 1, "killed")
    assert not read_outcomes(tmp_path, [ledger.rows[HPM]])[HPM].failures


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("metrics.json", b"{", "metrics.json: not a JSON file"),
        ("metrics.json", b"[]", "metrics.json: not an object"),
        ("metrics.json", b"{}", "metrics.json: not the results of a run"),
        ("metrics.json", b'{"metrics": {"PCK@0.2": NaN}, "minutes": 1}', "one that is not finite"),
        ("metrics.json", b'{"metrics": {}, "minutes": 1}', "no scores"),
        ("metrics.json", b"\xff", "metrics.json: not a JSON file"),
        ("last.safetensors", None, "last.safetensors cannot be read: No such file"),
        ("failed.json", b'{"exit_code": "x"}', "failed.json: not the record of a failed run"),
    ],
)
def test_damaged_records_are_named(
    tmp_path: Path, ledger: Ledger, name: str, content: bytes | None, message: str
) -> None:
    folder = finished(tmp_path, HPM, 0, 50.0)
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(content)
    if name == "failed.json":
        (folder / "metrics.json").unlink()
    with pytest.raises(DataError, match=message) as caught:
        read_outcomes(tmp_path, [ledger.rows[HPM]])
    assert str(folder) in str(caught.value)


def test_mean_and_spread() -> None:
    assert Statistics.of([1.0, 3.0, 8.0]) == Statistics(4.0, math.sqrt(13), 3)  # (9 + 1 + 16) / 2
    one = Statistics.of([2.5])
    assert (one.mean, one.count, math.isnan(one.spread)) == (2.5, 1, True)


def test_spread_pooled_over_rows(tmp_path: Path, ledger: Ledger) -> None:
    for row, scores in ((HPM, (10, 12)), (BOTTLENECK, (20, 24, 28)), ("pose-wider", (7,))):
        for seed, score in enumerate(scores):
            finished(tmp_path, row, seed, score)
    outcomes = read_outcomes(tmp_path, ledger.rows.values()).values()
    assert pooled_spread(outcomes, "PCKh@0.5") == pytest.approx(math.sqrt((2 + 32) / 3))
    assert math.isnan(pooled_spread(outcomes, "PCK@0.2"))


def test_errors_are_the_better_the_less() -> None:
    assert [lower_is_better(name) for name in ("NME_ioc", "FR@0.1", "AUC@0.08", "mIoU", "PCK@0.2")] == [
        True, True, False, False, False,
    ]  # fmt: skip


def test_data_sets_without_their_folders() -> None:
    assert without_place(["lsp:/a/b/lsp", "lspet:c?labels=teacher", "synthetic"]) == [
        "lsp:lsp", "lspet:c?labels=teacher", "synthetic",
    ]  # fmt: skip
    assert without_place(["300w:/a/300w/", "coco:/a/b.json?images=/c/d/&test=0.2", "mpii:a/b/?labels=hrnet"]) == [
        "300w:300w", "coco:b.json?images=d&test=0.2", "mpii:b?labels=hrnet",
    ]  # fmt: skip
    assert (without_place(3), without_place("adam"), without_place(None)) == (3, "adam", None)


# ------------------------------------------------------------------------------------------------- verdicts


@pytest.mark.parametrize(
    ("better", "than", "status", "gain", "spread"),
    [
        ([50, 52, 54], [45, 49, 50], "held", 4.0, 1.0),  # 5, 3, 4
        ([45, 49, 50], [50, 52, 54], "did not hold", -4.0, 1.0),
        ([50, 49, 51], [45, 52, 50], "within the spread", 1.0, 4.0),  # 5, -3, 1
        ([40, 60], [38, 58], "held", 2.0, 0.0),  # pairs: what a seed does to both does not count
        ([40, 60], [40, 60], "within the spread", 0.0, 0.0),
    ],
)
def test_pairs_of_seeds(
    tmp_path: Path, ledger: Ledger, better: list[float], than: list[float], status: str, gain: float, spread: float
) -> None:
    both(tmp_path, better, than)
    found = verdict(ledger, tmp_path)
    assert (found.status, found.gain, found.spread) == (status, pytest.approx(gain), pytest.approx(spread))
    assert (found.metric, found.seeds, found.notes) == ("PCKh@0.5", len(better), ())


def test_of_an_error_less_is_better(tmp_path: Path, ledger: Ledger) -> None:
    for row, errors in (("face-hpm", (5.0, 6.0)), ("face-bottleneck", (7.0, 9.0))):
        for seed, error in enumerate(errors):
            finished(tmp_path, row, seed, {"NME_ioc": 99 - error, "NME_box": error}, {"model": {"block": row}})
    found = verdict(ledger, tmp_path, "face-hpm-over-bottleneck")
    assert (found.status, found.gain, found.metric) == ("held", 2.5, "NME_box")


def test_unequal_seeds_are_said_and_common_ones_compared(tmp_path: Path, ledger: Ledger) -> None:
    both(tmp_path, [50, 52, 90], [45, 49])
    found = verdict(ledger, tmp_path)
    assert (found.status, found.gain, found.seeds) == ("held", 4.0, 2)
    assert found.notes == ("unequal seeds: 0,1,2 against 0,1",)


def test_without_a_common_seed_means_are_compared(tmp_path: Path, ledger: Ledger) -> None:
    both(tmp_path, [50, 53, None, None], [None, None, 45, 49])
    found = verdict(ledger, tmp_path)
    assert (found.gain, found.seeds) == (4.5, 2)
    assert found.spread == pytest.approx(math.sqrt(4.5 + 8.0))  # variances of the two rows
    assert (found.status, found.notes) == ("held", ("unequal seeds: 0,1 against 2,3",))


@pytest.mark.parametrize(
    ("score", "status"),
    [(53.0, "within the spread"), (54.0, "held"), (46.0, "did not hold")],
)
def test_one_seed_borrows_the_spread_of_other_rows(tmp_path: Path, ledger: Ledger, score: float, status: str) -> None:
    both(tmp_path, [score], [50.0])
    for row, scores in (("pose-wider", (10, 12)), ("pose-hpm-relu", (20, 24))):  # variances 2 and 8: the mean is 5
        for seed, other in enumerate(scores):
            finished(tmp_path, row, seed, other)
    found = verdict(ledger, tmp_path)
    assert found.spread == pytest.approx(math.sqrt(2 * 5))  # 3.16
    assert (found.status, found.seeds, found.notes) == (status, 1, ("one seed, spread of other rows",))


@pytest.mark.parametrize(("score", "status"), [(50.1, "held"), (50.0, "did not hold"), (49.9, "did not hold")])
def test_one_seed_alone(tmp_path: Path, ledger: Ledger, score: float, status: str) -> None:
    both(tmp_path, [score], [50.0])
    found = verdict(ledger, tmp_path)
    assert (found.status, found.notes, math.isnan(found.spread)) == (status, ("one seed, no spread known",), True)


def test_what_was_not_run_and_why(tmp_path: Path, ledger: Ledger) -> None:
    assert verdict(ledger, tmp_path).status == "not run"
    finished(tmp_path, HPM, 0, 50.0)
    failed(tmp_path, BOTTLENECK, 0, 4, "step 3: the loss is nan")
    found = verdict(ledger, tmp_path)
    assert (found.status, found.notes) == ("not run", ("pose-bottleneck seed 0: step 3: the loss is nan",))
    assert math.isnan(found.gain)


def test_different_metrics_are_not_compared(tmp_path: Path, ledger: Ledger) -> None:
    finished(tmp_path, HPM, 0, 50.0)
    finished(tmp_path, BOTTLENECK, 0, {"PCK@0.2": 30.0})
    found = verdict(ledger, tmp_path)
    assert (found.status, found.notes) == ("not comparable", ("measured in PCK@0.2 and in PCKh@0.5",))


# ------------------------------------------------------------------------------------------------- fairness


@pytest.mark.parametrize(
    ("settings", "fields", "note"),
    [
        ({"model": {"block": "x"}}, {}, None),  # what the rows are about
        ({"run": {"seed": 5, "out": "y"}}, {}, None),
        ({"data": {"train": ["lsp:/elsewhere/lsp"]}}, {}, None),
        ({"optim": {"steps": 90}}, {"steps": 90}, "unequal optim.steps: 100 against 90"),
        ({}, {"steps": 90}, "unequal steps taken: 100 against 90"),
        ({"optim": {"lr": 0.02}}, {}, "unequal optim.lr: 0.01 against 0.02"),
        ({"model": {"features": 32}}, {}, "unequal model.features: 16 against 32"),
        ({"data": {"train": ["lspet:x"]}}, {}, 'unequal data.train: ["lsp:lsp"] against ["lspet:x"]'),
        ({"data": {"limit": 9}}, {}, "unequal data.limit: absent against 9"),
        ({}, {"people": 49}, "unequal test pictures: 50 against 49"),
        ({}, {"flip_test": True}, "unequal flip test: false against true"),
    ],
)
def test_what_must_be_equal(tmp_path: Path, ledger: Ledger, settings: Any, fields: Any, note: str | None) -> None:
    for seed in (0, 1):
        finished(tmp_path, HPM, seed, 50.0 + seed)
        finished(tmp_path, BOTTLENECK, seed, 40.0 + seed, settings, **fields)
    notes = verdict(ledger, tmp_path).notes
    assert (notes[0].startswith(note), len(notes) >= 1) if note else notes == ()


def test_runs_of_one_row_must_be_equal_too(tmp_path: Path, ledger: Ledger) -> None:
    for row in (HPM, BOTTLENECK):
        finished(tmp_path, row, 0, 50.0)
        finished(tmp_path, row, 1, 51.0, {"optim": {"lr": 0.02}})
    assert verdict(ledger, tmp_path).notes == ("unequal optim.lr: 0.01 or 0.02 against 0.01 or 0.02",)


PLAIN = "PCKh@0.5/mean_of_joints"


def test_claims_are_judged_by_the_plain_mean_where_both_rows_have_it(tmp_path: Path, ledger: Ledger) -> None:
    both(tmp_path, [{"PCKh@0.5": 50.0, PLAIN: 51.0}], [{"PCKh@0.5": 52.0, PLAIN: 48.0}])
    found = verdict(ledger, tmp_path)
    assert (found.status, found.metric, found.gain) == ("held", PLAIN, 3.0)


def test_with_an_older_run_claims_are_judged_by_what_both_have(tmp_path: Path, ledger: Ledger) -> None:
    both(tmp_path, [{"PCKh@0.5": 50.0, PLAIN: 51.0}], [52.0])
    found = verdict(ledger, tmp_path)
    assert (found.status, found.metric, found.gain) == ("did not hold", "PCKh@0.5", -2.0)


def test_the_spread_is_that_of_the_metric_compared_in(tmp_path: Path, ledger: Ledger) -> None:
    both(tmp_path, [{"PCKh@0.5": 50.0, PLAIN: 1.0}, {"PCKh@0.5": 50.0, PLAIN: 3.0}], [7.0])
    outcomes = read_outcomes(tmp_path, ledger.rows.values()).values()
    assert pooled_spread(outcomes, PLAIN) == pytest.approx(math.sqrt(2))
    assert pooled_spread(outcomes, "PCKh@0.5") == 0
