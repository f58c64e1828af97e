"""Finding: boxes to maps of sizes and back, a finder's look at a whole picture, and a Landmarker that follows it."""

from types import SimpleNamespace

import numpy as np
import pytest

from hbcore import Landmarker, StackedHourglass, save_model
from hbcore.deploy.model_file import ModelFileError
from hbcore.landmarks import landmarker as module
from hbcore.landmarks.description import Description
from hbcore.landmarks.finding.finder import Finder
from hbcore.landmarks.finding.sizes import MOST, SizeCodec, separate
from tests.flags import HEADER, SPOTS, flag, made

FINDER = {
    "task": "finder",
    "sizes": {"name": "sizes", "names": [f"{k} px" for k in range(9)]},
    "codec": {"input_size": 384, "stride": 4, "smallest": 12.0, "maps": 9},
    "output": "sigmoid",
    "confidence": {"threshold": 0.4, "right": 1.0, "wrong": 0.99, "crops": 5},
}


def square(x, y, side):
    return [x - side / 2, y - side / 2, x + side / 2, y + side / 2]


# ------------------------------------------------------------------------------------------------------ maps


def test_a_box_on_its_maps_by_hand():
    """Side 24 = 12 x 2^(2 / 2): the third map, as bright there as can be. Centre (21.5, 41.5): map pixel (5, 10)."""
    maps = SizeCodec(64).encode(np.array([square(21.5, 41.5, 24.0)]), 16, 12)
    assert maps.shape == (16, 12, 9)
    assert np.unravel_index(maps.argmax(), maps.shape) == (10, 5, 2)
    assert maps[10, 5, 2] == 1
    assert maps[10, 5, 1] == maps[10, 5, 3] == pytest.approx(np.exp(-(1**2) / (2 * 0.5**2)))
    assert maps[10, 7, 2] == maps[8, 5, 2] == pytest.approx(np.exp(-(2**2) / 2))  # 0.06 x 24 / 4 is below 1
    assert maps[10, 9, 2] == 0  # beyond three widths
    assert maps[10, 5, 4] == 0


def test_large_boxes_leave_wide_spots():
    """Of side 192: 0.06 x 192 / 4 = 2.88 map pixels wide."""
    maps = SizeCodec(384).encode(np.array([square(201.5, 201.5, 192.0)]), 96, 96)
    assert maps[50, 50, 8] == 1
    assert maps[50, 53, 8] == pytest.approx(np.exp(-0.5 * (3 / 2.88) ** 2))


def test_the_longer_side_counts_and_the_larger_value():
    codec = SizeCodec(64)
    high = np.array([[20.0, 20.0, 30.0, 44.0]])
    assert np.array_equal(codec.encode(high, 16, 16), codec.encode(np.array([square(25, 32, 24)]), 16, 16))
    both = np.array([square(25, 32, 24), square(33, 32, 24)])
    assert np.array_equal(codec.encode(both, 16, 16), np.maximum(*(codec.encode(box[None], 16, 16) for box in both)))
    assert not codec.encode(np.zeros((0, 4)), 16, 16).any()


@pytest.mark.parametrize("side", [14.0, 20.0, 33.0, 61.7, 120.0, 170.0])
def test_boxes_are_read_where_they_were_written(side):
    codec, rng = SizeCodec(384), np.random.default_rng(int(side))
    truth = np.array([square(*rng.uniform(90, 290, 2), side)])
    boxes, confidence = codec.boxes(codec.encode(truth, 96, 96))
    assert boxes.shape == (1, 4)
    assert np.abs(boxes - truth).max() < 0.01 * side + 0.05
    assert 0.5 < confidence[0] <= 1


def test_several_boxes_the_surest_first():
    codec = SizeCodec(384)
    truth = np.array([square(60, 60, 24), square(200, 80, 48), square(300, 300, 17)])
    maps = codec.encode(truth[:1], 96, 96) + 0.5 * codec.encode(truth[1:], 96, 96)
    boxes, confidence = codec.boxes(maps)
    assert np.abs(boxes[:2] - truth[:2]).max() < 0.5 or np.abs(boxes[[0, 2]] - truth[[0, 1]]).max() < 0.5
    assert len(boxes) == 3
    assert confidence[0] > confidence[1] >= confidence[2]
    assert len(codec.boxes(maps, 0.6)[0]) == 1
    assert codec.confidence(maps) == confidence[0]
    (answers,) = codec.decode(np.stack([maps, np.zeros_like(maps)]))
    assert answers.shape == (2, MOST, 5)
    assert np.allclose(answers[0, :3, :4], boxes)
    assert np.allclose(answers[0, :3, 4], confidence)
    assert np.isnan(answers[0, 3:, :4]).all()
    assert not answers[1, :, 4].any()


def test_of_the_same_thing_twice_the_better_stays():
    boxes = np.array([[0, 0, 10, 10], [0, 4, 10, 14], [2, 2, 5, 5], [0, 6, 10, 16], [30, 0, 40, 10.0]])
    # The second shares 60 of 100 with the first, the third lies within it, the fourth shares 40.
    assert separate(boxes) == [0, 3, 4]
    assert separate(np.zeros((0, 4))) == []


@pytest.mark.parametrize(
    "field", [{"smallest": 0.5}, {"smallest": 500.0}, {"smallest": "12"}, {"maps": 0}, {"maps": 40}]
)
def test_codecs_that_cannot_be_are_refused(field):
    with pytest.raises(ValueError, match=f"codec: {next(iter(field))} must"):
        SizeCodec(384, **field)


# ---------------------------------------------------------------------------------------------------- finder


@pytest.fixture
def finder(tmp_path):
    """A finder file, and a Finder whose network is replaced: it sees the boxes that are given it, in input pixels."""
    path = tmp_path / "finder.safetensors"
    save_model(StackedHourglass(16, 9, depth=4, seed=1).eval(), path, FINDER)

    def make(boxes, least=None):
        found, shapes = Finder(path, least), []

        def engine(height, width):
            shapes.append((height, width))
            maps = SizeCodec(384).encode(np.array(boxes), height // 4, width // 4).clip(1e-6, 1 - 1e-6)
            return lambda pictures: np.log(maps / (1 - maps)).astype(np.float32)[None]

        found._engine = engine
        return found, shapes

    return SimpleNamespace(path=path, make=make)


def test_large_boxes_are_read_on_a_second_look_at_half_the_size(finder):
    """The same maps on both looks: a box of 48 at (100, 50) is one of 96 at (200.5, 100.5) for the second."""
    find, shapes = finder.make([square(100, 50, 48), square(60, 150, 20)])
    boxes, _ = find(np.zeros((384, 384, 3), np.uint8))
    assert shapes == [(384, 384), (192, 192)]
    sides, middles = boxes[:, 2] - boxes[:, 0], (boxes[:, :2] + boxes[:, 2:]) / 2
    found = sorted(zip(sides.round().tolist(), middles.round(1).tolist(), strict=True))
    # What is small counts on the first look alone; there is no square root of 2 between 20 and 48.
    assert [side for side, _ in found] == [20, 48, 96]
    assert np.abs(np.array(found[2][1]) - 200.5 * np.array([1, 0.5]) - (0, 0.25)).max() < 0.3


def test_a_finder_looks_at_no_more_than_it_must(finder):
    """A picture of 720 x 300 is seen as 384 x 160, in 384 x 192: 16 rows above it, and half as large."""
    find, shapes = finder.make([square(100, 50, 48)])
    boxes, confidence = find(np.zeros((300, 720, 3), np.uint8))
    boxes = boxes[boxes[:, 2] - boxes[:, 0] < 100]  # not what the second look makes of the same maps
    assert shapes == [(192, 384), (128, 192)]
    zoom = 720 / 384
    expected = np.array([zoom * 100.5 - 0.5, zoom * (50 + 0.5 - 16) - 0.5])
    assert np.abs((boxes[0, :2] + boxes[0, 2:]) / 2 - expected).max() < 0.1
    assert boxes[0, 2] - boxes[0, 0] == pytest.approx(zoom * 48, rel=0.01)
    assert confidence[0] > 0.9


@pytest.mark.parametrize(
    ("height", "width", "shape"), [(720, 720, (384, 384)), (10, 300, (64, 384)), (900, 620, (384, 320))]
)
def test_shapes_that_the_network_takes(finder, height, width, shape):
    find, shapes = finder.make([square(30, 30, 20)])
    find(np.zeros((height, width, 3), np.uint8))
    assert shapes[0] == shape


def test_a_finder_asks_for_the_confidence_of_its_file(finder):
    assert Finder(finder.path).least == 0.4
    assert Finder(finder.path, 0.1).least == 0.1
    boxes, _ = Finder(finder.path)(np.zeros((64, 64, 3), np.uint8))  # the real network, of a few random weights
    assert boxes.shape[1] == 4


def test_finders_and_models_are_not_mixed_up(finder, tmp_path):
    with pytest.raises(ModelFileError, match="a finder: name it beside a model"):
        Landmarker(finder.path)
    with pytest.raises(ModelFileError, match="finds points or parts where it is told to look"):
        Finder(made(tmp_path / "m.safetensors"))
    network, eight = StackedHourglass(16, 8, depth=4), {"sizes": {"name": "sizes", "names": list("abcdefgh")}}
    with pytest.raises(ValueError, match="9 sizes for 8 maps"):
        Description.read(FINDER | eight, network)


# -------------------------------------------------------------------------------------- a model that is led


class Led:
    """In place of a Finder: always the same boxes."""

    least = 0.5

    def __init__(self, boxes):
        self.boxes = boxes

    def __call__(self, picture, least):
        assert least < self.least
        return self.boxes, np.full(len(self.boxes), self.least)


@pytest.fixture
def seeing(tmp_path, finder):
    """A Landmarker of colours, see test_landmarker, led to these squares (x, y, side) of the flag."""

    def make(*squares, threshold=0.25):
        header = HEADER | {"confidence": HEADER["confidence"] | {"threshold": threshold}}
        find = Landmarker(made(tmp_path / "seeing.safetensors", header), finder=finder.path)
        find.engine = lambda crops: crops.reshape(len(crops), 16, 4, 16, 4, 3).mean(axis=(2, 4), dtype=np.float32) / 255
        boxes = np.array([square(*one) for one in squares]).reshape(-1, 4)
        find._finder = Led(boxes)
        return find

    return make


def test_a_led_model_finds_by_itself_and_looks_again(seeing):
    (found,) = seeing((110, 70, 100))(flag())
    assert np.abs(found.points - SPOTS).max() < 1
    # The box of the second look is that of the points of the first.
    low, high = SPOTS.min(axis=0), SPOTS.max(axis=0)
    assert np.abs(found.box - np.concatenate([low, high])).max() < 3
    assert found.sure


def test_how_often_it_looks_again_can_be_said(seeing):
    assert seeing((110, 70, 100))(flag(), again=0)[0].box.tolist() == square(110, 70, 100)
    (given,) = seeing()(flag(), (60, 20, 160, 120))
    assert given.box.tolist() == [60, 20, 160, 120]
    (again,) = seeing()(flag(), (60, 20, 160, 120), again=1)
    assert again.box.tolist() != [60, 20, 160, 120]


def test_nothing_is_found_twice_nor_unsurely(seeing):
    assert len(seeing((110, 70, 100), (105, 65, 110), (110, 60, 120))(flag())) == 1
    assert seeing((110, 70, 100), threshold=1.5)(flag()) == []
    assert seeing()(flag()) == []


def test_which_models_a_finder_goes_with(tmp_path, monkeypatch, finder):
    monkeypatch.setattr(module, "MODELS", tmp_path)
    said = SimpleNamespace(task="face", names=("a",) * 68)
    assert module.finder_for(said) is None
    finder.path.rename(tmp_path / "face-finder.safetensors")
    assert module.finder_for(said) == tmp_path / "face-finder.safetensors"
    assert module.finder_for(SimpleNamespace(task="pose", names=("a",) * 68)) is None
    assert module.finder_for(SimpleNamespace(task="face", names=("a",) * 5)) is None
    assert Landmarker(made(tmp_path / "m.safetensors")).finder is None
