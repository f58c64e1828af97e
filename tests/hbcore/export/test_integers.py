"""A network in whole numbers: the arithmetic by hand, the proof against brute force, and C that is equal to the bit."""

import re
from dataclasses import replace

import numpy as np
import pytest

from hbcore import load_model, save_model
from hbcore.deploy import Engine
from hbcore.deploy.lowering import lower
from hbcore.deploy.memory import run_apart, run_in
from hbcore.export import command
from hbcore.export.c.certificate import certify
from hbcore.export.crops import synthetic
from hbcore.export.integers.ending import Ending, moved
from hbcore.export.integers.lowering import in_integers, levels_of, limits
from hbcore.export.integers.plan import IntegerPlan
from hbcore.landmarks.heatmaps import HeatmapCodec
from hbcore.landmarks.landmarker import find_model
from tests.architectures import ARCHITECTURES, network
from tests.hbcore.export.programs import COMPILER, SANITIZED, model_of, program

compiles = pytest.mark.skipif(COMPILER is None, reason="there is no gcc to compile an exported model with")
OF_BITS = [name for name, each in ARCHITECTURES.items() if each.get("binary", True) and "binarize" not in each]


def whole_of(model, side):
    return in_integers(lower(model, side, side))


def maps_of(whole, picture):
    plan = IntegerPlan()
    shown, maps = run_in(plan, whole.table)
    shown[...] = picture
    plan.run()
    return maps


def shades(side, seed=3):
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)


def test_moved_by_hand():
    """Halves go up: -3 / 2 is -1, 5 / 4 is 1, 6 / 4 is 2."""
    assert moved(np.array([-4, -3, -1, 0, 1, 3]), 1).tolist() == [-2, -1, 0, 0, 1, 2]
    assert moved(np.array([5, 6, -6]), 2).tolist() == [1, 2, -1]
    assert moved(np.array([5, -6]), -2).tolist() == [20, -24]
    assert moved(np.array([7]), 0).tolist() == [7]


def test_an_ending_by_hand():
    """Of 10: 3 * 10 / 2 = 15, + 1 = 16; of -10: -14, times 1/4, rounded, -3. Then 2 v + 5, and 5 / 2 rounded up."""
    y, skip = np.zeros((1, 1, 2, 1), dtype=np.int32), np.full((1, 1, 2, 1), 3, dtype=np.int32)
    bits = np.zeros((1, 1, 2, 1), dtype=np.uint64)
    ending = Ending(
        factor=np.array([3]), down=1, term=np.array([1]), slope=np.array([2]), slope_down=3, scale=np.array([4]),
        scale_down=1, offset=np.array([5]), bits=bits, threshold=np.array([0]), flip=np.zeros(1, dtype=np.uint64),
        y=y, y_down=1, skip=skip, skip_down=-1,
    )  # fmt: skip
    ending(np.array([10, -10]).reshape(1, 1, 2, 1))
    assert ending.value(np.array([[10], [-10]])).ravel().tolist() == [37, -1]
    assert y.ravel().tolist() == [19 + 6, 0 + 6]
    assert bits.ravel().tolist() == [0, 1]


def test_bounds_against_every_sum():
    """Of endings of all kinds: the least and the greatest value of 401 sums one after the other."""
    rng = np.random.default_rng(1)
    for case in range(200):
        some = [rng.integers(-500, 500, 3) for _ in range(5)]
        has = rng.random(4) < 0.5
        ending = Ending(
            factor=some[0], down=int(rng.integers(0, 6)), term=some[1] if has[0] else None, relu=bool(has[1]),
            slope=some[2] if has[2] else None, slope_down=5, scale=some[3] if has[3] else None, scale_down=4,
            offset=some[4], relu_last=case % 3 == 0,
        )  # fmt: skip
        low, high = sorted(rng.integers(-200, 200, 2).tolist())
        every = ending.value(np.arange(low, high + 1)[:, None])
        bounds, largest = ending.bounds(np.array([[low] * 3, [high] * 3]))
        assert (bounds[0] <= every.min(axis=0)).all()
        assert (bounds[1] >= every.max(axis=0)).all()
        assert largest >= np.abs(every).max()
        if not (has[1] or has[2]):
            assert np.array_equal(bounds, [every.min(axis=0), every.max(axis=0)])


def test_limits_by_hand():
    """q < t says what q / 4 < threshold says: of 0.5 exactly 2, of 0.51 the next, and of all or nothing the ends."""
    found = limits(np.array([0.5, 0.51, -0.3, np.finfo(np.float32).min], dtype=np.float32), 4.0)
    assert found.tolist() == [2, 3, -1, -(2**31) + 1]


def test_a_convolution_against_sums_by_hand():
    """2 x 2 pixels of one channel with 3 x 3 taps 1 ... 9: the upper left one meets taps 5, 6, 8 and 9."""
    x = np.array([1, 2, 3, 4], dtype=np.int32).reshape(1, 2, 2, 1)
    y = np.zeros((1, 2, 2, 1), dtype=np.int32)
    plan = IntegerPlan()
    w = np.arange(1, 10, dtype=np.int8).reshape(3, 3, 1, 1)
    plan.conv2d(x, w, 1, 1, Ending(factor=np.array([2]), down=0, y=y, y_down=1))
    plan.run()
    assert y.ravel().tolist() == [5 + 12 + 24 + 36, 4 + 10 + 21 + 32, 2 + 6 + 15 + 24, 1 + 4 + 12 + 20]


def test_weights_that_are_no_bytes_are_rounded():
    levels, step = levels_of(np.array([[1.27, 0], [-0.336, 0], [0.01, 0]], dtype=np.float32))
    assert levels[:, 0].tolist() == [127, -34, 1]
    np.testing.assert_allclose(step, [0.01, 0])


@pytest.mark.parametrize("name", OF_BITS)
def test_nothing_is_beyond_what_was_proven(name):
    """In all buffers, for noise, black, white, and a picture of a few extremes."""
    whole = whole_of(network(**ARCHITECTURES[name]).eval(), 32)
    assert 2**28 < whole.largest_number < 2**31 - 2**29
    assert whole.largest_sum < 2**31
    plan = IntegerPlan()
    array_of = run_apart(plan, whole.table)
    largest = 0
    for picture in (shades(32), np.zeros((32, 32, 3)), np.full((32, 32, 3), 255), (shades(32, 4) > 127) * 255):
        array_of(whole.table.picture)[...] = picture
        plan.run()
        arrays = [array_of(buffer) for buffer in whole.table.buffers if buffer.dtype == np.int32]
        largest = max(largest, *(int(np.abs(array.astype(np.int64)).max()) for array in arrays))
    assert 2**20 < largest <= whole.largest_number


@compiles
@pytest.mark.parametrize("name", OF_BITS)
def test_c_is_equal_to_the_bit(name, tmp_path):
    """Compiled with what catches every overflow; one architecture after the other with another way to count bits."""
    model, at = network(**ARCHITECTURES[name]).eval(), OF_BITS.index(name)
    whole = whole_of(model, 32)
    made = program(tmp_path, model, 32, *SANITIZED, f"-DHB_PATH={1 + at % 3}", whole=whole)
    for picture in (shades(32), np.full((32, 32, 3), 255, dtype=np.uint8)):
        assert made.maps(picture).tobytes() == maps_of(whole, picture).tobytes()
    assert made.run("selftest", shades(32), 0) == b"y"


@compiles
def test_points_and_no_float_before_them(tmp_path):
    model = network(joints=40, seed=4).eval()
    whole = whole_of(model, 64)
    made = program(tmp_path, model, 64, "-O2", "-march=native", whole=whole)
    source = (tmp_path / "net.c").read_text()
    before, after = source.split("from maps to points")
    assert "float" not in re.sub(r"/\*.*?\*/", "", before, flags=re.DOTALL).replace("arm_neon", "")
    assert "float" in after
    picture = shades(64)
    maps = maps_of(whole, picture)[0].astype(np.float32) / np.float32(2.0**whole.exponent)
    points, scores = HeatmapCodec(64).decode(1 / (1 + np.exp(-maps.astype(np.float64))).astype(np.float32))
    found = made.answer("rgb", picture, 192)
    np.testing.assert_allclose(found[:, :2], points, rtol=0, atol=1e-3)
    np.testing.assert_allclose(found[:, 2], scores, rtol=1e-5)


@pytest.mark.parametrize(("name", "side"), [("face68-tiny", 128), ("face68-micro", 64)])
def test_maps_are_near_the_engines(name, side):
    """Of models whose weights are bytes already, so that nothing else is rounded: in the median, and on the whole."""
    model, _ = load_model(find_model(name))
    whole, engine = whole_of(model, side), Engine(model, side, side)
    for picture in synthetic(3, side):
        expected = engine(picture[None])
        away = np.abs(maps_of(whole, picture) / 2.0**whole.exponent - expected)
        assert np.median(away) < 0.001 * expected.std()
        assert np.sqrt((away**2).mean()) < 0.05 * expected.std()


def test_networks_of_real_numbers_are_refused(tmp_path, capsys):
    header = {
        "task": "face", "output": "sigmoid", "codec": {"input_size": 32, "stride": 4, "sigma": 1.0},
        "skeleton": {"joints": list("abcde"), "edges": []},
    }  # fmt: skip
    for at, architecture in enumerate(({"binary": False}, {"binarize": "weights"}, {"binarize": "activations"})):
        save_model(network(**architecture).eval(), tmp_path / "real.safetensors", header)
        out = tmp_path / str(at)
        assert command.main(["c", str(tmp_path / "real.safetensors"), "-o", str(out), "--integers"]) == 3
        said = capsys.readouterr().err
        assert re.fullmatch(r"export: .*real\.safetensors: cannot be written in C: its real-valued .* 32 bits\n", said)
        assert not out.exists()


@compiles
def test_the_certificate_and_what_it_sees():
    """Of a file as it is, and of one that rounds down where it should round to the nearest."""
    made = model_of(HeatmapCodec(32), "sigmoid", whole=True)
    found = certify(made, synthetic(3, 32), "noise")
    assert found["equal"]
    assert list(found["against_c"]) == ["integers"]
    at = "    v += (int32_t)(1u << down >> 1);\n"
    assert at in made.files["net.c"]
    damaged = made.files | {"net.c": made.files["net.c"].replace(at, "")}
    found = certify(replace(made, files=damaged), synthetic(3, 32), "noise")
    assert not found["equal"]
    assert found["against_c"]["integers"]["largest_map_difference"] > 0


@compiles
def test_the_command(tmp_path, capsys):
    words = ["c", "face68-micro", "-o", str(tmp_path), "--integers", "--pictures", "2", "--require-parity"]
    assert command.main(words) == 0
    assert "2 pictures in 2 ways, the same to the last bit" in capsys.readouterr().out
    header = (tmp_path / "face68_micro.h").read_text()
    number, total = (int(text.replace(",", "")) for text in re.findall(r"beyond ([\d,]+)", header))
    whole = whole_of(load_model(find_model("face68-micro"))[0], 64)
    assert (number, total) == (whole.largest_number, whole.largest_sum)
    assert f"q / 2^{whole.exponent}" in header
    assert "const int32_t *face68_micro_maps" in header
