"""Blocks and networks by name: their sizes, their equations, and what they refuse."""

import numpy as np
import pytest

from hbcore import BinaryConv2d, Conv2d, Hourglass, HPMBlock, StackedHourglass, Style, Tensor, no_grad, summary
from hbcore.autograd.gradcheck import gradcheck
from hbcore.binary.convolution import binary_conv2d
from hbcore.binary.smooth import smooth_sign
from hbcore.nn.architecture import check_architecture
from hbcore.nn.blocks import BLOCKS, MultiScale, Unit
from hbcore.nn.layers import AvgPool2d, BatchNorm2d, MaxPool2d, ReLU, constrain, use_packed
from hbcore.nn.module import Identity, Parameter
from tests.strategies import check_derivatives, naive_conv2d


def normal(shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def conv_weights(model):
    return sum(m.weight.data.size for _, m in model.named_modules() if isinstance(m, Conv2d | BinaryConv2d))


def signs(x):
    return np.where(x < 0, -1.0, 1.0)


# ------------------------------------------------------------------------------------------------------- counts


@pytest.mark.parametrize(
    ("options", "count"),
    [
        # Written out: stem 7 * 7 * 3 * 64, lin 256 * 256, heatmaps 256 * 16, skip paths 64 * 128 + 128 * 256, and the
        # blocks 64 -> 128, 128 -> 128, 128 -> 256 once each and 256 -> 256 fourteen times.
        ({"block": "bottleneck"}, 3_400_896),
        ({"block": "wider"}, 11_252_928),
        ({"block": "multiscale"}, 3_779_264),
        ({"block": "multiscale_no1x1"}, 9_465_024),
        ({"block": "bottleneck_no1x1"}, 5_789_433),
        ({"layers": 3}, 6_220_992),
    ],
)
def test_blocks_have_the_published_sizes(options, count):
    assert conv_weights(StackedHourglass(features=256, **options)) == count


@pytest.mark.parametrize(("layers", "millions"), [(3, 6.22), (4, 6.08), (5, 6.04), (6, 6.03)])
def test_hpm_of_more_layers(layers, millions):
    assert round(conv_weights(StackedHourglass(features=256, layers=layers)) / 1e6, 2) == millions


@pytest.mark.parametrize("layers", [3, 4, 5, 6])
def test_widths_of_an_hpm_block_halve_and_the_last_two_are_equal(layers):
    widths = [unit.modules[1].weight.shape[3] for unit in HPMBlock(64, 64, Style(layers=layers)).convs]
    assert widths == {3: [32, 16, 16], 4: [32, 16, 8, 8], 5: [32, 16, 8, 4, 4], 6: [32, 16, 8, 4, 2, 2]}[layers]


def test_improved_hourglass_has_the_published_size():
    """5.78M, and 6.30M with the way from 512 to 256 channels past the four blocks behind a merge."""
    model = StackedHourglass(features=256, hourglass="improved")
    total = conv_weights(model)
    skips = sum(array.size for name, array in model.state_dict().items() if array.shape == (1, 1, 512, 256))
    assert skips == 4 * 512 * 256
    assert round(total / 1e6, 2) == 6.30
    assert round((total - skips) / 1e6, 2) == 5.78


def test_cardinality_divides_all_layers_but_the_first():
    def size(cardinality):
        return sum(
            p.data.size for p in HPMBlock(32, 64, Style(cardinality=cardinality)).parameters() if p.data.ndim == 4
        )

    first, rest, skip = 9 * 32 * 32, 9 * (32 * 16 + 16 * 16), 32 * 64
    assert [size(c) for c in (1, 2, 4, 16)] == [first + rest // c + skip for c in (1, 2, 4, 16)]


@pytest.mark.parametrize(
    ("options", "bits"),
    [
        ({}, (1, 1)),
        ({"binarize": "weights"}, (1, 32)),
        ({"binarize": "activations"}, (32, 1)),
        ({"sharpness": 1.0}, (1, 32)),
    ],
)
def test_summary_knows_what_is_binary(options, bits):
    """The same 54 convolutions each time; only those with bits on both sides go without real arithmetic."""
    plain = summary(StackedHourglass(features=32), 64, 64)
    cost = summary(StackedHourglass(features=32, **options), 64, 64)
    assert [(x.name.rpartition(".")[0], x.weights, x.macs) for x in cost.layers] == [
        (x.name.rpartition(".")[0], x.weights, x.macs) for x in plain.layers
    ]
    assert {layer.bits for layer in cost.layers} == {bits, (32, 32)}
    assert cost.binary_weights == (plain.binary_weights if bits[0] == 1 else 0)
    assert cost.binary_macs == (plain.binary_macs if bits == (1, 1) else 0)
    assert cost.binary_macs + cost.real_macs == plain.binary_macs + plain.real_macs
    assert cost.parameters == plain.parameters
    assert f" {'/'.join(map(str, dict.fromkeys(bits)))} " in str(cost)


def test_binary_ends_leave_nothing_real():
    model = StackedHourglass(features=32, joints=5, stacks=2, binary_ends=True)
    cost = summary(model, 64, 64)
    assert cost.real_macs == 0
    assert not any(isinstance(m, Conv2d) for _, m in model.named_modules())
    plain = summary(StackedHourglass(features=32, joints=5, stacks=2), 64, 64)
    assert cost.binary_macs == plain.binary_macs + plain.real_macs
    # One normalisation more in front of the stem (3 colours), of both heatmaps (32) and of the way back (5).
    assert cost.parameters == plain.parameters - 8 + 2 * (3 + 2 * 32 + 5)


def test_a_wider_stem_and_a_real_lin_by_hand():
    """64 features, 5 maps, depth 1: what the two choices change against the plain network, counted by hand."""

    def cost(**options):
        return summary(StackedHourglass(features=64, joints=5, depth=1, **options), 64, 64)

    def hpm(channels, filters):  # weights of three 3x3 convolutions, and of the skip path where the widths differ
        threes = 9 * (channels * filters // 2 + filters // 2 * filters // 4 + filters // 4 * filters // 4)
        return threes + (channels * filters if channels != filters else 0)

    plain, wide, real = cost(), cost(stem=48), cost(real_lin=True)
    # 16 filters, then blocks 16 -> 32, 32 -> 32, 32 -> 64; or 48, then 48 -> 48, 48 -> 48, 48 -> 64.
    more = hpm(48, 48) + hpm(48, 48) + hpm(48, 64) - hpm(16, 32) - hpm(32, 32) - hpm(32, 64)
    assert wide.binary_weights - plain.binary_weights == more
    assert wide.real_macs - plain.real_macs == 32 * 32 * 7 * 7 * 3 * (48 - 16)
    assert cost(stem=16) == plain
    assert real.binary_weights == plain.binary_weights - 64 * 64
    assert real.binary_macs == plain.binary_macs - 16 * 16 * 64 * 64
    assert real.real_macs == plain.real_macs + 16 * 16 * 64 * 64
    assert real.parameters == plain.parameters


def test_real_lin_by_its_equations():
    """Batch norm, ReLU and a real-valued 1x1 convolution: a matrix product, for every stack."""
    model = StackedHourglass(features=16, joints=2, depth=1, stacks=2, activation="relu", real_lin=True).eval()
    x = normal((1, 2, 3, 16)).astype(np.float32)
    for head in model.heads:
        norm, _, conv = head.lin.modules[0].modules
        norm.running_mean[:], norm.running_variance[:] = normal(16, 1), normal(16, 2) ** 2
        expected = np.maximum((x - norm.running_mean) / np.sqrt(norm.running_variance + norm.eps), 0)
        with no_grad():
            found = head.lin.modules[0](Tensor(x)).data
        np.testing.assert_allclose(found, expected @ conv.weight.data[0, 0], rtol=1e-5, atol=1e-5)


def test_real_skips_by_hand():
    """16 filters, then blocks 16 -> 32, 32 -> 32, 32 -> 64: two change the width, at 32 x 32 and at 16 x 16 pixels."""
    plain, real = (summary(StackedHourglass(64, 5, depth=1, real_skip=skip), 64, 64) for skip in (False, True))
    products = 32 * 32 * 16 * 32 + 16 * 16 * 32 * 64
    assert real.real_macs - plain.real_macs == plain.binary_macs - real.binary_macs == products
    assert plain.binary_weights - real.binary_weights == 16 * 32 + 32 * 64
    assert real.parameters == plain.parameters


def test_a_real_skip_by_its_equation():
    """Batch norm, ReLU and a matrix product, without the activation that follows binary convolutions."""
    block = HPMBlock(8, 16, Style(real_skip=True, activation="relu")).eval()
    x = normal((1, 2, 3, 8)).astype(np.float32)
    norm, _, conv = block.skip.modules
    norm.running_mean[:], norm.running_variance[:] = normal(8, 1), normal(8, 2) ** 2
    line = np.maximum((x - norm.running_mean) / np.sqrt(norm.running_variance + norm.eps), 0)
    with no_grad():
        results = np.concatenate([result.data for result in block.results(Tensor(x))], axis=-1)
        found = block(Tensor(x)).data
    np.testing.assert_allclose(found, results + line @ conv.weight.data[0, 0], rtol=1e-5, atol=1e-5)
    assert isinstance(HPMBlock(16, 16, Style(real_skip=True)).skip, Identity)


def test_networks_without_real_skips_are_described_as_before_there_were_any():
    """So that their files keep their bytes, and older versions read them."""
    plain = StackedHourglass(16, 2, depth=1).architecture
    assert "real_skip" not in plain
    assert StackedHourglass(16, 2, depth=1, real_skip=False).architecture == plain
    assert StackedHourglass(16, 2, depth=1, real_skip=True).architecture == plain | {"real_skip": True}


# ---------------------------------------------------------------------------------------------------- equations


def test_multi_scale_by_its_equations():
    x = Tensor(normal((2, 4, 6, 8)).astype(np.float32))
    block = MultiScale(8, 16, Style(), pointwise=True).eval()
    tiles = x.data.reshape(2, 2, 2, 3, 2, 8).max(axis=(2, 4))
    pooled = Tensor(tiles.repeat(2, axis=1).repeat(2, axis=2))
    left = block.left.modules[1](block.left.modules[0](x))
    large = block.large.modules[1](block.large.modules[0](pooled))
    joined = np.concatenate([left.data, block.small(pooled).data, large.data], axis=-1)
    assert joined.shape == (2, 4, 6, 8)
    assert np.array_equal(block(x).data, block.expand(Tensor(joined)).data + block.skip(x).data)
    kernels = [m.weight.shape for _, m in block.named_modules() if isinstance(m, BinaryConv2d)]
    assert kernels == [
        (1, 1, 8, 4),
        (3, 3, 4, 4),
        (3, 3, 8, 2),
        (3, 3, 8, 2),
        (3, 3, 2, 2),
        (1, 1, 8, 16),
        (1, 1, 8, 16),
    ]
    block = MultiScale(16, 16, Style(), pointwise=False).eval()
    kernels = [m.weight.shape for _, m in block.named_modules() if isinstance(m, BinaryConv2d)]
    assert kernels == [(3, 3, 16, 8), (3, 3, 16, 4), (3, 3, 16, 4), (3, 3, 4, 4)]
    assert isinstance(block.expand, Identity)
    with pytest.raises(ValueError, match="6 is not a multiple of 4"):
        MultiScale(8, 12, Style(), pointwise=True)


def test_paths_of_an_hpm_block_stand_side_by_side():
    x = Tensor(normal((1, 4, 4, 16)).astype(np.float32))
    block = HPMBlock(16, 16, Style(cardinality=2)).eval()
    parts = []
    for path in (block, block.others[0]):
        o1 = path.conv1(x)
        o2 = path.conv2(o1)
        parts += [o1.data, o2.data, path.conv3(o2).data]
    assert [part.shape[-1] for part in parts] == [4, 2, 2, 4, 2, 2]
    assert np.array_equal(block(x).data, np.concatenate(parts, axis=-1) + x.data)


def test_hpm_block_keeps_its_names():
    """Model files of before name their weights like this."""
    names = [name for name, _ in HPMBlock(8, 16, Style()).named_parameters() if name.endswith("weight")]
    assert names == [f"{unit}.modules.1.weight" for unit in ("conv1", "conv2", "conv3", "skip")]


def test_improved_hourglass_concatenates():
    x = Tensor(normal((1, 4, 4, 16)).astype(np.float32))
    hourglass = Hourglass(1, 16, "hpm", Style(), improved=True).eval()
    low = hourglass.low3(hourglass.low2(hourglass.low1(hourglass.pool1(x)))).data.repeat(2, axis=1).repeat(2, axis=2)
    assert np.array_equal(hourglass(x).data, np.concatenate([x.data, low], axis=-1))
    assert not list(hourglass.up1.named_parameters())
    outer = Hourglass(2, 16, "hpm", Style(), improved=True)
    assert outer.low3.conv1.modules[1].weight.shape == (3, 3, 32, 8)
    assert outer.low2.low3.conv1.modules[1].weight.shape == (3, 3, 16, 8)


def test_pooling_by_name():
    for name, kind, other in (("max", MaxPool2d, AvgPool2d), ("avg", AvgPool2d, MaxPool2d)):
        model = StackedHourglass(features=16, depth=2, block="multiscale", pool=name)
        modules = [m for _, m in model.named_modules()]
        assert not any(isinstance(m, other) for m in modules)
        assert sum(isinstance(m, kind) for m in modules) == 1 + 2 + sum(isinstance(m, MultiScale) for m in modules)


def test_order_in_a_unit_of_half_binary_convolutions():
    def kinds(**options):
        return [type(m) for m in Unit(4, 4, 3, Style(**options)).modules]

    assert kinds(binarize="weights", activation="relu") == [BatchNorm2d, ReLU, BinaryConv2d, ReLU]
    assert kinds(binarize="activations", activation="relu") == [BatchNorm2d, BinaryConv2d, ReLU]


@pytest.mark.parametrize("binarize", ["both", "weights", "activations"])
@pytest.mark.parametrize("scaled", [True, False])
def test_binary_convolution_by_its_equation(binarize, scaled):
    conv = BinaryConv2d(5, 3, 3, np.random.default_rng(0), padding=1, scaled=scaled, binarize=binarize, bias=True)
    conv.astype(np.float64)
    conv.bias.data[...] = [1, -2, 0.5]
    x, w = normal((2, 4, 5, 5), 1), conv.weight.data
    s = x if binarize == "weights" else signs(x)
    alpha = np.abs(w).mean(axis=(0, 1, 2)) if scaled else 1.0
    v = w if binarize == "activations" else alpha * signs(w)
    for packed in (False, True):
        conv.packed = packed
        expected = naive_conv2d(s, v, 1, 1) + conv.bias.data
        assert np.allclose(conv(Tensor(x)).data, expected, rtol=0, atol=1e-12)
        with no_grad():
            assert np.allclose(conv(Tensor(x)).data, expected, rtol=0, atol=1e-12)


def test_gradient_without_scale():
    """dL/dW = dL/dW~ [-1 < W < 1], and dL/dS as through weights of sign(W)."""
    s, w, g = signs(normal((1, 3, 3, 2))), 0.9 * normal((3, 3, 2, 2), 1), normal((1, 3, 3, 2), 2)
    a, b = Tensor(s, requires_grad=True), Tensor(w, requires_grad=True)
    y = binary_conv2d(a, b, padding=1, scaled=False)
    assert np.array_equal(y.data, naive_conv2d(s, signs(w), 1, 1))
    y.backward(g)
    for index in np.ndindex(w.shape):
        unit = np.zeros_like(w)
        unit[index] = 1
        slope = np.sum(g * naive_conv2d(s, unit, 1, 1))
        assert np.isclose(b.grad[index], slope if abs(w[index]) < 1 else 0, atol=1e-12)
    assert (np.abs(w) >= 1).any()
    gradcheck(lambda t: binary_conv2d(t, Tensor(w), padding=1, scaled=False), s)


def test_gradient_of_real_inputs_through_binary_weights():
    w = normal((3, 3, 2, 3), 1)
    check_derivatives(lambda t: binary_conv2d(t, Tensor(w), padding=1), normal((1, 3, 3, 2)))


def test_real_weights_are_not_constrained():
    rng = np.random.default_rng(0)
    free = BinaryConv2d(2, 2, 1, rng, binarize="activations", center_weights=True)
    bound = BinaryConv2d(2, 2, 1, rng, center_weights=True)
    for conv in (free, bound):
        conv.weight.data[...] = [[[[3.0, -2.0], [1.0, 5.0]]]]
        constrain(conv)
    assert free.weight.data.max() == 5
    assert bound.weight.data.tolist() == [[[[1, -1], [-1, 1]]]]


def test_weights_are_centred_over_channels_at_each_position_of_each_filter():
    """Means over the two channels: 2 and 1 for the first filter, 10 and -3 for the second. No other axis takes part."""
    conv = BinaryConv2d(2, 2, 1, np.random.default_rng(0), center_weights=True, clamp_weights=False)
    conv.weight = Parameter(np.zeros((1, 2, 2, 2), np.float32))
    conv.weight.data[0, :, :, 0] = [[1, 3], [0, 2]]
    conv.weight.data[0, :, :, 1] = [[8, 12], [-4, -2]]
    constrain(conv)
    assert conv.weight.data[0, :, :, 0].tolist() == [[-1, 1], [-1, 1]]
    assert conv.weight.data[0, :, :, 1].tolist() == [[-2, 2], [-1, 1]]


@pytest.mark.parametrize("sharpness", [0.5, 1.0, 7.0])
def test_smooth_sign_by_its_formula(sharpness):
    x = np.array([-2.0, -0.3, 0.0, 0.1, 1.5])
    e = np.exp(sharpness * x)
    t = Tensor(x, requires_grad=True)
    y = smooth_sign(t, sharpness)
    y.backward(np.ones(5))
    assert np.allclose(y.data, 2 * e / (1 + e) - 1, rtol=0, atol=1e-15)
    assert np.allclose(t.grad, 2 * sharpness * e / (e + 1) ** 2, rtol=1e-13)
    check_derivatives(lambda t: smooth_sign(t, sharpness), x)


def test_smooth_sign_becomes_the_sign():
    x = np.array([-1e4, -0.02, 0.02, 1e4], dtype=np.float32)
    assert smooth_sign(Tensor(x), 1e4).data.tolist() == [-1, -1, 1, 1]
    for bad in (0.0, -1.0, np.nan, np.inf):
        with pytest.raises(ValueError, match="sharpness of a smooth sign must be a number above 0"):
            smooth_sign(Tensor(x), bad)


def test_quantize_changes_what_is_computed_and_nothing_else():
    model = StackedHourglass(features=16, joints=2, depth=1, binary_ends=True).eval()
    use_packed(model)
    x = Tensor(np.random.default_rng(0).random((1, 16, 16, 3), dtype=np.float32))
    before = {name: array.copy() for name, array in model.state_dict().items()}
    outputs = {}
    with no_grad():
        for key in (("both", None), ("activations", None), ("activations", 3.0), ("both", 3.0), ("both", None)):
            model.quantize(*key)
            y = model(x)[0].data
            assert np.array_equal(outputs.setdefault(key, y), y)
            twin = StackedHourglass(**model.architecture).eval()
            twin.load_state_dict(model.state_dict())
            assert np.array_equal(twin(x)[0].data, y)
    assert len({y.tobytes() for y in outputs.values()}) == 4
    assert all(np.array_equal(array, before[name]) for name, array in model.state_dict().items())


# ------------------------------------------------------------------------------------------------------ refusals

GOOD = dict(StackedHourglass(features=16, depth=1).architecture)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hourglass": "better"}, "unknown hourglass 'better': choose from plain, improved"),
        ({"pool": "min"}, "unknown pool 'min': choose from max, avg"),
        ({"binarize": "all"}, "unknown binarize 'all': choose from both, weights, activations"),
        ({"layers": 2}, "layers must be 3 to 6, got 2"),
        ({"layers": 7}, "layers must be 3 to 6, got 7"),
        ({"cardinality": 0}, "cardinality must be at least 1, got 0"),
        ({"block": "wider", "layers": 4}, "are choices of block = 'hpm'"),
        ({"block": "bottleneck", "cardinality": 2}, "are choices of block = 'hpm'"),
        ({"layers": 5}, "features = 16 cannot be split: layers = 5 and cardinality = 1 need a multiple of 32"),
        ({"cardinality": 3}, "need a multiple of 24"),
        ({"binary": False, "activation": "relu"}, "activation = 'relu' is a choice of binary networks"),
        ({"binary": False, "binarize": "weights"}, "binarize = 'weights' is a choice of binary networks"),
        ({"binary": False, "scale": False}, "scale = False is a choice of binary networks"),
        ({"binary": False, "binary_ends": True}, "binary_ends = True is a choice of binary networks"),
        ({"binary": False, "real_lin": True}, "real_lin = True is a choice of binary networks"),
        ({"binary_ends": True, "real_lin": True}, "real_lin = True contradicts binary_ends = True"),
        ({"binary": False, "real_skip": True}, "real_skip = True is a choice of binary networks"),
        ({"binary_ends": True, "real_skip": True}, "real_skip = True contradicts binary_ends = True"),
        ({"stem": 24}, "stem = 24 must be at most features = 16"),
        ({"stem": 12}, "stem must be a positive multiple of 8, or none, got 12"),
        ({"stem": 0}, "stem must be a positive multiple of 8, or none, got 0"),
        (
            {"features": 32, "stem": 24, "layers": 4, "cardinality": 2},
            "stem = 24 cannot be split: layers = 4 and cardinality = 2 need a multiple of 16",
        ),
        ({"binary": False, "sharpness": 1.0}, "sharpness = 1.0 is a choice of networks with binary activations"),
        ({"binarize": "weights", "sharpness": 1.0}, "sharpness = 1.0 is a choice of networks with binary activations"),
        ({"sharpness": 0.0}, r"sharpness must be a number above 0, at most 1e[+]30, got 0.0"),
        ({"sharpness": float("nan")}, r"sharpness must be a number above 0, at most 1e[+]30, got nan"),
    ],
)
def test_contradictions_and_unknown_names(options, message):
    check_architecture(**GOOD)
    with pytest.raises(ValueError, match=message):
        check_architecture(**GOOD | options)
    with pytest.raises(ValueError, match=message):
        StackedHourglass(**GOOD | options)


def test_quantize_needs_binary_activations():
    for options in ({"binary": False}, {"binarize": "weights"}):
        with pytest.raises(ValueError, match="binary"):
            StackedHourglass(features=16, depth=1, **options).quantize("activations")
    with pytest.raises(ValueError, match="has other layers"):
        StackedHourglass(features=16, depth=1).quantize("weights")


def test_multi_scale_networks_need_maps_that_halve_once_more():
    for block in BLOCKS:
        model = StackedHourglass(features=16, joints=1, depth=2, block=block)
        assert model.multiple == (32 if block.startswith("multiscale") else 16)
        size = model.multiple
        assert model(Tensor(np.zeros((1, size, 2 * size, 3), dtype=np.float32)))[0].shape == (
            1,
            size // 4,
            size // 2,
            1,
        )
        with pytest.raises(ValueError, match=f"multiples of {size}, got {size} x {size + size // 2}"):
            model(Tensor(np.zeros((1, size, size + size // 2, 3), dtype=np.float32)))
