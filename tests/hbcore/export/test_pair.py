"""A model and its finder in one C file: what a Landmarker finds in a photograph, of the same squares to the byte."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from hbcore import Landmarker, StackedHourglass, kernels, load_model, save_model
from hbcore.deploy.engine import Engine
from hbcore.deploy.model_file import ModelFileError
from hbcore.export.c.files import c_model
from hbcore.export.c.finding import with_finder, working
from hbcore.export.command import main
from hbcore.landmarks.crop import Crop
from tests.architectures import ARCHITECTURES, network
from tests.data_sets import DATA, needs_data
from tests.flags import HEADER
from tests.hbcore.export.programs import COMPILER, HERE, SANITIZED, STRICT
from tests.hbcore.export.test_c import variants
from tests.hbcore.export.test_machines import USER
from training.datasets.drawn.synthetic_faces import SyntheticFaces

pytestmark = pytest.mark.skipif(COMPILER is None, reason="there is no gcc to compile an exported model with")

HARNESS = Path(__file__).with_name("pair.c")
FINDER = {
    "task": "finder",
    "sizes": {"name": "sizes", "names": list("abcde")},
    "codec": {"input_size": 128, "stride": 4, "smallest": 12.0, "maps": 5},
    "output": "sigmoid",
    "confidence": {"threshold": 0.4, "right": 1.0, "wrong": 1.0, "crops": 5},
}


@dataclass(frozen=True)
class Pair:
    """A compiled pair; points: how many an instance has."""

    path: Path
    points: int

    def run(self, *arguments, pixels=b""):
        command = [self.path, *map(str, arguments)]
        done = subprocess.run(command, input=pixels, capture_output=True, check=False, timeout=120)
        assert (done.returncode, done.stderr) == (0, b""), done.stderr.decode()
        return done.stdout

    def find(self, photo, most=64, gap=0):
        """How many are told of, and these."""
        told = self.run("photograph", *photo.shape[:2], 3 * photo.shape[1] + gap, most, pixels=rows(photo, gap))
        fields = [("points", "<f4", (self.points, 3)), ("box", "<f8", (4,)), ("confidence", "<f8")]
        return int(np.frombuffer(told[:4], "<i4")[0]), np.frombuffer(told[4:], np.dtype(fields, align=True))


def rows(photo, gap):
    """The bytes of a photograph with a gap between its rows, which is not there behind the last."""
    wide = np.full((len(photo), 3 * photo.shape[1] + gap), 77, np.uint8)
    wide[:, : 3 * photo.shape[1]] = photo.reshape(len(photo), -1)
    return wide.tobytes()[: wide.size - gap]


def pair(folder, model, finder, *flags, damage=("", "")):
    """Export and compile, every warning an error. damage: a text, and what is written behind it."""
    made = with_finder(c_model(model, "net"), finder)
    folder.mkdir(exist_ok=True)
    at, more = damage
    assert at in made.files["net.c"]
    (folder / "net.c").write_text(made.files["net.c"].replace(at, at + more, 1) if at else made.files["net.c"])
    (folder / "net.h").write_text(made.files["net.h"])
    defined = f'-DSOURCE="{folder / "net.c"}"', "-DNAME=net"
    command = [COMPILER, *STRICT, *flags, *defined, "-o", folder / "program", HARNESS, "-lm"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return Pair(folder / "program", len(made.description.names))


@pytest.fixture(scope="module")
def variant():
    """The name of an engine whose sums have an order, which is that of a Landmarker made meanwhile."""
    name, before = variants()[0], kernels.backend
    kernels.backend = kernels.choose(name)
    yield name
    kernels.backend = before
    kernels.choose(os.environ.get("HBCORE_KERNELS") or None)


@pytest.fixture(scope="module")
def micro(tmp_path_factory, variant):
    """The shipped pair, and the Landmarker that it should equal."""
    folder = tmp_path_factory.mktemp("micro")
    made = pair(folder, "face68-micro", "face-finder", "-O2", "-march=native", f"-DHB_FUSED={kernels.FUSED[variant]:d}")
    return made, Landmarker("face68-micro")


def files(folder, output, **finder):
    """A model and a finder of random weights; that is of a given architecture, both are sure of everything."""
    likely = HEADER["confidence"] | {"threshold": 0.01}
    header = HEADER | {"output": output, "confidence": likely}
    paths = folder / f"{output}.safetensors", folder / "finder.safetensors"
    save_model(network(joints=3, depth=1).eval(), paths[0], header)
    save_model(network(**({"real_lin": True, "seed": 2} | finder)).eval(), paths[1], FINDER)
    return paths


@pytest.fixture(scope="module")
def small(tmp_path_factory, variant):
    """Random networks, a Landmarker and its program under sanitizers, of maps that are logits and that are none."""
    found = {}
    for output in ("sigmoid", "identity"):
        folder = tmp_path_factory.mktemp(output)
        model, finder = files(folder, output)
        made = pair(folder, model, finder, *SANITIZED, f"-DHB_FUSED={kernels.FUSED[variant]:d}")
        found[output] = made, Landmarker(model, finder=finder)
    return found


def drawn(down, across, side=160):
    """Drawn faces beside and above each other."""
    faces = SyntheticFaces("test", down * across, size=side)
    pictures = [faces.sample(index).picture for index in range(down * across)]
    return np.concatenate([np.concatenate(pictures[y * across : (y + 1) * across], axis=1) for y in range(down)])


def require_equal(made, landmarker, photo, gap=0):
    """How many are found, by both the same."""
    count, found = made.find(photo, gap=gap)
    expected = landmarker(photo)
    assert count == len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one["box"], other.box, rtol=0, atol=1e-4)
        np.testing.assert_allclose(one["points"][:, :2], other.points, rtol=0, atol=1e-4)
        np.testing.assert_allclose(one["points"][:, 2], other.scores, rtol=0, atol=1e-7)
        assert one["confidence"] == pytest.approx(other.confidence, abs=1e-7)
    return count


# ---------------------------------------------------------------------------------- a network of any size


@pytest.mark.parametrize("name", ["bottleneck", "several words", "multi-scale, average, improved", "average"])
def test_maps_of_a_finder_are_the_engines_to_the_bit(name, tmp_path, variant):
    """Of every size from one program, of steps that the landmark network beside it does not have."""
    model, finder = files(tmp_path, "sigmoid", **ARCHITECTURES[name])
    made = pair(tmp_path, model, finder, "-O1", f"-DHB_FUSED={kernels.FUSED[variant]:d}")
    assert made.run("selftest") == b"yy"
    for height, width in ((128, 128), (128, 32), (64, 96)):
        picture = np.random.default_rng(height).integers(0, 256, (height, width, 3), dtype=np.uint8)
        expected = Engine(load_model(finder)[0], height, width)(picture[None])
        assert made.run("maps", height, width, 3 * width, pixels=picture.tobytes()) == expected.tobytes()


# ------------------------------------------------------------------------------------------------- squares


def test_squares_of_photographs_are_pythons_to_the_byte(small):
    """Larger, smaller, much smaller, beyond the edge, of a few pixels: with no more memory than was counted."""
    made, rng = small["identity"][0], np.random.default_rng(7)
    seen = 0
    for n in range(60):
        height, width = (int(side) for side in rng.integers(1, 500, 2))
        photo = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        size, side = int(rng.choice([16, 48, 64])), float(np.exp(rng.uniform(0, np.log(3000))))
        x, y = float(rng.uniform(-0.3, 1.3) * width), float(rng.uniform(-0.3, 1.3) * height)
        if n % 3 == 0:
            x, y, side = (width - 1) / 2, (height - 1) / 2, float(max(height, width))
        expected = Crop((x, y), side, size).extract(photo)
        memory = working(size, max(height, width))
        told = made.run("square", height, width, 3 * width + n, x, y, side, size, memory, pixels=rows(photo, n))
        assert told == expected.tobytes(), (height, width, x, y, side, size)
        seen += bool(expected.any())
    assert seen > 40


# --------------------------------------------------------------------------------------------- photographs


@pytest.mark.parametrize(("down", "across"), [(1, 1), (2, 3), (3, 2), (1, 4), (4, 4)])
def test_drawn_faces(micro, down, across):
    """Shapes that the finder sees as squares of 384, and as 256 and 128 rows or columns of them."""
    made, landmarker = micro
    assert require_equal(made, landmarker, drawn(down, across), gap=5) >= down * across // 2


def test_a_large_face_and_none(micro):
    """One of 900 pixels, made smaller on the way; noise, and a photograph of one pixel."""
    made, landmarker = micro
    assert require_equal(made, landmarker, drawn(1, 1, 900)) == 1
    noise = np.random.default_rng(1).integers(0, 256, (300, 500, 3), dtype=np.uint8)
    assert require_equal(made, landmarker, noise) == 0
    assert require_equal(made, landmarker, noise[:1, :1]) == 0


@pytest.mark.parametrize("output", ["sigmoid", "identity"])
def test_networks_that_see_something_everywhere(small, output):
    """Many boxes and many that are the same thing, at the edges too; under sanitizers, with NaN in the arena before."""
    made, landmarker = small[output]
    faces = drawn(2, 3, 100)
    photos = [faces, faces[:, :90], faces[:40], faces[:3, :7]]
    counts = [require_equal(made, landmarker, np.ascontiguousarray(photo), gap=2) for photo in photos]
    assert sum(counts) >= 6


def test_only_as_many_as_there_is_room_for(small):
    made, photo = small["sigmoid"][0], drawn(2, 3, 100)
    count, found = made.find(photo)
    assert count > 1
    one, surest = made.find(photo, most=1)
    assert one == 1
    assert surest.tobytes() == found[:1].tobytes()
    assert made.find(photo, most=0)[0] == 0
    assert (np.diff(found["confidence"]) <= 0).all()


def test_photographs_that_are_too_large(small):
    """Said before a pixel of it is read."""
    (size,) = np.frombuffer(small["sigmoid"][0].run("photograph", 1, 16385, 0, 4, pixels=bytes(3 * 16385))[:4], "<i4")
    assert size == -1


# -------------------------------------------------------------------------------------------------- the file


def test_both_networks_have_a_self_test(micro, small, tmp_path):
    assert micro[0].run("selftest") == b"yy"
    assert small["identity"][0].run("selftest") == b"yy"
    model, finder = files(tmp_path, "sigmoid")
    text = with_finder(c_model(model, "net"), finder).files["net.c"]
    begin = text.index("static const float finder_shift_0[")
    line = text[begin : text.index("{\n    ", begin) + 6]
    assert pair(tmp_path / "b", model, finder, "-O1", damage=(line, "1 + ")).run("selftest") == b"yn"


def test_no_memory_but_the_arena(micro):
    """As for one network: no writable variable, nothing of a library but memcpy and its like, and little stack."""
    folder = micro[0].path.parent
    flags = [COMPILER, *STRICT, "-O2", "-fno-pie", "-fstack-usage", "-c", "net.c"]
    subprocess.run(flags, cwd=folder, check=True)
    listed = subprocess.run(["nm", "net.o"], cwd=folder, capture_output=True, text=True, check=True).stdout
    symbols = [line.split()[-2:] for line in listed.splitlines()]
    assert {kind for kind, _ in symbols} <= set("TtrRU")
    assert {name for kind, name in symbols if kind == "U"} <= {"memcpy", "memmove", "memset"}
    used = [line.split("\t") for line in (folder / "net.su").read_text().splitlines()]
    assert all(int(size) <= 1024 for _, size, _ in used)


def test_the_command_and_its_example(tmp_path, capsys, micro, variant):
    """The Makefile's self-test, what is said, and the points of a PPM picture."""
    command = ["c", "face68-micro", "--finder", "face-finder", "-o", str(tmp_path), "--name", "face", "--pictures", "0"]
    assert main(command) == 0
    header = (tmp_path / "face.h").read_text()
    ram, flash = (int(header.split(f"_{what} ")[1].split()[0]) for what in ("RAM", "FLASH"))
    assert f"RAM {ram} bytes, constants {flash} bytes" in capsys.readouterr().out
    command = [
        COMPILER,
        *STRICT[:4],
        "-O1",
        f"-DHB_FUSED={kernels.FUSED[variant]:d}",
        "example.c",
        "face.c",
        "-o",
        "example",
        "-lm",
    ]
    subprocess.run(command, cwd=tmp_path, check=True, timeout=300)
    run = subprocess.run(["./example", "--selftest"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert run.stdout == "self-test: the same to the last bit\n"
    photo = drawn(2, 3)
    (tmp_path / "photo.ppm").write_bytes(b"P6 480 320 255\n" + photo.tobytes())
    run = subprocess.run(["./example", "photo.ppm"], cwd=tmp_path, capture_output=True, text=True, check=True)
    lines = run.stdout.splitlines()
    count, found = micro[0].find(photo)
    assert len(lines) == 69 * count
    numbers = np.array([line.split() for line in lines if not line.startswith("instance")], dtype=float)
    np.testing.assert_allclose(numbers[:, 1:3], found["points"][..., :2].reshape(-1, 2), atol=0.02)


@pytest.mark.parametrize("name", ["aarch64", "armv7", "s390x"])
def test_other_machines_say_the_same(name, tmp_path):
    """The example's text about a drawn face, which it finds, to the last digit; sums rounded twice everywhere."""
    machine = USER[name][0]
    if machine.missing:
        pytest.skip(f"{machine.missing} is not installed")
    for file, text in with_finder(c_model("face68-micro", "net"), "face-finder").contents.items():
        if "/" not in file:
            (tmp_path / file).write_bytes(text)
    photo = np.pad(drawn(1, 1), ((0, 0), (0, 320), (0, 0)))  # wide: the finder's square has 128 rows, not 384
    (tmp_path / "photo.ppm").write_bytes(b"P6 480 160 255\n" + photo.tobytes())
    said = []
    for number, one in enumerate((HERE, machine)):
        flags = "-static", "-std=c99", "-O2", "-DHB_FUSED=0", "-o", f"example{number}"
        subprocess.run([one.compiler, *flags, "example.c", "net.c"], cwd=tmp_path, check=True, timeout=300)
        command = [*([one.emulator] if one.emulator else []), f"./example{number}", "photo.ppm"]
        said.append(subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout)
    assert said[0].count("instance") >= 1
    assert said[1] == said[0]


def test_models_that_do_not_go_together(tmp_path, capsys):
    """One line each, and no file."""
    model, finder = files(tmp_path, "sigmoid")
    out = tmp_path / "out"
    said = {
        ("face68-micro", "face68-tiny"): "finds points or parts where it is told to look",
        ("face-finder", "face-finder"): "a finder: name it beside a model of points, as --finder face-finder",
        ("face68-micro", "nobody"): "unknown model 'nobody'",
    }
    for (one, other), message in said.items():
        assert main(["c", one, "--finder", other, "-o", str(out), "--pictures", "0"]) == 3
        told = capsys.readouterr().err
        assert message in told
        assert told.count("\n") == 1
        assert not out.exists()
    parts = {key: value for key, value in HEADER.items() if key != "skeleton"}
    parts |= {
        "parts": {"name": "p", "names": list("abc")},
        "output": "softmax",
        "codec": {"input_size": 64, "stride": 4},
    }
    save_model(StackedHourglass(16, 3, depth=1, seed=1).eval(), tmp_path / "parts.safetensors", parts)
    with pytest.raises(ModelFileError, match="finds parts, and a finder leads to models of points"):
        with_finder(c_model(tmp_path / "parts.safetensors"), finder)
    with pytest.raises(ModelFileError, match="finders compute in floats: leave out --integers or --finder"):
        with_finder(c_model(model, integers=True), finder)
    assert with_finder(c_model(model), finder).files  # any points


@needs_data("afw_photos")
def test_real_photographs(micro):
    """Fifteen of AFW that the finder was not trained on."""
    from PIL import Image

    made, landmarker = micro
    photos = sorted((DATA / "afw_photos" / "images").iterdir())[-65::4][:15]
    found = [require_equal(made, landmarker, np.array(Image.open(photo).convert("RGB"))) for photo in photos]
    assert sum(found) >= 15
