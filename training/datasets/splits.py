"""Which of a user's own pictures are for training and which for testing: always whole pictures, whatever is in them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath


def drawn_for_test(file: str, share: float) -> bool:
    """Whether a picture is among the `share` of all pictures that are held out.

    A hash of its name decides, so the same name gets the same answer in every file, order and run, and a picture
    held out at some share is also held out at every larger one.
    """
    # Files are not always named in UTF-8: what Python makes of the other bytes goes back to what it was.
    digest = hashlib.sha256(str(PurePosixPath(file)).encode(errors="surrogateescape")).digest()
    return int.from_bytes(digest[:8]) < share * 2.0**64


@dataclass(frozen=True)
class Division:
    """How pictures are divided: `listed` gives the split of some, `rest` that of all others, None if of none.

    Where nothing is listed, `share` of the pictures are drawn for testing.
    """

    share: float = 0.0
    listed: Mapping[str, str] = field(default_factory=dict)
    rest: str | None = None

    def split(self, file: str) -> str | None:
        """The split that a picture belongs to, if to any."""
        if self.listed:
            return self.listed.get(file, self.rest)
        return "test" if drawn_for_test(file, self.share) else "train"

    @property
    def rule(self) -> str:
        """One line for the protocol."""
        if self.listed:
            return "split as listed"
        if self.share in (0, 1):
            return f"all pictures are for {'testing' if self.share else 'training'}"
        return f"{self.share:g} of the pictures, drawn by their names, are for testing"
