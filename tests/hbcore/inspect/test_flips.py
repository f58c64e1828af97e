"""Sign changes of a training run: counted by hand, and told from a run folder."""

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from hbcore import BinaryConv2d, save_model
from hbcore.inspect import __main__ as entry
from hbcore.inspect.changes import SignChanges
from hbcore.inspect.subject import binary_units
from hbcore.inspect.views.flips import bars, course, settled
from hbcore.nn.module import Sequential
from hbcore.threads import set_threads
from tests.command_lines import Outcome
from tests.hbcore.inspect.models import HEADER, model


def test_changes_step_by_step():
    conv = BinaryConv2d(2, 1, 1, np.random.default_rng(0))
    w = conv.weight.data.reshape(-1)
    w[:] = 1, 1
    counts = {}
    changes = SignChanges(Sequential(conv), counts)
    for step, values in enumerate(([1, 2], [-1, 2], [1, 2], [0.0, -2]), start=1):  # 0 is a plus
        w[:] = values
        changes.update(step, 4)
    assert counts == {"0": 3}
    assert changes.last["0"].reshape(-1).tolist() == [501, 751]  # at the third step of four, and at the last
    changes.begin({}, {"0": np.full((1, 1, 2, 1), 7), "other": np.zeros(1)})
    w[:] = 0, 2
    changes.update(4, 4)
    assert changes.counts == {"0": 1}
    assert changes.last["0"].reshape(-1).tolist() == [7, 751]


def test_two_threads_share_the_layers_of_a_large_network(one_thread_after):
    rng = np.random.default_rng(0)
    layers = [BinaryConv2d(128, 512, 3, rng) for _ in range(3)]  # 2.4 MB of weights each: enough for threads
    set_threads(2)
    changes = SignChanges(Sequential(*layers), {})
    for number, conv in enumerate(layers):
        conv.weight.data.reshape(-1)[: 5 + number] *= -1
    changes.update(1, 1000)
    assert changes.counts == {"0": 5, "1": 6, "2": 7}
    assert [int(np.count_nonzero(last)) for last in changes.last.values()] == [5, 6, 7]


def test_signs_of_real_weights_are_no_bits():
    """A run that begins with real weights: what changes then does not count, and what changes later does."""
    conv = BinaryConv2d(2, 1, 1, np.random.default_rng(0))
    w = conv.weight.data.reshape(-1)
    w[:] = 1, 1
    changes = SignChanges(Sequential(conv), {})
    for step, (kind, values) in enumerate([("activations", [-1, 1]), ("both", [-1, -1])], start=1):
        conv.binarize = kind
        w[:] = values
        changes.update(step, 2)
    assert changes.counts == {"0": 1}
    assert changes.last["0"].reshape(-1).tolist() == [0, 501]


def test_what_became_of_a_layer():
    last = np.array([0, 1, 900, 901, 1000], dtype=np.uint16)
    latent = np.array([1, -2, 0.15, 3, -0.05])  # the median of their sizes is 1
    layer = settled("name", last, latent, 12)
    assert (layer.weights, layer.changes, layer.ever, layer.late) == (5, 12, 4, 2)
    half = np.array([0, 449, 450, 451, 500], dtype=np.uint16)  # of a run that stopped in the middle
    assert settled("name", half, latent, 12, 0.5).late == 2
    assert (layer.middle, layer.small) == (1, 0.2)
    # -2 and -0.05, then 0.15, 1 and 3: the first twentieth, the last below 0, the second above it, and the last
    assert {place: count for place, count in enumerate(layer.latent) if count} == {0: 1, 9: 1, 11: 1, 19: 2}


def test_bars_are_as_high_as_their_counts():
    assert bars([0, 1, 7, 14]) == " ▁▄█"


def test_the_course_of_a_run_in_tenths():
    rows = np.array([[10, 4, 6], [20, 1, 0], [40, 2, 2]])
    # 10 changes in 10 steps of 100 weights: 10,000 per million and step
    assert course(rows, 100) == [(10, 10000.0), (20, 1000.0), (40, 2000.0)]
    assert course(rows[:0], 100) == []


CONFIG = "[optim]\nsteps = 20\n[model]\nbinarize = 'both'\n"


def save_state(folder, network, last, step=20, config=CONFIG):
    """A checkpoint as runs write it, without what only training needs."""
    arrays = {f"model/{name}": array for name, array in network.state_dict().items()} | last
    header = {"format": "hbcore-run/1", "config": config, "progress": {"step": step}}
    save_file(arrays, folder / "state.safetensors", {"hbcore": json.dumps(header)})


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run folder of 20 steps. Layer number i, from 1, changed i + 4 signs, has one weight that never settled, and
    latent weights of the size i."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "run"
    folder.mkdir()
    network = model()
    save_model(network, folder / "last.safetensors", HEADER)
    names = list(binary_units(network))
    rows = [["step", *names], [10, *range(1, len(names) + 1)], [20, *[4] * len(names)]]
    for size, (_, conv, _) in enumerate(binary_units(network).values(), start=1):
        conv.weight.data[:] = size
    text = "".join(",".join(map(str, row)) + "\n" for row in rows)
    (folder / "flips.csv").write_text(text + "30,1")  # torn
    last = {
        f"flips/{name}": np.zeros(conv.weight.shape, np.uint16) for name, (_, conv, _) in binary_units(network).items()
    }
    for array in last.values():
        array[0, 0, 0, :2] = 1000, 900
    save_state(folder, network, last)
    return folder, len(names)


def test_the_command(run, capsys):
    folder, layers = run
    said = json.loads(Outcome(entry.main, capsys, "flips", "run", "--json").out)
    changes = 4 * layers + layers * (layers + 1) // 2
    assert (said["changes"], said["ever"], said["late"]) == (changes, 2 * layers, layers)
    assert [layer["changes"] for layer in said["layers"]] == [size + 4 for size in range(1, layers + 1)]
    assert [layer["middle"] for layer in said["layers"]] == list(range(1, layers + 1))
    assert [step for step, _ in said["course"]] == [10, 20]
    assert f"{changes:,} sign changes of " in Outcome(entry.main, capsys, "flips", "run").out
    Outcome(entry.main, capsys, "flips", "run/last.safetensors").fails(3, "flips looks at a run folder")
    (folder / "flips.csv").write_text("step,elsewhere\n1,2\n")
    Outcome(entry.main, capsys, "flips", "run").fails(3, "holds no sign changes of elsewhere")
    damaged = ("", "step,a\n1,2,3\n", "step,a\n1,x\n", f"step,a\n{'1' * 23},2\n", f"step,a\n1,{'1' * 131073}\n")
    for text in (*damaged, "step,a\n2,1\n2,1\n", "step,a\n0,1\n", "step,a\n1,-1\n", f"step,a\n1,{2**62}\n"):
        (folder / "flips.csv").write_text(text)
        Outcome(entry.main, capsys, "flips", "run").fails(3, "flips.csv: no table of sign changes")
    (folder / "flips.csv").unlink()
    Outcome(entry.main, capsys, "flips", "run").fails(3, "flips.csv: No such file or directory; runs of this version")


def test_a_run_with_real_weights_has_nothing_to_count(run, capsys):
    save_state(run[0], model(), {}, config=CONFIG.replace("both", "activations"))
    Outcome(entry.main, capsys, "flips", "run").fails(3, "run: this network has no layer with weights of one bit")


def test_a_run_without_its_checkpoint_is_named(run, capsys):
    (run[0] / "state.safetensors").unlink()
    Outcome(entry.main, capsys, "flips", "run").fails(3, "state.safetensors: is missing: a run keeps its checkpoint")


def test_a_run_that_stopped_early_is_measured_by_its_own_steps(run, capsys):
    """Half of it is done: the weights that changed at 480 of 1,000 did so in its last tenth."""
    folder, layers = run
    units = binary_units(model()).items()
    last = {f"flips/{name}": np.zeros(conv.weight.shape, np.uint16) for name, (_, conv, _) in units}
    for array in last.values():
        array[0, 0, :2, :2] = [[480, 460], [440, 0]]
    save_state(folder, model(), last, step=10)
    said = json.loads(Outcome(entry.main, capsys, "flips", "run", "--json").out)
    assert (said["step"], said["steps"], said["ever"], said["late"]) == (10, 20, 3 * layers, 2 * layers)
    text = Outcome(entry.main, capsys, "flips", "run").out
    assert "in the last tenth of the 10 steps so far; what would never settle is only known at step 20\n" in text
    for config in ("", "=", "[optim]\nsteps = 20\n", CONFIG.replace("20", "'x'"), CONFIG.replace("20", "nan")):
        save_state(folder, model(), last, config=config)
        Outcome(entry.main, capsys, "flips", "run").fails(3, "state.safetensors: does not say how far the run is")
