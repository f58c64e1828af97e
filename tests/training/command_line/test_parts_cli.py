"""Segmentation as a user meets it: train, eval and predict, on a folder of masks of coloured pictures."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from hbcore import StackedHourglass
from hbcore.deploy.model_file import read_arrays
from hbcore.landmarks.heatmaps import HeatmapCodec
from hbcore.landmarks.masks import MaskCodec
from hbcore.optim.losses import IGNORED
from training import parts, pose
from training.command_line import train
from training.configuration.settings import Config
from training.errors import DataError
from training.files.logs import read_log
from training.labels.parts import Parts
from training.labels.skeletons import MPII
from training.loading.concatenated import ConcatenatedDataset
from training.loading.test_set import TestSet
from training.prediction.model import Model
from training.tasks.evaluation import baseline_scores, evaluate
from training.tasks.parts import PARTS

pytestmark = pytest.mark.usefixtures("one_thread")

SIDES = Parts("sides", ("background", "left_red", "right_green", "blue"), ((1, 2),))
TINY = (
    *("--threads", "1", "--workers", "0", "--batch-size", "4"),
    *("--set", "model.features=16", "model.depth=1", "data.size=32", "run.eval_every=1000"),
)


def scene(seed: int, size: int = 48) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """A picture with a red, a green and a blue rectangle on grey, and its mask; a column of it nobody labelled."""
    rng = np.random.default_rng(seed)
    picture, mask = np.full((size, size, 3), 60, np.uint8), np.zeros((size, size), np.uint8)
    for k in range(3):
        x, y = rng.integers(2, size - 18, 2)
        picture[y : y + 16, x : x + 16] = 0
        picture[y : y + 16, x : x + 16, k] = 250
        mask[y : y + 16, x : x + 16] = k + 1
    mask[:, 0] = IGNORED
    return picture, mask


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data") / "sides"
    for place in ("images", "masks"):
        (root / place).mkdir(parents=True)
    for seed in range(12):
        picture, mask = scene(seed)
        Image.fromarray(picture).save(root / f"images/{seed:02d}.png")
        Image.fromarray(mask).save(root / f"masks/{seed:02d}.png")
    pairs = [[SIDES.names[k] for k in pair] for pair in SIDES.flip_pairs]
    (root / "classes.toml").write_text(f"classes = {list(SIDES.names)}\nflip_pairs = {pairs}\n")
    (root / "train.txt").write_text("\n".join(f"{seed:02d}" for seed in range(8)))
    (root / "test.txt").write_text("\n".join(f"{seed:02d}" for seed in range(8, 12)))
    return root


@pytest.fixture(scope="module")
def trained(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run that has learned to tell colours. Not to be changed."""
    out = tmp_path_factory.mktemp("trained") / "run"
    words = ["--data", f"masks:{folder}", "--out", str(out), *TINY, "--steps", "120", "--lr", "0.02", "--quiet"]
    words += ["--set", "augment.flip=0"]  # in a mirror, what is red here would be left no more
    assert parts.main(words) == 0
    return out


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    capsys.readouterr()
    code = parts.main([str(argument) for argument in arguments])
    return code, *capsys.readouterr()


# ------------------------------------------------------------------------------------------------------- train


def test_a_run_learns_and_says_what_its_numbers_rest_on(trained: Path) -> None:
    result = json.loads((trained / "metrics.json").read_text())
    names = [f"mIoU/{name}" for name in SIDES.names]
    assert list(result["metrics"]) == ["mIoU", "mean_accuracy", "pixel_accuracy", *names]
    # Background everywhere would be less than a quarter of 100.
    assert result["metrics"]["mIoU"] > 35
    assert list(result["protocol"]) == ["data", "mIoU", "mean_accuracy", "pixel_accuracy"]
    assert result["protocol"]["data"].startswith("masks: masks test: 4 pictures, 4 classes; split as listed")
    assert "up-sampled bilinearly to the input" in result["protocol"]["mIoU"]
    assert result["best"]["metric"] == "mIoU"
    log = read_log(trained / "log.csv")
    assert log["train_loss"][-1] < 0.5 * log["train_loss"][0]
    assert (trained / "curves.png").exists()
    with Image.open(trained / "overlays.png") as overlays:
        assert overlays.width == 4 + 4 * (96 + 4)
        assert overlays.height > 4 + 96 + 4  # and what the colours mean


def test_the_model_file_describes_itself(trained: Path) -> None:
    _, header = read_arrays(trained / "last.safetensors", "hbcore-model/1")
    assert header["task"] == "parts"
    assert header["output"] == "softmax"
    assert header["codec"] == {"input_size": 32, "stride": 4}
    assert header["parts"] == {"name": "sides", "names": list(SIDES.names), "flip_pairs": [[1, 2]]}
    assert "skeleton" not in header
    model = Model.load(trained / "last.safetensors", "parts")
    assert (model.scheme, model.codec, model.output) == (SIDES, MaskCodec(32), "softmax")
    with pytest.raises(DataError, match="sides names parts of a picture, not keypoints"):
        _ = model.skeleton


def test_defaults_and_mistakes(capsys: pytest.CaptureFixture[str], folder: Path, tmp_path: Path) -> None:
    assert PARTS.defaults().optim.loss == "softmax"
    assert PARTS.defaults().run.out == "runs/parts"
    assert PARTS.defaults().model == Config().model
    code, out, errors = run(capsys, "--set", "optim.loss=bce")
    assert (code, out) == (2, "")
    assert errors == 'train: optim.loss = "bce" is not for training.parts: choose from softmax\n'
    assert pose.main(["--set", "optim.loss=softmax"]) == 2
    assert capsys.readouterr().err.endswith('optim.loss = "softmax" is not for training.pose: choose from bce, mse\n')
    code, _, errors = run(capsys, "--data", "lsp:x", "--out", tmp_path / "a")
    assert (code, errors.count("\n")) == (2, 1)
    assert "unknown data set 'lsp'" in errors
    code, out, _ = run(capsys, "--data", f"masks:{folder}", "--dry-run", "--json", "--features", "16")
    assert (code, json.loads(out)["joints"]) == (0, 4)
    words = ("--data", f"masks:{folder}", "--test", "synthetic?length=2", *TINY, "--out", tmp_path / "b", "--quiet")
    code, _, errors = run(capsys, *words)
    assert code == 3
    assert "the parts to train on are those of sides (4), the parts to test on those of face7 (7)" in errors


def test_a_run_goes_on_to_the_same_bytes(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train, "curves", lambda *_: None)
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    words = ["--data", f"masks:{folder}", *TINY, "--steps", "6", "--quiet", "--set", "augment.rotate=30"]
    assert parts.main([*words, "--out", str(whole)]) == 0
    assert parts.main([*words, "--out", str(halves), "--set", "run.stop_after=3"]) == 0
    assert parts.main([*words, "--out", str(halves), "--resume", "--workers", "1", "--set", "run.stop_after=none"]) == 0
    assert (halves / "last.safetensors").read_bytes() == (whole / "last.safetensors").read_bytes()


def test_pictures_with_bad_masks_are_left_out(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train, "curves", lambda *_: None)
    from training.datasets.parts import masks

    read = masks.read_levels

    def broken(path: Path) -> NDArray[np.uint8]:
        return np.full((48, 48), 77, np.uint8) if path.stem in ("03", "09") else read(path)

    monkeypatch.setattr(masks, "read_levels", broken)
    words = ("--data", f"masks:{folder}", *TINY, "--steps", "2", "--out", tmp_path / "run", "--set", "data.max_bad=0.5")
    assert run(capsys, *words)[0] == 0
    table = (tmp_path / "run/bad_images.csv").read_text()
    assert "09.png: its mask holds 77, but there are 4 classes" in table
    assert json.loads((tmp_path / "run/metrics.json").read_text())["people"] == 3


# -------------------------------------------------------------------------------------------------------- eval


def test_packed_bits_and_the_flip_test(trained: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("eval", trained / "last.safetensors", "--data", f"masks:{folder}", "--threads", 1, "--json")
    plain, packed, flipped = (
        json.loads(run(capsys, *words, *more)[1])["metrics"] for more in ((), ("--packed",), ("--flip-test",))
    )
    assert plain == packed == json.loads((trained / "metrics.json").read_text())["metrics"]
    assert flipped != plain


def test_the_flip_test_exchanges_the_classes_of_the_mirror_image(trained: Path) -> None:
    """A picture and its mirror image get masks that are mirror images, left and right exchanged."""
    model = Model.load(trained / "last.safetensors")
    pictures = np.stack([scene(seed, 32)[0] for seed in range(3)])
    mirrored = np.ascontiguousarray(pictures[:, :, ::-1])
    maps, other = model.heatmaps(pictures, flip=True), model.heatmaps(mirrored, flip=True)
    assert np.array_equal(maps, other[:, :, ::-1][..., [0, 2, 1, 3]])
    (masks,) = model.predict(pictures)
    assert masks.shape == (3, 32, 32)


def test_the_mean_mask_is_the_line_to_beat(folder: Path, trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of three pictures, a pixel has the class that two of them give it; among three classes, the first."""
    specs = ("--data", f"masks:{folder}", "--mean-mask", f"masks:{folder}", "--threads", 1)
    code, out, _ = run(capsys, "eval", trained / "last.safetensors", *specs)
    assert code == 0
    assert "mean mask of the training set:" in out

    class Three:
        name, split, skeleton, protocol = "three", "train", SIDES, ""

        def __init__(self, *values: int) -> None:
            self.values = values

        def __len__(self) -> int:
            return len(self.values)

        def sample(self, index: int) -> Any:
            from training.datasets.parts.base import masked

            mask = np.full((32, 32), self.values[index], np.uint8)
            mask[:, :8] = IGNORED if index else 3
            return masked(np.zeros((32, 32, 3), np.uint8), mask, SIDES, ((15.5, 15.5), 32), "x")

    test = TestSet.read([Three(2)], 32)
    answer = PARTS.constant(ConcatenatedDataset([Three(1, 2, 2)]), test)
    assert answer.shape == (1, 32, 32)
    assert (answer[:, :, :8] == 3).all()
    assert (answer[:, :, 8:] == 2).all()
    assert baseline_scores(PARTS, ConcatenatedDataset([Three(1, 2, 2)]), test)["mIoU"] == 100
    assert (
        baseline_scores(PARTS, ConcatenatedDataset([Three(2, 1)]), test)["pixel_accuracy"] == 25
    )  # 1 before 2; class 3 is right
    unknown = TestSet.read([Three(0, IGNORED)], 32)
    assert PARTS.score(unknown, PARTS.truth(unknown))["mIoU"] == 100


def test_a_test_set_that_nobody_labelled_cannot_be_scored() -> None:
    class Unknown:
        name, split, skeleton, protocol = "unknown", "test", SIDES, ""

        def __len__(self) -> int:
            return 1

        def sample(self, index: int) -> Any:
            from training.datasets.parts.base import masked

            blank = np.full((32, 32), IGNORED, np.uint8)
            return masked(np.zeros((32, 32, 3), np.uint8), blank, SIDES, ((15.5, 15.5), 32), "x")

    test = TestSet.read([Unknown()], 32)
    with pytest.raises(DataError, match="nothing in the test set can be scored: no pixel is labelled"):
        PARTS.score(test, PARTS.truth(test))
    with pytest.raises(DataError, match="there is no labelled pixel to take the mean mask of"):
        PARTS.constant(ConcatenatedDataset([Unknown()]), test)


def test_models_of_other_tasks_and_other_parts(trained: Path, tmp_path: Path, folder: Path) -> None:
    with pytest.raises(DataError, match=r"is a model of the task parts: use it with python -m training\.parts"):
        Model.load(trained / "last.safetensors", "pose")
    path = tmp_path / "pose.safetensors"
    Model(StackedHourglass(16, 16, depth=1), MPII, HeatmapCodec(32)).save(path)
    assert parts.main(["eval", str(path)]) == 3
    other = Model(StackedHourglass(16, 3, depth=1), Parts("x", ("a", "b", "c")), MaskCodec(32), "softmax", "parts")
    test = TestSet.read([PARTS.open(f"masks:{folder}", "test")], 32)
    with pytest.raises(DataError, match=r"finds the parts of x \(3\), the test set has those of sides \(4\)"):
        evaluate(PARTS, other, test)


@pytest.mark.parametrize(
    ("scheme", "codec", "output"),
    [
        (SIDES, MaskCodec(32), "sigmoid"),
        (MPII, HeatmapCodec(32), "softmax"),
        (SIDES, MaskCodec(32, 8), "softmax"),
        (Parts("three", ("a", "b", "c")), MaskCodec(32), "softmax"),
    ],
)
def test_parts_of_a_model_file_must_go_together(tmp_path: Path, scheme: Any, codec: Any, output: str) -> None:
    path = tmp_path / "m.safetensors"
    Model(StackedHourglass(16, 4, depth=1), scheme, codec, output).save(path)
    with pytest.raises(DataError, match="not a model of this version"):
        Model.load(path)


def test_a_file_that_lies_about_its_task(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Joints under the name of parts, and the other way round: one line, no traceback."""
    picture, path = tmp_path / "p.png", tmp_path / "m.safetensors"
    Image.fromarray(np.zeros((20, 20, 3), np.uint8)).save(picture)
    network = StackedHourglass(16, 4, depth=1)
    Model(network, SIDES, MaskCodec(32), "softmax", "pose").save(path)
    assert pose.main(["predict", str(path), str(picture), "--out", str(tmp_path / "a")]) == 3
    assert capsys.readouterr().err == "predict: sides names parts of a picture, not keypoints\n"
    Model(StackedHourglass(16, 16, depth=1), MPII, HeatmapCodec(32), "sigmoid", "parts").save(path)
    assert run(capsys, "predict", path, picture, "--out", tmp_path / "b")[0::2] == (
        3,
        "predict: mpii names keypoints, not parts of a picture\n",
    )


# ----------------------------------------------------------------------------------------------------- predict


@pytest.fixture
def seeing(monkeypatch: pytest.MonkeyPatch) -> None:
    """In place of the network: logits that are the mean colour of the 4 x 4 input pixels of each map pixel."""

    def maps(self: Model, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        n, size = len(pictures), 32 // 4
        means = pictures.astype(np.float32).reshape(n, size, 4, size, 4, 3).mean(axis=(2, 4))
        return np.concatenate([np.full_like(means[..., :1], 100), means], axis=-1)

    monkeypatch.setattr(Model, "_maps", maps)


def test_masks_come_back_in_pixels_of_the_picture(
    tmp_path: Path, trained: Path, seeing: None, capsys: pytest.CaptureFixture[str]
) -> None:
    """A red and a green half, 96 x 64 pixels; the square of 96 shows black above and below, which no mask holds."""
    picture = np.zeros((64, 96, 3), np.uint8)
    picture[:, :48, 0], picture[:, 48:, 1] = 255, 255
    path, out = tmp_path / "halves.png", tmp_path / "out"
    Image.fromarray(picture).save(path)
    code, printed, errors = run(capsys, "predict", trained / "last.safetensors", path, "--out", out, "--threads", 1)
    assert code == 0
    # Two steps of training may leave a model that is as sure of wrong crops, which depends on the last bits.
    assert errors == "" or errors.startswith("no warnings of worthless answers: ")
    assert printed == f"1 of 1 pictures: masks/, classes.txt, predictions.json and overlays in {out}\n"
    assert {p.relative_to(out).as_posix() for p in out.rglob("*")} == {
        *("masks", "masks/halves.png", "classes.txt", "predictions.json", "0000_halves.png")
    }
    with Image.open(out / "masks/halves.png") as image:
        assert (image.mode, image.size) == ("P", (96, 64))
        mask = np.asarray(image)
        assert image.getpalette()[3:6] == SIDES.colours()[1].tolist()  # type: ignore[index]
    # Cells of 12 pixels; of those at top and bottom a part is blurred with black.
    assert (mask[6:-6, :42] == 1).all()
    assert (mask[6:-6, 54:] == 2).all()
    content = json.loads((out / "predictions.json").read_text())
    assert content["classes"] == list(SIDES.names)
    (record,) = content["pictures"]
    assert (record["picture"], record["mask"]) == (str(path), "masks/halves.png")
    assert (record["center"], record["side"]) == ([47.5, 31.5], 96)
    assert record["shares"] == {
        name: pytest.approx(float((mask == k).mean()), abs=1e-6) for k, name in enumerate(SIDES.names)
    }
    assert (out / "classes.txt").read_text().split() == list(SIDES.names)
    with Image.open(out / "0000_halves.png") as overlay:
        assert overlay.size == (480, 320)


def test_outside_a_box_nobody_looked(tmp_path: Path, trained: Path, seeing: None) -> None:
    """A box of 16 x 8 around (30, 20): a square of 20 pixels, columns 20 to 39 and rows 10 to 29."""
    path, out = tmp_path / "red.png", tmp_path / "out"
    Image.fromarray(np.full((60, 80, 3), (255, 0, 0), np.uint8)).save(path)
    words = ["predict", str(trained / "last.safetensors"), str(path), "--out", str(out), "--quiet", "--threads", "1"]
    assert parts.main([*words, "--box", "22,16,16,8"]) == 0
    mask = np.asarray(Image.open(out / "masks/red.png"))
    expected = np.full((60, 80), IGNORED)
    expected[10:30, 20:40] = 1
    assert np.array_equal(mask, expected)
    shares = json.loads((out / "predictions.json").read_text())["pictures"][0]["shares"]
    assert shares == {"background": 0, "left_red": pytest.approx(400 / 4800, abs=1e-6), "right_green": 0, "blue": 0}


def test_predictions_can_be_read_back_as_labels(tmp_path: Path, trained: Path, seeing: None) -> None:
    """masks/ and classes.txt are those of a set of masks, with 255 where nobody looked; names may occur twice."""
    paths, out = [tmp_path / "a/scene.png", tmp_path / "b/scene.webp"], tmp_path / "out"
    for number, path in enumerate(paths, start=1):
        path.parent.mkdir()
        Image.fromarray(scene(number)[0]).save(path, **({} if path.suffix == ".png" else {"lossless": True}))
    words = ["predict", str(trained / "last.safetensors"), *map(str, paths), "--out", str(out), "--quiet"]
    assert parts.main([*words, "--threads", "1", "--box", "2,2,30,30"]) == 0
    masks = [np.asarray(Image.open(out / f"masks/{name}.png")) for name in ("scene", "scene-2")]
    assert all((mask == IGNORED).any() and (mask != IGNORED).any() for mask in masks)
    (out / "train.txt").write_text("scene\nscene-2")
    data = PARTS.open(f"masks:{out}", "train")
    assert data.skeleton.names == SIDES.names
    for index, mask in enumerate(masks):
        assert np.array_equal(data.sample(index).mask, mask)  # type: ignore[arg-type]
        assert np.array_equal(data.sample(index).picture, scene(index + 1)[0])
    # Beside pictures that somebody put into images/, under their own names, the same masks.
    (out / "images").mkdir()
    (out / "images/scene.png").write_bytes(paths[0].read_bytes())
    (out / "train.txt").write_text("scene")
    assert np.array_equal(PARTS.open(f"masks:{out}", "train").sample(0).mask, masks[0])  # type: ignore[arg-type]


def test_a_data_set_is_not_overwritten(
    tmp_path: Path, trained: Path, seeing: None, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "photo.png"
    Image.fromarray(scene(1)[0]).save(path)
    for number, name in enumerate(("classes.txt", "masks/photo.png", "classes.toml", "predictions.json")):
        held = tmp_path / str(number) / name
        held.parent.mkdir(parents=True)
        held.write_text("mine")
        code, printed, errors = run(capsys, "predict", trained, path, "--out", tmp_path / str(number))
        assert (code, printed, errors.count("\n")) == (2, "", 1)
        assert f"holds {name.partition('/')[0]} already" in errors
        assert held.read_text() == "mine"
        assert [p for p in (tmp_path / str(number)).rglob("*") if p.is_file()] == [held]
