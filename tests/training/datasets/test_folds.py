"""Folds: every photo is tested on once, whole, whatever the order in which it is named."""

from pathlib import Path

import pytest

from training.datasets.faces import FACE_KINDS
from training.datasets.splits import Division, Fold
from training.errors import DataError, UserError

FILES = [f"{number:02d}.png" for number in range(10)]


def divided(fold: Fold, folder: Path = Path(), files: list[str] = FILES, **more: float) -> dict[str, str | None]:
    division = Division(fold=fold, **more).of((folder / file, file) for file in files)
    return {file: division.split(file) for file in files}


def test_every_photo_is_tested_on_in_one_fold_and_trained_on_in_the_others() -> None:
    told = [divided(Fold(number, 3)) for number in (1, 2, 3)]
    for file in FILES:
        assert sorted(split[file] for split in told) == ["test", "train", "train"]
    assert sorted(list(split.values()).count("test") for split in told) == [3, 3, 4]


def test_folds_depend_on_names_and_seed_alone() -> None:
    assert divided(Fold(1, 3)) == divided(Fold(1, 3), files=FILES[::-1])
    assert divided(Fold(1, 3)) != divided(Fold(1, 3, 1))


def test_what_is_held_out_for_testing_or_validation_stays_out_of_every_fold() -> None:
    whole = Division(0.3, validation=0.3)
    splits = {file: whole.split(file) for file in FILES}
    assert set(splits.values()) == {"train", "val", "test"}
    first, second = (divided(Fold(number, 2), share=0.3, validation=0.3) for number in (1, 2))
    for file, split in splits.items():
        if split == "train":
            assert {first[file], second[file]} == {"train", "test"}
        else:
            assert first[file] == second[file] == (None if split == "test" else "val")


def test_copies_of_a_picture_go_the_same_way(tmp_path: Path) -> None:
    for number, file in enumerate(FILES):
        (tmp_path / file).write_text(f"picture {number // 2}")  # in pairs
    told = divided(Fold(2, 4), tmp_path)
    assert all(told[a] == told[b] for a, b in zip(FILES[::2], FILES[1::2], strict=True))
    with pytest.raises(DataError, match="5 photos for training cannot be divided into 6 folds"):
        divided(Fold(1, 6), tmp_path)


def test_faces_of_one_photo_go_the_same_way(tmp_path: Path) -> None:
    for name in ("a_1", "a_2", "b_1", "b_2", "c_1"):
        (tmp_path / f"{name}.pts").write_text(f"version: 1\nn_points: 2\n{{\n1 2\n3 {len(name)}\n}}\n")
    kind = FACE_KINDS["pts"]
    tested = [
        {path.stem[0] for path in kind.open(tmp_path, "test", {"fold": f"{number}/3"}).files} for number in (1, 2, 3)
    ]
    assert sorted(tested, key=sorted) == [{"a"}, {"b"}, {"c"}]
    for number, photo in enumerate(tested, start=1):
        assert {path.stem[0] for path in kind.open(tmp_path, "train", {"fold": f"{number}/3"}).files} == (
            {"a", "b", "c"} - photo
        )


@pytest.mark.parametrize("text", ["", "2", "0/3", "4/3", "1/1", "1/2/3/4", "-1/3", "a/3", "1/1001", "1/" + "9" * 5000])
def test_what_is_no_fold_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="no fold"):
        Fold.read(text)


def test_a_fold_is_read_as_it_is_written() -> None:
    assert [str(Fold.read(text)) for text in ("2/5", "2/5/7")] == ["2/5", "2/5/7"]
