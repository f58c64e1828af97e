"""Points of a table, in the pixels that the network sees: by hand."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hbcore import save_model
from hbcore.inspect import __main__ as entry
from hbcore.inspect.subject import InspectError, Subject
from hbcore.inspect.truth import Truth, read_truth
from hbcore.inspect.views.robustness import answers, shifts
from tests.command_lines import Outcome
from tests.hbcore.inspect.models import HEADER, PARTS, model


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_model(model(), "m.safetensors", HEADER)
    save_model(model(), "parts.safetensors", PARTS)
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save("one.png")


def subject(boxes=None):
    """A picture of 64 pixels, seen in 32: a point at 2 x + 0.5 is at x."""
    photo = np.zeros((64, 64, 3), dtype=np.uint8)
    return Subject.read("m.safetensors").looking_at([("one.png", photo, boxes)])


def test_points_are_found_by_picture_instance_and_name():
    Path("t.csv").write_text(
        "picture,instance,name,x,y,score\none.png,1,a,20.5,10.5,1\none.png,2,b,1,1,1\nelsewhere.png,1,c,1,1,1\n"
        "one.png,1,c,0.5,62.5,1\none.png,1,unknown,1,1,1\n"
    )
    found = read_truth(Path("t.csv"), subject())
    assert found[0, 0].tolist() == [10, 5]
    assert np.isnan(found[0, 1]).all()
    assert found[0, 2].tolist() == [0, 31]
    pair = read_truth(Path("t.csv"), subject(np.array([[-0.5, -0.5, 63.5, 63.5]] * 2)))
    assert np.isfinite(pair[:, :, 0]).tolist() == [[True, False, True], [False, True, False]]


def test_pictures_of_the_same_name_have_their_own_points():
    """Two folders with a 1.png each; what lies elsewhere counts by its name only where there is one of that name."""
    photo = np.zeros((64, 64, 3), dtype=np.uint8)
    looking = Subject.read("m.safetensors").looking_at([(name, photo, None) for name in ("a/1.png", "b/1.png")])
    Path("t.csv").write_text("picture,name,x,y\na/1.png,a,10.5,10.5\nb/1.png,a,60.5,60.5\n")
    assert read_truth(Path("t.csv"), looking)[:, 0].tolist() == [[5, 5], [30, 30]]
    elsewhere = looking.looking_at([(name, photo, None) for name in ("c/1.png", "b/1.png")])
    found = read_truth(Path("t.csv"), elsewhere)[:, 0]
    assert np.isnan(found[0]).all()
    assert found[1].tolist() == [30, 30]
    Path("t.csv").write_text("picture,name,x,y\nelsewhere/1.png,a,10.5,10.5\n")
    assert read_truth(Path("t.csv"), looking)[:, 0].tolist() == [[5, 5], [5, 5]]


def test_the_error_is_the_distance_from_the_truth():
    looking = Subject.read("m.safetensors")
    truth = answers(looking).astype(float) + np.array([3, 4])  # five pixels of 32 away, where anything is known
    truth[0, 1] = np.nan
    (found,) = shifts(looking, answers(looking), "weights", [0], 2, Truth(truth, np.array([32.0])))
    assert found.error == pytest.approx(100 * 5 / 32)
    (found,) = shifts(looking, answers(looking), "weights", [0], 2)
    assert found.error is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("picture,name,x\n", "t.csv: has no column 'y'"),
        ("picture,name,x,y\none.png,a,1,north\n", "t.csv, line 2: needs a picture, a name, x and y"),
        ("picture,name,x,y\none.png,a,1\n", "t.csv, line 2: needs a picture, a name, x and y"),
        ("picture,name,x,y\none.png,a,1,inf\n", "t.csv, line 2: needs a picture, a name, x and y"),
        ("picture,name,x,y\none.png,a,nan,1\n", "t.csv, line 2: needs a picture, a name, x and y"),
        ("picture,name,x,y\ntwo.png,a,1,1\n", "t.csv: has no point of these pictures"),
        ("picture,name,x,y\none.png,d,1,1\n", "t.csv: has no point of these pictures"),
    ],
)
def test_bad_tables_are_named(text, message):
    Path("t.csv").write_text(text)
    with pytest.raises(InspectError, match=message):
        read_truth(Path("t.csv"), subject())


def test_the_command(capsys):
    Path("t.csv").write_text("picture,name,x,y\none.png,a,1,1\n")
    words = "robustness", "m.safetensors", "one.png", "--flips", 5, "--seeds", 1, "--points"
    said = json.loads(Outcome(entry.main, capsys, *words, "t.csv", "--json").out)
    assert [s["flips"] for s in said["shifts"]] == [0, 5, 0, 5]
    assert all(s["error"] > 0 for s in said["shifts"])
    assert "error: distance from the points of the table" in Outcome(entry.main, capsys, *words, "t.csv").out
    Outcome(entry.main, capsys, *words, "none.csv").fails(3, "--points: none.csv: No such file or directory")
    message = "--points: parts.safetensors has no points"
    Outcome(entry.main, capsys, "robustness", "parts.safetensors", *words[2:], "t.csv").fails(3, message)


def test_a_model_that_needs_boxes_says_so(capsys):
    save_model(model(), "boxes.safetensors", HEADER | {"crops": [{"around": "box", "margin": 1.25}]})
    outcome = Outcome(entry.main, capsys, "bits", "boxes.safetensors", "one.png")
    assert (outcome.code, outcome.errors.count("\n")) == (0, 1)
    assert "give it --boxes" in outcome.errors
    assert Outcome(entry.main, capsys, "summary", "boxes.safetensors").errors == ""


def test_errors_in_another_length_and_points_that_are_found():
    """A picture whose points are 3 pixels away from the truth, and one without a known length."""
    points = np.array([[[0.0, 0], [0, 0], [np.nan] * 2], [[0, 0]] * 3])
    truth = Truth(points, np.array([10, np.nan]), 0.35)
    wrong = truth.errors(points + np.array([3, 0]))
    assert wrong[0, :2].tolist() == [30, 30]
    assert np.isnan(wrong[0, 2])
    assert np.isnan(wrong[1]).all()


def test_the_command_measures_nme_and_pck(capsys):
    Path("t.csv").write_text("picture,name,x,y\none.png,a,0,0\none.png,b,30,40\n")  # 25 input pixels apart
    words = ["robustness", "m.safetensors", "one.png", "--flips", "1", "--seeds", "1", "--points", "t.csv"]
    said = Outcome(entry.main, capsys, *words, "--norm", "a,b", "--near", "1e9", "--json")
    plain = Outcome(entry.main, capsys, *words, "--json")
    (ours, *_), (other, *_) = (json.loads(outcome.out)["shifts"] for outcome in (said, plain))
    assert ours["error"] == pytest.approx(other["error"] * 32 / 25)
    assert (ours["within"], other["within"]) == (100, None)
    told = Outcome(entry.main, capsys, *words, "--norm", "a,b", "--near", "0.1").out
    assert "of the distance of a and b; found: points with an error of at most 10 %" in told
    for more, message in (
        (["--norm", "a,d"], "--norm a,d: 'd' is no point of this model; similar: "),
        (["--norm", "a"], "--norm a: name two points, A,B"),
        (["--norm", "a,a"], "--norm a,a: name two points, A,B"),
        (["--norm", "a,c"], "t.csv has both points of no picture"),
        (["--near", "0"], "--near 0: a share above 0"),
    ):
        Outcome(entry.main, capsys, *words, *more).fails(3, message)
    Outcome(entry.main, capsys, *words[:-2], "--near", "1").fails(3, "name a table of the truth with --points")
