"""What the export makes of numbers, by hand; sums in order against exact fractions; names, and what is refused."""

import re
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hbcore import StackedHourglass, save_model
from hbcore.deploy.model_file import ModelFileError
from hbcore.export.c.files import TEXTS, c_model, c_name, fnv, golden_picture
from hbcore.export.c.in_order import add_product_once, add_product_twice
from hbcore.export.c.numbers import LOWEST, Constants, comparison, grouped, in_bytes, in_groups, literal, words32
from hbcore.export.command import main
from hbcore.export.folder import write_files


def test_words_of_32_bits():
    words = np.array([[0x1111111122222222, 0x3333333344444444]], dtype=np.uint64)
    assert words32(words, 128).tolist() == [[0x22222222, 0x11111111, 0x44444444, 0x33333333]]
    assert words32(words, 96).tolist() == [[0x22222222, 0x11111111, 0x44444444]]
    assert words32(words[:, :1], 5).tolist() == [[0x22222222]]


def test_groups_of_eight_filters():
    w = np.arange(20, dtype=np.float32).reshape(2, 10)
    first, second = grouped(w)
    assert first.tolist() == [[0, 1, 2, 3, 4, 5, 6, 7], [10, 11, 12, 13, 14, 15, 16, 17]]
    assert second.tolist() == [[8, 9, 0, 0, 0, 0, 0, 0], [18, 19, 0, 0, 0, 0, 0, 0]]


def test_constants_of_filters_go_on_to_a_multiple_of_eight():
    assert in_groups(np.arange(1, 10), -1).tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9, -1, -1, -1, -1, -1, -1, -1]
    assert in_groups(np.ones(8), 0).tolist() == [1] * 8


def test_comparisons_are_of_finite_numbers():
    """Channels: 1.5; always below infinity; never below NaN; that flipped; never below minus infinity."""
    t = np.array([1.5, np.inf, np.nan, np.nan, -np.inf], dtype=np.float32)
    found, flip = comparison(t, np.array([0b01000], dtype=np.uint64))
    assert found.tolist() == [1.5, LOWEST, LOWEST, LOWEST, LOWEST]
    assert flip.tolist() == [0b01010]


def test_weights_in_bytes():
    levels = np.array([[127, -3, 0], [-50, 127, 0]])
    steps = np.array([0.1, 3.3e-5, 1], dtype=np.float32)
    w = levels.astype(np.float32) * steps
    found, step = in_bytes(w)
    assert np.array_equal(found, levels)
    assert np.array_equal(found.astype(np.float32) * step, w)
    signs = np.array([[1, -1], [-1, -1]], dtype=np.float32)
    found, step = in_bytes(signs)
    assert np.array_equal(found * step, signs)
    assert in_bytes(np.array([[1], [0.3]], dtype=np.float32)) is None


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_literals_are_read_back_to_the_bit(value):
    text = literal(np.float32(value))
    assert text.endswith("f")
    assert "." in text or "e" in text
    assert np.float32(text[:-1]).tobytes() == np.float32(value).tobytes()


def test_constants_are_counted():
    constants = Constants()
    assert constants.add("a", np.array([1, 0xFFFFFFFF], dtype=np.uint32)) == "a"
    constants.add("b", np.array([-3], dtype=np.int8))
    assert constants.bytes == 9
    constants.add_table("layer", "c", [".size = {1}"])
    assert constants.bytes == 9 + 21 * 4  # by the struct: nine numbers, ten pointers, two switches
    assert list(constants.lines()) == [
        *("static const uint32_t a[2] = {", "    0x00000001u, 0xffffffffu,", "};"),
        *("static const int8_t b[1] = {", "    -3,", "};"),
        *("static const layer c = {", "    .size = {1},", "};"),
    ]


MODEST = st.floats(-1e4, 1e4, width=32).filter(lambda x: x == 0 or abs(x) > 1e-6)


def nearest(exact):
    """The float32 nearest to a fraction, the even one of two."""
    about = np.float32(float(exact))
    near = [about, np.nextafter(about, np.float32(np.inf)), np.nextafter(about, np.float32(-np.inf))]
    return min(near, key=lambda v: (abs(Fraction(float(v)) - exact), int(v.view(np.uint32)) & 1))


@given(MODEST, MODEST, MODEST)
def test_sums_are_rounded_once_or_twice(total, a, b):
    exact = Fraction(total) + Fraction(a) * Fraction(b)
    once = add_product_once(*(np.array([v], dtype=np.float32) for v in (total, a, b)))[0]
    assert once == nearest(exact)
    twice = add_product_twice(*(np.array([v], dtype=np.float32) for v in (total, a, b)))[0]
    assert twice == nearest(Fraction(total) + Fraction(float(nearest(Fraction(a) * Fraction(b)))))


def test_one_rounding_where_float64_would_take_two():
    """1 + 2^-23 + 2^-24 - 2^-64 is below the middle of two float32; in float64 it is the middle, which goes up."""
    total, a, b = (np.float32([v]) for v in (1 + 2.0**-23, 2.0**-12 * (1 + 2.0**-20), 2.0**-12 * (1 - 2.0**-20)))
    assert np.float32(total.astype(np.float64) + a.astype(np.float64) * b)[0] == np.float32(1 + 2.0**-22)
    assert add_product_once(total, a, b)[0] == np.float32(1 + 2.0**-23)


def test_golden_picture_and_hash():
    """FNV-1a of the one word of 1.0, 0x3F800000; the first bytes by whole numbers of Python."""
    assert fnv(np.array([1], dtype=np.float32)) == (2166136261 ^ 0x3F800000) * 16777619 % 2**32
    expected = []
    for n in (1, 2, 3):
        v = n * 2654435761 % 2**32
        expected.append((v ^ v >> 15) * 2246822519 % 2**32 >> 24)
    assert golden_picture(2, 2)[0, 0].tolist() == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("face68-tiny", "face68_tiny"),
        ("68 points", "model_68_points"),
        ("Über", "ber"),
        ("…", "model"),
        ("a.b-C", "a_b_c"),
        ("example", "model_example"),
        ("finder", "model_finder"),
        ("9" * 300, "model_" + "9" * 34),
    ],
)
def test_names_that_c_takes(given, expected):
    assert c_name(given) == expected


def test_no_header_is_hidden():
    """By a file of ours of the same name."""
    included = {name for path in TEXTS.rglob("*.*") for name in re.findall(r"#include <(\w+)\.h>", path.read_text())}
    assert {"string", "stdint", "stdio"} <= included
    assert all(c_name(name) == f"model_{name}" for name in included)


def test_what_cannot_be_written_in_c(tmp_path, capsys):
    """One line, and no file."""
    bare, out = tmp_path / "bare.safetensors", tmp_path / "out"
    save_model(StackedHourglass(features=16, joints=5, depth=1), bare)
    (tmp_path / "text").write_text("no folder")
    for arguments, message in {
        (str(bare), str(out)): "does not say what its maps mean",
        ("nobody", str(out)): "unknown model 'nobody'",
        ("face68-tiny", str(tmp_path / "text")): "no folder can be made there",
    }.items():
        assert main(["c", arguments[0], "-o", arguments[1]]) == 3
        said = capsys.readouterr()
        assert message in said.err
        assert said.err.count("\n") == 1
        assert not out.exists()


@pytest.fixture(scope="module")
def made():
    return c_model("face68-tiny", "n" * 300)


@pytest.mark.parametrize("mine", ["Makefile", "example.c", "arduino", "esp-idf/CMakeLists.txt", f"{'n' * 40}.c"])
def test_files_of_others_are_left_alone(made, mine, tmp_path):
    """And nothing is written beside them."""
    (tmp_path / mine).parent.mkdir(exist_ok=True)
    (tmp_path / mine).write_text("all: mine\n")
    with pytest.raises(ModelFileError, match=str(tmp_path / mine)):
        write_files(made.contents, tmp_path, later=["parity.json"])
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [tmp_path / mine]
    assert (tmp_path / mine).read_text() == "all: mine\n"


@pytest.mark.parametrize("folder", [f"{'n' * 40}.h", "parity.json"])
def test_folders_in_the_way(made, folder, tmp_path):
    (tmp_path / folder).mkdir()
    with pytest.raises(ModelFileError, match=folder):
        write_files(made.contents, tmp_path, later=["parity.json"])
    assert [path.name for path in tmp_path.rglob("*")] == [folder]


def test_a_long_name_and_again_into_the_same_folder(made, tmp_path):
    for _ in range(2):
        paths = write_files(made.contents, tmp_path)
        assert {str(Path(path).relative_to(tmp_path)) for path in paths} == set(made.files)
    assert (tmp_path / f"{'n' * 40}.c").exists()
