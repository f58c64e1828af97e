"""Films that cameras made, and cameras themselves, by PyAV, which brings FFmpeg's libraries: `hbcore[films]`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hbcore.photos.reading import MAX_PIXELS, PictureError

CONTAINERS = "mov,matroska,avi,mpegts,mpeg,ogg,asf,flv"
"""The kinds of files that FFmpeg may open: of its many others, some lead to further files, or into the network."""

DEVICES = {"linux": ("v4l2", "/dev/video{}"), "darwin": ("avfoundation", "{}"), "win32": ("dshow", "video={}")}
"""Of a system: the driver by which FFmpeg sees its cameras, and how that calls them."""


class Footage:
    """The moving picture in a file, or of a camera, as `pictures`. PictureError where it cannot be opened."""

    def __init__(self, name: str, opened: Any, errors: type[Exception], usual: float) -> None:
        self.name, self.container, self.errors, self.usual = name, opened, errors, usual
        if not opened.streams.video:
            opened.close()
            raise PictureError(f"{name}: holds no moving picture")
        self.stream = opened.streams.video[0]
        self.stream.thread_type = "AUTO"
        if self.stream.width * self.stream.height > MAX_PIXELS:
            opened.close()
            raise PictureError(f"{name}: more than {MAX_PIXELS} pixels")

    @property
    def count(self) -> int | None:
        """How many pictures it has, where the file says so."""
        return self.stream.frames or None

    def pictures(self) -> Iterator[tuple[NDArray[np.uint8], float]]:
        """RGB (H, W, 3), upright as a phone was held, and the seconds since the picture before."""
        before = None
        with self.container:
            try:
                for frame in self.container.decode(self.stream):
                    now = frame.time
                    passed = self.usual if now is None or before is None or now <= before else now - before
                    before = now
                    turned = np.rot90(frame.to_ndarray(format="rgb24"), frame.rotation // 90)
                    yield np.ascontiguousarray(turned), passed
            except self.errors as error:
                raise PictureError(f"{self.name}: cannot be decoded ({_said(error)})") from error


def film(path: Path, usual: float) -> Footage:
    """A film file; `usual` seconds lie between pictures whose times it does not say."""
    av = library(f"{path}: is no folder of pictures and no animated one, and other films want")
    if not path.is_file():
        raise PictureError(f"{path}: {'not a regular file' if path.exists() else 'No such file or directory'}")
    try:
        opened = av.open(str(path.resolve()), container_options={"format_whitelist": CONTAINERS})
    except av.FFmpegError as error:
        raise PictureError(f"{path}: no film that can be read ({_said(error)})") from None
    return Footage(str(path), opened, av.FFmpegError, usual)


def camera(device: str, usual: float) -> Footage:
    """A camera of this computer: its number, or whatever FFmpeg's driver of the system calls it."""
    av = library("cameras want")
    if sys.platform not in DEVICES:
        raise PictureError(f"camera:{device}: no way is known to the cameras of {sys.platform}")
    driver, path = DEVICES[sys.platform]
    try:
        opened = av.open(path.format(device) if "/" not in device else device, format=driver)
    except av.FFmpegError as error:
        raise PictureError(f"camera:{device}: cannot be opened ({_said(error)})") from None
    return Footage(f"camera:{device}", opened, av.FFmpegError, usual)


def library(what: str) -> ModuleType:
    """PyAV. PictureError, what wants it before the remedy, where it is not installed."""
    try:
        import av
    except ImportError:
        raise PictureError(f'{what} PyAV: pip install "hbcore[films]"') from None
    return av


def _said(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error).lower()
