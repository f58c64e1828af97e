"""`python -m hbcore film`: a film in, a row for every point of every picture out; one line for what goes wrong."""

import csv
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from hbcore import __main__ as entry
from hbcore.landmarks.landmarker import Instance
from hbcore.photos import film
from hbcore.photos.frames import open_film
from tests.command_lines import Outcome


class Bright:
    """In place of a Landmarker: the one face is where the picture is white, if it is anywhere."""

    description = SimpleNamespace(parts=False, edges=[(0, 1)])
    finder = True

    def __init__(self, model, finder=None):
        assert (model, finder) == ("m", None)

    def __call__(self, picture, boxes=None):
        y, x = np.nonzero(picture.min(axis=2) > 200)
        if not len(x):
            return [] if boxes is None else [self.instance(np.zeros((2, 2)), False)]
        return [self.instance(np.array([[x.min(), y.min()], [x.max(), y.max()]]), True)]

    def instance(self, points, sure):
        ones = np.ones(2, np.float32)
        return Instance(("a", "b"), np.array([0, 0, 9, 9.0]), 0.75, sure, points.astype(np.float32), ones)


def picture(left):
    levels = np.zeros((60, 80, 3), np.uint8)
    levels[20:41, left : left + 21] = 255
    return Image.fromarray(levels)


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """A film of four pictures, as a folder and as a GIF of 100 ms a picture."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(film, "Landmarker", Bright)
    first, *others = [picture(10 + 2 * k) for k in range(4)]
    first.save("film.gif", save_all=True, append_images=others, duration=100)
    (tmp_path / "pictures").mkdir()
    for k, each in enumerate((first, *others)):
        each.save(f"pictures/{k:02d}.png")


def run(capsys, *words):
    return Outcome(entry.main, capsys, "film", *words)


@pytest.mark.parametrize("name", ["film.gif", "pictures"])
def test_every_point_of_every_picture_has_a_row(capsys, name):
    done = run(capsys, name, "--model", "m")
    assert done.code == 0
    rows = list(csv.DictReader(done.out.splitlines()))
    assert [row["frame"] for row in rows] == ["1", "1", "2", "2", "3", "3", "4", "4"]
    assert {row["number"] for row in rows} == {"1"}
    assert (rows[0]["name"], float(rows[0]["x"]), float(rows[0]["y"])) == ("a", 10, 20)
    assert float(rows[-1]["x"]) == pytest.approx(36, abs=2)  # smoothed


def test_files_are_written_and_the_speed_is_said(capsys, tmp_path):
    done = run(capsys, "film.gif", "--model", "m", "--csv", "out.csv", "--overlay", "seen")
    assert done.code == 0
    assert done.out.startswith("4 pictures, ")
    assert len((tmp_path / "out.csv").read_text().splitlines()) == 9
    assert [path.name for path in sorted((tmp_path / "seen").iterdir())] == [f"0000{k}.png" for k in range(1, 5)]
    again = run(capsys, "film.gif", "--model", "m", "--csv", "out.csv")
    again.fails(2, "out.csv: is there already")
    run(capsys, "film.gif", "--model", "m", "--csv", "no/out.csv").fails(2, "no/out.csv: there is no folder no")
    run(capsys, "film.gif", "--model", "m", "--csv", "x" * 254).fails(5, "File name too long")


def test_a_film_says_how_long_its_pictures_last():
    film = open_film("film.gif", 0.04)
    assert film.count == 4
    assert [passed for _, passed in film.pictures] == [0.04, 0.1, 0.1, 0.1]
    assert [passed for _, passed in open_film("pictures", 0.04).pictures] == [0.04] * 4


def test_it_stops_after_as_many_pictures_as_were_asked_for(capsys):
    done = run(capsys, "film.gif", "--model", "m", "--pictures", "2")
    assert [line[:2] for line in done.out.splitlines()[1:]] == ["1,", "1,", "2,", "2,"]
    for wrong in ("0", "-1", "x"):
        run(capsys, "film.gif", "--model", "m", "--pictures", wrong).fails(2, "is no number of pictures")


def test_what_is_no_film_is_named_in_one_line(capsys, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.gif").write_text("no picture")
    run(capsys, "empty", "--model", "m").fails(3, "empty: holds no picture")
    run(capsys, "text.gif", "--model", "m").fails(3, "text.gif: not a GIF")
    run(capsys, "gone.gif", "--model", "m").fails(3, "gone.gif: No such file")
    cut = (tmp_path / "film.gif").read_bytes()
    (tmp_path / "cut.gif").write_bytes(cut[: len(cut) // 2])
    assert run(capsys, "cut.gif", "--model", "m").code in (0, 3)
