"""Drawings of graphs: where boxes lie, what the tape of autograd says, and how networks hang together."""

import json
import re
from itertools import combinations, pairwise
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from hbcore import Tensor, no_grad, save_model
from hbcore.binary.signs import sign
from hbcore.inspect import __main__ as entry
from hbcore.inspect.documents.graph import graph
from hbcore.inspect.documents.layered import APART, Box, _apart, drawn
from hbcore.inspect.documents.tape import Tape, written
from hbcore.inspect.subject import Subject
from tests.command_lines import Outcome
from tests.hbcore.inspect.models import HEADER, model

SVG = "{http://www.w3.org/2000/svg}"


def boxes_of(svg):
    """(first line, left, top, right, bottom) of every box."""
    root = ElementTree.fromstring(svg)
    rectangles = [box for box in root.iter(f"{SVG}rect") if box.get("class") != "paper"]
    lines = list(root.iter(f"{SVG}text"))
    found = []
    for box in rectangles:
        left, top, width, height = (float(box.get(key)) for key in ("x", "y", "width", "height"))
        inside = [
            t.text for t in lines if left < float(t.get("x")) < left + width and top < float(t.get("y")) < top + height
        ]
        found.append((inside, left, top, left + width, top + height))
    return found


def test_boxes_are_below_what_leads_to_them_and_never_overlap():
    """A diamond with a long way round: a -> b -> c -> d, a -> d, and e alone."""
    names = {name: Box((name, "second line")) for name in "abcde"}
    svg = drawn(names, [("a", "b"), ("b", "c"), ("c", "d"), ("a", "d")], "a < b")
    found = {inside[0]: place for inside, *place in boxes_of(svg)}
    assert found.keys() == set("abcde")
    assert all(found[upper][3] < found[lower][1] for upper, lower in pairwise("abcd"))
    assert found["e"][1] == found["a"][1]
    for one, other in combinations(found.values(), 2):
        assert one[2] < other[0] or other[2] < one[0] or one[3] < other[1] or other[3] < one[1]
    paths = [path for path in ElementTree.fromstring(svg).iter(f"{SVG}path") if path.get("marker-end")]
    assert len(paths) == 4
    assert ElementTree.fromstring(svg).find(f"{SVG}title").text == "a < b"


def test_a_long_arrow_goes_around_boxes():
    """Its way through the rows of b and c is beside them."""
    svg = drawn({name: Box((name * 9,)) for name in "abcd"}, [("a", "b"), ("b", "c"), ("c", "d"), ("a", "d")], "")
    places = {inside[0][0]: place for inside, *place in boxes_of(svg)}
    longest = max(re.findall(r'd="(M[^"]*)"', svg), key=len)
    numbers = [float(number) for number in re.findall(r"-?[\d.]+", longest)]
    through = list(zip(numbers[0::2], numbers[1::2], strict=True))[3:-1:3]
    for (x, _), name in zip(through, "bc", strict=True):
        left, _, right, _ = places[name]
        assert not left <= x <= right


def test_wishes_are_met_as_nearly_as_they_can_be():
    """Two of width 10 that wish the same place share the way; a third far off has what it wants."""
    assert _apart([100, 100, 300], [10, 10, 10]) == [100 - (10 + APART) / 2, 100 + (10 + APART) / 2, 300]
    assert _apart([50, 0], [10, 10]) == [25 - (10 + APART) / 2, 25 + (10 + APART) / 2]


def test_what_is_no_graph_is_refused():
    names = {"a": Box(("a",)), "b": Box(("b",))}
    with pytest.raises(ValueError, match="a circle has no rows"):
        drawn(names, [("a", "b"), ("b", "a")], "")
    with pytest.raises(ValueError, match="one of them is not there"):
        drawn(names, [("a", "c")], "")


def test_a_tape_before_and_after():
    """y = relu(x w) + sign(w), summed: dy/dw is x where the product is positive, and 1 where the sign lets through."""
    x, w = (Tensor(numbers, requires_grad=True) for numbers in ([1.0, -2, 3], [0.5, 0.25, -1]))
    product = x * w
    y = (product.relu() + sign(w)).sum()
    tape = Tape(y, x=x, w=w, product=product)
    before = {inside[0]: inside[1:] for inside, *_ in boxes_of(tape.svg())}
    assert before["x"] == ["  [1 -2 3]"]
    assert before["product = Multiply"] == ["  [0.5 -0.5 -3]"]
    assert before["result = Sum"] == ["  1.5"]
    assert before["Rectifier"] == []
    y.backward()
    after = {inside[0]: inside[1:] for inside, *_ in boxes_of(tape.svg())}
    assert after["w"] == ["  [0.5 0.25 -1]", "d [2 1 0]"]
    assert after["x"] == ["  [1 -2 3]", "d [0.5 0 0]"]
    assert after["product = Multiply"] == ["  [0.5 -0.5 -3]", "d [1 0 0]"]
    assert after["Rectifier"] == ["d [1 1 1]"]
    assert after["result = Sum"] == ["  1.5", "d 1"]


def test_a_tape_changes_no_gradient():
    network, picture = model().train(), np.random.default_rng(2).random((1, 32, 32, 3), dtype=np.float32)
    found = []
    for watched in (False, True):
        network.zero_grad()
        end = network(Tensor(picture))[-1]
        loss = (end * end).mean()
        tape = Tape(loss) if watched else None
        loss.backward()
        found.append({name: parameter.grad for name, parameter in network.named_parameters()})
    assert all(np.array_equal(found[0][name], found[1][name]) for name in found[0])
    assert len(boxes_of(tape.svg())) == len(tape.order)


def test_a_tape_needs_a_graph():
    x, other = (Tensor([1.0], requires_grad=True) for _ in range(2))
    with no_grad(), pytest.raises(ValueError, match="this tensor has no graph"):
        Tape(x * x)
    with pytest.raises(ValueError, match="other is not in the graph"):
        Tape(x * x, other=other)


def test_many_numbers_are_a_shape_and_a_size():
    assert written(np.full((2, 4), 3.0)) == "2x4, rms 3"
    assert written(np.array(2.5)) == "2.5"


@pytest.mark.parametrize(
    "architecture",
    [{}, {"block": "bottleneck", "stacks": 2}, {"hourglass": "improved", "depth": 2}, {"cardinality": 2}],
)
def test_a_network_hangs_together(architecture):
    """Everything is on a way from the picture to the maps; every sum has its two arrows, and a block as many as its
    paths."""
    save_model(model(**architecture), "m.safetensors", HEADER)
    subject = Subject.read("m.safetensors")
    for detail in ("blocks", "layers"):
        boxes, arrows = graph(subject, detail)
        into = {key: sum(end == key for _, end in arrows) for key in boxes}
        out_of = {key: sum(start == key for start, _ in arrows) for key in boxes}
        names = {key: box.lines[0] for key, box in boxes.items()}
        assert [names[key] for key in boxes if not into[key]] == ["picture"]
        ends = [names[key] for key in boxes if not out_of[key]]
        assert ends == [f"maps of stack {n}" for n in range(1, subject.network.architecture["stacks"] + 1)]
        assert all(into[key] == 2 for key in boxes if names[key] == "Add")
    known = {name.replace("modules.", "") for name, _ in subject.network.named_modules()}
    assert {box.lines[0] for box in boxes.values() if "." in box.lines[0]} <= known


def test_an_hourglass_of_depth_one():
    """The picture, 7 of the stem; a skip block, pooling, 3 blocks, doubling, a sum; block, unit, norm, ReLU; maps."""
    save_model(model(), "m.safetensors", HEADER)
    boxes, arrows = graph(Subject.read("m.safetensors"), "blocks")
    assert len(boxes) == 1 + 7 + 7 + 5 + 1
    assert len(arrows) == len(boxes)  # a chain has one arrow less than boxes; the branch adds one
    kinds = {box.lines[0]: box.kind for box in boxes.values()}
    assert (kinds["stem.0"], kinds["hourglasses.0.up1"], kinds["stem.1"]) == ("real", "bits", "plain")


def test_the_command(capsys):
    save_model(model(), "m.safetensors", HEADER)
    said = Outcome(entry.main, capsys, "graph", "m.safetensors", "--detail", "layers", "--json")
    assert len(json.loads(said.out)["boxes"]) == len(boxes_of(Path("network.svg").read_text(encoding="utf-8")))
    Outcome(entry.main, capsys, "graph", "m.safetensors").fails(5, "network.svg: is there already")
