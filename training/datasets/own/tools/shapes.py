"""Points and boxes that a tool draws one by one, put together to instances."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from training.datasets.own.content import Content, Instance, Point, Remark, Size, Trouble, checked, gathered, names_of
from training.datasets.own.label_file import LabelFile
from training.datasets.own.scheme import check_names, make_scheme
from training.errors import DataError, UserError, unknown

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Shapes:
    """The points and boxes of one picture, by the group that they belong to, None for what belongs to none.

    Points are continuous: (0, 0) is the picture's corner, so that the middle of the first pixel is (0.5, 0.5).
    """

    picture: str
    where: str
    points: dict[str | None, list[tuple[str, Point]]] = field(default_factory=dict)
    boxes: dict[str | None, list[Box]] = field(default_factory=dict)

    def add_point(self, group: str | None, name: str, x: float, y: float) -> None:
        self.points.setdefault(group, []).append((name, centred(x, y)))

    def add_box(self, group: str | None, box: Box) -> None:
        self.boxes.setdefault(group, []).append(box)

    def instances(self, trouble: Trouble) -> list[Instance]:
        """One for each group with points. One that names a point twice or has two boxes is left out as a bad record."""
        found = []
        for number, (group, points) in enumerate(self.points.items(), start=1):
            where = f"{self.where}: {f'group {group}' if group is not None else 'points without a group'}"
            boxes = self.boxes.get(group, [])
            try:
                name, count = Counter(name for name, _ in points).most_common(1)[0]
                if count > 1:
                    raise DataError(f"{where}: {name!r} occurs twice: give each instance a group of its own")
                if len(boxes) > 1 and group is not None:
                    raise DataError(f"{where}: has {len(boxes)} boxes")
                instance = Instance(self.picture, f"{self.picture}#{number if group is None else group}", dict(points))
                if len(boxes) == 1 and (group is not None or len(self.points) == 1):
                    instance.box = boxes[0]
                found.append(checked(instance, where))
            except DataError as error:
                trouble.skip(error, where, self.picture)
        lonely = sum(len(boxes) for group, boxes in self.boxes.items() if group not in self.points)
        several = len(self.boxes.get(None, [])) > 1 or (len(self.points) > 1 and None in self.boxes)
        if lonely or several:
            trouble.remarks.append(Remark("ignored", self.picture, "a box that belongs to no points", self.picture))
        return found


def centred(x: float, y: float) -> Point:
    """A continuous point of a picture in our convention, where integers are pixel centres."""
    return x - 0.5, y - 0.5


def corners(x1: float, y1: float, x2: float, y2: float) -> Box:
    """The box between two corners, continuous; ours begins at the centre of the first pixel: the same numbers."""
    return min(x1, x2), min(y1, y2), abs(x2 - x1), abs(y2 - y1)


def chosen(
    instances: list[Instance], category: str | None, where: str, declared: Mapping[str, Mapping[str, None]]
) -> tuple[list[Instance], list[str]]:
    """Those of a category, all where these are alike; and the names of their points, in the order that is declared.

    Raises UserError for a category that is not there or not named.
    """
    if category is not None and category not in declared:
        raise UserError(f"{where}: {unknown('category', category, declared)}")
    names = list(declared[category] if category is not None else next(iter(declared.values()), {}))
    if category is not None:
        return [instance for instance in instances if instance.category == category], names
    if any(set(others) != set(names) for others in declared.values()):
        raise UserError(f"{where}: several categories have points: choose one by ?category= {', '.join(declared)}")
    return instances, names


def content(
    label_file: LabelFile,
    instances: list[Instance],
    trouble: Trouble,
    pictures: Iterable[str],
    sizes: Mapping[str, Size],
    names: list[str] | None = None,
) -> Content:
    """What a tool's file says, of instances that are put together; `names` of the points if it tells their order."""
    where = str(label_file.path)
    names = names_of(instances, where) if names is None else names
    if not instances or not names:
        raise trouble.all_bad(f"{where}: has no labelled point")
    check_names(names, f"{where}: points")
    scheme = make_scheme(label_file.name, names, f"{where}: points", label_file.toml())
    return Content(scheme, gathered(instances, names), tuple(pictures), sizes=sizes, trouble=trouble)
