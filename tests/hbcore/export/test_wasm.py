"""The network as WebAssembly: the engine's maps to the bit in Node.js, and a page that draws what it finds."""

import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hbcore import kernels
from hbcore.deploy.model_file import ModelFileError
from hbcore.export import command
from hbcore.export.wasm import module
from hbcore.export.wasm.module import TOOLS, wasm_files
from hbcore.landmarks.description import to_maps
from hbcore.landmarks.heatmaps import HeatmapCodec
from hbcore.landmarks.landmarker import Landmarker
from hbcore.landmarks.masks import MaskCodec
from tests.architectures import ARCHITECTURES
from tests.browser import Browser, chromium
from tests.hbcore.export.programs import model_of

MISSING = next((tool for tool in TOOLS if not shutil.which(tool)), None)
pytestmark = pytest.mark.skipif(MISSING is not None, reason=f"{MISSING} is not installed")
in_node = pytest.mark.skipif(not shutil.which("node"), reason="node is not installed")

DRIVER = """
import {readFileSync, writeFileSync} from "node:fs";
import {open} from "./net.mjs";
const model = await open(), picture = readFileSync("picture");
writeFileSync("maps", model.maps(picture));
console.log(JSON.stringify({same: model.same(), answer: Array.from(model.find(picture))}));
"""


def shades(side, seed=3):
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)


def written(files, folder):
    for name, content in files.items():
        (folder / name).write_bytes(content)


def said(folder, *words):
    return subprocess.run(["node", *words], cwd=folder, capture_output=True, text=True, check=False, timeout=60)


@in_node
@pytest.mark.skipif("sse2" not in kernels.available(), reason="needs kernels that round products and sums one by one")
@pytest.mark.parametrize("name", ["odd widths", "several words", "four paths", "binary weights, multi-scale", "real"])
def test_maps_are_the_engines_to_the_bit(name, tmp_path, engine_of):
    model = model_of(HeatmapCodec(32), "sigmoid", **ARCHITECTURES[name])
    written(wasm_files(model), tmp_path)
    picture = shades(32)
    (tmp_path / "picture").write_bytes(picture.tobytes())
    (tmp_path / "driver.mjs").write_text(DRIVER)
    run = said(tmp_path, "driver.mjs")
    assert (run.returncode, run.stderr) == (0, "")
    told = json.loads(run.stdout)
    maps = engine_of(model.network, 32, "sse2")(picture[None])
    assert (tmp_path / "maps").read_bytes() == maps.tobytes()
    assert told["same"]
    points, scores = model.description.codec.decode(to_maps(maps[0], "sigmoid"))
    found = np.array(told["answer"])
    np.testing.assert_allclose(found[:, :2], points, rtol=0, atol=1e-4)
    np.testing.assert_allclose(found[:, 2], scores, rtol=1e-6)


@in_node
def test_classes(tmp_path):
    model = model_of(MaskCodec(64), "softmax", joints=5, seed=2)
    written(wasm_files(model), tmp_path)
    picture = shades(64)
    (tmp_path / "picture").write_bytes(picture.tobytes())
    (tmp_path / "driver.mjs").write_text(DRIVER)
    told = json.loads(said(tmp_path, "driver.mjs").stdout)
    maps = np.frombuffer((tmp_path / "maps").read_bytes(), dtype=np.float32).reshape(model.table.maps.shape[1:])
    (expected,) = MaskCodec(64).decode(maps)
    assert len(np.unique(expected)) > 2
    assert told["answer"] == expected.ravel().tolist()


@in_node
def test_a_damaged_weight_fails_the_self_test(tmp_path):
    model = model_of(HeatmapCodec(32), "sigmoid", real_lin=True, stem=16)
    broken = re.sub(r"static const float shift_0\[\d+\] = \{\n    ", "\\g<0>1 + ", model.files["net.c"])
    assert broken != model.files["net.c"]
    written(wasm_files(replace(model, files=model.files | {"net.c": broken})), tmp_path)
    run = said(tmp_path, "net.mjs", "--selftest")
    assert (run.returncode, run.stdout) == (1, "self-test: other maps than where this file was written\n")


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    """face68-tiny, by the command."""
    folder = tmp_path_factory.mktemp("shipped")
    assert command.main(["wasm", "face68-tiny", "-o", str(folder), "--name", "face"]) == 0
    return folder


@in_node
def test_the_script_reads_a_picture(shipped, tmp_path):
    """Three times as large and beside the middle, of which it takes the middle of each 3x3 pixels."""
    picture = np.random.default_rng(9).integers(0, 256, (384, 428, 3), dtype=np.uint8)
    crop = shades(128)
    picture[1::3, 23:406:3] = crop
    (tmp_path / "picture.ppm").write_bytes(b"P6\n# by hand\n428 384 # and\n255\n" + picture.tobytes())
    run = said(tmp_path, str(shipped / "face.mjs"), "picture.ppm")
    found = np.array([line.split() for line in run.stdout.splitlines()], dtype=float)
    points, scores = expected_of(crop)
    np.testing.assert_allclose(found[:, 1:3], points * 3 + 1 + [22, 0], atol=0.01)
    np.testing.assert_allclose(found[:, 3], scores, atol=0.001)
    assert said(tmp_path, str(shipped / "face.mjs"), "--selftest").returncode == 0
    (tmp_path / "short.ppm").write_bytes(b"P6 428 384 255\n" + picture.tobytes()[:-1])
    for word in ("short.ppm", "none.ppm"):
        run = said(tmp_path, str(shipped / "face.mjs"), word)
        assert (run.returncode, run.stdout, run.stderr.count("\n")) == (2, "", 1)


def expected_of(crop):
    find = Landmarker("face68-tiny")
    return find.description.codec.decode(to_maps(find.engine(crop[None]), "sigmoid")[0])


def test_twice_the_same_bytes_and_over_nobody_elses(shipped, tmp_path, capsys):
    assert command.main(["wasm", "face68-tiny", "-o", str(tmp_path), "--name", "face"]) == 0
    for path in shipped.iterdir():
        assert (tmp_path / path.name).read_bytes() == path.read_bytes()
    (tmp_path / "face.wasm").write_bytes(b"\0asm of another")
    assert command.main(["wasm", "face68-tiny", "-o", str(tmp_path), "--name", "face"]) == 3
    assert "another's file" in capsys.readouterr().err


def test_without_a_compiler(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert command.main(["wasm", "face68-tiny", "-o", str(tmp_path / "web")]) == 3
    assert capsys.readouterr().err == "export: there is no clang here: install clang and lld, which write WebAssembly\n"
    assert not (tmp_path / "web").exists()


def test_a_file_that_does_not_compile(tmp_path):
    model = model_of(HeatmapCodec(32), "sigmoid")
    with pytest.raises(ModelFileError, match=r"clang does not compile the file for wasm32: .*error"):
        module.compiled(replace(model, files=model.files | {"net.c": "#error no\n"}))


@pytest.mark.parametrize("whole", [False, True])
def test_no_memory_but_the_arena(whole, tmp_path):
    """Compiled for wasm32, a network is functions and constants, in floats and in whole numbers; and little stack."""
    model = model_of(HeatmapCodec(32), "sigmoid", whole, stem=16)
    for file in ("net.c", "net.h"):
        (tmp_path / file).write_text(model.files[file])
    shutil.copy(module.TEXTS / "string.h", tmp_path)
    flags = [flag for flag in module.FLAGS if not flag.startswith(("-Wl", "-nostdlib"))]
    subprocess.run(["clang", *flags, "-I.", "-fstack-usage", "-S", "net.c"], cwd=tmp_path, check=True)
    assembly = (tmp_path / "net.s").read_text()
    sections = set(re.findall(r"^\s*\.section\s+\.(\w+)", assembly, re.M))
    assert {"rodata", "text"} <= sections <= {"rodata", "text", "custom_section"}
    assert ".bss" not in assembly
    used = [int(line.split("\t")[1]) for line in (tmp_path / "net.su").read_text().splitlines()]
    assert used
    assert max(used) <= 1024


def test_a_page_needs_nothing(shipped):
    assert not re.findall(r'(?:src|href)="(?!data:)|https?:|@import|fetch\(', (shipped / "face.html").read_text())


# ------------------------------------------------------------------------------------------------------- the page


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    chromium()
    with Browser(tmp_path_factory.mktemp("profile")) as there:
        yield there


def bitmap(picture: np.ndarray, path: Path) -> Path:
    """A BMP file of 24 bits, whose rows go from the bottom up in multiples of four bytes."""
    height, width = picture.shape[:2]
    rows = np.zeros((height, -(-3 * width // 4) * 4), dtype=np.uint8)
    rows[:, : 3 * width] = picture[::-1, :, ::-1].reshape(height, -1)
    numbers = (54 + rows.size, 0, 54, 40, width, height), (1, 24), (0, rows.size, 2835, 2835, 0, 0)
    kinds = "<u4", "<u2", "<u4"
    head = b"".join(np.array(values, dtype=kind).tobytes() for values, kind in zip(numbers, kinds, strict=True))
    path.write_bytes(b"BM" + head + rows.tobytes())
    return path


def choose(browser, path):
    """As a user does, by the field for files; waits for the answer."""
    chosen = browser.call("Runtime.evaluate", expression="element('file')")["result"]["objectId"]
    browser.ask("(state.answer = null, 0)")
    browser.call("DOM.setFileInputFiles", files=[str(path)], objectId=chosen)
    answered(browser)


def answered(browser):
    browser.ask("new Promise(done => { const look = () => state.answer ? done(1) : setTimeout(look, 5); look(); })")


@pytest.mark.parametrize(("width", "dark"), [(360, True), (1280, False)])
def test_the_page_finds_what_the_engine_finds(browser, shipped, tmp_path, width, dark):
    """A picture as large as the network's, and then in the middle of a larger one, moved to by keys."""
    browser.open(shipped / "face.html", width, dark=dark)
    assert browser.ask("document.documentElement.scrollWidth") <= width
    assert browser.ask("ready.then(() => element('said').textContent)") == ""
    crop = shades(128)
    points, scores = expected_of(crop)
    choose(browser, bitmap(crop, tmp_path / "crop.bmp"))
    found = np.array(browser.ask("state.answer"))
    np.testing.assert_allclose(found[:, :2], points, rtol=0, atol=1e-3)
    said = browser.ask("element('said').textContent")
    assert re.fullmatch(rf"\d+\.\d ms, confidence {scores.mean():.2f}", said)
    x, y = points[0]
    drawn = browser.ask(f"Array.from(to.getImageData({round(x)}, {round(y)}, 1, 1).data.subarray(0, 3))")
    np.testing.assert_allclose(drawn, [255, 154, 77] if dark else [196, 80, 10], atol=30)  # where a point is

    larger = shades(256, 4)
    larger[0:128, 0:128] = crop
    choose(browser, bitmap(larger, tmp_path / "larger.bmp"))
    browser.ask("(place(64 + 8, 64, 128), element('canvas').focus())")
    for key in ("ArrowLeft", "ArrowLeft", "ArrowLeft", "ArrowUp"):  # the last ones stay at the edge
        browser.press(key)
    assert browser.ask("state.square") == {"left": 0, "top": 0, "side": 128}
    assert browser.ask("state.answer") == found.tolist()
    browser.press("+")
    assert browser.ask("state.square.side") == 141
    browser.press("-")
    assert browser.ask("state.square.side") == 128
    assert browser.complaints == []


def test_pointing_dropping_and_files_that_are_no_pictures(browser, shipped, tmp_path):
    browser.open(shipped / "face.html")
    choose(browser, bitmap(shades(256), tmp_path / "a.bmp"))
    browser.ask("place(128, 128, 64)")
    left, top, scale = browser.ask("[onScreen().x, onScreen().y, onScreen().scale]")
    mouse = {"x": left + 100 / scale, "y": top + 60 / scale, "button": "left", "buttons": 1, "clickCount": 1}
    browser.call("Input.dispatchMouseEvent", type="mousePressed", **mouse)
    browser.call("Input.dispatchMouseEvent", type="mouseReleased", **mouse | {"buttons": 0})
    assert browser.ask("state.square") == {"left": 68, "top": 28, "side": 64}
    content = list(bitmap(shades(160), tmp_path / "b.bmp").read_bytes())
    drop = """(() => {{ const data = new DataTransfer(), file = new File([new Uint8Array({0})], "{1}");
        data.items.add(file);
        state.answer = null;
        document.dispatchEvent(new DragEvent("drop", {{dataTransfer: data, cancelable: true}})); }})()"""
    browser.ask(drop.format(content, "b.bmp"))
    answered(browser)
    assert browser.ask("state.square") == {"left": 0, "top": 0, "side": 160}
    browser.ask(drop.format([1, 2, 3], "b.txt"))
    browser.ask("new Promise(done => setTimeout(done, 100))")
    assert browser.ask("element('said').textContent") == "b.txt: is no picture that this browser can read"
    assert browser.complaints == []


def test_the_camera(shipped, tmp_path):
    """Chromium's own drawn camera, in a page from a file; the picture that stays is the one that was looked at."""
    chromium()
    with Browser(tmp_path, "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream") as there:
        there.open(shipped / "face.html", 360)
        there.ask("ready.then(() => element('camera').click())")
        answered(there)
        assert there.ask("element('camera').textContent") == "Stop"
        first = there.ask("Array.from(crop())")
        there.ask("new Promise(done => setTimeout(done, 500))")
        there.ask("(window.tracks = state.camera.srcObject.getTracks(), 0)")
        assert there.ask("tracks.map(track => track.readyState)") == ["live"]
        there.ask("element('camera').click()")
        assert there.ask("tracks.map(track => track.readyState)") == ["ended"]
        last = np.array(there.ask("Array.from(crop())"), dtype=np.uint8).reshape(128, 128, 3)
        assert last.std() > 10
        assert last.ravel().tolist() != first
        points, scores = expected_of(last)
        found = np.array(there.ask("state.answer"))
        np.testing.assert_allclose(found[:, :2], points, rtol=0, atol=1e-3)
        np.testing.assert_allclose(found[:, 2], scores, rtol=0, atol=1e-6)
        there.ask("new Promise(done => setTimeout(done, 100))")
        assert there.ask("state.answer") == found.tolist()
        assert there.ask("document.documentElement.scrollWidth") <= 360

        there.ask("(state.answer = null, element('camera').click())")
        answered(there)
        choose(there, bitmap(shades(160), tmp_path / "a.bmp"))
        there.ask("new Promise(done => { const look = () => state.camera ? setTimeout(look, 5) : done(1); look(); })")
        assert there.ask("[canvas.width, element('camera').textContent]") == [160, "Camera"]
        assert there.complaints == []


@pytest.mark.parametrize(
    ("devices", "said"),
    [
        ("undefined", "this browser gives no camera to a page from here: open it over https"),
        (
            "{getUserMedia: async () => { throw new DOMException('no', 'NotAllowedError'); }}",
            "the camera is not allowed: allow it to this page in the browser's settings",
        ),
        (
            "{getUserMedia: async () => { throw new DOMException('no', 'NotFoundError'); }}",
            "there is no camera here: choose a picture",
        ),
        ("{getUserMedia: async () => { throw new Error('it is off'); }}", "the camera does not start: it is off"),
    ],
)
def test_without_a_camera(browser, shipped, devices, said):
    browser.open(shipped / "face.html")
    browser.ask(f"ready.then(() => Object.defineProperty(navigator, 'mediaDevices', {{value: {devices}}}) && 0)")
    browser.ask("film()")
    assert browser.ask("[element('said').textContent, element('camera').disabled]") == [said, False]
    assert browser.complaints == []
