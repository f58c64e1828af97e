import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from training.errors import BadPicture
from training.pictures.reading import ENDINGS, read_header, read_levels, read_picture

JPEG_LEVELS = 6  # quality 95 without chroma subsampling moves a smooth picture by a few levels, not more


def smooth(height: int = 24, width: int = 32) -> NDArray[np.uint8]:
    """A picture without symmetry that survives JPEG."""
    y, x = np.mgrid[:height, :width]
    return np.stack([40 + 5 * x, 30 + 7 * y, 200 - 2 * x - 3 * y], axis=-1).astype(np.uint8)


def png(width: int, height: int, depth: int, colour: int, rows: bytes) -> bytes:
    """A PNG file by the letter of its specification, for what Pillow does not write."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("suffix", ["png", "bmp", "ppm"])
def test_lossless_rgb_is_read_as_it_is(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"picture.{suffix}"
    Image.fromarray(smooth()).save(path)
    picture = read_picture(path)
    assert picture.dtype == np.uint8
    assert picture.flags.writeable
    np.testing.assert_array_equal(picture, smooth())


def test_the_suffix_does_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "picture.jpg"
    Image.fromarray(smooth()).save(path, format="png")
    np.testing.assert_array_equal(read_picture(path), smooth())


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_jpeg(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "picture.jpg"
    Image.fromarray(smooth()).convert(mode).save(path, quality=95, subsampling=0)
    expected = smooth().astype(int)
    if mode == "L":  # ITU-R 601, as everywhere
        expected = np.repeat((expected @ [0.299, 0.587, 0.114])[..., None], 3, axis=-1)
    assert np.abs(read_picture(path) - expected).max() <= JPEG_LEVELS


def test_grey_and_black_and_white(tmp_path: Path) -> None:
    grey = smooth()[..., 0]
    Image.fromarray(grey).save(tmp_path / "grey.png")
    np.testing.assert_array_equal(read_picture(tmp_path / "grey.png"), np.repeat(grey[..., None], 3, axis=-1))
    bits = grey > 100
    Image.fromarray(bits).save(tmp_path / "bits.png")
    assert set(np.unique(read_picture(tmp_path / "bits.png"))) == {0, 255}
    np.testing.assert_array_equal(read_picture(tmp_path / "bits.png")[..., 1] == 255, bits)


@pytest.mark.parametrize("suffix", ["png", "pgm"])
def test_sixteen_bit_grey_is_scaled_and_not_clipped(tmp_path: Path, suffix: str) -> None:
    values = np.array([[0, 128, 129, 257, 1000, 32768, 65407, 65535]], np.uint16)
    path = tmp_path / f"deep.{suffix}"
    if suffix == "png":
        path.write_bytes(png(8, 1, 16, 0, b"\0" + values.astype(">u2").tobytes()))
    else:
        path.write_bytes(b"P5 8 1 65535\n" + values.astype(">u2").tobytes())
    expected = [0, 0, 1, 1, 4, 128, 255, 255]  # value * 255 / 65535, rounded
    np.testing.assert_array_equal(read_picture(path)[0], np.repeat(np.array(expected)[:, None], 3, axis=1))


def test_sixteen_bit_rgb(tmp_path: Path) -> None:
    values = np.array([[[0, 65535, 32896], [257, 514, 51400]]], ">u2")
    path = tmp_path / "deep.png"
    path.write_bytes(png(2, 1, 16, 2, b"\0" + values.tobytes()))
    np.testing.assert_array_equal(read_picture(path), [[[0, 255, 128], [1, 2, 200]]])


def test_transparency_is_laid_over_black(tmp_path: Path) -> None:
    rgba = np.array([[[200, 100, 50, 255], [200, 100, 50, 0], [200, 100, 50, 51]]], np.uint8)
    Image.fromarray(rgba).save(tmp_path / "rgba.png")
    np.testing.assert_array_equal(read_picture(tmp_path / "rgba.png"), [[[200, 100, 50], [0, 0, 0], [40, 20, 10]]])

    la = Image.merge("LA", [Image.fromarray(rgba[..., 0]), Image.fromarray(rgba[..., 3])])
    la.save(tmp_path / "la.png")
    np.testing.assert_array_equal(read_picture(tmp_path / "la.png")[0, :, 2], [200, 0, 40])


def test_palettes(tmp_path: Path) -> None:
    palette = Image.fromarray(np.array([[0, 1, 2]], np.uint8))
    palette = palette.convert("P")
    palette.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    palette.putdata([0, 1, 2])
    palette.save(tmp_path / "opaque.png")
    colours = [[10, 20, 30], [40, 50, 60], [70, 80, 90]]
    np.testing.assert_array_equal(read_picture(tmp_path / "opaque.png"), [colours])
    palette.save(tmp_path / "one.png", transparency=1)
    np.testing.assert_array_equal(read_picture(tmp_path / "one.png"), [[colours[0], [0, 0, 0], colours[2]]])
    palette.save(tmp_path / "each.png", transparency=bytes([0, 255, 51]))
    np.testing.assert_array_equal(read_picture(tmp_path / "each.png"), [[[0, 0, 0], colours[1], [14, 16, 18]]])


def test_a_transparent_colour_of_an_rgb_picture(tmp_path: Path) -> None:
    Image.fromarray(smooth()).save(tmp_path / "key.png", transparency=tuple(smooth()[3, 5].tolist()))
    expected = smooth()
    expected[3, 5] = 0
    np.testing.assert_array_equal(read_picture(tmp_path / "key.png"), expected)


# EXIF: which side of the scene the first stored row and the first stored column show.
UPRIGHT: dict[int, Callable[[NDArray[np.uint8]], NDArray[np.uint8]]] = {
    1: lambda stored: stored,  # top, left
    2: lambda stored: stored[:, ::-1],  # top, right
    3: lambda stored: stored[::-1, ::-1],  # bottom, right
    4: lambda stored: stored[::-1],  # bottom, left
    5: lambda stored: stored.swapaxes(0, 1),  # left, top
    6: lambda stored: stored[::-1].swapaxes(0, 1),  # right, top
    7: lambda stored: stored[::-1, ::-1].swapaxes(0, 1),  # right, bottom
    8: lambda stored: stored[:, ::-1].swapaxes(0, 1),  # left, bottom
}


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_exif_orientation_is_applied(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(smooth()).save(tmp_path / "turned.png", exif=exif)
    Image.fromarray(smooth()).save(tmp_path / "turned.jpg", exif=exif, quality=95, subsampling=0)
    expected = UPRIGHT[orientation](smooth())
    np.testing.assert_array_equal(read_picture(tmp_path / "turned.png"), expected)
    assert np.abs(read_picture(tmp_path / "turned.jpg").astype(int) - expected).max() <= JPEG_LEVELS


@pytest.mark.parametrize(
    "tag", [b"Exif\0\0nonsense", b"Exif\0\0MM\0\x2a\xff\xff\xff\xff", b"Exif\0\0II\x2a\0\x08\0\0\0\xff\xff"]
)
def test_broken_exif_costs_neither_the_picture_nor_a_warning(tmp_path: Path, tag: bytes) -> None:
    Image.fromarray(smooth()).save(tmp_path / "odd.jpg", exif=tag, quality=95, subsampling=0)
    assert read_picture(tmp_path / "odd.jpg").shape == (24, 32, 3)


def test_an_orientation_that_does_not_exist_is_ignored(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 9
    Image.fromarray(smooth()).save(tmp_path / "odd.png", exif=exif)
    np.testing.assert_array_equal(read_picture(tmp_path / "odd.png"), smooth())


@pytest.mark.parametrize("orientation", [1, 6, 8])
@pytest.mark.parametrize("ending", ["webp", "tif", "tiff"])
def test_other_formats_of_cameras_and_scanners(tmp_path: Path, ending: str, orientation: int) -> None:
    """6: what is stored on its side has its top on the right, 8: on the left."""
    path, turns = tmp_path / f"photo.{ending}", {1: 0, 6: -1, 8: 1}[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(smooth()).save(path, exif=exif, **({"lossless": True} if ending == "webp" else {}))
    assert path.suffix in ENDINGS
    np.testing.assert_array_equal(read_picture(path), np.rot90(smooth(), turns))
    assert read_header(path).upright == read_picture(path).shape[1::-1]


def test_the_photos_of_a_phone_are_not_too_large(tmp_path: Path) -> None:
    """8192 x 6144 are the 50 megapixels of many phones."""
    Image.new("L", (8192, 6144)).save(tmp_path / "photo.png")
    assert read_picture(tmp_path / "photo.png").shape == (6144, 8192, 3)


def write_gif(path: Path) -> None:
    Image.fromarray(smooth()).save(path, format="gif")


def write_truncated_jpeg(path: Path) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)).save(path, format="jpeg")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def write_truncated_png(path: Path) -> None:
    path.write_bytes(png(64, 64, 8, 2, b"\0" * 64 * 193)[:-30])


def write_large_header(path: Path) -> None:
    path.write_bytes(png(10_000, 12_001, 8, 0, b"\0"))


def write_larger_header(path: Path) -> None:
    path.write_bytes(png(12_000, 12_000, 8, 0, b"\0"))  # here Pillow warns


def write_bomb_header(path: Path) -> None:
    path.write_bytes(png(20_000, 20_000, 8, 0, b"\0"))  # here Pillow refuses by itself


def write_float_picture(path: Path) -> None:
    path.write_bytes(b"Pf\n2 1\n-1.0\n" + struct.pack("<2f", 0.5, 1e9))


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda path: None, "no such picture"),
    "directory": (lambda path: path.mkdir(), "not a regular file"),
    "empty": (lambda path: path.write_bytes(b""), "empty"),
    "text": (lambda path: path.write_text("no picture at all"), "not a JPEG, PNG, BMP, PPM, WEBP, TIFF picture"),
    "gif": (write_gif, "not a JPEG, PNG, BMP, PPM, WEBP, TIFF picture"),
    "signature": (lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n"), ""),
    "truncated jpeg": (write_truncated_jpeg, "cannot be decoded"),
    "truncated png": (write_truncated_png, "cannot be decoded"),
    "121 megapixels": (write_large_header, "10000 x 12001 exceeds 120000000 pixels"),
    "144 megapixels": (write_larger_header, "12000 x 12000 exceeds 120000000 pixels"),
    "400 megapixels": (write_bomb_header, "more than 120000000 pixels"),
    "floating point": (write_float_picture, "floating-point"),
}


@pytest.mark.parametrize(("write", "reason"), BAD.values(), ids=BAD)
def test_what_is_no_picture_is_named(tmp_path: Path, write: Callable[[Path], object], reason: str) -> None:
    path = tmp_path / "bad.jpg"
    write(path)
    with pytest.raises(BadPicture) as caught:
        read_picture(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_refused_instead_of_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(BadPicture, match="not a regular file"):
        read_picture(tmp_path / "pipe.jpg")


def test_what_the_system_refuses_to_open_is_a_bad_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "secret.png"
    Image.fromarray(smooth()).save(path)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    # chmod 000 would not stop a test that runs as root.
    monkeypatch.setattr("hbcore.photos.reading.Image.open", refuse)
    with pytest.raises(BadPicture, match="Permission denied"):
        read_picture(path)
    with pytest.raises(BadPicture):
        read_picture(tmp_path / ("x" * 5000))


def test_running_out_of_memory_is_not_blamed_on_the_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "good.png"
    Image.fromarray(smooth()).save(path)

    def fail(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr("hbcore.photos.reading.Image.open", fail)
    with pytest.raises(MemoryError):
        read_picture(path)


def test_the_pixel_limit_is_the_callers(tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    Image.fromarray(smooth()).save(path)
    assert read_picture(path, max_pixels=24 * 32).shape == (24, 32, 3)
    with pytest.raises(BadPicture, match="32 x 24 exceeds 767 pixels"):
        read_picture(path, max_pixels=24 * 32 - 1)


def test_the_file_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "bad.jpg"
    write_truncated_jpeg(path)
    before, stat = path.read_bytes(), path.stat()
    with pytest.raises(BadPicture):
        read_picture(path)
    assert path.read_bytes() == before
    assert path.stat().st_mtime_ns == stat.st_mtime_ns
    assert [entry.name for entry in tmp_path.iterdir()] == ["bad.jpg"]


@settings(deadline=None, derandomize=True, max_examples=50)
@given(
    kind=st.sampled_from(["png", "jpeg", "bmp", "ppm"]),
    edits=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=6),
    keep=st.floats(0, 1),
)
def test_a_damaged_file_gives_a_picture_or_a_bad_picture(
    tmp_path_factory: pytest.TempPathFactory, kind: str, edits: list[tuple[float, int]], keep: float
) -> None:
    path = tmp_path_factory.mktemp("damaged") / "picture"
    Image.fromarray(smooth()).save(path, format=kind)
    content = bytearray(path.read_bytes())
    for place, value in edits:
        content[int(place * len(content))] = value
    path.write_bytes(content[: round(keep * len(content))])
    try:
        picture = read_picture(path, max_pixels=10**6)
    except BadPicture:
        return
    assert picture.dtype == np.uint8
    assert picture.ndim == 3
    assert picture.shape[2] == 3


# -------------------------------------------------------------------------------------------------------- levels


@pytest.mark.parametrize("mode", ["L", "P"])
def test_levels_are_the_numbers_of_the_file(tmp_path: Path, mode: str) -> None:
    """Also where the colours of an index are something else altogether."""
    levels = np.arange(256, dtype=np.uint8).reshape(8, 32)
    image = Image.fromarray(levels)
    if mode == "P":
        image.putpalette(bytes(range(255, -1, -1)) * 3)
    image.save(tmp_path / "mask.png")
    read = read_levels(tmp_path / "mask.png")
    assert read.dtype == np.uint8
    assert np.array_equal(read, levels)


def test_levels_of_few_bits(tmp_path: Path) -> None:
    """Index-colour PNGs of 1, 2 and 4 bits by the letter: a row is a filter byte and packed indices."""
    palette = struct.pack(">I", 12) + b"PLTE" + bytes(12)
    palette += struct.pack(">I", zlib.crc32(b"PLTE" + bytes(12)))
    for depth, row, expected in ((1, 0b01100000, [0, 1, 1]), (2, 0b01111000, [1, 3, 2]), (4, 0x20, [2, 0])):
        data = png(len(expected), 1, depth, 3, bytes([0, row]))
        at = data.index(b"IDAT") - 4
        (tmp_path / "mask.png").write_bytes(data[:at] + palette + data[at:])
        assert read_levels(tmp_path / "mask.png").tolist() == [expected]


def test_levels_need_pixels_of_one_byte(tmp_path: Path) -> None:
    for mode in ("RGB", "RGBA", "I;16", "LA"):
        Image.new(mode, (4, 3)).save(tmp_path / "mask.png")
        with pytest.raises(BadPicture, match=r"mask\.png: cannot be decoded \(its pixels are no indices of 8 bits"):
            read_levels(tmp_path / "mask.png")
    with pytest.raises(BadPicture, match=r"none\.png: no such picture"):
        read_levels(tmp_path / "none.png")
    Image.new("L", (40, 30)).save(tmp_path / "mask.png")
    with pytest.raises(BadPicture, match="40 x 30 exceeds 1000 pixels"):
        read_levels(tmp_path / "mask.png", max_pixels=1000)
