"""The training loop: batches in, weights out, with everything a long run needs around it."""

from __future__ import annotations

import csv
import io
import math
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from hbcore import StackedHourglass, Tensor
from hbcore.inspect.observe import first_not_finite
from hbcore.kernels import gradients_in, keep_memory
from hbcore.nn.layers import constrain, use_packed
from hbcore.optim.losses import heatmap_cross_entropy, heatmap_mse, softmax_cross_entropy
from hbcore.optim.optimizers import OPTIMIZERS, ExponentialMovingAverage
from hbcore.optim.schedules import constant, cosine, stepwise, warmup
from training.configuration.settings import Config
from training.configuration.toml import from_toml, to_toml
from training.errors import DataError, DiskError, Diverged
from training.files.logs import CsvLog
from training.files.writing import atomic_write
from training.loading.batch import Batch, BatchPlan
from training.loading.concatenated import ConcatenatedDataset
from training.loading.prefetch import WorkerDied, batches
from training.loading.test_set import TestSet
from training.pictures.augmentation import Augmentation
from training.prediction.model import Model, NotFinite, to_input
from training.runs.checkpoint import Progress, read_checkpoint, restore, save_checkpoint
from training.runs.techniques import Phase, Teacher, phase, settled
from training.tasks.evaluation import evaluate
from training.tasks.task import Task

LOSSES: Mapping[str, Callable[..., Tensor]] = {
    "bce": heatmap_cross_entropy,
    "mse": heatmap_mse,
    "softmax": softmax_cross_entropy,
}
PRIOR = 0.01  # probability that a pixel of a heatmap is on, at the start
OUTPUTS = {"bce": "sigmoid", "mse": "identity", "softmax": "softmax"}


class Interrupted(Exception):
    """The run was asked to stop; its state is saved."""

    exit_code = 130


def build_network(config: Config, maps: int) -> StackedHourglass:
    """The network that a configuration describes."""
    options = asdict(config.model)
    options["joints"] = maps
    network = StackedHourglass(**options, seed=config.run.seed)
    if config.optim.loss == "bce":
        # Nearly all pixels of a target are background. Starting there, instead of at one half everywhere, spares the
        # network hundreds of steps of learning nothing else (the prior of Lin et al. 2017, "Focal loss").
        for head in network.heads:
            head.bias.data[:] = math.log(PRIOR / (1 - PRIOR))
    return network


def augmentation(config: Config) -> Augmentation:
    """The random changes that a configuration asks for."""
    amounts = asdict(config.augment)
    return Augmentation(**amounts) if amounts.pop("enabled") else Augmentation.none()


def learning_rate(config: Config, step: int) -> float:
    """The rate of one step: warm-up times schedule."""
    o = config.optim
    shapes: dict[str, Callable[[], float]] = {
        "constant": lambda: constant(step, o.steps),
        "cosine": lambda: cosine(step, o.steps),
        "step": lambda: stepwise(step, o.steps, o.milestones, o.decay),
    }
    return o.lr * warmup(step, o.warmup) * shapes[o.schedule]()


@dataclass
class Run:
    """One training run of a task in its folder.

    report(step, values) is called after every step, for a progress bar. Raises DataError if the keypoints of network,
    data and test set differ or nothing in the test set can be scored, UserError or DataError for a log of something
    else.
    """

    task: Task
    config: Config
    folder: Path
    data: ConcatenatedDataset
    test: TestSet
    report: Callable[[int, dict[str, float]], None] = lambda step, values: None
    say: Callable[[str], None] = print
    progress: Progress = field(default_factory=Progress)

    def __post_init__(self) -> None:
        task, config = self.task, self.config
        skeleton = self.data.scheme
        maps = config.model.joints or len(skeleton.names)
        if maps != len(skeleton.names):
            raise DataError(
                f"model.joints = {maps}, but the data set labels {len(skeleton.names)}: leave model.joints out"
            )
        if self.test.scheme.names != skeleton.names:
            raise DataError(
                f"the {task.things} to train on are those of {skeleton.name} ({maps}), the {task.things} to test on "
                f"those of {self.test.scheme.name} ({len(self.test.scheme.names)}): "
                "name another data set with --test"
            )
        self.progress.people = len(self.data)
        self.teacher = Teacher.read(config, skeleton)
        self.progress.teacher = self.teacher.digest if self.teacher else ""
        self.progress.task = task.name
        self.network = build_network(config, maps)
        use_packed(self.network)  # same integers as the float simulation, sooner
        self.optimizer = OPTIMIZERS[config.optim.name](
            dict(self.network.named_parameters()), config.optim.lr, config.optim.weight_decay
        )
        self.average = ExponentialMovingAverage(self.network, config.optim.ema) if config.optim.ema else None
        self.codec = task.codec(config)
        self.plan = BatchPlan(
            self.data,
            augmentation(config),
            config.data.size,
            config.optim.batch_size,
            config.run.seed,
            config.data.bad_pictures == "skip",
        )
        self.headline = task.headline(task.score(self.test, task.truth(self.test)))  # the metric that "best" goes by
        metrics = ["train_loss", "lr", "grad_norm", self.headline]
        self.log = CsvLog(self.folder / "log.csv", ["step", "epoch", *metrics])

    # ---------------------------------------------------------------------------------------------- state

    @property
    def state_path(self) -> Path:
        return self.folder / "state.safetensors"

    def resume(self) -> None:
        """Go back to the last checkpoint, if there is one. Raises DataError if it does not fit network or data."""
        if self.state_path.exists():
            arrays, _, progress = read_checkpoint(self.state_path)
            if progress.task not in ("", self.task.name):
                raise DataError(
                    f"cannot resume {self.folder} with {self.task.module}: it began as training.{progress.task}"
                )
            if progress.people not in (0, len(self.data)):
                raise DataError(
                    f"cannot resume {self.folder}: it began with {progress.people} samples to train on, now there are "
                    f"{len(self.data)}: start anew with another --out"
                )
            if progress.teacher != self.progress.teacher:
                raise DataError(
                    f"cannot resume {self.folder}: {self.config.technique.teacher} is not the file it began with: "
                    "bring that back, or start anew with another --out"
                )
            restore(arrays, progress, self.network, self.optimizer, self.average)
            self.progress = progress
        self.log.truncate_after(self.progress.step)

    def save(self) -> None:
        """Checkpoint and the model as it is now. Raises Diverged rather than overwrite a good checkpoint with a bad."""
        for name, array in self.network.state_dict().items():
            if not np.isfinite(array).all():
                self.diverged(f"{name} is not finite")
        save_checkpoint(
            self.state_path, to_toml(self.config), self.progress, self.network, self.optimizer, self.average
        )
        self.save_model("last")

    def model(self) -> Model:
        """The network to be used: averaged weights if there is an average. In the phase of the last step taken."""
        if self.average is None:
            network = self.network
        else:
            network = build_network(self.config, len(self.data.scheme.names))
            network.load_state_dict(self.average.state)
            use_packed(network)
        self.phase.enter(network)
        return Model(network, self.data.scheme, self.codec, OUTPUTS[self.config.optim.loss], self.task.name)

    def save_model(self, name: str) -> None:
        data = [dataset.name for dataset in self.data.datasets]
        self.model().save(self.folder / f"{name}.safetensors", trained={"steps": self.progress.step, "data": data})

    def check_space(self) -> None:
        """Raise DiskError now rather than after hours: a checkpoint is written beside the old one."""
        size = sum(array.nbytes for array in self.network.state_dict().values())
        size += sum(array.nbytes for array in self.optimizer.state.values()) + size * (self.average is not None)
        needed, free = int(2.5 * size), shutil.disk_usage(self.folder).free
        if free < needed:
            raise DiskError(f"{self.folder}: {free:,} bytes free, checkpoints need {needed:,}: make room first")

    # ------------------------------------------------------------------------------------------- training

    def train(self) -> None:
        """Train to the end, from wherever the run stands. Raises Interrupted after a signal, with the state saved."""
        self.check_space()
        keep_memory()
        write_bad_images(self.folder, self.test.bad, self.progress.bad)
        with _stop_signals() as signalled:
            if self.progress.step == 0:
                self.save()  # from here on there is always a good checkpoint
            try:
                self.advance(signalled)
            except WorkerDied:
                if not signalled:  # a signal to a whole process group kills the workers as well
                    self.save()
                    raise
            self.save()
            if signalled:
                raise Interrupted(f"stopped at step {self.progress.step}; go on with --resume --out {self.folder}")
        if self.out_of_patience:
            self.say(f"no better {self.headline} in {self.progress.stale} evaluations: stopped")

    def advance(self, signalled: Sequence[int] = ()) -> None:
        """Step, log, evaluate and save, until the run is at its end, out of patience, or `signalled` is not empty."""
        config, progress = self.config, self.progress
        stop = self.stop
        saved = started = time.monotonic()
        before = progress.seconds
        with closing(batches(self.plan, progress.step, stop, config.data.workers)) as stream:
            while progress.step < stop and not signalled and not self.out_of_patience:
                batch = next(stream)
                self.note_bad(batch)
                loss, norm = self.step(batch)
                progress.losses.append(loss)
                progress.seconds = before + time.monotonic() - started
                self.report(progress.step, {"loss": loss})
                due = progress.step % config.run.eval_every == 0 or progress.step == stop
                if due or progress.step % config.run.log_every == 0:
                    row: dict[str, float | None] = {
                        "step": progress.step,
                        "epoch": progress.step * config.optim.batch_size / len(self.data),
                        "train_loss": float(np.mean(progress.losses)),
                        "lr": learning_rate(config, progress.step - 1),
                        "grad_norm": norm,
                        self.headline: self.evaluate() if due else None,
                    }
                    self.log.append(row)
                    progress.losses.clear()
                if time.monotonic() - saved >= 60 * config.run.checkpoint_minutes:
                    self.save()
                    saved = time.monotonic()

    @property
    def stop(self) -> int:
        """The step at which this run ends."""
        return min(self.config.optim.steps, self.config.run.stop_after or self.config.optim.steps)

    @property
    def phase(self) -> Phase:
        """That of the last step taken: evaluation sees the network as it was trained then."""
        return phase(self.config, max(0, self.progress.step - 1))

    @property
    def out_of_patience(self) -> bool:
        """Whether there were as many evaluations without a new best as run.patience allows, once all is binary."""
        patience, progress = self.config.run.patience, self.progress
        return patience is not None and progress.stale >= patience and progress.step > settled(self.config)

    @np.errstate(over="ignore", invalid="ignore")  # what is not finite is found, and named
    def step(self, batch: Batch) -> tuple[float, float]:
        """One update: returns loss and gradient norm. Diverged, before any weight changes, if either is not finite."""
        config = self.config
        target = self.encode(batch)
        pictures = to_input(batch.pictures)
        if self.progress.step == settled(config):  # what was best before was another kind of network
            self.progress.best, self.progress.best_step, self.progress.stale = -math.inf, 0, 0
        phase(config, self.progress.step).enter(self.network)
        lesson = self.teacher.lesson(batch.pictures) if self.teacher else None
        self.network.train()
        try:
            predictions = self.network(Tensor(pictures))
            loss = Tensor(np.zeros((), dtype=np.float32))
            for prediction in predictions:  # intermediate supervision: one term per stack
                loss = loss + LOSSES[config.optim.loss](prediction, *target)
                if lesson:
                    loss = loss + config.technique.distill * LOSSES[config.optim.loss](prediction, *lesson)
            value = loss.item()
        except FloatingPointError:  # a sign met NaN
            value = math.nan
        if not math.isfinite(value):
            layer = first_not_finite(self.network, pictures)
            self.diverged(f"the loss is {value}, {f'first in {layer}' if layer else 'in itself'}", batch)
        with gradients_in(config.optim.gradients):
            loss.backward()
        norm = self.optimizer.gradient_norm()
        if not math.isfinite(norm):
            broken = [
                name
                for name, parameter in self.optimizer.parameters.items()
                if parameter.grad is not None and not np.isfinite(parameter.grad).all()
            ]
            self.diverged(f"the gradient's norm is {norm}{f', first in {broken[-1]}' if broken else ''}", batch)
        if config.optim.clip_norm:
            self.optimizer.clip_gradients(norm, config.optim.clip_norm)
        self.optimizer.lr = learning_rate(config, self.progress.step)
        self.optimizer.step()
        constrain(self.network)
        self.network.zero_grad()
        if self.average:
            self.average.update(self.network)
        self.progress.step += 1
        return value, norm

    def encode(self, batch: Batch) -> tuple[NDArray[Any], ...]:
        """What the loss compares the network's maps with."""
        return self.task.target(self.codec, batch)

    def evaluate(self) -> float:
        """Score on the test set; keeps the best model."""
        try:
            scores, _ = evaluate(self.task, self.model(), self.test)
        except NotFinite as error:
            self.diverged(str(error))
        score = scores[self.headline]
        passing = f" ({self.phase})" if self.progress.step <= settled(self.config) else ""
        self.say(f"step {self.progress.step}: {self.headline} {score:.2f}{passing}")
        self.progress.stale += 1
        better = score < self.progress.best if self.task.lower_is_better else score > self.progress.best
        if better or not self.progress.best_step:
            self.progress.best, self.progress.best_step, self.progress.stale = score, self.progress.step, 0
            self.save_model("best")
        return score

    def diverged(self, what: str, batch: Batch | None = None) -> NoReturn:
        """Raise Diverged, naming step and pictures. The last checkpoint stays as it is."""
        step, where = self.progress.step, ""
        if batch is not None:  # in the middle of a step
            step, where = step + 1, f", with pictures {', '.join(batch.names)}"
        raise Diverged(
            f"step {step}: {what}{where}; the last good checkpoint is {self.state_path}: "
            "train anew with a lower optim.lr, or with optim.clip_norm"
        )

    def note_bad(self, batch: Batch) -> None:
        """List unreadable pictures in bad_images.csv; DataError when there are too many."""
        bad = self.progress.bad
        new = {index: reason for index, reason in batch.bad if index not in bad}
        if not new:
            return
        bad |= new
        write_bad_images(self.folder, self.test.bad, bad)
        if len(bad) > self.config.data.max_bad * len(self.data):
            raise DataError(
                f"{len(bad)} of {len(self.data)} pictures cannot be read (see {self.folder / 'bad_images.csv'}), "
                f"more than data.max_bad = {self.config.data.max_bad:g} allows; the last one: {list(new.values())[-1]}"
            )


def stored_config(folder: Path) -> Config | None:
    """The configuration that the run in `folder` was started with; None if there is no run."""
    path = folder / "state.safetensors"
    if not path.exists():
        return None
    _, text, _ = read_checkpoint(path)
    return from_toml(text, str(path))


def write_bad_images(folder: Path, test: Sequence[tuple[str, str]], train: Mapping[str, str]) -> None:
    """bad_images.csv: the pictures that were skipped, for the user to mend. No file if there are none."""
    rows = [("test", index, reason) for index, reason in test]
    rows += [("train", index, reason) for index, reason in train.items()]
    if rows:
        table = io.StringIO()
        csv.writer(table, lineterminator="\n").writerows([("split", "index", "reason"), *rows])
        atomic_write(folder / "bad_images.csv", table.getvalue().encode(errors="backslashreplace"))


@contextmanager
def _stop_signals() -> Iterator[list[int]]:
    """Collect SIGINT and SIGTERM instead of dying of them; the second one does interrupt."""
    received: list[int] = []

    def note(number: int, frame: object) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(number)

    old = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
