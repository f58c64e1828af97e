"""The ONNX graph computes the engine's maps, in a runtime that nobody here has written."""

from dataclasses import dataclass

import numpy as np
import pytest

from hbcore.deploy import Engine
from hbcore.deploy.lowering import lower
from hbcore.deploy.table import Area, Table
from hbcore.export import onnx_file
from hbcore.export.command import main
from hbcore.export.onnx_decoding import write_decoding
from hbcore.export.onnx_file import write_onnx
from hbcore.export.onnx_graph import OnnxGraph
from hbcore.export.onnx_nodes import Nodes
from hbcore.landmarks.heatmaps import HeatmapCodec
from hbcore.landmarks.landmarker import Landmarker, find_model
from hbcore.landmarks.masks import MaskCodec
from tests.architectures import ARCHITECTURES, network

try:
    import onnx
    import onnxruntime
except ModuleNotFoundError:
    onnx = onnxruntime = None
needs_onnx = pytest.mark.skipif(onnxruntime is None, reason="onnx or onnxruntime is not installed")


@dataclass
class Made:
    table: Table
    name: str = "net"
    digest: str = "0"


def run(path, picture):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, {"picture": picture * np.float32(1 / 255)})[0]


@needs_onnx
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_maps_are_the_engines(name, tmp_path, monkeypatch):
    """As far as real-valued sums tell: there are few of them where there are bits, and else a whole network."""
    model = network(**ARCHITECTURES[name]).eval()
    monkeypatch.setattr(onnx_file, "c_model", lambda _: Made(lower(model, 32, 32)))
    write_onnx("model", tmp_path / "net.onnx")
    picture = np.random.default_rng(3).integers(0, 256, (1, 32, 32, 3), dtype=np.uint8)
    expected = Engine(model, 32, 32)(picture)
    found = run(tmp_path / "net.onnx", picture)
    most = 1e-3 if name.startswith(("real", "binary weights")) else 1e-5
    assert np.abs(found - expected).max() <= most * max(1, np.abs(expected).max())


@needs_onnx
def test_the_command(tmp_path, capsys):
    for file in ("a.onnx", "b.onnx"):
        assert main(["onnx", "face68-tiny", "-o", str(tmp_path / file)]) == 0
    assert "nodes" in capsys.readouterr().out
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()
    onnx.checker.check_model(str(tmp_path / "a.onnx"), full_check=True)
    picture = np.random.default_rng(1).integers(0, 256, (1, 128, 128, 3), dtype=np.uint8)
    np.testing.assert_allclose(
        run(tmp_path / "a.onnx", picture), Landmarker("face68-tiny").engine(picture), rtol=0, atol=1e-5
    )


def decoded(codec, output, planes):
    """What the nodes of decoding alone say of planes (K, h, w)."""
    graph = Nodes()
    graph.takes("planes", (1, *planes.shape))
    write_decoding(graph, "planes", len(planes), codec, output)
    session = onnxruntime.InferenceSession(graph.model("decoding", {}), providers=["CPUExecutionProvider"])
    return [found[0] for found in session.run(None, {"planes": planes[None].astype(np.float32)})]


def awkward(size):
    """Planes that are constant, of one pixel, of equal peaks, cut by the border, flat, and of nothing but noise."""
    planes = np.random.default_rng(5).random((8, size, size))
    y, x = np.mgrid[:size, :size]
    planes[0] = 0.3
    planes[1] = (y == 2) & (x == 5)
    planes[2] = ((y == 3) | (y == 6)) & (x == 4)
    planes[3] = np.exp(-0.5 * ((y + 0.4) ** 2 + (x - size + 0.7) ** 2))
    planes[4] = np.maximum(0, 1 - 0.01 * np.hypot(y - 4.2, x - 3.1))
    planes[5] = np.exp(-0.5 * ((y - 3.3) ** 2 + (x - 4.4) ** 2)) - 5
    return planes


@needs_onnx
@pytest.mark.parametrize("sigma", [0.7, 1.0, 2.0])
@pytest.mark.parametrize("output", ["sigmoid", "identity"])
def test_points_are_the_codecs(output, sigma):
    codec = HeatmapCodec(64, sigma=sigma)
    truth = np.random.default_rng(2).uniform(-1, 64, (40, 2))
    drawn = codec.encode(truth, np.ones(40, dtype=bool))[0].transpose(2, 0, 1)
    noisy = drawn + 0.05 * np.random.default_rng(3).random(drawn.shape)
    planes = np.concatenate([drawn, noisy, awkward(16)]).astype(np.float32)
    points, scores = decoded(codec, output, planes)
    seen = 1 / (1 + np.exp(-planes)) if output == "sigmoid" else planes
    expected, sure = codec.decode(seen.transpose(1, 2, 0))
    np.testing.assert_allclose(points, expected, rtol=0, atol=1e-4)
    np.testing.assert_allclose(scores, sure, rtol=0, atol=1e-6)


@needs_onnx
def test_classes_are_the_codecs():
    codec = MaskCodec(64)
    planes = np.random.default_rng(4).standard_normal((5, 16, 16), dtype=np.float32)
    (expected,) = codec.decode(planes.transpose(1, 2, 0))
    (found,) = decoded(codec, "softmax", planes)
    assert found.dtype == np.uint8
    assert np.mean(found != expected) < 1e-3  # where two classes are as good as equal


@needs_onnx
def test_the_command_decodes(tmp_path):
    assert main(["onnx", "face68-tiny", "-o", str(tmp_path / "face.onnx"), "--decode"]) == 0
    face = Landmarker("face68-tiny")
    picture = np.random.default_rng(1).integers(0, 256, (1, 128, 128, 3), dtype=np.uint8)
    session = onnxruntime.InferenceSession(str(tmp_path / "face.onnx"), providers=["CPUExecutionProvider"])
    assert [output.name for output in session.get_outputs()] == ["maps", "points", "scores"]
    maps, points, scores = session.run(None, {"picture": picture * np.float32(1 / 255)})
    expected, sure = face.description.codec.decode(1 / (1 + np.exp(-maps[0].astype(np.float64))))
    np.testing.assert_allclose(points[0], expected, rtol=0, atol=1e-4)
    np.testing.assert_allclose(scores[0], sure, rtol=0, atol=1e-6)


def test_the_model_is_not_written_over(tmp_path, capsys):
    path = tmp_path / "mine.safetensors"
    path.write_bytes(find_model("face68-micro").read_bytes())
    before = path.read_bytes()
    assert main(["onnx", str(path), "-o", str(path)]) == 3
    assert "is the model itself: choose another name" in capsys.readouterr().err
    assert path.read_bytes() == before


@pytest.mark.skipif(onnx is not None, reason="onnx is installed")
def test_without_onnx(tmp_path, capsys):
    assert main(["onnx", "face68-tiny", "-o", str(tmp_path / "face.onnx")]) == 3
    said = capsys.readouterr().err
    assert 'pip install "hbcore[onnx]"' in said
    assert said.count("\n") == 1


def test_channels_of_a_buffer_are_put_together():
    """Of eight channels, 0 to 3 are written as one, 4 to 7 as another, then 2 to 5 anew."""
    graph = OnnxGraph(lower(network().eval(), 32, 32))

    def area(first, stop):
        return Area(1000, (1, 2, 2, stop - first), np.dtype(np.float32), first, 8)

    def places(name):
        kind, taken, *_ = next(node for node in graph.nodes if node[2] == name)
        assert kind == "Slice"
        return taken[0], *(int(graph.constants[at][0]) for at in taken[1:3])

    graph._write(area(0, 4), "low")
    graph._write(area(4, 8), "high")
    assert graph._read(area(4, 8)) == "high"
    graph._write(area(2, 6), "middle")
    whole = graph._read(area(0, 8))
    kind, taken, *_ = next(node for node in graph.nodes if node[2] == whole)
    assert kind == "Concat"
    first, second, third = taken
    assert (places(first), second, places(third)) == (("low", 0, 2), "middle", ("high", 2, 4))
