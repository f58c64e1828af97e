"""Settings that go together but do nothing: said, not refused, since a row of switches may well be tried one by one."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from training.configuration.schema import literal
from training.configuration.settings import Config
from training.configuration.values import to_dict


def without_effect(config: Config, defaults: Config, unused: Sequence[str] = ()) -> Iterator[str]:
    """A line for each setting that differs from `defaults` and changes nothing, and why; `unused`: by the task."""
    model, optim, run = config.model, config.optim, config.run
    real = "the network has no binary weights" if not model.binary or model.binarize == "activations" else ""
    floats = "the network is not binary throughout" if not model.binary or model.binarize != "both" else ""
    schedule = f"optim.schedule is {literal(optim.schedule)}" if optim.schedule != "step" else ""
    evaluations = math.ceil(optim.steps / run.eval_every)
    # The first evaluation is the best so far, and after the last one there is nothing to stop.
    endless = run.patience is not None and run.patience >= evaluations - 1
    same = model.hourglass == "plain" and model.stem == model.features
    even = "model.stem is as wide as model.features, so that no block changes the width" if same else ""
    reasons = {
        "model.real_skip": even,
        "model.center_weights": real,
        "model.clamp_weights": real,
        "data.max_bad": 'data.bad_pictures is "error"' if config.data.bad_pictures == "error" else "",
        "optim.milestones": schedule,
        "optim.decay": schedule,
        "optim.gradients": floats,
        "augment.mirror_shift": "augment.flip is 0" if not config.augment.flip else "",
        "technique.smooth": "" if config.technique.sharpness else "technique.sharpness is empty",
        "run.stop_after": "the run ends before" if (run.stop_after or 0) > optim.steps else "",
        "run.patience": f"there are {evaluations} evaluations, see run.eval_every" if endless else "",
    } | dict.fromkeys(unused, "there is no such thing in this task")
    values, usual = to_dict(config), to_dict(defaults)
    for name, reason in reasons.items():
        section, _, key = name.partition(".")
        if reason and values[section][key] != usual[section][key]:
            yield f"warning: {name} = {literal(values[section][key])} has no effect: {reason}"
    if optim.warmup >= optim.steps:
        yield (
            f"warning: optim.warmup = {optim.warmup} steps of {optim.steps}: the learning rate does not reach "
            f"optim.lr = {optim.lr:g}; --set optim.warmup={optim.steps // 10} does"
        )
