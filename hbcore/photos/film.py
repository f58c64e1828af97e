"""The command `python -m hbcore film`: faces followed through a film, or in front of a camera."""

from __future__ import annotations

import argparse
import csv
import io
import os
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from hbcore.commands import DATA, DISK, INTERRUPTED, USAGE, Parser, say, tell
from hbcore.deploy.model_file import ModelFileError, NotWritten, write_whole
from hbcore.landmarks.finding.tracker import Tracked, Tracker
from hbcore.landmarks.landmarker import Landmarker
from hbcore.photos.drawing import drawn
from hbcore.photos.frames import Film, open_film
from hbcore.photos.reading import PictureError
from hbcore.photos.recording import recorder
from hbcore.threads import set_threads, usable_cores

NAME = "film"
HEAD = ("frame", "number", "name", "x", "y", "score", "confidence")


def main(arguments: Sequence[str]) -> int:
    """The exit code, see `hbcore/commands.py`."""
    options = parser().parse_args(arguments)
    for path in filter(None, (options.csv, options.overlay)):
        if os.path.lexists(path):
            tell(NAME, f"{path}: is there already: choose another name")
            return USAGE
    if options.csv and not os.path.isdir(options.csv.parent):  # said now, as it is written when the film is through
        tell(NAME, f"{options.csv}: there is no folder {options.csv.parent}")
        return USAGE
    try:
        set_threads(usable_cores())
        track = Tracker(Landmarker(options.model, options.finder))
        return follow(track, open_film(options.film, 1 / options.rate), options)
    except (ModelFileError, PictureError, ValueError) as error:
        tell(NAME, str(error))
        return DISK if isinstance(error, NotWritten) else DATA
    except OSError as error:
        tell(NAME, f"{options.overlay or options.csv}: {error.strerror or error}")
        return DISK
    except KeyboardInterrupt:
        tell(NAME, "interrupted")
        return INTERRUPTED


def parser() -> Parser:
    parser = Parser(
        prog="python -m hbcore film",
        description="Points of faces through a film, each face with its number: CSV on the terminal, or in files.",
    )
    parser.add_argument("film", metavar="FILM",
                        help="a folder of pictures, an animated GIF, WebP or PNG, a film file, or a camera: "
                        "camera: or camera:NUMBER, until Ctrl-C; the last two want PyAV")  # fmt: skip
    parser.add_argument("--model", required=True, metavar="NAME|FILE", help="a model of points")
    parser.add_argument("--finder", metavar="NAME|FILE", help="what finds where to look; default: see landmarks --help")
    parser.add_argument("--rate", type=_rate, default=25.0, help="pictures a second, where the film does not say; 25")
    parser.add_argument("--pictures", type=_count, metavar="N", help="stop after so many")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="a row for each point of each picture")
    parser.add_argument("--overlay", type=Path, metavar="FOLDER|FILM",
                        help="pictures with what was found, or a film of them, .mp4 or .webm, with PyAV")  # fmt: skip
    return parser


def _rate(text: str) -> float:
    try:
        if 0.1 <= (rate := float(text)) <= 1000:
            return rate
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"{text!r} is no number of pictures a second")


def _count(text: str) -> int:
    if text.isdecimal() and int(text) > 0:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no number of pictures")


def follow(track: Tracker, film: Film, options: argparse.Namespace) -> int:
    """The exit code, once the film is through."""
    pace = Pace(film.count, options.pictures)
    lines = rows(track, film, pace, options.overlay)
    if not options.csv and not options.overlay:
        return say(NAME, lines)
    content = "".join(f"{line}\n" for line in lines)
    if options.csv:
        write_whole(options.csv, content.encode())
    written = ", ".join(str(path) for path in (options.csv, options.overlay) if path)
    return say(NAME, [f"{pace.said} without reading and drawing: {written}"])


class Pace:
    """Pictures so far, of how many if that is known, and the seconds spent on finding and following."""

    def __init__(self, count: int | None, limit: int | None) -> None:
        self.limit, self.of = limit, min((n for n in (count, limit) if n), default=None)
        self.pictures, self.seconds = 0, 0.0

    @property
    def said(self) -> str:
        return f"{self.pictures} pictures, {self.pictures / max(self.seconds, 1e-9):.0f} a second"

    def show(self, end: str = "") -> None:
        """The same where somebody watches, with what there is to come."""
        if sys.stderr and sys.stderr.isatty():
            print(f"\r{self.said}{f', of {self.of}' if self.of else ''}", end=end, file=sys.stderr, flush=True)


def rows(track: Tracker, film: Film, pace: Pace, overlay: Path | None) -> Iterator[str]:
    """Lines of CSV, HEAD and a row for every point of every picture, as the film goes on; and an overlay meanwhile.

    Ctrl-C is how the pictures of a camera end, and nothing is lost by it.
    """
    yield ",".join(HEAD)
    edges = track.landmarker.description.edges
    with recorder(overlay) as record:
        try:
            for picture, passed in islice(film.pictures, pace.limit):
                start = time.perf_counter()
                faces = track(picture, passed)
                pace.seconds += time.perf_counter() - start
                pace.pictures += 1
                if record:
                    numbers = [face.number for face in faces]
                    record.add(drawn(picture, [face.instance for face in faces], edges, numbers), passed)
                yield from lines_of(pace.pictures, faces)
                pace.show()
                if film.live:
                    sys.stdout.flush()
        except KeyboardInterrupt:
            if not film.live:
                raise
    pace.show("\n")


def lines_of(frame: int, faces: Sequence[Tracked]) -> Iterator[str]:
    """A line for every point of one picture, in the order of HEAD."""
    for face in faces:
        found = face.instance
        assert found.points is not None
        assert found.scores is not None
        for name, (x, y), score in zip(found.names, found.points.tolist(), found.scores.tolist(), strict=True):
            line = io.StringIO()
            row = frame, face.number, name, round(x, 2), round(y, 2), round(score, 4), round(found.confidence, 4)
            csv.writer(line, lineterminator="").writerow(row)
            yield line.getvalue()
