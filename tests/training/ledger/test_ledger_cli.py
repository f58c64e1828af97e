"""The ledger's command line as a user meets it, and once with real training, as short as can be."""

import csv
from pathlib import Path

import pytest

from tests.command_lines import Outcome
from tests.ledger_folders import finished
from training.ledger import __main__ as command

TINY = """
about = "as small as can be"
[base.model]
features = 16
depth = 1
[base.data]
size = 32
workers = 0
[base.optim]
batch_size = 2
steps = 2
[base.run]
threads = 1
"""


def test_two_rows_from_nothing_to_the_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "paper_size", lambda row: 1_000_000)  # building every network takes seconds
    scale, out, page = tmp_path / "tiny.toml", tmp_path / "runs", tmp_path / "page.md"
    scale.write_text(TINY)
    page.write_text("# Mine\n\n<!-- ledger:blocks -->\n<!-- /ledger:blocks -->\n")
    words = ("run", "hpm-over-bottleneck", "--scale", scale, "--out", out)
    words += ("--data", "pose=synthetic?length=4&size=48", "--test", "pose=synthetic?length=2&size=48")
    first = Outcome(command.main, capsys, *words)
    assert (first.code, first.errors) == (0, ""), first.errors + first.out
    assert "[2/2] pose-bottleneck seed 0: PCKh@0.5 " in first.out

    again = Outcome(command.main, capsys, *words)
    assert again.out == "[1/2] pose-hpm seed 0: finished before\n[2/2] pose-bottleneck seed 0: finished before\n"
    plan = Outcome(command.main, capsys, *words, "--seeds", "0,4", "--dry-run")
    assert plan.out.splitlines()[1:3] == [
        f"finished  pose-bottleneck seed 0: {out / 'pose-bottleneck' / '0'}",
        f"to do     pose-hpm seed 4: {out / 'pose-hpm' / '4'}",
    ]
    Outcome(command.main, capsys, *words, "--steps", "3").fails(2, "run with other settings (optim.steps: 2, now 3)")

    report = Outcome(command.main, capsys, "report", "--out", out, "--write", page)
    assert (report.code, report.errors) == (0, "")
    assert {"report.md", "report.png", "rows.csv", "claims.csv"} <= {path.name for path in out.iterdir()}
    assert "(`pose-hpm`) | 76 | C-hi | " in page.read_text()
    assert page.with_suffix(".png").is_file()
    assert "![The paper's figures and ours](report.png)" in (out / "report.md").read_text()
    with open(out / "rows.csv", newline="") as file:
        rows = {row["row"]: row for row in csv.DictReader(file)}
    hpm = rows["pose-hpm"]
    # Of 3x3 and 1x1 binary filters with 16 features the packed bytes are an eighth of the count.
    assert int(hpm["packed_binary_weight_bytes"]) * 32 < 4 * int(hpm["parameters"])
    assert int(hpm["model_file_bytes"]) > 4 * int(hpm["parameters"])
    assert hpm["steps"] == "2"


def test_a_report_without_pictures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "paper_size", lambda row: 1)
    finished(tmp_path, "pose-hpm", 0, 50.0)
    assert Outcome(command.main, capsys, "report", "--out", tmp_path, "--no-pictures").code == 0
    assert not list(tmp_path.glob("*.png"))


def test_list_shows_figures_and_their_certainty(capsys: pytest.CaptureFixture[str]) -> None:
    listed = Outcome(command.main, capsys, "list")
    assert listed.code == 0
    (row,) = [line for line in listed.out.splitlines() if line.startswith("  pose-hpm-relu ") and "78.1" in line][:1]
    assert row.split() == [
        "pose-hpm-relu", "78.1", "C-hi", *["HPM,", "binary,", "a", "ReLU", "after", "each", "convolution;"],
        'model.activation="relu"',
    ]  # fmt: skip
    assert "hpm-over-bottleneck                 +8.8  C-hi  claim: HPM over bottleneck" in listed.out
    assert "as recalled" in listed.out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("run pose-hpmm", "run: no row, table or claim is called pose-hpmm: did you mean pose-hpm?"),
        ("run pose-hpm --scale paper", "run: scale paper has no data of its own; missing: --data pose=mpii:PATH"),
        ("run pose-hpm --data lsp:x", "run: --data lsp:x: write TASK=NAME:PATH"),
        ("run pose-hpm --seeds 0,x", "argument --seeds: '0,x' is not a list of seeds such as 0,1,2"),
        ("run pose-hpm --steps 0", "argument --steps: 0 is not above 0"),
        ("run pose-hpm --steps 1.5", "argument --steps: invalid number value: '1.5'"),
        ("run pose-hpm --minutes nan", "argument --minutes: nan is not above 0"),
        ("run pose-hpm --sedes 1", "unknown argument --sedes, did you mean --seeds?"),
        ("report --out nowhere-at-all", "report: there is no folder nowhere-at-all"),
        ("", "the following arguments are required: verb"),
        ("rerun", "argument verb: invalid choice: 'rerun'"),
    ],
)
def test_mistakes_give_one_line(capsys: pytest.CaptureFixture[str], words: str, message: str) -> None:
    Outcome(command.main, capsys, *words.split()).fails(2, message)


def test_a_page_that_cannot_be_filled_costs_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "paper_size", lambda row: 1)
    page = tmp_path / "page.md"
    page.write_text("no places\n")
    Outcome(command.main, capsys, "report", "--out", tmp_path, "--write", page).fails(2, "has no place for a block")
    assert not (tmp_path / "report.md").exists()


def test_damaged_results_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (finished(tmp_path, "pose-hpm", 0, 50.0) / "metrics.json").write_text("{")
    Outcome(command.main, capsys, "report", "--out", tmp_path).fails(
        3, "metrics.json: not a JSON file that can be read"
    )
