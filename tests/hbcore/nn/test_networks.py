"""Blocks and hourglasses: sizes known from the authors' release, shapes, and bits against floats on whole networks."""

import json

import numpy as np
import pytest

from hbcore import Bottleneck, Hourglass, HPMBlock, StackedHourglass, Style, Tensor, no_grad, summary
from hbcore.nn.blocks import BLOCKS, MultiScale
from hbcore.nn.hourglass import Head
from hbcore.nn.layers import BatchNorm2d, BinaryConv2d, Conv2d, ReLU, use_packed
from hbcore.nn.module import Identity
from hbcore.optim.losses import heatmap_mse

NETWORKS = {
    "binary HPM": {},
    "binary HPM, ReLU": {"activation": "relu"},
    "binary HPM, PReLU, two stacks": {"activation": "prelu", "stacks": 2},
    "binary bottleneck": {"block": "bottleneck"},
    "real HPM": {"binary": False},
    "real bottleneck, two stacks": {"binary": False, "block": "bottleneck", "stacks": 2},
    "wider": {"block": "wider"},
    "bottleneck without 1x1": {"block": "bottleneck_no1x1"},
    "multi-scale": {"block": "multiscale"},
    "multi-scale without 1x1, average pooling": {"block": "multiscale_no1x1", "pool": "avg"},
    "HPM, four layers, two paths": {"layers": 4, "cardinality": 2},
    "improved, two stacks": {"hourglass": "improved", "stacks": 2, "activation": "relu"},
    "without scale": {"scale": False},
    "binary ends, two stacks": {"binary_ends": True, "stacks": 2, "activation": "relu"},
    "binary weights, binary ends": {"binarize": "weights", "binary_ends": True},
    "binary activations": {"binarize": "activations"},
    "wide stem, real lin": {"stem": 24, "real_lin": True, "activation": "prelu", "stacks": 2},
    "real skips, improved": {"real_skip": True, "hourglass": "improved", "activation": "relu"},
    "smooth": {"sharpness": 2.0},
}
BINARY = [
    name
    for name, options in NETWORKS.items()
    if options.get("binary", True) and "binarize" not in options and "sharpness" not in options
]


def small(name, features=32, joints=5, depth=2, **more):
    """A small network whose normalisations are as if trained: not the plain start, where signs would be all alike."""
    model = StackedHourglass(features=features, joints=joints, depth=depth, **NETWORKS[name], **more)
    rng = np.random.default_rng(5)
    for _, module in model.named_modules():
        if isinstance(module, BatchNorm2d):
            module.gamma.data[...] = rng.uniform(0.5, 1.5, module.gamma.shape)
            module.beta.data[...] = rng.normal(0, 0.3, module.beta.shape)
            module.running_mean[...] = rng.normal(0, 0.5, module.gamma.shape)
            module.running_variance[...] = rng.uniform(0.5, 2, module.gamma.shape)
    return model


def pictures(batch=2, height=32, width=32, dtype=np.float32):
    return np.random.default_rng(1).random((batch, height, width, 3)).astype(dtype)


# ------------------------------------------------------------------------------------------------------- counts


def conv_weights(model):
    return sum(m.weight.data.size for _, m in model.named_modules() if isinstance(m, Conv2d | BinaryConv2d))


def test_the_released_topology():
    """The numbers that a print-out of the authors' released network gives, to the digit."""
    model = StackedHourglass(features=256, joints=16, stacks=1)
    cost = summary(model, 64, 64)
    assert cost.binary_convolutions == 54
    assert cost.binary_weights == 6_207_488
    assert cost.to_dict()["binary_weight_bytes"] == 775_936
    assert cost.parameters == 6_236_560
    real = [m for _, m in model.named_modules() if isinstance(m, Conv2d)]
    assert sum(m.weight.data.size + m.bias.data.size for m in real) == 13_584
    norms = [m for _, m in model.named_modules() if isinstance(m, BatchNorm2d)]
    assert sum(m.gamma.data.size for m in norms) == 7_744
    assert sum(isinstance(m, HPMBlock) for _, m in model.named_modules()) == 17
    assert sum(isinstance(m, Hourglass) for _, m in model.named_modules()) == 4
    assert conv_weights(model) == 6_220_992

    # 8.21 GMAC at 256 x 256, of which stem 0.15, lin and heatmaps 0.29, skip projections 0.27, 3x3 blocks 7.51.
    macs = {layer.name: layer.macs * 16 for layer in cost.layers}  # 16 times the pixels of 64 x 64
    stem, heatmaps = macs.pop("stem.modules.0"), macs.pop("heads.0.heatmaps")
    lin = macs.pop("heads.0.lin.modules.0.modules.1")
    skips = sum(value for name, value in macs.items() if ".skip." in name)
    assert stem == 128 * 128 * 49 * 3 * 64
    assert lin + heatmaps == 64 * 64 * 256 * (256 + 16)
    blocks = sum(macs.values()) - skips
    assert [round(x / 1e9, 2) for x in (stem, lin + heatmaps, skips, blocks)] == [0.15, 0.29, 0.27, 7.51]
    assert round(16 * (cost.binary_macs + cost.real_macs) / 1e9, 2) == 8.21
    assert 16 * cost.real_macs == stem + heatmaps


@pytest.mark.parametrize(
    ("options", "millions"),
    [
        ({"block": "bottleneck"}, 3.401),
        ({"stacks": 2}, 12.04),
        ({"stacks": 3}, 17.85),
        ({"stacks": 4, "joints": 68}, 23.76),
    ],
)
def test_published_sizes(options, millions):
    decimals = len(str(millions).split(".")[1])
    assert round(conv_weights(StackedHourglass(features=256, **options)) / 1e6, decimals) == millions


@pytest.mark.parametrize("block", ["hpm", "bottleneck"])
def test_the_real_twin_has_the_same_convolutions(block):
    def shapes(binary):
        model = StackedHourglass(features=32, stacks=2, block=block, binary=binary)
        return [m.weight.shape for _, m in model.named_modules() if isinstance(m, Conv2d | BinaryConv2d)]

    assert shapes(True) == shapes(False)
    model = StackedHourglass(features=32, block=block, binary=False)
    assert not any(isinstance(m, BinaryConv2d) for _, m in model.named_modules())


def test_order_in_a_unit():
    """Binary: batch norm, sign (in the convolution), convolution, activation; real: batch norm, ReLU, convolution."""

    def order(**options):
        return [type(m) for m in HPMBlock(16, 16, Style(**options)).conv1.modules]

    assert order() == [BatchNorm2d, BinaryConv2d]
    assert order(activation="relu") == [BatchNorm2d, BinaryConv2d, ReLU]
    assert order(binary=False) == [BatchNorm2d, ReLU, Conv2d]


def test_blocks_by_their_equations():
    x = Tensor(np.random.default_rng(0).standard_normal((2, 4, 4, 16), dtype=np.float32))
    block = HPMBlock(16, 16, Style()).eval()
    o1 = block.conv1(x)
    o2 = block.conv2(o1)
    o3 = block.conv3(o2)
    assert [o.shape[-1] for o in (o1, o2, o3)] == [8, 4, 4]
    assert isinstance(block.skip, Identity)
    assert np.array_equal(block(x).data, np.concatenate([o1.data, o2.data, o3.data], axis=-1) + x.data)
    block = Bottleneck(16, 32, Style()).eval()
    assert np.array_equal(block(x).data, block.expand(block.spatial(block.reduce(x))).data + block.skip(x).data)
    with pytest.raises(ValueError, match="6 is not a multiple of 4"):
        HPMBlock(16, 6, Style())


# ------------------------------------------------------------------------------------------------------- shapes


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("mode", [True, False])
def test_shapes(name, mode):
    model = small(name).train(mode)
    results = model(Tensor(pictures(2, 32, 64)))
    assert len(results) == NETWORKS[name].get("stacks", 1)
    for heatmaps in results:
        assert heatmaps.shape == (2, 8, 16, 5)
        assert heatmaps.data.dtype == np.float32
        assert np.isfinite(heatmaps.data).all()


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_hourglass_needs_multiples(depth):
    hourglass = Hourglass(depth, 16, "hpm", Style())
    x = np.zeros((1, 2**depth, 3 * 2**depth, 16), dtype=np.float32)
    assert hourglass(Tensor(x)).shape == x.shape
    for shape in ((1, 2**depth + 1, 2**depth, 16), (1, 2**depth, 2 ** (depth - 1), 16)):
        message = rf"multiples of {2**depth}, got {shape[1]} x {shape[2]}"
        with pytest.raises(ValueError, match=message):
            hourglass(Tensor(np.zeros(shape, dtype=np.float32)))


@pytest.mark.parametrize(("height", "width"), [(72, 64), (64, 65), (32, 64)])
def test_network_needs_multiples_of_the_picture(height, width):
    model = StackedHourglass(features=16, joints=2)
    with pytest.raises(ValueError, match=f"multiples of 64, got {height} x {width}"):
        model(Tensor(pictures(1, height, width)))


@pytest.mark.parametrize(
    ("picture", "error", "message"),
    [
        (np.zeros((16, 16, 3), np.float32), TypeError, "takes tensors, got ndarray: wrap numbers"),
        (
            Tensor(np.zeros((16, 16, 3), np.float32)),
            ValueError,
            r"takes pictures \(N, H, W, C\), got an array of shape",
        ),
        (Tensor(np.zeros((1, 0, 16, 3), np.float32)), ValueError, "multiples of 8, got 0 x 16"),
    ],
)
def test_network_takes_tensors_of_pictures(picture, error, message):
    with pytest.raises(error, match=message):
        StackedHourglass(features=16, joints=2, depth=1)(picture)


def test_network_takes_colour_pictures_of_its_precision():
    model = StackedHourglass(features=16, joints=2, depth=1)
    with pytest.raises(ValueError, match="filters for 3 channels do not fit an input of 4 channels"):
        model(Tensor(np.zeros((1, 16, 16, 4), dtype=np.float32)))
    with pytest.raises(TypeError, match="filters of float32 do not fit an input of float64"):
        model(Tensor(np.zeros((1, 16, 16, 3), dtype=np.float64)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"block": "resnet"},
            f"unknown block 'resnet': choose from {', '.join(BLOCKS)}",
        ),
        ({"activation": "gelu"}, "unknown activation 'gelu'"),
        ({"features": 24}, "multiple of 16.*got 24"),
        ({"features": 0}, "multiple of 16.*got 0"),
        ({"joints": 0}, "joints must be at least 1, got 0"),
        ({"stacks": 0}, "stacks must be at least 1, got 0"),
        ({"depth": 0}, "depth must be at least 1, got 0"),
        ({"stacks": True}, "stacks must be a whole number of at least 1, got True"),
        ({"joints": 2.0}, "joints must be a whole number of at least 1, got 2.0"),
        ({"features": "16"}, "multiple of 16.*got '16'"),
        ({"features": 16.0}, "multiple of 16.*got 16.0"),
        ({"layers": 3.0}, "layers must be 3 to 6, got 3.0"),
        ({"scale": "false"}, "scale must be True or False, got 'false'"),
        ({"binary": 1}, "binary must be True or False, got 1"),
        ({"center_weights": 0}, "center_weights must be True or False"),
        ({"clamp_weights": None}, "clamp_weights must be True or False"),
        ({"binary_ends": "yes"}, "binary_ends must be True or False"),
        ({"real_lin": 1}, "real_lin must be True or False, got 1"),
        ({"real_skip": "no"}, "real_skip must be True or False, got 'no'"),
        ({"stem": True}, "stem must be a positive multiple of 8, or none, got True"),
        ({"stem": 8.0}, "stem must be a positive multiple of 8, or none, got 8.0"),
        ({"block": ["hpm"]}, "unknown block"),
        ({"sharpness": True}, "sharpness must be a number above 0"),
    ],
)
def test_architecture_is_checked(options, message):
    with pytest.raises(ValueError, match=message):
        StackedHourglass(**{"features": 16} | options)


# ------------------------------------------------------------------------------------------------ what they compute


@pytest.mark.parametrize("name", BINARY)
def test_packed_and_float_evaluation_are_identical(name):
    model = small(name).eval()
    picture = pictures()
    with no_grad():
        floats = [y.data for y in model(Tensor(picture))]
        packed = [y.data for y in use_packed(model)(Tensor(picture))]
    for a, b in zip(floats, packed, strict=True):
        assert a.tobytes() == b.tobytes()
    assert np.ptp(floats[0]) > 0.1, "a network that says the same everywhere proves nothing"


@pytest.mark.parametrize("name", BINARY)
def test_packed_and_float_training_are_identical(name):
    steps = []
    for packed in (False, True):
        model = use_packed(small(name), packed)
        results = model(Tensor(pictures()))
        loss = results[0].sum() if len(results) == 1 else results[0].sum() + results[1].sum()
        loss.backward()
        steps.append([p.grad.tobytes() for p in model.parameters()] + [b.tobytes() for _, b in model.named_buffers()])
    assert steps[0] == steps[1]


@pytest.mark.parametrize("name", NETWORKS)
def test_batch_of_four_equals_four_batches_of_one(name):
    """In float64, where another order of additions changes the 15th digit and practically never a sign."""
    model = small(name).astype(np.float64).eval()
    picture = pictures(4, dtype=np.float64)
    with no_grad():
        together = [y.data for y in model(Tensor(picture))]
        for n in range(4):
            for whole, alone in zip(together, model(Tensor(picture[n : n + 1])), strict=True):
                assert np.abs(whole[n] - alone.data[0]).max() < 1e-11


@pytest.mark.parametrize("name", NETWORKS)
def test_every_parameter_learns(name):
    """A loss on all heatmaps reaches everything, in the precision and shape of the parameter."""
    model = small(name).astype(np.float64)
    for heatmaps in (results := model(Tensor(pictures(dtype=np.float64)))):
        assert heatmaps.shape == (2, 8, 8, 5)
    first, *others = (heatmap_mse(heatmaps, np.ones((2, 8, 8, 5)), np.ones((2, 5))) for heatmaps in results)
    sum(others, start=first).backward()
    for parameter_name, parameter in model.named_parameters():
        assert parameter.grad.shape == parameter.shape, parameter_name
        assert parameter.grad.dtype == np.float64
        # A constant that only batch norms see is taken away by them: its gradient is 0 up to rounding.
        if not parameter_name.startswith("merge_heatmaps") and parameter_name != "stem.modules.0.bias":
            assert np.abs(parameter.grad).max() > 1e-9, parameter_name


def test_evaluation_changes_nothing():
    model = small("binary HPM").eval()
    before = {name: array.copy() for name, array in model.state_dict().items()}
    with no_grad():
        first = model(Tensor(pictures()))[0].data
        second = model(Tensor(pictures()))[0].data
    assert first.tobytes() == second.tobytes()
    assert all(np.array_equal(array, before[name]) for name, array in model.state_dict().items())


def test_a_network_is_a_function_of_its_seed():
    def state(seed):
        return {n: a.tobytes() for n, a in StackedHourglass(features=16, seed=seed).state_dict().items()}

    assert state(1) == state(1)
    assert state(1) != state(2)


def test_architecture_rebuilds_the_network():
    model = small("binary HPM, PReLU, two stacks", center_weights=True, clamp_weights=False)
    rebuilt = StackedHourglass(**model.architecture)
    assert rebuilt.architecture == model.architecture
    rebuilt.load_state_dict(model.state_dict())
    convs = [m for _, m in rebuilt.named_modules() if isinstance(m, BinaryConv2d)]
    assert all(m.center_weights and not m.clamp_weights for m in convs)


def test_numpys_numbers_are_taken_as_pythons():
    """Such as come out of an array of joints; a model file's JSON does not know them."""
    options = {"features": np.int64(16), "joints": np.uint8(2), "depth": np.int32(1), "binary": np.True_}
    model = StackedHourglass(**options, sharpness=np.float32(2))
    plain = StackedHourglass(features=16, joints=2, depth=1, sharpness=2.0)
    assert model.architecture == plain.architecture
    assert json.dumps(model.architecture) == json.dumps(plain.architecture)


def test_fresh_styles_draw_other_weights():
    a, b = (HPMBlock(8, 8, Style()).conv1.modules[1].weight.data for _ in range(2))
    assert not np.array_equal(a, b)
    seeded = [HPMBlock(8, 8, Style(rng=np.random.default_rng(3))).conv1.modules[1].weight.data for _ in range(2)]
    assert np.array_equal(*seeded)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Style(pool="min"), "unknown pool 'min': choose from max, avg"),
        (lambda: Style(activation="gelu"), "unknown activation 'gelu'"),
        (lambda: Style(binarize="all"), "unknown binarize 'all'"),
        (lambda: Style(scale="false"), "scale must be True or False"),
        (lambda: Style(cardinality=0), "cardinality must be at least 1"),
        (lambda: Hourglass(1, 16, "resnet", Style()), "unknown block 'resnet': choose from bottleneck"),
        (lambda: Head(16, 16, 2, "resnet", Style()), "unknown block 'resnet'"),
        (lambda: Hourglass(0, 16, "hpm", Style()), "depth must be at least 1, got 0"),
        (lambda: HPMBlock(8, 0, Style()), "0 is not a multiple of 4"),
        (lambda: HPMBlock(0, 8, Style()), "channels must be at least 1, got 0"),
        (lambda: Bottleneck(8, 0, Style()), "filters must be at least 1, got 0"),
        (lambda: Bottleneck(8, 1, Style()), "middle must be at least 1, got 0"),
        (lambda: MultiScale(8, 0, Style(), pointwise=False), "0 is not a multiple of 4"),
    ],
)
def test_what_blocks_cannot_be_made_of(make, message):
    with pytest.raises(ValueError, match=message):
        make()
