"""The sections of the page of one run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from html import escape

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hbcore.landmarks.squares import CropRule
from training.command_line.common import LAST, duration
from training.configuration.toml import to_toml
from training.errors import DataError
from training.loading.test_set import TestSet
from training.report import figures, markup
from training.report.bits import Inside
from training.report.record import Record
from training.report.scores import LEVEL, Answers, cumulative, exchanged
from training.runs.network import LOSS_PER
from training.runs.techniques import settled
from training.tasks.task import Task

WORST = 50
SIDE = 256  # pixels of a picture of the page, about
ROOM = 3_500_000  # characters that all pictures of a page may take

Section = tuple[str, str]
"""A heading, and HTML."""


def lead(record: Record, answers: Answers) -> str:
    """One line, as HTML: what this run is, how far it came, and its headline."""
    key = record.task.headline(answers.scores)
    low, high = answers.intervals.get(key, (np.nan, np.nan))
    done = "" if record.finished else f" of {record.config.optim.steps:,}"
    return (
        f"{record.task.module}, {record.progress.step:,}{done} steps in {duration(record.progress.seconds)}: "
        f"<strong>{key} {answers.scores[key]:.2f} %</strong> ({LEVEL} % interval {low:.2f} to {high:.2f}) "
        f"on {len(answers.test.pictures):,} test samples"
    )


def sections(record: Record, answers: Answers, inside: Inside, with_pictures: bool = True) -> Iterator[Section]:
    """All of them, in the order of the page."""
    yield "Scores", scores(record.task, answers)
    yield "Curves", curves(record, inside)
    yield "Errors", errors(answers)
    if with_pictures:
        yield f"Worst {min(WORST, len(answers.worst))}", worst(record.task, answers)
    yield "Data", data(record, answers.test)
    yield "Bits", bits(inside)
    yield "Network and memory", network(record, inside)
    yield "Configuration and machine", configuration(record)


def scores(task: Task, answers: Answers) -> str:
    """Every metric with its interval, and what the numbers rest on."""
    protocol = task.used_protocols(answers.test, answers.scores)
    rows = [(key, value, *answers.intervals.get(key, ("", ""))) for key, value in answers.scores.items()]
    better = "lower" if task.lower_is_better else "higher"
    return (
        markup.table(("metric", "percent", f"{LEVEL} % from", "to"), rows)
        + markup.paragraph(
            f"{task.headline(answers.scores)} is what a model is judged by, {better} is better. Intervals: "
            "bootstrap over the test samples, each for itself; they say nothing of another seed of training."
        )
        + markup.facts(protocol.items())
    )


def curves(record: Record, inside: Inside) -> str:
    """Loss, score, learning rate, gradient norm and sign changes against the step."""
    log, step = record.log, record.log["step"]
    metric = next(reversed(log))
    loss = {"loss": (step, log["train_loss"])}
    drawn = [
        (figures.lines(loss, "step", LOSS_PER[record.config.optim.loss], log=True), "training loss"),
        (figures.lines({metric: (step, log[metric])}, "step", f"{metric} in %"), "score while training"),
        (figures.lines({"lr": (step, log["lr"])}, "step", "learning rate"), "learning rate"),
        (figures.lines({"norm": (step, log["grad_norm"])}, "step", "gradient norm", log=True),
         "norm of the gradient of all weights together, of the last step before each row of the log"),
    ]  # fmt: skip
    if inside.course:
        at, rate = np.array(inside.course, dtype=np.float64).T
        drawn.append(
            (figures.lines({"signs": (at, rate)}, "step", "sign changes", log=True),
             "sign changes of one-bit weights, per million weights and step")
        )  # fmt: skip
    later = settled(record.config)
    note = markup.paragraph(f"Up to step {later}, not everything was binary yet.") if later else ""
    return markup.figures(drawn) + note


def errors(answers: Answers) -> str:
    """How errors are spread over samples and points, and which sides or classes are taken for each other."""
    if answers.by_point is None:
        return class_errors(answers)
    test, by_point = answers.test, answers.by_point
    names, limit = test.skeleton.keypoints, _limit(answers)
    ced, pck = ({name: cumulative(e, limit)} for name, e in (("samples", answers.errors), ("points", by_point)))
    drawn = [
        (figures.lines(ced, f"mean error in % {answers.unit}", "% of samples"), "cumulative errors of samples (CED)"),
        (figures.lines(pck, f"error in % {answers.unit}", "% of points"), "points within so much of their label (PCK)"),
    ]
    mean, middle = (_by_point(by_point, statistic) for statistic in (np.mean, np.median))
    pixels = np.linalg.norm(answers.predicted - test.keypoints, axis=-1)
    radius = _by_point(np.where(test.labelled, pixels, np.nan), np.mean)
    shape = np.stack(
        [_by_point(np.where(test.labelled, test.keypoints[..., axis], np.nan), np.mean) for axis in (0, 1)]
    )
    drawn.append(
        (figures.places(shape.T, radius, test.skeleton.edges, names),
         "points at their mean place, in discs of their mean error, true to scale")
    )  # fmt: skip
    rows = [
        (name, int(known), mean[k], middle[k], radius[k])
        for k, (name, known) in enumerate(zip(names, np.isfinite(by_point).sum(axis=0), strict=True))
    ]
    head = ("point", "labelled", f"mean error, % {answers.unit}", "median", "mean, pixels")
    worst = sorted(rows, key=lambda row: -row[2] if np.isfinite(row[2]) else np.inf)
    points = markup.table(head, worst)
    return (
        markup.figures(drawn)
        + (points if len(names) <= 20 else markup.folded(f"all {len(names)} points, the worst first", points))
        + sides(answers)
    )


def sides(answers: Answers) -> str:
    """Left taken for right."""
    found = [row for row in exchanged(answers) if row[3]]
    if not found:
        return markup.paragraph("It is not known which points a mirror exchanges: nothing to say about left and right.")
    wrong, both = sum(row[2] for row in found), sum(row[3] for row in found)
    rows = [(f"{a} / {b}", n, of, 100 * n / of) for a, b, n, of in sorted(found, key=lambda row: -row[2] / row[3]) if n]
    return markup.paragraph(
        f"Left and right: in {wrong:,} of {both:,} labelled pairs, {100 * wrong / both:.2f} %, each answer is nearer "
        "to the place of the other than to its own."
    ) + (markup.table(("pair", "exchanged", "of", "percent"), rows) if rows else "")


def class_errors(answers: Answers) -> str:
    """What the pixels of each class were taken for."""
    assert answers.counts is not None
    names = answers.test.scheme.names
    share = 100 * answers.counts / np.maximum(answers.counts.sum(axis=1, keepdims=True), 1)
    drawn = [
        (figures.lines({"samples": cumulative(answers.errors, 50.0)}, "wrong pixels in %", "% of samples"),
         "samples with at most so many wrong pixels")
    ]  # fmt: skip
    rows = [(name, *row.tolist()) for name, row in zip(names, share, strict=True)]
    return (
        markup.figures(drawn)
        + markup.paragraph("Of the pixels of a class (rows), the percentage that was taken for another (columns):")
        + markup.table(("", *names), rows)
    )


def worst(task: Task, answers: Answers) -> str:
    """The samples with the largest errors, with labels and predictions drawn in."""
    return markup.pictures(portraits(task, answers, answers.worst[:WORST])) + _legend(task, answers.test)


def portraits(task: Task, answers: Answers, chosen: list[int], room: int = ROOM) -> list[tuple[str, str]]:
    """Pictures and captions of some samples, as many as there is room for."""
    found = []
    for index in chosen:
        drawn = Image.fromarray(task.overlay(answers.test, index, answers.predicted[index]))
        drawn.thumbnail((SIDE, SIDE))
        source = markup.embedded(np.asarray(drawn))
        room -= len(source)
        if room < 0:
            break
        name = answers.test.names[index] if answers.test.names else str(index)
        found.append((source, f"{name}: {answers.errors[index]:.1f} % {answers.unit}"))
    return found


def data(record: Record, test: TestSet) -> str:
    """What was trained and tested on: protocol, counts, crop rules, pictures that could not be read."""
    config = record.config
    rows: list[tuple[markup.Cell, ...]] = []
    for spec in config.data.train:
        try:
            dataset = record.task.open(spec, "train")
            rows.append((spec, "train", len(dataset), dataset.protocol))
        except DataError as error:
            rows.append((spec, "train", "", f"not here: {error}"))
    tested = ", ".join(config.data.test or config.data.train)
    rows.append((tested, "test", len(test.pictures), test.protocol))
    things = record.task.things
    some = ""
    if test.masks is None:
        counts = test.labelled.sum(axis=0)
        some = f", each labelled {counts.min():,} to {counts.max():,} times in the test set"
    bad = len(record.progress.bad) + len(test.bad)
    crops = "; ".join(map(_crop, record.model.crops)) or "not known"
    kept = config.augment
    varied = ", ".join(f"{name} {value}" for name, value in asdict(kept).items()) if kept.enabled else "not at all"
    facts = [
        (things, f"{len(test.scheme.names)} of {test.scheme.name}{some}"),
        ("crop", crops),
        ("varied", varied),
        ("unreadable pictures", f"{bad}"),
        ("digest of the labels", str(record.environment.get("labels", "not known"))),
    ]
    head = ("data set", "split", "samples", "protocol")
    return markup.table(head, rows, text=(3,)) + markup.facts(facts)


def bits(inside: Inside) -> str:
    """Shares of signs, channels that never change theirs, latent weights, weights that never settled."""
    if not inside.dead:
        return markup.paragraph("No layer of this network has weights and activations of one bit.")
    still, channels = sum(len(d.still) for d in inside.dead), sum(d.channels for d in inside.dead)
    idle, weights = sum(d.idle for d in inside.dead), sum(d.weights for d in inside.dead)
    text = markup.paragraph(
        f"{still:,} of {channels:,} channels never change their sign over {inside.pictures:,} test pictures (dead "
        f"channels); {idle:,} of {weights:,} weight bits, {100 * idle / weights:.2f} %, are idle for it, or in a "
        "filter that repeats an earlier one."
    )
    settled = {layer.name: layer for layer in inside.settled or ()}
    if settled:
        total = np.sum([layer.latent for layer in settled.values()], axis=0)
        late = sum(layer.late for layer in settled.values())
        of = sum(layer.weights for layer in settled.values())
        text += markup.figures(
            [
                (
                    figures.histogram(total.tolist(), -1, 1, "latent weight", "weights"),
                    "latent weights, all binary layers",
                )
            ]
        )
        text += markup.paragraph(
            f"{late:,} of {of:,} weights, {100 * late / of:.2f} %, changed their sign in the last tenth of the steps "
            "so far: if the run is at its end, they never settled."
        )
    else:
        text += markup.paragraph("This run did not count sign changes of its weights.")
    rows = []
    for d in inside.dead:
        of_weights, of_signs = (100 * share for share in inside.negative[d.name])
        s = settled.get(d.name)
        more = ("", "", "") if s is None else (100 * s.ever / s.weights, 100 * s.late / s.weights, s.middle)
        rows.append(
            (d.name, of_weights, of_signs, len(d.still), d.channels, len(d.copies) + len(d.negatives), d.idle, *more)
        )
    head = (
        *("layer", "weights -1, %", "signs -1, %", "still channels", "of", "repeated filters", "idle bits"),
        *("changed ever, %", "never settled, %", "median |w|"),
    )
    return text + markup.folded(f"all {len(rows)} binary layers", markup.table(head, rows))


def network(record: Record, inside: Inside) -> str:
    """Size, cost and time of the layers, and what memory the whole takes."""
    total = {
        key: sum(getattr(row, key) for row in inside.layers) for key in ("one_bit", "real", "binary_macs", "real_macs")
    }
    size, runner = (record.folder / LAST).stat().st_size, record.model.runner
    facts = [
        ("one-bit weights", f"{total['one_bit']:,}"),
        ("real parameters", f"{total['real']:,}"),
        ("one-bit multiply-accumulates of a picture", f"{total['binary_macs']:,}"),
        ("real multiply-accumulates", f"{total['real_macs']:,}"),
        ("model file", f"{size:,} bytes, with what only training needs"),
        ("weights as deployed", f"{sum(row.size for row in inside.layers):,} bytes"),
        ("memory of the deployed plan, for maps and bits", f"{inside.maps:,} bytes"),
        ("time of a picture", f"{runner.milliseconds:.2f} ms here, network alone ({runner.how})"),
        ("time of training", f"{duration(record.progress.seconds)}, {_rate(record)}"),
    ]  # fmt: skip
    rows = [
        (row.name, "/".join(map(str, dict.fromkeys(row.bits or ()))), "x".join(map(str, row.shape)),
         "x".join(map(str, row.output)), row.size, row.binary_macs or row.real_macs, 100 * row.share)
        for row in inside.layers
    ]  # fmt: skip
    head = ("layer", "bits", "filters", "output", "bytes", "MACs", "time, %")
    return markup.facts(facts) + markup.folded(f"all {len(rows)} layers", markup.table(head, rows))


def configuration(record: Record) -> str:
    """The settings as TOML, and the machine."""
    toml = f"<pre>{escape(to_toml(record.config))}</pre>"
    machine = [(key, str(value)) for key, value in record.environment.items()]
    return markup.facts(machine) + markup.folded("all settings", toml)


def _rate(record: Record) -> str:
    steps, seconds = record.progress.step, record.progress.seconds
    return f"{1000 * seconds / steps:.0f} ms a step" if steps else "no step"


def _limit(answers: Answers) -> float:
    """Where a cumulative curve ends: a little beyond nine tenths of the samples, on a round number."""
    known = answers.errors[np.isfinite(answers.errors)]
    wanted = float(np.quantile(known, 0.9)) * 1.5 if len(known) else 1.0
    return next(end for end in (2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, np.inf) if end >= min(wanted, 200.0))


def _by_point(values: NDArray[np.float64], statistic: object) -> NDArray[np.float64]:
    """A statistic of each column (N, K) over what is known of it; NaN where nothing is."""
    assert callable(statistic)
    known = [column[np.isfinite(column)] for column in values.T]
    return np.array([statistic(column) if len(column) else np.nan for column in known], dtype=np.float64)


def _crop(rule: CropRule) -> str:
    return ", ".join(f"{name} {value}" for name, value in asdict(rule).items())


def _legend(task: Task, test: TestSet) -> str:
    """What the colours of overlays are."""
    entries = "".join(
        '<span style="margin-right:1em">'
        + (f'<span style="color:rgb{tuple(colour)};background:#555">&#9632;</span> ' if colour else "")
        + f"{escape(words)}</span>"
        for colour, words in task.legend(test)
    )
    return f"<p>{entries}</p>"
