"""Read a picture from an untrusted file as RGB. The file itself is never touched."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

FORMATS = ("JPEG", "PNG", "BMP", "PPM", "WEBP", "TIFF")
"""The Pillow plug-ins that may see a file: the exotic ones are where its security reports come from."""

MAX_PIXELS = 120_000_000
"""More than the sensors of cameras and phones have, and 360 MB once decoded."""

ENDINGS = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".ppm", ".webp", ".tif", ".tiff"})
"""Of the names of picture files, in lower case."""

T = TypeVar("T")


class PictureError(ValueError):
    """A picture that cannot be read: one line with its path."""


_ORIENTATION_TAG = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation -> the operation that brings the stored pixels upright."""


def read_picture(path: Path, max_pixels: int = MAX_PIXELS, upright: bool = True) -> NDArray[np.uint8]:
    """A picture file as uint8 RGB of shape (H, W, 3), upright by its EXIF tag unless told not to be.

    16-bit grey is scaled to 8 bits, CMYK and palettes are converted, and transparent pixels are laid over
    black, the colour that a crop has outside its picture. Of several pages the first counts. Pillow itself caps
    `max_pixels` at twice `Image.MAX_IMAGE_PIXELS`.

    Raises PictureError, with the path in its message, for everything that is not such a picture: missing, no
    regular file, empty, another format, truncated or corrupt, of floating-point pixels, or of more than
    `max_pixels` pixels, which is found out from the header, before any pixel is decoded.
    """
    return _decode(path, max_pixels, lambda image: np.array(_rgb(_upright(image) if upright else image), np.uint8))


def read_levels(path: Path, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
    """The numbers, uint8 (H, W), of a picture of up to 8 bits per pixel: indices of colours, or levels of grey.

    Raises PictureError as `read_picture` does, and for a picture with other pixels.
    """
    return _decode(path, max_pixels, lambda image: np.array(_levels(image), dtype=np.uint8))


@dataclass(frozen=True)
class Header:
    """What a picture file says before its pixels: their number as stored, and the EXIF orientation, 1 for upright."""

    width: int
    height: int
    orientation: int = 1

    @property
    def stored(self) -> tuple[int, int]:
        """Width and height as stored."""
        return self.width, self.height

    @property
    def upright(self) -> tuple[int, int]:
        """Width and height once the picture is turned as its tag says."""
        return (self.height, self.width) if self.orientation >= 5 else self.stored


def read_header(path: Path) -> Header:
    """The header of a picture file, without decoding it. Raises PictureError as `read_picture`, if less often."""
    return _open(path, MAX_PIXELS, lambda image: Header(*image.size, _orientation(image)))


def _decode(path: Path, max_pixels: int, convert: Callable[[Image.Image], NDArray[np.uint8]]) -> NDArray[np.uint8]:
    def loaded(image: Image.Image) -> NDArray[np.uint8]:
        image.load()
        return convert(image)

    return _open(path, max_pixels, loaded)


def _open(path: Path, max_pixels: int, look: Callable[[Image.Image], T]) -> T:
    try:
        # Only regular files: opening a pipe would wait for its writer.
        if not path.is_file():
            raise PictureError(f"{path}: {'not a regular file' if path.exists() else 'no such picture'}")
        if path.stat().st_size == 0:
            raise PictureError(f"{path}: the file is empty")
        with warnings.catch_warnings():
            # Pillow warns of odd metadata, and of large pictures, which are our own decision here.
            warnings.simplefilter("ignore")
            with Image.open(path, formats=FORMATS) as image:
                if image.width * image.height > max_pixels:
                    raise PictureError(f"{path}: {image.width} x {image.height} exceeds {max_pixels} pixels")
                return look(image)
    except (PictureError, MemoryError):
        raise
    except Image.DecompressionBombError as error:
        raise PictureError(f"{path}: more than {max_pixels} pixels") from error
    except UnidentifiedImageError as error:
        raise PictureError(f"{path}: not a {', '.join(FORMATS)} picture; convert it to one of these") from error
    except Exception as error:
        # A corrupt file surfaces as whatever tripped its decoder: OSError, SyntaxError, struct.error, ...
        raise PictureError(f"{path}: cannot be decoded ({error})") from error


def _orientation(image: Image.Image) -> int:
    if image.format == "TIFF":  # Pillow turns these itself, and tells the size that they have then
        return 1
    try:
        orientation = image.getexif().get(_ORIENTATION_TAG)
    except Exception:
        # Broken metadata is no reason to lose the pixels.
        return 1
    return orientation if orientation in _UPRIGHT else 1


def _upright(image: Image.Image) -> Image.Image:
    orientation = _orientation(image)
    return image.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else image


def _levels(image: Image.Image) -> Image.Image:
    if image.mode not in ("1", "L", "P"):
        raise ValueError(f"its pixels are no indices of 8 bits, but {image.mode}")
    return image


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers of unknown range")
    if image.mode.startswith("I"):
        # 16 bits, in a mode of 16 or 32; Pillow's own convert() would clip at 255. 257 = 65535 / 255.
        levels = np.clip(np.asarray(image), 0, 65535).astype(np.uint32)
        return Image.fromarray(((levels + 128) // 257).astype(np.uint8)).convert("RGB")
    if image.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        black = Image.new("RGBA", image.size, (0, 0, 0, 255))
        return Image.alpha_composite(black, image).convert("RGB")
    return image.convert("RGB")
