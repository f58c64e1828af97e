"""From the options of `train` to the configuration of a run, with what is chosen where nobody says anything."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from training.command_line.common import model_file
from training.command_line.options import FLAGS
from training.configuration.resume import check_changes
from training.configuration.schema import literal
from training.configuration.settings import Config, schema
from training.configuration.toml import load
from training.configuration.values import override
from training.datasets import has_validation
from training.errors import UserError
from training.files.run_folder import free_folder, newest_folder
from training.prediction.model import Model
from training.runs.checkpoint import stored_config
from training.tasks.task import OWN_AUGMENT, Task

OWN_LOOKS = 2400
"""Pictures that a training on own labels looks at, over the root of their number."""

OWN_STEPS = 1000, 20_000
"""Its least and most steps."""

OWN_HEADS = 4
"""By how much less of it the heads alone want, where the trunk is frozen."""

OWN_EVALUATIONS = 20
OWN_PATIENCE = 6
"""Evaluations of it, and how many without a new best end it, where pictures are held out to tell."""

Asked = Callable[[Config], Config]
"""Defaults, changed by all that was said: by the file, --set and flags."""


def resolve(task: Task, options: argparse.Namespace) -> Config:
    """Defaults < the file < --set < flags; for a resumed run its own configuration instead of the defaults.

    Those of a run that begins with a model are its network and the size of its pictures. Those for a user's own labels
    vary the pictures more, and depend on how many there are: see `own_length`.
    """
    defaults = task.defaults()
    base = load(options.config, defaults) if options.config else defaults
    assignments = list(options.set or [])
    for name, key in FLAGS.items():
        value = getattr(options, name)
        if value is not None:
            assignments.append(f"{key}={literal(value)}")
    place = [text for text in assignments if text.partition("=")[0].strip() == "run.out"]
    out = override(base, place).run.out
    if not place and out == defaults.run.out:  # nobody chose one
        out = str(newest_folder(out) if options.resume else free_folder(out))
        assignments.append(f"run.out={literal(out)}")
    stored = stored_config(Path(out)) if options.resume else None
    named = options.config or options.data or any(text.startswith("data.train") for text in assignments)
    if options.resume and stored is None and not named:
        raise UserError(f"there is no run to go on with in {out}: name its folder with --out, or data to begin with")

    def asked(usual: Config) -> Config:
        return with_files(override(load(options.config, usual) if options.config else usual, assignments))

    if stored is None:
        return task.check(asked(_chosen(task, asked, defaults)))
    usual = _kept(task, asked, defaults, stored) if options.config else stored
    changed = override(asked(usual), [f"run.out={literal(out)}"])
    check_changes(out, stored, changed)
    return task.check(changed)


def with_files(config: Config) -> Config:
    """The configuration with a file in place of each model that it names, which may be a run or one of hbcore's."""
    run, technique = config.run, config.technique
    run = replace(run, init=model_file(run.init))
    return replace(config, run=run, technique=replace(technique, teacher=model_file(technique.teacher)))


def _chosen(task: Task, asked: Asked, defaults: Config) -> Config:
    """The defaults of a run, by the model that it begins with and by its data."""
    if init := asked(defaults).run.init:
        defaults = as_in(Model.load(init), defaults)
    if task.is_own(asked(defaults).data.train):
        defaults = own_length(task, asked, override(defaults, OWN_AUGMENT))
    return defaults


def _kept(task: Task, asked: Asked, defaults: Config, stored: Config) -> Config:
    """The same of a run that goes on with a file of settings: what it chose for itself when it began."""
    if stored.run.init:
        size = replace(defaults.data, size=stored.data.size)
        defaults = replace(defaults, model=stored.model, data=size)
    if task.is_own(asked(defaults).data.train):
        optim = replace(defaults.optim, steps=stored.optim.steps)
        run = replace(defaults.run, eval_every=stored.run.eval_every, patience=stored.run.patience)
        defaults = replace(defaults, augment=stored.augment, optim=optim, run=run)
    return defaults


def as_in(model: Model, config: Config) -> Config:
    """The configuration with the network of a model, and the size of its pictures."""
    told = {key: value for key, value in model.network.architecture.items() if key in schema()["model"]}
    network = replace(config.model, **told | {"joints": None})
    return replace(config, model=network, data=replace(config.data, size=model.codec.input_size))


def own_length(task: Task, asked: Asked, defaults: Config) -> Config:
    """Defaults with as many steps as suit the number of a user's pictures, evaluations, and perhaps patience.

    The more pictures, the more steps, but the fewer looks at each: OWN_LOOKS times the root of their number in all, and
    a quarter of it where the trunk is frozen. A run ends before where OWN_PATIENCE evaluations bring no new best, if
    pictures are held out for validation: those for testing would be scored by what was chosen on them. Where the steps
    were said, nothing is changed.
    """
    config = asked(defaults)
    pictures = sum(len(task.open(spec, "train")) for spec in config.data.train)
    steps = steps_for(min(pictures, config.data.limit or pictures), config.optim.batch_size)
    steps = steps // OWN_HEADS if config.optim.freeze == "trunk" else steps
    usual = replace(defaults, optim=replace(defaults.optim, steps=steps))
    if asked(usual).optim.steps != steps:
        return defaults
    told = any(has_validation(spec, task.kinds) for spec in config.data.train)
    every, patience = math.ceil(steps / OWN_EVALUATIONS), OWN_PATIENCE if told else None
    return replace(usual, run=replace(usual.run, eval_every=every, patience=patience))


def steps_for(pictures: int, batch_size: int) -> int:
    """Batches for so many pictures, to two digits."""
    least, most = OWN_STEPS
    steps = min(max(OWN_LOOKS * math.sqrt(pictures) / batch_size, least), most)
    return int(float(f"{steps:.1e}"))
