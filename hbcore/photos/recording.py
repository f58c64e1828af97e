"""Pictures of what was seen, kept as they come: in a folder, or as a film."""

from __future__ import annotations

import os
from contextlib import nullcontext, suppress
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hbcore.deploy.model_file import write_whole
from hbcore.photos.cinema import library
from hbcore.photos.drawing import png
from hbcore.photos.reading import PictureError

ENCODERS = {".mp4": "h264", ".webm": "libvpx-vp9"}
"""What a film is written with, by the ending of its name."""

_TICKS = 1000  # of the times of pictures, a second


def recorder(path: Path | None) -> Folder | FilmFile | nullcontext[None]:
    """What keeps the pictures with what was found: a film where the name is one's, else a folder."""
    if path is None:
        return nullcontext()
    return FilmFile(path) if path.suffix.lower() in ENCODERS else Folder(path)


class Folder:
    """Pictures by their numbers in a new folder."""

    def __init__(self, path: Path) -> None:
        self.path, self.count = path, 0
        path.mkdir(parents=True)

    def add(self, picture: NDArray[np.uint8], _passed: float) -> None:
        self.count += 1
        write_whole(self.path / f"{self.count:05d}.png", png(picture))

    def __enter__(self) -> Folder:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: object, trace: TracebackType | None) -> None:
        """Each picture is whole already."""


class FilmFile:
    """A film of pictures, all brought to the first one's size: whole or not at all. OSError where that fails."""

    def __init__(self, path: Path) -> None:
        self.av, self.path = library(f"{path}: films want"), path
        self.part = path.with_name(f".{os.getpid()}.{path.name}")
        self.part.open("xb").close()  # an error now rather than after the first picture
        self.time = 0.0
        self.container: Any = None
        self.stream: Any = None

    def add(self, picture: NDArray[np.uint8], passed: float) -> None:
        """One more picture, RGB (H, W, 3), which comes so many seconds after the one before."""
        height, width = (side // 2 * 2 for side in picture.shape[:2])  # colours are kept for two pixels at once
        frame = self.av.VideoFrame.from_ndarray(np.ascontiguousarray(picture[:height, :width]), format="rgb24")
        try:
            if self.container is None:
                self._begin(height, width, rate=max(1, round(1 / passed)))
            else:
                self.time += passed
            frame.pts, frame.time_base = round(self.time * _TICKS), Fraction(1, _TICKS)
            self.container.mux(self.stream.encode(frame))
        except self.av.FFmpegError as error:
            raise PictureError(f"{self.path}: cannot be written ({error})") from error

    def _begin(self, height: int, width: int, rate: int) -> None:
        self.container = self.av.open(str(self.part), "w", format=self.path.suffix[1:].lower())
        self.stream = self.container.add_stream(ENCODERS[self.path.suffix.lower()], rate=rate)
        self.stream.width, self.stream.height, self.stream.pix_fmt = width, height, "yuv420p"
        self.stream.time_base = self.stream.codec_context.time_base = Fraction(1, _TICKS)

    def __enter__(self) -> FilmFile:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: object, trace: TracebackType | None) -> None:
        try:
            if self.container is not None:
                if kind is None:
                    self.container.mux(self.stream.encode(None))
                self.container.close()
                if kind is None:
                    self.part.replace(self.path)
        finally:
            with suppress(OSError):
                self.part.unlink(missing_ok=True)
