"""YOLO pose: a YAML file, pictures in images/ and, for each, a text file in labels/ with a line per instance.

A line is class, box (middle, width, height) and x, y or x, y, flag of every point, as shares of the picture's upright
width and height from its corner: half a pixel is taken off. Flag 0 is not labelled; neither is a point at 0 0, or one
with a negative number. The pictures of `train` are for training and those of `val` for testing; `test` is not read.
"""

from __future__ import annotations

import math
import posixpath
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from training.datasets.annotations import load_yaml, text_lines
from training.datasets.own.content import Content, Instance, Remark, Trouble, checked, gathered
from training.datasets.own.label_file import LabelFile
from training.datasets.own.scheme import MOST_POINTS, check_names, make_scheme
from training.datasets.own.tools.shapes import centred
from training.errors import BadPicture, DataError, UserError, unknown
from training.pictures.reading import ENDINGS, read_header

_SPLITS = {"train": "train", "val": "test"}


def read_yolo(label_file: LabelFile, category: str | None = None) -> Content:
    """All that the data set of the YAML file `label_file.path` says; `category` takes the instances of one class.

    Pictures are named from `path`, or from the file's folder where that is not there. A line that cannot be read is
    left out as a bad record. Raises DataError, naming file and key, for a file of another format, and for pictures that
    are in train and in val; UserError for a category that is not there.
    """
    yaml = label_file.path
    said = load_yaml(yaml)
    layout = _Layout.of(said, yaml)
    if category is not None and category not in layout.classes.values():
        raise UserError(f"{yaml}: {unknown('category', category, map(str, layout.classes.values()))}")
    root = _root(said, yaml)
    folder = label_file.folder(root)
    trouble = Trouble()
    instances: list[Instance] = []
    splits: dict[str, str] = {}
    for key, split in _SPLITS.items():
        for picture in _pictures(said.get(key), key, yaml, folder):
            if splits.setdefault(picture, split) != split:
                raise DataError(f"{yaml}: {picture} is in train and in val: name different folders")
            instances += _instances(folder, picture, layout, category, trouble)
    if not splits:
        raise DataError(f"{yaml}: train and val name no picture (of {', '.join(sorted(ENDINGS))}) below {folder}")
    if not instances:
        raise trouble.all_bad(f"{yaml}: has no instance in labels/")
    scheme = make_scheme(yaml.stem, layout.names, f"{yaml}: kpt_names", label_file.toml(), (), layout.pairs)
    listed = splits if "test" in splits.values() else {}  # of a file for training alone, ?test= may hold some out
    content = Content(scheme, gathered(instances, layout.names), tuple(splits), listed, trouble=trouble)
    return replace(content, root=root)


@dataclass(frozen=True)
class _Layout:
    """Names of points, how many numbers each has, pairs (None where the file does not say), and names of classes."""

    names: list[str]
    numbers: int
    pairs: list[tuple[int, int]] | None
    classes: dict[int, Any]

    @classmethod
    def of(cls, said: dict[Any, Any], yaml: Path) -> _Layout:
        shape: Any = said.get("kpt_shape")
        if not _whole_numbers(shape, 2) or not 1 <= shape[0] <= MOST_POINTS or shape[1] not in (2, 3):
            raise DataError(f"{yaml}: kpt_shape should be [POINTS, 2] or [POINTS, 3], not {shape!r}")
        count, numbers = shape
        classes = said.get("names")
        classes = dict(enumerate(classes)) if isinstance(classes, list) else classes
        if not isinstance(classes, dict) or not classes:
            raise DataError(f"{yaml}: names should be the names of the classes")
        names = said.get("kpt_names")
        if isinstance(names, dict):  # by class
            names = next(iter(names.values()), None)
            if any(other != names for other in said["kpt_names"].values()):
                raise DataError(f"{yaml}: kpt_names has other names for other classes, which is not read")
        if names is None:
            names = [str(number) for number in range(1, count + 1)]
        check_names(names, f"{yaml}: kpt_names")
        if len(names) != count:
            raise DataError(f"{yaml}: kpt_names has {len(names)} names for the {count} points of kpt_shape")
        flips = said.get("flip_idx")
        pairs = None
        if flips is not None:
            if not _whole_numbers(flips, count) or sorted(flips) != list(range(count)):
                raise DataError(f"{yaml}: flip_idx should have each of the numbers 0 to {count - 1} once")
            if any(flips[flips[place]] != place for place in range(count)):
                raise DataError(f"{yaml}: flip_idx does not come back: two mirrors should change nothing")
            pairs = [(place, other) for place, other in enumerate(flips) if place < other]
        return cls(names, numbers, pairs, classes)


def _whole_numbers(value: Any, count: int) -> bool:
    return isinstance(value, list) and len(value) == count and all(type(number) is int for number in value)


def _root(said: dict[Any, Any], yaml: Path) -> Path:
    """`path`, from the YAML file, if it is there; else the folder of the file, as after a move."""
    path = said.get("path")
    if path is not None and not isinstance(path, str):
        raise DataError(f"{yaml}: path should be a folder, not {path!r}")
    root = yaml.parent / (path or "")
    return root if root.is_dir() else yaml.parent


def _pictures(value: Any, key: str, yaml: Path, folder: Path) -> Iterator[str]:
    """Names, from the folder, of the pictures that `train` or `val` means: a folder, a list in a text file, or several.

    What begins with ../ is looked for in the folder itself where it is not there, as YOLO does.
    """
    for place in value if isinstance(value, list) else [value]:
        if place is None:
            continue
        if not isinstance(place, str) or not place:
            raise DataError(f"{yaml}: {key} should be a folder or a list of them, not {place!r}")
        found = folder / place
        if not found.exists() and place.startswith("../"):
            found = folder / place.removeprefix("../")
        if found.exists():  # before anything else is looked for there
            _below(found, key, yaml, folder)
        if found.is_dir():
            yield from (_below(path, key, yaml, folder) for path in sorted(found.rglob("*")) if _is_picture(path))
        elif found.is_file():
            for line in text_lines(found):
                if line.strip():
                    base = found.parent if line.startswith("./") else folder
                    yield _below(base / line.strip(), key, yaml, folder)
        else:
            raise DataError(f"{yaml}: {key}: there is no {found}; name the folder it starts from by ?images=FOLDER")


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in ENDINGS and path.is_file()


def _below(path: Path, key: str, yaml: Path, folder: Path) -> str:
    name = posixpath.relpath(posixpath.abspath(path.as_posix()), posixpath.abspath(folder.as_posix()))
    if name == ".." or name.startswith("../"):
        raise DataError(f"{yaml}: {key}: {path} is not below {folder}: name a folder with both by ?images=FOLDER")
    return name


def _instances(
    folder: Path, picture: str, layout: _Layout, category: str | None, trouble: Trouble
) -> Iterator[Instance]:
    """Those of one picture; none where it has no file of labels, as pictures of nothing have."""
    path = folder / _label_name(picture)
    if not path.exists():
        return
    name = _label_name(picture)
    try:
        lines = text_lines(path)
        header = read_header(folder / picture) if lines else None
    except BadPicture as error:
        trouble.skip(DataError(f"{name}: shares of a picture that cannot be read: {error}"), name, picture)
        return
    except DataError as error:
        trouble.skip(error, name, picture)
        return
    for number, line in enumerate(lines, start=1):
        where = f"{name}, line {number}"
        if not line.strip() or header is None:
            continue
        try:
            instance = _instance(line, f"{picture}#{number}", picture, header.upright, layout, where, trouble)
        except DataError as error:
            trouble.skip(error, where, picture)
            continue
        if category is None or instance.category == category:
            yield instance


def _label_name(picture: str) -> str:
    """labels/ in place of the last images/, and .txt in place of the ending."""
    stem = posixpath.splitext(picture)[0] + ".txt"
    head, images, tail = f"/{stem}".rpartition("/images/")
    return f"{head}/labels/{tail}"[1:] if images else stem


def _instance(
    line: str, name: str, picture: str, size: tuple[int, int], layout: _Layout, where: str, trouble: Trouble
) -> Instance:
    cells = line.split()
    wanted = 5 + layout.numbers * len(layout.names)
    if len(cells) != wanted:
        raise DataError(f"{where}: {len(cells)} numbers; class, box and {len(layout.names)} points need {wanted}")
    try:
        number, *values = map(float, cells)
    except ValueError:
        raise DataError(f"{where}: has something that is no number") from None
    if not all(map(math.isfinite, (number, *values))):
        raise DataError(f"{where}: is not finite")
    if number not in layout.classes:
        raise DataError(f"{where}: class {number:g} is none of those in names")
    width, height = size
    x, y, w, h = values[:4]
    points = {}
    for index, point in enumerate(layout.names):
        px, py, *flag = values[4 + index * layout.numbers : 4 + (index + 1) * layout.numbers]
        if flag and flag[0] not in (0, 1, 2):
            raise DataError(f"{where}: the flag of {point} should be 0 (none), 1 (hidden) or 2 (visible)")
        if flag == [0] or min(px, py) < 0:
            continue
        if px == py == 0:
            if flag:
                text = f"{point} is flagged as labelled at 0, 0, where tools put what is missing: left out"
                trouble.remarks.append(Remark("origin", name, text, picture))
            continue
        if max(px, py) > 1.01:  # rounding of a point at the border stays below
            raise DataError(f"{where}: {point} at {px:g}, {py:g} should be shares of width and height, 0 to 1")
        points[point] = centred(px * width, py * height)
    box = (x - w / 2) * width, (y - h / 2) * height, w * width, h * height
    return checked(Instance(picture, name, points, box, str(layout.classes[int(number)])), where)
