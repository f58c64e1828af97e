"""Arrays as C text: constants of the smallest type that holds them to the last bit, and their bytes counted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hbcore import bits
from hbcore.autograd.function import Array
from hbcore.bits import Words

GROUP = 8  # filters that a word, or a number, of the picture meets at once
LEVELS = 127  # of a byte, up and down
LOWEST = float(np.finfo(np.float32).min)
TYPES = {"float32": "float", "float64": "double", "uint32": "uint32_t", "int32": "int32_t", "int8": "int8_t"}
SIZE, ENDING = 9 * 4, 9 * 4
WHOLE_ENDING = 14 * 4
TABLES = {
    "binary_layer": SIZE + 4 + ENDING,
    "layer": SIZE + 3 * 4 + ENDING,
    "integer_binary_layer": SIZE + 4 + WHOLE_ENDING,
    "integer_layer": SIZE + 4 + WHOLE_ENDING,
    "ending": WHOLE_ENDING,
}
"""Bytes of the structs of `text/convolutions/` and `text/integers/` where pointers and `int` have four."""


class Constants:
    """Arrays and tables on their way into a C file. bytes: what they take on a device whose addresses have 32 bits."""

    def __init__(self) -> None:
        self.definitions: list[tuple[str, Array] | list[str]] = []
        self.bytes = 0

    def add(self, name: str, values: Array) -> str:
        """Define an array of that name, which is given back."""
        self.bytes += values.nbytes
        self.definitions.append((name, values))
        return name

    def add_table(self, kind: str, name: str, rows: list[str]) -> None:
        """Define a struct by its fields."""
        self.bytes += TABLES[kind]
        begin = f"static const {kind.removeprefix('integer_')} {name} = {{"
        self.definitions.append([begin, *(f"    {row}," for row in rows), "};"])

    def lines(self) -> Iterator[str]:
        """The text, which is made only here: whoever counts needs none."""
        for each in self.definitions:
            if isinstance(each, list):
                yield from each
            else:
                name, values = each
                yield f"static const {TYPES[values.dtype.name]} {name}[{values.size}] = {{"
                yield from _rows(values)
                yield "};"


def _rows(values: Array) -> list[str]:
    texts = [literal(value) for value in values.ravel()]
    rows, row = [], "   "
    for text in texts:
        if len(row) + len(text) > 116:
            rows.append(row)
            row = "   "
        row += f" {text},"
    return [*rows, row]


def literal(value: Any) -> str:
    """A number in C that is read back to the last bit."""
    if value.dtype == np.uint32:
        return f"0x{value:08x}u" if value else "0"
    if value.dtype in (np.int8, np.int32):
        return str(value)
    return f"{value!s}f" if value.dtype == np.float32 else repr(float(value))


def words32(words: Words, channels: int) -> NDArray[np.uint32]:
    """Words of 64 bits (..., words) as words of 32 (..., ceil(channels / 32)), the lower half first."""
    halves = np.stack([words & 0xFFFFFFFF, words >> np.uint64(32)], axis=-1).astype(np.uint32)
    return np.ascontiguousarray(halves.reshape(*words.shape[:-1], -1)[..., : -(-channels // 32)])


def grouped(w: Array) -> Array:
    """Filters (terms, O) in groups: (O / GROUP, terms, GROUP), zeros behind the last filter."""
    terms, filters = w.shape
    padded = np.zeros((terms, -(-filters // GROUP) * GROUP), dtype=w.dtype)
    padded[:, :filters] = w
    return np.ascontiguousarray(padded.reshape(terms, -1, GROUP).transpose(1, 0, 2))


def in_groups(values: Array, beyond: float) -> Array:
    """Numbers of filters (O,) as float32, and after them others up to a multiple of GROUP."""
    found = np.full(-(-len(values) // GROUP) * GROUP, beyond, dtype=np.float32)
    found[: len(values)] = values
    return found


def comparison(threshold: Array, flip: Words) -> tuple[Array, NDArray[np.uint32]]:
    """(threshold, flip) of finite numbers alone that say the same of every finite x.

    x < infinity always holds and x < NaN never does; nor does x < LOWEST, which flipped always holds.
    """
    always, never = np.isposinf(threshold), ~(threshold > -np.inf)
    flipped = bits.unpack_bits(flip, len(threshold)) ^ always
    finite = np.where(always | never, LOWEST, threshold).astype(np.float32)
    return finite, words32(bits.pack_bits(flipped), len(threshold))


def in_bytes(w: Array) -> tuple[NDArray[np.int8], Array] | None:
    """Weights (terms, O) as whole numbers of steps (O,), of which they are the float32 product; None if they are not.

    So they come out of packed files, and so are signs.
    """
    largest = np.abs(w).max(axis=0)
    middle = largest / np.float32(LEVELS)
    levels, steps = np.zeros(w.shape, dtype=np.int8), np.zeros(w.shape[1], dtype=np.float32)
    left = np.ones(w.shape[1], dtype=bool)
    for step in (middle, np.nextafter(middle, np.float32(0)), np.nextafter(middle, np.float32(np.inf)), largest):
        found = np.rint(w / np.where(step == 0, np.float32(1), step)).clip(-LEVELS, LEVELS).astype(np.int8)
        fits = left & (found.astype(np.float32) * step == w).all(axis=0)
        levels[:, fits], steps[fits] = found[:, fits], step[fits]
        left &= ~fits
    return None if left.any() else (levels, steps)
