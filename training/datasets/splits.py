"""Which of a user's own pictures are for training, validation and testing: always whole photos, whatever is in them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

SPLITS = ("train", "val", "test")


def drawn_for_test(file: str, share: float) -> bool:
    """Whether a picture is among the `share` of all pictures that are held out.

    A hash of its base name decides, so the same picture gets the same answer from whatever folder, file and order it is
    named, and one that is held out at some share is also held out at every larger one.
    """
    return _number(file, 0) < share * 2.0**64


def drawn_for_validation(file: str, share: float) -> bool:
    """The same for validation, independently: whoever changes one share does not move pictures of the other."""
    return _number(file, 8) < share * 2.0**64


def _number(file: str, start: int) -> int:
    # Files are not always named in UTF-8: what Python makes of the other bytes goes back to what it was.
    digest = hashlib.sha256(PurePosixPath(file).name.encode(errors="surrogateescape")).digest()
    return int.from_bytes(digest[start : start + 8])


@dataclass(frozen=True)
class Division:
    """How pictures are divided: `listed` gives the split of some, `rest` that of all others, None if of none.

    Where neither is given, `share` of the pictures are drawn for testing. Of those for training, the share
    `validation` is drawn for that. `same`: base names that stand for another one, see `same_photos`.
    """

    share: float = 0.0
    listed: Mapping[str, str] = field(default_factory=dict)
    rest: str | None = None
    validation: float = 0.0
    same: Mapping[str, str] = field(default_factory=dict)

    @property
    def draws(self) -> bool:
        """Whether names decide about some pictures."""
        return (not self.told and 0 < self.share < 1) or self.validation > 0

    @property
    def told(self) -> bool:
        """Whether somebody said what is for testing, picture by picture."""
        return bool(self.listed or self.rest)

    def split(self, file: str) -> str | None:
        """The split that a picture belongs to, if to any."""
        name = PurePosixPath(file).name
        name = self.same.get(name, name)
        drawn = "test" if drawn_for_test(name, self.share) else "train"
        split = self.listed.get(file, self.rest) if self.told else drawn
        return "val" if split == "train" and drawn_for_validation(name, self.validation) else split

    @property
    def rule(self) -> str:
        """One line for the protocol."""
        if self.told:
            rule = "split as listed"
        elif self.share in (0, 1):
            rule = f"all pictures are for {'testing' if self.share else 'training'}"
        else:
            rule = f"{self.share:g} of the pictures, drawn by their names, are for testing"
        return rule + (f", {self.validation:g} of those for training for validation" if self.validation else "")

    def remedy(self, split: str, things: str = "pictures") -> str:
        """What helps where a split is empty."""
        if split == "val":
            return f"?val=0.1 holds out a tenth of the {things} for training; where there are few, name a larger share"
        return f"?test=0.2 holds out a fifth of the {things}, ?test=1 says that all are for testing"


def same_photos(pictures: Iterable[tuple[Path, str]]) -> dict[str, str]:
    """Of files and the names that they are drawn by: the names that are to stand for one another, as copies do.

    Files of the same bytes are one photo. Each of their names but the first, in the order of the alphabet, is given the
    first; where that would leave a single photo, none is, since that cannot be divided. Only files of one length are
    read; those that cannot be are none's copies.
    """
    pictures = [(path, PurePosixPath(name).name) for path, name in pictures]
    first: dict[str, str] = {}

    def settled(name: str) -> str:
        while name in first:
            name = first[name]
        return name

    for copies in _copies(pictures):
        one, *others = sorted(set(map(settled, copies)))
        first |= dict.fromkeys(others, one)
    if len({settled(name) for _, name in pictures}) == 1:
        return {}
    return {name: settled(name) for name in first}


def _copies(pictures: Iterable[tuple[Path, str]]) -> Iterator[set[str]]:
    """The names of the files of the same bytes, where these have more than one."""
    by_length: dict[int, list[tuple[Path, str]]] = {}
    for path, name in pictures:
        try:
            by_length.setdefault(os.stat(path).st_size, []).append((path, name))
        except (OSError, ValueError):
            continue
    for alike in by_length.values():
        by_content: dict[bytes, set[str]] = {}
        for path, name in alike if len({name for _, name in alike}) > 1 else ():
            try:
                with open(path, "rb") as file:
                    by_content.setdefault(hashlib.file_digest(file, "sha256").digest(), set()).add(name)
            except OSError:
                continue
        yield from (names for names in by_content.values() if len(names) > 1)
