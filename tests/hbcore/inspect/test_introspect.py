"""Looking inside: observation, costs by hand, and the first number that is not finite."""

import numpy as np
import pytest

from hbcore import BatchNorm2d, BinaryConv2d, Conv2d, StackedHourglass, Tensor, summary
from hbcore.inspect.observe import first_not_finite, observe
from hbcore.inspect.summary import LayerCost, Summary
from hbcore.nn.layers import MaxPool2d, ReLU
from hbcore.nn.module import Sequential


def toy():
    rng = np.random.default_rng(0)
    return Sequential(
        Conv2d(3, 8, 3, rng, stride=2, padding=1),
        BatchNorm2d(8),
        Sequential(BinaryConv2d(8, 5, 3, rng, padding=1), ReLU()),
        MaxPool2d(),
    )


def picture(height=8, width=12):
    return np.random.default_rng(1).random((1, height, width, 3), dtype=np.float32)


# -------------------------------------------------------------------------------------------------- observation


def test_observe_sees_every_module_in_order_of_completion():
    model, seen = toy(), []
    x = Tensor(picture())
    with observe(model, lambda name, module, inputs, result: seen.append((name, module, inputs, result))):
        y = model(x)
    assert [name for name, *_ in seen] == [
        "modules.0",
        "modules.1",
        "modules.2.modules.0",
        "modules.2.modules.1",
        "modules.2",
        "modules.3",
        "",
    ]
    assert seen[0][2] == (x,)
    assert seen[-1][3] is y
    assert seen[0][1] is model.modules[0]


def test_observe_ends_with_its_context():
    model, seen = toy(), []
    with pytest.raises(KeyError), observe(model, lambda *_: seen.append(1)):
        raise KeyError
    model(Tensor(picture()))
    assert seen == []
    assert all("observer" not in vars(module) for _, module in model.named_modules())


def test_observers_within_each_other_see_all_and_leave_the_outer_one():
    model, seen = toy(), []
    with observe(model, lambda name, *_: seen.append(f"outer {name}")):
        with observe(model.modules[2], lambda name, *_: seen.append(f"inner {name}")):
            model(Tensor(picture()))
        summary(model, 8, 12)
    assert seen[2:5] == ["outer modules.2.modules.0", "inner modules.0", "outer modules.2.modules.1"]
    assert seen.count("outer modules.0") == 2
    assert seen.count("inner modules.0") == 1
    assert all("observer" not in vars(module) for module in model.walk())


def test_a_module_that_occurs_twice_is_seen_twice_by_its_first_name():
    conv = Conv2d(3, 3, 3, np.random.default_rng(0), padding=1, bias=False)
    model = Sequential(conv, ReLU(), conv)
    seen = []
    with observe(model, lambda name, *_: seen.append(name)):
        model(Tensor(picture()))
    assert seen == ["modules.0", "modules.1", "modules.0", ""]
    cost = summary(model, 8, 12)
    assert [(layer.name, layer.weights, layer.macs) for layer in cost.layers] == [
        ("modules.0", 81, 8 * 12 * 81),
        ("modules.0", 0, 8 * 12 * 81),
    ]
    assert cost.parameters == 81


# -------------------------------------------------------------------------------------------------------- costs


def test_summary_by_hand():
    cost = summary(toy(), 8, 12)
    first, second = cost.layers
    assert (first.name, first.binary, first.output) == ("modules.0", False, (4, 6, 8))
    assert (first.weights, first.macs) == (3 * 3 * 3 * 8, 4 * 6 * 3 * 3 * 3 * 8)
    assert (second.name, second.binary, second.output) == ("modules.2.modules.0", True, (4, 6, 5))
    assert (second.weights, second.macs) == (3 * 3 * 8 * 5, 4 * 6 * 3 * 3 * 8 * 5)
    assert cost.to_dict() == {
        "binary_convolutions": 1,
        "binary_weights": 360,
        "binary_weight_bytes": 45,
        "real_convolutions": 1,
        "parameters": 216 + 8 + 16 + 360,
        "binary_macs": 8640,
        "real_macs": 5184,
    }


def test_summary_as_text():
    text = str(summary(toy(), 8, 12))
    lines = text.splitlines()
    assert lines[0].split() == ["layer", "bits", "output", "weights", "MACs"]
    assert lines[1].split() == ["modules.0", "32", "4", "x", "6", "x", "8", "216", "5,184"]
    assert lines[2].split() == ["modules.2.modules.0", "1", "4", "x", "6", "x", "5", "360", "8,640"]
    assert "binary weight bytes" in text


def test_columns_of_a_deep_network_stand_apart():
    name = "hourglasses.0.low2.low2.low2.low1.conv1.modules.1"
    lines = str(Summary((LayerCost(name, (1, 1), (128, 128, 64), 9_408, 154_140_672),), 9_408)).splitlines()
    assert lines[1].split() == [name, "1", "128", "x", "128", "x", "64", "9,408", "154,140,672"]
    assert len(set(map(len, lines))) == 1


def test_summary_changes_nothing():
    for training in (True, False):
        model = toy().train(training)
        before = {name: array.copy() for name, array in model.state_dict().items()}
        summary(model, 8, 12)
        assert all(module.training == training for _, module in model.named_modules())
        assert all(np.array_equal(array, before[name]) for name, array in model.state_dict().items())
        assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize("look", [lambda m: summary(m, 8, 12), lambda m: first_not_finite(m, picture())])
def test_parts_that_were_frozen_stay_frozen(look):
    model = toy().train()
    model.modules[1].eval()
    look(model)
    assert [module.training for module in model.walk()] == [True, True, False, True, True, True, True]


def test_bits_of_an_odd_number_of_weights_round_up_to_bytes():
    assert summary(BinaryConv2d(3, 3, 1, np.random.default_rng(0)), 4, 4).to_dict()["binary_weight_bytes"] == 2


# ---------------------------------------------------------------------------------------------------- not finite


def test_all_is_well():
    assert first_not_finite(toy(), picture()) is None
    model = StackedHourglass(features=16, joints=2, depth=1)
    assert first_not_finite(model, picture(16, 16)) is None


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["modules.0.weight", "modules.1.running_mean", "modules.2.modules.0.weight"])
def test_names_the_parameter(name, bad):
    model = toy()
    model.state_dict()[name].flat[-1] = bad
    assert first_not_finite(model, picture()) == name


def test_names_the_module_whose_output_is_not_finite():
    """Finite weights, but 3e38 times two overflows in batch norm; the sign after it raises on what comes next."""
    model = toy()
    model.modules[1].gamma.data[...] = 3e38
    with np.errstate(all="ignore"):
        assert first_not_finite(model, 100 * picture()) == "modules.1"


def test_names_the_first_module_after_a_bad_picture():
    bad = picture()
    bad[0, 3, 3, 1] = np.nan
    assert first_not_finite(toy(), bad) == "modules.0"


def test_looks_into_lists_of_results():
    model = StackedHourglass(features=16, joints=2, depth=1, stacks=2)
    model.heads[1].heatmaps.bias.data[...] = 3e38
    model.heads[1].heatmaps.weight.data[...] = 3e38
    with np.errstate(all="ignore"):
        assert first_not_finite(model, picture(16, 16)) == "heads.1.heatmaps"
