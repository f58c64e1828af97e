"""Where labels are and what the user said about them: folders, splits, and how names and sizes are to be taken."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Literal

from training.datasets.annotations import file_name, leads_out
from training.datasets.own.content import Content, Contradiction
from training.datasets.own.scheme import OwnScheme
from training.datasets.splits import Division, Fold
from training.errors import DataError, UserError


@dataclass(frozen=True)
class LabelFile:
    """What follows the name of a kind of labels on the command line.

    `images` is the folder of the pictures, by default that of the label file; `test` the share of the pictures held
    out, `val` that of the others held out for validation, `fold` the part of the rest to test on; `skeleton` a TOML
    file, by default the one beside the label file with the same name, if there is one.
    `rescale`: "yes" scales labels from the size that the label file tells to that of the picture, "no" says that the
    sizes it tells are wrong. `exif`: "ignore" leaves pictures as stored, "apply" says that labels are of upright ones.
    `base_names`: of a name that leads out of the picture folder take what follows the last slash.
    """

    path: Path
    images: str | None = None
    test: float | None = None
    val: float = 0.0
    fold: Fold | None = None
    skeleton: str | None = None
    rescale: Literal["yes", "no"] | None = None
    exif: Literal["ignore", "apply"] | None = None
    base_names: bool = False
    _short: dict[str, str] = field(default_factory=dict, repr=False, compare=False)

    @property
    def name(self) -> str:
        """That of the file without its ending, or of the folder."""
        return self.path.stem if self.path.is_file() else self.path.resolve().name

    def folder(self, root: Path | None = None) -> Path:
        """The folder of the pictures: `images`, else `root`, else that of the file. DataError if there is none."""
        folder = (root or self.path.parent) if self.images is None else Path(self.images)
        if not folder.is_dir():
            raise DataError(f"{self.path}: there is no folder {folder} with its pictures: name it by ?images=FOLDER")
        return folder

    def toml(self) -> Path | None:
        """The TOML file that describes the labels, None if there is none. One that was named must be there."""
        if self.skeleton is not None:
            return Path(self.skeleton)
        beside = (
            self.path.with_suffix(".toml") if self.path.is_file() else self.path.resolve().parent / f"{self.name}.toml"
        )
        return beside if beside.is_file() else None

    def division(self, content: Content, folder: Path) -> Division:
        """How the pictures of `content`, which lie in `folder`, are divided.

        Raises UserError if that is said twice, DataError for a list that names other pictures, or fewer than folds.
        """
        listed, scheme = content.listed, content.scheme
        said = {"in the label file": listed, "in the TOML file": scheme.lists, "by ?test=": self.test is not None}
        ways = [way for way, given in said.items() if given]
        if len(ways) > 1:
            raise UserError(f"{self.path}: train and test are told apart {' and '.join(ways)}: keep one of them")
        files = content.files
        self._check_lists(scheme, files)
        division = Division(
            self.test or 0.0, listed or scheme.lists, None if listed else scheme.rest, self.val, self.fold
        )
        division = division.of((folder / file, file) for file in files)
        if division.listed:
            self._check_spellings(division, files)
        return division

    def _check_lists(self, scheme: OwnScheme, files: Mapping[str, None]) -> None:
        """Raise DataError if the TOML file lists what is no picture here: its picture would be in the other split."""
        strange = [name for name in scheme.lists if name not in files]
        if strange:
            bases = {PurePosixPath(file).name.lower(): file for file in files}
            nearest = bases.get(PurePosixPath(strange[0]).name.lower())
            hint = f"; did you mean {nearest!r}?" if nearest else ": name pictures as the label file does"
            names = ", ".join(map(repr, strange[:5])) + (f" and {len(strange) - 5} more" if len(strange) > 5 else "")
            raise DataError(f"{self.toml()}: train or test lists {names}, which {self.path} does not name{hint}")

    def _check_spellings(self, division: Division, files: Mapping[str, None]) -> None:
        """Raise DataError if one picture under two names, as a.png and ./a.png, is in two splits."""
        seen: dict[str, str] = {}
        for file in files:
            other = seen.setdefault(str(PurePosixPath(file)), file)
            if division.split(other) != division.split(file):
                raise DataError(f"{self.path}: {other!r} and {file!r} are one picture, but in different splits")

    def picture(self, value: object, what: str) -> str:
        """The name of a picture below the picture folder, with slashes; Windows' backslashes become slashes.

        Raises DataError, which starts with `what`, for a name that leads out of the folder, unless base names are
        taken, and Contradiction where two names have the same base name.
        """
        if not isinstance(value, str):
            return file_name(value, what)
        slashed = value.replace("\\", "/")
        base = slashed.rpartition("/")[2]
        if not self.base_names:
            try:
                return file_name(slashed, what)
            except DataError as error:
                if slashed == base or not base or "leads out" not in str(error):
                    raise
                raise DataError(f"{error}; ?names=base looks for {base!r} in that folder") from None
        name = file_name(base if leads_out(slashed) else slashed, what)
        if self._short.setdefault(name, slashed) != slashed:
            raise Contradiction(f"{what}: {slashed!r} and {self._short[name]!r} are both {name!r} by ?names=base")
        return name
