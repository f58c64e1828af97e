"""Benchmarks of another checkout: it is that checkout's code that runs, ratios are its figures over ours."""

import json

import pytest

import hbcore
from benchmarks import against
from benchmarks.__main__ import main
from benchmarks.peers import Missing
from benchmarks.settings import Settings

FILES = {
    "hbcore/__init__.py": "def kernel_report():\n    return {'kernels': 'theirs'}\n",
    "hbcore/kernels.py": "def keep_memory():\n    return None\n",
    "benchmarks/__init__.py": "",
    "benchmarks/memory.py": "def peak_megabytes():\n    return 7.5\n",
    "benchmarks/peers/__init__.py": "",
    "benchmarks/peers/ours.py": "def threads(count):\n    return lambda: print(end='')\n",
    "benchmarks/step.py": """
def training_step(*arguments):
    def run():
        with open({log!r}, "a") as log:
            print(*arguments, file=log)
    return run
""",
}


@pytest.fixture
def checkout(tmp_path):
    """A folder that looks like a checkout, whose training step writes into the file `log` what it was asked for."""
    for name, text in FILES.items():
        path = tmp_path / "theirs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace("{log!r}", repr(str(tmp_path / "log"))), encoding="utf-8")
    return tmp_path / "theirs"


def test_the_other_checkout_does_the_work(checkout):
    with against.Served(checkout, "binary", 2, 16, 32, 3) as served:
        assert served.head == {"kernels": "theirs", "hbcore": str(checkout / "hbcore" / "__init__.py")}
        served.run()
        served.run()
        assert served.peak() == 7.5
    assert served.process.returncode == 0
    assert (checkout.parent / "log").read_text(encoding="utf-8") == "hbcore True 16 32 3\n" * 2


def test_our_own_checkout_may_be_the_other(needs_kernels):
    with against.Served(against.HERE, "network", 1, *against.SMALLEST) as served:
        assert served.head == {"hbcore": hbcore.__file__, **hbcore.kernel_report()}
        served.run()
        assert served.peak() > 10


@pytest.fixture
def needs_kernels():
    if hbcore.kernel_report()["kernels"] == "numpy":
        pytest.skip("a checkout without kernels is not measured")


def test_ratios_are_theirs_over_ours(checkout, needs_kernels):
    works = {"binary step": ("binary", 1), "real-valued step": ("real", 1)}
    table = against.table(Settings(1, 0.1, tiny=True, against=checkout), "training step", works, 16, 32, 2)
    rows = {row.name: row for row in table.rows}
    assert list(rows) == [f"{whose}, {name}" for name in works for whose in ("hbcore", "the other")]
    for name in works:
        mine, theirs = rows[f"hbcore, {name}"], rows[f"the other, {name}"]
        assert (mine.ratio, theirs.against) == (None, mine.name)
        assert theirs.ratio.median == pytest.approx(theirs.value.median / mine.value.median)
        peak = table.facts[f"peak memory of hbcore, {name}, MB"].value
        assert table.facts[f"peak memory of the other, {name}, MB"].value == 7.5
        assert table.facts[f"peak memory of the other / of hbcore, {name}"].value == pytest.approx(7.5 / peak, rel=0.01)


def test_what_the_other_cannot_do_is_absent(checkout, needs_kernels):
    (checkout / "benchmarks" / "step.py").write_text(
        "def training_step(way, binary, *sizes):\n    if not binary:\n        raise ValueError('only bits')\n"
        "    def run():\n        raise SystemExit('no more')\n    return run\n",
        encoding="utf-8",
    )
    works = {"binary step": ("binary", 1), "real-valued step": ("real", 1)}
    table = against.table(Settings(1, 0.1, tiny=True, against=checkout), "training step", works, 16, 32, 2)
    assert [row.name for row in table.rows] == ["hbcore, binary step", "hbcore, real-valued step"]
    assert {absent.name: absent.reason for absent in table.absent} == {
        "the other, binary step": "no more",
        "the other, real-valued step": "ValueError: only bits",
    }


@pytest.mark.parametrize("how", ["NumPy", "modules of another checkout"])
def test_a_checkout_without_kernels_of_its_own_is_refused(checkout, monkeypatch, how):
    """An editable install finds modules that a package lacks: here, kernels of another checkout."""
    monkeypatch.delenv("HBCORE_KERNELS", raising=False)
    text = FILES["hbcore/__init__.py"]
    if how == "NumPy":
        text = text.replace("theirs", "numpy")
    else:
        (checkout.parent / "_wide.py").write_text("", encoding="utf-8")
        text += f"__path__.append({str(checkout.parent)!r})\nimport hbcore._wide\n"
    (checkout / "hbcore" / "__init__.py").write_text(text, encoding="utf-8")
    with pytest.raises(Missing, match=r"^it is not built: run `python setup.py build_ext --inplace` there$"):
        against.Served(checkout, "binary", 1, 16, 32, 2)


def test_table_end_to_end(tmp_path, capsys, needs_kernels, one_thread_after):
    out = tmp_path / "found.json"
    arguments = ["--tiny", "--only", "against", "--against", str(against.HERE)]
    assert main([*arguments, "--repeats", "1", "--seconds", "0.1", "--json", str(out)]) == 0
    found = json.loads(out.read_text(encoding="utf-8"))
    assert found["machine"]["against"] == {"checkout": str(against.HERE), **hbcore.kernel_report()}
    assert [len(table["rows"]) for table in found["tables"]] == [4, 4]
    printed = capsys.readouterr().out
    for table in found["tables"]:
        assert table["absent"] == []
        assert all(row["name"] in printed and row["value"]["median"] > 0 for row in table["rows"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--only", "step,against"], "error: the table against needs --against CHECKOUT\n"),
        (
            ["--against", "/no/such"],
            "error: --against /no/such: no checkout of hbcore with benchmarks: there is no hbcore/__init__.py\n",
        ),
    ],
)
def test_impossible_choices_are_one_line(arguments, message, capsys):
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", message)
