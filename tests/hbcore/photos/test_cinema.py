"""Films of cameras in, cameras, films of what was seen out. PyAV itself writes and reads what is compared."""

import csv
import struct
from fractions import Fraction

import numpy as np
import pytest

from hbcore import __main__ as entry
from hbcore.photos import cinema, film
from hbcore.photos.frames import open_film
from hbcore.photos.reading import PictureError
from tests.command_lines import Outcome
from tests.hbcore.photos.test_film import Bright

av = pytest.importorskip("av", reason="films of cameras want PyAV: pip install -e '.[films]'")

LOSSY = 12  # levels that a flat area may move by when it is compressed


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(film, "Landmarker", Bright)
    write("film.mp4", [picture(10 + 2 * k) for k in range(5)], [0, 100, 200, 250, 500])


def picture(left):
    levels = np.zeros((60, 80, 3), np.uint8)
    levels[20:40, left : left + 20] = 255
    return levels


def write(name, pictures, milliseconds):
    with av.open(name, "w") as container:
        stream = container.add_stream("h264", rate=25)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt, stream.codec_context.time_base = "yuv420p", Fraction(1, 1000)
        for levels, time in zip(pictures, milliseconds, strict=True):
            frame = av.VideoFrame.from_ndarray(levels, format="rgb24")
            frame.pts, frame.time_base = time, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def read(name):
    with av.open(name) as container:
        return [(frame.to_ndarray(format="rgb24"), frame.time) for frame in container.decode(video=0)]


def run(capsys, *words):
    return Outcome(entry.main, capsys, "film", *words)


def test_a_film_gives_its_pictures_and_the_time_between_them():
    opened = open_film("film.mp4", 0.04)
    assert (opened.count, opened.live) == (5, False)
    pictures, passed = zip(*opened.pictures, strict=True)
    assert passed == pytest.approx([0.04, 0.1, 0.1, 0.05, 0.25])
    for k, levels in enumerate(pictures):
        assert abs(levels[30, 20 + 2 * k].astype(int) - 255).max() <= LOSSY
        assert levels[5, 5].max() <= LOSSY


def test_a_phone_that_was_held_upright_gives_upright_pictures(tmp_path):
    content = bytearray((tmp_path / "film.mp4").read_bytes())
    straight = struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    at = content.find(straight, content.find(b"tkhd"))
    assert at > 0
    # A quarter to the right: x' = 60 - y, y' = x, in the order a, b, u, c, d, v, x, y, w of the file's format.
    content[at : at + 36] = struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, 60 << 16, 0, 1 << 30)
    (tmp_path / "turned.mp4").write_bytes(content)
    levels, _ = next(open_film("turned.mp4", 0.04).pictures)
    assert levels.shape == (80, 60, 3)
    (stored, _), *_ = read("film.mp4")
    assert np.array_equal(levels, np.rot90(stored, -1))


@pytest.mark.parametrize("name", ["seen.mp4", "seen.webm"])
def test_what_was_seen_is_a_film_with_the_same_times(capsys, name):
    done = run(capsys, "film.mp4", "--model", "m", "--overlay", name, "--csv", "out.csv")
    assert done.code == 0
    assert done.out.startswith("5 pictures, ")
    pictures, times = zip(*read(name), strict=True)
    assert times == pytest.approx([0, 0.1, 0.2, 0.25, 0.5], abs=0.002)
    assert {levels.shape for levels in pictures} == {(60, 80, 3)}
    assert pictures[0][22, 26].min() > 200
    with open("out.csv") as file:
        rows = list(csv.DictReader(file))
    assert [row["frame"] for row in rows] == [str(k) for k in (1, 1, 2, 2, 3, 3, 4, 4, 5, 5)]
    run(capsys, "film.mp4", "--model", "m", "--overlay", name).fails(2, "is there already")


def test_a_film_that_could_not_be_finished_is_not_left(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(film, "Landmarker", after(2))
    assert run(capsys, "film.mp4", "--model", "m", "--overlay", "seen.mp4").code == 130
    assert [path.name for path in tmp_path.iterdir()] == ["film.mp4"]
    run(capsys, "film.mp4", "--model", "m", "--overlay", "gone/seen.mp4").fails(5, "gone/seen.mp4: No such file")


def after(count):
    """A Landmarker during whose picture after so many somebody presses Ctrl-C."""

    class Interrupted(Bright):
        pictures = 0

        def __call__(self, picture, boxes=None):
            Interrupted.pictures += 1
            if Interrupted.pictures > count:
                raise KeyboardInterrupt
            return super().__call__(picture, boxes)

    return Interrupted


def test_a_camera_is_followed_until_it_is_interrupted(capsys, monkeypatch):
    """FFmpeg's test picture in place of a camera, which no machine of tests has."""
    monkeypatch.setattr(cinema, "DEVICES", dict.fromkeys(cinema.DEVICES, ("lavfi", "color=c=white:size=64x48:rate={}")))
    monkeypatch.setattr(film, "Landmarker", after(4))
    done = run(capsys, "camera:25", "--model", "m", "--csv", "out.csv", "--overlay", "seen.mp4")
    assert done.code == 0
    with open("out.csv") as file:
        frames = [int(row["frame"]) for row in csv.DictReader(file)]
    assert len(read("seen.mp4")) == max(frames) >= 2


def test_a_camera_that_is_not_there_is_named(capsys):
    run(capsys, "camera:77", "--model", "m").fails(3, "camera:77: cannot be opened")


def test_what_is_no_film_is_named_in_one_line(capsys, tmp_path):
    (tmp_path / "text.mp4").write_text("no film")
    # A list of films, which would lead FFmpeg to other files.
    (tmp_path / "list.m3u8").write_text("#EXTM3U\n#EXTINF:1,\nfilm.mp4\n#EXT-X-ENDLIST\n")
    (tmp_path / "cut.mp4").write_bytes((tmp_path / "film.mp4").read_bytes()[:300])
    for name in ("text.mp4", "list.m3u8", "cut.mp4"):
        run(capsys, name, "--model", "m").fails(3, f"{name}: no film that can be read")
    run(capsys, "gone.mp4", "--model", "m").fails(3, "gone.mp4: No such file")


def test_without_pyav_the_remedy_is_named(capsys, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    run(capsys, "film.mp4", "--model", "m").fails(3, 'pip install "hbcore[films]"')
    with pytest.raises(PictureError, match=r"hbcore\[films\]"):
        open_film("camera:", 0.04)
