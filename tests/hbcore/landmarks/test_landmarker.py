"""hbcore.Landmarker: what it takes, where its answers lie, and what it refuses, without anything of training/."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import hbcore
from hbcore import Landmarker, StackedHourglass
from hbcore.deploy.model_file import ModelFileError
from hbcore.export.packing import pack
from hbcore.landmarks import landmarker as module
from tests.flags import HEADER, SIZE, SPOTS, flag, made

PARTS = {
    "task": "parts",
    "parts": {"name": "colours", "names": ["red", "green", "blue"], "flip_pairs": []},
    "codec": {"input_size": SIZE, "stride": 4},
    "output": "softmax",
}


@pytest.fixture
def seeing(tmp_path):
    """In place of the network: the mean colour of the 4 x 4 input pixels of each heatmap pixel."""

    def make(header=HEADER):
        found = Landmarker(made(tmp_path / "seeing.safetensors", header))
        found.engine = lambda crops: crops.reshape(len(crops), 16, 4, 16, 4, 3).mean(axis=(2, 4), dtype=np.float32)
        return found

    return make


def test_three_lines(tmp_path):
    pack(str(made(tmp_path / "m.safetensors")), tmp_path / "p.safetensors")
    (face,) = Landmarker(tmp_path / "p.safetensors")(flag(), boxes=(20, 10, 170, 110))
    assert face.names == ("red", "green", "blue")
    assert (face.points.shape, face.points.dtype, face.scores.shape) == ((3, 2), np.float32, (3,))
    assert face.classes is None
    assert face.box.tolist() == [20, 10, 170, 110]


def test_points_lie_in_pixels_of_the_picture(seeing):
    find = seeing()
    (whole,) = find(flag())
    near, far = find(flag(), [[20.0, 10.0, 170.0, 110.0], [120.0, 40.0, 180.0, 80.0]])
    assert np.abs(whole.points - SPOTS).max() < 1
    assert np.abs(near.points - SPOTS).max() < 1
    assert np.abs(far.points[1] - SPOTS[1]).max() < 0.5
    assert whole.box.tolist() == [-0.5, -0.5, 199.5, 119.5]
    # The square around the second box, 90 pixels wide, holds none of the other spots' peaks.
    assert (near.sure, far.sure) == (True, bool(far.confidence >= 0.25))
    assert far.confidence < near.confidence
    assert near.confidence == pytest.approx(float(near.scores.mean()))


def test_the_square_is_the_models_margin_times_the_box():
    """A box of 100 x 40 around (60, 30), margin 1.5: a square of side 150 around it."""
    said = module.Description.read(HEADER, StackedHourglass(16, 3, depth=1))
    crop = module.look_at(np.zeros((90, 120, 3), np.uint8), np.array([10, 10, 110, 50]), said)
    assert (crop.center, crop.side, crop.size) == ((60.0, 30.0), 150.0, SIZE)
    crop = module.look_at(np.zeros((90, 120, 3), np.uint8), None, said)
    assert (crop.center, crop.side) == ((59.5, 44.5), 120.0)


def test_several_pictures_with_boxes_of_their_own(seeing):
    find, wide, tall = seeing(), flag(), np.ascontiguousarray(flag().transpose(1, 0, 2))
    first, second, third = find([wide, tall, wide], [None, (5, 5, 115, 190), np.empty((0, 4))])
    assert (len(first), len(second), len(third)) == (1, 1, 0)
    assert np.abs(second[0].points - SPOTS[:, ::-1]).max() < 1
    batch = find(np.stack([wide, wide]))
    assert [len(found) for found in batch] == [1, 1]
    assert np.array_equal(batch[0][0].points, first[0].points)
    assert find([]) == []


def test_classes_lie_on_the_picture(seeing):
    (found,) = seeing(PARTS)(flag(), boxes=(99.5, 19.5, 179.5, 99.5))
    assert found.points is None
    assert found.sure is None
    assert found.classes.shape == (120, 200)
    assert found.classes[61, 150] == 1
    assert found.classes[95, 105] == 2
    # A square of 1.25 x 80 around (139.5, 59.5): from 90 on, 9.5 above the picture's first row, to column 189.
    seen = found.classes != 255
    assert (seen.any(axis=0).nonzero()[0][[0, -1]].tolist(), seen[:, 100].nonzero()[0][[0, -1]].tolist()) == (
        [90, 189],
        [10, 109],
    )


@pytest.mark.parametrize(
    ("pictures", "boxes", "message"),
    [
        (flag().astype(float), None, "a picture is an array of uint8, RGB .H, W, 3., got float64"),
        (flag()[..., 0], None, r"got the shape \(120, 200\)"),
        (flag()[..., 0], (5, 5, 50, 50), r"got the shape \(120, 200\)"),
        (flag()[..., :1], None, r"got the shape \(120, 200, 1\)"),
        (flag()[:0], None, r"got the shape \(0, 200, 3\)"),
        ("photo.jpg", None, "pictures are arrays of uint8"),
        (None, None, "pictures are arrays of uint8"),
        (["photo.jpg"], None, "a picture is an array of uint8, RGB .H, W, 3., got str"),
        (flag(), (1, 2, 3), r"boxes of a picture are x0, y0, x1, y1, as \(4,\) or \(n, 4\), got the shape \(1, 3\)"),
        (flag(), (5, 5, 5, 9), "the box 5,5,5,9 has no area"),
        (flag(), (5, 5, float("nan"), 9), "the box 5,5,nan,9 has no area"),
        (flag(), (200, 5, 210, 9), "the box 200,5,210,9 is not in a picture of 200 x 120 pixels"),
        (flag(), (0, 5, 30000, 9), "is not in a picture"),
        ([flag()], [None, None], "2 boxes for 1 pictures"),
    ],
)
def test_other_pictures_and_boxes_are_refused_in_one_line(seeing, pictures, boxes, message):
    with pytest.raises((TypeError, ValueError), match=message) as caught:
        seeing()(pictures, boxes)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("again", [-1, 1.5, "twice"])
def test_looks_again_are_a_whole_number(seeing, again):
    with pytest.raises(ValueError, match=f"^again must be .* got {again!r}$"):
        seeing()(flag(), (5, 5, 50, 50), again=again)


def test_models_by_name(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MODELS", tmp_path / "models")
    with pytest.raises(
        ModelFileError, match="unknown model 'face68-small': none comes with this version; a model file"
    ):
        Landmarker("face68-small")
    (tmp_path / "models").mkdir()
    made(tmp_path / "models" / "b.safetensors")
    made(tmp_path / "models" / "a.safetensors")
    assert Landmarker("a").names == ("red", "green", "blue")
    Path("a").mkdir()  # such as an export of the model makes
    assert Landmarker("a").names == ("red", "green", "blue")
    Path("run").mkdir()
    made(Path("run/last.safetensors"))
    Path("a/last.safetensors").touch()
    assert [module.find_model(name) for name in ("a", "run")] == [Path("a"), Path("run")]  # runs
    Path("a/last.safetensors").unlink()
    with pytest.raises(ModelFileError, match="unknown model 'c': there is a, b; a model file can be named by its path"):
        Landmarker("c")
    with pytest.raises(ModelFileError, match=r"c\.safetensors: No such file"):
        Landmarker(tmp_path / "c.safetensors")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"task": 3}, "its task has no name"),
        ({"skeleton": {"joints": ["a", "b"], "edges": []}}, "2 names for 3 maps"),
        ({"skeleton": {"joints": ["a", "b", 3], "edges": []}}, "its names are no texts"),
        ({"skeleton": {"joints": ["a", "b", "c"], "edges": [[0, 3]]}}, "an edge leads to no point"),
        ({"codec": {"input_size": 60}}, "multiple of"),
        ({"codec": {"input_size": 2**20}}, "more than 4096"),
        ({"codec": {"size": 64}}, "size"),
        ({"output": "softmax"}, "output 'softmax'"),
        ({"crops": [{"around": "moon", "margin": 1}]}, "no crop rule"),
        ({"confidence": {}}, "threshold"),
    ],
)
def test_headers_that_cannot_be_used_are_one_line(tmp_path, change, message):
    path = made(tmp_path / "m.safetensors", HEADER | change)
    with pytest.raises(ModelFileError, match=message) as caught:
        Landmarker(path)
    assert str(caught.value).startswith(f"{path}: not a model of this version (")


def test_neither_pillow_nor_training_is_needed(tmp_path):
    """In a process in which neither can be imported."""
    path = made(tmp_path / "m.safetensors")
    program = f"""
import sys
sys.modules.update(PIL=None, training=None, scipy=None)
import numpy as np, hbcore
print(len(hbcore.Landmarker({str(path)!r})(np.zeros((50, 60, 3), np.uint8))[0].points))
"""
    root = Path(hbcore.__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=root, check=True)
    assert json.loads(done.stdout) == 3
