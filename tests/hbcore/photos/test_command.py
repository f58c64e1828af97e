"""`python -m hbcore landmarks`: photos in, CSV, JSON and overlays out; one line for all that goes wrong."""

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import hbcore
from hbcore import Landmarker, StackedHourglass, save_model
from hbcore import __main__ as entry
from hbcore.landmarks import landmarker
from hbcore.photos.boxes import BoxesError, read_boxes
from hbcore.photos.drawing import drawn
from tests.command_lines import Outcome

HEADER = {
    "task": "face",
    "skeleton": {"name": "three", "joints": ["a", "b", "c"], "edges": [[0, 1]], "flip_pairs": []},
    "codec": {"input_size": 64, "stride": 4, "sigma": 1.0},
    "output": "sigmoid",
    "confidence": {"threshold": 0.0, "right": 1.0, "wrong": 1.0, "crops": 5},
    "crops": [{"around": "picture", "margin": 1.0}],
}
PARTS = {
    "task": "parts",
    "parts": {"name": "colours", "names": ["none", "green", "blue"], "flip_pairs": []},
    "codec": {"input_size": 64, "stride": 4},
    "output": "softmax",
}


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """A folder with two photos and a model."""
    monkeypatch.chdir(tmp_path)
    for name, seed in (("one.png", 1), ("two.png", 2)):
        picture = np.random.default_rng(seed).integers(0, 256, (40, 60, 3), dtype=np.uint8)
        Image.fromarray(picture).save(name)
    model("m.safetensors")


def model(path, **changes):
    header = (PARTS if "parts" in changes else HEADER) | changes
    save_model(StackedHourglass(16, 3, depth=1, seed=1).eval(), path, header)


def run(capsys, *words):
    return Outcome(entry.main, capsys, "landmarks", *words)


def pixels(path):
    with Image.open(path) as image:
        return np.array(image)


def rows(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_points_of_photos_on_the_terminal(capsys):
    done = run(capsys, "one.png", "two.png", "--model", "m.safetensors")
    assert (done.code, done.errors) == (0, "")
    table = rows(done.out)
    assert [(row["picture"], row["instance"], row["name"]) for row in table] == [
        (photo, "1", name) for photo in ("one.png", "two.png") for name in "abc"
    ]
    (expected,) = Landmarker("m.safetensors")(pixels("two.png"))
    found = np.array([[row["x"], row["y"], row["score"]] for row in table[3:]], float)
    assert np.abs(found[:, :2] - expected.points).max() < 0.006
    assert np.abs(found[:, 2] - expected.scores).max() < 0.0001
    assert {row["sure"] for row in table} == {"1"}


def test_files_and_overlays_of_two_boxes(capsys):
    boxes = ("--boxes", "5,5,30,30", "--boxes=-4,10,50,35")
    words = ("one.png", "--model", "m.safetensors", *boxes, "--csv", "o.csv", "--json", "o.json", "--overlay", "seen")
    done = run(capsys, *words)
    assert (done.code, done.out, done.errors) == (0, "1 of 1 photos: seen, o.csv, o.json\n", "")
    assert [row["instance"] for row in rows(Path("o.csv").read_text())] == ["1"] * 3 + ["2"] * 3
    content = json.loads(Path("o.json").read_text())
    assert (content["model"], content["names"], content["edges"]) == ("m.safetensors", ["a", "b", "c"], [[0, 1]])
    first, second = content["pictures"][0]["instances"]
    assert (first["box"], second["box"]) == ([5, 5, 30, 30], [-4, 10, 50, 35])
    assert (np.shape(first["points"]), len(first["scores"]), first["sure"]) == ((3, 2), 3, True)
    assert pixels("seen/one.png").shape == (40, 60, 3)
    again = run(capsys, *words[:3], *boxes, "--overlay", "seen")
    assert again.out == "1 of 1 photos: seen\n"
    assert sorted(path.name for path in Path("seen").iterdir()) == ["one-2.png", "one.png"]


def test_boxes_from_a_file(capsys):
    Path("b.csv").write_text("picture,note,x0,y0,x1,y1\none.png,,1,1,20,20\none.png,,5,5,30,30\n")
    done = run(capsys, "one.png", "two.png", "--model", "m.safetensors", "--boxes", "b.csv")
    assert done.code == 0
    assert [row["instance"] for row in rows(done.out)] == ["1"] * 3 + ["2"] * 3
    assert done.errors == "landmarks: skipped: two.png: has no box in b.csv\n"


def test_classes_of_a_model_of_parts(capsys):
    model("p.safetensors", parts=PARTS["parts"])
    done = run(capsys, "one.png", "--model", "p.safetensors", "--overlay", "seen", "--csv", "o.csv")
    assert (done.code, done.errors) == (0, "")
    table = rows(Path("o.csv").read_text())
    assert [row["name"] for row in table] == ["none", "green", "blue"]
    assert {row["sure"] for row in table} == {""}
    mask = pixels("seen/one-mask.png")
    assert mask.shape == (40, 60)
    assert [float(row["share"]) for row in table] == pytest.approx([np.mean(mask == c) for c in range(3)], abs=1e-6)


def test_doubtful_answers_and_missing_boxes_are_told(capsys):
    change = {"confidence": HEADER["confidence"] | {"threshold": 0.99}, "crops": [{"around": "points", "margin": 1.3}]}
    model("d.safetensors", **change)
    done = run(capsys, "one.png", "--model", "d.safetensors")
    first, second = done.errors.splitlines()
    assert first == (
        "landmarks: this model was trained on squares around boxes, but looks at whole photos: give it --boxes"
    )
    assert second.startswith("landmarks: warning: one.png, 1: confidence 0.")
    assert "below 0.99: the answer is likely worthless" in second
    assert {row["sure"] for row in rows(done.out)} == {"0"}


def test_an_overlay_shows_points_and_lines_only_where_they_are_sure():
    grey = np.full((40, 60, 3), 90, np.uint8)
    (found,) = Landmarker("m.safetensors")(grey)
    points = np.array([(10, 10), (30, 10), (50, 30)], np.float32)
    fields = {"names": found.names, "box": np.array([2.0, 2, 57, 37]), "confidence": 0.5, "points": points}
    sure = drawn(grey, [landmarker.Instance(sure=True, **fields)], [(0, 1)])
    doubtful = drawn(grey, [landmarker.Instance(sure=False, **fields)], [(0, 1)])
    assert sure[10, 10].tolist() == [255, 240, 130]
    assert sure[10, 20].tolist() == [60, 170, 255]  # the line between the first two
    assert sure[20, 40].tolist() == [90, 90, 90]  # none to the third
    assert sure[2, 30].tolist() == [255, 255, 255]
    assert doubtful[2, 30].tolist() == [255, 90, 60]
    assert (doubtful[4:36, 4:56] == 90).all()
    assert (grey == 90).all()
    assert drawn(np.zeros((100, 3200, 3), np.uint8), [], []).shape == (50, 1600, 3)


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["one.png"], 2, "the following arguments are required: --model"),
        (["--model", "m.safetensors"], 2, "the following arguments are required: PHOTO"),
        (["one.png", "--model", "m.safetensors", "--bxes", "3"], 2, "unrecognized arguments: --bxes"),
        (["one.png", "--model", "moon"], 3, "unknown model 'moon': "),
        (["one.png", "--model", "one.png"], 3, "one.png: not a safetensors file"),
        (["one.png", "--model", "m.safetensors", "--boxes", "1,2,3"], 3, "1,2,3: No such file or directory; give x0,"),
        (["one.png", "--model", "m.safetensors", "--csv", "one.png"], 2, "one.png: is there already: choose another"),
        (["one.png", "--model", "m.safetensors", "--json", "no/o.json"], 2, "no/o.json: there is no folder no"),
        (["one.png", "--model", "m.safetensors", "--json", "o", "--csv", "o"], 2, "o: cannot be both CSV and JSON"),
        (["one.png", "--model", "m.safetensors", "--overlay", "one.png"], 2, "one.png: File exists"),
    ],
)
def test_what_cannot_be_done_is_one_line(capsys, words, code, message):
    run(capsys, *words).fails(code, message)
    assert sorted(path.name for path in Path().iterdir()) == ["m.safetensors", "one.png", "two.png"]


def test_photos_that_cannot_be_used_are_skipped(capsys):
    Path("bad.jpg").write_bytes(b"no picture")
    words = ("--model", "m.safetensors", "--boxes", "50,5,58,30")
    Image.new("RGB", (20, 20)).save("small.png")
    done = run(capsys, "bad.jpg", "gone.png", "small.png", "one.png", *words)
    assert done.code == 0
    assert {row["picture"] for row in rows(done.out)} == {"one.png"}
    assert [line.partition(": ")[2] for line in done.errors.splitlines()] == [
        "skipped: bad.jpg: not a JPEG, PNG, BMP, PPM, WEBP, TIFF picture; convert it to one of these",
        "skipped: gone.png: no such picture",
        "skipped: small.png: the box 50,5,58,30 is not in a picture of 20 x 20 pixels",
    ]
    none = run(capsys, "gone.png", *words)
    assert (none.code, none.out) == (3, "")
    assert none.errors.splitlines()[-1] == "landmarks: there is no photo left to look at"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "has no column 'picture'"),
        ("picture,x0,y0,x1\n", "has no column 'y1'; boxes need picture, x0, y0, x1, y1"),
        ("picture,x0,y0,x1,y1\n", "has no box"),
        ("picture,x0,y0,x1,y1\none.png,1,2,3,x\n", "line 2: needs the name of a picture and four numbers"),
        ("picture,x0,y0,x1,y1\none.png,1,2,3\n", "line 2: needs the name of a picture and four numbers"),
        ("picture,x0,y0,x1,y1\none.png,1,2,3,inf\n", "line 2: needs the name"),
        ("picture,x0,y0,x1,y1\n,1,2,3,4\n", "line 2: needs the name"),
        (b"\xff\xfe\x00", "is no text in UTF-8"),
        ("picture,x0,y0,x1,y1\no\0ne.png,1,2,3,4\n", "no CSV file"),
    ],
)
def test_files_of_boxes_that_cannot_be_used_are_one_line(content, message):
    Path("b.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(BoxesError, match=message) as caught:
        read_boxes(["b.csv"])
    assert "b.csv" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_names_of_pictures_in_a_file_of_boxes():
    """From its own folder on; else the last part counts, where it is one file's alone."""
    Path("sub").mkdir()
    table = "\n".join(["picture,x0,y0,x1,y1", "../one.png,1,2,3,4", "x/two.png,5,6,7,8", "x/a.png,1,1,2,2"])
    Path("sub/b.csv").write_text(table + "\ny/a.png,1,1,2,2\n")
    boxes = read_boxes(["sub/b.csv"])
    assert boxes.of(Path("one.png")).tolist() == [[1, 2, 3, 4]]
    assert boxes.of(Path("two.png")).tolist() == [[5, 6, 7, 8]]
    with pytest.raises(BoxesError, match=r"^a\.png: has no box in sub/b\.csv$"):
        boxes.of(Path("a.png"))
    with pytest.raises(BoxesError, match=r"'sub/b\.csv' is not x0,y0,x1,y1; a CSV file stands alone"):
        read_boxes(["1,2,3,4", "sub/b.csv"])


def test_without_pillow_there_is_one_line():
    program = "import sys; sys.modules['PIL'] = None; from hbcore.__main__ import main; sys.exit(main(['landmarks']))"
    root = Path(hbcore.__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=root, check=False)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith("landmarks: photos are read with Pillow, which is missing: pip install")


def test_a_full_disk_is_one_line(capsys, monkeypatch):
    def refuse(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", refuse)
    done = run(capsys, "one.png", "--model", "m.safetensors", "--json", "o.json")
    done.fails(5, "o.json: No space left on device")
