"""As much of YAML as the data files of YOLO need, read strictly: what is not understood is refused, not guessed."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

from training.datasets.annotations import text_lines
from training.errors import DataError

_KEY = re.compile(r"""(?P<key>[\w.-]+|"[^"\\]*"|'[^']*')\s*:(?:\s+(?P<rest>.*))?$""")
_NUMBER = re.compile(r"[-+]?\d{1,15}$")
_DEEPEST = 20


def load_yaml(path: Path, wanted: Collection[str]) -> dict[str, Any]:
    """The values of the keys `wanted` at the top of a YAML file; all others are passed over.

    Values are whole numbers, texts, and lists and tables of these, in brackets or one to a line. Raises DataError,
    naming file and line, for a wanted value that is anything else.
    """
    lines = []
    for number, text in enumerate(text_lines(path, 2**20), start=1):
        plain = _without_comment(text).rstrip()
        if plain.strip() and plain not in ("---", "..."):
            lines.append((number, len(plain) - len(plain.lstrip(" ")), plain.strip()))
    found: dict[str, Any] = {}
    place = 0
    while place < len(lines):
        number, indent, text = lines[place]
        end = place + 1
        while end < len(lines) and (lines[end][1] > indent or (lines[end][1] == indent and lines[end][2][0] in "-]}")):
            end += 1
        match = _KEY.match(text)
        key = _scalar(match["key"]) if match else None
        if indent == 0 and match is None:
            raise DataError(f"{path}, line {number}: is no line KEY: VALUE of a YAML file")
        if match and key in wanted:
            if key in found:
                raise DataError(f"{path}, line {number}: the key {key!r} occurs twice")
            found[str(key)] = _Value(path, lines[place:end]).read(match["rest"])
        place = end
    return found


class _Value:
    """One value: what stands behind its key, and the lines below that belong to it."""

    def __init__(self, path: Path, lines: list[tuple[int, int, str]]) -> None:
        self.path, self.lines = path, lines

    def read(self, rest: str | None) -> Any:
        below = self.lines[1:]
        if not rest:
            return self._block(below, 0) if below else None
        if rest[0] in "[{":
            text = " ".join([rest, *(line for _, _, line in below)])
            value, end = self._flow(text, 0, 0)
            if text[end:].strip():
                raise self._error("has something behind its bracket")
            return value
        if below or rest[0] in "&*!|>%@`":
            raise self._error(f"{rest!r} is more than the simple YAML that is read here")
        return _scalar(rest)

    def _error(self, text: str, number: int | None = None) -> DataError:
        return DataError(f"{self.path}, line {number or self.lines[0][0]}: {text}")

    def _block(self, lines: list[tuple[int, int, str]], depth: int) -> Any:
        """A list or table with one entry to a line."""
        if depth > _DEEPEST:
            raise self._error("is nested too deeply")
        number, indent, first = lines[0]
        is_list = first.startswith("- ") or first == "-"
        items: list[Any] = []
        table: dict[Any, Any] = {}
        place = 0
        while place < len(lines):
            number, here, text = lines[place]
            end = place + 1
            # The entries of a list may stand right below the key that has it.
            while end < len(lines) and (
                lines[end][1] > indent or (not is_list and lines[end][1] == indent and lines[end][2].startswith("- "))
            ):
                end += 1
            match = _KEY.match(text)
            if here != indent or (is_list and not text.startswith("-")) or (not is_list and match is None):
                raise self._error(f"{text!r} is more than the simple YAML that is read here", number)
            rest = text[1:].strip() if is_list else (match["rest"] if match else None)
            if is_list and _KEY.match(rest or "") and (rest or "")[0] not in "[{":
                raise self._error(f"{text!r} is more than the simple YAML that is read here", number)
            value = _Value(self.path, lines[place:end]).read_below(rest, depth + 1)
            if is_list:
                items.append(value)
            elif match is not None:
                table[_scalar(match["key"])] = value
            place = end
        return items if is_list else table

    def read_below(self, rest: str | None, depth: int) -> Any:
        below = self.lines[1:]
        return self._block(below, depth) if not rest and below else self.read(rest)

    def _flow(self, text: str, start: int, depth: int) -> tuple[Any, int]:
        """The value in brackets that begins at `start`, and where it ends."""
        if depth > _DEEPEST:
            raise self._error("is nested too deeply")
        closing = {"[": "]", "{": "}"}[text[start]]
        items: list[Any] = []
        table: dict[Any, Any] = {}
        place = start + 1
        while True:
            place = _space(text, place)
            if place >= len(text):
                raise self._error(f"has no {closing!r}")
            if text[place] == closing:
                return (items if closing == "]" else table), place + 1
            key = None
            if closing == "}":
                match = re.compile(r"""([\w.-]+|"[^"\\]*"|'[^']*')\s*:\s+""").match(text, place)
                if match is None:
                    raise self._error("should be {KEY: VALUE, ...}")
                key, place = _scalar(match[1]), match.end()
            if text[place : place + 1] in ("[", "{"):
                value, place = self._flow(text, place, depth + 1)
            else:
                match = re.compile(r"""\s*("(?:[^"\\]|\\.)*"|'(?:[^']|'')*'|[^,\[\]{}"']+)""").match(text, place)
                if match is None:
                    raise self._error("has an entry that is no number, text, list or table")
                value, place = _scalar(match[1].strip()), match.end()
            if closing == "]":
                items.append(value)
            else:
                table[key] = value
            place = _space(text, place)
            if text[place : place + 1] == ",":
                place += 1
            elif text[place : place + 1] != closing:
                raise self._error(f"has no {closing!r}")


def _space(text: str, place: int) -> int:
    while place < len(text) and text[place].isspace():
        place += 1
    return place


def _scalar(text: str) -> int | str | None:
    if len(text) >= 2 and text[0] == text[-1] == '"':
        try:
            return str(json.loads(text))
        except ValueError:
            return text[1:-1]
    if len(text) >= 2 and text[0] == text[-1] == "'":
        return text[1:-1].replace("''", "'")
    if text in ("", "~", "null"):
        return None
    return int(text) if _NUMBER.match(text) else text


def _without_comment(text: str) -> str:
    """The line up to a # that begins a comment."""
    quote = ""
    for place, sign in enumerate(text):
        if quote:
            quote = "" if sign == quote else quote
        elif sign in "\"'" and (place == 0 or text[place - 1] in " [{,:-"):  # no apostrophe within a word
            quote = sign
        elif sign == "#" and (place == 0 or text[place - 1].isspace()):
            return text[:place]
    return text
