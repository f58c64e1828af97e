"""The settings of a run, by section."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field
from functools import cache
from typing import Annotated, Literal, get_type_hints

from hbcore.nn.architecture import check_architecture, input_multiple
from training.configuration.schema import Limits, Section, Setting, literal, settings_of
from training.errors import UserError

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
    stem: Annotated[
        int | None, Limits(8, 1024, multiple=8), "Filters of the first convolution; none: features / 4."
    ] = None
    real_lin: Annotated[bool, "The 1x1 convolution before the heatmaps is real-valued."] = False
    real_skip: Annotated[bool, "1x1 shortcuts of blocks that change the width are real-valued."] = False
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
    times: Annotated[tuple[int, ...], Limits(1, 1000), "How often each of `train` comes in a pass; empty: once."] = ()
    size: Annotated[int, Limits(16, 1024), "Side of the square input in pixels."] = 128
    sigma: Annotated[float, Limits(0.5, 16), "Width of the Gaussian target in heatmap pixels."] = 1.0
    workers: Annotated[int, Limits(0, 60), "Processes that prepare batches; 0: the main one does."] = 1
    keep: Annotated[
        int, Limits(0, 2**20), "Megabytes of decoded pictures to keep in memory, shared out to the workers; 0: none."
    ] = 1000
    limit: Annotated[int | None, Limits(1), "Train on the first so many samples only; none: on all."] = None
    bad_pictures: Annotated[Literal["skip", "error"], "What an unreadable picture does."] = "skip"
    max_bad: Annotated[Share, "Stop when more than this share of the set, and more than one, was skipped."] = 0.01


@dataclass(frozen=True)
class Augment(Section):
    """Random changes to each training picture; of your own labels, more without a word, see `docs/data.md`."""

    enabled: Annotated[bool, "False: none of them, whatever the other settings say."] = True
    flip: Annotated[Share, "Probability of a mirror."] = 0.5
    rotate: Annotated[float, Limits(0, 180), "Standard deviation of the rotation in degrees."] = 0.0
    scale: Annotated[float, Limits(0, 2), "Standard deviation of the size, in octaves."] = 0.0
    shift: Annotated[Share, "Largest shift, as a share of the crop's side."] = 0.0
    colour: Annotated[Share, "Largest change of a channel, contrast or brightness, as a share of it."] = 0.0
    erase: Annotated[Share, "Probability of a blanked rectangle."] = 0.0
    mirror_shift: Annotated[Share, "How far points of mirrored pictures move right, as a share of the crop's side."] = (
        0.0
    )


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
    weight_decay: Annotated[float, Limits(0), "Decay of the weights, times the rate; decoupled but with sgd."] = 0.0
    ema: Annotated[float, Limits(0, 0.99999), "Momentum of the averaged weights; 0: no average."] = 0.0
    freeze: Annotated[
        Literal["none", "trunk"],
        "What does not learn; trunk: all but the heads, which few pictures can teach.",
    ] = "none"
    clip_norm: Annotated[float, Limits(0), "Largest norm of the whole gradient; 0: no limit."] = 0.0
    gradients: Annotated[
        Literal["int8", "float32"], "What binary convolutions take back: bytes, twice as fast, or real numbers."
    ] = "int8"
    loss: Annotated[
        Literal["bce", "mse", "softmax"], "Per pixel: sigmoid cross-entropy, squared error; of parts: softmax."
    ] = "bce"


@dataclass(frozen=True)
class Technique(Section):
    """Ways to train a binary network better, see `training/runs/techniques.py`."""

    real_weights: Annotated[float, Limits(0, 0.99), "Share of the steps, the first, with real weights."] = 0.0
    sharpness: Annotated[
        tuple[float, ...], Limits(0.01, 1000), "First and last sharpness of a smooth sign; empty: the hard sign."
    ] = ()
    smooth: Annotated[float, Limits(0, 0.99), "Share of the steps, the first, with the smooth sign."] = 0.5
    teacher: Annotated[
        str, "A model whose maps are to be matched as well: a file, a run, or one of hbcore's; empty: none."
    ] = ""
    distill: Annotated[float, Limits(0), "Weight of the teacher's loss beside that of the labels."] = 0.0


@dataclass(frozen=True)
class Run(Section):
    """The run itself: place, seed, pace."""

    out: Annotated[str, "The run folder."] = "runs/pose"
    init: Annotated[
        str, "A model with whose weights to begin: a file, a run, or one of hbcore's; empty: drawn by the seed."
    ] = ""
    seed: Annotated[int, Limits(0, 2**63 - 1), "Seed of weights, data order and augmentation."] = 0
    threads: Annotated[int, Limits(0, 1024), "Threads of the engine; 0: one per core."] = 0
    checkpoint_minutes: Annotated[float, Limits(above=0), "Most minutes of work a crash may cost."] = 10.0
    log_every: Annotated[int, Limits(1), "Steps between two rows of log.csv."] = 50
    eval_every: Annotated[int, Limits(1), "Steps between two evaluations."] = 750
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
        widest = size / 16  # a quarter of the map, of which the Gaussian then covers all
        if self.data.sigma > widest:
            text = f"must be at most {widest:g}, a quarter of the heatmap, with data.size = {size}"
            raise UserError(f"data.sigma = {self.data.sigma:g} is not allowed: it {text}")
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


@cache
def sections() -> dict[str, type[Section]]:
    """The sections by name."""
    return get_type_hints(Config)


@cache
def schema() -> dict[str, dict[str, Setting]]:
    """The settings by section and key."""
    return {name: settings_of(section) for name, section in sections().items()}  # type: ignore[arg-type]  # as above
