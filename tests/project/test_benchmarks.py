"""The benchmarks measure what they say: turns, medians, twins that are twins, tables that run. No time is asserted."""

import json
import sys

import numpy as np
import pytest

import hbcore
from benchmarks import material, memory, report, step, timing
from benchmarks.__main__ import TABLES, main
from benchmarks.numpy_twin import NumpyTwin
from benchmarks.peers import Case, Missing, all_peers, ours, quietly
from benchmarks.settings import Settings
from benchmarks.timing import TURN, Absent, Candidate, Spread, Timing, interleave
from benchmarks.topology import record, single
from hbcore import kernels
from hbcore.nn.layers import BatchNorm2d, BinaryConv2d, Conv2d
from hbcore.optim.losses import heatmap_cross_entropy
from tests.torch_threads import one_torch_thread
from training.tasks.pose import POSE

RELATIVE = 1e-9
CHOICES = "choose from layer, network, points, step, loading, run, memory, scaling, against"


class FakeClock:
    """Time that passes only when a candidate is called."""

    def __init__(self):
        self.now = 0.0
        self.log = []

    def __call__(self):
        return self.now

    def candidate(self, name, *seconds, **options):
        """Takes `seconds` of its first, second ... call; the last figure from then on."""
        calls = iter(seconds)
        last = [0.0]

        def run():
            last[0] = next(calls, last[0])
            self.now += last[0]
            self.log.append(name)

        return Candidate(name, run, **options)


def play(clock, candidates, repeats=3, seconds=1e9, sleep=lambda _: None):
    return interleave(candidates, repeats, seconds, clock=clock, sleep=sleep)


def test_candidates_take_turns():
    clock = FakeClock()
    play(clock, [clock.candidate("a", 1.0), clock.candidate("b", 2.0)])
    assert "".join(clock.log) == "ab" + "ababab"  # one call each to warm up, then three rounds


def test_warming_up_does_not_count():
    clock = FakeClock()
    (slow_start,) = play(clock, [clock.candidate("a", 100.0, 1.0)])
    assert slow_start.rounds == [1.0, 1.0, 1.0]


def test_fast_candidates_are_called_until_a_turn_is_full():
    clock = FakeClock()
    (fast,) = play(clock, [clock.candidate("a", TURN / 4)], repeats=2)
    assert len(clock.log) == 2 + 2 * 4
    assert np.allclose(fast.rounds, TURN / 4)


def test_a_candidate_that_used_its_share_sits_out():
    clock = FakeClock()
    slow, fast = play(clock, [clock.candidate("slow", 10.0), clock.candidate("fast", 1.0)], repeats=8, seconds=10)
    assert len(slow.rounds) == timing.MIN_ROUNDS
    assert len(fast.rounds) == 6  # the sixth takes it past its 5 seconds
    assert slow.over(fast) == Spread(10, 10, 10)


def test_prepared_before_and_settled_after_each_turn():
    clock, prepared, slept = FakeClock(), [], []
    pair = clock.candidate("a", 1.0, threads=2, prepare=lambda: prepared.append(clock.now))
    play(clock, [pair, clock.candidate("b", 1.0)], sleep=slept.append)
    assert len(prepared) == 1 + 3
    assert slept == [timing.SETTLE] * 3


def test_median_between_quartiles():
    assert Spread.of([5.0, 1.0, 2.0, 4.0, 3.0]) == Spread(2, 3, 4)


def test_ratios_are_taken_within_rounds():
    """Both slow down alike: the ratio does not see it."""
    mine, theirs = Timing(Candidate("a", dict), [1.0, 2.0, 4.0]), Timing(Candidate("b", dict), [3.0, 6.0, 12.0])
    assert theirs.over(mine) == Spread(3, 3, 3)


def test_table_of_timings(monkeypatch):
    clock = FakeClock()
    monkeypatch.setattr(report, "interleave", lambda built, repeats, _, turn: play(clock, built, repeats))
    built = [
        clock.candidate("ours", 0.5),
        clock.candidate("good", 1.0, kind="fp32", against="ours"),
        clock.candidate("better", 0.75, kind="fp32", against="ours"),
        Absent("gone", "not installed"),
    ]
    table, timings = report.timed_table("layer", "a title", built, 3, 1.0)
    assert list(timings) == ["ours", "good", "better"]
    assert [(row.value.median, row.ratio and row.ratio.median) for row in table.rows] == [
        (500, None),
        (1000, 2.0),
        (750, 1.5),
    ]
    assert table.facts == {"fastest fp32 peer / ours": report.Fact(Spread(1.5, 1.5, 1.5), "better")}
    text = report.as_text(table)
    assert "a title" in text
    assert "absent: not installed" in text
    assert json.loads(json.dumps(table.as_data()))["absent"] == [{"name": "gone", "reason": "not installed"}]


# ----------------------------------------------------------------------------------------------------- twins


def network(seed=0, **architecture):
    """A network in float64 whose normalisations are as in a trained one: no threshold on an integer."""
    model = hbcore.StackedHourglass(**{"features": 16, "joints": 5, "depth": 2, "seed": seed, **architecture})
    model.astype(np.float64)
    rng = np.random.default_rng(seed + 1)
    for _, module in model.named_modules():
        if isinstance(module, BatchNorm2d):
            for array in (module.gamma.data, module.beta.data, module.running_mean):
                array += 0.3 * rng.standard_normal(array.shape)
            module.running_variance[...] = rng.random(module.running_variance.shape) + 0.5
    return model


def picture(*shape):
    return np.random.default_rng(3).random((*shape, 3))


def relative_error(found, expected):
    return float(np.abs(found - expected).max() / np.abs(expected).max())


ARCHITECTURES = {
    "real": {"binary": False},
    "real, two stacks": {"binary": False, "stacks": 2},
    "real bottleneck": {"binary": False, "block": "bottleneck"},
    "binary": {},
    "binary, two stacks, ReLU": {"stacks": 2, "activation": "relu"},
    "binary bottleneck": {"block": "bottleneck"},
}


@pytest.fixture
def torch():
    with quietly():
        torch = pytest.importorskip("torch", reason="no PyTorch to compare with")
    with one_torch_thread(torch):
        yield torch


@pytest.mark.parametrize("training", [False, True], ids=["evaluation", "training"])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_torch_twin_is_a_twin(torch, name, training):
    from benchmarks.torch_twin import Twin, channels_first

    model, x = network(**ARCHITECTURES[name]).train(training), picture(2, 32, 48)
    expected = model(hbcore.Tensor(x))
    found = Twin(record(model)).train(training)(channels_first(x))
    assert len(found) == len(expected)
    for theirs, mine in zip(found, expected, strict=True):
        assert relative_error(theirs.detach().permute(0, 2, 3, 1).numpy(), mine.data) < RELATIVE


def test_real_torch_twin_has_the_same_gradients(torch):
    from benchmarks.torch_twin import Twin, channels_first

    model, x = network(binary=False), picture(2, 32, 32)
    target, weight = np.random.default_rng(5).random((2, 8, 8, 5)), np.ones((2, 5))
    loss = heatmap_cross_entropy(model(hbcore.Tensor(x))[-1], target, weight)
    loss.backward()
    twin = Twin(record(model)).train()
    y = twin(channels_first(x))[-1]
    theirs = torch.nn.functional.binary_cross_entropy_with_logits(y, channels_first(target), reduction="sum") / 10
    theirs.backward()
    assert abs(theirs.item() - loss.item()) < RELATIVE * loss.item()
    layers = dict(model.named_modules())
    largest = max(np.abs(parameter.grad).max() for parameter in model.parameters())
    for key, module in twin.layers.items():
        mine = layers[key.replace("/", ".")]
        gradient = mine.gamma.grad if isinstance(mine, BatchNorm2d) else mine.weight.grad.transpose(3, 2, 0, 1)
        assert np.abs(module.weight.grad.numpy() - gradient).max() < RELATIVE * largest, key


def test_binarised_torch_layer_has_the_same_gradients(torch):
    """A layer, not a network: it has alpha in its weights, the cheaper way, so that ties in max-pooling fall by chance.

    Inputs and weights on both sides of the estimator's window.
    """
    from benchmarks.torch_twin import Twin, channels_first

    rng = np.random.default_rng(0)
    layer = BinaryConv2d(5, 4, 3, rng, padding=1).astype(np.float64)
    layer.weight.data *= 3
    assert 0 < (np.abs(layer.weight.data) < 1).mean() < 1
    x, factor = 2 * rng.standard_normal((2, 6, 7, 5)), rng.standard_normal((2, 6, 7, 4))
    mine = hbcore.Tensor(x, requires_grad=True)
    (layer(mine) * hbcore.Tensor(factor)).sum().backward()
    twin, theirs = Twin(single(layer)), channels_first(x).requires_grad_()
    (twin(theirs)[0] * channels_first(factor)).sum().backward()
    assert relative_error(theirs.grad.permute(0, 2, 3, 1).numpy(), mine.grad) < RELATIVE
    weight = next(twin.parameters())
    assert relative_error(weight.grad.permute(2, 3, 1, 0).numpy(), layer.weight.grad) < RELATIVE


@pytest.mark.parametrize("name", [name for name in ARCHITECTURES if name.startswith("real")])
def test_numpy_twin_is_a_twin(name):
    model, x = network(**ARCHITECTURES[name]).eval(), picture(1, 32, 48)
    program = record(model)
    found = NumpyTwin(program)(x)
    for theirs, mine in zip(found, model(hbcore.Tensor(x)), strict=True):
        assert relative_error(theirs, mine.data) < RELATIVE
    ranges = NumpyTwin(program).ranges(x)
    assert ranges[program.results[-1]] == (found[-1].min(), found[-1].max())


def test_values_are_let_go():
    """Nothing but the result is left at the end, and each value goes once."""
    program = record(network(stacks=2))
    dropped = [value for step in program.steps for value in step.drop]
    assert len(dropped) == len(set(dropped))
    assert sorted([*dropped, *program.results]) == list(range(len(program.steps) + 1))


def test_what_no_peer_has_is_named():
    with pytest.raises(ValueError, match="no peer for PReLU"):
        record(network(activation="prelu"))


def run_graph(graph, x):
    with quietly():
        runtime = pytest.importorskip("onnxruntime", reason="no ONNX Runtime to run the graph")
        session = runtime.InferenceSession(graph, providers=["CPUExecutionProvider"])
        return session.run(None, {"x": np.ascontiguousarray(x.transpose(0, 3, 1, 2))})[0].transpose(0, 2, 3, 1)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [name for name in ARCHITECTURES if name.startswith("real")])
def test_onnx_graphs_are_twins(name):
    pytest.importorskip("onnx", reason="no onnx to build the graph with")
    from benchmarks import onnx_graph

    model, x = network(**ARCHITECTURES[name]).astype(np.float32).eval(), picture(1, 32, 32).astype(np.float32)
    program, expected = record(model), ours.evaluate(model, x)
    assert relative_error(run_graph(onnx_graph.float_model(program, x.shape), x), expected) < 1e-4
    in_bytes = onnx_graph.int8_model(program, x.shape, NumpyTwin(program).ranges(x))
    assert relative_error(run_graph(in_bytes, x), expected) < 0.3  # bytes are coarse, but not unrelated


def real_case(name):
    """One real-valued network in float32 with what it gives for a picture."""
    model, x = network(**ARCHITECTURES[name]).astype(np.float32).eval(), picture(1, 32, 32).astype(np.float32)
    return Case(record(model), x), ours.evaluate(model, x)


def twice(run):
    """The second answer: some engines use the memory of their input for other values."""
    run()
    return run()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [name for name in ARCHITECTURES if name.startswith("real")])
def test_tflite_graphs_are_twins(name):
    with quietly():
        pytest.importorskip("ai_edge_litert", reason="no LiteRT to run the graph")
    from benchmarks.peers import litert_peer

    case, expected = real_case(name)
    assert relative_error(twice(litert_peer.float32(case)), expected) < 1e-4
    assert relative_error(twice(litert_peer.int8(case)), expected) < 0.3


@pytest.mark.parametrize("name", [name for name in ARCHITECTURES if name.startswith("real")])
def test_mnn_computes_the_graph(name):
    pytest.importorskip("MNN", reason="no MNN to run the graph")
    pytest.importorskip("onnx", reason="no onnx to build the graph with")
    from benchmarks.peers import mnn_peer

    case, expected = real_case(name)
    assert relative_error(twice(mnn_peer.session(case)).transpose(0, 2, 3, 1), expected) < 1e-4


# ---------------------------------------------------------------------------------------- peers and tables


def layer_case():
    rng = np.random.default_rng(0)
    binary, real = BinaryConv2d(64, 32, 3, rng, padding=1), Conv2d(64, 32, 3, rng, padding=1, bias=False)
    x = rng.standard_normal((1, 8, 8, 64), dtype=np.float32)
    return Case(single(real), x, binary=binary, bytes_outside=True)


@pytest.mark.parametrize("peer", all_peers(), ids=lambda peer: peer.name)
def test_peer_runs_one_layer(peer):
    try:
        peer.version()
    except Missing as error:
        pytest.skip(f"{peer.name}: {error}")
    built = peer.inference(layer_case())
    absent = [item for item in built if isinstance(item, Absent)]
    with quietly():
        for item in built:
            if isinstance(item, Candidate):
                item.run()
    if absent:
        pytest.skip("; ".join(f"{item.name}: {item.reason}" for item in absent))


def test_what_cannot_be_built_is_absent():
    case = layer_case()

    def broken():
        raise RuntimeError("no such luck\nand more")

    assert case.candidate("x", "fp32", broken) == Absent("x", "RuntimeError: no such luck")
    assert case.candidate("x", "fp32", lambda: broken) == Absent("x", "RuntimeError: no such luck")

    def not_there():
        raise ModuleNotFoundError("No module named 'peer'", name="peer")

    assert case.candidate("x", "fp32", not_there) == Absent("x", "peer is not installed")


def test_our_layer_takes_bits_and_floats():
    case = layer_case()
    packed, packing = ours.layer(case.binary, case.picture)
    with hbcore.no_grad():
        expected = case.binary(hbcore.Tensor(case.picture)).data
    assert np.array_equal(packed(), expected)
    assert np.array_equal(packing(), expected)


@pytest.mark.parametrize("name", [name for name in TABLES if name not in ("memory", "against")])
def test_tables_run_end_to_end(name, tmp_path, capsys, one_thread_after):
    """With whatever peers are here; the smallest sizes."""
    out = tmp_path / "found.json"
    with quietly():
        status = main(["--tiny", "--only", name, "--repeats", "1", "--seconds", "0.1", "--json", str(out)])
    assert status == 0
    printed = capsys.readouterr().out
    found = json.loads(out.read_text(encoding="utf-8"))
    assert found["machine"]["kernels"] == hbcore.kernel_report()
    for peer in all_peers():
        assert found["machine"]["peers"][peer.name]
    assert [table["name"] for table in found["tables"]] == [name]
    for table in found["tables"]:
        assert table["rows"][0]["name"].startswith("hbcore")
        assert table["rows"][0]["against"] == ""
        for row in table["rows"]:
            assert row["name"] in printed
            assert 0 < row["value"]["low"] <= row["value"]["median"] <= row["value"]["high"]
        for absent in table["absent"]:
            assert absent["reason"]
            assert absent["name"] in printed


def test_everybody_may_be_missing(monkeypatch, tmp_path, one_thread_after):
    """Then they are named, with the reason, and ours is timed alone."""
    for module in ("torch", "onnxruntime", "openvino", "ncnn", "MNN", "ai_edge_litert"):
        monkeypatch.setitem(sys.modules, module, None)
    out = tmp_path / "found.json"
    assert main(["--tiny", "--only", "network,step", "--repeats", "1", "--seconds", "0.1", "--json", str(out)]) == 0
    whole, steps = json.loads(out.read_text(encoding="utf-8"))["tables"]
    reasons = {absent["name"]: absent["reason"] for absent in whole["absent"] + steps["absent"]}
    assert reasons["PyTorch fp32 channels-last"] == "torch is not installed"
    assert reasons["PyTorch fp32, binarised"] == "torch is not installed"
    assert reasons["ONNX Runtime int8"] == "onnxruntime is not installed"
    assert reasons["OpenVINO fp32"] == "openvino is not installed"
    assert reasons["ncnn fp32"] == "ncnn is not installed"
    assert reasons["MNN fp32"] == "MNN is not installed"
    assert reasons["LiteRT fp32"] == reasons["LiteRT int8"] == "ai_edge_litert is not installed"
    assert [row["name"] for row in steps["rows"]] == [
        "hbcore binary",
        "hbcore binary, 1 thread",
        "hbcore binary, float32 gradients",
        "hbcore fp32 twin",
        "hbcore fp32 twin, 1 thread",
    ]


def small(*arguments):
    return ["--tiny", "--repeats", "1", "--seconds", "0.1", *arguments]


def test_a_run_keeps_a_share_of_the_speed_of_its_steps(tmp_path, one_thread_after):
    """In one round: seconds of the steps alone / seconds of the run; and pictures over seconds."""
    out = tmp_path / "found.json"
    assert main(small("--only", "run", "--data", "synthetic?length=4&size=32", "--json", str(out))) == 0
    (table,) = json.loads(out.read_text(encoding="utf-8"))["tables"]
    values = {row["name"]: row["value"]["median"] for row in table["rows"]}
    for name in ("drawn figures", "synthetic"):
        alone, run = values[f"hbcore, steps alone, {name}"], values[f"hbcore, run, {name}"]
        share = table["facts"][f"share of what the steps alone allow, {name}"]["value"]["median"]
        assert share == pytest.approx(alone / run)
        rate = table["facts"][f"pictures a second, hbcore, run, {name}"]["value"]["median"]
        assert rate == pytest.approx(2 * 8 / (run / 1000))  # two steps of eight pictures


def test_data_of_one_task_are_one():
    specs = "synthetic?length=4", "synthetic?length=3&seed=1"
    drawn, named = material.materials(Settings(tiny=True, data=specs))
    assert (drawn.name, named.name) == ("drawn figures", "synthetic and synthetic")
    assert (drawn.task, named.task) == (POSE, POSE)
    assert len(named.plan.data) == 7
    assert named.plan.shape == (8, 32, 32, 3)


def test_tasks_by_data():
    assert [material.task_of(spec) for spec in ("lsp:a", "csv:a.csv?test=0.2", "300w:b", "masks:c")] == [
        "pose",
        "pose",
        "face",
        "parts",
    ]


def test_training_steps_keep_their_memory(monkeypatch, one_thread_after):
    """As in a training run: keep_memory is a context, of which a bare call would be no sign."""
    kept = []
    monkeypatch.setattr(step, "timed_table", lambda *_: kept.append(kernels._Kept.count) or [None])
    step.table(Settings(tiny=True), 16, 32, 2)
    assert kept == [1]


def test_memory_of_a_process():
    before, peak = memory.in_own_process("hbcore", True, 16, 64, 1)
    assert 0 < before <= peak
    with pytest.raises(Missing, match="features must be a positive multiple of 16"):
        memory.in_own_process("hbcore", True, 17, 64, 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--only", "layer,bread"],
            f"error: unknown table 'bread': {CHOICES}\n",
        ),
        (
            ["--only", ","],
            f"error: no table: {CHOICES}\n",
        ),
        (["--repeats", "0"], "error: --repeats and --seconds must be positive\n"),
        (["--data", "mpi:there"], "error: --data: unknown data set 'mpi'; did you mean 'mpii'?\n"),
        (
            ["--data", "lsp:/no/such"],
            "error: --data: lsp: there is no folder /no/such; give the one that holds joints.mat and images/\n",
        ),
    ],
)
def test_impossible_choices_are_one_line(arguments, message, capsys):
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", message)
