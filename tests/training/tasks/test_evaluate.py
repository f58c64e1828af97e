import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from safetensors.numpy import load, save

import hbcore
from hbcore import StackedHourglass
from hbcore.inspect.observe import observe
from hbcore.landmarks.description import to_input
from hbcore.landmarks.heatmaps import HeatmapCodec
from hbcore.nn.layers import BinaryConv2d
from hbcore.nn.module import Module
from training.datasets import Sample, open_dataset
from training.datasets.drawn.synthetic import SyntheticFigures
from training.errors import BadPicture, DataError, UserError
from training.labels.skeletons import LSP, MPII, Skeleton
from training.loading.concatenated import ConcatenatedDataset
from training.loading.test_set import TestSet
from training.prediction.model import Model, NotFinite
from training.prediction.runner import WAYS
from training.tasks.evaluation import baseline_scores, evaluate
from training.tasks.pose import POSE

pytestmark = pytest.mark.usefixtures("one_thread")

STICK = Skeleton(
    name="stick",
    keypoints=("left_shoulder", "right_hip", "head_top"),
    edges=((0, 1), (0, 2)),
    flip_pairs=((0, 1),),
    head=None,
    torso=(0, 1),
)


@dataclass(frozen=True, eq=False)
class Sticks:
    """People of three joints, in grey pictures of 40 x 40 pixels that are their own crops."""

    keypoints: tuple[tuple[tuple[float, float], ...], ...]
    labelled: tuple[tuple[bool, ...], ...]
    heads: tuple[float, ...]
    bad: tuple[int, ...] = ()
    name: str = "sticks"
    split: str = "test"
    skeleton: Skeleton = STICK
    protocol: str = "made by hand"

    def __len__(self) -> int:
        return len(self.keypoints)

    def sample(self, index: int) -> Sample:
        if index in self.bad:
            raise BadPicture(f"stick{index}.png: unreadable")
        return Sample(
            np.full((40, 40, 3), 90, np.uint8),
            np.array(self.keypoints[index], np.float32),
            np.array(self.labelled[index]),
            (19.5, 19.5),
            40.0,
            self.heads[index],
            f"stick{index}.png",
            yaw=(-30.0, 45.0)[index],
        )


ALL = (True, True, True)
TWO = Sticks(
    keypoints=(((10, 10), (10, 20), (10, 0)), ((20, 10), (20, 30), (24, 4))), labelled=(ALL, ALL), heads=(6.0, math.nan)
)


def network(joints: int = 16, seed: int = 0, **options: Any) -> StackedHourglass:
    """A small network with running statistics that are not those of the start, so that nothing is trivial."""
    made = StackedHourglass(**{"features": 32, "joints": joints, "depth": 2, "seed": seed} | options)
    rng = np.random.default_rng(seed)
    for name, array in made.named_buffers():
        spread = rng.uniform(0.2, 1.5, array.shape) if "variance" in name else rng.normal(0, 0.3, array.shape)
        array[...] = spread
    return made


def model(skeleton: Skeleton = MPII, size: int = 64, output: str = "sigmoid", **options: Any) -> Model:
    return Model(network(len(skeleton.keypoints), **options), skeleton, HeatmapCodec(size), output)


@pytest.fixture(scope="module")
def figures() -> TestSet:
    return TestSet.read([SyntheticFigures("test", 20)], 64)


# ------------------------------------------------------------------------------------------------- test sets


def test_a_test_set_holds_everybody_in_the_pixels_of_the_crops() -> None:
    test = TestSet.read([TWO], 20)  # half the size
    assert test.pictures.shape == (2, 20, 20, 3)
    assert test.pictures.dtype == np.uint8
    assert (test.pictures == 90).all()
    # Pixel areas: x -> (x + 0.5) / 2 - 0.5.
    assert test.keypoints[0].tolist() == [[4.75, 4.75], [4.75, 9.75], [4.75, -0.25]]
    assert test.head_size[0] == 3
    assert math.isnan(test.head_size[1])
    assert (test.skeleton, test.protocol, test.bad) == (STICK, "sticks: made by hand", ())
    assert test.yaw.tolist() == [-30, 45]


def test_unreadable_pictures_of_a_test_set_are_named_and_left_out() -> None:
    broken = replace(TWO, bad=(0,))
    test = TestSet.read([broken, TWO], 40)
    assert len(test.pictures) == len(test.keypoints) == len(test.labelled) == len(test.head_size) == 3
    assert test.bad == (("sticks/test/0", "stick0.png: unreadable"),)
    assert np.array_equal(test.keypoints[0], TWO.keypoints[1])
    with pytest.raises(BadPicture, match=r"stick0\.png"):
        TestSet.read([broken], 40, skip_bad=False)
    with pytest.raises(DataError, match="the test set sticks has no readable picture"):
        TestSet.read([replace(TWO, bad=(0, 1))], 40)


def test_data_sets_with_other_joints_do_not_mix() -> None:
    with pytest.raises(UserError, match="sticks and synthetic label different keypoints"):
        TestSet.read([TWO, SyntheticFigures("test", 1)], 32)


def test_scores_are_those_computed_by_hand() -> None:
    """Sample 0: torso 10, head 6. Sample 1: torso 20, no head, so it does not count for PCKh."""
    test = TestSet.read([TWO], 40)
    predicted = test.keypoints.copy()
    predicted[0, 0] += (0, 2.0)  # 0.2 of the torso: still right; 0.33 of the head
    predicted[0, 2] += (2.4, 3.2)  # 4 pixels: wrong by the torso, and by the head (3 allowed)
    predicted[1, 1] += (4.01, 0)  # just wrong
    scores = POSE.score(test, predicted)
    expected = {
        "PCKh@0.5": 200 / 3,
        "PCKh@0.5/mean_of_joints": 200 / 3,
        "PCKh@0.5/Head": 0,
        "PCKh@0.5/Shoulder": 100,
        "PCKh@0.5/Hip": 100,
        "PCKh@0.1": 100 / 3,
        # Of 51 thresholds, the exact joint is right at all, one from 0.34 on (17), one (0.667) at none.
        "AUC": 100 * (51 + 17) / (3 * 51),
        "PCK@0.2": 400 / 6,
        "PCK@0.2/mean_of_joints": 400 / 6,
        "PCK@0.2/left_shoulder": 100,
        "PCK@0.2/right_hip": 50,
        "PCK@0.2/head_top": 50,
    }
    assert list(scores) == list(expected)
    assert scores == pytest.approx(expected)
    assert list(POSE.used_protocols(test, scores)) == ["data", "PCKh", "PCK"]


def test_without_a_head_there_is_no_pckh_and_without_a_torso_no_pck() -> None:
    test = TestSet.read([replace(TWO, heads=(math.nan, math.nan))], 40)
    scores = POSE.score(test, test.keypoints)
    assert next(iter(scores)) == "PCK@0.2"
    assert not any(key.startswith("PCKh") or key == "AUC" for key in scores)
    assert list(POSE.used_protocols(test, scores)) == ["data", "PCK"]
    shoulderless = ((False, True, True), (False, True, True))
    test = TestSet.read([replace(TWO, labelled=shoulderless, heads=(0, math.nan))], 40)
    assert next(iter(POSE.score(test, test.keypoints))) == "PCKcrop@0.05"
    nobody = replace(TWO, labelled=((False,) * 3,) * 2)
    with pytest.raises(DataError, match="nothing in the test set can be scored"):
        POSE.score(TestSet.read([nobody], 40), test.keypoints)


def test_the_mean_pose_is_the_line_to_beat() -> None:
    """Means: left shoulder (15, 10), right hip (15, 25), head (17, 2), all 5 or more from the truth of both."""
    test = TestSet.read([TWO], 40)
    scores = baseline_scores(POSE, ConcatenatedDataset([TWO]), test)
    # Errors of sample 0 (torso 10): 5, 7.07, 7.28; of sample 1 (torso 20, so 4 allowed): 5, 7.07, 7.28.
    assert scores["PCK@0.2"] == 0
    near = replace(TWO, keypoints=(TWO.keypoints[0], TWO.keypoints[0]), bad=(1,))
    assert (
        baseline_scores(POSE, ConcatenatedDataset([near]), test)["PCK@0.2/left_shoulder"] == 50
    )  # exact for sample 0, 10 away for sample 1
    # The mean is over labelled joints, in the pixels of the test set's crops.
    half = TestSet.read([TWO], 20)
    only_first = replace(TWO, labelled=(ALL, (False,) * 3))
    assert baseline_scores(POSE, ConcatenatedDataset([only_first]), half)["PCKh@0.1"] == 100
    with pytest.raises(DataError, match="other keypoints than stick"):
        baseline_scores(POSE, ConcatenatedDataset([SyntheticFigures("train", 1)]), test)
    with pytest.raises(DataError, match="no labelled keypoint"):
        baseline_scores(POSE, ConcatenatedDataset([replace(TWO, bad=(0, 1))]), test)


# ---------------------------------------------------------------------------------------------- packed = float


def signs_and_sums(
    made: Model, pictures: NDArray[np.uint8]
) -> Iterator[tuple[str, NDArray[np.float32], NDArray[np.float32]]]:
    """(layer, its input, its output) of every binary convolution."""
    seen: list[tuple[str, NDArray[np.float32], NDArray[np.float32]]] = []

    def note(name: str, module: Module, inputs: tuple[Any, ...], result: Any) -> None:
        if isinstance(module, BinaryConv2d):
            seen.append((name, inputs[0].data.copy(), result.data.copy()))

    with observe(made.network, note):
        made.heatmaps(pictures)
    return iter(seen)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"block": "bottleneck"},
        {"stacks": 2, "activation": "prelu"},
        {"activation": "relu", "center_weights": True},
        {"features": 80},  # 40 and 20 channels, which are no whole words
    ],
)
def test_packed_bits_compute_the_same_integers_in_every_layer(figures: TestSet, options: dict[str, Any]) -> None:
    made = model(seed=3, **options)
    pictures = figures.pictures[:4]
    simulated = list(signs_and_sums(replace(made, way="simulate"), pictures))
    packed = list(signs_and_sums(replace(made, way="packed"), pictures))
    assert len(simulated) == len(packed) == hbcore.summary(made.network, 64, 64).binary_convolutions > 20
    weights = dict(made.network.named_modules())
    for (name, x, y), (other, packed_x, packed_y) in zip(simulated, packed, strict=True):
        assert name == other
        assert np.array_equal(x, packed_x), name
        assert np.array_equal(y, packed_y), name
        layer = weights[name]
        assert isinstance(layer, BinaryConv2d)
        w = layer.weight.data
        sums = y / np.abs(w).mean(axis=(0, 1, 2))
        whole = np.rint(sums)
        # y = alpha times an integer; dividing again rounds it off by a few parts in 2^24 of at most n.
        n = w[..., 0].size
        np.testing.assert_allclose(sums, whole, atol=1e-6 * n, err_msg=name)
        assert np.abs(whole).max() <= n
    assert any(np.abs(y).max() > 0 for _, _, y in packed)


@pytest.mark.parametrize("output", ["sigmoid", "identity"])
@pytest.mark.parametrize("flip", [False, True])
def test_packed_bits_give_the_same_joints_and_scores(figures: TestSet, output: str, flip: bool) -> None:
    made = model(seed=1, output=output)
    simulated, packed, deployed = (evaluate(POSE, replace(made, way=way), figures, flip) for way in reversed(WAYS))
    assert packed[0] == simulated[0] == deployed[0]
    assert np.array_equal(packed[1], simulated[1])
    assert np.array_equal(deployed[1], simulated[1])
    assert len(np.unique(packed[1])) > 100  # different answers for different people


def test_the_size_of_a_batch_does_not_change_the_joints(figures: TestSet) -> None:
    made = model()
    whole = made.predict(figures.pictures)
    single = made.predict(figures.pictures, batch_size=3)
    # BLAS may sum the few real-valued layers in another order.
    np.testing.assert_allclose(single[0], whole[0], atol=1e-2)
    np.testing.assert_allclose(single[1], whole[1], atol=1e-4)


# ------------------------------------------------------------------------------------------------- flip test


def test_the_flip_test_treats_a_picture_and_its_mirror_image_alike(figures: TestSet) -> None:
    made = model(seed=2)
    pictures = figures.pictures[:5]
    mirrored = np.ascontiguousarray(pictures[:, :, ::-1])
    maps = made.heatmaps(pictures, flip=True)
    other = made.heatmaps(mirrored, flip=True)
    swapped = other[:, :, ::-1][..., MPII.flip_index()]
    assert np.array_equal(maps, swapped)  # a + b = b + a
    assert not np.array_equal(made.heatmaps(pictures), maps)
    joints, scores = made.predict(pictures, flip=True)
    other_joints, other_scores = made.predict(mirrored, flip=True)
    index = MPII.flip_index()
    other_joints = other_joints[:, index]
    other_joints[..., 0] = 63 - other_joints[..., 0]
    np.testing.assert_allclose(joints, other_joints, atol=1e-3)  # float32 pixels
    assert np.array_equal(scores, other_scores[:, index])


def test_the_flip_test_is_the_mean_of_two_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Maps that point at the bright half: a joint in the picture's left half is one of the mirror's right half."""
    made = model(STICK, 16, depth=1, features=16)

    def maps(self: Model, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        grey = pictures[:, ::4, ::4, 0].astype(np.float32)
        return np.stack([grey, 2 * grey, 3 * grey], axis=-1)

    monkeypatch.setattr(Model, "_maps", maps)
    picture = np.zeros((1, 16, 16, 3), np.uint8)
    picture[:, :, :4] = 10
    left = np.zeros((4, 4), np.float32)
    left[:, 0] = 10
    plain, both = made.heatmaps(picture)[0], made.heatmaps(picture, flip=True)[0]
    assert np.array_equal(plain, np.stack([left, 2 * left, 3 * left], -1))
    assert np.array_equal(both, np.stack([1.5 * left, 1.5 * left, 3 * left], -1))  # left and right change places


# --------------------------------------------------------------------------------------------- models in files


def header_of(path: Path) -> dict[str, Any]:
    data = path.read_bytes()
    metadata = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]
    return json.loads(metadata["hbcore"])  # type: ignore[no-any-return]


def test_a_model_file_says_everything_about_itself(tmp_path: Path, figures: TestSet) -> None:
    made = model(seed=4, output="identity")
    path = tmp_path / "model.safetensors"
    made.save(path, trained={"steps": 7})
    header = header_of(path)
    assert header["format"] == "hbcore-model/1"
    assert header["task"] == "pose"
    assert header["skeleton"]["name"] == "mpii"
    assert header["skeleton"]["joints"][0] == "right_ankle"
    assert len(header["skeleton"]["joints"]) == 16
    assert [2, 3] in header["skeleton"]["flip_pairs"]
    assert header["skeleton"]["edges"]
    assert header["codec"] == {"input_size": 64, "stride": 4, "sigma": 1.0}
    assert header["input"] == {"size": 64, "channels": "RGB", "range": [0, 1]}
    assert "square around the person" in header["crop"]
    assert header["trained"] == {"steps": 7}
    assert header["output"] == "identity"
    assert header["architecture"]["features"] == 32
    loaded = Model.load(path)
    assert (loaded.skeleton, loaded.codec, loaded.output) == (MPII, HeatmapCodec(64), "identity")
    assert np.array_equal(loaded.predict(figures.pictures)[0], made.predict(figures.pictures)[0])


@pytest.mark.parametrize("skeleton", [LSP, STICK, replace(STICK, outer_eyes=(0, 1), pupils=((0,), (1, 2)))])
def test_skeletons_survive_the_file(tmp_path: Path, skeleton: Skeleton) -> None:
    model(skeleton, 32, depth=1, features=16).save(tmp_path / "m")
    assert Model.load(tmp_path / "m").skeleton == skeleton


def rewrite(path: Path, change: dict[str, Any]) -> None:
    """Change or (None) remove entries of a model file's header, given by dotted names."""
    header = header_of(path)
    for name, value in change.items():
        *way, last = name.split(".")
        table = header
        for key in way:
            table = table[key]
        if value is None:
            del table[last]
        else:
            table[last] = value
    path.write_bytes(save(load(path.read_bytes()), {"hbcore": json.dumps(header)}))


@pytest.mark.parametrize(
    "change",
    [
        {"skeleton": None},
        {"skeleton": "mpii"},
        {"skeleton": []},
        {"skeleton.joints": ["a", "b"]},
        {"skeleton.joints": 16},
        {"skeleton.flip_pairs": [[0, 99]]},
        {"skeleton.flip_pairs": [0, 1]},
        {"skeleton.edges": [["a", "b"]]},
        {"skeleton.torso": [0, -1]},
        {"codec": None},
        {"codec.stride": 8},
        {"codec.input_size": 60},
        {"codec.input_size": "64"},
        {"codec.input_size": 64_000_000},
        {"codec.sigma": 0},
        {"codec.sigma": 1e12},
        {"codec.what": 1},
        {"output": "softmax"},
        {"output": None},
        {"architecture.features": 48},
        {"architecture.joints": 4},
        {"architecture.block": "x"},
        {"architecture.what": 3},
        {"architecture": None},
        {"format": "hbcore-run/1"},
    ],
)
def test_a_model_file_whose_parts_do_not_fit_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    path = tmp_path / "m.safetensors"
    model(STICK, 64, features=16, depth=1).save(path)
    Model.load(path)
    rewrite(path, {})
    Model.load(path)
    rewrite(path, change)
    with pytest.raises(DataError, match=r"m\.safetensors") as caught:
        Model.load(path)
    assert "\n" not in str(caught.value)


def test_a_model_that_is_not_finite_is_refused(tmp_path: Path) -> None:
    made = model(STICK, 32, depth=1, features=16)
    made.network.state_dict()["heads.0.heatmaps.weight"][...] = np.inf
    with pytest.raises(NotFinite, match="heatmaps are not finite"):
        made.predict(np.zeros((1, 32, 32, 3), np.uint8))
    with pytest.raises(DataError, match=r"m: .*heads.0.heatmaps.weight is not finite"):
        made.save(tmp_path / "m")
    assert not (tmp_path / "m").exists()
    made.network.state_dict()["stem.modules.0.weight"][...] = np.nan
    with pytest.raises(NotFinite, match="computes NaN"):
        made.predict(np.zeros((1, 32, 32, 3), np.uint8))


def test_joints_of_model_and_test_set_must_agree(figures: TestSet) -> None:
    with pytest.raises(DataError, match=r"keypoints of lsp \(14\), the test set has those of mpii \(16\)") as caught:
        evaluate(POSE, model(LSP), figures)
    assert caught.value.exit_code == 3


def test_the_input_is_scaled_to_one() -> None:
    assert to_input(np.array([0, 51, 255], np.uint8)).tolist() == pytest.approx([0, 0.2, 1])
    assert to_input(np.zeros(1, np.uint8)).dtype == np.float32


def test_single_points_without_a_box_are_scored_by_the_crop(tmp_path: Path) -> None:
    """Of 40 pixels: 0.05 of it are 2, and 0.2 are 8."""
    (tmp_path / "p").mkdir()
    for name in "ab":
        Image.new("RGB", (40, 40)).save(tmp_path / f"p/{name}.png")
    (tmp_path / "l.csv").write_text("picture,tip_x,tip_y\na.png,10,12\nb.png,20,30\n")
    test = TestSet.read([open_dataset(f"csv:{tmp_path}/l.csv?images=p&test=1", "test")], 40)
    scores = POSE.score(test, test.keypoints + np.array([[[1.9, 0]], [[0, 2.1]]], np.float32))
    names = ("PCKcrop@0.05", "PCKcrop@0.05/mean_of_joints", "PCKcrop@0.05/tip", "PCKcrop@0.2")
    assert scores == dict(zip(names, (50.0, 50.0, 50.0, 100.0), strict=True))
    assert POSE.headline(scores) == names[0]
    assert "the side of the crop" in POSE.used_protocols(test, scores)["PCKcrop"]
