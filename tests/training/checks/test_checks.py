"""`python -m training.data check`: every fault is put into data by hand, and must be found; what is right must not."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from scipy.io import loadmat

from hbcore import StackedHourglass
from hbcore.landmarks.heatmaps import HeatmapCodec
from tests.data_sets import DATA, needs_data
from training import data
from training.checks.duplicates import NEAR, fingerprint, nearest
from training.checks.findings import Finding, Scan, check, faults, picture_name
from training.checks.sheet import contact_sheet, worst
from training.checks.swaps import LEAST_PERSONS, likely_swaps
from training.datasets import Sample, open_dataset
from training.datasets.drawn.synthetic import SyntheticFigures
from training.datasets.faces.pts import read_pts
from training.datasets.own import labels as own
from training.datasets.splits import Division
from training.errors import DataError
from training.labels.face_skeletons import IBUG68
from training.labels.skeletons import LSP, MPII, Skeleton
from training.prediction.model import Model
from training.prediction.point_files import PointFiles
from training.prediction.predict import look, save_predictions

Json = dict[str, Any]

# --------------------------------------------------------------------------------------------- fingerprints


def scene(seed: int, width: int = 90, height: int = 70) -> NDArray[np.uint8]:
    """A smooth random picture, as photographs are."""
    small = np.random.default_rng(seed).integers(0, 256, (6, 7, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC))


def apart(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> int:
    signs = [fingerprint(picture).signs for picture in (a, b)]
    assert signs[0] is not None
    assert signs[1] is not None
    return int(nearest(signs[0][None], signs[1][None])[1][0])


def saved_anew(picture: NDArray[np.uint8], quality: int = 50, scale: float = 0.6) -> NDArray[np.uint8]:
    image = Image.fromarray(picture)
    buffer = io.BytesIO()
    image.resize((round(image.width * scale), round(image.height * scale))).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer))


@pytest.mark.parametrize("seed", range(8))
def test_a_picture_scaled_and_saved_anew_is_near_and_another_is_not(seed: int) -> None:
    picture = scene(seed)
    assert apart(picture, picture) == 0
    assert apart(picture, saved_anew(picture)) <= NEAR
    assert apart(picture, np.clip(picture * 0.8 + 20, 0, 255).astype(np.uint8)) <= NEAR
    assert apart(picture, scene(seed + 100)) > 2 * NEAR
    assert apart(picture, np.ascontiguousarray(picture[:, ::-1])) > 2 * NEAR  # a mirrored one is another


def stripes(levels: list[int], axis: int) -> NDArray[np.uint8]:
    """9 x 9 pixels, which are their own means, with these grey levels along an axis."""
    return np.array(levels, np.uint8)[np.indices((9, 9))[axis][..., None].repeat(3, axis=2)]


STEPS = [10, 30, 20, 40, 0, 50, 5, 60, 70]
SIGNS = [1, 0, 1, 0, 1, 0, 1, 1]  # whether each is brighter than the one before


@pytest.mark.parametrize(
    ("axis", "expected"), [(1, SIGNS * 8 + [0] * 64), (0, [0] * 64 + [sign for sign in SIGNS for _ in range(8)])]
)
def test_the_signs_by_hand(axis: int, expected: list[int]) -> None:
    """Differences to the right and none downwards, and the other way round."""
    signs = fingerprint(stripes(STEPS, axis)).signs
    assert signs is not None
    assert np.unpackbits(signs.view(np.uint8)).tolist() == expected


@pytest.mark.parametrize(("brightest", "flat"), [(7, True), (8, False)])
def test_eight_grey_levels_are_features(brightest: int, flat: bool) -> None:
    assert (fingerprint(stripes([0] * 8 + [brightest], 1)).signs is None) == flat


def test_one_level_of_one_pixel_makes_another_picture() -> None:
    picture = scene(0)
    other = picture.copy()
    other[3, 4, 1] ^= 1
    assert fingerprint(picture).exact == fingerprint(picture.copy()).exact != fingerprint(other).exact
    zeros = np.zeros((4, 6, 3), np.uint8)
    assert fingerprint(zeros).exact != fingerprint(np.zeros((6, 4, 3), np.uint8)).exact  # the shape counts
    assert fingerprint(zeros).signs is None  # nothing to compare by


@given(st.integers(1, 600), st.integers(1, 20), st.integers(0, 5))
def test_the_nearest_is_that_of_all_comparisons(m: int, n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = (rng.integers(0, 2**64, (size, 2), dtype=np.uint64) for size in (m, n))
    best, differ = nearest(a, b)
    bits = [np.unpackbits(x.view(np.uint8).reshape(len(x), 16), axis=1) for x in (a, b)]
    table = (bits[0][:, None] != bits[1][None]).sum(axis=2)
    assert np.array_equal(differ, table.min(axis=1))
    assert np.array_equal(best, table.argmin(axis=1))


# ---------------------------------------------------------------------------------------------------- swaps

FACE = Skeleton(
    name="face",
    keypoints=("eye_r", "eye_l", "brow_r", "brow_l", "mouth_r", "mouth_l", "nose", "chin"),
    edges=((0, 2), (1, 3), (4, 5), (6, 7)),
    flip_pairs=((0, 1), (2, 3), (4, 5)),
)
LAYOUT = np.array([[-3, -2], [3, -2], [-3, -3], [3, -3], [-2, 3], [2, 3], [0, 0], [0, 6]], np.float64)

Labels = tuple[NDArray[np.float64], NDArray[np.bool_]]


def people(count: int, seed: int = 0, backs: float = 0.0, missing: float = 0.0, noise: float = 0.3) -> Labels:
    """Persons with this layout, turned, scaled and moved at random; a share of them seen from behind."""
    rng = np.random.default_rng(seed)
    joints = LAYOUT + rng.normal(0, noise, (count, len(LAYOUT), 2))
    joints[rng.random(count) < backs, :, 0] *= -1
    angle, zoom = rng.uniform(-np.pi, np.pi, count), np.exp(rng.uniform(-1, 2, count))
    turn = zoom[:, None, None] * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]).T
    moved = joints @ turn + rng.uniform(-500, 500, (count, 1, 2))
    return moved, rng.random((count, len(LAYOUT))) >= missing


def exchange(labels: Labels, skeleton: Skeleton, pairs: tuple[int, ...], share: float) -> tuple[Labels, Any]:
    """Exchange these pairs in a share of the samples; which ones comes back too."""
    joints, labelled = labels[0].copy(), labels[1].copy()
    wrong = np.random.default_rng(99).random(len(joints)) < share
    for a, b in (skeleton.flip_pairs[pair] for pair in pairs):
        joints[np.ix_(wrong, [a, b])] = joints[np.ix_(wrong, [b, a])]
        labelled[np.ix_(wrong, [a, b])] = labelled[np.ix_(wrong, [b, a])]
    return (joints, labelled), wrong


@pytest.mark.parametrize("missing", [0.0, 0.15])
@pytest.mark.parametrize("share", [0.02, 0.08])
@pytest.mark.parametrize("pairs", [(0, 1, 2), (0, 1), (2,)])
def test_exchanged_sides_are_found(pairs: tuple[int, ...], share: float, missing: float) -> None:
    """At least 95% of those put in (of whom the pair is labelled), at most 1% of the others, with the right pairs."""
    (joints, labelled), wrong = exchange(people(1000, missing=missing), FACE, pairs, share)
    swaps = likely_swaps(joints, labelled, FACE)
    found = swaps.gain > 0
    ends = [joint for pair in pairs for joint in FACE.flip_pairs[pair]]
    visible = wrong & labelled[:, ends].all(axis=1) & labelled[:, -2:].all(axis=1)
    assert visible.sum() > 3
    assert found[visible].mean() >= 0.95
    assert found[~wrong].mean() <= 0.01
    exact = swaps.pairs[visible & found][:, list(pairs)].all(axis=1)
    assert exact.mean() >= 0.95
    assert not swaps.pairs[~found].any()


def test_nothing_is_found_where_nothing_is_wrong() -> None:
    for backs in (0.0, 0.3, 0.5):
        assert (likely_swaps(*people(500, backs=backs), FACE).gain > 0).mean() <= 0.01


def test_where_people_show_their_backs_only_a_part_can_be_found() -> None:
    labels = people(600, backs=0.5)
    whole, wrong = exchange(labels, FACE, (0, 1, 2), 0.05)
    assert (likely_swaps(*whole, FACE).gain > 0).mean() <= 0.01  # looks like a back
    part, wrong = exchange(labels, FACE, (2,), 0.05)
    found = likely_swaps(*part, FACE).gain > 0
    assert found[wrong].mean() >= 0.9
    assert found[~wrong].mean() <= 0.01


def test_exchanged_legs_of_drawn_figures_are_found() -> None:
    figures = [SyntheticFigures("train", 200).sample(index) for index in range(200)]
    labels = np.stack([f.keypoints for f in figures]).astype(np.float64), np.stack([f.labelled for f in figures])
    part, wrong = exchange(labels, MPII, (0, 1, 2), 0.06)
    found = likely_swaps(*part, MPII).gain > 0
    assert found[wrong].mean() >= 0.7
    assert found[~wrong].mean() <= 0.02


def test_layouts_that_say_nothing_are_left_alone() -> None:
    joints, labelled = people(LEAST_PERSONS - 1)
    assert not likely_swaps(joints, labelled, FACE).gain.any()
    joints, labelled = people(100)
    for strange in (joints * 0, np.repeat(joints[:, :1], 8, axis=1), joints[:1].repeat(100, axis=0)):
        assert not likely_swaps(strange, labelled, FACE).gain.any()
    assert not likely_swaps(joints, labelled & False, FACE).gain.any()
    unpaired = Skeleton("plain", FACE.keypoints, (), ())
    assert likely_swaps(joints, labelled, unpaired).pairs.shape == (100, 0)


def test_a_single_pair_has_a_direction() -> None:
    pair = Skeleton("pair", ("left", "right"), (), ((0, 1),))
    rng = np.random.default_rng(0)
    joints = np.array([[0.0, 0.0], [10.0, 0.0]]) + rng.normal(0, 0.5, (100, 2, 2))
    joints[7] = joints[7, ::-1]
    found = likely_swaps(joints, np.ones((100, 2), bool), pair)
    assert np.flatnonzero(found.gain).tolist() == [7]


@needs_data("lsp")
@pytest.mark.parametrize("pairs", [tuple(range(29)), tuple(range(8)), (15,)])  # all of a face; its jaw; an eye's corner
def test_exchanged_sides_of_real_faces_are_found(pairs: tuple[int, ...]) -> None:
    paths = sorted((DATA / "300w" / "lfpw" / "trainset").glob("*.pts"))
    joints = np.stack([read_pts(path) for path in paths])
    labels, wrong = exchange((joints, np.ones(joints.shape[:2], np.bool_)), IBUG68, pairs, 0.05)
    found = likely_swaps(*labels, IBUG68).gain > 0
    assert found[wrong].mean() >= 0.95
    assert found[~wrong].mean() <= 0.005


@needs_data("lsp")
def test_exchanged_elbows_of_real_people_are_found() -> None:
    joints = loadmat(DATA / "lsp" / "joints.mat")["joints"].transpose(2, 1, 0)[..., :2]
    labels, wrong = exchange((joints, np.ones(joints.shape[:2], np.bool_)), LSP, (4,), 0.05)
    found = likely_swaps(*labels, LSP).gain > 0
    assert found[wrong].mean() >= 0.6
    assert found[~wrong].mean() <= 0.01


# ----------------------------------------------------------------------------------------- faults of a sample

NAMES = ("a", "b", "c", "d", "e")
GOOD = [(10, 10), (50, 12), (12, 60), (55, 58), (30, 30)]


def sample(points: list[tuple[float, float]] = GOOD, labelled: str = "11111", **changes: Any) -> Sample:
    values = {"center": (35.0, 35.0), "side": 80.0, "shape": (80, 90)} | changes
    return Sample(
        np.zeros((*values["shape"], 3), np.uint8),
        np.array(points, np.float32),
        np.array([sign == "1" for sign in labelled]),
        values["center"],
        values["side"],
        np.nan,
        "x.png",
    )


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        (sample(), []),
        (sample([*GOOD[:4], (-900.0, 0.0)], "11110"), []),  # not labelled: anywhere
        (sample([*GOOD[:4], (-1.4, 30.0)], side=100.0), []),  # as rounding may
        (
            sample([*GOOD[:4], (-5.5, 30.0)], side=100.0),
            [("outside", "e at -6, 30 is 5 pixels outside the picture of 90 x 80")],
        ),
        (
            sample([(2, 92.5), (2, 84.5), *GOOD[:3]], side=140.0),
            [("outside", "a at 2, 92 is 13 pixels outside the picture of 90 x 80, and 1 more")],
        ),
        (
            sample([*GOOD[:4], (30.0, 180.5)], side=400.0),
            [("lost", "e at 30, 180 is 101 pixels outside the picture of 90 x 80")],
        ),
        (sample(side=40.0), [("uncropped", "a is 5 pixels outside the crop, and 3 more")]),
        (sample([(30, 30)] * 5), [("collapsed", "all 5 points lie within a pixel")]),
        (sample([(30, 30)] * 5, "10000"), []),
        (sample([(x, 30) for x in range(10, 60, 10)]), [("thin", "its points lie in 40 x 0 pixels")]),
        (sample(labelled="00000"), [("unlabelled", "has no labelled point")]),
        (sample(labelled="10000", center=(15.0, 15.0), side=20.0), [("tiny", "its crop is 20 pixels wide")]),
        (
            sample([(x, y / 12) for x, y in GOOD], center=(35.0, 3.0), shape=(7, 90)),
            [("thin", "the picture has 90 x 7 pixels"), ("thin", "its points lie in 45 x 4 pixels")],
        ),
    ],
)  # fmt: skip
def test_faults_of_one_sample(subject: Sample, expected: list[tuple[str, str]]) -> None:
    assert [(kind, message) for kind, message, _ in faults(subject, NAMES)] == expected


def test_names_of_pictures() -> None:
    assert [picture_name(name) for name in ("a.png", "a.png#3", "a#b.png#x", "#1")] == [
        "a.png",
        "a.png",
        "a#b.png",
        "#1",
    ]


# ------------------------------------------------------------------------------------------ whole data sets


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """40 good pictures, of which the last 8 are for testing."""
    rows = ["picture,split,eye_r_x,eye_r_y,eye_l_x,eye_l_y,nose_x,nose_y,tail_x,tail_y"]
    rng = np.random.default_rng(1)
    for number in range(40):
        Image.fromarray(scene(number)).save(tmp_path / f"{number:02d}.png")
        places = np.array([[30, 20], [60, 20], [45, 35], [45, 60]]) + rng.normal(0, 2, (4, 2))
        rows.append(
            f"{number:02d}.png,{'test' if number >= 32 else 'train'}," + ",".join(f"{v:.1f}" for v in places.flat)
        )
    (tmp_path / "t.csv").write_text("\n".join(rows) + "\n")
    return tmp_path / "t.csv"


def run(table: Path, *options: str, spec: str | None = None) -> tuple[int, Json]:
    out = table.parent / "out"
    code = data.main(["check", spec or f"csv:{table}", "--out", str(out), *options])
    return code, json.loads((out / "check.json").read_text())


def edit(table: Path, number: int, column: str, value: str) -> None:
    rows = [row.split(",") for row in table.read_text().splitlines()]
    rows[number + 1][rows[0].index(column)] = value
    table.write_text("\n".join(map(",".join, rows)) + "\n")


def test_good_data(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, report = run(table)
    assert (code, report["findings"], report["counts"]) == (0, [], {})
    assert [(part["split"], part["persons"], part["readable"]) for part in report["data"]] == [
        ("train", 32, 32),
        ("test", 8, 8),
    ]
    assert report["data"][1]["labelled"] == {"eye_r": 8, "eye_l": 8, "nose": 8, "tail": 8}
    assert report["not_checked"] == []
    output = capsys.readouterr()
    assert "nothing found" in output.out
    assert "sample 40/40" in output.err
    assert not (table.parent / "out" / "contact_sheet.png").exists()


@pytest.mark.parametrize("options", [["--json"], ["--quiet"], ["--json", "--quiet"]])
def test_programs_and_the_quiet_see_no_progress(
    table: Path, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    code, report = run(table, *options)
    output = capsys.readouterr()
    assert (code, output.err) == (0, "")
    assert (json.loads(output.out) if "--json" in options else output.out) == (report if "--json" in options else "")


def test_a_split_that_cannot_be_opened_is_not_passed_over(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table.write_text(table.read_text().replace(",test,", ",train,"))
    code, report = run(table)
    assert (code, [part["split"] for part in report["data"]]) == (0, ["train"])
    (missing,) = report["not_checked"]
    assert (missing["spec"], missing["split"]) == (f"csv:{table}", "test")
    assert f"csv:{table} (test): not checked: {missing['reason']}" in capsys.readouterr().out


def test_bad_data(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = table.parent
    (folder / "03.png").write_bytes((folder / "03.png").read_bytes()[:200])
    (folder / "33.png").write_bytes((folder / "05.png").read_bytes())  # for testing, copied from training
    Image.fromarray(saved_anew(scene(6), 70, 1.3)).save(folder / "34.png")
    (folder / "08.png").write_bytes((folder / "07.png").read_bytes())  # both for training
    edit(table, 10, "tail_x", "97.5")
    for joint, y in (("eye_r", "-400"), ("eye_l", "-400"), ("nose", "-385"), ("tail", "-360")):
        edit(table, 11, f"{joint}_y", y)
    for axis in "xy":
        for joint in ("eye_r", "eye_l", "nose", "tail"):
            edit(table, 12, f"{joint}_{axis}", "")
    right, left = "30,20", "60,20"
    for axis, a, b in zip("xy", right.split(","), left.split(","), strict=True):
        edit(table, 13, f"eye_r_{axis}", b)
        edit(table, 13, f"eye_l_{axis}", a)

    code, report = run(table)
    found = {(f["severity"], f["kind"], f["split"], f["name"].partition("#")[0]) for f in report["findings"]}
    assert found == {
        ("error", "unreadable", "train", "csv/train/3"),
        ("error", "leak", "test", "33.png"),
        ("error", "lost", "train", "11.png"),
        ("warning", "near copy", "test", "34.png"),
        ("warning", "swap", "train", "13.png"),
        ("warning", "outside", "train", "10.png"),
        ("warning", "unlabelled", "train", "12.png"),
        ("warning", "copy", "train", "08.png"),
    }
    assert code == 3
    output = capsys.readouterr()
    assert output.err.splitlines()[-1] == f"check: 3 errors in the data: see {folder / 'out' / 'findings.csv'}"
    assert "ERROR: pictures that are in train and in test, pixel by pixel" in output.out
    messages = {f["kind"]: f["message"] for f in report["findings"]}
    assert "03.png" in messages["unreadable"]
    assert messages["leak"] == f"is the same picture as 05.png#1 in csv:{table} (train)"
    assert messages["near copy"].startswith("looks like 06.png#1 in ")
    assert messages["swap"] == "left and right look exchanged"

    with (folder / "out" / "findings.csv").open() as file:
        listed = list(csv.DictReader(file))
    assert [row["name"] for row in listed] == [f["name"] for f in report["findings"]]
    assert [row["severity"] for row in listed] == ["error"] * 3 + ["warning"] * 5
    with Image.open(folder / "out" / "contact_sheet.png") as sheet:
        # 7 findings and 3 twins in cells of 220 x 260; the unlabelled sample is not in the set, so not in the sheet.
        assert sheet.size == (8 * 224 + 4, 2 * 264 + 4)


def faces(folder: Path, numbers: range, split: str, wrong: int) -> str:
    """A table of those of 40 faces, with left and right of one of them exchanged."""
    joints = people(40)[0]
    for a, b in FACE.flip_pairs:
        joints[wrong, [a, b]] = joints[wrong, [b, a]]
    lines = ["picture,split," + ",".join(f"{name}_{axis}" for name in FACE.keypoints for axis in "xy")]
    for number in numbers:
        Image.fromarray(scene(number)).save(folder / f"{number}.png")
        lines.append(f"{number}.png,{split}," + ",".join(map(str, joints[number].ravel())))
    (folder / f"{split}.csv").write_text("\n".join(lines) + "\n")
    return "\n".join(lines[1:])


@pytest.mark.parametrize("wrong", [3, 25])
@pytest.mark.parametrize("files", [1, 2])
def test_train_and_test_say_together_what_is_usual(tmp_path: Path, files: int, wrong: int) -> None:
    """20 and 20 samples, in one file or in two, are too few for themselves."""
    faces(tmp_path, range(20), "train", wrong)
    rows = faces(tmp_path, range(20, 40), "test", wrong)
    specs = [f"csv:{tmp_path}/{name}.csv" for name in ("train", "test")]
    if files == 1:
        (tmp_path / "train.csv").write_text((tmp_path / "train.csv").read_text() + rows)
        del specs[1]
    data.main(["check", *specs, "--quiet", "--out", str(tmp_path / "out")])
    report = json.loads((tmp_path / "out" / "check.json").read_text())
    swaps = [(f["split"], f["person"]) for f in report["findings"] if f["kind"] == "swap"]
    assert swaps == [("train", 3) if wrong == 3 else ("test", 5)]
    assert not [part for part in report["not_checked"] if "left and right" in part["reason"]]


def test_what_was_not_checked_is_listed(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """20 people are too few to show an exchange; of one picture there is nothing to compare."""
    table.write_text("\n".join(table.read_text().splitlines()[:21]) + "\n")
    Image.new("RGB", (90, 70), "grey").save(table.parent / "07.png")
    code, report = run(table)
    assert (code, report["findings"]) == (0, [])
    printed = capsys.readouterr().out
    reasons = [part["reason"] for part in report["not_checked"] if part["split"] == "train"]
    assert reasons == [
        "left and right: 20 of 20 samples have both points of a pair in a layout that can be compared; what is usual "
        "shows from 30 on",
        "near copies: 1 of 20 pictures are too plain to be compared",
    ]
    for reason in reasons:
        assert f"(train): not checked: {reason}\n" in printed
    assert "nothing found in what was looked at\n" in printed


def test_validation_is_checked_too(table: Path) -> None:
    rows = [row.split(",") for row in table.read_text().splitlines()]
    table.write_text("\n".join(",".join([row[0], *row[2:]]) for row in rows) + "\n")
    code, report = run(table, spec=f"csv:{table}?test=0.2&val=0.2")
    assert [part["split"] for part in report["data"]] == ["train", "val", "test"]
    assert sum(part["persons"] for part in report["data"]) == 40
    assert (code, report["findings"]) == (0, [])
    # The same picture, saved anew, in training and in validation.
    drawn = [f"{n:02d}.png" for n in range(40) if Division(0.2, validation=0.2).split(f"{n:02d}.png") == "val"]
    kept = [f"{n:02d}.png" for n in range(40) if Division(0.2, validation=0.2).split(f"{n:02d}.png") == "train"]
    with Image.open(table.parent / kept[0]) as picture:
        picture.resize((180, 140)).resize((90, 70)).save(table.parent / drawn[0])
    _, report = run(table, spec=f"csv:{table}?test=0.2&val=0.2")
    assert [(f["kind"], f["split"], f["name"]) for f in report["findings"]] == [("near copy", "val", drawn[0])]
    assert f"looks like {kept[0]}" in report["findings"][0]["message"]


def test_warnings_alone_are_no_failure(table: Path) -> None:
    edit(table, 10, "tail_x", "97.5")
    code, report = run(table)
    assert (code, report["counts"]) == (0, {"outside": 1})


def test_a_check_that_finds_nothing_removes_the_sheet_of_an_earlier_one(table: Path) -> None:
    edit(table, 10, "tail_x", "97.5")
    run(table)
    assert (table.parent / "out" / "contact_sheet.png").exists()
    edit(table, 10, "tail_x", "45")
    run(table)
    assert not (table.parent / "out" / "contact_sheet.png").exists()


def test_schemes_without_pairs_and_points_without_labels_are_named(tmp_path: Path) -> None:
    Image.fromarray(scene(0)).save(tmp_path / "0.png")
    (tmp_path / "t.csv").write_text("picture,p1_x,p1_y,p2_x,p2_y\n0.png,20,20,,\n")
    code, report = run(tmp_path / "t.csv")
    assert code == 0
    assert {(f["kind"], f["person"]) for f in report["findings"]} == {("never", None), ("no pairs", None)}


def test_samples_of_one_picture_are_no_copies_and_it_is_read_once(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = table.read_text().splitlines()
    table.write_text("\n".join([text[0], *(line for line in text[1:] for _ in range(2))]) + "\n")
    read: list[Path] = []
    original = own.read_picture

    def reading(path: Path) -> NDArray[np.uint8]:
        read.append(path)
        return original(path)

    monkeypatch.setattr(own, "read_picture", reading)
    code, report = run(table)
    assert (code, report["findings"]) == (0, [])
    assert len(read) == len(set(read)) == 40


def test_two_files_of_one_folder_may_share_a_picture_and_must_not(table: Path) -> None:
    header, *rows = table.read_text().splitlines()
    folder = table.parent
    for name, chosen in (("one", rows[:20]), ("two", rows[19:])):
        lines = [",".join(part for n, part in enumerate(line.split(",")) if n != 1) for line in (header, *chosen)]
        (folder / f"{name}.csv").write_text("\n".join(lines) + "\n")
    code = data.main(
        ["check", f"csv:{folder}/one.csv", f"csv:{folder}/two.csv?test=1", "--quiet", "--out", str(folder / "out")]
    )
    report = json.loads((folder / "out" / "check.json").read_text())
    assert [(f["kind"], f["name"]) for f in report["findings"]] == [("leak", "19.png")]
    assert code == 3


def test_the_drawn_figures_pass(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert data.main(["check", "synthetic?length=40", "--json", "--out", str(tmp_path)]) == 0
    report = json.loads(capsys.readouterr().out)
    assert not [f for f in report["findings"] if f["severity"] == "error"]
    assert [part["readable"] for part in report["data"]] == [40, 40]


def test_parts_are_counted_by_their_classes(tmp_path: Path) -> None:
    """Masks of three classes, of which nobody has the third; that of b.png is known nowhere; c.png copies a.png."""
    for name, seed in (("a", 0), ("b", 1), ("c", 0)):
        for place in ("images", "masks"):
            (tmp_path / place).mkdir(exist_ok=True)
        Image.fromarray(scene(seed)).save(tmp_path / "images" / f"{name}.png")
        mask = np.full((70, 90), 255 if name == "b" else 0, np.uint8)
        mask[20:30, 20:40] += 0 if name == "b" else 1
        Image.fromarray(mask).save(tmp_path / "masks" / f"{name}.png")
    (tmp_path / "classes.txt").write_text("ground\nleft\nright\n")
    (tmp_path / "train.txt").write_text("a\nb\n")
    (tmp_path / "test.txt").write_text("c\n")
    out = tmp_path / "out"
    assert data.main(["check", f"masks:{tmp_path}", "--quiet", "--out", str(out)]) == 3
    report = json.loads((out / "check.json").read_text())
    assert report["data"][0]["labelled"] == {"ground": 1, "left": 1, "right": 0}
    found = {(f["kind"], f["split"], f["name"].rpartition("/")[2]) for f in report["findings"]}
    assert {("leak", "test", "c.png"), ("unlabelled", "train", "b.png")} <= found
    assert {kind for kind, _, _ in found} == {"leak", "unlabelled", "never"}
    assert (out / "contact_sheet.png").exists()


def test_predictions_that_somebody_corrected_are_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """predictions.csv as `predict` writes it, its paths from the folder it was called in."""
    model = Model(StackedHourglass(features=16, joints=8, depth=1), FACE, HeatmapCodec(32))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    for number in range(2):
        Image.fromarray(scene(number)).save(tmp_path / "photos" / f"{number}.png")
    (tmp_path / "found").mkdir()
    save_predictions(model, sorted(Path("photos").iterdir()), PointFiles(model, tmp_path / "found"), None, False)
    dataset = open_dataset("csv:found/predictions.csv?images=.", "train")
    assert dataset.skeleton.keypoints == FACE.keypoints
    view = look(model, Path("photos/1.png"))
    assert dataset.sample(1).name == "photos/1.png#1"
    np.testing.assert_allclose(dataset.sample(1).keypoints, view.found.points, atol=0.005)


def test_where_no_split_can_be_opened_the_first_says_why(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(spec: str, split: str, kinds: object) -> None:
        raise DataError(f"{spec} has nothing for {split}")

    monkeypatch.setattr(data, "open_dataset", fail)
    assert data.main(["check", "csv:t.csv"]) == 3
    assert capsys.readouterr().err == "check: csv:t.csv has nothing for train\n"


def test_mistakes_on_the_command_line(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert data.main(["check", "cvs:x"]) == 2
    assert "did you mean 'csv'?" in capsys.readouterr().err
    assert data.main(["check", f"csv:{table}", "csv:b", "csv:c", "csv:b", f"csv:{table}"]) == 2
    assert capsys.readouterr().err == f"check: csv:{table} is given twice\n"
    table.write_text("nonsense")
    assert data.main(["check", f"csv:{table}"]) == 3
    assert "has no column 'picture'" in capsys.readouterr().err
    with pytest.raises(SystemExit) as caught:
        data.main(["check"])
    assert caught.value.code == 2


# ----------------------------------------------------------------------------------------------- the sheet


def test_the_sheet_shows_errors_first_then_each_kind_in_turn() -> None:
    findings = [Finding("leak", 0, f"l{n}", "", sample=n) for n in range(2)]
    findings += [Finding("swap", 0, f"s{n}", "", sample=n) for n in range(3)]
    findings += [Finding("never", 0, "data", "")]
    findings += [Finding("outside", 0, f"o{n}", "", sample=n) for n in range(2)]
    assert [f.name for f in worst(findings)] == ["l0", "l1", "s0", "o0", "s1", "o1", "s2"]
    assert [f.name for f in worst(findings, 3)] == ["l0", "l1", "s0"]


def test_the_labels_are_drawn_where_they_are(table: Path) -> None:
    dataset = open_dataset(f"csv:{table}", "train")
    scans, _ = check([("t", dataset)])
    sheet = contact_sheet(scans, [Finding("swap", 0, "00.png\u3042", "", sample=0)])
    plain = contact_sheet([Scan("t", dataset)], [Finding("unreadable", 0, "00.png", "")])
    assert sheet.shape[0] == plain.shape[0] == 268
    assert (plain[4:200, 4:200] == 32).all()  # no picture, only the caption
    someone = dataset.sample(0)
    # The right eye, an orange disc: the crop is 1.15 times as wide as the data set's and 220 pixels large.
    x, y = (someone.keypoints[0] - someone.center) * 220 / (1.15 * someone.side) + 109.5 + 4
    assert sheet[round(y), round(x)].tolist() == [255, 240, 130]  # eye_r does not begin with right: the middle's colour
