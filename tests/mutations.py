"""Damaged and hostile model files: mutations of good ones, each a function of its seed and number."""

import json
import math
import struct
from typing import Any

import numpy as np

Json = dict[str, Any] | list[Any]

VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 3, 7, 255, 4096, 2**31, 2**63, 10**30, 10**400, -(10**400),
    0.0, -0.0, 0.5, 1.5, 1e-320, 1e308, math.inf, -math.inf, math.nan,
    "", " ", "x", "0", "01", "1e999", "Infinity", "NaN", "null", "\n", "a\nb", "\0", "\x1b[31m", "\ud800", "\u202e",
    "é", "right_ankle", "hpm", "pose", "parts", "../../x", "{}", "%s", "a" * 300, "1" * 300,
    [], [[]], [""], ["", ""], [0], [0, 1], [1, 0], [0, 0], [[0, 1]], [[1, 0], [0, 1]], [math.inf, 0], [[math.inf, 1]],
    [None], ["0", "1"], [[0.5, 1.5]], [True, False], ["a", "b", "c"], [10**400], [math.nan] * 3, [0.1] * 3, {},
    {"": ""}, {"0": 1}, {"name": "x", "names": ["a", "b"], "flip_pairs": []}, [[[[[[[[]]]]]]]],
)  # fmt: skip
NUMBERS = (math.nan, math.inf, -math.inf, 1e38, -1e38, 3.4e38, 1e30, 1e7, 1.0, 0.0, -0.0, -1.0, -1e-30, 1e-45, 1e5)
LETTERS = '0123456789"{}[],:-.eE _aA\\/\n\0\x7fé\ud800\u2028'


def mutated(content: bytes, rng: np.random.Generator) -> bytes:
    """A file like this model file, but for one change or two, of any kind."""
    header, weights = parse(content)
    for _ in range(2 if rng.random() < 0.3 else 1):
        kind = int(rng.integers(0, 20))
        if kind < 15:  # what the model says about itself
            try:
                said = json.loads(header["__metadata__"]["hbcore"])
                change = _text if kind < 8 else _value
                said = change(said, rng)
                header["__metadata__"]["hbcore"] = json.dumps(said)
            except (KeyError, TypeError, ValueError):  # an earlier change has already taken it away
                pass
        elif kind == 15:  # names, types, shapes and places of the arrays
            header = _value(header, rng)
            if not isinstance(header, dict):
                break
        elif kind < 19:
            weights = _numbers(header, weights, rng)
        else:
            return _bytes(join(header, weights), rng)
    return join(header, weights)


def parse(content: bytes) -> tuple[Any, bytes]:
    """Header and weights of a safetensors file."""
    end = 8 + int(struct.unpack("<Q", content[:8])[0])
    return json.loads(content[8:end]), content[end:]


def join(header: Any, weights: bytes) -> bytes:
    """The inverse of `parse`."""
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + weights


def places(value: Any, way: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The ways to every value within a JSON value, that of the whole first."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [way, *(place for key, item in inside for place in places(item, (*way, key)))]


def _any(values: Any, rng: np.random.Generator) -> Any:
    return values[int(rng.integers(len(values)))]


def _copy(value: Any) -> Any:
    return json.loads(json.dumps(value))


def _at(root: Any, way: tuple[Any, ...]) -> Any:
    for key in way:
        root = root[key]
    return root


def _value(root: Any, rng: np.random.Generator) -> Any:
    """One value replaced, removed, or doubled under another name."""
    way = _any(places(root), rng)
    new = _copy(_any(VALUES, rng))
    if not way:
        return new if rng.random() < 0.2 else {**root, str(_any(LETTERS, rng)): new} if isinstance(root, dict) else new
    holder = _at(root, way[:-1])
    match int(rng.integers(0, 6)):
        case 0:
            del holder[way[-1]]
        case 1 if isinstance(holder, dict):
            holder[str(_any([v for v in VALUES if isinstance(v, str)], rng))] = holder.pop(way[-1])
        case 1:
            holder.insert(way[-1], _copy(holder[way[-1]]))
        case 2:  # another value of the same file, where it does not belong
            holder[way[-1]] = _copy(_at(root, _any(places(root), rng)))
        case _:
            holder[way[-1]] = new
    return root


def _text(root: Any, rng: np.random.Generator) -> Any:
    """One text, or a name of a field, with some letters changed or none left."""
    texts = [way for way in places(root) if isinstance(_at(root, way), str) or (way and isinstance(way[-1], str))]
    if not texts:
        return root
    way = _any(texts, rng)
    holder, old = _at(root, way[:-1]) if way else None, _at(root, way)
    name = holder is not None and isinstance(way[-1], str) and (not isinstance(old, str) or rng.random() < 0.3)
    letters = list(way[-1] if name else old)
    for _ in range(int(rng.integers(1, 4))):
        place = int(rng.integers(0, len(letters) + 1))
        match int(rng.integers(0, 5)):
            case 0:
                letters[place : place + 1] = [_any(LETTERS, rng)]
            case 1:
                letters[place:place] = [_any(LETTERS, rng)]
            case 2:
                del letters[place : place + int(rng.integers(1, 9))]
            case 3:
                letters = []
            case 4:
                letters = letters * int(rng.integers(2, 50))
    new = "".join(letters)
    if name:
        holder[new] = holder.pop(way[-1])
    elif holder is None:
        return new
    else:
        holder[way[-1]] = new
    return root


def _numbers(header: Any, weights: bytes, rng: np.random.Generator) -> bytes:
    """Some numbers of one array, or of all of them; the arrays are of float32."""
    values = np.frombuffer(weights[: len(weights) // 4 * 4], "<f4").copy()
    arrays = [v for k, v in header.items() if k != "__metadata__" and isinstance(v, dict) and "data_offsets" in v]
    try:
        begin, end = (int(place) // 4 for place in _any(arrays, rng)["data_offsets"])
        count = int(rng.integers(1, 4))
        where = rng.integers(begin, end, count) if rng.random() < 0.8 else slice(begin, end)
    except (OverflowError, TypeError, ValueError):  # an earlier change was to these places
        return weights
    where = where % len(values) if isinstance(where, np.ndarray) else where
    values[where] = _any(NUMBERS, rng)
    return values.tobytes() + weights[len(weights) // 4 * 4 :]


def _bytes(content: bytes, rng: np.random.Generator) -> bytes:
    """Some bytes changed or lost, most often in the header."""
    changed = bytearray(content)
    header = 8 + int(struct.unpack("<Q", content[:8])[0])
    for _ in range(int(rng.integers(1, 4))):
        place = int(rng.integers(0, min(len(changed), header if rng.random() < 0.8 else len(changed))))
        match int(rng.integers(0, 5)):
            case 0:
                changed[place] = int(rng.integers(0, 256))
            case 1:
                changed[place] ^= 1 << int(rng.integers(0, 8))
            case 2:
                changed[place] = int(rng.choice(list(b'0123456789"{}[],:-.eE')))
            case 3:
                del changed[place : place + int(rng.integers(1, 9))]
            case 4:
                del changed[place + 1 :]
    return bytes(changed)
