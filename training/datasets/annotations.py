"""Read annotation files. They are as untrusted as pictures: every complaint names the file and the record."""

from __future__ import annotations

import json
import tomllib
import unicodedata
import warnings
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.errors import DataError, UserError

MAX_BYTES = 512 * 2**20
"""No annotation file of a published data set comes near; a larger one is an accident or an attack."""

FARTHEST = 1e6
"""Pixels. No picture is that wide, and float32 still tells neighbouring pixels apart."""


def load_mat(path: Path, *keys: str) -> dict[str, Any]:
    """The variables `keys` of a MATLAB file: structs as objects with attributes, all else as arrays.

    No code is run, and a damaged download, compressed as MATLAB files are, is found out by its checksum. A
    file made with intent is another matter: SciPy's reader is not hardened and can be crashed (see its pull
    requests 25166 and 25349), so take MATLAB files only from the owners of the data.

    Raises DataError if the file is missing, too large, not readable or without one of the keys, and UserError
    if SciPy, which reads such files, is not installed.
    """
    check_file(path)
    try:
        from scipy import io
    except ImportError as error:
        raise UserError(f"{path}: reading MATLAB files needs SciPy; run: pip install scipy") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # remarks on duplicate variables and the like
            found = [name for name, _, _ in io.whosmat(str(path), appendmat=False)]
            content: dict[str, Any] = io.loadmat(
                str(path), appendmat=False, struct_as_record=False, variable_names=list(keys)
            )
    except Exception as error:
        # A corrupt file surfaces as whatever its decoder tripped over: ValueError, TypeError, zlib.error, ...
        raise DataError(f"{path}: not a MATLAB file that can be read ({error})") from error
    for key in keys:
        if key not in content:
            raise DataError(f"{path}: has no variable '{key}', only: {', '.join(found) or 'nothing'}")
    return {key: content[key] for key in keys}


def load_json(path: Path) -> Any:
    """The content of a JSON file. Raises DataError if it is missing, too large or none."""
    text = load_text(path)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not a JSON file that can be read ({error})") from error


def load_toml(path: Path) -> dict[str, Any]:
    """The content of a TOML file. Raises DataError if it is missing, too large or none."""
    text = load_text(path)
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not a TOML file that can be read ({error})") from error


def load_yaml(path: Path) -> dict[Any, Any]:
    """The content of a YAML file that holds a table.

    Raises DataError if it is missing, larger than a mebibyte, none, or has aliases, of which a few can stand for more
    than fits into memory; UserError if PyYAML, which reads such files, is not installed.
    """
    text = load_text(path, 2**20)
    try:
        import yaml
    except ImportError as error:
        raise UserError(f"{path}: reading YAML files needs PyYAML; run: pip install pyyaml") from error
    try:
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, yaml.SafeLoader)):
            raise DataError(f"{path}: has aliases (*NAME), which are not read: write their values out")
        table = yaml.compose(text, yaml.SafeLoader)
        content = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{path}: not a YAML file that can be read ({reason})") from error
    if not isinstance(content, dict):
        raise DataError(f"{path}: should hold lines KEY: VALUE")
    keys = [key.value for key, _ in table.value]
    if len(keys) > len(content):  # PyYAML would take the last one without a word
        twice = next(key for key in keys if keys.count(key) > 1)
        raise DataError(f"{path}: the key {twice!r} occurs twice")
    return content


def load_json_records(path: Path) -> list[dict[str, Any]]:
    """The content of a JSON file that must be a list of objects. Raises DataError if it is anything else."""
    records = load_json(path)
    if not isinstance(records, list) or not records:
        raise DataError(f"{path}: should hold a list of persons")
    return objects(records, f"{path}: record")


def objects(values: list[Any], what: str) -> list[dict[str, Any]]:
    """`values` if all are objects. Raises DataError, which starts with `what` and the number of the other one."""
    for index, value in enumerate(values):
        if not isinstance(value, dict):
            raise DataError(f"{what} {index} is not an object with named fields")
    return values


def field(record: dict[str, Any], key: str, where: str) -> Any:
    """The value of a field. Raises DataError, which starts with `where`, if there is none."""
    if key not in record:
        raise DataError(f"{where} has no '{key}'")
    return record[key]


def numbers(value: Any, shape: tuple[int, ...], what: str) -> NDArray[np.float64]:
    """`value` as a float64 array of this shape, all finite. Raises DataError, which starts with `what`."""
    try:
        array = np.asarray(value)
        if array.dtype.kind in "SU":  # NumPy would read numbers out of texts
            raise ValueError
        array = np.asarray(value, np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise DataError(f"{what} should be numbers of shape {shape}") from error
    if array.shape != shape:
        raise DataError(f"{what} has shape {array.shape}, expected {shape}")
    if not np.isfinite(array).all():
        raise DataError(f"{what} is not finite")
    return array


def pixels(value: Any, shape: tuple[int, ...], what: str) -> NDArray[np.float64]:
    """`value` as numbers no farther from 0 than any picture reaches. Raises DataError, which starts with `what`."""
    array = numbers(value, shape, what)
    if (np.abs(array) > FARTHEST).any():
        raise DataError(f"{what} lies more than {FARTHEST:,.0f} pixels away, outside every picture")
    return array


def box(value: Any, what: str) -> NDArray[np.float64]:
    """`value` as left, top, width and height (4,) in pixels. Raises DataError unless the box has an area."""
    array = pixels(value, (4,), what)
    if not (array[2:] > 0).all():
        raise DataError(f"{what} has a width or height that is not positive: {array[2]:g} x {array[3]:g}")
    return array


def file_name(value: Any, what: str) -> str:
    """`value` if it names a file below the folder that it will be joined to. Raises DataError otherwise."""
    # Control characters and halves of surrogate pairs: neither the system nor a message could take them.
    if not isinstance(value, str) or not value or any(unicodedata.category(sign) in ("Cc", "Cs") for sign in value):
        raise DataError(f"{what} is not a file name")
    if leads_out(value):
        raise DataError(f"{what} leads out of the picture folder: {str(value)!r}")
    return str(value)  # a plain one, also for the string type of NumPy


def leads_out(name: str) -> bool:
    """Whether a name, joined to a folder, may lead out of it.

    Backslashes and letters of drives mean something on Windows only: refused everywhere, to mean one thing.
    """
    path = PurePosixPath(name)
    drive = name[1:2] == ":" and name[0].isalpha()
    return path.is_absolute() or ".." in path.parts or "\\" in name or drive


def picture_folder(root: Path) -> Path:
    """`root`/images. Raises DataError if there is no such folder."""
    folder = root / "images"
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; the pictures of the data set belong there")
    return folder


def load_text(path: Path, most: int | None = None) -> str:
    """The text of a file of at most `most` bytes, by default MAX_BYTES. Raises DataError naming the file."""
    check_file(path, most)
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is not text") from error


def text_lines(path: Path, most: int | None = None) -> list[str]:
    """The lines of such a file, as editors count them: other signs that Python ends lines at may be in names."""
    lines = load_text(path, most).replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return lines if lines[-1] else lines[:-1]


def check_file(path: Path, most: int | None = None) -> None:
    """Raise DataError unless `path` is a regular file of at most `most` bytes, by default MAX_BYTES."""
    most = MAX_BYTES if most is None else most
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    if path.stat().st_size > most:
        size = f"{most >> 20} MiB" if most >> 20 else f"{most} bytes"
        raise DataError(f"{path}: larger than {size}, which no annotation file should be")
