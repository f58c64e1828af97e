"""The configuration of a run: sections read from TOML, changed by `--set`, written back beside the run.

A setting is declared once, by its annotation: type, allowed values, help text. Reading, checking, writing and
documenting all work from these annotations, so a new setting is one new line. A section checks itself when it
is made: a `Config` that exists is valid. Precedence: defaults < file < `--set section.key=value`.
"""

import difflib
import json
import math
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Self, get_args, get_origin, get_type_hints

from hbcore.architecture import check_architecture, input_multiple
from training.errors import UserError


@dataclass(frozen=True)
class Limits:
    """Where a number may lie: `least <= x <= most`, `x > above`, `x` a multiple of `multiple`."""

    least: float = -math.inf
    most: float = math.inf
    above: float = -math.inf
    multiple: int = 0

    def admit(self, value: float) -> bool:
        """Whether `value` lies inside. Infinities and NaN never do."""
        inside = math.isfinite(value) and self.least <= value <= self.most and value > self.above
        return inside and (not self.multiple or value % self.multiple == 0)

    def __str__(self) -> str:
        bounds = ((">=", self.least), (">", self.above), ("<=", self.most))
        parts = [f"{sign} {bound}" for sign, bound in bounds if math.isfinite(bound)]
        parts += [f"a multiple of {self.multiple}"] if self.multiple else []
        return ", ".join(parts)


@dataclass(frozen=True)
class Setting:
    """What one key may hold: a `base`, or a list of them if `many`; also nothing if `optional`."""

    base: type[Any]
    many: bool
    optional: bool
    choices: tuple[str, ...]
    limits: Limits
    help: str

    @classmethod
    def read(cls, annotation: Any) -> Self:
        """The setting declared by `Annotated[type, Limits(...), "help"]`; the limits may be left out."""
        kind, *notes = get_args(annotation)
        optional = get_origin(kind) is UnionType
        if optional:
            (kind,) = set(get_args(kind)) - {NoneType}
        many = get_origin(kind) is tuple
        if many:
            kind = get_args(kind)[0]
        choices = get_args(kind) if get_origin(kind) is Literal else ()
        limits = next((note for note in notes if isinstance(note, Limits)), Limits())
        return cls(str if choices else kind, many, optional, choices, limits, notes[-1])

    def accept(self, value: Any) -> Any:
        """`value` as the setting holds it: a list becomes a tuple, a whole number a float if need be.

        Raises ValueError (or OverflowError) if the setting cannot hold it.
        """
        if self.optional and (value is None or value == "none"):
            return None
        if not self.many:
            return self._accept_one(value)
        if not isinstance(value, (list, tuple)):
            raise ValueError
        return tuple(self._accept_one(item) for item in value)

    def _accept_one(self, value: Any) -> Any:
        if self.base is float and type(value) is int:
            value = float(value)
        # The exact type: to isinstance a bool is an int, but `steps = true` is a slip.
        if type(value) is not self.base or (self.choices and value not in self.choices):
            raise ValueError
        if self.base in (int, float) and not self.limits.admit(value):
            raise ValueError
        if self.base is str:
            value.encode()  # UnicodeEncodeError: half a surrogate pair could not be written back
        return value

    def parse(self, text: str) -> Any:
        """The value meant by `--set key=text`: TOML, else a bare word. A list of one needs no brackets."""
        try:
            table = tomllib.loads(f"value = {text}")
            value = table["value"] if len(table) == 1 else text
        except ValueError:
            value = text
        if self.base is str and not isinstance(value, (str, list)):
            value = text  # 7 or 2026-11-24, meant as a name
        return [value] if self.many and not isinstance(value, list) else value

    def __str__(self) -> str:
        names = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}
        text = f"one of {', '.join(map(literal, self.choices))}" if self.choices else names[self.base]
        text = f"{text} {self.limits}".rstrip()
        return (f"a list, each item {text}" if self.many else text) + (', or "none"' if self.optional else "")


class Section:
    """Base of the sections: converts and checks every value. Raises UserError naming the key."""

    def __post_init__(self) -> None:
        section = type(self).__name__.lower()
        for key, setting in _schema()[section].items():
            value = getattr(self, key)
            try:
                object.__setattr__(self, key, setting.accept(value))
            except (ValueError, OverflowError):
                text = f"{section}.{key} = {literal(value)} is not allowed: it must be {setting}"
                raise UserError(text) from None


Share = Annotated[float, Limits(0, 1)]


@dataclass(frozen=True)
class Model(Section):
    """The network."""

    features: Annotated[int, Limits(16, 1024, multiple=16), "Channels of the trunk."] = 64
    stacks: Annotated[int, Limits(1, 16), "Hourglasses, one after the other."] = 1
    depth: Annotated[int, Limits(1, 6), "Levels of an hourglass; each halves the map."] = 4
    block: Annotated[
        Literal["bottleneck", "wider", "multiscale", "multiscale_no1x1", "bottleneck_no1x1", "hpm"], "Residual block."
    ] = "hpm"
    layers: Annotated[int, Limits(3, 6), "3x3 convolutions in a row in an hpm block."] = 3
    cardinality: Annotated[int, Limits(1, 16), "Such rows side by side in an hpm block."] = 1
    hourglass: Annotated[
        Literal["plain", "improved"], "Improved: no blocks on the skip branches, concatenation for sum."
    ] = "plain"
    pool: Annotated[Literal["max", "avg"], "How maps are halved."] = "max"
    binary: Annotated[bool, "1-bit convolutions in the blocks; false: the real-valued twin."] = True
    binarize: Annotated[Literal["both", "weights", "activations"], "What of a binary convolution is 1 bit."] = "both"
    binary_ends: Annotated[bool, "First and last convolutions (and heatmaps between stacks) binary too."] = False
    scale: Annotated[bool, "Scale each binary filter by the mean size of its weights; false: by 1."] = True
    activation: Annotated[Literal["none", "relu", "prelu"], "What follows each binary convolution."] = "none"
    joints: Annotated[
        int | None, Limits(1), "Landmarks, or classes of parts, to predict; none: those of the data set."
    ] = None
    center_weights: Annotated[bool, "Subtract the mean of each filter before taking signs."] = False
    clamp_weights: Annotated[bool, "Keep latent weights in [-1, 1], where the sign passes a gradient."] = True


@dataclass(frozen=True)
class Data(Section):
    """Pictures and labels. A data set is "synthetic" or another NAME:PATH, of the names that --help lists."""

    train: Annotated[tuple[str, ...], "Data sets to train on."] = ("synthetic",)
    test: Annotated[tuple[str, ...], "Data sets to test on; empty: the test splits of `train`."] = ()
    size: Annotated[int, Limits(16, 1024), "Side of the square input in pixels."] = 128
    sigma: Annotated[float, Limits(0.5, 16), "Width of the Gaussian target in heatmap pixels."] = 1.0
    workers: Annotated[int, Limits(0, 60), "Processes that prepare batches; 0: the main one does."] = 1
    limit: Annotated[int | None, Limits(1), "Train on the first so many people only; none: on all."] = None
    bad_pictures: Annotated[Literal["skip", "error"], "What an unreadable picture does."] = "skip"
    max_bad: Annotated[Share, "Stop when more than this share of the set was skipped."] = 0.01


@dataclass(frozen=True)
class Augment(Section):
    """Random changes to each training picture, see `training/augment.py`."""

    enabled: Annotated[bool, "False: none of them, whatever the other settings say."] = True
    flip: Annotated[Share, "Probability of a mirror."] = 0.5
    rotate: Annotated[float, Limits(0, 180), "Standard deviation of the rotation in degrees."] = 0.0
    scale: Annotated[float, Limits(0, 2), "Standard deviation of the size, in octaves."] = 0.0
    shift: Annotated[Share, "Largest shift, as a share of the crop's side."] = 0.0
    colour: Annotated[Share, "Largest change of a channel, contrast or brightness, as a share of it."] = 0.0
    erase: Annotated[Share, "Probability of a blanked rectangle."] = 0.0


@dataclass(frozen=True)
class Optim(Section):
    """Loss, optimizer and schedule."""

    name: Annotated[Literal["adam", "rmsprop", "sgd"], "The optimizer."] = "adam"
    lr: Annotated[float, Limits(above=0), "Learning rate at its highest."] = 2e-2
    steps: Annotated[int, Limits(1), "Length of the run in batches."] = 2_250
    batch_size: Annotated[int, Limits(1), "Pictures in a batch."] = 8
    schedule: Annotated[Literal["cosine", "step", "constant"], "How the learning rate falls."] = "cosine"
    warmup: Annotated[int, Limits(0), "Steps over which the learning rate first rises."] = 60
    milestones: Annotated[tuple[float, ...], Limits(0, 1), "When to drop: shares of the run."] = (0.6, 0.85)
    decay: Annotated[float, Limits(above=0, most=1), "The factor of each drop of the step schedule."] = 0.1
    weight_decay: Annotated[float, Limits(0), "Decoupled decay of the weights, times the rate."] = 0.0
    ema: Annotated[float, Limits(0, 0.99999), "Momentum of the averaged weights; 0: no average."] = 0.0
    clip_norm: Annotated[float, Limits(0), "Largest norm of the whole gradient; 0: no limit."] = 0.0
    gradients: Annotated[
        Literal["int8", "float32"], "What binary convolutions take back: bytes, twice as fast, or real numbers."
    ] = "int8"
    loss: Annotated[
        Literal["bce", "mse", "softmax"], "Per pixel: sigmoid cross-entropy, squared error; of parts: softmax."
    ] = "bce"


@dataclass(frozen=True)
class Technique(Section):
    """Ways to train a binary network better, see `training/techniques.py`."""

    real_weights: Annotated[float, Limits(0, 0.99), "Share of the steps, the first, with real weights."] = 0.0
    sharpness: Annotated[
        tuple[float, ...], Limits(0.01, 1000), "First and last sharpness of a smooth sign; empty: the hard sign."
    ] = ()
    smooth: Annotated[float, Limits(0, 0.99), "Share of the steps, the first, with the smooth sign."] = 0.5
    teacher: Annotated[str, "A model file whose maps are to be matched as well; empty: none."] = ""
    distill: Annotated[float, Limits(0), "Weight of the teacher's loss beside that of the labels."] = 0.0


@dataclass(frozen=True)
class Run(Section):
    """The run itself: place, seed, pace."""

    out: Annotated[str, "The run folder."] = "runs/pose"
    seed: Annotated[int, Limits(0, 2**63 - 1), "Seed of weights, data order and augmentation."] = 0
    threads: Annotated[int, Limits(0, 1024), "Threads of the engine; 0: one per core."] = 0
    checkpoint_minutes: Annotated[float, Limits(above=0), "Most minutes of work a crash may cost."] = 10.0
    log_every: Annotated[int, Limits(1), "Steps between two rows of log.csv."] = 50
    eval_every: Annotated[int, Limits(1), "Steps between two evaluations."] = 2_250
    stop_after: Annotated[int | None, Limits(1), "Stop at this step; the schedule stays."] = None
    patience: Annotated[int | None, Limits(1), "Stop after so many evaluations without a new best."] = None


@dataclass(frozen=True)
class Config:
    """All sections. Raises UserError where two settings do not go together."""

    model: Model = field(default_factory=Model)
    data: Data = field(default_factory=Data)
    augment: Augment = field(default_factory=Augment)
    optim: Optim = field(default_factory=Optim)
    technique: Technique = field(default_factory=Technique)
    run: Run = field(default_factory=Run)

    def __post_init__(self) -> None:
        model = self.model
        try:
            check_architecture(**asdict(model) | {"joints": model.joints or 1})
        except ValueError as error:
            raise UserError(re.sub(r"\b(?=\w+ = )", "model.", str(error))) from None
        if model.binarize == "activations" and not model.scale:
            raise UserError('model.scale = false is of binary weights, not of model.binarize = "activations"')
        self._check_technique()
        size, step = self.data.size, input_multiple(model.depth, model.block)
        if size % step:
            text = f'must be a multiple of {step} with model.depth = {model.depth}, model.block = "{model.block}"'
            raise UserError(f"data.size = {size} is not allowed: it {text}")
        if not self.run.out:
            raise UserError('run.out = "" is not allowed: name a folder')
        if not self.data.train:
            raise UserError('data.train = [] is not allowed: name a data set, such as ["synthetic"]')

    def _check_technique(self) -> None:
        model, technique = self.model, self.technique
        if technique.real_weights and not (model.binary and model.binarize == "both"):
            raise UserError('technique.real_weights needs model.binary = true and model.binarize = "both"')
        if technique.sharpness:
            if not model.binary or model.binarize == "weights":
                raise UserError("technique.sharpness needs binary activations: see model.binary and model.binarize")
            if len(technique.sharpness) != 2 or technique.sharpness[0] > technique.sharpness[1]:
                given = literal(technique.sharpness)
                raise UserError(f"technique.sharpness = {given} is not allowed: give two numbers that rise, as [1, 10]")
        if bool(technique.teacher) != bool(technique.distill):
            raise UserError("technique.teacher and technique.distill go together: a model file, and its loss's weight")


def load(path: str | Path, defaults: Config | None = None) -> Config:
    """The configuration in a TOML file; what the file leaves out is as in `defaults`, by default `Config()`.

    Raises UserError, naming the file, if it cannot be read, is not TOML, has an unknown key or a bad value.
    """
    return from_toml(_read_text(path), str(path), defaults)


def from_toml(text: str, source: str = "configuration", defaults: Config | None = None) -> Config:
    """Like `load`, from the text itself; `source` is its name in messages."""
    tables = _parse(text, source)
    try:
        return from_dict(tables, defaults)
    except UserError as error:
        raise UserError(f"{source}: {error}") from None


def read_toml(path: str | Path) -> dict[str, Any]:
    """The tables of a TOML file. Raises UserError, naming the file, if it cannot be read or is not TOML."""
    return _parse(_read_text(path), str(path))


def _read_text(path: str | Path) -> str:
    try:
        # utf-8-sig: Windows editors begin a file with a byte order mark, which TOML does not know.
        return Path(path).read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise UserError(f"cannot read the configuration {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UserError(f"{path} is not TOML: not UTF-8 text") from None


def _parse(text: str, source: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # ValueError: TOMLDecodeError, or a number of 5000 digits
        raise UserError(f"{source} is not TOML: {error}") from None


def override(config: Config, assignments: Iterable[str]) -> Config:
    """`config` changed by `section.key=value` strings (`--set`); checked when all of them are in place.

    The value is TOML (`1e-3`, `true`, `["a", "b"]`) or a bare word; hyphens in keys mean underscores.
    Raises UserError for a malformed assignment, an unknown key or a bad value.
    """
    values = to_dict(config)
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals:
            raise UserError(f"cannot read {assignment!r}: write section.key=value, such as optim.lr=1e-3")
        name = name.strip().replace("-", "_")
        section, _, key = name.partition(".")
        if key not in values.get(section, {}):
            raise _unknown(name)
        values[section][key] = _schema()[section][key].parse(text.strip())
    return from_dict(values)


def from_dict(values: Mapping[str, Any], defaults: Config | None = None) -> Config:
    """The inverse of `to_dict`, also after a trip through JSON; what is left out is as in `defaults`, or `Config()`.

    Raises UserError for an unknown section or key and for a bad value.
    """
    base = defaults or Config()
    made: dict[str, Any] = {}
    for name, table in values.items():
        if name not in _schema() or not isinstance(table, Mapping):
            raise _unknown(name)
        for key in table:
            if key not in _schema()[name]:
                raise _unknown(f"{name}.{key}")
        made[name] = replace(getattr(base, name), **table)
    return replace(base, **made)


def to_dict(config: Config) -> dict[str, dict[str, Any]]:
    """`{section: {key: value}}`, ready for JSON."""
    return asdict(config)


def to_toml(config: Config) -> str:
    """Every setting as TOML. Exact: `from_toml(to_toml(config)) == config`."""
    return _to_toml(config, explain=False)


def describe(defaults: Config | None = None) -> str:
    """Every setting with help, allowed values and default, in the form of a TOML file."""
    return _to_toml(defaults or Config(), explain=True)


def differences(a: Config, b: Config) -> list[str]:
    """What changed from `a` to `b`: lines such as `optim.lr: 0.001 -> 0.002`, in the settings' order."""
    after = to_dict(b)
    return [
        f"{section}.{key}: {literal(value)} -> {literal(after[section][key])}"
        for section, table in to_dict(a).items()
        for key, value in table.items()
        if value != after[section][key]
    ]


@cache
def _sections() -> dict[str, type[Section]]:
    return get_type_hints(Config)


@cache
def _schema() -> dict[str, dict[str, Setting]]:
    """The settings by section and key."""
    return {
        name: {key: Setting.read(hint) for key, hint in get_type_hints(section, include_extras=True).items()}
        for name, section in _sections().items()
    }


def _unknown(name: str) -> UserError:
    """The error for a name that is no setting. Suggests the nearest key of any section, its own first."""
    schema = _schema()
    if name in schema:
        return UserError(f"{name} is a section, not a setting: its keys are {', '.join(schema[name])}")
    section, _, key = name.rpartition(".")
    known = {other: f"{home}.{other}" for home, settings in schema.items() for other in settings}
    known |= {other: f"{section}.{other}" for other in schema.get(section, ())}
    known |= {} if section else {home: home for home in schema}
    if near := difflib.get_close_matches(key, known, n=1):
        hint = f"did you mean {known[near[0]]}?"
    elif section in schema:
        hint = f"the keys of {section} are {', '.join(schema[section])}"
    else:
        hint = f"the sections are {', '.join(schema)}"
    return UserError(f"unknown setting {name}: {hint}")


def _to_toml(config: Config, explain: bool) -> str:
    lines: list[str] = []
    for name, table in to_dict(config).items():
        lines += [f"# {_sections()[name].__doc__}"] if explain else []
        lines += [f"[{name}]"]
        for key, setting in _schema()[name].items():
            lines += [f"# {setting.help} ({setting})"] if explain else []
            lines += [f"{key} = {literal(table[key])}"]
        lines += [""]
    return "\n".join(lines)


def literal(value: Any) -> str:
    """A value as TOML. None, which TOML lacks, is "none"; kinds no setting has occur in messages only."""
    if value is None:
        return '"none"'
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        # A JSON string is a TOML string, except that TOML wants DEL escaped.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(literal, value))}]"
    return repr(value)
