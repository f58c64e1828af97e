"""CVAT for images 1.1: one XML file with all pictures.

A skeleton is an instance, its elements are points by their labels. Without skeletons, points of one place each are
named by their labels and put together by group_id, and points of several places are an instance of numbered ones. A box
with the group_id of an instance is its box. What is outside is not labelled. CVAT shows pictures upright, and its
coordinates are continuous, with the picture's corner at (0, 0): half a pixel is taken off.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn
from xml.parsers import expat

from training.datasets.annotations import check_file
from training.datasets.own.content import BadRecord, Content, Contradiction, Instance, Remark, Size, Trouble, checked
from training.datasets.own.fitting import told_size
from training.datasets.own.label_file import LabelFile
from training.datasets.own.tools.shapes import Shapes, centred, chosen, content, corners
from training.errors import DataError


@dataclass(frozen=True)
class _Element:
    tag: str
    attributes: dict[str, str]
    children: list[_Element] = field(default_factory=list)


def read_cvat(label_file: LabelFile, category: str | None = None) -> Content:
    """All that `label_file.path` says; `category` is the label to take where skeletons of several have other points.

    A picture or skeleton that cannot be read is left out as a bad record. Raises DataError for a file that is no such
    XML, and for one that declares entities, which could grow without end.
    """
    path = label_file.path
    top = _parse(path)
    if top.tag != "annotations" or any(child.tag == "track" for child in top.children):
        raise DataError(f"{path}: is not CVAT for images: export the task in the format 'CVAT for images 1.1'")
    trouble = Trouble()
    images = [child for child in top.children if child.tag == "image"]
    skeletons = any(shape.tag == "skeleton" for image in images for shape in image.children)
    single = all(
        len(_split(shape)) == 1 for image in images for shape in image.children if shape.tag == "points"
    )  # so that each label is the name of a point
    instances: list[Instance] = []
    declared: dict[str, dict[str, None]] = {}  # the points of each label
    names: set[str] = set()
    sizes: dict[str, Size] = {}
    for number, image in enumerate(images):
        where = f"{path}: image {_whole(image.attributes.get('id')) or number}"
        try:
            picture = label_file.picture(image.attributes.get("name"), f"{where}: name")
            if picture in names:
                raise Contradiction(f"{where}: {picture} occurs twice")
        except DataError as error:
            trouble.skip(error, where)
            continue
        names.add(picture)
        if size := told_size(*(_whole(image.attributes.get(key)) for key in ("width", "height"))):
            sizes[picture] = size
        reader = _Picture(picture, f"{where} ({picture})", image, trouble, declared)
        if skeletons:
            instances += reader.skeletons()
        else:
            instances += reader.grouped() if single else reader.numbered()
    if not skeletons and not single:
        instances = _complete(instances, declared, str(path), trouble)
    instances, points = chosen(instances, category, str(path), declared)
    return content(label_file, instances, trouble, sorted(names), sizes, points)


def _complete(
    instances: list[Instance], declared: dict[str, dict[str, None]], where: str, trouble: Trouble
) -> list[Instance]:
    """Those with as many points as most of their label; of others nobody knows which number was left out."""
    found = []
    for label in declared:
        counts = Counter(len(instance.points) for instance in instances if instance.category == label)
        usual = counts.most_common(1)[0][0] if counts else 0
        declared[label] = {str(number): None for number in range(1, usual + 1)}
        for instance in instances:
            if instance.category == label and len(instance.points) != usual:
                text = f"{len(instance.points)} points, where most of {label!r} have {usual}"
                trouble.bad.append(BadRecord(f"{where}: {instance.name}", text, instance.picture))
            elif instance.category == label:
                found.append(instance)
    return found


@dataclass(frozen=True)
class _Picture:
    name: str
    where: str
    image: _Element
    trouble: Trouble
    declared: dict[str, dict[str, None]]

    def _declare(self, label: str, *names: str) -> None:
        self.declared.setdefault(label, {}).update(dict.fromkeys(names))

    def skeletons(self) -> list[Instance]:
        found = []
        boxes = self._boxes()
        for number, shape in enumerate(self.image.children, start=1):
            where = f"{self.where}: {shape.tag} {number}"
            if shape.tag != "skeleton":
                if shape.tag != "box":
                    self._ignore(shape.tag)
                continue
            try:
                points: dict[str, tuple[float, float]] = {}
                labels = [child.attributes.get("label", "") for child in shape.children if child.tag == "points"]
                self._declare(shape.attributes.get("label", ""), *labels)
                for child in shape.children:
                    name = child.attributes.get("label", "")
                    if child.tag != "points" or child.attributes.get("outside") == "1":
                        continue
                    if name in points:
                        raise DataError(f"{where}: {name!r} occurs twice")
                    (point,) = _places(child, f"{where}: {name}", 1)
                    points[name] = centred(*point)
                found.append(self._instance(shape, number, points, boxes, where))
            except DataError as error:
                self.trouble.skip(error, where, self.name)
        return found

    def numbered(self) -> list[Instance]:
        found = []
        boxes = self._boxes()
        for number, shape in enumerate(self.image.children, start=1):
            where = f"{self.where}: {shape.tag} {number}"
            if shape.tag == "points":
                try:
                    places = _places(shape, where)
                    self._declare(shape.attributes.get("label", ""))
                    points = {str(index): centred(*place) for index, place in enumerate(places, start=1)}
                    found.append(self._instance(shape, number, points, boxes, where))
                except DataError as error:
                    self.trouble.skip(error, where, self.name)
            elif shape.tag != "box":
                self._ignore(shape.tag)
        return found

    def grouped(self) -> list[Instance]:
        shapes = Shapes(self.name, self.where)
        for number, shape in enumerate(self.image.children, start=1):
            where = f"{self.where}: {shape.tag} {number}"
            try:
                if shape.tag == "points" and shape.attributes.get("outside") != "1":
                    (point,) = _places(shape, where, 1)
                    self._declare("", shape.attributes.get("label", ""))
                    shapes.add_point(_group(shape), shape.attributes.get("label", ""), *point)
                elif shape.tag == "box":
                    shapes.add_box(_group(shape), _box(shape, where))
                elif shape.tag != "points":
                    self._ignore(shape.tag)
            except DataError as error:
                self.trouble.skip(error, where, self.name)
        return shapes.instances(self.trouble)

    def _instance(
        self, shape: _Element, number: int, points: dict[str, Any], boxes: dict[str, Any], where: str
    ) -> Instance:
        category = shape.attributes.get("label", "")
        instance = Instance(self.name, f"{self.name}#{number}", points, category=category)
        if (group := _group(shape)) is not None and group in boxes:
            instance.box = boxes[group]
        return checked(instance, where)

    def _boxes(self) -> dict[str, tuple[float, float, float, float]]:
        """By their groups; those of no group belong to nobody."""
        found = {}
        for shape in self.image.children:
            if shape.tag == "box":
                group = _group(shape)
                if group is None:
                    self._ignore("box without a group")
                    continue
                try:
                    found[group] = _box(shape, self.where)
                except DataError as error:
                    self.trouble.skip(error, f"{self.where}: box of the group {group}", self.name)
        return found

    def _ignore(self, what: str) -> None:
        self.trouble.remarks.append(Remark("ignored", self.name, f"a shape of the type {what!r}", self.name))


def _group(shape: _Element) -> str | None:
    group = shape.attributes.get("group_id")
    return None if group in (None, "", "0") else group


def _box(shape: _Element, where: str) -> tuple[float, float, float, float]:
    x1, y1, x2, y2 = (_number(shape.attributes.get(key), f"{where}: {key}") for key in ("xtl", "ytl", "xbr", "ybr"))
    return corners(x1, y1, x2, y2)


def _split(shape: _Element) -> list[str]:
    return shape.attributes.get("points", "").split(";")


def _places(shape: _Element, where: str, count: int | None = None) -> list[tuple[float, float]]:
    """The points x,y;x,y of a shape, `count` of them if it is given."""
    pairs = [text.split(",") for text in _split(shape)]
    if any(len(pair) != 2 for pair in pairs) or (count is not None and len(pairs) != count):
        raise DataError(
            f"{where}: points should be {'x,y' if count == 1 else 'x,y;x,y'}, not {shape.attributes.get('points')!r}"
        )
    return [(_number(x, where), _number(y, where)) for x, y in pairs]


def _number(text: str | None, where: str) -> float:
    try:
        return float(text or "")
    except ValueError:
        raise DataError(f"{where}: {text!r} is not a number") from None


def _whole(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 9 else None


def _parse(path: Path) -> _Element:
    """The tree of an XML file. Raises DataError if it is none, or declares anything beside elements."""
    check_file(path)
    top = _Element("", {})
    stack = [top]

    def start(tag: str, attributes: dict[str, str]) -> None:
        element = _Element(tag, attributes)
        stack[-1].children.append(element)
        stack.append(element)
        if len(stack) > 50:
            raise DataError(f"{path}: elements are nested more than 50 times")

    def end(tag: str) -> None:
        stack.pop()

    def refuse(*_: object) -> NoReturn:
        raise DataError(f"{path}: declares a document type or entities, which no export of CVAT does")

    parser = expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = refuse
    try:
        parser.Parse(path.read_bytes(), True)
    except (expat.ExpatError, LookupError, ValueError) as error:  # an unknown encoding is a LookupError
        raise DataError(f"{path}: not an XML file that can be read ({error})") from None
    return top.children[0]
