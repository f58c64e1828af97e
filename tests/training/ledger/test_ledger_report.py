"""What the ledger writes for its readers: tables, CSV, pages with places to fill, pictures."""

import csv
import io
from pathlib import Path

import pytest
from PIL import Image

from tests.ledger_folders import failed, finished
from training.errors import UserError
from training.ledger import pictures, report
from training.ledger.plan import Ledger, Row, load_ledger
from training.ledger.results import read_outcomes
from training.ledger.verdicts import judge


@pytest.fixture(scope="module")
def ledger() -> Ledger:
    return load_ledger()


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """HPM loses against bottleneck and wins against average-pooling; one row fails, faces have one run."""
    for seed, (hpm, bottleneck, pooled) in enumerate([(50, 52, 40), (52, 55, 41)]):
        finished(tmp_path, "pose-hpm", seed, {"PCKh@0.5": hpm, "PCKh@0.5/Head": hpm + 20})
        finished(
            tmp_path, "pose-bottleneck", seed, {"PCKh@0.5": bottleneck, "PCKh@0.5/Head": 70 + seed},
            {"model": {"block": "bottleneck"}}, minutes=3.0 + seed,
        )  # fmt: skip
        finished(tmp_path, "pose-hpm-average-pool", seed, pooled, {"model": {"pool": "avg"}})
    failed(tmp_path, "pose-wider", 0, 4, "the loss | is nan")
    finished(tmp_path, "face-hpm", 0, {"NME_ioc": 8.0, "NME_box": 4.5, "NME_box/yaw_0_30": 3.25})
    return tmp_path


def size(row: Row) -> int:
    return 6_236_560 if row.name == "pose-hpm" else 1_000_000


def parts(ledger: Ledger, out: Path) -> dict[str, str]:
    outcomes = read_outcomes(out, ledger.rows.values())
    return report.blocks(ledger, outcomes, [judge(c, ledger, outcomes) for c in ledger.claims.values()], size)


def line(text: str, begins: str) -> list[str]:
    """The cells of the one row of a Markdown table whose first cell ends so."""
    (found,) = [row for row in text.splitlines() if row.split(" | ")[0].endswith(begins)]
    return [cell.strip() for cell in found.strip("|").split("|")]


def test_the_papers_figures_beside_ours(ledger: Ledger, out: Path) -> None:
    table = parts(ledger, out)["blocks"]
    assert table.startswith("### Binary blocks (section 4.2)")
    scores, sizes, details = table.split("\n\n")[1:4]
    assert line(scores, "row") == ["row", "paper, PCKh@0.5", "certainty", "ours, PCKh@0.5", "steps", "minutes"]
    hpm = line(scores, "(`pose-hpm`)")
    assert hpm[1:] == ["76", "C-hi", "51.00 ± 1.41 (2)", "100", "2.0"]
    assert line(scores, "(`pose-bottleneck`)")[3:] == ["53.50 ± 2.12 (2)", "100", "3.5"]
    assert line(scores, "(`pose-wider`)")[1:] == ["70.7", "C-hi", "failed", "-", "-"]
    assert line(scores, "(`pose-multiscale`)")[3] == "not run"
    assert line(sizes, "`pose-hpm`")[1:] == ["6.2M (C-hi)", "6.24M", "10,000", "2.5", "0.5", "40.0", "1.0"]
    assert line(sizes, "`pose-wider`")[1:] == ["11.3M (C-hi)", "1.00M", "-", "-", "-", "-", "-"]
    assert line(details, "`pose-bottleneck`")[1:3] == ["90.5 / 70.50", "79.6"]
    assert "`pose-hpm`: 76.0 is also the figure" in table
    assert "4 of 4 runs here were scored without these" in table


PLAIN = "PCKh@0.5/mean_of_joints"


def test_beside_the_papers_totals_stand_plain_means_if_all_runs_have_them(ledger: Ledger, tmp_path: Path) -> None:
    finished(tmp_path, "pose-hpm", 0, {"PCKh@0.5": 60.0, PLAIN: 59.0, "PCKh@0.5/Head": 80.0})
    finished(tmp_path, "pose-bottleneck", 0, {"PCKh@0.5": 50.0, PLAIN: 49.5, "PCKh@0.5/Head": 70.0})
    outcomes = read_outcomes(tmp_path, ledger.rows.values())
    found = parts(ledger, tmp_path)
    table = found["blocks"]
    assert line(table.split("\n\n")[1], "row")[3] == f"ours, {PLAIN}"
    assert line(table, "(`pose-hpm`)")[3] == "59.00 (1)"
    assert line(table.split("\n\n")[3], "`pose-bottleneck`")[1] == "90.5 / 70.00"
    assert "not plain means" not in table
    assert line(found["claims"], "(`hpm-over-bottleneck`)")[4] == f"+9.50 {PLAIN}"
    rows = list(csv.DictReader(io.StringIO(report.rows_csv(ledger, outcomes, size))))
    hpm = next(row for row in rows if row["row"] == "pose-hpm")
    assert (hpm["metric"], hpm["mean"], hpm["scores"]) == (PLAIN, "59.0", "59.0000")
    assert pictures.side_by_side(ledger, outcomes, tmp_path / "a.png")

    finished(tmp_path, "pose-wider", 0, 55.0)  # an older run
    table = parts(ledger, tmp_path)["blocks"]
    assert line(table.split("\n\n")[1], "row")[3] == "ours, PCKh@0.5"
    assert line(table, "(`pose-hpm`)")[3] == "60.00 (1)"
    assert "not plain means over joints as published totals are: 1 of 3 runs here were scored without these." in table
    assert pictures.side_by_side(ledger, read_outcomes(tmp_path, ledger.rows.values()), tmp_path / "b.png")


def test_beside_the_papers_faces_stands_the_mean_of_the_bins(ledger: Ledger, out: Path, tmp_path: Path) -> None:
    assert "Ours are means over faces, not over the three bins of yaw" in parts(ledger, out)["faces"]
    finished(out, "face-hpm", 0, {"NME_ioc": 8.0, "NME_box": 4.5, "NME_box/yaw_mean": 5.5})
    table = parts(ledger, out)["faces"]
    assert line(table.split("\n\n")[1], "(`face-hpm`)")[3] == "5.50 (1)"
    assert "NME_box/yaw_mean" in table
    assert "three bins" not in table


def test_methods_of_others_and_further_norms(ledger: Ledger, out: Path) -> None:
    table = parts(ledger, out)["faces"]
    assert line(table, "SDM (300W-LP) (`face-sdm`)")[1:4] == ["6.12", "C-hi", "a method of others"]
    scores, _, details = table.split("\n\n")[1:4]
    assert line(scores, "(`face-hpm`)")[3] == "4.50 (1)"
    names = line(details, "ours")
    hpm = dict(zip(names, line(details, "`face-hpm`"), strict=True))
    assert (hpm["NME_ioc"], hpm["yaw_0_30"], hpm["yaw_30_60"]) == ("- / 8.00", "2.47 / 3.25", "3.01")


def test_claims(ledger: Ledger, out: Path) -> None:
    claims = parts(ledger, out)["claims"]
    lost = line(claims, "(`hpm-over-bottleneck`)")
    assert lost[1:] == ["+8.8", "C-hi", "**did not hold**", "-2.50 ± 0.71 PCKh@0.5", "2", "-"]
    assert line(claims, "(`max-over-average-pooling`)")[1:5] == ["+4.1", "C-med", "**held**", "+10.50 ± 0.71 PCKh@0.5"]
    assert line(claims, "(`wider-over-bottleneck`)")[3:] == [
        "**not run**", "-", "0", "pose-wider seed 0: the loss / is nan",
    ]  # fmt: skip
    idle = claims.splitlines()[-1]
    assert idle.startswith("Not run: deeper-block, ")
    assert "face-hpm-over-bottleneck" in idle
    assert "wider-over-bottleneck" not in idle


def test_conditions_name_the_data_but_not_its_place(ledger: Ledger, out: Path) -> None:
    text = parts(ledger, out)["conditions"]
    assert '| pose | `data.train` | ["lsp:lsp"] |' in text
    assert "| pose | `optim.steps` | 100 |" in text
    assert "| pose | test pictures | 50 |" in text
    assert "| parts |" not in text
    assert "somewhere" not in "".join(parts(ledger, out).values())


def test_failures(ledger: Ledger, out: Path) -> None:
    assert "| `pose-wider` | 0 | 4 | the loss / is nan |" in parts(ledger, out)["failures"]


def test_nothing_run_is_said(ledger: Ledger, tmp_path: Path) -> None:
    found = parts(ledger, tmp_path)
    assert found["conditions"] == "No run is finished."
    assert found["failures"] == "No run failed."
    assert found["claims"].startswith("Not run: deeper-block, ")


def test_csv_holds_the_same_numbers(ledger: Ledger, out: Path) -> None:
    outcomes = read_outcomes(out, ledger.rows.values())
    rows = {row["row"]: row for row in csv.DictReader(io.StringIO(report.rows_csv(ledger, outcomes, size)))}
    assert rows.keys() == ledger.rows.keys()
    hpm = rows["pose-hpm"]
    assert (hpm["paper"], hpm["mean"], hpm["seeds"], hpm["scores"]) == ("76.0", "51.0", "0 1", "50.0000 52.0000")
    assert float(hpm["spread"]) == pytest.approx(2**0.5)
    assert (hpm["model_file_bytes"], hpm["packed_binary_weight_bytes"], hpm["steps"]) == ("40000", "1000", "100")
    assert (rows["pose-wider"]["failed_seeds"], rows["pose-wider"]["mean"]) == ("0", "")
    assert (rows["face-hpm"]["metric"], rows["face-hpm"]["spread"]) == ("NME_box", "")
    verdicts = [judge(claim, ledger, outcomes) for claim in ledger.claims.values()]
    claims = {row["claim"]: row for row in csv.DictReader(io.StringIO(report.claims_csv(verdicts)))}
    assert claims["hpm-over-bottleneck"]["verdict"] == "did not hold"
    assert float(claims["hpm-over-bottleneck"]["gain"]) == -2.5
    assert claims["face-hpm-over-bottleneck"]["gain"] == ""


# ---------------------------------------------------------------------------------------------------- pages


def test_blocks_are_written_between_their_marks(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("Prose ä.\n<!-- ledger:claims -->\nold\n<!-- /ledger:claims -->\nMore.\n")
    for text in ("| new |", "| newer |"):
        report.fill(page, {"claims": text, "blocks": "x"})
        assert page.read_text() == (f"Prose ä.\n<!-- ledger:claims -->\n{text}\n<!-- /ledger:claims -->\nMore.\n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Prose.\n", "has no place for a block: write <!-- ledger:claims -->"),
        ("<!-- ledger:claim -->\n<!-- /ledger:claim -->\n", "there is no block claim, only claims, blocks"),
        ("<!-- ledger:claims -->\nold\n", "<!-- ledger:claims --> lacks its <!-- /ledger:claims -->"),
    ],
)
def test_a_page_without_places_stays_as_it_is(tmp_path: Path, text: str, message: str) -> None:
    page = tmp_path / "page.md"
    page.write_text(text)
    with pytest.raises(UserError, match=message):
        report.fill(page, {"claims": "x", "blocks": "y"})
    assert page.read_text() == text
    with pytest.raises(UserError, match="cannot read"):
        report.fill(tmp_path / "nowhere.md", {"claims": "x"})


def test_the_projects_own_page_has_a_place_for_every_block(ledger: Ledger, out: Path, tmp_path: Path) -> None:
    text = (Path(__file__).parents[3] / "docs" / "ledger.md").read_text(encoding="utf-8")
    page = tmp_path / "ledger.md"
    page.write_text(text, encoding="utf-8")
    blocks = parts(ledger, out)
    report.fill(page, blocks)
    for block in blocks.values():
        assert block in page.read_text(encoding="utf-8")


# -------------------------------------------------------------------------------------------------- pictures


def test_pictures(ledger: Ledger, out: Path) -> None:
    outcomes = read_outcomes(out, ledger.rows.values())
    verdicts = [judge(claim, ledger, outcomes) for claim in ledger.claims.values()]
    both, lost = out / "both.png", out / "lost.png"
    assert pictures.side_by_side(ledger, outcomes, both)
    assert pictures.lost_claims(verdicts, outcomes, lost)
    with Image.open(both) as picture:
        assert picture.size == (1000, 100 * (0.3 * ((3 + 2) + (1 + 2)) + 0.5))  # two tasks: three rows, one row
    with Image.open(lost) as picture:
        assert picture.size == (1000, 260)  # one claim


def test_no_pictures_of_nothing(ledger: Ledger, tmp_path: Path) -> None:
    outcomes = read_outcomes(tmp_path, ledger.rows.values())
    assert not pictures.side_by_side(ledger, outcomes, tmp_path / "a.png")
    assert not pictures.lost_claims([], outcomes, tmp_path / "b.png")
    assert list(tmp_path.iterdir()) == []
