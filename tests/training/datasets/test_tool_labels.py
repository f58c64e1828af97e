"""Labels as labelling tools export them, each in its original layout, and back through `convert`."""

import contextlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from training import data as command
from training.datasets import open_dataset
from training.datasets.own.labels import OwnSamples
from training.errors import DataError, UserError


def save_picture(path: Path, width: int = 60, height: int = 40) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((height, width, 3), 90, np.uint8)).save(path)


def own(spec: str, split: str = "train") -> OwnSamples:
    data = open_dataset(spec, split)
    assert isinstance(data, OwnSamples)
    return data


def points(data: OwnSamples) -> dict[str, dict[str, tuple[float, float]]]:
    """Labelled points by the names of samples and points."""
    found = {}
    for index in range(len(data)):
        sample = data.sample(index)
        known = zip(data.skeleton.keypoints, sample.keypoints.tolist(), sample.labelled.tolist(), strict=True)
        found[sample.name] = {name: tuple(point) for name, point, there in known if there}
    return found


def error_of(spec: str, kind: type[UserError] = DataError) -> str:
    with pytest.raises(kind) as caught:
        open_dataset(spec, "train")
    assert "\n" not in str(caught.value)
    return str(caught.value)


# ---------------------------------------------------------------------------------------------- DeepLabCut

DLC = """scorer,anna,anna,anna,anna
bodyparts,snout,snout,tail,tail
coords,x,y,x,y
labeled-data/run/img001.png,10.25,12.5,40,20
labeled-data/run/img002.png,,,30,11
labeled-data/run/img003.png,,,,
"""


@pytest.fixture
def dlc(tmp_path: Path) -> Path:
    folder = tmp_path / "labeled-data" / "run"
    for number in (1, 2, 3):
        save_picture(folder / f"img00{number}.png")
    (folder / "CollectedData_anna.csv").write_text(DLC)
    return tmp_path


@pytest.mark.parametrize(
    "place", ["", "/labeled-data", "/labeled-data/run", "/labeled-data/run/CollectedData_anna.csv"]
)
def test_deeplabcut_by_its_project_a_folder_of_it_or_one_table(dlc: Path, place: str) -> None:
    data = own(f"dlc:{dlc}{place}")
    assert data.skeleton.keypoints == ("snout", "tail")
    assert points(data) == {  # integers are pixel centres there as well
        "labeled-data/run/img001.png#1": {"snout": (10.25, 12.5), "tail": (40, 20)},
        "labeled-data/run/img002.png#1": {"tail": (30, 11)},
    }
    assert data.unlabelled == ("labeled-data/run/img003.png#1",)
    assert data.bad_records == ()


def test_deeplabcut_with_three_columns_for_the_picture(dlc: Path) -> None:
    text = DLC.replace("labeled-data/run/", "labeled-data,run,").replace("scorer,", "scorer,,,")
    text = text.replace("bodyparts,", "bodyparts,,,").replace("coords,", "coords,,,")
    (dlc / "labeled-data/run/CollectedData_anna.csv").write_text(text)
    assert points(own(f"dlc:{dlc}"))["labeled-data/run/img001.png#1"]["snout"] == (10.25, 12.5)


def test_deeplabcut_with_backslashes_of_windows(dlc: Path) -> None:
    path = dlc / "labeled-data/run/CollectedData_anna.csv"
    path.write_text(DLC.replace("labeled-data/run/", "labeled-data\\run\\"))
    assert len(own(f"dlc:{dlc}")) == 2


def test_deeplabcut_of_several_animals(dlc: Path) -> None:
    (dlc / "labeled-data/run/CollectedData_anna.csv").write_text(
        "scorer,anna,anna,anna,anna,anna,anna\n"
        "individuals,mouse1,mouse1,mouse2,mouse2,single,single\n"
        "bodyparts,snout,snout,snout,snout,corner,corner\n"
        "coords,x,y,x,y,x,y\n"
        "labeled-data/run/img001.png,1,2,3,4,,\n"
        "labeled-data/run/img002.png,,,5,6,7,8\n"
        "labeled-data/run/img003.png,,,,,,\n"
    )
    data = own(f"dlc:{dlc}")
    assert points(data) == {
        "labeled-data/run/img001.png#mouse1": {"snout": (1, 2)},
        "labeled-data/run/img001.png#mouse2": {"snout": (3, 4)},
        "labeled-data/run/img002.png#mouse2": {"snout": (5, 6)},
        "labeled-data/run/img002.png#single": {"corner": (7, 8)},
    }
    assert data.unlabelled == ("labeled-data/run/img003.png",)


def test_several_videos_are_one_set_and_several_people_must_be_chosen_from(dlc: Path) -> None:
    save_picture(dlc / "labeled-data/walk/img001.png")
    table = dlc / "labeled-data/walk/CollectedData_anna.csv"
    table.write_text("\n".join(DLC.splitlines()[:4]).replace("/run/", "/walk/") + "\n")
    assert len(own(f"dlc:{dlc}")) == 3
    table.rename(table.with_name("CollectedData_bert.csv"))
    assert "choose one by ?scorer= anna, bert" in error_of(f"dlc:{dlc}", UserError)
    assert "did you mean 'bert'?" in error_of(f"dlc:{dlc}?scorer=bret", UserError)
    assert list(points(own(f"dlc:{dlc}?scorer=bert"))) == ["labeled-data/walk/img001.png#1"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("coords,x,y,x,y", "coords,x,y,x,likelihood", "these are predictions"),
        ("coords,x,y,x,y", "coords,x,y,x,x", "should be there once, x or y"),
        ("scorer,", "scorers,", "should begin with rows for scorer, bodyparts and coords"),
        ("bodyparts,snout,snout,tail,tail", "bodyparts,snout,snout,tail", "different lengths"),
        ("img002", "img001", "is in "),
    ],
)
def test_tables_of_deeplabcut_that_are_wrong(dlc: Path, old: str, new: str, message: str) -> None:
    path = dlc / "labeled-data/run/CollectedData_anna.csv"
    path.write_text(DLC.replace(old, new))
    found = error_of(f"dlc:{dlc}")
    assert message in found
    assert "CollectedData_anna.csv" in found


def test_bad_rows_of_deeplabcut_are_left_out(dlc: Path) -> None:
    path = dlc / "labeled-data/run/CollectedData_anna.csv"
    path.write_text(
        DLC.replace(",,,30,11", ",,,30,") + "labeled-data/run/img004.png,1,2,up,4\n/abs/img005.png,1,2,3,4\n"
    )
    data = own(f"dlc:{dlc}")
    assert len(data) == 1
    assert [bad.reason for bad in data.bad_records] == [
        "tail has an x alone",
        "x of tail is 'up', not a number",
        "picture leads out of the picture folder: '/abs/img005.png'; ?names=base looks for 'img005.png' in that folder",
    ]


def test_a_folder_without_tables(tmp_path: Path) -> None:
    assert "has no labeled-data/*/CollectedData_*.csv" in error_of(f"dlc:{tmp_path}")
    assert "no such file or folder" in error_of(f"dlc:{tmp_path}/nowhere")


def test_lightning_pose(dlc: Path) -> None:
    (dlc / "CollectedData.csv").write_text(DLC)
    assert points(own(f"lightning:{dlc}/CollectedData.csv")) == points(own(f"dlc:{dlc}"))


# -------------------------------------------------------------------------------------------------- labelme


def labelme(path: str, *shapes: tuple[str, str, Any, Any], **changes: Any) -> str:
    listed = [
        {"label": label, "points": places, "group_id": group, "description": "", "shape_type": kind, "flags": {}}
        for kind, label, group, places in shapes
    ]
    record = {"version": "5.4.1", "flags": {}, "shapes": listed, "imagePath": path, "imageData": None}
    return json.dumps(record | {"imageHeight": 40, "imageWidth": 60} | changes)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for name in ("a.png", "sub/b.png"):
        save_picture(tmp_path / name)
    (tmp_path / "a.json").write_text(
        labelme(
            "a.png",
            ("point", "nose", 1, [[10.5, 20.5]]),
            ("point", "tail", 1, [[30.0, 8.25]]),
            ("rectangle", "cow", 1, [[40, 30], [4, 5]]),
            ("point", "nose", 2, [[50.5, 20.5]]),
            ("polygon", "grass", None, [[0, 0], [1, 1], [2, 0]]),
        )
    )
    (tmp_path / "sub/b.json").write_text(labelme("b.png", ("point", "tail", None, [[3.5, 4.5]])))
    return tmp_path


def test_labelme(photos: Path) -> None:
    data = own(f"labelme:{photos}")
    assert points(data) == {  # its corner is (0, 0), ours (-0.5, -0.5)
        "a.png#1": {"nose": (10, 20), "tail": (29.5, 7.75)},
        "a.png#2": {"nose": (50, 20)},
        "sub/b.png#1": {"tail": (3, 4)},
    }
    first = data.sample(0)
    # The box from 4, 5 to 40, 30 has its middle at 22, 17.5 from the corner.
    assert (first.center, first.box_size) == ((21.5, 17.0), 36)
    assert [(note.kind, note.message) for note in data.remarks] == [("ignored", "a shape of the type 'polygon'")]
    assert data.sizes == {"a.png": (60, 40), "sub/b.png": (60, 40)}


def test_files_of_labelme_that_are_wrong_are_left_out(photos: Path) -> None:
    (photos / "c.json").write_text("[]")
    (photos / "d.json").write_text(labelme("../d.png", ("point", "nose", 1, [[1, 1]])))
    (photos / "e.json").write_text(labelme("e.png", ("point", "nose", 1, [[1, None]])))
    (photos / "f.json").write_text(labelme("f.png", *[("point", "nose", None, [[1, 1]])] * 2))
    data = own(f"labelme:{photos}")
    assert len(data) == 3
    assert [bad.text.partition(";")[0] for bad in data.bad_records] == [
        "c.json: is no file of labelme: it has no list of shapes",
        "d.json: imagePath leads out of the picture folder: '../d.png'",
        "e.json: shape 0: points is not finite",
        "f.json: points without a group: 'nose' occurs twice: give each instance a group of its own",
    ]
    (photos / "g.json").write_text(labelme("a.png", ("point", "nose", 1, [[1, 1]])))
    assert "a.png is labelled in" in error_of(f"labelme:{photos}")
    assert "no such folder" in error_of(f"labelme:{photos}/nowhere")


# ----------------------------------------------------------------------------------------------------- CVAT

CVAT = """<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta><task><name>cows</name></task></meta>
  <image id="0" name="a.png" width="60" height="40">
    <skeleton label="cow" source="manual" group_id="3" z_order="0">
      <points label="nose" source="manual" outside="0" occluded="1" points="10.50,20.50"></points>
      <points label="tail" source="manual" outside="1" occluded="0" points="1.00,1.00"></points>
      <attribute name="age">3</attribute>
    </skeleton>
    <box label="cow" group_id="3" occluded="0" xtl="4.00" ytl="5.00" xbr="40.00" ybr="30.00" z_order="0"></box>
    <polygon label="grass" points="0.0,0.0;1.0,1.0;2.0,0.0"></polygon>
  </image>
  <image id="1" name="sub/b.png" width="60" height="40">
    <skeleton label="cow"><points label="tail" outside="0" points="3.5,4.5"/>
      <points label="nose" outside="0" points="7.5,8.5"/></skeleton>
  </image>
  <image id="2" name="c.png" width="60" height="40"></image>
</annotations>
"""


def cvat(folder: Path, text: str) -> str:
    (folder / "annotations.xml").write_text(text)
    return f"cvat:{folder}/annotations.xml"


def test_cvat_skeletons(photos: Path) -> None:
    data = own(cvat(photos, CVAT))
    assert data.skeleton.keypoints == ("nose", "tail")
    assert points(data) == {"a.png#1": {"nose": (10, 20)}, "sub/b.png#1": {"tail": (3, 4), "nose": (7, 8)}}
    assert data.sample(0).box_size == 36
    assert data.unlabelled == ("c.png",)
    assert [note.message for note in data.remarks] == ["a shape of the type 'polygon'"]


def shapes(*lines: str) -> str:
    return f'<annotations><image id="0" name="a.png" width="60" height="40">{"".join(lines)}</image></annotations>'


def test_cvat_points(photos: Path) -> None:
    named = shapes(
        '<points label="nose" group_id="1" points="1.5,2.5"/>',
        '<points label="nose" group_id="2" points="3.5,4.5"/>',
        '<points label="tail" group_id="1" points="5.5,6.5"/>',
    )
    assert points(own(cvat(photos, named))) == {
        "a.png#1": {"nose": (1, 2), "tail": (5, 6)},
        "a.png#2": {"nose": (3, 4)},
    }
    numbered = shapes(*['<points label="cow" points="1.5,2.5;3.5,4.5"/>'] * 2, '<points label="cow" points="1,2"/>')
    data = own(cvat(photos, numbered))
    assert points(data) == {f"a.png#{number}": {"1": (1, 2), "2": (3, 4)} for number in (1, 2)}
    assert [bad.reason for bad in data.bad_records] == ["1 points, where most of 'cow' have 2"]


def test_cvat_of_several_labels(photos: Path) -> None:
    cow = '<skeleton label="cow"><points label="nose" points="1.5,2.5"/></skeleton>'
    spec = cvat(photos, shapes(cow, cow.replace("cow", "hen").replace("nose", "beak")))
    assert "choose one by ?category= cow, hen" in error_of(spec, UserError)
    assert points(own(f"{spec}?category=hen")) == {"a.png#2": {"beak": (1, 2)}}
    assert "did you mean 'hen'?" in error_of(f"{spec}?category=hne", UserError)
    assert len(own(cvat(photos, shapes(cow, cow.replace("cow", "hen"))))) == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not an XML file"),
        ("<annotations>", "not an XML file"),
        ("<html/>", "is not CVAT for images"),
        ("<annotations><track/></annotations>", "is not CVAT for images"),
        ('<!DOCTYPE x [<!ENTITY a "b">]><annotations/>', "declares a document type or entities"),
        ("<!DOCTYPE annotations><annotations/>", "declares a document type or entities"),
        ("<annotations/>", "has no labelled point"),
        ("<a>" * 60 + "</a>" * 60, "nested more than 50 times"),
        (CVAT.replace("sub/b.png", "a.png"), "a.png occurs twice"),
    ],
)
def test_xml_that_is_wrong(photos: Path, text: str, message: str) -> None:
    found = error_of(cvat(photos, text))
    assert message in found
    assert "annotations.xml" in found


def test_bad_skeletons_are_left_out(photos: Path) -> None:
    data = own(cvat(photos, CVAT.replace("7.5,8.5", "7.5").replace('name="c.png"', 'name="/c.png"')))
    assert [bad.text.partition("annotations.xml: ")[2].partition(";")[0] for bad in data.bad_records] == [
        "image 1 (sub/b.png): skeleton 1: nose: points should be x,y, not '7.5'",
        "image 2: name leads out of the picture folder: '/c.png'",
    ]


# --------------------------------------------------------------------------------------------- Label Studio


def region(kind: str, name: str, x: float, y: float, **more: Any) -> dict[str, Any]:
    size = {key: more.pop(key) for key in ("width", "height") if key in more}
    value = {"x": x, "y": y, "width": 0.5, **size, kind: [name]}
    result = {"type": kind, "value": value, "original_width": 60, "original_height": 40, "image_rotation": 0}
    return result | {"from_name": "kp", "to_name": "img", "origin": "manual"} | more


def task(number: int, image: str, *results: dict[str, Any], **more: Any) -> dict[str, Any]:
    annotation = {"id": number, "was_cancelled": False, "result": list(results)}
    return {"id": number, "data": {"image": image}, "annotations": [annotation], "predictions": []} | more


def label_studio(folder: Path, *tasks: Any) -> str:
    (folder / "export.json").write_text(json.dumps(tasks))
    return f"labelstudio:{folder}/export.json"


def test_label_studio(photos: Path) -> None:
    save_picture(photos / "c d.png")
    spec = label_studio(
        photos,
        task(
            1, "/data/upload/3/0123abcd-a.png",
            region("rectanglelabels", "cow", 10, 25, width=50, height=50, rotation=0, id="box"),
            region("keypointlabels", "nose", 17.5, 51.25, parentID="box", id="k"),
            region("keypointlabels", "tail", 50, 50, parentID="box"),
            region("keypointlabels", "nose", 75, 75),
        ),
        task(2, "/data/local-files/?d=sub/b.png", region("keypointlabels", "tail", 5, 10)),
        task(3, "https://example.org/x/c%20d.png?token=1", region("keypointlabels", "tail", 0, 0)),
        task(4, "s3://bucket/d.png"),
    )  # fmt: skip
    data = own(spec)
    assert points(data) == {
        "a.png#box": {"nose": (10, 20), "tail": (29.5, 19.5)},
        "a.png#2": {"nose": (44.5, 29.5)},
        "sub/b.png#1": {"tail": (2.5, 3.5)},
        "c d.png#1": {"tail": (-0.5, -0.5)},
    }
    # 10% to 60% of 60 pixels, 25% to 75% of 40.
    assert (data.sample(0).center, data.sample(0).box_size) == ((20.5, 19.5), 30)
    assert data.unlabelled == ("d.png",)


def test_tasks_that_are_wrong_are_left_out(photos: Path) -> None:
    good = region("keypointlabels", "nose", 5, 5)
    nan, turned, unsized = (json.loads(json.dumps(good)) for _ in range(3))
    nan["value"]["x"] = None
    turned["image_rotation"] = 90
    del unsized["original_width"]
    spec = label_studio(
        photos,
        task(1, "a.png", good, {"type": "choices", "value": {}}),
        task(2, "b.png", nan),
        task(3, "c.png", turned),
        task(4, "d.png", unsized),
        {"image": "e.png", "kp": [good["value"]]},
        task(6, "f.png", good, good),
        task(7, "", good),
        task(8, "g.png") | {"annotations": None},
    )
    data = own(spec)
    assert len(data) == 1
    assert [note.message for note in data.remarks] == ["a result of the type 'choices'"]
    assert [bad.text.partition("export.json: ")[2] for bad in data.bad_records] == [
        "task 2: result 0: value is not finite",
        "task 3: result 0: image_rotation is 90: turn the picture itself instead",
        "task 4: result 0: original_width and original_height should be the picture's size in pixels",
        "task 4 has no 'data': export as JSON, not as JSON-MIN",
        "task 6: points without a group: 'nose' occurs twice: give each instance a group of its own",
        "task 7: data names no picture",
        "task 8 has no list of annotations: export as JSON, not as JSON-MIN",
    ]
    (photos / "export.json").write_text("{}")
    assert "should hold a list of tasks" in error_of(spec)


# ----------------------------------------------------------------------------------------------------- YOLO

YAML = """# Cows, in the layout of the tool
path: ../cows   # moved since
train: images/train
val: images/val

kpt_shape: [3, 3] # points, numbers of each
flip_idx: [0, 2, 1]
names:
  0: cow
  1: "hen"
kpt_names:
  0:
    - nose
    - left_ear
    - right_ear
  1: [nose, left_ear, right_ear]
download: |
  https://example.org/cows.zip
    more: of it
"""


@pytest.fixture
def yolo(tmp_path: Path) -> Path:
    for name in ("train/a.png", "train/b.png", "val/c.png"):
        save_picture(tmp_path / "images" / name)
    for name, text in {
        "train/a": "0 0.5 0.5 0.5 0.5 0.175 0.5125 2 0.5 0.5 1 0 0 0\n1 0.5 0.5 0.1 0.1 0.5 0.5 2 0 0 2 0.1 0.1 0\n",
        "val/c": "0 0.5 0.5 1 1 0.025 0.0375 2 0 0 0 0 0 0\n",
    }.items():
        path = tmp_path / "labels" / f"{name}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "data.yaml").write_text(YAML)
    return tmp_path


def test_yolo(yolo: Path) -> None:
    train, test = own(f"yolo:{yolo}/data.yaml"), own(f"yolo:{yolo}/data.yaml", "test")
    assert train.skeleton.keypoints == ("nose", "left_ear", "right_ear")
    assert train.skeleton.flip_pairs == ((1, 2),)
    assert points(train) == {
        "images/train/a.png#1": {"nose": (10, 20), "left_ear": (29.5, 19.5)},
        "images/train/a.png#2": {"nose": (29.5, 19.5)},
    }
    assert points(test) == {"images/val/c.png#1": {"nose": (1, 1)}}
    assert (train.sample(0).center, train.sample(0).box_size) == ((29.5, 19.5), 30)
    assert train.unlabelled == ("images/train/b.png",)
    assert [note.kind for note in train.remarks] == ["origin"]
    assert list(points(own(f"yolo:{yolo}/data.yaml?category=hen"))) == ["images/train/a.png#2"]
    assert "did you mean 'hen'?" in error_of(f"yolo:{yolo}/data.yaml?category=hne", UserError)


def test_yolo_without_flags_and_names(yolo: Path) -> None:
    (yolo / "data.yaml").write_text("train: ../images/train\nkpt_shape: [2, 2]\nnames: [cow]\n")
    (yolo / "labels/train/a.txt").write_text("0 0.5 0.5 0.5 0.5 0.175 0.5125 0 0\n")
    data = own(f"yolo:{yolo}/data.yaml?test=0")
    assert points(data) == {"images/train/a.png#1": {"1": (10, 20)}}
    assert (data.skeleton.flips, data.unlabelled) == (False, ("images/train/b.png",))


def test_yolo_with_lists_of_pictures(yolo: Path) -> None:
    (yolo / "train.txt").write_text("./images/train/a.png\n\nimages/train/b.png\n")
    (yolo / "data.yaml").write_text(YAML.replace("train: images/train", "train:\n- train.txt"))
    assert len(own(f"yolo:{yolo}/data.yaml")) == 2


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("kpt_shape: [3, 3]", "kpt_shape: [3, 4]", "kpt_shape should be"),
        ("kpt_shape: [3, 3]", "kpt_shape: [3, 3", "not a YAML file that can be read"),
        ("kpt_shape: [3, 3]", "kpt_shape: &a [3, 3]\nnc: *a", "has aliases"),
        ("kpt_shape: [3, 3]", "kpt_shape: [true, 3]", "kpt_shape should be"),
        ("kpt_shape: [3, 3]", "kpt_shape: " + "[" * 1000 + "]" * 1000, "not a YAML file that can be read"),
        ("kpt_shape: [3, 3]", "kpt: [3, 3]", "kpt_shape should be"),
        ("flip_idx: [0, 2, 1]", "flip_idx: [0, 2]", "flip_idx should have each of the numbers 0 to 2 once"),
        ("flip_idx: [0, 2, 1]", "flip_idx: [1, 2, 0]", "flip_idx does not come back"),
        ("    - left_ear", "    - nose", "kpt_names has other names for other classes"),
        ("train: images/train", "train: images/none", "there is no"),
        ("val: images/val", "val: images/train", "is in train and in val"),
        ("names:\n", "nams:\n", "names should be the names of the classes"),
        ("path: ../cows", "path: [1]", "path should be a folder"),
        ("val: images/val", "val: images/val\nval: x", "occurs twice"),
        ("# Cows", "- Cows", "not a YAML file that can be read"),
    ],
)
def test_yaml_that_is_wrong(yolo: Path, old: str, new: str, message: str) -> None:
    (yolo / "data.yaml").write_text(YAML.replace(old, new, 1))
    found = error_of(f"yolo:{yolo}/data.yaml")
    assert message in found
    assert "data.yaml" in found


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("0 0.5 0.5", "3 numbers; class, box and 3 points need 14"),
        ("7 .5 .5 .5 .5 .1 .1 2 .1 .1 2 .1 .1 2", "class 7 is none of those in names"),
        ("0 .5 .5 0 .5 .1 .1 2 .1 .1 2 .1 .1 2", "box has a width or height that is not positive: 0 x 20"),
        ("0 .5 .5 .5 .5 nan .1 2 .1 .1 2 .1 .1 2", "is not finite"),
        ("0 .5 .5 .5 .5 x .1 2 .1 .1 2 .1 .1 2", "has something that is no number"),
        ("0 .5 .5 .5 .5 30 .1 2 .1 .1 2 .1 .1 2", "nose at 30, 0.1 should be shares of width and height, 0 to 1"),
        ("0 .5 .5 .5 .5 .1 .1 3 .1 .1 2 .1 .1 2", "the flag of nose should be 0 (none), 1 (hidden) or 2 (visible)"),
    ],
)
def test_lines_that_are_wrong_are_left_out(yolo: Path, line: str, reason: str) -> None:
    with (yolo / "labels/train/a.txt").open("a") as file:
        file.write(line + "\n")
    (bad,) = own(f"yolo:{yolo}/data.yaml").bad_records
    assert (bad.name, bad.reason) == ("labels/train/a.txt, line 3", reason)


def test_labels_of_a_picture_that_cannot_be_read(yolo: Path) -> None:
    (yolo / "images/train/a.png").write_bytes(b"nonsense")
    (yolo / "labels/train/b.txt").write_text("0 .5 .5 .5 .5 .1 .1 2 .1 .1 2 .1 .1 2\n")
    (bad,) = own(f"yolo:{yolo}/data.yaml").bad_records
    assert bad.text.startswith("labels/train/a.txt: shares of a picture that cannot be read")


# ------------------------------------------------------------------------------------------ whatever there is


def spoiled(value: Any, new: Any) -> list[Any]:
    """Copies of a JSON value with one of its parts exchanged each."""
    keys: Any = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    found = []
    for key in keys:
        for part in (new, *spoiled(value[key], new)):
            other = value.copy()
            other[key] = part
            found.append(other)
    return found


WHATEVER: list[Any] = [None, True, -1, 1e400, "", "http://[", [], {}, [[]], {"x": []}]


@pytest.mark.parametrize("new", WHATEVER, ids=repr)
def test_whatever_stands_in_a_file_there_is_one_kind_of_error(photos: Path, new: Any) -> None:
    point = region("keypointlabels", "nose", 17.5, 51.25, parentID="box")
    box = region("rectanglelabels", "cow", 10, 25, width=50, height=50, id="box")
    for tasks in spoiled([task(1, "a.png", box, point)], new):
        (photos / "export.json").write_text(json.dumps(tasks))
        with contextlib.suppress(UserError):
            open_dataset(f"labelstudio:{photos}/export.json", "train")
    record = json.loads(labelme("a.png", ("point", "nose", 1, [[1, 2]]), ("rectangle", "cow", 1, [[0, 0], [1, 2]])))
    for changed in spoiled(record, new):
        (photos / "a.json").write_text(json.dumps(changed))
        with contextlib.suppress(UserError):
            open_dataset(f"labelme:{photos}", "train")


@pytest.mark.parametrize("new", ["", "x", "nan", "1e999", "-1", "1,2;3", "/a", "1,1,1,1\n"], ids=repr)
def test_whatever_stands_in_a_table_or_attribute(dlc: Path, yolo: Path, new: str) -> None:
    for place in range(DLC.count(",")):
        cells = DLC.split(",")
        cells[place] = new
        (dlc / "labeled-data/run/CollectedData_anna.csv").write_text(",".join(cells))
        with contextlib.suppress(UserError):
            open_dataset(f"dlc:{dlc}", "train")
    for place in range(1, CVAT.count('"'), 2):
        parts = CVAT.split('"')
        parts[place] = new
        with contextlib.suppress(UserError):
            open_dataset(cvat(dlc, '"'.join(parts)), "train")
    for line in YAML.splitlines():
        (yolo / "data.yaml").write_text(YAML.replace(line, line.partition(":")[0] + ": " + new))
        with contextlib.suppress(UserError):
            open_dataset(f"yolo:{yolo}/data.yaml", "train")


def test_yolo_looks_nowhere_else(yolo: Path) -> None:
    for place in ("/", "..", "../.."):
        (yolo / "data.yaml").write_text(YAML.replace("train: images/train", f"train: {place}"))
        assert "is not below" in error_of(f"yolo:{yolo}/data.yaml")


# -------------------------------------------------------------------------------------------------- convert


@pytest.mark.parametrize("to", ["coco", "csv"])
@pytest.mark.parametrize("tool", ["dlc", "lightning", "labelme", "cvat", "labelstudio", "yolo"])
def test_round_trip(request: pytest.FixtureRequest, tmp_path: Path, tool: str, to: str) -> None:
    """Points, boxes, splits and pairs, through our formats and back, to 0.01 pixel."""
    folder: Path = request.getfixturevalue({"dlc": "dlc", "lightning": "dlc", "yolo": "yolo"}.get(tool, "photos"))
    if tool == "lightning":
        (folder / "CollectedData.csv").write_text(DLC)
    spec = {
        "dlc": f"dlc:{folder}",
        "lightning": f"lightning:{folder}/CollectedData.csv",
        "labelme": f"labelme:{folder}",
        "cvat": cvat(folder, CVAT) if tool == "cvat" else "",
        "labelstudio": label_studio(folder, task(1, "a.png", region("keypointlabels", "nose", 100 / 3, 12.345)))
        if tool == "labelstudio"
        else "",
        "yolo": f"yolo:{folder}/data.yaml",
    }[tool]
    out = tmp_path / f"out.{to}"
    assert command.main(["convert", spec, "--to", to, "--out", str(out), "--quiet"]) == 0
    for split in ("train", "test") if tool == "yolo" else ("train",):
        before, after = own(spec, split), own(f"{to}:{out}?images={before_folder(spec)}", split)
        assert after.skeleton.keypoints == before.skeleton.keypoints
        assert (after.skeleton.flip_pairs, after.skeleton.flips) == (before.skeleton.flip_pairs, before.skeleton.flips)
        assert after.labels.files == before.labels.files
        assert np.array_equal(after.labels.labelled, before.labels.labelled)
        for index in range(len(before)):
            a, b = before.sample(index), after.sample(index)
            np.testing.assert_allclose(b.keypoints, a.keypoints, atol=0.01)
            np.testing.assert_allclose((*b.center, b.side, b.area), (*a.center, a.side, a.area), atol=0.01)


def before_folder(spec: str) -> Path:
    return own(spec).folder


def test_convert_says_what_it_left_out_and_overwrites_nothing(
    photos: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(photos)
    assert command.main(["convert", "labelme:.", "--to", "coco"]) == 0
    assert "3 samples, to be read as 'coco:labels.json?images=.'" in capsys.readouterr().out
    for name in ("labels.json", "labels.toml"):
        (photos / name).unlink()
    (photos / "c.json").write_text("[]")
    assert command.main(["convert", "labelme:.", "--to", "csv"]) == 0
    printed = capsys.readouterr().out
    assert "c.json: is no file of labelme" in printed
    assert "a shape of the type 'polygon'" in printed
    assert "3 samples, to be read as 'csv:labels.csv?images=.'" in printed
    assert len(own("csv:labels.csv?images=.")) == 3
    assert command.main(["convert", "labelme:.", "--to", "csv"]) == 2
    assert "labels.csv is there already" in capsys.readouterr().err
    for number in ("a.json", "sub/b.json"):
        text = (photos / number).read_text()
        (photos / number).write_text(text.replace('"imageWidth": 60', '"imageWidth": 61'))
    assert command.main(["convert", "labelme:.", "--to", "csv", "--out", "x.csv"]) == 3
    assert "nothing is left to write; the first reason: c.json: is no file of labelme" in capsys.readouterr().err
    assert command.main(["convert", "labelme:.?rescale=yes", "--to", "csv", "--out", "x.toml"]) == 2
    assert "choose another --out" in capsys.readouterr().err
    assert not list(photos.glob("x.*"))
    assert command.main(["convert", "synthetic?length=2", "--to", "csv", "--out", "x.csv"]) == 2
    assert "only labels of coco, csv, dlc" in capsys.readouterr().err
