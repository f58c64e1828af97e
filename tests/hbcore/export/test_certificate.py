"""parity.json: that it sees what differs, and says what was compared."""

import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest

from hbcore import kernels, save_model
from hbcore.deploy.model_file import ModelFileError
from hbcore.export import command
from hbcore.export.c.certificate import certify
from hbcore.export.c.files import c_model
from hbcore.export.crops import squares_in, synthetic
from hbcore.landmarks.heatmaps import HeatmapCodec
from hbcore.landmarks.masks import MaskCodec
from tests.architectures import ARCHITECTURES, network
from tests.hbcore.export.programs import COMPILER, model_of

compiles = pytest.mark.skipif(
    COMPILER is None or kernels.backend.name not in kernels.FUSED, reason="needs a C compiler and the wide kernels"
)


@pytest.fixture
def model_file(tmp_path):
    """A small one, which compiles soon."""
    header = {
        "task": "face", "output": "sigmoid", "codec": {"input_size": 32, "stride": 4, "sigma": 1.0},
        "skeleton": {"joints": list("abcde"), "edges": []},
    }  # fmt: skip
    save_model(network(), tmp_path / "net.safetensors", header)
    return str(tmp_path / "net.safetensors")


@compiles
@pytest.mark.parametrize("name", ["odd widths", "multi-scale, average, improved", "binary weights", "real"])
def test_four_ways_agree(name):
    made = model_of(HeatmapCodec(32), "sigmoid", **ARCHITECTURES[name])
    found = certify(made, synthetic(2, 32), "noise")
    assert found["equal"]
    assert found["pictures"]["count"] == 2
    assert (found["bits_compared"] > 0) == (found["binary_layers"] > 0) == (name[:6] not in ("binary", "real"))
    assert {way: each["largest_map_difference"] for way, each in found["against_c"].items()} == {
        "simulation": 0.0,
        "packed": 0.0,
        "engine": 0.0,
    }
    assert found["c_sha256"] == hashlib.sha256(made.files["net.c"].encode()).hexdigest()


@compiles
def test_classes():
    made = model_of(MaskCodec(64), "softmax")
    assert certify(made, synthetic(1, 64), "noise")["equal"]
    other = made.files["net.c"].replace("if (c == 0 || v > highest)", "if (c == 0 || v < highest)")
    found = certify(replace(made, files={**made.files, "net.c": other}), synthetic(1, 64), "noise")
    assert not found["equal"]
    assert found["against_c"]["engine"]["differing_classes"] > 0
    assert found["against_c"]["engine"]["differing_bits"] == 0


@compiles
def test_one_bit_is_seen():
    """One channel's sign flipped in one layer: at each of its pixels, and what comes of it."""
    made = model_of(HeatmapCodec(32), "identity")
    at = max(n for n, step in enumerate(made.table.steps) if step.kind == "threshold")
    area = made.table.steps[at].arguments["out"]
    begin = made.files["net.c"].index(f" flip_{at}[")
    first = made.files["net.c"].index("{", begin) + 1
    broken = made.files["net.c"][:first] + " 1u ^" + made.files["net.c"][first:]
    found = certify(replace(made, files={**made.files, "net.c": broken}), synthetic(1, 32), "noise")
    assert not found["equal"]
    for difference in found["against_c"].values():
        assert difference["differing_bits"] >= area.shape[1] * area.shape[2]
        assert difference["largest_map_difference"] > 0


@compiles
def test_the_command(model_file, tmp_path, capsys, monkeypatch):
    words = ["c", model_file, "-o", str(tmp_path), "--pictures", "1"]
    assert command.main([*words, "--require-parity"]) == 0
    assert "1 pictures in 4 ways, the same to the last bit" in capsys.readouterr().out
    for count, more in (("0", ["--require-parity"]), ("-1", [])):
        with pytest.raises(SystemExit, match="2"):
            command.main([*words[:-1], count, *more])
        assert f"--pictures {count}: too few" in capsys.readouterr().err
    found = json.loads((tmp_path / "parity.json").read_text())
    assert found["equal"]
    assert found["model_sha256"] in (tmp_path / "net.h").read_text()
    assert "-ffp-contract=off" in found["flags"]

    def damaged(*arguments):
        made = c_model(*arguments)
        text = made.files["net.c"].replace("factors - 2 *", "factors + 2 *")
        return replace(made, files={**made.files, "net.c": text})

    monkeypatch.setattr(command, "c_model", damaged)
    assert command.main(words) == 0
    assert "NOT the same" in capsys.readouterr().out
    assert command.main([*words, "--require-parity"]) == 3
    assert capsys.readouterr().err.count("\n") == 1


def test_without_a_compiler(model_file, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("CC", "/nonexistent/cc")
    words = ["c", model_file, "-o", str(tmp_path), "--pictures", "1"]
    (tmp_path / "parity.json").write_text("of another file")
    assert command.main(words) == 0
    assert "no parity.json: " in capsys.readouterr().out
    assert (tmp_path / "net.c").exists()
    assert not (tmp_path / "parity.json").exists()
    assert command.main([*words, "--require-parity"]) == 3
    assert capsys.readouterr().err.count("\n") == 1


def test_interrupted(model_file, tmp_path, capsys, monkeypatch):
    def pressed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "certify", pressed)
    assert command.main(["c", model_file, "-o", str(tmp_path)]) == 130
    assert capsys.readouterr().err == "export: interrupted\n"


def test_made_up_pictures_are_the_same_each_time():
    first, again = (list(synthetic(3, 32)) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], first[1])
    assert all(picture.std() > 5 for picture in first)


def test_squares_of_a_folder(tmp_path):
    """Whole pictures first, in the order of their names; then parts of them."""
    image = pytest.importorskip("PIL.Image")
    (tmp_path / "a").mkdir()
    shades = {"b.png": 50, "a/c.png": 200}
    for name, shade in shades.items():
        image.fromarray(np.full((40, 40, 3), shade, dtype=np.uint8)).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no picture")
    found = [picture[16, 16, 0] for picture in squares_in(tmp_path, 5, 32)]
    assert found == [200, 50, 200, 50, 200]
    (tmp_path / "broken.png").write_bytes(b"no picture")
    with pytest.raises(ModelFileError, match=r"broken\.png"):
        list(squares_in(tmp_path, 5, 32))
    with pytest.raises(ModelFileError, match="holds no pictures"):
        next(squares_in(tmp_path / "nowhere", 1, 32))
