"""What pose, face and parts do differently. Training, augmentation, command line and reports are the same for all."""

from __future__ import annotations

import argparse
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hbcore.landmarks.codec import Codec
from hbcore.landmarks.confidence import Calibration
from training.configuration.schema import literal
from training.configuration.settings import Config
from training.configuration.values import override
from training.datasets import OWN_KINDS, Dataset, Kind, open_dataset
from training.errors import UserError
from training.loading.batch import Batch, BatchPlan
from training.loading.concatenated import ConcatenatedDataset
from training.loading.test_set import TestSet
from training.pictures.drawing import Colour, grid, save_png
from training.pictures.legend import with_legend
from training.prediction.model import Model
from training.prediction.predict import Predictions
from training.tasks.calibration import calibrate

SHOWN = 12  # pictures in overlays.png

OWN = {*OWN_KINDS, "pts", "masks"}
"""Kinds of data that hold a user's own labels: seldom many, so that training varies them unless told otherwise."""

OWN_AUGMENT = ("augment.rotate=20.0", "augment.scale=0.2", "augment.shift=0.05", "augment.colour=0.2")
"""How much: between the recipes for people and for faces, which were measured, see `training/recipes/`."""


@dataclass(frozen=True, kw_only=True)
class Task(ABC):
    """One task: `python -m training.NAME`.

    about: what the command line is for. kinds: its data sets by name. protocols: for each metric the line to print
    beside its numbers; a score belongs to the metric its key begins with, up to "@" or "/". settings: what differs from
    the defaults of `Config`, as `section.key=value`. headlines: the keys of the score that a model is judged by, the
    preferred one first, since not every test set has each of them. lower_is_better: of that score.

    unused: settings that mean nothing here. things: what is found ("keypoints"). losses: those that fit, of
    `optim.loss`. baseline: what its constant answer is. results: what `predict` writes, beside overlays. plan: how
    batches are made.
    """

    name: str
    about: str
    kinds: Mapping[str, Kind]
    protocols: Mapping[str, str]
    headlines: tuple[str, ...]
    settings: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    lower_is_better: bool = False

    things: str
    losses: tuple[str, ...]
    baseline: str
    results: tuple[str, ...]
    plan: type[BatchPlan] = BatchPlan

    @property
    def module(self) -> str:
        return f"training.{self.name}"

    def open(self, spec: str, split: str) -> Dataset:
        """A data set of this task, see `open_dataset`."""
        return open_dataset(spec, split, self.kinds)

    def defaults(self) -> Config:
        """The configuration of a run without settings of its own."""
        return override(Config(), (f"run.out=runs/{self.name}", *self.settings))

    def is_own(self, specs: Sequence[str]) -> bool:
        """Whether a user's own labels are among these data sets."""
        return any(spec.partition(":")[0] in OWN for spec in specs)

    def check(self, config: Config) -> Config:
        """`config`, unless it asks for what this task does not have: then UserError."""
        if config.optim.loss not in self.losses:
            raise UserError(
                f'optim.loss = "{config.optim.loss}" is not for {self.module}: choose from {", ".join(self.losses)}'
            )
        times, train = config.data.times, config.data.train
        if times and len(times) != len(train):
            raise UserError(
                f"data.times = {literal(times)} is not allowed: give one number for each data set to train on, "
                f"here {', '.join(train)}"
            )
        return config

    def used_protocols(self, test: TestSet, scores: Mapping[str, float]) -> dict[str, str]:
        """What the numbers in `scores` rest on: one line for the data and one per metric."""
        metrics = {key.partition("/")[0].partition("@")[0] for key in scores}
        return {"data": test.protocol} | {name: text for name, text in self.protocols.items() if name in metrics}

    # ------------------------------------------------------------------------------------- what maps stand for

    @abstractmethod
    def codec(self, config: Config) -> Codec:
        """From labels to maps and back."""

    @abstractmethod
    def target(self, codec: Codec, batch: Batch) -> tuple[NDArray[Any], ...]:
        """What the loss compares a network's maps with: its arguments after them."""

    # ----------------------------------------------------------------------------------------------- evaluation

    @abstractmethod
    def truth(self, test: TestSet) -> NDArray[Any]:
        """The labels, in the form of predictions."""

    @abstractmethod
    def score(self, test: TestSet, predicted: NDArray[Any]) -> dict[str, float]:
        """Metrics by key, one of `headlines` among them. Raises DataError if nothing in the test set can be scored."""

    def headline(self, scores: Mapping[str, float]) -> str:
        """The key of the score that a model is judged by: the first of `headlines` that is there."""
        for key in self.headlines:
            if key in scores:
                return key
        raise ValueError(f"{self.name}: no headline among the scores {', '.join(scores)}")

    def ranking(self, test: TestSet, predicted: NDArray[Any], *more: NDArray[Any]) -> dict[str, float]:
        """Further metrics, for which it counts how sure the model is: `more` is what else the codec reads out."""
        return {}

    @abstractmethod
    def constant(self, train: ConcatenatedDataset, test: TestSet) -> NDArray[Any]:
        """The mean answer of a training set, for every picture of the test set. DataError if it has no labels."""

    def calibrate(self, model: Model, data: ConcatenatedDataset) -> Calibration | None:
        """What confidence an answer of `model` needs, judged on its training set."""
        return calibrate(model, data)

    # ------------------------------------------------------------------------------------------ pictures and files

    @abstractmethod
    def overlay(self, test: TestSet, index: int, predicted: NDArray[Any]) -> NDArray[np.uint8]:
        """A picture of the test set with its labels and the prediction for it."""

    def draw(self, test: TestSet, predicted: NDArray[Any], folder: Path) -> None:
        """Pictures of how a model does on a test set: overlays.png, with the first few of it."""
        cells = [self.overlay(test, index, predicted[index]) for index in range(min(SHOWN, len(predicted)))]
        save_png(folder / "overlays.png", with_legend(grid(cells, columns=4), self.legend(test)))

    @abstractmethod
    def legend(self, test: TestSet) -> list[tuple[Colour | None, str]]:
        """What the colours of an overlay mean: colours and words."""

    @abstractmethod
    def predictions(self, model: Model, out: Path, options: argparse.Namespace) -> Predictions:
        """What writes the answers for a user's pictures into the folder `out`."""

    @abstractmethod
    def add_options(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of `predict` that only this task has; `predictions` gets their values."""
