"""Model files: safetensors with everything inside that is needed to rebuild and use the network. No pickle anywhere.

Arrays are the network's state by name. The header's metadata holds one JSON text, "hbcore", with the format's name, the
architecture (arguments of StackedHourglass) and whatever the caller adds: joint names, input size, crop rule, ...
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import save

from hbcore.autograd.function import Array
from hbcore.deploy import packed_file
from hbcore.nn.architecture import check_architecture
from hbcore.nn.hourglass import StackedHourglass

FORMAT = "hbcore-model/1"
MAX_BYTES = 1 << 30
LONGEST = 500  # letters of a reason
LARGEST = 1e6
"""Of weights and running means; of variances, its square. Trained networks stay below a thousandth of it, and a product
of two is far from where float32 ends, 3e38."""


class ModelFileError(ValueError):
    """A file that is not a usable model; the message names the file and what is wrong with it."""


class NotWritten(ModelFileError):
    """A file that could not be written."""


def reason(error: Exception) -> str:
    """What an error says, fit for a message of one line: it may quote a file that anybody has written."""
    return "".join(letter if letter.isprintable() else "?" for letter in str(error)[:LONGEST])


def save_model(model: StackedHourglass, path: str | Path, metadata: Mapping[str, Any] | None = None) -> None:
    """Write a model file for :func:`load_model`, whole or not at all.

    metadata: further JSON values for its header. ModelFileError if the file could not be loaded again, or not written.
    """
    try:
        content = model_bytes(model, metadata or {})
    except ModelFileError as error:
        raise ModelFileError(f"{path}: {error}") from error
    write_whole(Path(path), content)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file, whole or not at all. NotWritten if that fails."""
    if not path.name:
        raise NotWritten(f"{path}: is a folder: name a file in it")
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        part.write_bytes(content)
        part.replace(path)
    except OSError as error:
        raise NotWritten(f"{path}: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def model_bytes(model: StackedHourglass, metadata: Mapping[str, Any]) -> bytes:
    """The content of a model file. ModelFileError, naming the cause, if it could not be loaded again."""
    state = model.state_dict()
    try:
        own: dict[str, Any] = {"format": FORMAT, "architecture": check_architecture(**model.architecture)}
        taken = ", ".join(sorted(own.keys() & metadata.keys()))
        if taken:
            raise ValueError(f"metadata must not name {taken}, which the file says itself: choose other names")
        require_evaluable(state)
        header = json.dumps(own | dict(metadata), sort_keys=True, default=_plain)
    except (TypeError, ValueError, RecursionError) as error:
        raise ModelFileError(f"this network cannot be saved: {reason(error)}") from error
    return bytes(save(state, {"hbcore": header}))


def _plain(value: Any) -> Any:
    """NumPy's numbers and arrays in metadata, as JSON knows them."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise TypeError(f"metadata holds a {type(value).__name__}, which JSON does not know")


def load_model(path: str | Path) -> tuple[StackedHourglass, dict[str, Any]]:
    """Rebuild a network in evaluation mode, from a model file or a packed one: (network, metadata).

    ModelFileError if the file is not one of ours, or holds numbers that no network can be evaluated with: NaN,
    infinity, a variance below zero, or anything beyond LARGEST.
    """
    arrays, header = read_arrays(path, FORMAT, packed_file.FORMAT)
    try:
        return rebuilt(arrays, header), header
    except ModelFileError as error:
        raise ModelFileError(f"{path}: {error}") from error


def rebuilt(arrays: dict[str, Array], header: dict[str, Any]) -> StackedHourglass:
    """The network that arrays and header of a file describe. ModelFileError, without a name of the file."""
    try:
        packed = header["format"] == packed_file.FORMAT
        architecture = header["architecture"]
        weights = packed_file.weights_in(arrays) if packed else _weights_in(arrays)
        _require_plausible(architecture, weights)
        if architecture.get("binary") is False:
            architecture["activation"] = "none"  # older files may name one, which never had an effect on these
        model = StackedHourglass(**architecture)
        if packed:
            packed_file.read_packed(model, arrays, header["layers"])
            require_evaluable(model.state_dict())
        else:
            require_evaluable(arrays)
            model.load_state_dict(arrays)
    except KeyError as error:
        raise ModelFileError(f"the header lacks {error}") from error
    except (TypeError, ValueError, OverflowError, RecursionError) as error:  # the last: thousands of levels
        raise ModelFileError(reason(error)) from error
    model.eval()
    return model


def _weights_in(arrays: dict[str, Array]) -> int:
    """How many numbers there are. ValueError naming an array that holds no real numbers."""
    for name, array in arrays.items():
        if array.dtype.kind != "f":
            raise ValueError(f"{name} holds {array.dtype} values, not real numbers")
    return sum(array.size for array in arrays.values())


def _require_plausible(architecture: Any, weights: int) -> None:
    """ValueError or TypeError if these cannot be the network's weights: a damaged number must not build a giant."""
    if not isinstance(architecture, dict):
        raise TypeError("the architecture in the header is not a JSON object")
    features, joints, stacks, depth = (architecture[name] for name in ("features", "joints", "stacks", "depth"))
    if not all(isinstance(size, int) for size in (features, joints, stacks, depth)):
        raise ValueError("features, joints, stacks and depth must be whole numbers")
    # Every level of an hourglass has more than features^2 weights, and every stack ends in features * joints.
    if stacks * features * (features * depth + joints) > weights:
        raise ValueError("it holds fewer weights than its architecture has")


def require_evaluable(arrays: Mapping[str, Array], largest: float = LARGEST) -> None:
    """ValueError naming the array that no network can be evaluated with. Asked before float64 becomes float32."""
    for name, array in arrays.items():
        variance = name.rpartition(".")[2] == "running_variance"
        most = largest**2 if variance else largest
        lowest, highest = (float(extreme(array, initial=0)) for extreme in (np.min, np.max))
        if not np.isfinite([lowest, highest]).all():  # an extreme of an array with NaN is NaN
            raise ValueError(f"{name} is not finite")
        if variance and lowest < 0:
            raise ValueError(f"{name} holds {lowest:g}, and no variance is below zero")
        if max(-lowest, highest) > most:
            raise ValueError(f"{name} holds {max(-lowest, highest):g} in size, more than {most:g}")


def read_arrays(path: str | Path, *expected: str) -> tuple[dict[str, Array], dict[str, Any]]:
    """Arrays and JSON header of a safetensors file of ours, of one of the formats `expected`."""
    from safetensors import safe_open

    path = Path(path)
    try:
        size = path.stat().st_size
        if not path.is_file():
            raise ModelFileError(f"{path}: is not a file")
        if size > MAX_BYTES:
            raise ModelFileError(f"{path}: {size} bytes are more than a model may have ({MAX_BYTES})")
        with safe_open(path, framework="numpy") as file:
            header = json.loads((file.metadata() or {}).get("hbcore", "null"))
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    except OSError as error:
        raise ModelFileError(f"{path}: {error.strerror or error}") from error
    except (SafetensorError, ValueError, TypeError, RecursionError) as error:
        if isinstance(error, ModelFileError):
            raise
        raise ModelFileError(f"{path}: not a safetensors file ({reason(error)})") from error
    if not isinstance(header, dict) or header.get("format") not in expected:
        raise ModelFileError(f"{path}: not a file of format {expected[0]}")
    return arrays, header
