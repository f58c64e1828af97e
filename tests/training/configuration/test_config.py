import dataclasses
import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hbcore.nn.architecture import HOURGLASSES
from hbcore.nn.blocks import BLOCKS
from hbcore.nn.layers import ACTIVATIONS, BINARIZE, POOLS
from training.configuration.effects import without_effect
from training.configuration.settings import Augment, Config, Data, Model, Optim, Run, schema
from training.configuration.toml import describe, from_toml, load, to_toml
from training.configuration.values import differences, from_dict, override, to_dict
from training.errors import UserError
from training.pictures.augmentation import Augmentation
from training.runs.run import augmentation

quick = settings(deadline=None, derandomize=True, max_examples=50)

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
counts = st.integers(1, 10**12)
shares = st.floats(0, 1)
positive = st.floats(0, 1e300, exclude_min=True)


@st.composite
def configs(draw: st.DrawFn) -> Config:
    depth = draw(st.integers(1, 6))
    size = (4 << depth) * draw(st.integers(2, 1024 // (4 << depth)))
    return Config(
        model=Model(
            features=16 * draw(st.integers(1, 64)),
            depth=depth,
            block=draw(st.sampled_from(["hpm", "bottleneck"])),
            binary=draw(st.booleans()),
            joints=draw(st.none() | counts),
        ),
        data=Data(
            train=tuple(draw(st.lists(texts, min_size=1, max_size=3))),
            test=tuple(draw(st.lists(texts, max_size=2))),
            size=size,
            sigma=draw(st.floats(0.5, min(16, size / 16))),
            limit=draw(st.none() | counts),
        ),
        augment=Augment(flip=draw(shares), rotate=draw(st.floats(0, 180))),
        optim=Optim(lr=draw(positive), milestones=tuple(draw(st.lists(shares, max_size=3)))),
        run=Run(
            out=draw(texts.filter(bool)), seed=draw(st.integers(0, 2**63 - 1)), stop_after=draw(st.none() | counts)
        ),
    )


@quick
@given(configs())
def test_round_trips_are_exact(made: Config) -> None:
    assert from_toml(to_toml(made)) == made
    assert from_dict(to_dict(made)) == made
    assert from_dict(json.loads(json.dumps(to_dict(made)))) == made
    assert differences(made, made) == []


@quick
@given(configs(), configs())
def test_differences_name_exactly_what_changed(a: Config, b: Config) -> None:
    names = {line.partition(": ")[0] for line in differences(a, b)}
    expected = {
        f"{section}.{key}"
        for section, table in dataclasses.asdict(a).items()
        for key in table
        if getattr(getattr(a, section), key) != getattr(getattr(b, section), key)
    }
    assert names == expected


def test_differences_read_as_toml() -> None:
    other = override(Config(), ["optim.lr=0.002", "data.train=lsp:x", "data.limit=5"])
    assert differences(Config(), other) == [
        'data.train: ["synthetic"] -> ["lsp:x"]',
        'data.limit: "none" -> 5',
        "optim.lr: 0.02 -> 0.002",
    ]


def test_describe_is_a_file_of_defaults_with_help_for_every_key() -> None:
    text = describe()
    assert from_toml(text) == Config()
    lines = text.splitlines()
    tables = tomllib.loads(text)
    assert list(tables) == ["model", "data", "augment", "optim", "technique", "run"]
    for section in dataclasses.fields(Config):
        keys = [key.name for key in dataclasses.fields(getattr(Config(), section.name))]
        assert list(tables[section.name]) == keys
        for key in keys:
            place = next(i for i, line in enumerate(lines) if line.startswith(f"{key} = "))
            assert lines[place - 1].startswith("# ")
    assert "# Learning rate at its highest. (a number > 0)" in lines
    assert '# The optimizer. (one of "adam", "rmsprop", "sgd")' in lines
    assert "# Channels of the trunk. (a whole number >= 16, <= 1024, a multiple of 16)" in lines
    assert max(map(len, lines)) <= 120


def test_sections_are_named_as_their_classes() -> None:
    """Messages take the section's name from its class."""
    for section in dataclasses.fields(Config):
        assert type(getattr(Config(), section.name)).__name__.lower() == section.name


def test_a_file_needs_to_name_only_what_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "pose.toml"
    path.write_text("[optim]\nlr = 1\nmilestones = [0.5, 1]\n[model]\nbinary = false\n")
    loaded = load(path)
    assert loaded == Config(model=Model(binary=False), optim=Optim(lr=1.0, milestones=(0.5, 1.0)))
    assert type(loaded.optim.lr) is float
    assert all(type(x) is float for x in loaded.optim.milestones)


def test_precedence_is_defaults_then_file_then_set(tmp_path: Path) -> None:
    path = tmp_path / "pose.toml"
    path.write_text("[optim]\nlr = 0.5\nsteps = 7\n")
    both = override(load(path), ["optim.steps=9", "optim.steps=11"])
    assert (both.optim.lr, both.optim.steps, both.optim.batch_size) == (0.5, 11, Optim().batch_size)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[model]\nfeatuers = 64", "unknown setting model.featuers: did you mean model.features?"),
        ("[model]\nlr = 0.1", "unknown setting model.lr: did you mean optim.lr?"),
        ("lr = 0.1", "unknown setting lr: did you mean optim.lr?"),
        ("[optm]\nlr = 0.1", "unknown setting optm: did you mean optim?"),
        ("[data]\nqqqq = 1", "unknown setting data.qqqq: the keys of data are train, test, times, size,"),
        ("[zzzz]\nqqqq = 1", "the sections are model, data, augment, optim, technique, run"),
        ("[data.size]\nx = 1", "data.size = {'x': 1} is not allowed"),
        ("model = 3", "model is a section, not a setting"),
        ("[optim]\nsteps = 1e4", "optim.steps = 10000.0 is not allowed: it must be a whole number >= 1"),
        ("[optim]\nsteps = true", "optim.steps = true is not allowed"),
        ("[optim]\nlr = 0", "optim.lr = 0 is not allowed: it must be a number > 0"),
        ("[optim]\nlr = nan", "optim.lr = nan is not allowed"),
        ("[optim]\nlr = inf", "optim.lr = inf is not allowed"),
        ('[optim]\nlr = "0.1"', 'optim.lr = "0.1" is not allowed'),
        ("[optim]\nlr = 1" + "0" * 400, "optim.lr = 1000"),
        ("[optim]\nmilestones = 0.5", "it must be a list, each item a number >= 0, <= 1"),
        ("[optim]\nmilestones = [0.5, 2]", "optim.milestones = [0.5, 2] is not allowed"),
        ('[optim]\nname = "adma"', 'it must be one of "adam", "rmsprop", "sgd"'),
        ("[model]\nbinary = 1", "model.binary = 1 is not allowed: it must be true or false"),
        ("[model]\nfeatures = 66", "it must be a whole number >= 16, <= 1024, a multiple of 16"),
        ("[model]\njoints = 0", 'it must be a whole number >= 1, or "none"'),
        ('[optim]\nsteps = "none"', 'optim.steps = "none" is not allowed'),
        ("[data]\ntrain = []", "data.train = [] is not allowed"),
        (
            "[data]\nsize = 96",
            "data.size = 96 is not allowed: it must be a multiple of 64 with model.depth = 4",
        ),
        ("[run]\nout = 3", "run.out = 3 is not allowed: it must be a text"),
        ('[run]\nout = ""', 'run.out = "" is not allowed'),
        ("[run\nout = 3", "is not TOML"),
        ("[run]\nseed = " + "9" * 5000, "is not TOML"),
        ("a = " + "[" * 100_000, "is not TOML"),
    ],
)
def test_mistakes_are_named_with_file_key_and_remedy(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(UserError) as caught:
        load(path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_that_are_no_configuration(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere\.toml: No such file"):
        load(tmp_path / "nowhere.toml")
    with pytest.raises(UserError, match="Is a directory"):
        load(tmp_path)
    (tmp_path / "latin.toml").write_bytes(b'[run]\nout = "\xe9"\n')
    with pytest.raises(UserError, match=r"latin\.toml is not TOML: not UTF-8"):
        load(tmp_path / "latin.toml")


def test_a_byte_order_mark_and_windows_line_ends_are_read(tmp_path: Path) -> None:
    path = tmp_path / "notepad.toml"
    path.write_bytes(b"\xef\xbb\xbf[run]\r\nseed = 7\r\n")
    assert load(path).run.seed == 7


@pytest.mark.parametrize(
    ("assignment", "section", "key", "value"),
    [
        ("optim.lr=1e-3", "optim", "lr", 1e-3),
        (" optim.batch-size = 4 ", "optim", "batch_size", 4),
        ("model.binary=false", "model", "binary", False),
        ("model.block=bottleneck", "model", "block", "bottleneck"),
        ('model.block="bottleneck"', "model", "block", "bottleneck"),
        ("model.joints=none", "model", "joints", None),
        ("data.limit=100", "data", "limit", 100),
        ("run.out=runs/a=b", "run", "out", "runs/a=b"),
        ("run.out=2026-11-24", "run", "out", "2026-11-24"),
        ("run.out=7", "run", "out", "7"),
        ("run.out=1\nx = 2", "run", "out", "1\nx = 2"),
        ("data.train=lsp:../data/lsp", "data", "train", ("lsp:../data/lsp",)),
        ('data.train=["lsp:a", "lspet:b"]', "data", "train", ("lsp:a", "lspet:b")),
        ("optim.milestones=0.5", "optim", "milestones", (0.5,)),
        ("optim.milestones=[]", "optim", "milestones", ()),
    ],
)
def test_set_takes_toml_or_bare_words(assignment: str, section: str, key: str, value: Any) -> None:
    changed = override(Config(), [assignment])
    assert getattr(getattr(changed, section), key) == value
    assert len(differences(Config(), changed)) == (value != getattr(getattr(Config(), section), key))


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("optim.lr", "write section.key=value"),
        ("optim.lrr=1", r"unknown setting optim\.lrr: did you mean optim\.lr\?"),
        ("model.seed=1", r"did you mean run\.seed\?"),
        ("lr=1", r"did you mean optim\.lr\?"),
        ("=1", "unknown setting"),
        ("model=1", "model is a section, not a setting: its keys are features"),
        ("optim.lr=fast", r'optim\.lr = "fast" is not allowed'),
        ("run.out=\udc80", "it must be a text"),
    ],
)
def test_set_mistakes(assignment: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        override(Config(), [assignment])


def test_settings_that_depend_on_each_other_change_together() -> None:
    """Neither of the two is allowed alone, in no order."""
    changed = override(Config(), ["data.size=480", "model.depth=3"])
    assert (changed.data.size, changed.model.depth) == (480, 3)
    for alone in ("data.size=480", "data.size=96"):
        with pytest.raises(UserError, match=r"multiple of 64 with model\.depth = 4"):
            override(Config(), [alone])


@pytest.mark.parametrize(
    ("assignments", "message"),
    [
        ("block=wider layers=4", r"model\.layers = 4 and model\.cardinality = 1 are choices of model\.block = 'hpm'"),
        ("cardinality=16", r"model\.layers = 3 and model\.cardinality = 16 need a multiple of 128"),
        ("binary=false activation=relu", r"model\.activation = 'relu' is a choice of binary networks"),
        ("binary=false binarize=weights", r"model\.binarize = 'weights' is a choice of binary networks"),
        ("binary=false binary_ends=true", r"model\.binary_ends = True is a choice of binary networks"),
        ("binary=false real_lin=true", r"model\.real_lin = True is a choice of binary networks"),
        ("binary_ends=true real_lin=true", r"model\.real_lin = True contradicts model\.binary_ends = True"),
        ("binary_ends=true real_skip=true", r"model\.real_skip = True contradicts model\.binary_ends = True"),
        ("features=64 stem=72", r"model\.stem = 72 must be at most model\.features = 64"),
        ("stem=12", r"model\.stem = 12 is not allowed: it must be .*multiple of 8"),
        ("binary=false scale=false", r"model\.scale = False is a choice of binary networks"),
        ("binarize=activations scale=false", r"model\.scale = false is of binary weights"),
        ("block=resnet", r'model\.block = "resnet" is not allowed: it must be one of "bottleneck", "wider"'),
        ("hourglass=best", r'model\.hourglass = "best" is not allowed: it must be one of "plain", "improved"'),
    ],
)
def test_contradictory_networks_are_refused(assignments: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        override(Config(), [f"model.{assignment}" for assignment in assignments.split()])


@pytest.mark.parametrize(
    ("assignments", "message"),
    [
        (
            ["technique.real_weights=1"],
            r"technique\.real_weights = 1 is not allowed: it must be a number >= 0, <= 0\.99",
        ),
        (["technique.smooth=1"], r"technique\.smooth = 1 is not allowed"),
        (["technique.real_weights=0.5", "model.binary=false"], r"technique\.real_weights needs model\.binary = true"),
        (["technique.real_weights=0.5", "model.binarize=weights"], r'needs model\.binary = true and .* = "both"'),
        (["technique.real_weights=0.5", "model.binarize=activations"], r"technique\.real_weights needs"),
        (["technique.sharpness=[1, 9]", "model.binary=false"], r"technique\.sharpness needs binary activations"),
        (["technique.sharpness=[1, 9]", "model.binarize=weights"], r"technique\.sharpness needs binary activations"),
        (["technique.sharpness=[9, 1]"], r"technique\.sharpness = \[9\.0, 1\.0\] is not allowed: give two numbers"),
        (["technique.sharpness=3"], r"technique\.sharpness = \[3\.0\] is not allowed: give two numbers that rise"),
        (["technique.sharpness=[0, 1]"], r"technique\.sharpness = \[0, 1\] is not allowed"),
        (["technique.teacher=x.safetensors"], "technique.teacher and technique.distill go together"),
        (["technique.distill=1"], "technique.teacher and technique.distill go together"),
    ],
)
def test_techniques_that_make_no_sense_are_refused(assignments: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        override(Config(), assignments)


def test_multi_scale_blocks_halve_the_map_once_more() -> None:
    override(Config(), ["data.size=64"])
    with pytest.raises(UserError, match=r'multiple of 128 with model\.depth = 4, model\.block = "multiscale"'):
        override(Config(), ["data.size=64", "model.block=multiscale"])


def test_names_are_those_of_the_library() -> None:
    choices = {key: setting.choices for key, setting in schema()["model"].items() if setting.choices}
    known = {
        "block": BLOCKS, "hourglass": HOURGLASSES, "pool": POOLS, "binarize": BINARIZE, "activation": ACTIVATIONS,
    }  # fmt: skip
    assert choices == {key: tuple(names) for key, names in known.items()}


def test_made_in_python_a_section_is_checked_as_well() -> None:
    with pytest.raises(UserError, match=r"optim\.lr = -1 is not allowed"):
        Optim(lr=-1)
    with pytest.raises(UserError, match=r"run\.seed = -1 is not allowed"):
        dataclasses.replace(Run(), seed=-1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        Run().seed = 3  # type: ignore[misc]


def test_augment_settings_are_those_of_the_augmentation() -> None:
    widest = Augment(flip=1, rotate=180, scale=2, shift=1, colour=1, erase=1, mirror_shift=0.5)
    for section in (Augment(), widest):
        assert augmentation(Config(augment=section)) == Augmentation(
            section.flip,
            section.rotate,
            section.scale,
            section.shift,
            section.colour,
            section.erase,
            section.mirror_shift,
        )
    off = dataclasses.replace(widest, enabled=False)
    assert augmentation(Config(augment=off)) == Augmentation(0, 0, 0, 0, 0, 0)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=5,
)
keys = [(section, key) for section, table in to_dict(Config()).items() for key in table]


def read_or_refuse(read: Callable[[], Config]) -> Config | UserError:
    try:
        return read()
    except UserError as error:
        return error


@quick
@given(st.sampled_from(keys), values)
def test_any_value_is_taken_or_refused_by_name(name: tuple[str, str], value: Any) -> None:
    section, key = name
    result = read_or_refuse(lambda: from_dict({section: {key: value}}))
    if isinstance(result, Config):
        assert from_toml(to_toml(result)) == result
    else:
        assert f"{section}.{key}" in str(result)


@quick
@given(st.text(), st.sampled_from(keys))
def test_no_text_breaks_the_readers(text: str, name: tuple[str, str]) -> None:
    read_or_refuse(lambda: from_toml(text))
    read_or_refuse(lambda: override(Config(), [text]))
    read_or_refuse(lambda: override(Config(), [f"{'.'.join(name)}={text}"]))


@pytest.mark.parametrize(
    ("assignments", "expected"),
    [
        ((), []),
        (("optim.milestones=0.5", "optim.schedule=step", "optim.decay=0.5"), []),
        (("optim.milestones=0.5",), ['optim.milestones = [0.5] has no effect: optim.schedule is "cosine"']),
        (("optim.decay=0.5",), ['optim.decay = 0.5 has no effect: optim.schedule is "cosine"']),
        (("run.patience=1", "optim.steps=3000"), []),  # evaluations at 750, 1500 (the earliest end), 2250 and 3000
        (("run.patience=3", "optim.steps=3000"), ["run.patience = 3 has no effect: there are 4 evaluations"]),
        (("run.stop_after=2251",), ["run.stop_after = 2251 has no effect: the run ends before"]),
        (("run.stop_after=2250",), []),
        (("technique.smooth=0.1",), ["technique.smooth = 0.1 has no effect: technique.sharpness is empty"]),
        (("data.max_bad=0.5", "data.bad_pictures=error"), ["data.max_bad = 0.5 has no effect"]),
        (("model.binary=false", "optim.gradients=float32"), ['optim.gradients = "float32" has no effect']),
        (("model.binarize=activations", "model.center_weights=true"), ["model.center_weights = true has no effect"]),
        (("model.binarize=activations", "model.clamp_weights=false"), ["model.clamp_weights = false has no effect"]),
        (
            ("augment.mirror_shift=0.1", "augment.flip=0"),
            ["augment.mirror_shift = 0.1 has no effect: augment.flip is 0"],
        ),
        (("augment.mirror_shift=0.1",), []),
        (
            ("model.real_skip=true", "model.stem=64", "model.features=64"),
            ["model.real_skip = true has no effect: model.stem is as wide as model.features"],
        ),
        (("model.real_skip=true", "model.stem=64", "model.features=64", "model.hourglass=improved"), []),
        (("data.sigma=2",), ["data.sigma = 2.0 has no effect: there is no such thing in this task"]),
        (("optim.steps=50",), ["optim.warmup = 60 steps of 50: the learning rate does not reach optim.lr = 0.02"]),
        (("optim.steps=61",), []),
        (("optim.steps=50", "optim.warmup=5"), []),
    ],
)
def test_what_has_no_effect_is_said(assignments: tuple[str, ...], expected: list[str]) -> None:
    lines = list(without_effect(override(Config(), assignments), Config(), ("data.sigma",)))
    assert len(lines) == len(expected)
    assert all(line.startswith(f"warning: {start}") for line, start in zip(lines, expected, strict=True))
