"""Modules and layers: names, state, modes."""

import numpy as np
import pytest

from hbcore import BatchNorm2d, BinaryConv2d, Conv2d, Style, Tensor, no_grad
from hbcore.autograd.conv import avg_pool2d, max_pool2d, upsample_nearest2d
from hbcore.inspect.observe import observe
from hbcore.nn.blocks import Unit
from hbcore.nn.layers import AvgPool2d, MaxPool2d, PReLU, ReLU, Upsample, activation, constrain, he_normal, use_packed
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


# ----------------------------------------------------------------------------------------- what went wrong in silence


def test_what_is_used_twice_is_met_once():
    """One layer in two places, and one parameter in two layers: each by its first name."""
    shared, a, b = PReLU(3), BatchNorm2d(2), BatchNorm2d(2)
    b.gamma, b.running_mean = a.gamma, a.running_mean
    model = Sequential(shared, Sequential(shared), a, b)
    names = ["modules.0.slope", "modules.2.gamma", "modules.2.beta", "modules.3.beta"]
    assert [name for name, _ in model.named_parameters()] == names
    assert [id(p) for p in model.parameters()] == [id(p) for _, p in model.named_parameters()]
    assert [name for name, _ in model.named_buffers()] == [
        "modules.2.running_mean",
        "modules.2.running_variance",
        "modules.3.running_variance",
    ]
    assert list(model.walk()) == [module for _, module in model.named_modules()]
    assert len(list(model.walk())) == 5
    seen = []
    with observe(model, lambda name, *_: seen.append(name)):
        shared(Tensor(np.ones((1, 3), dtype=np.float32)))
    assert seen == ["modules.0"]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.full(2, 1e300), "scale holds numbers beyond float32"),
        (np.full(2, 1j), "scale holds complex128 values, not real numbers"),
        (np.array(["1", "2"]), "scale holds <U1 values"),
        (np.array([1, None]), "scale holds object values"),
    ],
)
@pytest.mark.parametrize("name", ["scale", "running"])
def test_values_that_would_change_on_their_way_are_refused_before_anything_changes(name, value, message):
    """Also where it is the last array of the state that does not fit."""
    toy = Toy()
    good = {name: array + 5 for name, array in toy.state_dict().items()}
    before = {name: array.copy() for name, array in toy.state_dict().items()}
    bad = np.resize(value, before[name].shape)
    with pytest.raises(ValueError, match=message.replace("scale", name)):
        toy.load_state_dict(good | {name: bad})
    assert all(np.array_equal(array, before[name]) for name, array in toy.state_dict().items())


def test_load_state_dict_takes_lists_and_other_precisions():
    toy = Toy()
    state = {name: array.astype(np.float64) for name, array in toy.state_dict().items()}
    toy.load_state_dict(state | {"scale": [3, 4]})
    assert toy.scale.data.tolist() == [3, 4]
    assert toy.scale.data.dtype == np.float32


def test_centring_leaves_filters_of_one_channel_alone():
    """Their mean over input channels is themselves."""
    rng = np.random.default_rng(0)
    single, several = (BinaryConv2d(c, 2, 1, rng, center_weights=True, clamp_weights=False) for c in (1, 3))
    before, expected = single.weight.data.copy(), several.weight.data - several.weight.data.mean(axis=2, keepdims=True)
    constrain(Sequential(single, several))
    assert np.array_equal(single.weight.data, before)
    assert np.array_equal(several.weight.data, expected)


@pytest.mark.parametrize("fused", [False, True])
def test_one_pixel_has_a_mean_but_no_variance(fused):
    """1 x 1 maps and a batch of 1: the running mean goes a tenth of the way to 5, the variance stays."""
    unit = Unit(2, 3, 1, Style(rng=np.random.default_rng(0)))
    norm = unit.modules[0]
    (unit if fused else norm)(Tensor(np.full((1, 1, 1, 2), 5, dtype=np.float32)))
    assert norm.running_mean.tolist() == [0.5, 0.5]
    assert norm.running_variance.tolist() == [1, 1]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_a_picture_that_is_not_finite_leaves_running_statistics_alone(bad):
    norm = BatchNorm2d(2)
    picture = np.random.default_rng(0).standard_normal((1, 4, 4, 2), dtype=np.float32)
    picture[0, 1, 2, 0] = bad
    assert not np.isfinite(norm(Tensor(picture)).data).all(), "it is passed on, for whoever looks at the loss"
    assert norm.running_mean.tolist() == [0, 0]
    assert norm.running_variance.tolist() == [1, 1]


class Halved(BinaryConv2d):
    """A layer of a user's own."""

    def forward(self, x):
        return super().forward(x) * 0.5


class Shifted(BatchNorm2d):
    """And another."""

    def forward(self, x):
        return super().forward(x) + 1.0


@pytest.mark.parametrize(("place", "kind"), [(0, Shifted), (1, Halved)])
def test_a_subclass_is_not_left_out(place, kind):
    unit = Unit(3, 4, 3, Style(rng=np.random.default_rng(0)))
    unit.modules[place].__class__ = kind
    x = Tensor(np.random.default_rng(1).standard_normal((2, 4, 4, 3), dtype=np.float32))
    whole, one_by_one = unit(x), x
    for layer in unit.modules:
        one_by_one = layer(one_by_one)
    assert np.array_equal(whole.data, one_by_one.data)


@pytest.mark.parametrize("place", [0, 1])
def test_whoever_looks_at_one_layer_of_a_unit_sees_it(place):
    unit = Unit(3, 4, 3, Style(rng=np.random.default_rng(0)))
    seen = []
    unit.modules[place].observer = lambda *call: seen.append(call)
    unit(Tensor(np.ones((1, 4, 4, 3), dtype=np.float32)))
    assert len(seen) == 1


@pytest.mark.parametrize("packed", [False, True])
def test_layers_take_tensors(packed):
    layer = use_packed(BinaryConv2d(3, 5, 1, np.random.default_rng(0)), packed)
    with no_grad(), pytest.raises(TypeError, match=r"takes tensors, got ndarray: wrap numbers in Tensor\(\.\.\.\)"):
        layer(np.ones((1, 2, 2, 3), dtype=np.float32))


RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Conv2d(0, 2, 3, RNG), ValueError, "channels must be at least 1, got 0"),
        (lambda: Conv2d(3, -2, 3, RNG), ValueError, "filters must be at least 1, got -2"),
        (lambda: Conv2d(3, 2, 0, RNG), ValueError, "kernel must be at least 1, got 0"),
        (lambda: Conv2d(3, 2, 3.0, RNG), ValueError, "kernel must be a whole number of at least 1, got 3.0"),
        (lambda: Conv2d(3, 2, 3, RNG, stride=0), ValueError, "stride must be at least 1, got 0"),
        (lambda: Conv2d(3, 2, 3, RNG, padding=-1), ValueError, "padding must be at least 0, got -1"),
        (lambda: Conv2d(3, 2, 3, 0), TypeError, r"generator, numpy.random.default_rng\(seed\), got 0"),
        (lambda: BinaryConv2d(3, 2, 0, RNG), ValueError, "kernel must be at least 1"),
        (lambda: BinaryConv2d(3, 2, 3, RNG, stride=0), ValueError, "stride must be at least 1"),
        (lambda: BinaryConv2d(3, 2, 3, RNG, padding=-1), ValueError, "padding must be at least 0"),
        (lambda: BinaryConv2d(3, 2, 3, RNG, binarize="all"), ValueError, "unknown binarize 'all'"),
        (lambda: BatchNorm2d(0), ValueError, "channels must be at least 1"),
        (lambda: BatchNorm2d(3, eps=-1.0), ValueError, "eps must be a number of at least 0, got -1.0"),
        (lambda: BatchNorm2d(3, momentum=2), ValueError, "momentum must be a number from 0 to 1, got 2"),
        (lambda: PReLU(0), ValueError, "channels must be at least 1"),
        (lambda: MaxPool2d(0), ValueError, "size must be at least 1"),
        (lambda: AvgPool2d(-2), ValueError, "size must be at least 1"),
        (lambda: Upsample(0), ValueError, "factor must be at least 1"),
        (lambda: max_pool2d(Tensor(np.zeros((1, 2, 2, 1))), 0), ValueError, "size must be at least 1"),
        (lambda: avg_pool2d(Tensor(np.zeros((1, 2, 2, 1))), 0), ValueError, "size must be at least 1"),
        (lambda: upsample_nearest2d(Tensor(np.zeros((1, 2, 2, 1))), 0), ValueError, "factor must be at least 1"),
    ],
)
def test_sizes_that_no_layer_has(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_a_module_that_occurs_twice_or_in_itself_counts_once():
    relu, ring = PReLU(2), Sequential(PReLU(3))
    ring.modules += [ring, relu, relu]
    assert list(ring.walk()) == [ring, ring.modules[0], relu]
    assert [name for name, _ in ring.named_parameters()] == ["modules.0.slope", "modules.2.slope"]
    assert len(ring.parameters()) == 2
    assert ring.eval() is ring
    assert "part of itself" in repr(ring)


def test_running_statistics_go_a_tenth_of_the_way_to_those_of_the_batch():
    """Mean 4 to 5 and variance 2 to 8: pixels of 3 and 7 have the mean 5 and the unbiased variance 8."""
    norm = BatchNorm2d(1)
    norm.running_mean[:], norm.running_variance[:] = 4, 2
    norm(Tensor(np.array([3, 7], dtype=np.float32).reshape(1, 1, 2, 1)))
    np.testing.assert_allclose(norm.running_mean, 4.1, rtol=1e-6)  # some roundings of float32
    np.testing.assert_allclose(norm.running_variance, 2.6, rtol=1e-6)
