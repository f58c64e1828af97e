import io
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from training.errors import DataError, DiskError, UserError
from training.files.logs import CsvLog
from training.labels.skeletons import LSP, MPII, Skeleton
from training.pictures import charts, drawing
from training.pictures.legend import captioned, with_legend
from training.runs import curves

STICK = Skeleton(
    name="stick",
    keypoints=("right_hand", "left_hand", "neck", "right_elbow", "left_elbow", "head"),
    edges=((0, 3), (1, 4), (2, 5), (0, 1), (2, 3)),
    flip_pairs=((0, 1), (3, 4)),
    head=None,
    torso=(1, 0),
)
GREY = np.full((40, 60, 3), 90, np.uint8)


def points(**places: tuple[float, float]) -> NDArray[np.float32]:
    """Joints of STICK by name; the others are not known."""
    joints = np.full((len(STICK.keypoints), 2), np.nan, np.float32)
    for name, place in places.items():
        joints[STICK.keypoints.index(name)] = place
    return joints


def colours(image: NDArray[np.uint8]) -> set[tuple[int, ...]]:
    """Which of the colours of limbs and truth are in the picture."""
    return {
        colour
        for colour in (drawing.RIGHT, drawing.LEFT, drawing.MIDDLE, drawing.TRUTH)
        if (image == colour).all(axis=-1).any()
    }


@settings(deadline=None, derandomize=True, max_examples=25)
@given(st.floats(5, 54), st.floats(5, 34), st.integers(1, 5))
def test_a_dot_is_centred_on_its_joint(x: float, y: float, zoom: int) -> None:
    drawn = drawing.overlay(GREY, points(neck=(x, y)), STICK, zoom=zoom)
    assert drawn.shape == (40 * zoom, 60 * zoom, 3)
    assert drawn.dtype == np.uint8
    changed = np.abs(drawn.astype(int) - 90).sum(axis=-1)
    rows, columns = np.indices(changed.shape)
    center = np.array([(changed * columns).sum(), (changed * rows).sum()]) / changed.sum()
    # Half a pixel of the picture in from its edge, whatever the enlargement. Drawing rounds to a third of an
    # output pixel, and shrinking blurs what is rounded.
    expected = (np.array([x, y]) + 0.5) * zoom - 0.5
    np.testing.assert_allclose(center, expected, atol=0.4)


@pytest.mark.parametrize(
    ("ends", "colour"),
    [
        (("right_hand", "right_elbow"), drawing.RIGHT),
        (("left_hand", "left_elbow"), drawing.LEFT),
        (("neck", "head"), drawing.MIDDLE),
        (("right_hand", "left_hand"), drawing.MIDDLE),
        (("neck", "right_elbow"), drawing.RIGHT),
    ],
)
def test_a_limb_has_the_colour_of_its_side(ends: tuple[str, str], colour: tuple[int, int, int]) -> None:
    drawn = drawing.overlay(GREY, points(**{ends[0]: (10, 20), ends[1]: (50, 20)}), STICK, zoom=4)
    middle = drawn[int(20.5 * 4), int(30.5 * 4)]
    assert tuple(middle) == colour


def test_only_known_and_sure_joints_are_drawn() -> None:
    plain = drawing.overlay(GREY, points(), STICK)
    np.testing.assert_array_equal(plain, 90)
    joints = points(right_hand=(10, 10), right_elbow=(50, 10), left_hand=(10, 30), left_elbow=(50, 30))
    assert colours(drawing.overlay(GREY, joints, STICK)) == {drawing.RIGHT, drawing.LEFT, drawing.MIDDLE}
    scores = np.array([0.9, 0.1, 1, 0.5, 0.1, 1])
    sure = drawing.overlay(GREY, joints, STICK, scores=scores, threshold=0.5)
    only_right = points(right_hand=(10, 10), right_elbow=(50, 10))
    np.testing.assert_array_equal(sure, drawing.overlay(GREY, only_right, STICK))
    lone = drawing.overlay(GREY, joints, STICK, scores=scores, threshold=0.6)
    np.testing.assert_array_equal(lone, drawing.overlay(GREY, points(right_hand=(10, 10)), STICK))


def test_the_truth_is_white_and_thin() -> None:
    joints = points(neck=(10, 10), head=(50, 10))
    truth = points(neck=(10, 30), head=(50, 30))
    both = drawing.overlay(GREY, joints, STICK, truth=truth, zoom=6)
    assert colours(both) == {drawing.MIDDLE, drawing.TRUTH}
    column = both[:, int(30.5 * 6)].astype(int)  # across both limbs, halfway
    upper, lower = column[:120], column[120:]
    assert 0 < (lower != 90).any(axis=-1).sum() < (upper != 90).any(axis=-1).sum()
    np.testing.assert_array_equal(both[:120], drawing.overlay(GREY, joints, STICK, zoom=6)[:120])


def test_joints_far_outside_do_no_harm() -> None:
    joints = points(neck=(30, 20), head=(1e9, -1e9), right_hand=(-40, 20), left_hand=(30, 1e6))
    assert drawing.overlay(GREY, joints, STICK, truth=joints).shape == (120, 180, 3)


def test_the_input_is_left_alone_and_shapes_are_checked() -> None:
    image, joints = GREY.copy(), points(neck=(30, 20))
    drawing.overlay(image, joints, STICK, truth=joints)
    np.testing.assert_array_equal(image, GREY)
    np.testing.assert_array_equal(joints, points(neck=(30, 20)))
    with pytest.raises(ValueError, match=r"needs \(16, 2\) keypoints"):
        drawing.overlay(GREY, np.zeros((14, 2), np.float32), MPII)
    with pytest.raises(ValueError, match=r"needs \(14, 2\) keypoints"):
        drawing.overlay(GREY, np.zeros((14, 2), np.float32), LSP, truth=np.zeros((14, 3), np.float32))


def test_heat_glows_where_the_maps_do() -> None:
    image = np.full((64, 64, 3), 100, np.uint8)
    maps = np.zeros((16, 16, 3), np.float32)
    np.testing.assert_array_equal(drawing.heat(image, maps, zoom=2), np.full((128, 128, 3), 60))
    np.testing.assert_array_equal(drawing.heat(image, maps - 5, zoom=2), np.full((128, 128, 3), 60))
    maps[3, 10] = (0.5, 0.25, 0.25)
    glowing = drawing.heat(image, maps, zoom=2)
    red = glowing[..., 0].astype(float) - 60
    rows, columns = np.indices(red.shape)
    # A heatmap pixel covers 4 x 4 pixels of the picture, 8 x 8 here: (10, 3) is centred on (83.5, 27.5).
    center = [(red * columns).sum() / red.sum(), (red * rows).sum() / red.sum()]
    np.testing.assert_allclose(center, [83.5, 27.5], atol=0.05)  # colours are rounded to whole numbers
    # Half a pixel beside the peak, both ways, the glow g is (15/16)^2; alpha is 0.85 sqrt(g).
    brightest = drawing.heat(image, 10 * maps, zoom=2)[27, 83]
    np.testing.assert_allclose(brightest, [215, 173, 40], atol=1)


def test_parts_are_tinted_and_the_truth_outlined() -> None:
    """Half the colour over half the picture; the background, and what nobody looked at, stay as they are."""
    mask = np.zeros((40, 60), np.uint8)
    mask[:, 20:40], mask[:, 40:] = 1, 255
    palette = np.array([(0, 0, 0), (200, 0, 50)], np.uint8)
    tinted = drawing.tint(GREY, mask, palette, zoom=2)
    assert tinted.shape == (80, 120, 3)
    assert (tinted[:, :40] == 90).all()
    assert (tinted[:, 80:] == 90).all()
    assert (tinted[:, 40:80] == (145, 45, 70)).all()
    truth = np.zeros((40, 60), np.uint8)
    truth[10:20, 30:35] = 1
    outlined = drawing.tint(GREY, mask, palette, truth, zoom=2)
    white = (outlined == drawing.TRUTH).all(axis=-1)
    # The border runs on the right and lower side of each change: 20 rows and 10 columns of pixels, twice.
    assert white[20:40, 60].all()
    assert white[20:40, 70].all()
    assert white[20, 60:70].all()
    assert white[40, 60:70].all()
    assert white.sum() == 20 + 20 + 10 + 10 - 1
    assert (outlined[~white] == tinted[~white]).all()
    assert (GREY == 90).all()


def test_grid_puts_pictures_in_rows() -> None:
    images = [np.full((10, 20, 3), value, np.uint8) for value in (50, 100, 150, 200, 250)]
    images[4] = images[4][:4, :6]
    sheet = drawing.grid(images, gap=2)
    assert sheet.shape == (2 + 2 * 12, 2 + 3 * 22, 3)  # five make rows of three
    for index, image in enumerate(images[:4]):
        y, x = 2 + 12 * (index // 3), 2 + 22 * (index % 3)
        np.testing.assert_array_equal(sheet[y : y + 10, x : x + 20], image)
    np.testing.assert_array_equal(sheet[14 + 3 : 14 + 7, 24 + 7 : 24 + 13], images[4])
    known = 4 * 10 * 20 + 4 * 6
    assert (sheet == drawing.GAP).all(axis=-1).sum() == sheet.shape[0] * sheet.shape[1] - known
    assert drawing.grid(images[:3], columns=1, gap=0).shape == (30, 20, 3)
    with pytest.raises(ValueError, match="no pictures"):
        drawing.grid([])


def test_save_png_with_a_palette_keeps_indices(tmp_path: Path) -> None:
    indices = np.arange(256, dtype=np.uint8).reshape(16, 16)
    palette = np.random.default_rng(0).integers(0, 256, (256, 3)).astype(np.uint8)
    drawing.save_png(tmp_path / "mask.png", indices, palette)
    with Image.open(tmp_path / "mask.png") as image:
        assert image.mode == "P"
        assert np.array_equal(np.asarray(image), indices)
        assert np.array_equal(np.asarray(image.convert("RGB")), palette[indices])


def test_save_png_keeps_every_pixel(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (7, 5, 3), dtype=np.uint8)
    drawing.save_png(tmp_path / "picture.png", image[:, ::-1])
    assert [path.name for path in tmp_path.iterdir()] == ["picture.png"]
    with Image.open(tmp_path / "picture.png") as file:
        np.testing.assert_array_equal(np.asarray(file), image[:, ::-1])
    with pytest.raises(DiskError):
        drawing.save_png(tmp_path / "nowhere" / "picture.png", image)


def a_log(folder: Path, rows: int, columns: tuple[str, ...] = ("step", "loss", "lr", "seconds", "PCKh@0.5")) -> Path:
    log = CsvLog(folder / "log.csv", columns)
    for step in range(rows):
        row = {"step": 10 * step, "loss": 1 / (step + 1), "lr": 1e-3, "seconds": float(step)}
        if step % 4 == 0:
            row["PCKh@0.5"] = float(step)
        log.append({name: value for name, value in row.items() if name in columns})
    return log.path


def drawn(path: Path) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(path.read_bytes())) as file:
        assert file.format == "PNG"
        return np.asarray(file.convert("RGB"))


def test_curves_fill_three_panels(tmp_path: Path) -> None:
    log = a_log(tmp_path, rows=100)
    curves.curves(log, tmp_path / "curves.png")
    first = drawn(tmp_path / "curves.png")
    assert first.shape == (800, 800, 3)
    # matplotlib's first colour; anti-aliasing leaves hardly a pixel of a thin line as it is
    blue = (np.abs(first.astype(int) - (31, 119, 180)) < 40).all(axis=-1)
    assert all(blue[top : top + 240, 100:].any() for top in (0, 260, 510))
    curves.curves(log, tmp_path / "again.png")
    assert (tmp_path / "again.png").read_bytes() == (tmp_path / "curves.png").read_bytes()
    curves.curves(log, tmp_path / "other.png", metrics=["seconds"])
    other = drawn(tmp_path / "other.png")
    assert (other[510:] != first[510:]).any()


@pytest.mark.parametrize(("rows", "columns"), [(0, ("step", "loss", "lr", "PCKh@0.5")), (1, ("step", "lr"))])
def test_curves_of_hardly_anything(tmp_path: Path, rows: int, columns: tuple[str, ...]) -> None:
    curves.curves(a_log(tmp_path, rows, columns), tmp_path / "curves.png")
    assert drawn(tmp_path / "curves.png").shape == (800, 800, 3)


def test_curves_of_a_loss_that_broke_down(tmp_path: Path) -> None:
    log = CsvLog(tmp_path / "log.csv", ["step", "loss", "test_loss"])
    for step, loss in enumerate([1.0, 0.0, -1.0, float("inf"), float("nan")]):
        log.append({"step": step, "loss": loss})
    curves.curves(log.path, tmp_path / "curves.png")
    assert drawn(tmp_path / "curves.png").shape == (800, 800, 3)


def test_curves_that_cannot_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = a_log(tmp_path, rows=3)
    with pytest.raises(UserError, match=r"no column NME_ioc; it has step, loss"):
        curves.curves(log, tmp_path / "curves.png", metrics=["NME_ioc"])
    with pytest.raises(DataError, match="cannot read the log"):
        curves.curves(tmp_path / "nowhere.csv", tmp_path / "curves.png")
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(UserError, match="pip install"):
        curves.curves(log, tmp_path / "curves.png")
    assert not (tmp_path / "curves.png").exists()


def test_ticks_are_plain_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not 2.5 x 10^1, and the loss and the score say what they are."""
    figures: list[Any] = []
    monkeypatch.setattr(curves, "save_figure", lambda figure, path: figures.append(figure))
    curves.curves(a_log(tmp_path, rows=30), tmp_path / "curves.png", ["PCKh@0.5"], "loss per map")
    (figure,) = figures
    figure.draw_without_rendering()
    labels = [axes.get_ylabel() for axes in figure.axes]
    assert labels == ["loss per map", "learning rate", "PCKh@0.5 in %"]
    for axes in figure.axes:
        texts = [text.get_text() for text in axes.get_yticklabels(which="both")]
        assert any(texts)
        assert all(re.fullmatch(r"-?\d+(\.\d+)?|", text) for text in texts)


def test_curves_show_what_the_log_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figures: list[Any] = []
    monkeypatch.setattr(curves, "save_figure", lambda figure, path: figures.append(figure))
    log = CsvLog(tmp_path / "log.csv", ["step", "train_loss", "lr", "PCK@0.2"])
    for step, loss, lr, score in ((2, 5.0, 0.1, None), (4, 3.0, 0.2, 40.0), (7, 2.0, 0.05, 60.0)):
        log.append({"step": step, "train_loss": loss, "lr": lr, "PCK@0.2": score})
    curves.curves(log.path, tmp_path / "curves.png")
    lines = [[line.get_xydata().tolist() for line in axes.get_lines()] for axes in figures[0].axes]
    assert lines == [[[[2, 5], [4, 3], [7, 2]]], [[[2, 0.1], [4, 0.2], [7, 0.05]]], [[[4, 40], [7, 60]]]]
    assert all(not axes.yaxis_inverted() and not axes.xaxis_inverted() for axes in figures[0].axes)


def test_the_distribution_of_errors_counts_faces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of five faces one errs by 1 %, two by 4 %, one by more than is drawn, and one is lost."""
    figures: list[Any] = []
    monkeypatch.setattr(charts, "save_figure", lambda figure, path: figures.append(figure))
    charts.ced({"eyes": np.array([0.04, np.nan, 0.01, 0.3, 0.04])}, tmp_path / "ced.png", limit=0.08)
    (axes,) = figures[0].axes
    (line,) = axes.get_lines()
    assert line.get_drawstyle() == "steps-post"
    assert line.get_xydata().tolist() == [[0, 0], [1, 20], [4, 40], [4, 60], [8, 60]]
    assert (axes.get_xlim(), axes.get_ylim()) == ((0, 8), (0, 100))


def test_matplotlib_is_imported_late_and_pyplot_never(tmp_path: Path) -> None:
    log = a_log(tmp_path, rows=2)
    code = (
        "import sys; from training.runs import curves; assert 'matplotlib' not in sys.modules;"
        "curves.curves(sys.argv[1], sys.argv[2]); assert 'matplotlib.pyplot' not in sys.modules"
    )
    root = Path(__file__).resolve().parents[3]
    subprocess.run([sys.executable, "-c", code, log, tmp_path / "curves.png"], cwd=root, check=True)


def test_a_legend_stands_below_and_wraps() -> None:
    picture = np.full((50, 400, 3), 90, np.uint8)
    entries = [(None, "found:"), (drawing.RIGHT, "right"), (drawing.LEFT, "left"), ((255, 255, 255), "labels")]
    shown = with_legend(picture, entries)
    assert np.array_equal(shown[:50], picture)
    assert shown.shape == (78, 400, 3)
    for colour, _ in entries[1:]:
        assert (shown[50:] == colour).all(axis=-1).any()
    narrow = with_legend(picture[:, :100], entries)
    assert narrow.shape[0] > 100
    assert narrow.shape[1] == 100
    assert with_legend(picture[:, :4], [(drawing.LEFT, "ü ñ")]).shape == (78, 4, 3)


def test_a_caption_keeps_the_size() -> None:
    picture = np.full((50, 100, 3), 200, np.uint8)
    shown = captioned(picture, "confidence 0.10")
    assert shown.shape == picture.shape
    assert (shown[:10] != picture[:10]).any()
    assert np.array_equal(shown[30:], picture[30:])
    assert (picture == 200).all()
