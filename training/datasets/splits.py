"""Which of a user's own pictures are for training, validation and testing: always whole photos, whatever is in them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Self

from training.errors import DataError, UserError

SPLITS = ("train", "val", "test")
MOST_FOLDS = 1000
NAMES = "surrogateescape"
"""Files are not always named in UTF-8: what Python makes of the other bytes goes back to what it was."""


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
    digest = hashlib.sha256(PurePosixPath(file).name.encode(errors=NAMES)).digest()
    return int.from_bytes(digest[start : start + 8])


@dataclass(frozen=True)
class Fold:
    """Part `number`, from 1, of `of` equal parts of the photos for training, dealt out by `seed`.

    Raises UserError where there is no such part.
    """

    number: int
    of: int
    seed: int = 0

    def __post_init__(self) -> None:
        if not (2 <= self.of <= MOST_FOLDS and 1 <= self.number <= self.of):
            raise UserError(f"there is no fold {self}: write N/K or N/K/SEED, with N from 1 to K, K from 2 on")

    @classmethod
    def read(cls, text: str) -> Self:
        """The fold that `N/K` or `N/K/SEED` names. Raises UserError for another text."""
        parts = text.split("/")
        if not (2 <= len(parts) <= 3 and all(part.isascii() and part.isdigit() and len(part) < 20 for part in parts)):
            raise UserError(f"{text!r} is no fold: write N/K or N/K/SEED, as 2/5")
        return cls(*map(int, parts))

    def __str__(self) -> str:
        return f"{self.number}/{self.of}{f'/{self.seed}' if self.seed else ''}"

    def dealt(self, photos: Collection[str]) -> dict[str, int]:
        """The part of each photo, whatever their order; parts differ by one photo at most.

        Raises DataError where there are fewer photos than parts.
        """
        if len(photos) < self.of:
            raise DataError(f"{len(photos)} photos for training cannot be divided into {self.of} folds: ask for fewer")
        drawn = sorted(photos, key=lambda photo: hashlib.sha256(f"{self.seed} {photo}".encode(errors=NAMES)).digest())
        return {photo: 1 + place % self.of for place, photo in enumerate(drawn)}


@dataclass(frozen=True)
class Division:
    """How pictures are divided: `listed` gives the split of some, `rest` that of all others, None if of none.

    Where neither is given, `share` of the pictures are drawn for testing. Of those for training, the share
    `validation` is drawn for that. With a `fold`, that part of what remains is for testing, and what was for testing is
    for nothing. What depends on which pictures there are is known to `of(pictures)`: `same`, the base names that stand
    for another one, see `same_photos`, and `dealt`, the part of each photo.
    """

    share: float = 0.0
    listed: Mapping[str, str] = field(default_factory=dict)
    rest: str | None = None
    validation: float = 0.0
    fold: Fold | None = None
    same: Mapping[str, str] = field(default_factory=dict)
    dealt: Mapping[str, int] = field(default_factory=dict)

    def of(self, pictures: Iterable[tuple[Path, str]]) -> Self:
        """The same for these files and the names that they are drawn by. Raises DataError as `Fold.dealt`."""
        if not self.draws:
            return self
        pictures = list(pictures)
        division = replace(self, same=same_photos(pictures))
        if self.fold is None:
            return division
        whole = replace(division, fold=None)
        photos = {whole.photo(name) for _, name in pictures if whole.split(name) == "train"}
        return replace(division, dealt=self.fold.dealt(photos))

    @property
    def draws(self) -> bool:
        """Whether names decide about some pictures."""
        return (not self.told and 0 < self.share < 1) or self.validation > 0 or self.fold is not None

    @property
    def told(self) -> bool:
        """Whether somebody said what is for testing, picture by picture."""
        return bool(self.listed or self.rest)

    def photo(self, file: str) -> str:
        """The name that a picture is drawn by."""
        name = PurePosixPath(file).name
        return self.same.get(name, name)

    def split(self, file: str) -> str | None:
        """The split that a picture belongs to, if to any."""
        photo = self.photo(file)
        drawn = "test" if drawn_for_test(photo, self.share) else "train"
        split = self.listed.get(file, self.rest) if self.told else drawn
        if split == "train" and drawn_for_validation(photo, self.validation):
            return "val"
        if self.fold is None or split is None:
            return split
        return None if split == "test" else "test" if self.dealt[photo] == self.fold.number else "train"

    @property
    def rule(self) -> str:
        """One line for the protocol."""
        if self.told:
            rule = "split as listed"
        elif self.share in (0, 1):
            rule = f"all pictures are for {'testing' if self.share else 'training'}"
        else:
            rule = f"{self.share:g} of the pictures, drawn by their names, are for testing"
        rule += f", {self.validation:g} of those for training for validation" if self.validation else ""
        return rule + (f"; of the rest for training, fold {self.fold} is for testing" if self.fold else "")

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
