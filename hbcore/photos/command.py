"""The command `python -m hbcore landmarks`: what a model finds in photos, as CSV, JSON and overlays."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from itertools import count
from pathlib import Path

from hbcore.commands import DATA, DISK, INTERRUPTED, USAGE, Parser, say, tell
from hbcore.deploy.model_file import ModelFileError, write_whole
from hbcore.landmarks.landmarker import Instance, Landmarker, model_names
from hbcore.photos.answers import as_csv, as_json
from hbcore.photos.boxes import Boxes, BoxesError, read_boxes
from hbcore.photos.drawing import drawn, png
from hbcore.photos.reading import PictureError, read_picture
from hbcore.threads import set_threads, usable_cores

NAME = "landmarks"


def main(arguments: Sequence[str]) -> int:
    """The exit code, see `hbcore/commands.py`."""
    options = parser().parse_args(arguments)
    try:
        require_places(options)
        boxes = read_boxes(options.boxes) if options.boxes else None
        set_threads(usable_cores())
        find = Landmarker(options.model, options.finder)
    except (ModelFileError, BoxesError, PlaceError) as error:
        tell(NAME, str(error))
        return USAGE if isinstance(error, PlaceError) else DATA
    if find.description.needs_box and not (boxes or find.finder):
        tell(NAME, "this model was trained on squares around boxes, but looks at whole photos: give it --boxes")
    found: dict[str, list[Instance]] = {}
    try:
        for photo in options.photos:
            instances = answered(find, Path(photo), boxes, options.overlay, options.again)
            if instances is not None:
                found[photo] = instances
        written = files(find, options, found)
    except KeyboardInterrupt:
        tell(NAME, "interrupted")
        return INTERRUPTED
    except ModelFileError as error:  # of a file that could not be written
        tell(NAME, str(error))
        return DISK
    if not found:
        tell(NAME, "there is no photo left to look at")
        return DATA
    lines = [f"{len(found)} of {len(options.photos)} photos: {', '.join(written)}"] if written else []
    return say(NAME, lines or as_csv(find.description, found).splitlines())


class PlaceError(ValueError):
    """A file to write that is there already, or has no folder: one line."""


def parser() -> Parser:
    parser = Parser(
        prog="python -m hbcore landmarks",
        description="Points, or parts, in photos: CSV on the terminal, unless files are asked for.",
    )
    parser.add_argument("photos", nargs="+", metavar="PHOTO", help="a picture file")
    names = ", ".join(model_names()) or "none comes with this version"
    parser.add_argument(
        "--model", required=True, metavar="NAME|FILE", help=f"a model that comes with hbcore ({names}), or a model file"
    )
    parser.add_argument(
        "--boxes",
        action="append",
        metavar="x0,y0,x1,y1|CSV",
        help="where to look, in pixels, tight and without margin: in every photo, several times if need be; or a CSV "
        "file with the columns picture, x0, y0, x1, y1. Without it: where the finder leads, or the whole photo",
    )
    parser.add_argument(
        "--finder",
        metavar="NAME|FILE",
        help="a model that says where to look in photos without boxes; default: the one that comes with hbcore, for "
        "models of 68 points of a face",
    )
    parser.add_argument(
        "--again",
        type=int,
        choices=range(4),
        help="look so many times more at the box of the points that were found; default: once after a finder",
    )
    parser.add_argument("--csv", type=Path, metavar="FILE", help="a row for each point, or class")
    parser.add_argument("--json", type=Path, metavar="FILE", help="the same with boxes, names and lines")
    parser.add_argument("--overlay", type=Path, metavar="FOLDER", help="photos with what was found; masks of parts")
    return parser


def require_places(options: argparse.Namespace) -> None:
    """PlaceError where a file is to be written that cannot be, or that may be somebody's work."""
    for path in filter(None, (options.csv, options.json)):
        if os.path.lexists(path):
            raise PlaceError(f"{path}: is there already: choose another name")
        if not os.path.isdir(path.parent):
            raise PlaceError(f"{path}: there is no folder {path.parent}")
    if options.csv and options.csv == options.json:
        raise PlaceError(f"{options.csv}: cannot be both CSV and JSON")
    if options.overlay:
        try:
            options.overlay.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise PlaceError(f"{options.overlay}: {error.strerror}: choose another folder") from None


def answered(
    find: Landmarker, photo: Path, boxes: Boxes | None, folder: Path | None, again: int | None
) -> list[Instance] | None:
    """What is in one photo, drawn into the folder if there is one. None, after a line, where it cannot be used."""
    try:
        places = boxes.of(photo) if boxes else None
        picture = read_picture(photo)
        instances: list[Instance] = find(picture, places, again)
    except (ValueError, FloatingPointError, MemoryError) as error:
        reason = "not enough memory" if isinstance(error, MemoryError) else str(error)
        tell(NAME, f"skipped: {reason if isinstance(error, PictureError | BoxesError) else f'{photo}: {reason}'}")
        return None
    if not instances:
        tell(NAME, f"{photo}: nothing was found that the model is sure of")
    for place, instance in enumerate(instances, start=1):
        if instance.sure is False:
            said = f"confidence {instance.confidence:.2f}, below {find.description.least_confidence:.2f}"
            tell(NAME, f"warning: {photo}, {place}: {said}: the answer is likely worthless, check where to look")
    if folder:
        write_whole(free(folder, photo.stem[:200]), png(drawn(picture, instances, find.description.edges)))
        for instance in instances:
            if instance.classes is not None:
                write_whole(free(folder, f"{photo.stem[:200]}-mask"), png(instance.classes))
    return instances


def files(find: Landmarker, options: argparse.Namespace, found: dict[str, list[Instance]]) -> list[str]:
    """Write what was asked for; the names of it. ModelFileError where that fails."""
    written = [str(options.overlay)] if options.overlay else []
    said = find.description
    for path, text in ((options.csv, as_csv(said, found)), (options.json, as_json(options.model, said, found))):
        if path and found:
            write_whole(path, text.encode(errors="backslashreplace"))
            written.append(str(path))
    return written


def free(folder: Path, stem: str) -> Path:
    """A name in the folder that is not taken: STEM.png, STEM-2.png and so on."""
    names = (folder / f"{stem}{f'-{number}' if number > 1 else ''}.png" for number in count(1))
    return next(path for path in names if not os.path.lexists(path))
