"""What the cards of models say is so: facts of the files, the recipe, and, where the data are, the accuracy."""

import importlib.util
import json
import re
import runpy
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from hbcore import StackedHourglass, load_model
from hbcore.landmarks.heatmaps import HeatmapCodec
from hbcore.landmarks.landmarker import model_names
from hbcore.landmarks.squares import CropRule
from tests.data_sets import DATA, needs_data
from training.configuration.effects import without_effect
from training.configuration.toml import load
from training.labels.face_skeletons import IBUG68
from training.labels.skeletons import LSP
from training.prediction.model import Model
from training.tasks.face import FACE
from training.tasks.finder import FINDER
from training.tasks.parts import PARTS
from training.tasks.pose import POSE

ROOT = Path(__file__).parents[2]
NUMBERS = re.compile(r"\d+(?:\.\d+)?")


@pytest.fixture
def cards(monkeypatch):
    spec = importlib.util.spec_from_file_location("cards", ROOT / "docs" / "cards.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return module


def test_cards_say_what_the_files_are(cards, capsys):
    assert cards.main(["--check"]) == 0
    assert {path.stem for path in cards.CARDS.glob("*.md")} == {"TEMPLATE", *model_names()}
    listed = re.findall(r"^\| `(.+?)` \|", (cards.MODELS / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert listed == model_names()


def test_a_card_that_is_wrong_or_missing_is_named_in_one_line(cards, capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(cards, "ROOT", tmp_path)
    monkeypatch.setattr(cards, "CARDS", tmp_path)
    shutil.copy(cards.MODELS / f"{model_names()[0]}.safetensors", tmp_path)
    monkeypatch.setattr(cards, "MODELS", tmp_path)
    assert cards.main(["--check"]) == 1
    card = tmp_path / f"{model_names()[0]}.md"
    card.write_text("nothing")
    assert cards.main(["--check"]) == 1
    card.write_text(f"{cards.BEGIN}\n{cards.END}\n")
    monkeypatch.setattr(cards, "facts", lambda path: "| new |")
    assert cards.main(["--check"]) == 1
    assert cards.main([]) == 0
    assert card.read_text() == f"{cards.BEGIN}\n\n| new |\n\n{cards.END}\n"
    assert [line.partition(":")[2] for line in capsys.readouterr().err.splitlines()] == [
        f" there is no {card.name}: copy docs/models/TEMPLATE.md",
        f" {card.name} has no place for facts: {cards.BEGIN} and {cards.END}",
        f" {card.name} is out of date: run python docs/cards.py",
    ]


@pytest.mark.parametrize("name", model_names())
def test_the_recipe_makes_the_network_of_the_model(name):
    recipe = tomllib.loads((ROOT / "training" / "recipes" / f"{name}.toml").read_text(encoding="utf-8"))
    _, header = load_model(ROOT / "hbcore" / "models" / f"{name}.safetensors")
    assert {key: header["architecture"][key] for key in recipe["model"]} == recipe["model"]
    assert header["trained"]["steps"] == recipe["optim"]["steps"]
    if header["task"] != "finder":  # which trains on scenes of another size than that of what it looks at
        assert header["codec"]["input_size"] == recipe["data"]["size"]


@pytest.mark.parametrize("name", model_names())
def test_every_setting_of_a_recipe_has_an_effect(name):
    _, header = load_model(ROOT / "hbcore" / "models" / f"{name}.safetensors")
    task = {task.name: task for task in (FACE, FINDER, PARTS, POSE)}[header["task"]]
    config = load(ROOT / "training" / "recipes" / f"{name}.toml", task.defaults())
    assert list(without_effect(config, task.defaults(), task.unused)) == []


def example(*words, script="04_accuracy"):
    command = [sys.executable, "-W", "error", f"examples/{script}.py", *map(str, words)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.fixture
def noise(tmp_path):
    """A model that was never trained and a folder of noise with points strewn over it."""
    folder, rng = tmp_path / "lfpw" / "testset", np.random.default_rng(0)
    folder.mkdir(parents=True)
    for place in range(3):
        Image.fromarray(rng.integers(0, 256, (90, 120, 3), dtype=np.uint8)).save(folder / f"{place}.png")
        points = rng.uniform(20, 80, (68, 2)).round(3)
        lines = [f"{x} {y}" for x, y in points]
        text = "\n".join(["version: 1", "n_points: 68", "{", *lines, "}", ""])
        (folder / f"{place}.pts").write_text(text)
    network = StackedHourglass(16, 68, depth=1, seed=1)
    model = tmp_path / "m.safetensors"
    Model(network, IBUG68, HeatmapCodec(32), task="face", crops=(CropRule("points", 1.3),)).save(model)
    return model, folder


def test_the_example_measures_what_eval_does(tmp_path, noise):
    """By two programs that share nothing but the library."""
    model, folder = noise
    done = example(model, folder)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 6
    faces, corners, low, high, pupils, box, area, above, sure = map(float, NUMBERS.findall(lines[2]))
    words = ["-m", "training.face", "eval", str(model), "--data", f"300w:{tmp_path}", "--json"]
    told = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    metrics = json.loads(told)["metrics"]
    assert (faces, sure) == (3, 0)
    assert low < corners < high
    expected = [metrics[name] for name in ("NME_ioc", "NME_pupil", "NME_box", "AUC@0.08", "FR@0.08")]
    assert np.abs(np.subtract([corners, pupils, box, area, above], expected)).max() <= 0.051


def test_the_limits_begin_with_what_the_accuracy_is(noise):
    done = example(*noise, script="08_limits")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    error = float(NUMBERS.findall(lines[2])[0])
    assert lines[2].startswith("| nothing changed | ")
    assert error == pytest.approx(float(NUMBERS.findall(example(*noise).stdout.splitlines()[2])[1]), abs=0.051)
    assert len(lines) == 19


def test_the_limits_of_parts_begin_with_what_eval_says(tmp_path, noise, capsys, monkeypatch):
    _, folder = noise
    limits = runpy.run_path(str(ROOT / "examples" / "10_part_limits.py"))
    for name in set(limits["HOW"]) - {"nothing changed", "turned by 180 degrees"}:
        monkeypatch.delitem(limits["HOW"], name)
    limits["main"]("parts7-small", [str(folder)])
    head, _, first, second = capsys.readouterr().out.splitlines()
    words = ["-m", "training.parts", "eval", "parts7-small", "--data", f"300w:{tmp_path}", "--json"]
    told = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    metrics = json.loads(told)["metrics"]
    names = ["mIoU", *(f"mIoU/{name}" for name in head.strip("| ").split(" | ")[2:])]
    assert first == f"| nothing changed | {' | '.join(f'{metrics[name]:.1f}' for name in names)} |"
    assert second.startswith("| turned by 180 degrees | ")
    assert second.partition(" degrees")[2] != first.partition(" changed")[2]


def test_the_limits_of_poses_begin_with_what_eval_says(tmp_path):
    """Of a model that was never trained, and of three people."""
    rng = np.random.default_rng(0)
    (tmp_path / "images").mkdir()
    for number in (1001, 1002, 1003):
        Image.fromarray(rng.integers(0, 256, (90, 120, 3), np.uint8)).save(tmp_path / "images" / f"im{number}.jpg")
    joints = rng.uniform(1, 90, (3, 14, 1003))
    joints[2] = 0
    joints[:2, 9], joints[:2, 2] = 1, 90  # shoulder and hip, so far apart that some joints are found by chance
    savemat(tmp_path / "joints.mat", {"joints": joints})
    model = tmp_path / "m.safetensors"
    network = StackedHourglass(16, 14, depth=1, seed=1)
    Model(network, LSP, HeatmapCodec(32), task="pose", crops=(CropRule("picture"),)).save(model)
    done = example(model, tmp_path, script="11_pose_limits")
    assert done.returncode == 0, done.stderr
    people, share, low, high, exchanged, sure = map(float, NUMBERS.findall(done.stdout.splitlines()[2])[-6:])
    words = ["-m", "training.pose", "eval", str(model), "--data", f"lsp:{tmp_path}", "--json"]
    told = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    metrics = json.loads(told)["metrics"]
    assert (people, sure) == (3, 0)
    assert low <= share <= high
    assert share > 0
    assert share <= exchanged
    assert share == pytest.approx(metrics["PCK@0.2"], abs=0.051)
    joints = [float(number) for number in NUMBERS.findall(done.stdout.splitlines()[-1].partition("@0.2")[2])]
    expected = [metrics[f"PCK@0.2/{name}"] for name in LSP.names]
    np.testing.assert_allclose(joints, expected, atol=0.051)


def test_the_speed_of_a_model_is_printed():
    done = example("face68-micro", script="12_speed")
    assert done.returncode == 0, done.stderr
    whole, network = map(float, NUMBERS.findall(done.stdout))
    assert 0 <= network < whole


@pytest.mark.parametrize(("change", "value"), [("shrunk", 20), ("turned", 30), ("turned", 180), ("dark", 0.5)])
def test_points_stay_on_what_they_mark(change, value):
    """Two squares of 5 x 5 white pixels and their centres."""
    limits = runpy.run_path(str(ROOT / "examples" / "08_limits.py"))
    truth = np.array([[30.0, 40.0], [70.0, 60.0]])
    for point in range(2):
        picture = np.zeros((100, 120, 3), np.uint8)
        x, y = truth[point].astype(int)
        picture[y - 2 : y + 3, x - 2 : x + 3] = 255
        changed, points = limits[change](value)(picture, truth)
        light = changed[..., 0].astype(np.float64)
        found = [(light.sum(axis=axis) * np.arange(light.shape[1 - axis])).sum() / light.sum() for axis in (0, 1)]
        np.testing.assert_allclose(found, points[point], atol=0.1)  # of a pixel: levels are rounded


@pytest.mark.parametrize("script", ["04_accuracy", "08_limits", "10_part_limits"])
@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "usage: "),
        (["moon", "FOLDER"], "unknown model 'moon'"),
        (["MODEL", "FOLDER"], "there is no .pts file in "),
    ],
)
def test_the_example_says_what_is_wrong_in_one_line(tmp_path, words, message, script):
    meant = {"MODEL": "parts7-small" if script == "10_part_limits" else "face68-tiny", "FOLDER": tmp_path}
    done = example(*[meant.get(word, word) for word in words], script=script)
    assert done.returncode == 1
    assert done.stderr.startswith(message)
    assert done.stderr.count("\n") == 1


@needs_data("300w/lfpw/testset")
@pytest.mark.parametrize("name", [name for name in model_names() if name.startswith("face68-")])
def test_the_accuracy_of_the_card_is_what_the_example_prints(name):
    """Up to what another kind of CPU rounds otherwise."""
    card = (ROOT / "docs" / "models" / f"{name}.md").read_text(encoding="utf-8")
    table = re.search(r"^\| boxes .*?\n\n", card, re.MULTILINE | re.DOTALL)
    assert table
    done = example(name, DATA / "300w" / "lfpw" / "testset")
    stated, printed = table[0].strip().splitlines(), done.stdout.strip().splitlines()
    assert len(stated) == len(printed) == 6
    assert stated[0] == printed[0]
    for mine, theirs in zip(stated[2:], printed[2:], strict=True):
        assert NUMBERS.sub("", mine) == NUMBERS.sub("", theirs)
        rows = [[float(number) for number in NUMBERS.findall(line)[-9:]] for line in (mine, theirs)]
        away = np.abs(np.subtract(*rows))
        assert away[0] == 0  # faces
        assert away[1:6].max() <= 0.05  # NME and its interval
        assert away[6:].max() <= 0.5


@needs_data("lsp")
@pytest.mark.parametrize("name", [name for name in model_names() if name.startswith("pose14-")])
def test_the_accuracy_of_a_pose_card_is_what_the_example_prints(name, capsys, monkeypatch):
    """Its first row and its joints, up to what another kind of CPU rounds otherwise."""
    card = (ROOT / "docs" / "models" / f"{name}.md").read_text(encoding="utf-8")
    limits = runpy.run_path(str(ROOT / "examples" / "11_pose_limits.py"))
    for change in set(limits["HOW"]) - {"nothing changed"}:
        monkeypatch.delitem(limits["HOW"], change)
    limits["main"](name, DATA / "lsp")
    printed = capsys.readouterr().out.splitlines()
    for begin in ("| nothing changed |", "| PCK@0.2 |"):
        (stated,) = (line for line in card.splitlines() if line.startswith(begin))
        (measured,) = (line for line in printed if line.startswith(begin))
        assert NUMBERS.sub("", stated) == NUMBERS.sub("", measured)
        rows = [[float(number) for number in NUMBERS.findall(line)] for line in (stated, measured)]
        assert np.abs(np.subtract(*rows)).max() <= 0.3  # a joint of one of 500 people is 0.2, and 0.1 is rounding


@needs_data("300w/lfpw/testset")
def test_the_accuracy_of_the_card_of_parts_is_what_the_example_prints(capsys, monkeypatch):
    """Its first row, up to what another kind of CPU rounds otherwise."""
    card = (ROOT / "docs" / "models" / "parts7-small.md").read_text(encoding="utf-8")
    limits = runpy.run_path(str(ROOT / "examples" / "10_part_limits.py"))
    for change in set(limits["HOW"]) - {"nothing changed"}:
        monkeypatch.delitem(limits["HOW"], change)
    limits["main"]("parts7-small", [str(DATA / "300w" / "lfpw" / "testset")])
    head, line, measured = capsys.readouterr().out.splitlines()
    assert f"{head}\n{line}\n" in card
    (stated,) = (row for row in card.splitlines() if row.startswith("| nothing changed |"))
    rows = [[float(number) for number in NUMBERS.findall(row)] for row in (stated, measured)]
    assert len(rows[0]) == len(rows[1]) == 8
    assert np.abs(np.subtract(*rows)).max() <= 0.3
