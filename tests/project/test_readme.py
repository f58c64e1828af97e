"""What the README and the examples show is what they do."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def run(arguments: list[str]) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_library_example_prints_what_the_readme_says() -> None:
    match = re.search(r"```python\n(.*?)```\n\nprints\n\n```text\n(.*?)```", README, re.DOTALL)
    assert match
    program, printed = match.groups()
    assert run(["-c", program]) == printed


DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_paths_in_documents_exist(document: Path) -> None:
    """Links, and what looks like a path of the checkout. The changelog may name what was."""
    text = document.read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link]
    assert not [link for link in links if not (document.parent / link).exists()]
    if document.name != "CHANGELOG.md":
        paths = re.findall(r"`((?:hbcore|training|tests|docs|examples|\.ci)/[\w./-]*)", text)
        paths += [f"hbcore/{path}" for path in re.findall(r"`(csrc/[\w./-]+)", text)]
        assert not [path for path in paths if not (ROOT / path).exists()]


def test_the_changelog_says_where_modules_have_gone() -> None:
    rows = re.findall(r"^\| `[\w.]+` \| (.*) \|$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    names = [name for row in rows for name in re.findall(r"`((?:hbcore|training)\.[\w.]+)`", row)]
    places = [ROOT / name.replace(".", "/") for name in names if name != "hbcore.kernels.backend"]
    assert places
    assert not [place for place in places if not (place.is_dir() or place.with_suffix(".py").exists())]


def test_the_example_of_derivatives_prints_those_done_by_hand() -> None:
    """y = relu(1 0.5) + relu(-2 0.25) + relu(3 -1): only the first product is positive."""
    numbers = dict(re.findall(r"^(\S+) +(.*)$", run(["examples/01_autograd.py"]), re.M))
    assert float(numbers["y"]) == 0.5
    assert [float(word) for word in numbers["dy/dx"].strip("[]").split()] == [0.5, 0, 0]
    assert [float(word) for word in numbers["dy/dw"].strip("[]").split()] == [1, 0, 0]
    assert numbers["gradcheck"].endswith(": True")


def test_the_example_of_bits_prints_what_they_are() -> None:
    """The same pixel without packing: signs from the same random numbers, and their product in floats."""
    text = run(["examples/02_bits.py"])
    rng = np.random.default_rng(0)
    weights = rng.standard_normal((3, 3, 5, 2))[..., 0]
    picture = rng.standard_normal((1, 6, 6, 5), dtype=np.float32)[0, 1:4, 2:5]
    alpha = np.abs(np.sqrt(2 / 45) * weights).mean()
    integer = int((np.where(picture < 0, -1, 1) * np.where(weights < 0, -1, 1)).sum())

    def bits(values: np.ndarray) -> str:
        return "".join(
            "01"[int(value < 0)] for value in values[::-1]
        )  # 1 is negative, the first channel the last digit

    taps = re.findall(r"tap \((\d), (\d)\)  x (\d+)  w (\d+)  xor (\d+)", text)
    assert len(taps) == 9
    for i, j, x, w, xor in taps:
        place = int(i), int(j)
        assert (x, w) == (bits(picture[place]), bits(weights[place]))
        assert int(xor, 2) == int(x, 2) ^ int(w, 2)
    differing = sum(xor.count("1") for *_, xor in taps)
    assert 45 - 2 * differing == integer
    line = f"{differing} of 45 bits differ: 45 - 2 * {differing} = {integer}, times alpha {alpha:.4f}"
    assert f"{line} = {integer * alpha:.4f}\n" in text
    assert f"layer: {integer * alpha:.4f} | packed equals simulated: True\n" in text


def test_the_example_of_networks_prints_the_published_sizes_and_finds_its_landmarks() -> None:
    """See `tests/hbcore/nn/test_networks.py` for where the sizes come from."""
    text = run(["examples/03_network.py"])
    sizes = dict(re.findall(r"^([a-z]+(?: [a-z]+)*)  +([\d,]+)$", text, re.M))
    assert sizes["binary weights"] == "6,207,488"
    assert sizes["parameters"] == "6,236,560"
    assert sizes["binary macs"] == "8,042,381,312"
    losses = [float(loss) for loss in re.findall(r"^step +\d+  loss ([\d.]+)$", text, re.M)]
    assert len(losses) == 4
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < losses[0] / 10
    assert re.findall(r"landmark (\d) at row (\d), column (\d)", text) == [("0", "2", "5"), ("1", "6", "1")]


def test_every_example_is_looked_at() -> None:
    """04, 08 and 10 to 12 in `test_cards.py`, 05 to 07 in `test_finding_examples.py`, 09 in `test_few_pictures.py`."""
    names = {path.name for path in (ROOT / "examples").glob("*.py")}
    assert names == {"01_autograd.py", "02_bits.py", "03_network.py", "04_accuracy.py"} | {
        "05_boxes.py",
        "06_film.py",
        "07_finding.py",
        "08_limits.py",
        "09_few_pictures.py",
        "10_part_limits.py",
        "11_pose_limits.py",
        "12_speed.py",
    }
