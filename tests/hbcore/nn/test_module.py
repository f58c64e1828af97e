"""Modules and layers: names, state, modes."""

import numpy as np
import pytest

from hbcore import BatchNorm2d, BinaryConv2d, Conv2d, Tensor
from hbcore.nn.layers import AvgPool2d, MaxPool2d, PReLU, ReLU, Upsample, activation, he_normal, use_packed
from hbcore.nn.module import Identity, Module, Parameter, Sequential


class Toy(Module):
    def __init__(self):
        self.scale = Parameter(np.ones(2, dtype=np.float32))
        self.blocks = [BatchNorm2d(2), Sequential(PReLU(3))]
        self.running = np.zeros(4, dtype=np.float32)
        self.name = "toy"
        self.missing = None


def test_names_are_paths_in_order_of_definition():
    toy = Toy()
    assert [name for name, _ in toy.named_modules()] == ["", "blocks.0", "blocks.1", "blocks.1.modules.0"]
    assert [name for name, _ in toy.named_parameters()] == [
        "scale",
        "blocks.0.gamma",
        "blocks.0.beta",
        "blocks.1.modules.0.slope",
    ]
    assert [name for name, _ in toy.named_buffers()] == [
        "running",
        "blocks.0.running_mean",
        "blocks.0.running_variance",
    ]
    assert list(toy.state_dict()) == [name for name, _ in toy.named_parameters()] + [
        name for name, _ in toy.named_buffers()
    ]
    assert toy.parameters() == [parameter for _, parameter in toy.named_parameters()]


def test_state_dict_holds_the_arrays_themselves():
    toy = Toy()
    state = toy.state_dict()
    assert state["scale"] is toy.scale.data
    assert state["running"] is toy.running


def test_load_state_dict_copies_values():
    toy, other = Toy(), Toy()
    for number, array in enumerate(other.state_dict().values()):
        array += number + 1
    optimizers_view = toy.scale.data
    toy.load_state_dict(other.state_dict())
    for name, array in toy.state_dict().items():
        assert np.array_equal(array, other.state_dict()[name])
    assert toy.scale.data is optimizers_view, "who holds the array must see the new values"
    other.scale.data += 1
    assert toy.scale.data[0] != other.scale.data[0]


def test_load_state_dict_names_what_does_not_fit_and_changes_nothing():
    toy = Toy()
    good = {name: array + 5 for name, array in toy.state_dict().items()}
    before = {name: array.copy() for name, array in toy.state_dict().items()}
    missing = {name: array for name, array in good.items() if name != "running"}
    for state, message in [
        (missing, "missing running"),
        (good | {"surplus": np.ones(1)}, "unknown surplus"),
        (good | {"scale": np.ones(3)}, r"scale has shape \(3,\), expected \(2,\)"),
        ({}, "missing scale; missing .*; missing .* and 4 more"),
    ]:
        with pytest.raises(ValueError, match=message):
            toy.load_state_dict(state)
        assert all(np.array_equal(array, before[name]) for name, array in toy.state_dict().items())


def test_modes():
    toy = Toy()
    assert all(module.training for _, module in toy.named_modules())
    assert toy.eval() is toy
    assert not any(module.training for _, module in toy.named_modules())
    assert toy.train() is toy
    assert all(module.training for _, module in toy.named_modules())


def test_zero_grad():
    toy = Toy()
    toy.scale.grad = np.ones(2)
    toy.zero_grad()
    assert toy.scale.grad is None


def test_astype():
    toy = Toy()
    assert toy.astype(np.float64) is toy
    assert all(array.dtype == np.float64 for array in toy.state_dict().values())
    assert toy.scale.requires_grad


def test_sequence_and_identity():
    x = Tensor(np.array([-1.0, 2]))
    assert Identity()(x) is x
    assert Sequential()(x) is x
    assert Sequential(ReLU(), Identity(), ReLU())(x).data.tolist() == [0, 2]


def test_module_needs_a_forward():
    with pytest.raises(NotImplementedError):
        Module()(1)


def test_initial_weights():
    """He et al.: normal with variance 2 / fan-in, a function of the generator."""
    w = he_normal(np.random.default_rng(3), 3, 64, 128)
    assert w.shape == (3, 3, 64, 128)
    assert w.dtype == np.float32
    n = w.size
    assert abs(w.mean()) < 4 * np.sqrt(2 / (9 * 64) / n)  # four standard errors
    assert abs(w.var() * 9 * 64 / 2 - 1) < 4 * np.sqrt(2 / n)
    assert np.array_equal(w, he_normal(np.random.default_rng(3), 3, 64, 128))
    assert not np.array_equal(w, he_normal(np.random.default_rng(4), 3, 64, 128))


def test_layer_shapes():
    rng = np.random.default_rng(0)
    x = Tensor(rng.standard_normal((2, 8, 12, 3), dtype=np.float32))
    for layer, shape in [
        (Conv2d(3, 5, 7, rng, stride=2, padding=3), (2, 4, 6, 5)),
        (BinaryConv2d(3, 5, 3, rng, stride=2, padding=1), (2, 4, 6, 5)),
        (BatchNorm2d(3), (2, 8, 12, 3)),
        (PReLU(3), (2, 8, 12, 3)),
        (MaxPool2d(), (2, 4, 6, 3)),
        (AvgPool2d(4), (2, 2, 3, 3)),
        (Upsample(3), (2, 24, 36, 3)),
    ]:
        assert layer(x).shape == shape
    assert "bias" not in dict(Conv2d(3, 5, 1, rng, bias=False).named_parameters())
    assert Conv2d(3, 5, 1, rng, bias=False)(x).shape == (2, 8, 12, 5)


def test_prelu_starts_at_its_slope():
    assert PReLU(2, slope=0.5)(Tensor(np.array([[-4.0, 4]], dtype=np.float32))).data.tolist() == [[-2, 4]]


def test_activation():
    assert activation("none", 3) == []
    assert [type(module) for module in activation("relu", 3)] == [ReLU]
    (prelu,) = activation("prelu", 3)
    assert prelu.slope.shape == (3,)
    with pytest.raises(ValueError, match="unknown activation 'gelu': choose from none, relu, prelu"):
        activation("gelu", 3)


def test_use_packed():
    conv = BinaryConv2d(3, 5, 3, np.random.default_rng(0))
    model = Sequential(Sequential(conv), ReLU())
    assert use_packed(model) is model
    assert conv.packed
    use_packed(model, False)
    assert not conv.packed


def test_a_module_that_occurs_twice_or_in_itself_counts_once():
    relu, ring = PReLU(2), Sequential(PReLU(3))
    ring.modules += [ring, relu, relu]
    assert list(ring.walk()) == [ring, ring.modules[0], relu]
    assert [name for name, _ in ring.named_parameters()] == ["modules.0.slope", "modules.2.slope"]
    assert len(ring.parameters()) == 2
    assert ring.eval() is ring
    assert "part of itself" in repr(ring)
