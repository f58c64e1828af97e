"""Our C beside C that others generate: with a generator of this file's own, whose network says nothing but zeros."""

import re
import shutil

import numpy as np
import pytest

from benchmarks import generated
from hbcore.landmarks.landmarker import Landmarker

pytest.importorskip("onnx", reason="the graph that generators read is written by onnx")
pytestmark = pytest.mark.skipif(not (shutil.which("gcc") and shutil.which("size")), reason="there is no gcc here")

GENERATOR = """#!/bin/sh
test -s "$5" || exit 1
cat > "$6" <<END
#include <string.h>
const char weights[100000] = {1};
void model(const float *picture, float *maps);
void model(const float *picture, float *maps) {
    (void)picture;
    memset(maps, 0, 68 * 16 * 16 * sizeof *maps);
}
END
"""


def script(path, text):
    path.write_text(text)
    path.chmod(0o755)
    return str(path)


def test_the_table(tmp_path, capsys):
    generator = script(tmp_path / "generator", GENERATOR)
    assert generated.main(["face68-micro", "--generator", generator, "--rounds", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]
    assert [row[:2] for row in rows] == [["face68_micro", "-O2"], ["face68_micro", "-O3"]]
    picture = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3), dtype=np.uint8)
    largest = np.abs(Landmarker("face68-micro").engine(picture)).max()
    for row in rows:
        ours, theirs = (int(cell.replace(",", "")) for cell in row[2:4])
        assert 100_000 <= theirs < 102_000
        assert ours > 85_076  # its constants alone
        assert float(row[4]) == pytest.approx(theirs / ours, abs=0.05)
        assert float(row[8]) == pytest.approx(largest, rel=0.1)
        assert float(row[5]) > 0


@pytest.mark.parametrize(
    ("text", "said"),
    [(None, "there is no .*generator here"), ("#!/bin/sh\necho no such operator >&2\nexit 1\n", "no such operator")],
)
def test_what_cannot_be_had_is_one_line(text, said, tmp_path, capsys):
    generator = script(tmp_path / "generator", text) if text else str(tmp_path / "generator")
    assert generated.main(["face68-micro", "--generator", generator]) == 2
    told = capsys.readouterr().err
    assert re.search(said, told)
    assert told.count("\n") == 1
