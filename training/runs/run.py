"""One training run: batches in, weights out, with everything a long run needs around it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import NoReturn

import numpy as np

from hbcore.inspect.changes import SignChanges
from hbcore.kernels import keep_memory
from hbcore.landmarks.squares import crop_rules
from training.configuration.settings import Config
from training.configuration.toml import to_toml
from training.errors import DataError, Diverged, Interrupted
from training.files.logs import CsvLog
from training.loading.batch import Batch
from training.loading.concatenated import ConcatenatedDataset
from training.loading.prefetch import WorkerDied, batches
from training.loading.test_set import TestSet
from training.pictures.augmentation import Augmentation
from training.prediction.model import Model, NotFinite
from training.runs.bad_pictures import check_share, write_bad_pictures
from training.runs.checkpoint import (
    STATE,
    Progress,
    check_same,
    check_space,
    part,
    read_checkpoint,
    restore,
    save_checkpoint,
)
from training.runs.network import OUTPUTS
from training.runs.signals import Stop, stop_signals
from training.runs.techniques import Phase, Teacher, phase, settled
from training.runs.trainer import BadUpdate, Trainer, learning_rate
from training.tasks.evaluation import Answers, evaluate
from training.tasks.task import Task

MEASURED = 128
"""Pictures, at least, on which the norms of a packed model to begin with are measured."""


def augmentation(config: Config) -> Augmentation:
    """The random changes that a configuration asks for."""
    amounts = asdict(config.augment)
    return Augmentation(**amounts) if amounts.pop("enabled") else Augmentation.none()


@dataclass
class Run:
    """One training run of a task in its folder.

    The best model, and patience, go by `validation`, or by `test` where there is none.

    Without a checkpoint it begins with the weights that run.init names, if any. report(step, values) is called after
    every step, for a progress bar. Raises DataError if the keypoints of network, data, test set and first weights
    differ or nothing in the test set can be scored, UserError or DataError for a log of something else.
    """

    task: Task
    config: Config
    folder: Path
    data: ConcatenatedDataset
    test: TestSet
    report: Callable[[int, dict[str, float]], None] = lambda step, values: None
    say: Callable[[str], None] = print
    progress: Progress = field(default_factory=Progress)
    validation: TestSet | None = None
    in_step: bool = field(default=False, init=False)  # weights and counters do not belong together
    answered: tuple[tuple[int, TestSet], Answers] | None = field(default=None, init=False)  # at that step, of that set

    def __post_init__(self) -> None:
        task, config = self.task, self.config
        scheme = self.data.scheme
        maps = config.model.joints or len(scheme.names)
        if maps != len(scheme.names):
            raise DataError(
                f"model.joints = {maps}, but the data set labels {len(scheme.names)}: leave model.joints out"
            )
        if self.test.scheme.names != scheme.names:
            raise DataError(
                f"the {task.things} to train on are those of {scheme.name} ({maps}), the {task.things} to test on "
                f"those of {self.test.scheme.name} ({len(self.test.scheme.names)}): "
                "name another data set with --test"
            )
        teacher = Teacher.read(config, scheme)
        self.progress.people = len(self.data)
        self.progress.teacher = teacher.digest if teacher else ""
        self.progress.task = task.name
        self.trainer = Trainer(task, config, maps, teacher)
        self.plan = task.plan(
            self.data,
            augmentation(config),
            config.data.size,
            config.optim.batch_size,
            config.run.seed,
            config.data.bad_pictures == "skip",
            config.data.keep * 10**6,
        )
        if config.run.init and not self.state_path.exists():  # before the log: a run that cannot begin leaves no trace
            first = (self.plan.batch(step).pictures for step in range(-(-MEASURED // config.optim.batch_size)))
            self.trainer.begin_with(config.run.init, scheme, first)
        judge = self.judged_on
        self.headline = task.headline(task.score(judge, task.truth(judge)))  # the metric that "best" goes by
        metrics = ["train_loss", "lr", "grad_norm", self.headline]
        self.log = CsvLog(self.folder / "log.csv", ["step", "epoch", *metrics])
        self.changes = SignChanges(self.trainer.network, self.progress.flips)
        self.flips = CsvLog(self.folder / "flips.csv", ["step", *self.changes.layers])

    @property
    def judged_on(self) -> TestSet:
        """What the model is scored on while it is trained."""
        return self.test if self.validation is None else self.validation

    @property
    def unreadable(self) -> tuple[tuple[str, str], ...]:
        """Names and reasons of pictures left out of test and validation."""
        return self.test.bad if self.validation is None else (*self.test.bad, *self.validation.bad)

    # ---------------------------------------------------------------------------------------------- state

    @property
    def state_path(self) -> Path:
        return self.folder / STATE

    def resume(self) -> None:
        """Go back to the last checkpoint, if there is one. Raises DataError if it is damaged or of another run."""
        if self.state_path.exists():
            arrays, _, progress = read_checkpoint(self.state_path)
            check_same(self.folder, self.task.module, self.config, progress, self.progress)
            trainer = self.trainer
            restore(arrays, progress, trainer.network, trainer.optimizer, trainer.average)
            self.progress = progress
            self.changes.begin(progress.flips, part(arrays, "flips/"))
        self.log.truncate_after(self.progress.step)
        self.flips.truncate_after(self.progress.step)

    def save(self) -> None:
        """Checkpoint and the model as it is now. Raises Diverged rather than overwrite a good checkpoint with a bad."""
        trainer = self.trainer
        for name, array in trainer.network.state_dict().items():
            if not np.isfinite(array).all():
                self.diverged(f"{name} is not finite")
        state = trainer.network, trainer.optimizer, trainer.average, self.changes.last
        save_checkpoint(self.state_path, to_toml(self.config), self.progress, *state)
        self.save_model("last")

    def model(self) -> Model:
        """The network to be used: averaged weights if there is an average. In the phase of the last step taken."""
        network = self.trainer.averaged()
        self.phase.enter(network)
        trained = {
            "steps": self.progress.step,
            "data": [dataset.name for dataset in self.data.datasets],
            "test": list(self.config.data.test or self.config.data.train),
        }
        output = OUTPUTS[self.config.optim.loss]
        crops = crop_rules(self.data.datasets)
        return Model(
            network, self.data.scheme, self.trainer.codec, output, self.task.name, trained=trained, crops=crops
        )

    def save_model(self, name: str) -> None:
        self.model().save(self.folder / f"{name}.safetensors")

    def calibrate(self) -> None:
        """Give the models of a finished run what confidence their answers need."""
        last = self.model()
        last = replace(last, calibration=self.task.calibrate(last, self.data))
        last.save(self.folder / "last.safetensors")
        path = self.folder / "best.safetensors"
        if self.progress.best_step in (0, self.progress.step):  # 0: stopped before the first evaluation
            last.save(path)
        elif path.exists():
            best = Model.load(path)
            replace(best, calibration=self.task.calibrate(best, self.data)).save(path)

    # ------------------------------------------------------------------------------------------- training

    def train(self) -> None:
        """Train to the end, from wherever the run stands. Raises Interrupted after a signal, with the state saved.

        Whatever else ends it between two steps, as unreadable pictures or a reader of the output that has gone, loses
        no step either.
        """
        trainer, progress = self.trainer, self.progress
        check_space(self.folder, trainer.network, trainer.optimizer, trainer.average)
        write_bad_pictures(self.folder, self.unreadable, progress.bad)
        check_share(self.folder, progress.bad, len(self.data), self.config.data.max_bad)
        with keep_memory(), stop_signals() as stop:
            if progress.step == 0:
                self.save()  # from here on there is always a good checkpoint
            try:
                self.advance(stop)
                self.save()
                with stop.interrupts():
                    self.calibrate()
            except BaseException as error:
                if not self.in_step and not isinstance(error, Diverged):
                    self.save()
                # A signal to a whole process group kills the workers as well.
                if not (stop and isinstance(error, KeyboardInterrupt | WorkerDied)):
                    raise
            if stop:
                raise Interrupted(f"stopped at step {progress.step}; go on with --resume --out {self.folder}")
        if self.out_of_patience:
            self.say(f"no better {self.headline} in {progress.stale} evaluations: stopped")

    def advance(self, signalled: Stop | None = None) -> None:
        """Step, log, evaluate and save, until the run is at its end or out of patience.

        A signal raises KeyboardInterrupt where nothing is half done. What the log is owed is in the state: it is paid
        by the next call.
        """
        config, progress = self.config, self.progress
        signalled = Stop() if signalled is None else signalled
        saved = started = time.monotonic()
        before = progress.seconds
        with closing(batches(self.plan, progress.step, self.stop, config.data.workers)) as stream:
            while True:
                if progress.losses and (self.evaluates or progress.step % config.run.log_every == 0):
                    score = None
                    if self.evaluates:
                        with signalled.interrupts():
                            scores, _ = self.evaluated(self.judged_on)
                        score = self.judge(scores)
                    self.log.append(
                        {
                            "step": progress.step,
                            "epoch": progress.step * config.optim.batch_size / len(self.data),
                            "train_loss": float(np.mean(progress.losses)),
                            "lr": learning_rate(config, progress.step - 1),
                            "grad_norm": progress.norm,
                            self.headline: score,
                        }
                    )
                    nothing = dict.fromkeys(self.changes.layers, 0)
                    self.flips.append({"step": progress.step} | nothing | progress.flips)
                    progress.losses.clear()
                    progress.flips.clear()
                if time.monotonic() - saved >= 60 * config.run.checkpoint_minutes:
                    self.save()
                    saved = time.monotonic()
                if progress.step >= self.stop or self.out_of_patience:
                    return
                with signalled.interrupts():
                    batch = next(stream)
                self.note_bad(batch)
                loss, progress.norm = self.step(batch)
                progress.losses.append(loss)
                progress.seconds = before + time.monotonic() - started
                self.report(progress.step, {"loss": loss})

    @property
    def evaluates(self) -> bool:
        """Whether an evaluation belongs to the last step taken: to that of the whole run, stopped in between or not."""
        step = self.progress.step
        return step % self.config.run.eval_every == 0 or step == self.config.optim.steps

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

    def step(self, batch: Batch) -> tuple[float, float]:
        """Loss and gradient norm of one update. Diverged, before any weight changes, if either is not finite."""
        progress = self.progress
        if progress.step == settled(self.config):  # what was best before was another kind of network
            progress.best, progress.best_step, progress.stale = -math.inf, 0, 0
        self.in_step = True
        try:
            result = self.trainer.step(batch, progress.step)
        except BadUpdate as error:
            self.diverged(str(error), batch)
        progress.step += 1
        self.changes.update(progress.step, self.config.optim.steps)
        self.in_step = False
        return result

    def evaluated(self, test: TestSet) -> Answers:
        """Scores and predictions of the network as it is now. Changes no weights. Raises Diverged if it is not finite.

        What was asked last is not computed again: the report of a finished run is on what its last step was judged by.
        """
        asked = self.progress.step, test
        if self.answered is None or self.answered[0] != asked:
            try:
                self.answered = asked, evaluate(self.task, self.model(), test)
            except NotFinite as error:
                self.diverged(str(error))
        return self.answered[1]

    def judge(self, scores: dict[str, float]) -> float:
        """The score that counts; keeps the best model."""
        score = scores[self.headline]
        passing = f" ({self.phase})" if self.progress.step <= settled(self.config) else ""
        self.say(f"step {self.progress.step}: {self.headline} {score:.2f} %{passing}")
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
        write_bad_pictures(self.folder, self.unreadable, bad)
        check_share(self.folder, bad, len(self.data), self.config.data.max_bad)
