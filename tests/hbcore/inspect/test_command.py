"""`python -m hbcore.inspect`: what it says, and one line for all that goes wrong."""

import json
import math
import subprocess
import sys
import weakref

import numpy as np
import pytest
from PIL import Image

from hbcore import save_model
from hbcore.inspect import __main__ as entry
from hbcore.inspect.footprint import footprint
from hbcore.inspect.observe import observe, run_once
from hbcore.inspect.seen import looking
from hbcore.inspect.subject import Subject, convolutions
from hbcore.inspect.views.layers import receptive_fields, unit_name
from hbcore.nn.layers import BinaryConv2d, Conv2d
from tests.command_lines import Outcome
from tests.hbcore.inspect.models import HEADER, model


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """A folder with a photo, a model, and one that says nothing of its maps."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    (tmp_path / "empty").mkdir()
    picture = np.random.default_rng(1).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    Image.fromarray(picture).save("photos/one.png")
    network = model()
    save_model(network, "m.safetensors", HEADER)
    save_model(network, "bare.safetensors")
    (tmp_path / "run").mkdir()
    save_model(network, "run/last.safetensors", HEADER)


def run(capsys, *words):
    return Outcome(entry.main, capsys, *words)


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["summary", "nobody"], 3, "unknown model 'nobody'"),
        (["nobody"], 3, "unknown model 'nobody'"),
        (
            ["microscop", "m.safetensors"],
            3,
            "unknown verb or model 'microscop': is it 'microscope'? The verb comes first",
        ),
        (["--json", "bits", "m.safetensors"], 3, "unknown verb or model 'bits': is it 'bits'? The verb comes first"),
        (["dead", "photos/one.png"], 3, "photos/one.png: is a picture: MODEL comes first, then pictures"),
        (["m.safetensors", "--size", "0"], 3, "--size 0: this network takes multiples of 8, up to 4096"),
        (["bits", "m.safetensors", "--boxes", "1,1,5,5"], 3, "--boxes says where to look in pictures: name some"),
        (["empty"], 3, "empty/last.safetensors: "),
        (["m.safetensors", "--size", "30"], 3, "--size 30: this network takes multiples of 8, up to 4096"),
        (["m.safetensors", "--size", "8000000"], 3, "--size 8000000: this network takes multiples of 8, up to 4096"),
        (["bits", "m.safetensors", "none.png"], 3, "none.png: no such picture"),
        (["bits", "m.safetensors", "empty"], 3, "empty: holds no picture"),
        (["bits", "m.safetensors", "photos", "--boxes", "5,5,1,1"], 3, "the box 5,5,1,1 has no area"),
        (["bits", "bare.safetensors", "photos", "--boxes", "1,1,5,5"], 3, "the box 1,1,5,5 is of no use"),
        (["m.safetensors", "photos"], 3, "summary looks at no picture, not at 1"),
        (["graph", "m.safetensors", "photos"], 3, "graph looks at no picture, not at 1"),
        (["bits", "m.safetensors", "photos", "photos"], 3, "bits looks at one picture, not at 2"),
        (["bits", "m.safetensors", "none.png", "none.png"], 3, "bits looks at one picture, not at 2"),
        (
            ["bits", "m.safetensors", "photos", "--boxes", "1,1,9,9", "--boxes", "2,2,9,9"],
            3,
            "bits looks at one place, and --boxes has 2 in photos/one.png: name one",
        ),
        (["m.safetensors", "--nothing"], 2, "unrecognized arguments: --nothing"),
        ([], 2, "required: "),
    ],
)
def test_mistakes_are_one_line(words, code, message, capsys):
    run(capsys, *words).fails(code, message)


def test_photos_are_read_one_after_the_other(monkeypatch):
    """When the next is read, only the one before may still be there: a folder of them need not fit into memory."""
    pictures = []

    def read(path):
        assert sum(picture() is not None for picture in pictures) <= 1
        picture = np.zeros((40, 60, 3), dtype=np.uint8)
        pictures.append(weakref.ref(picture))
        return picture

    monkeypatch.setattr("hbcore.photos.reading.read_picture", read)
    seen = looking(Subject.read("m.safetensors"), ["a.png", "b.png", "c.png"], None, "dead", math.inf)
    assert (len(pictures), len(seen.pictures)) == (3, 3)


@pytest.mark.parametrize("verb", ["bits", "dead", "robustness", "microscope --layer stem.0"])
@pytest.mark.parametrize("kind", [{"binary": False}, {"binarize": "activations"}, {"sharpness": 2.0}])
def test_networks_without_binary_layers_are_named(verb, kind, capsys):
    save_model(model(**kind), "other.safetensors", HEADER)
    name, *more = verb.split()
    run(capsys, name, "other.safetensors", "photos", *more).fails(3, "this network has no binary layer")


@pytest.mark.parametrize(
    "words",
    ["m.safetensors photos --layer stem.3.conv1", "--layer stem.3.conv1 m.safetensors photos",
     "m.safetensors --layer stem.3.conv1 photos", "--json m.safetensors --layer stem.3.conv1 photos"],
)  # fmt: skip
def test_options_may_stand_anywhere(words, capsys):
    usual = run(capsys, "bits", "m.safetensors", "photos", "--layer", "stem.3.conv1", "--json")
    assert run(capsys, "bits", *words.replace("--json ", "").split(), "--json").out == usual.out != ""


def test_without_a_verb_options_may_stand_first(capsys):
    assert json.loads(run(capsys, "--json", "m.safetensors").out)["model"] == "m.safetensors"


def test_an_interrupt_while_pictures_are_written_is_one_line(monkeypatch, capsys):
    def stopped(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(entry, "write_whole", stopped)
    run(capsys, "bits", "m.safetensors", "photos", "--out", "seen").fails(130, "interrupted")


def test_a_verb_that_is_the_name_of_a_run_folder_too_is_a_model(tmp_path, capsys):
    (tmp_path / "run").rename(tmp_path / "bit")
    assert run(capsys, "bit").out.startswith("bit at 32 x 32 pixels\n")


def test_help_names_every_verb(capsys):
    outcome = run(capsys, "--help")
    assert outcome.code in (0, None)
    assert all(f"  {verb} " in outcome.out for verb in entry.VERBS)
    assert "--layer NAME" in run(capsys, "microscope", "--help").out


def test_it_runs_as_a_module():
    done = subprocess.run([sys.executable, "-m", "hbcore.inspect", "run"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("run at 32 x 32 pixels\n")
    assert done.stderr == ""


def test_summary_by_hand(capsys):
    """Of 16 features: stem 7x7 3 -> 4 with stride 2, block 4 -> 8 at half the size, 1x1 to 3 heatmaps at the end."""
    outcome = run(capsys, "summary", "bare.safetensors", "--size", 32, "--json")
    said = json.loads(outcome.out)
    rows = {row["name"]: row for row in said["layers"]}
    stem = rows["stem.0"]
    assert (stem["bits"], stem["shape"], stem["output"]) == ([32, 32], [7, 7, 3, 4], [16, 16, 4])
    assert (stem["one_bit"], stem["real"], stem["size"]) == (0, 588 + 4, 4 * 592)
    assert (stem["binary_macs"], stem["real_macs"]) == (0, 16 * 16 * 588)
    assert stem["field"] == [7, 7]
    first = rows["stem.3.conv1"]  # half of the block's 8 filters, at half the picture's size
    assert (first["bits"], first["shape"], first["output"]) == ([1, 1], [3, 3, 4, 4], [16, 16, 4])
    assert (first["one_bit"], first["real"], first["size"]) == (144, 4 + 4, 18 + 32)  # gamma and beta
    assert (first["binary_macs"], first["real_macs"]) == (16 * 16 * 144, 0)
    assert first["field"] == [11, 11]  # 7 + 2 * 2
    assert rows["heads.0.heatmaps"]["shape"] == [1, 1, 16, 3]
    every = sum(p.data.size for p in model().parameters())
    assert said["all"]["one_bit"] + said["all"]["real"] == every
    assert sum(row["share"] for row in said["layers"]) == pytest.approx(1)
    assert all(row["share"] > 0 for row in said["layers"])


@pytest.mark.parametrize("size", [8, 16, 24, 64, 72])
def test_receptive_fields_are_those_of_the_whole_picture(size):
    """In memory for a small one: beside the graph of the picture itself."""
    subject = Subject.read("m.safetensors", size)
    units, whole, sides = convolutions(subject.network), {}, []

    def note(name, module, inputs, result):
        if isinstance(module, Conv2d | BinaryConv2d):
            box = footprint(result, result.shape[1] // 2, result.shape[2] // 2)
            whole[unit_name(units, name)] = box.height, box.width
            sides.append(inputs[0].shape[1])

    run_once(subject.network, subject.pictures, note, graph=True)
    assert sides[0] == size
    with observe(subject.network, lambda _, module, inputs, result: sides.append(inputs[0].shape[1])):
        sides.clear()
        assert receptive_fields(subject) == whole
    assert max(sides) <= 16


def test_summary_prints_a_table(capsys):
    lines = run(capsys, "m.safetensors").out.splitlines()
    assert lines[1].split()[:2] == ["layer", "bits"]
    assert lines[2].split()[:6] == ["stem.0", "32", "7x7", "3->4", "16x16x4", "0"]


WITHOUT_PILLOW = (
    "import sys; sys.modules['PIL'] = None; from hbcore.inspect.__main__ import main; sys.exit(main(sys.argv[1:]))"
)


@pytest.mark.parametrize(
    ("words", "code"),
    [(["m.safetensors"], 0), (["bits", "m.safetensors", "photos"], 3), (["bits", "m.safetensors", "--out", "seen"], 5)],
)
def test_pillow_is_needed_for_picture_files_alone(words, code):
    done = subprocess.run([sys.executable, "-c", WITHOUT_PILLOW, *words], capture_output=True, text=True, check=False)
    missing = 'inspect: picture files need Pillow, which is missing: pip install "hbcore[pictures]"\n'
    assert (done.returncode, done.stderr) == (code, missing if code else "")
