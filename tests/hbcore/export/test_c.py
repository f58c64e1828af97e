"""The exported C file computes what the engine computes, to the last bit, and reads and writes nothing else."""

import hashlib
import platform
import shutil
import subprocess

import numpy as np
import pytest

from hbcore import kernels, load_model
from hbcore.autograd.ops import sigmoid
from hbcore.deploy.lowering import lower
from hbcore.export.c.files import c_files
from hbcore.export.c.network import CNetwork
from hbcore.export.command import main
from hbcore.export.integers.lowering import in_integers
from hbcore.landmarks.description import to_maps
from hbcore.landmarks.heatmaps import HeatmapCodec
from hbcore.landmarks.landmarker import Landmarker, find_model
from hbcore.landmarks.masks import MaskCodec
from tests.architectures import ARCHITECTURES, network
from tests.hbcore.export.programs import COMPILER, SANITIZED, STRICT, compiled, program

pytestmark = pytest.mark.skipif(COMPILER is None, reason="there is no gcc to compile an exported model with")


def shades(side, seed=3, channels=3):
    return np.random.default_rng(seed).integers(0, 256, (side, side, channels), dtype=np.uint8)


def variants():
    """Of the engine, whose sums have an order."""
    return [name for name in kernels.available() if name in kernels.FUSED] or pytest.skip(
        "the wide kernels are not there"
    )


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_maps_are_the_engines_to_the_bit(name, tmp_path, engine_of):
    """One architecture after the other with other roundings and another way to count bits; every fourth sanitized."""
    at = list(ARCHITECTURES).index(name)
    model, side, kind = network(**ARCHITECTURES[name]).eval(), 32, variants()[at // 3 % len(variants())]
    flags = SANITIZED if at % 4 == 0 else ("-O0",)  # which compiles sooner
    made = program(tmp_path, model, side, *flags, f"-DHB_PATH={1 + at % 3}", f"-DHB_FUSED={kernels.FUSED[kind]:d}")
    picture = shades(side)
    expected = engine_of(model, side, kind)(picture[None])
    assert made.maps(picture).tobytes() == expected.tobytes()
    assert made.run("selftest", picture, 0) == b"y"
    assert made.maps(picture[::-1]).tobytes() != expected.tobytes()


GNU = "-std=gnu11", "-ffp-contract=fast", "-march=native"
"""What GCC does without flags: it may round a product and a sum once, wherever it likes."""


@pytest.mark.parametrize("flags", [("-DHB_PATH=1",), ("-DHB_PATH=2",), ("-DHB_PATH=3",), ("-march=native",), GNU])
def test_every_way_to_count_bits(flags, tmp_path):
    """-march=native takes what the machine has, and by default a product and its sum are rounded at once there."""
    model = network(features=48, joints=17, stem=40, activation="prelu").eval()
    made = program(tmp_path, model, 32, "-O3", *flags)
    assert made.run("selftest", shades(32), 0) == b"y"


def test_rows_that_blocks_of_pixels_do_not_divide(tmp_path):
    """Maps 24 pixels wide, 22 between borders: the last block of sixteen overlaps, those of six leave some over."""
    model = network(features=32, stem=24, stacks=2, joints=17).eval()
    assert program(tmp_path, model, 96, "-O2", "-march=native").run("selftest", shades(96), 0) == b"y"


@pytest.mark.skipif(platform.machine() != "x86_64", reason="needs registers of more digits than a float has")
def test_registers_of_more_digits(tmp_path):
    """With -std=c99 casts round what they hold; with GCC's own dialect they do not, which the file refuses."""
    made = program(tmp_path, network(real_lin=True).eval(), 32, "-O1", "-mfpmath=387")
    assert made.run("selftest", shades(32), 0) == b"y"
    with pytest.raises(AssertionError, match="give -std=c99"):
        program(tmp_path, network(real_lin=True).eval(), 32, "-O1", "-mfpmath=387", "-std=gnu11")


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A network, and its program under sanitizers."""
    model = network(real_lin=True, stem=16).eval()
    return model, program(tmp_path_factory.mktemp("small"), model, 32, *SANITIZED, "-DHB_FUSED=0")


def test_a_damaged_weight_fails_the_self_test(small, tmp_path):
    model, _ = small
    broken = program(tmp_path, model, 32, "-O1", damage=("static const float shift_0[16] = {\n    ", "1 + "))
    assert broken.run("selftest", shades(32), 0) == b"n"


def test_pictures_of_other_kinds_and_with_gaps_between_rows(small):
    """Read to the last byte and no further, which the sanitizers see: the gap behind the last row is not there."""
    _, made = small
    picture = shades(32)
    gaps = np.zeros((32, 100), dtype=np.uint8)
    gaps[:, :96] = picture.reshape(32, 96)
    expected = made.answer("rgb", picture, 96)
    assert np.isfinite(expected).all()
    assert np.array_equal(made.answer("rgb", gaps.ravel()[:-4], 100), expected)

    grey = picture[..., 0]
    assert np.array_equal(made.answer("grey", grey, 32), made.answer("rgb", grey[..., None].repeat(3, axis=2), 96))

    coarse = picture.astype(int)
    red, green, blue = coarse[..., 0] >> 3, coarse[..., 1] >> 2, coarse[..., 2] >> 3
    full = np.stack([red << 3 | red >> 2, green << 2 | green >> 4, blue << 3 | blue >> 2], axis=-1).astype(np.uint8)
    packed = (red << 11 | green << 5 | blue).astype(">u2")
    assert np.array_equal(made.answer("rgb565", packed, 64), made.answer("rgb", full, 96))
    assert not np.array_equal(made.answer("rgb565", packed, 64), expected)


@pytest.mark.parametrize(("output", "sigma"), [("sigmoid", 1.0), ("identity", 1.0), ("sigmoid", 1.6)])
def test_points_are_those_of_the_codec(output, sigma, tmp_path):
    """Of the same maps: within a ten thousandth of a pixel, float64 being added in another order."""
    model = network(joints=40, seed=4).eval()
    made = program(tmp_path, model, 64, *SANITIZED, output=output, sigma=sigma)
    for seed in range(3):
        picture = shades(64, seed)
        maps = made.maps(picture)[0]
        points, scores = HeatmapCodec(64, sigma=sigma).decode(sigmoid(maps) if output == "sigmoid" else maps)
        found = made.answer("rgb", picture, 192)
        np.testing.assert_allclose(found[:, :2], points, rtol=0, atol=1e-4)
        np.testing.assert_allclose(found[:, 2], scores, rtol=1e-6)


def test_classes_are_those_of_the_codec(tmp_path):
    model = network(joints=5, seed=2).eval()
    made = program(tmp_path, model, 64, *SANITIZED, parts=True)
    picture = shades(64)
    maps = made.maps(picture)[0]
    (expected,) = MaskCodec(64).decode(maps)
    assert len(np.unique(expected)) > 2
    assert np.array_equal(made.answer("rgb", picture, 192), expected)


@pytest.mark.parametrize(("sigma", "stack", "whole"), [(1.0, 1024, False), (16.0, 1536, False), (1.0, 1024, True)])
def test_no_memory_but_the_arena(sigma, stack, whole, tmp_path):
    """No writable variable, nothing of a library but memcpy and its like, and little stack; whole: in whole numbers."""
    model = network(joints=17).eval()
    program(tmp_path, model, 64, sigma=sigma, whole=in_integers(lower(model, 64, 64)) if whole else None)
    # -fno-pie: constants that hold addresses stay constants.
    flags = [COMPILER, *STRICT, "-O2", "-fno-pie", "-fstack-usage", "-c", "net.c"]
    subprocess.run(flags, cwd=tmp_path, check=True)
    listed = subprocess.run(["nm", "net.o"], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    symbols = [line.split()[-2:] for line in listed.splitlines()]
    kinds = {kind for kind, _ in symbols}
    assert kinds <= set("TtrRU")
    assert {name for kind, name in symbols if kind == "U"} <= {"memcpy", "memmove", "memset"}
    used = [line.split("\t") for line in (tmp_path / "net.su").read_text().splitlines()]
    assert all(int(size) <= stack for _, size, _ in used)


def test_the_shipped_model(tmp_path, capsys, engine_of):
    """By the command: twice the same bytes, its Makefile's self-test, the engine's maps, and what the header says."""
    for folder in ("a", "b"):
        assert main(["c", "face68-tiny", "-o", str(tmp_path / folder), "--pictures", "0"]) == 0
    said = capsys.readouterr().out
    files = [path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*") if path.is_file()]
    assert len(files) == 9
    assert all((tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes() for file in files)
    path = find_model("face68-tiny")
    header = (tmp_path / "a" / "face68_tiny.h").read_text()
    assert hashlib.sha256(path.read_bytes()).hexdigest() in header
    assert "FACE68_TINY_MAPS 68 " in header
    ram = int(header.split("_RAM ")[1].split()[0])
    assert f"RAM {ram} bytes" in said

    if shutil.which("make"):
        subprocess.run(["make", "-s", "check", "CFLAGS=-O1 -Werror"], cwd=tmp_path / "a", check=True, timeout=300)
    kind = variants()[0]
    made = compiled(
        tmp_path / "a", "face68_tiny", (1, 32, 32, 68), 128, False, "-O1", f"-DHB_FUSED={kernels.FUSED[kind]:d}"
    )
    model, _ = load_model(path)
    picture = shades(128)
    assert made.maps(picture).tobytes() == engine_of(model, 128, kind)(picture[None]).tobytes()


def test_the_example_reads_a_picture(tmp_path, capsys):
    """Three times as large and beside the middle, of which it takes the middle of each 3x3 pixels."""
    assert main(["c", "face68-tiny", "-o", str(tmp_path), "--name", "face", "--pictures", "0"]) == 0
    sources = ["example.c", "face.c"]
    subprocess.run([COMPILER, *STRICT[:4], "-O1", *sources, "-o", "example"], cwd=tmp_path, check=True, timeout=300)
    picture = np.random.default_rng(9).integers(0, 256, (384, 428, 3), dtype=np.uint8)
    crop = shades(128)
    picture[1::3, 23:406:3] = crop
    (tmp_path / "picture.ppm").write_bytes(b"P6\n# by hand\n428 384 # and\n255\n" + picture.tobytes())
    run = subprocess.run(["./example", "picture.ppm"], cwd=tmp_path, capture_output=True, text=True, check=True)
    lines = run.stdout.splitlines()
    assert len(lines) == 69
    find = Landmarker("face68-tiny")
    points, scores = find.description.codec.decode(to_maps(find.engine(crop[None]), "sigmoid")[0])
    found = np.array([line.split() for line in lines[1:]], dtype=float)
    np.testing.assert_allclose(found[:, 1:3], points * 3 + 1 + [22, 0], atol=0.01)
    np.testing.assert_allclose(found[:, 3], scores, atol=0.001)
    assert subprocess.run(["./example", "none.ppm"], cwd=tmp_path, capture_output=True, check=False).returncode == 2


ESP32 = """
#include <cstddef>
#include <cstdint>
enum { PIXFORMAT_RGB565, FRAMESIZE_240X240, FRAMESIZE_VGA, FRAMESIZE_XGA, CAMERA_FB_IN_PSRAM, ESP_OK };
struct camera_config_t { int pixel_format, frame_size, fb_count, fb_location; };
struct camera_fb_t { uint8_t *buf; size_t width, height; };
struct { void begin(int); template <class... T> void printf(T...); template <class... T> void println(T...);
         template <class T> void print(T); } Serial;
int esp_camera_init(camera_config_t *);
camera_fb_t *esp_camera_fb_get();
void esp_camera_fb_return(camera_fb_t *), *ps_malloc(size_t), delay(int);
"""
"""What a sketch for an ESP32 finds there, as far as ours asks for it."""


@pytest.mark.skipif(not shutil.which("g++"), reason="there is no g++")
def test_the_sketch_asks_for_a_large_enough_picture(tmp_path):
    """C++, as Arduino compiles it; a network of 32 pixels, of whose size the header then says another."""
    table = lower(network().eval(), 32, 32)
    files, _ = c_files(table, HeatmapCodec(32), "sigmoid", "net", "0" * 64)
    sketch = files["arduino/net/examples/camera/camera.ino"]
    (tmp_path / "esp_camera.h").write_text(ESP32)
    for side, frame in {240: "FRAMESIZE_240X240", 256: "FRAMESIZE_VGA", 640: "FRAMESIZE_XGA", 1024: ""}.items():
        (tmp_path / "net.h").write_text(files["net.h"].replace("_WIDTH 32", f"_WIDTH {side}"))
        compiler = ["g++", "-x", "c++", "-Wall", f"-I{tmp_path}", "-"]
        done, text = (
            subprocess.run([*compiler, flag], input=sketch, capture_output=True, text=True, check=False)
            for flag in ("-fsyntax-only", "-E")
        )
        assert (done.returncode == 0) == bool(frame), done.stderr
        assert not frame or f"config.frame_size = {frame};" in text.stdout


@pytest.mark.skipif(not shutil.which("make"), reason="there is no make")
def test_the_makefile_asks_for_this_cpu_where_the_compiler_can(tmp_path):
    """One that knows no -march=native, as those for other machines, is not given it."""
    files, _ = c_files(lower(network().eval(), 32, 32), HeatmapCodec(32), "sigmoid", "net", "0" * 64)
    (tmp_path / "Makefile").write_text(files["Makefile"])
    for name in ("example.c", "net.c", "net.h"):
        (tmp_path / name).touch()
    for refuses in (0, 1):
        other = tmp_path / "cc"
        other.write_text(f"#!/bin/sh\nexit {refuses}\n")
        other.chmod(0o755)
        said = subprocess.run(["make", "-n", f"CC={other}"], cwd=tmp_path, capture_output=True, text=True, check=True)
        assert ("-march=native" in said.stdout) == (not refuses)


def test_weights_in_floats_need_no_memory_to_be_decoded_in():
    """A 7x7 convolution of three colours: 8 filters of 147 weights if in bytes; 7 rows of 32 + 6 pixels either way."""
    made = CNetwork(lower(network().eval(), 32, 32))
    first = made.table.steps[0]
    assert made._around(first, in_bytes=False) == 4 * 3 * 7 * (32 + 6)
    assert made._around(first, in_bytes=True) == 4 * (3 * 7 * (32 + 6) + 8 * 147)
