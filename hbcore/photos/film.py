"""The command `python -m hbcore film`: faces followed through a film, a folder of pictures or an animated picture.

Films of cameras are brought into one of these by whatever tool one has, such as `ffmpeg -i FILM pictures/%05d.png`.
"""

from __future__ import annotations

import argparse
import csv
import io
import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageSequence

from hbcore.commands import DATA, DISK, INTERRUPTED, USAGE, Parser, say, tell
from hbcore.deploy.model_file import ModelFileError, write_whole
from hbcore.landmarks.finding.tracker import Tracked, Tracker
from hbcore.landmarks.landmarker import Landmarker
from hbcore.photos.drawing import drawn, png
from hbcore.photos.reading import ENDINGS, MAX_PIXELS, PictureError, read_picture
from hbcore.threads import set_threads, usable_cores

NAME = "film"
FORMATS = ("GIF", "WEBP", "PNG", "TIFF")
HEAD = ("frame", "number", "name", "x", "y", "score", "confidence")


def main(arguments: Sequence[str]) -> int:
    """The exit code, see `hbcore/commands.py`."""
    options = parser().parse_args(arguments)
    for path in filter(None, (options.csv, options.overlay)):
        if os.path.lexists(path):
            tell(NAME, f"{path}: is there already: choose another name")
            return USAGE
    try:
        set_threads(usable_cores())
        track = Tracker(Landmarker(options.model, options.finder))
        return follow(track, options)
    except (ModelFileError, PictureError, ValueError) as error:
        tell(NAME, str(error))
        return DATA
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
    parser.add_argument("film", type=Path, metavar="FILM", help="a folder of pictures, or an animated GIF, WebP or PNG")
    parser.add_argument("--model", required=True, metavar="NAME|FILE", help="a model of points")
    parser.add_argument("--finder", metavar="NAME|FILE", help="what finds where to look; default: see landmarks --help")
    parser.add_argument("--rate", type=_rate, default=25.0, help="pictures a second, where the film does not say; 25")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="a row for each point of each picture")
    parser.add_argument("--overlay", type=Path, metavar="FOLDER", help="pictures with what was found")
    return parser


def _rate(text: str) -> float:
    try:
        if 0.1 <= (rate := float(text)) <= 1000:
            return rate
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"{text!r} is no number of pictures a second")


def follow(track: Tracker, options: argparse.Namespace) -> int:
    """The exit code, once the film is through."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(HEAD)
    edges = track.landmarker.description.edges
    if options.overlay:
        options.overlay.mkdir(parents=True)
    seconds, number, of = 0.0, 0, count_of(options.film)
    for number, (picture, dt) in enumerate(frames(options.film, 1 / options.rate), start=1):
        start = time.perf_counter()
        faces = track(picture, dt)
        seconds += time.perf_counter() - start
        table.writerows(rows(number, faces))
        if options.overlay:
            shown = drawn(picture, [face.instance for face in faces], edges, [face.number for face in faces])
            write_whole(options.overlay / f"{number:05d}.png", png(shown))
        if sys.stderr and sys.stderr.isatty():
            print(f"\r{number} of {of} pictures, {number / seconds:.0f} a second", end="", file=sys.stderr, flush=True)
    if sys.stderr and sys.stderr.isatty():
        print(file=sys.stderr)
    if options.csv:
        write_whole(options.csv, text.getvalue().encode())
    written = [str(path) for path in (options.csv, options.overlay) if path]
    done = f"{number} pictures, {number / max(seconds, 1e-9):.0f} a second without reading and drawing"
    return say(NAME, [f"{done}: {', '.join(written)}"] if written else text.getvalue().splitlines())


def rows(frame: int, faces: Sequence[Tracked]) -> Iterator[tuple[object, ...]]:
    """A row of HEAD for every point of one picture."""
    for face in faces:
        found = face.instance
        assert found.points is not None
        assert found.scores is not None
        for name, (x, y), score in zip(found.names, found.points.tolist(), found.scores.tolist(), strict=True):
            yield frame, face.number, name, round(x, 2), round(y, 2), round(score, 4), round(found.confidence, 4)


def pictures_of(folder: Path) -> list[Path]:
    """The pictures in a folder, by name. PictureError where there are none."""
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in ENDINGS)
    if not found:
        raise PictureError(f"{folder}: holds no picture")
    return found


def count_of(film: Path) -> int:
    """How many pictures a film has. PictureError where it cannot be read."""
    if film.is_dir():
        return len(pictures_of(film))
    with _opened(film) as image:
        return int(getattr(image, "n_frames", 1))


def frames(film: Path, usual: float) -> Iterator[tuple[NDArray[np.uint8], float]]:
    """The pictures of a film, RGB (H, W, 3), each with the seconds since the one before, `usual` where it does not say.

    PictureError where one cannot be read.
    """
    if film.is_dir():
        for path in pictures_of(film):
            yield read_picture(path), usual
        return
    with _opened(film) as image:
        before = usual
        try:
            for frame in ImageSequence.Iterator(image):
                yield np.array(frame.convert("RGB"), np.uint8), before
                before = float(frame.info.get("duration", 0)) / 1000 or usual
        except (OSError, SyntaxError, EOFError) as error:
            raise PictureError(f"{film}: cannot be decoded ({error})") from error


def _opened(film: Path) -> Image.Image:
    try:
        image = Image.open(film, formats=FORMATS)
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        said = (
            error.strerror if isinstance(error, OSError) and error.strerror else f"not a {', '.join(FORMATS)} picture"
        )
        raise PictureError(f"{film}: {said}; give a folder of pictures or an animated one") from None
    if image.width * image.height > MAX_PIXELS:
        image.close()
        raise PictureError(f"{film}: more than {MAX_PIXELS} pixels")
    return image
