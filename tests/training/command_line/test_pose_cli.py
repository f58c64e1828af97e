"""The command line as a user meets it. Mistakes give one line on stderr, the right exit code and no traceback."""

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

from hbcore import StackedHourglass
from hbcore.deploy.model_file import read_arrays
from hbcore.landmarks.heatmaps import HeatmapCodec
from hbcore.nn.layers import BinaryConv2d
from tests.command_lines import Outcome
from training import parts, pose
from training.command_line import evaluate, main, train
from training.configuration.settings import Config
from training.configuration.toml import describe, from_toml, load
from training.configuration.values import from_dict, override
from training.datasets import open_dataset
from training.errors import DataError
from training.labels.skeletons import LSP, MPII
from training.loading.test_set import TestSet
from training.prediction.model import Model
from training.runs import run
from training.tasks import task

ROOT = Path(__file__).resolve().parents[3]
TINY = (
    *("--data", "synthetic?length=4&size=48", "--test", "synthetic?length=2&size=48", "--batch-size", "2"),
    *("--steps", "2", "--threads", "1", "--workers", "0"),
    *("--set", "model.features=16", "model.depth=1", "data.size=32"),
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run. Not to be changed."""
    out = tmp_path_factory.mktemp("trained") / "run"
    assert pose.main(["--out", str(out), *TINY, "--quiet"]) == 0
    return out


@pytest.fixture(autouse=True)
def no_curves(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They take longer than these runs, and the one of `trained` has them."""
    monkeypatch.setattr(train, "curves", lambda *_: None)


def command(*arguments: object, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """A process of its own."""
    words = [sys.executable, "-m", "training.pose", *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(words, cwd=cwd, env=environment, capture_output=True, text=True, timeout=60)


# ---------------------------------------------------------------------------------------------- a whole run


def test_a_run_folder_says_everything(trained: Path) -> None:
    assert {path.name for path in trained.iterdir()} == {
        *("config.toml", "env.json", "log.csv", "flips.csv", "metrics.json", "curves.png", "overlays.png", "run.lock"),
        *("state.safetensors", "last.safetensors", "best.safetensors"),
    }
    stored = load(trained / "config.toml")
    assert (stored.model.features, stored.optim.batch_size, stored.run.out) == (16, 2, str(trained))
    assert stored.data.train == ("synthetic?length=4&size=48",)
    environment = json.loads((trained / "env.json").read_text())
    assert environment["numpy"] == np.__version__
    assert environment["kernels"] in ("amx", "avx512", "avx2", "sse2", "neon", "cython", "numpy")
    assert environment["command"].startswith(
        f"python -m training.pose train --out {trained} --data 'synthetic?length=4"
    )


def test_metrics_say_what_they_rest_on(trained: Path) -> None:
    result = json.loads((trained / "metrics.json").read_text())
    assert next(iter(result["metrics"])) == "PCKh@0.5"
    assert {"PCKh@0.5", "PCKh@0.1", "AUC", "PCK@0.2", "PCKh@0.5/Ankle", "PCK@0.2/left_wrist"} <= result[
        "metrics"
    ].keys()
    assert all(0 <= value <= 100 for value in result["metrics"].values())
    assert list(result["protocol"]) == ["data", "PCKh", "PCK"]
    assert result["protocol"]["data"].startswith("synthetic: synthetic figures, split test of seed 0, 2 persons")
    assert "0.5 head size" in result["protocol"]["PCKh"]
    expected = {"people": 2, "split": "test", "flip_test": False, "model": "last", "input_size": 32, "steps": 2}
    assert {key: result[key] for key in expected} == expected
    assert result["best"]["metric"] == "PCKh@0.5"
    assert result["best"]["step"] == 2
    assert result["network"]["binary_convolutions"] == 27
    assert result["bad_pictures"] == 0


def test_the_model_of_a_run_describes_itself_and_needs_no_configuration(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, header = read_arrays(trained / "last.safetensors", "hbcore-model/1")
    assert header["trained"] == {"steps": 2, "data": ["synthetic"], "test": ["synthetic?length=2&size=48"]}
    assert list(header["confidence"]) == ["crops", "right", "threshold", "wrong"]
    assert header["confidence"]["crops"] == 4
    assert tuple(header["skeleton"]["joints"]) == MPII.keypoints
    assert header["input"]["size"] == 32
    assert header["crop"]
    alone = tmp_path / "alone.safetensors"
    alone.write_bytes((trained / "last.safetensors").read_bytes())
    done = Outcome(pose.main, capsys, "eval", alone, "--data", "synthetic?length=2&size=48", "--json", "--threads", 1)
    assert done.code == 0
    stored = json.loads((trained / "metrics.json").read_text())
    assert json.loads(done.out)["metrics"] == stored["metrics"]


def test_pictures_of_a_run_can_be_opened(trained: Path) -> None:
    with Image.open(trained / "curves.png") as curves, Image.open(trained / "overlays.png") as overlays:
        assert min(curves.size) >= 400
        # Two people of 32 pixels, enlarged threefold, in four columns with gaps of 4, and a line on the colours.
        assert overlays.size == (4 + 4 * (96 + 4), 4 + 96 + 4 + 28)


def test_train_is_the_default_verb_and_reports(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    default = Outcome(pose.main, capsys, "--out", tmp_path / "a", *TINY)
    named = Outcome(pose.main, capsys, "train", "--out", tmp_path / "b", *TINY)
    assert default.code == named.code == 0
    assert re.search(r"^PCKh@0.5 +\d+\.\d\d %   higher is better$", default.out, re.MULTILINE)
    assert re.search(r"^AUC +\d+\.\d\d %$", default.out, re.MULTILINE)
    assert re.search(r"^PCKh: share of joints within 0.5 head size", default.out, re.MULTILINE)
    assert re.search(r"^\d+ seconds of training; model", default.out, re.MULTILINE)
    assert f"model, curves and pictures in {tmp_path / 'a'}" in default.out
    assert f"4 samples to train on, 2 to test on; run folder {tmp_path / 'a'}" in default.errors
    assert re.search(r"^step 2: PCKh@0.5 \d+\.\d\d %$", default.errors, re.MULTILINE)
    assert "loss per map " in default.errors
    assert "your pictures" not in default.errors
    assert load_file(tmp_path / "a/last.safetensors").keys() == load_file(tmp_path / "b/last.safetensors").keys()
    assert (tmp_path / "a/last.safetensors").read_bytes() == (tmp_path / "b/last.safetensors").read_bytes()


def test_json_is_what_metrics_json_holds_and_the_only_output(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = Outcome(pose.main, capsys, "--out", tmp_path / "run", *TINY, "--json", "--quiet")
    assert (done.code, done.errors) == (0, "")
    assert json.loads(done.out) == json.loads((tmp_path / "run/metrics.json").read_text())


def test_as_a_process_from_another_folder(tmp_path: Path) -> None:
    done = command(*TINY, "--quiet", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (tmp_path / "runs/pose/last.safetensors").exists()


def test_settings_come_from_file_then_set_then_flags(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "c.toml"
    path.write_text('[optim]\nlr = 0.5\nsteps = 7\nbatch_size = 3\n[run]\nout = "runs/😀"\n')
    more = (
        "--set",
        "optim.steps=8",
        "optim.batch_size=4",
        "--set",
        "run.seed=1",
        "--batch_size",
        5,
        "--dry-run",
        "--json",
    )
    done = Outcome(pose.main, capsys, "--config", path, *more)
    optim = json.loads(done.out)["config"]["optim"]
    assert (optim["lr"], optim["steps"], optim["batch_size"]) == (0.5, 8, 5)
    assert json.loads(done.out)["config"]["run"]["seed"] == 1
    assert json.loads(done.out)["config"]["run"]["out"] == "runs/😀"


def test_names_of_folders_are_taken_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("runs/😀", 'a "b"', "7", "true", "a\\u0041", "[x]", "none"):
        done = Outcome(pose.main, capsys, "--out", name, "--dry-run", "--json", "--features", 16)
        assert json.loads(done.out)["config"]["run"]["out"] == name


def test_a_configuration_is_written_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    written: list[str] = []
    monkeypatch.setattr(
        train,
        "atomic_write",
        lambda path, data: written.append(f"{path.name} {tomllib.loads(data.decode())['run']['seed']}"),
    )
    assert Outcome(pose.main, capsys, "--out", tmp_path / "run", *TINY, "--seed", 3, "--quiet").code == 0
    assert written == ["config.toml 3"]


def own_labels(folder: Path) -> str:
    """A table of two points in three pictures, two of them to train on."""
    folder.mkdir()
    lines = ["picture,split,a_x,a_y,b_x,b_y"]
    for number, split in enumerate(("train", "train", "test")):
        Image.fromarray(np.full((40, 40, 3), 60 * number, np.uint8)).save(folder / f"{number}.png")
        lines.append(f"{number}.png,{split},10,12,30,28")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return f"csv:{folder / 'labels.csv'}"


def test_own_labels_are_varied_unless_told_otherwise(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own, out, file = own_labels(tmp_path / "own"), tmp_path / "run", tmp_path / "c.toml"
    file.write_text("[augment]\nshift = 0.25\n")
    size = ("--steps", 1, "--batch-size", 2, "--threads", 1, "--workers", 0, "--set", "model.features=16")
    small = ("--data", own, "--out", out, *size, "model.depth=1", "data.size=32", "augment.scale=0")
    done = Outcome(pose.main, capsys, *small, "--config", file)
    assert done.code == 0
    augment = load(out / "config.toml").augment
    assert (augment.rotate, augment.scale, augment.shift, augment.colour, augment.erase) == (20, 0, 0.25, 0.2, 0)
    assert "your pictures are varied: rotation 20 degrees, size 0 octaves, shift 25 %, colour 20 %" in done.errors
    again = Outcome(pose.main, capsys, *small, "--config", file, "--resume", "--quiet")
    assert (again.code, again.errors) == (0, "")
    none = Outcome(pose.main, capsys, *small, "augment.enabled=false", "--dry-run", "--json")
    assert json.loads(none.out)["config"]["augment"]["enabled"] is False
    drawn = json.loads(Outcome(pose.main, capsys, "--dry-run", "--json").out)["config"]["augment"]
    assert (drawn["rotate"], drawn["scale"], drawn["shift"], drawn["colour"]) == (0, 0, 0, 0)


def test_the_best_model_goes_by_validation_and_the_test_set_is_scored_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = ["picture,a_x,a_y,b_x,b_y"]
    for number in range(12):
        Image.fromarray(np.full((40, 40, 3), 10 * number, np.uint8)).save(tmp_path / f"{number}.png")
        rows.append(f"{number}.png,10,12,30,28")
    (tmp_path / "labels.csv").write_text("\n".join(rows) + "\n")
    spec, out = f"csv:{tmp_path / 'labels.csv'}?test=0.4&val=0.4", tmp_path / "run"
    sizes = {split: len(pose.POSE.open(spec, split)) for split in ("train", "val", "test")}
    assert len(set(sizes.values())) == 3  # else the counts below would not tell them apart
    scored: list[int] = []
    original = run.evaluate

    def counting(pose: task.Task, model: Model, test: TestSet) -> object:
        scored.append(len(test.pictures))
        return original(pose, model, test)

    monkeypatch.setattr(run, "evaluate", counting)
    size = ("--steps", 2, "--batch-size", 2, "--threads", 1, "--workers", 0, "--set", "model.features=16")
    small = (*size, "model.depth=1", "data.size=32", "run.eval_every=1", "run.patience=5")
    done = Outcome(pose.main, capsys, "--data", spec, "--out", out, *small)
    assert done.code == 0
    assert scored == [sizes["val"], sizes["val"], sizes["test"]]
    assert (
        f"{sizes['train']} samples to train on, {sizes['val']} to validate on, {sizes['test']} to test on"
        in done.errors
    )
    metrics = json.loads((out / "metrics.json").read_text())
    assert (metrics["best"]["split"], metrics["people"]) == ("val", sizes["test"])


def test_what_does_nothing_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Points a and b have no pairs, and two steps are less than 60."""
    more = ("--data", own_labels(tmp_path / "own"), "--out", "run", *TINY[4:], "optim.decay=0.5")
    done = Outcome(pose.main, capsys, *more)
    assert done.code == 0
    for line in ("optim.decay = 0.5 has no effect: ", "optim.warmup = 60 steps of 2: ", "pictures are not mirrored: "):
        assert line in done.errors
    assert "optim.decay = 0.5 has no effect: " in Outcome(pose.main, capsys, *more, "--dry-run").errors


# ------------------------------------------------------------------------------------------------- dry run


def test_dry_run_knows_the_size_of_the_papers_network(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    settings = ("model.features=256", "model.joints=16", "model.stacks=1")
    done = Outcome(pose.main, capsys, "--dry-run", "--json", "--out", out, "--set", *settings)
    assert (done.code, done.errors) == (0, "")
    result = json.loads(done.out)
    assert result["binary_convolutions"] == 54
    assert result["binary_weights"] == 6_207_488
    assert result["parameters"] == 6_236_560
    assert result["binary_weight_bytes"] == 775_936
    assert result["real_convolutions"] == 2
    # 7 x 7 x 3 -> 64 channels on 64 x 64, and 256 -> 16 channels on 32 x 32.
    assert result["real_macs"] == 64 * 64 * 64 * 7 * 7 * 3 + 32 * 32 * 256 * 16
    assert result["binary_macs"] > 100 * 6_207_488 // 10
    assert from_dict(result["config"]).model.features == 256
    assert not out.exists()


def test_dry_run_prints_a_configuration_that_can_be_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = Outcome(pose.main, capsys, "--dry-run", "--features", 16, "--stacks", 2)
    toml, _, _ = done.out.partition("\nlayer ")
    assert from_toml(toml) == override(Config(), ["model.features=16", "model.stacks=2"])
    assert re.search(r"^heads.1.heatmaps +32 +32 x 32 x 16", done.out, re.MULTILINE)


def test_settings_explains_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    done = Outcome(pose.main, capsys, "--settings")
    assert done.code == 0
    assert done.out == describe() + "\n"


# ------------------------------------------------------------------------------------------- training mistakes


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--set", "model.featurs=32"), "unknown setting model.featurs: did you mean model.features?"),
        (("--set", "lr=1"), "unknown setting lr: did you mean optim.lr?"),
        (("--set", "optim.lr"), "cannot read 'optim.lr': write section.key=value"),
        (("--set", "optim.lr=fast"), 'optim.lr = "fast" is not allowed: it must be a number > 0'),
        (("--lr", "nan"), "optim.lr = nan is not allowed"),
        (("--batch-size", "0"), "optim.batch_size = 0 is not allowed: it must be a whole number >= 1"),
        (
            ("--features", "60"),
            "model.features = 60 is not allowed: it must be a whole number >= 16, <= 1024, a multiple of 16",
        ),
        (("--features", "8"), "model.features = 8 is not allowed"),
        (("--threads", "-1"), "run.threads = -1 is not allowed: it must be a whole number >= 0"),
        (("--size", "100"), "data.size = 100 is not allowed: it must be a multiple of 64 with model.depth = 4"),
        (("--set", "data.sigma=0.2"), "data.sigma = 0.2 is not allowed: it must be a number >= 0.5"),
        (("--set", "data.sigma=16"), "data.sigma = 16 is not allowed: it must be at most 8, a quarter of the heatmap"),
        (("--block", "resnet"), 'model.block = "resnet" is not allowed: it must be one of "bottleneck", "wider"'),
        (("--out", ""), 'run.out = "" is not allowed'),
        (("--data", "synthtic"), "unknown data set 'synthtic'; did you mean 'synthetic'?"),
        (("--data", "synthetic?lenght=3"), "unknown option of synthetic 'lenght'; did you mean 'length'?"),
        (("--data", "synthetic?length=0"), "length must be at least 1"),
        (("--data", "lsp"), "data set lsp needs a folder: lsp:PATH"),
        (("--config", "none.toml"), "cannot read the configuration none.toml: No such file or directory"),
        (("--config", "."), "cannot read the configuration .: Is a directory"),
        (("--config", "binary.toml"), "binary.toml is not TOML: not UTF-8 text"),
        (("--config", "broken.toml"), "broken.toml is not TOML"),
        (("--config", "unknown.toml"), "unknown.toml: unknown setting optim.learning: the keys of optim are"),
        (("--dry-run", "--set", "model.joints=99999999999"), "not enough memory"),
        (("--out", "text"), "text is a file, not a folder: choose another --out"),
    ],
)
def test_wrong_settings(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("text").write_text("x")
    Path("binary.toml").write_bytes(b"\xff\x00")
    Path("broken.toml").write_text("[optim\n")
    Path("unknown.toml").write_text("[optim]\nlearning = 1\n")
    before = sorted(os.listdir())
    Outcome(pose.main, capsys, *arguments).fails(2, message)
    if arguments[0] != "--data":  # what may need hours to open is opened when the folder is ours
        assert sorted(os.listdir()) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--batchsize", "3"), "unknown argument --batchsize, did you mean --batch-size?"),
        (("--epoch", "3"), "unknown argument --epoch"),
        (("-q",), "unknown argument -q"),
        (("train", "now"), "unknown argument now"),
        (("evla", "model"), "invalid choice: 'evla' (choose from"),
        (("--steps", "many"), "argument --steps: invalid int value: 'many'"),
        (("--lr",), "argument --lr: expected one argument"),
        (("eval",), "the following arguments are required: model"),
        (("eval", "m", "--threads", "-1"), "argument --threads: '-1' is not a number of threads"),
        (("eval", "m", "--threads", "9" * 30), "is not a number of threads, up to 1024"),
        (("--data", f"synthetic?length={'9' * 30}"), "option length of synthetic takes a whole number"),
        (("--data", f"synthetic?length={'9' * 18}"), "length must be at most 100,000,000"),
        (("eval", "m", "--split", "val"), "argument --split: invalid choice: 'val'"),
        (("predict", "m"), "the following arguments are required: pictures"),
        (("predict", "m", "p", "--threads", "-1"), "argument --threads: '-1' is not a number of threads"),
        (("predict", "m", "p", "--box", "1,2,3"), "argument --box: '1,2,3' is not x,y,width,height in pixels"),
    ],
)
def test_wrong_command_lines(capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str) -> None:
    Outcome(pose.main, capsys, *arguments).fails(2, message)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--data", "lsp:nowhere"), 3, "lsp: there is no folder nowhere"),
        (("--test", "mpii:nowhere"), 3, "mpii: there is no folder nowhere"),
        (("--set", "model.joints=14"), 3, "model.joints = 14, but the data set labels 16: leave model.joints out"),
        (("--out", "text/run"), 5, "cannot write text/run: Not a directory"),
        (("--resume", "--out", "text/run"), 5, "cannot write text/run: Not a directory"),
    ],
)
def test_data_and_disk_mistakes(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    code: int,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("text").write_text("x")
    Outcome(pose.main, capsys, *TINY, "--quiet", *arguments).fails(code, message)
    assert not list(tmp_path.rglob("*.safetensors"))


def test_a_mistake_does_not_spoil_the_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """After a wrong data set the same --out can be used at once."""
    out = tmp_path / "run"
    Outcome(pose.main, capsys, "--out", out, *TINY, "--test", "lsp:nowhere", "--quiet").fails(3, "no folder nowhere")
    assert Outcome(pose.main, capsys, "--out", out, *TINY, "--quiet").code == 0


def test_data_sets_that_come_several_times_need_a_number_each(capsys: pytest.CaptureFixture[str]) -> None:
    Outcome(pose.main, capsys, "--dry-run", "--set", "data.times=[10, 1]").fails(
        2, "data.times = [10, 1] is not allowed: give one number for each data set to train on, here synthetic"
    )


def test_a_run_is_never_overwritten(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path.name: path.read_bytes() for path in trained.iterdir()}
    Outcome(pose.main, capsys, "--out", trained, *TINY).fails(
        2, f"{trained} holds a run already (config.toml, log.csv,"
    )
    Outcome(pose.main, capsys, "--out", trained, "--resume", "--lr", "1").fails(2, "optim.lr: 0.02 -> 1.0")
    Outcome(pose.main, capsys, "--out", trained, "--resume", *TINY, "--seed", "5").fails(2, "run.seed: 0 -> 5")
    assert parts.main(["--out", str(trained), "--resume"]) == 2
    assert 'optim.loss = "bce" is not for training.parts' in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in trained.iterdir()} == before


def test_resume_where_there_is_no_run_begins_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """So that one line of a script both starts a run and takes it up again."""
    done = Outcome(pose.main, capsys, "--resume", "--out", tmp_path / "run", *TINY, "--quiet")
    assert (done.code, done.errors) == (0, "")
    assert (tmp_path / "run/metrics.json").exists()


def test_divergence_is_one_line_and_exit_code_4(tmp_path: Path) -> None:
    """As a process, with threads: NumPy's own warnings of overflow would be further lines."""
    big = ("--set", "data.size=64", "model.features=32", "--batch-size", "6", "--threads", "2")
    done = command(*TINY, *big, "--steps", "9", "--lr", "1e30", "--quiet", "--out", tmp_path / "run")
    assert done.returncode == 4
    assert re.fullmatch(r"train: step \d: the .*synthetic/train/00000\d.*train anew with .*\n", done.stderr)
    assert done.stdout == ""
    Model.load(tmp_path / "run/last.safetensors")


def test_a_reader_that_leaves_is_no_traceback() -> None:
    words = [sys.executable, "-m", "training.pose", "--dry-run", "--features", "16"]
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        errors = process.stderr.read()
    assert (process.returncode, errors) == (141, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full device")
@pytest.mark.parametrize(
    ("redirection", "code", "errors"),
    [
        (">/dev/full", 5, "train: cannot write the output: No space left on device\n"),
        (">/dev/full 2>/dev/full", 5, ""),
        (">&-", 0, ""),
        ("2>&-", 0, ""),
        (">&- 2>&-", 0, ""),
    ],
)
def test_output_that_cannot_be_written_is_no_traceback(redirection: str, code: int, errors: str) -> None:
    line = f"{sys.executable} -m training.pose --settings {redirection}"
    done = subprocess.run(["sh", "-c", line], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (code, errors)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full device")
@pytest.mark.parametrize(("redirection", "code"), [("2>/dev/full", 5), ("2>&-", 0), (">/dev/full 2>&1", 5)])
def test_progress_that_cannot_be_shown_is_no_traceback(tmp_path: Path, redirection: str, code: int) -> None:
    out = tmp_path / "run"
    line = f"{shlex.join([sys.executable, '-m', 'training.pose', '--out', str(out), *TINY])} {redirection}"
    done = subprocess.run(["sh", "-c", line], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (code, "")
    assert (out / "metrics.json").exists() == (code == 0)


# ----------------------------------------------------------------------------------------------------- eval


def test_eval_without_data_takes_what_the_model_was_tested_on(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And the folder of a run stands for its last model."""
    done = Outcome(pose.main, capsys, "eval", trained, "--threads", 1)
    assert (done.code, done.errors) == (0, "")
    assert re.search(r"^PCKh@0.5 +\d+\.\d\d %   higher is better$", done.out, re.MULTILINE)
    assert re.search(r"^data: synthetic: synthetic figures, split test of seed 0, 2 persons", done.out, re.MULTILINE)
    assert re.search(r"^PCKh: share of joints within 0.5 head size", done.out, re.MULTILINE)
    result = json.loads(Outcome(pose.main, capsys, "eval", trained, "--json", "--threads", 1).out)
    assert result["data"] == ["synthetic?length=2&size=48"]
    assert result["metrics"] == json.loads((trained / "metrics.json").read_text())["metrics"]


def test_a_model_that_does_not_say_what_it_was_tested_on(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path, made = tmp_path / "m", Model.load(trained / "last.safetensors")
    for trained_on, message in (
        ({}, "m does not say what it was tested on: name a data set with --data"),
        ({"steps": 3, "data": ["lsp"]}, "(only the kinds of data it was trained on: 'lsp'): name a data set"),
        ({"test": ["a\nb"]}, "does not say what it was tested on"),
        ({"test": [7]}, "does not say what it was tested on"),
        ({"test": ["lsp:gone"]}, "there is no folder gone"),
        ({"test": ["lsp:gone"]}, f"that is what {path} was tested on: if it lies elsewhere, name it with --data"),
    ):
        made.save(path, trained=trained_on)
        done = Outcome(pose.main, capsys, "eval", path)
        done.fails(done.code, message)
        assert done.code in (2, 3)
    monkeypatch.setattr(task, "open_dataset", lambda spec, split, _: open_dataset(f"{spec}?length=2&size=48", split))
    made.save(path, trained={"steps": 3, "data": ["synthetic"]})  # as older files were
    assert Outcome(pose.main, capsys, "eval", path, "--threads", 1).code == 0


@pytest.mark.parametrize("verb", ["train", "eval"])
def test_help_lists_data_sets_and_their_options(capsys: pytest.CaptureFixture[str], verb: str) -> None:
    done = Outcome(pose.main, capsys, verb, "--help")
    assert done.code == 0
    for text in (
        "synthetic ",
        "lsp:FOLDER",
        "coco:FILE.json",
        "csv:FILE.csv",
        "?images=",
        "?test=",
        "?labels=crowd|teacher",
    ):
        assert text in done.out


def test_eval_writes_what_it_prints(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = trained / "last.safetensors"
    small = ("--data", "synthetic?length=3&size=48", "--threads", 1)
    done = Outcome(
        pose.main,
        capsys,
        "eval",
        model,
        *small,
        "--json",
        "--out",
        tmp_path / "e.json",
        "--split",
        "train",
        "--flip-test",
        "--packed",
    )
    result = json.loads(done.out)
    assert json.loads((tmp_path / "e.json").read_text()) == result
    expected = {"people": 3, "split": "train", "flip_test": True, "packed": True, "input_size": 32, "bad_pictures": []}
    assert {key: result[key] for key in expected} == expected
    assert "split train of seed 0, 3 persons" in result["protocol"]["data"]


def test_packed_bits_score_exactly_the_same(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = ("--data", "synthetic?length=10&size=48", "--json", "--threads", 1)
    results = [
        json.loads(Outcome(pose.main, capsys, "eval", trained / "last.safetensors", *small, *more).out)
        for more in (("--simulate",), ("--packed",), ("--packed", "--threads", "2"), ())
    ]
    assert results[0]["metrics"] == results[1]["metrics"] == results[2]["metrics"]
    assert [result["packed"] for result in results] == [False, True, True, False]
    assert [re.sub(", [a-z0-9]+ kernels", "", result["computed_by"]) for result in results] == [
        "network layer by layer, float simulation",
        "network layer by layer, packed bits",
        "network layer by layer, packed bits",
        "engine",
    ]


@pytest.mark.parametrize(("option", "packed"), [("--packed", True), ("--simulate", False)])
def test_the_network_computes_as_it_was_told(
    trained: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, option: str, packed: bool
) -> None:
    """As the layers themselves see it: scores cannot tell, they are the same to the bit."""
    seen: set[bool] = set()
    forward = BinaryConv2d.forward
    monkeypatch.setattr(BinaryConv2d, "forward", lambda self, x: (seen.add(self.packed), forward(self, x))[1])
    small = ("--data", "synthetic?length=2&size=48", "--threads", 1, option)
    assert Outcome(pose.main, capsys, "eval", trained, *small).code == 0
    assert seen == {packed}


@pytest.mark.parametrize(("option", "place"), [("--out", "nodir/x.json"), ("--pictures", "file/folder")])
def test_eval_looks_first_whether_it_can_write(
    trained: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, option: str, place: str
) -> None:
    Path("file").touch()
    monkeypatch.setattr(evaluate, "evaluate", lambda *_: pytest.fail("it was computed for nothing"))
    Outcome(pose.main, capsys, "eval", trained, option, place).fails(5, f"cannot write {place}")
    assert os.listdir() == ["file"]


def test_eval_scores_the_mean_pose(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = ("--data", "synthetic?length=6&size=48", "--mean-pose", "synthetic?length=9&size=48", "--threads", 1)
    result = json.loads(Outcome(pose.main, capsys, "eval", trained / "last.safetensors", *small, "--json").out)
    assert result["mean_pose"].keys() == result["metrics"].keys()
    done = Outcome(pose.main, capsys, "eval", trained / "last.safetensors", *small)
    assert "mean pose of the training set:" in done.out


def test_eval_mistakes(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = trained / "last.safetensors"
    text, garbage, cut = tmp_path / "text.jpg", tmp_path / "garbage", tmp_path / "cut"
    text.write_text("no model")
    garbage.write_bytes(np.random.default_rng(0).bytes(5000))
    cut.write_bytes(model.read_bytes()[:-1])
    legs = tmp_path / "legs.safetensors"
    Model(StackedHourglass(16, 14, depth=1), LSP, HeatmapCodec(32)).save(legs)
    small = ("--data", "synthetic?length=2&size=48")
    for arguments, code, message in (
        ([tmp_path / "none"], 3, "none: No such file or directory"),
        ([tmp_path], 3, "is a folder without last.safetensors: name a model file, or the folder of a run"),
        ([text], 3, "not a safetensors file"),
        ([garbage], 3, "not a safetensors file"),
        ([cut], 3, "not a safetensors file"),
        ([trained / "state.safetensors"], 3, "not a file of format hbcore-model/1"),
        ([trained / "log.csv"], 3, "not a safetensors file"),
        ([legs, *small], 3, "the model finds the keypoints of lsp (14), the test set has those of mpii (16)"),
        ([model, "--data", "synthetic?length=0"], 2, "length must be at least 1"),
        ([model, "--data", "mpi:x"], 2, "unknown data set 'mpi'; did you mean 'mpii'?"),
        ([model, "--data", "lsp:nowhere"], 3, "there is no folder nowhere"),
        ([model, *small, "--mean-pose", "lsp:nowhere"], 3, "there is no folder nowhere"),
        ([model, *small, "--out", tmp_path / "no/such/folder.json"], 5, "No such file or directory"),
        ([model, *small, "--out", tmp_path], 5, "is not a file"),
    ):
        Outcome(pose.main, capsys, "eval", *arguments).fails(code, message)


def test_predict_refuses_what_is_no_model(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = tmp_path / "in.png"
    Image.fromarray(np.zeros((20, 20, 3), np.uint8)).save(picture)
    Outcome(pose.main, capsys, "predict", picture, picture).fails(3, "not a safetensors file")
    Outcome(pose.main, capsys, "predict", trained / "state.safetensors", picture).fails(3, "not a file of format")
    assert (
        Outcome(pose.main, capsys, "predict", trained / "best.safetensors", picture, "--out", tmp_path / "out").code
        == 0
    )


def test_bad_test_pictures_are_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from training.datasets.drawn.synthetic import SyntheticFigures
    from training.errors import BadPicture

    drawn = SyntheticFigures.sample

    def sample(self: SyntheticFigures, index: int) -> Any:
        if self.split == "test" and index == 1:
            raise BadPicture("people/1.jpg: broken")
        return drawn(self, index)

    monkeypatch.setattr(SyntheticFigures, "sample", sample)
    out = tmp_path / "run"
    done = Outcome(pose.main, capsys, "--out", out, *TINY)
    assert done.code == 0
    assert "1 of 2 test pictures cannot be read: see bad_images.csv" in done.errors
    assert "people/1.jpg: broken" in (out / "bad_images.csv").read_text()
    assert json.loads((out / "metrics.json").read_text())["bad_pictures"] == 1
    done = Outcome(
        pose.main, capsys, "eval", out / "last.safetensors", "--data", "synthetic?length=2&size=48", "--json"
    )
    assert done.errors == "skipped: people/1.jpg: broken\n"
    assert json.loads(done.out)["bad_pictures"] == ["people/1.jpg: broken"]


def test_defects_of_ours_keep_their_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setitem(main.VERBS, "eval", broken)
    with pytest.raises(ZeroDivisionError):
        pose.main(["eval", "m"])


def test_ctrl_c_before_training_is_130(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setitem(main.VERBS, "train", interrupted)
    Outcome(pose.main, capsys).fails(130, "train: interrupted")


def test_without_a_test_split_a_run_asks_for_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def only_training(spec: str, split: str, kinds: object) -> object:
        if split == "test":
            raise DataError("lspet has no test split")
        return open_dataset(spec, split)

    monkeypatch.setattr(task, "open_dataset", only_training)
    words = [word for word in TINY if word != "--test" and word != "synthetic?length=2&size=48"]
    message = "nothing to test on (lspet has no test split): name a data set with --test"
    Outcome(pose.main, capsys, "--out", tmp_path / "run", *words).fails(3, message)
